//! The session table of one address family: slabs, index, free slots and deadlines.
//!
//! Everything is reserved and touched when the table is made; its size never changes. A slot is
//! addressed by number; a number stays valid until the session ends. Deadlines are an array of
//! their own that packets never touch: `sweep` reads it.
//!
//! Invariant: a used slot has both its keys in the index, a free one none and no deadline.
//! Sources: architecture.md §3.1, performance.md §5.

use super::hash::{Hash, Hasher};
use super::index::{Bucket, Entry, Index};
use super::session::{Addresses, Cold, Hot, Key, flag};

/// Why a session could not be inserted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InsertError {
    /// No free slot, or no place in the index.
    Full,
    /// One of its keys is another session's.
    Taken,
}

/// The sessions of one address family.
#[derive(Debug)]
pub struct Table<A> {
    hot: Box<[Hot<A>]>,
    cold: Box<[Cold]>,
    deadlines: Box<[u16]>,
    index: Index,
    /// Slots below this were used at least once.
    used: u32,
    free: u32,
    len: u32,
    highest: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// No deadline: the slot is free.
pub const NO_DEADLINE: u16 = 0;

impl<A: Addresses> Table<A> {
    /// Bytes that a table of `sessions` takes.
    pub const fn bytes_for(sessions: u32) -> usize {
        let sessions = sessions as usize;
        sessions * (size_of::<Hot<A>>() + size_of::<Cold>() + size_of::<u16>())
            + Index::buckets_for(sessions * 2) * size_of::<Bucket>()
    }

    /// An empty table; none if the memory cannot be had.
    pub fn new(sessions: u32) -> Option<Self> {
        Some(Self {
            hot: reserve(sessions as usize)?,
            cold: reserve(sessions as usize)?,
            deadlines: reserve(sessions as usize)?,
            index: Index::new(reserve(Index::buckets_for(sessions as usize * 2))?),
            used: 0,
            free: NONE,
            len: 0,
            highest: 0,
        })
    }

    /// Sessions now.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// The most sessions there ever were at once.
    pub const fn highest(&self) -> u32 {
        self.highest
    }

    /// Sessions that fit.
    pub fn capacity(&self) -> u32 {
        self.hot.len() as u32
    }

