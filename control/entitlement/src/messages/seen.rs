//! Which messages came already (licensing.md §10.3, LIC-723).

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// The ids of the last 1,024 messages.
#[derive(Debug, Default)]
pub struct SeenIds {
    order: VecDeque<Uuid>,
    known: HashSet<Uuid>,
}

impl SeenIds {
    /// Notes `id`, and says whether it was not among the last 1,024.
    pub fn is_new(&mut self, id: Uuid) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MEMORY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// How many ids are kept.
const MEMORY: usize = 1024;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{MEMORY, SeenIds};

    /// LIC-723: the memory holds 1,024 ids. That a repeat has no effect is shown with client and
    /// desk.
    #[test]
    fn a_repeat_among_the_last_1024_is_known() {
        let mut seen = SeenIds::default();
        for id in 0..MEMORY as u128 {
            assert!(seen.is_new(Uuid::from_u128(id)));
        }
        assert!(!seen.is_new(Uuid::from_u128(0)));
        assert!(seen.is_new(Uuid::from_u128(5000)));
        assert!(seen.is_new(Uuid::from_u128(0)), "1,024 others came since");
        assert!(!seen.is_new(Uuid::from_u128(5000)));
    }
}
