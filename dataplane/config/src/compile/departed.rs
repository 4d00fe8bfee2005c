//! Members that left a listener without source translation.
//!
//! Which worker owns a reply follows from whether its source is such a member. A member that leaves
//! takes no flow with it (crds.md §5.4, action NONE), so its replies must go where they went before.
//!
//! Invariant: a remembered member is none of the listener's present ones, and its listener lives.

use std::collections::{BTreeMap, HashSet};

use crate::config::{Listener, ListenerKey, Parts};
use crate::spec::Snat;

/// The members that each listener of `parts` lost, those of `previous` included.
pub(super) fn resolve(parts: &Parts, previous: &Parts) -> BTreeMap<String, Vec<ListenerKey>> {
    let mut departed = BTreeMap::new();
    for next in parts.listeners.iter().flatten() {
        let before = previous.listeners.get(next.slot.0 as usize).and_then(Option::as_ref);
        let Some(before) = before.filter(|before| before.since == next.since) else { continue };
        let present: HashSet<ListenerKey> = plain(next).collect();
        let mut known = HashSet::new();
        let former = previous.departed.get(&next.name).into_iter().flatten().copied();
        let mut left: Vec<ListenerKey> = former
            .chain(plain(before))
            .filter(|key| !present.contains(key) && known.insert(*key))
            .collect();
        if left.is_empty() {
            continue;
        }
        left.drain(..left.len().saturating_sub(MOST));
        departed.insert(next.name.clone(), left);
    }
    departed
}

/// The members of a listener that see its clients' own addresses.
pub(super) fn plain(listener: &Listener) -> impl Iterator<Item = ListenerKey> {
    let members = (listener.snat == Snat::None).then_some(&listener.pool.members);
    let protocol = listener.protocol;
    members.into_iter().flatten().map(move |member| (protocol, member.address, member.port))
}

/// Members that are remembered of one listener.
const MOST: usize = 1024;