    /// Slots that a sweep must look at.
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Bytes it takes.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.hot)
            + size_of_val(&*self.cold)
            + size_of_val(&*self.deadlines)
            + self.index.memory_bytes()
    }

    /// The index, for lookups in stages.
    #[inline]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// The hot line of `session`.
    #[inline]
    pub fn hot(&self, session: u32) -> &Hot<A> {
        &self.hot[session as usize]
    }

    /// A word of the hot line of `session` to touch, so that it is in the cache when it is needed;
    /// 0 if there is no such slot.
    #[inline]
    pub fn touch(&self, session: u32) -> u32 {
        self.hot.get(session as usize).map_or(0, |hot| hot.last_seen.0)
    }

    /// The same, to write.
    #[inline]
    pub fn hot_mut(&mut self, session: u32) -> &mut Hot<A> {
        &mut self.hot[session as usize]
    }

    /// The hot line of `session` to write, if there is such a slot.
    #[inline]
    pub fn try_hot_mut(&mut self, session: u32) -> Option<&mut Hot<A>> {
        self.hot.get_mut(session as usize)
    }

    /// The cold line of `session`.
    #[inline]
    pub fn cold(&self, session: u32) -> &Cold {
        &self.cold[session as usize]
    }

    /// Both lines of `session`, to write.
    #[inline]
    pub fn lines_mut(&mut self, session: u32) -> (&mut Hot<A>, &mut Cold) {
        (&mut self.hot[session as usize], &mut self.cold[session as usize])
    }

    /// Whether the slot holds a session.
    pub fn is_used(&self, session: u32) -> bool {
        self.hot.get(session as usize).is_some_and(|hot| hot.has(flag::USED))
    }

    /// The session and direction that `key` belongs to.
    #[inline]
    pub fn find(&self, hasher: &Hasher, key: &Key<A>) -> Option<Entry> {
        self.find_at(key.hash(hasher), key)
    }

    /// The same with the hash at hand.
    #[inline]
    pub fn find_at(&self, hash: Hash, key: &Key<A>) -> Option<Entry> {
        self.index.find(hash, |entry| self.hot[entry.session() as usize].is(entry.is_reply(), key))
    }

    /// Adds a session under both its keys and gives its slot.
    ///
    /// # Errors
    ///
    /// [`InsertError`]; the table is unchanged then.
    pub fn insert(
        &mut self,
        hasher: &Hasher,
        mut hot: Hot<A>,
        cold: Cold,
    ) -> Result<u32, InsertError> {
        let (forward, reply) = (hot.key(false), hot.key(true));
        let (forward_hash, reply_hash) = (forward.hash(hasher), reply.hash(hasher));
        if forward == reply
            || self.find_at(forward_hash, &forward).is_some()
            || self.find_at(reply_hash, &reply).is_some()
        {
            return Err(InsertError::Taken);
        }
        let session = self.take_slot().ok_or(InsertError::Full)?;
        let keys = [(forward_hash, false), (reply_hash, true)];
        hot.set(flag::USED, true);
        self.hot[session as usize] = hot;
        for (at, (hash, is_reply)) in keys.into_iter().enumerate() {
            let slabs = &self.hot;
            let placed = self.index.insert(hash, Entry::new(session, is_reply), |entry| {
                slabs[entry.session() as usize].key(entry.is_reply()).hash(hasher)
            });
            if placed.is_err() {
                if at == 1 {
                    self.index.remove(forward_hash, Entry::new(session, false));
                }
                self.give_slot(session);
                return Err(InsertError::Full);
            }
        }
        self.cold[session as usize] = cold;
        self.len += 1;
        self.highest = self.highest.max(self.len);
        Ok(session)
    }

    /// Removes `session`, which must be used.
    pub fn remove(&mut self, hasher: &Hasher, session: u32) {
        for is_reply in [false, true] {
            let hash = self.hot[session as usize].key(is_reply).hash(hasher);
            self.index.remove(hash, Entry::new(session, is_reply));
        }
        self.give_slot(session);
        self.len -= 1;
    }

    /// Moves the reply key of `session` to the VLAN `zone`; false, and the key where it was, if
    /// another session has it there or the index has no place.
    #[must_use]
    pub fn move_reply(&mut self, hasher: &Hasher, session: u32, zone: u8) -> bool {
        let old = self.hot[session as usize].key(true);
        let new = Key { zone, ..old };
        if self.find(hasher, &new).is_some() {
            return false;
        }
        let entry = Entry::new(session, true);
        self.index.remove(old.hash(hasher), entry);
        self.hot[session as usize].zone[1] = zone;
        let slabs = &self.hot;
        let hash_of =
            |entry: Entry| slabs[entry.session() as usize].key(entry.is_reply()).hash(hasher);
        let is_moved = self.index.insert(new.hash(hasher), entry, hash_of).is_ok();
        if !is_moved {
            // The old place is free again.
            self.hot[session as usize].zone[1] = old.zone;
            let slabs = &self.hot;
            let hash_of =
                |entry: Entry| slabs[entry.session() as usize].key(entry.is_reply()).hash(hasher);
            let _ = self.index.insert(old.hash(hasher), entry, hash_of);
        }
        is_moved
    }

    /// Sets when the sweep looks at `session` next: at `deadline`, in ticks modulo 65,536.
    #[inline]
    pub fn arm(&mut self, session: u32, deadline: u32) {
        let deadline = deadline as u16;
        self.deadlines[session as usize] =
            if deadline == NO_DEADLINE { deadline + 1 } else { deadline };
    }

    /// The first session in `from..to` whose deadline is not after `now`.
    pub fn due(&self, from: u32, to: u32, now: u32) -> Option<u32> {
        let now = now as u16;
        let is_due = |deadline: &u16| {
            (*deadline != NO_DEADLINE) & (now.wrapping_sub(*deadline) < DUE_WINDOW)
        };
        let mut at = from as usize;
        let range = self.deadlines.get(at..to as usize)?;
        for chunk in range.chunks(64) {
            // Without an early exit inside, so that it becomes vector compares.
            if chunk.iter().fold(false, |any, deadline| any | is_due(deadline)) {
                let within = chunk.iter().position(is_due)?;
                return Some((at + within) as u32);
            }
            at += chunk.len();
        }
        None
    }

    fn take_slot(&mut self) -> Option<u32> {
        if self.free != NONE {
            let session = self.free;
            self.free = self.cold[session as usize].next_free;
            return Some(session);
        }
        if self.used == self.capacity() {
            return None;
        }
        self.used += 1;
        Some(self.used - 1)
    }

    fn give_slot(&mut self, session: u32) {
        self.hot[session as usize] = Hot::default();
        self.cold[session as usize] = Cold { next_free: self.free, ..Cold::default() };
        self.deadlines[session as usize] = NO_DEADLINE;
        self.free = session;
    }
}

/// Half of the deadline circle: what lies less than this behind is due.
const DUE_WINDOW: u16 = 1 << 15;

/// A slab of `len` default values, touched; none if the memory cannot be had.
fn reserve<T: Clone + Default>(len: usize) -> Option<Box<[T]>> {
    let mut slab = Vec::new();
    slab.try_reserve_exact(len).ok()?;
    slab.resize(len, T::default());
    Some(slab.into_boxed_slice())
}

#[cfg(test)]
mod tests;
