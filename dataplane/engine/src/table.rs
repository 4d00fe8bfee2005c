//! A fixed number of slots with a key each, and the way from key to slot.
//!
//! Makes room by asking which slots may go, in clock order. Never allocates after it was made.
//!
//! Invariant: a key is in at most one slot, and the map and the slots agree.

use core::hash::Hash;

use ahash::RandomState;
use hashbrown::HashMap;

/// Slots 0 to capacity - 1, each with at most one key.
#[derive(Debug)]
pub(crate) struct Table<K> {
    slots: Vec<Option<K>>,
    map: HashMap<K, u16, RandomState>,
    hand: usize,
    used: usize,
}

impl<K: Copy + Eq + Hash> Table<K> {
    /// `capacity` empty slots.
    pub(crate) fn new(capacity: u16, seed: u64) -> Self {
        let hasher = RandomState::with_seeds(seed, seed.rotate_left(21), !seed, seed ^ 0x5bd1_e995);
        Self {
            slots: vec![None; usize::from(capacity)],
            // Twice the room, so that tombstones never make the map grow.
            map: HashMap::with_capacity_and_hasher(usize::from(capacity) * 2, hasher),
            hand: 0,
            used: 0,
        }
    }

    /// The slot of `key`.
    pub(crate) fn find(&self, key: &K) -> Option<u16> {
        self.map.get(key).copied()
    }

    /// The key in `slot`.
    pub(crate) fn key(&self, slot: u16) -> Option<&K> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// Puts a key that is not in the table into a free slot, or into the next one in clock order
    /// that `may_go`. None if none of the next [`MOST_STEPS`] may, so that a flood of keys over a
    /// full table costs little each.
    pub(crate) fn insert(&mut self, key: K, may_go: impl Fn(u16) -> bool) -> Option<u16> {
        let capacity = self.slots.len();
        let full = self.used == capacity;
        let steps = capacity.min(MOST_STEPS);
        for step in 0..steps {
            let at = (self.hand + step) % capacity;
            let slot = u16::try_from(at).ok()?;
            match self.slots[at] {
                None => self.used += 1,
                Some(old) if full && may_go(slot) => {
                    self.map.remove(&old);
                }
                Some(_) => continue,
            }
            self.slots[at] = Some(key);
            self.map.insert(key, slot);
            self.hand = (at + 1) % capacity;
            return Some(slot);
        }
        self.hand = (self.hand + steps) % capacity;
        None
    }

    /// Every used slot with its key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &K)> + '_ {
        (0..).zip(&self.slots).filter_map(|(slot, key)| Some((slot, key.as_ref()?)))
    }
}

/// Slots that one insertion looks at. Slots fill in clock order and are never emptied, so a free one
/// is always the first.
const MOST_STEPS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_gives_only_slots_that_may_go() {
        let mut table = Table::new(3, 7);
        let slots: Vec<_> = (10..13).map(|k| table.insert(k, |_| false).unwrap()).collect();
        assert_eq!(table.insert(13, |_| false), None);
        assert_eq!(table.insert(13, |slot| slot == slots[1]), Some(slots[1]));
        assert_eq!(table.find(&11), None);
        assert_eq!(table.find(&13), Some(slots[1]));
        assert_eq!(table.iter().count(), 3);
    }

    #[test]
    fn an_insertion_looks_at_a_bounded_number_of_slots_and_the_next_one_goes_on_there() {
        let mut table = Table::new(600, 7);
        for key in 0..600 {
            table.insert(key, |_| false).unwrap();
        }
        let only_last = |slot| slot == 599;
        assert_eq!(table.insert(1000, only_last), None);
        assert_eq!(table.insert(1000, only_last), None);
        assert_eq!(table.insert(1000, only_last), Some(599));
    }

    #[test]
    fn many_replacements_do_not_grow_the_map() {
        let mut table = Table::new(8, 7);
        let before = table.map.capacity();
        for key in 0..10_000 {
            assert!(table.insert(key, |_| true).is_some());
        }
        assert_eq!(table.map.capacity(), before);
        assert_eq!(table.map.len(), 8);
    }
}
