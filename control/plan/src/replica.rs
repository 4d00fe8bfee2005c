//! Replica indices: the lowest free one, kept for life, given on (crds.md §5.8, OPS-461).

/// Gives an index to every pod that has none.
///
/// `pods` are (uid or name, index it already has) in the order of their age; the answer has the same
/// order. A pod whose index an older pod holds gets a new one, so no two ever share one.
#[must_use]
pub fn assign(pods: &[(String, Option<u16>)]) -> Vec<u16> {
    let mut given = vec![None; pods.len()];
    for (position, (_, index)) in pods.iter().enumerate() {
        if index.is_some() && !given[..position].contains(index) {
            given[position] = *index;
        }
    }
    for position in 0..given.len() {
        if given[position].is_none() {
            given[position] = (0..=u16::MAX).find(|index| !given.contains(&Some(*index)));
        }
    }
    given.into_iter().map(Option::unwrap_or_default).collect()
}
