//! Small numbers for names that stay the same while the name exists.
//!
//! Invariant: two names never share a number. A number that becomes free is not given out in the
//! same step, and the lowest free number goes first, so tables indexed by it stay small.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

/// Numbers by name.
#[derive(Clone, Debug)]
pub(crate) struct Slots<K> {
    taken: HashMap<K, Taken>,
    free: BTreeSet<u32>,
    next: u32,
}

/// A number and the generation in which it was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Taken {
    pub slot: u32,
    pub since: u32,
}

/// Names a member: pool, address, port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct MemberKey {
    pub pool: String,
    pub address: IpAddr,
    pub port: u16,
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self { taken: HashMap::new(), free: BTreeSet::new(), next: 0 }
    }
}

impl<K: Clone + Eq + Hash + Ord> Slots<K> {
    /// The numbers of exactly `names`: known names keep theirs, new ones get theirs in the order of
    /// the names, whatever order they come in.
    pub fn advance(&self, names: impl IntoIterator<Item = K>, generation: u32) -> Self {
        let names: BTreeSet<K> = names.into_iter().collect();
        let mut free = self.free.clone();
        let mut next = self.next;
        let mut taken = HashMap::with_capacity(names.len());
        for name in &names {
            let entry = self.taken.get(name).copied().unwrap_or_else(|| {
                let slot = free.pop_first().unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                Taken { slot, since: generation }
            });
            taken.insert(name.clone(), entry);
        }
        free.extend(
            self.taken
                .iter()
                .filter(|(name, _)| !names.contains(name))
                .map(|(_, taken)| taken.slot),
        );
        Self { taken, free, next }
    }

    /// The number of `name`.
    pub fn of(&self, name: &K) -> Option<Taken> {
        self.taken.get(name).copied()
    }

    /// One past the highest number ever given.
    pub const fn len(&self) -> usize {
        self.next as usize
    }
}
