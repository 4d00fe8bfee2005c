//! The index: from a key's hash to a session and a direction.
//!
//! Buckets of one cache line hold ten 16-bit tags, a count of keys that are at home here but lie
//! in their second bucket, and ten 32-bit entries (session and direction). A lookup reads the home
//! bucket, and the second only if that count is not 0. An insert takes the home bucket, then the
//! second, then moves one occupant of either to its other bucket. Built for at most 80 % load.
//! Does not know keys: whoever asks compares them.
//!
//! Invariant: `overflow` of a bucket equals the number of entries whose home it is and that lie
//! elsewhere. Source: performance.md §5 (Bucket).

use super::hash::Hash;

/// A session's number in its table and the direction of the key, in one word.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Entry(pub u32);

impl Entry {
    /// The entry of `session` in the direction `reply`.
    #[inline]
    pub const fn new(session: u32, reply: bool) -> Self {
        Self(session << 1 | reply as u32)
    }

    /// The session's number.
    #[inline]
    pub const fn session(self) -> u32 {
        self.0 >> 1
    }

    /// Whether the key is that of the reply direction.
    #[inline]
    pub const fn is_reply(self) -> bool {
        self.0 & 1 == 1
    }
}

/// No place could be made for a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndexFull;

/// One cache line. Words 0 to 4 hold two tags each, the low half of word 5 the overflow count, words
/// 6 to 15 the entries.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Bucket([u32; 16]);

/// Places in a bucket.
const PLACES: usize = 10;
/// Places that may be used on average: 80 %.
const LOAD: usize = 8;
/// Word of the first entry.
const ENTRIES: usize = 6;

impl Bucket {
    #[inline]
    fn tag(&self, place: usize) -> u16 {
        (self.0[place >> 1] >> ((place & 1) * 16)) as u16
    }

    #[inline]
    fn set_tag(&mut self, place: usize, tag: u16) {
        let shift = (place & 1) * 16;
        let word = &mut self.0[place >> 1];
        *word = *word & !(0xffff << shift) | u32::from(tag) << shift;
    }

    /// Keys at home here that lie in their second bucket.
    #[inline]
    pub fn overflow(&self) -> u16 {
        self.0[5] as u16
    }

    fn set_overflow(&mut self, count: u16) {
        self.0[5] = u32::from(count);
    }

    /// The entry at `place`, below ten.
    #[inline]
    pub fn entry(&self, place: u32) -> Entry {
        // The mask spares a check of the bound.
        Entry(self.0[(ENTRIES + place as usize) & 15])
    }

    fn set_entry(&mut self, place: usize, entry: Entry) {
        self.0[ENTRIES + place] = entry.0;
    }

    /// The places that hold `tag`.
    #[inline]
    pub fn matches(&self, tag: u16) -> Places {
        Places(match_tags(&self.0, tag))
    }

    /// A word to touch, so that the line is in the cache when it is needed.
    #[inline]
    pub fn touch(&self) -> u32 {
        self.0[0]
    }

    fn free_place(&self) -> Option<usize> {
        (0..PLACES).find(|place| self.tag(*place) == 0)
    }

    fn put(&mut self, place: usize, tag: u16, entry: Entry) {
        self.set_tag(place, tag);
        self.set_entry(place, entry);
    }

    fn place_of(&self, tag: u16, entry: Entry) -> Option<usize> {
        (0..PLACES).find(|place| self.tag(*place) == tag && self.entry(*place as u32) == entry)
    }
}

/// Places of a bucket, each once.
#[derive(Clone, Copy, Debug)]
pub struct Places(u32);

impl Iterator for Places {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        // Two bits stand for a place.
        self.0 &= !(3 << (bit & !1));
        Some(bit >> 1)
    }
}

/// Two bits for each of the ten places whose tag is `tag`.
#[cfg(all(target_arch = "x86_64", target_feature = "aes", target_feature = "avx2"))]
#[inline(always)]
fn match_tags(words: &[u32; 16], tag: u16) -> u32 {
    use safe_arch::{cmp_eq_mask_i16_m256i, m256i, move_mask_i8_m256i, set_splat_i16_m256i};
    let [a, b, c, d, e, f, g, h, ..] = *words;
    let tags = m256i::from([a, b, c, d, e, f, g, h]);
    let equal = cmp_eq_mask_i16_m256i(tags, set_splat_i16_m256i(tag as i16));
    move_mask_i8_m256i(equal) as u32 & 0xf_ffff
}

/// Two bits for each of the ten places whose tag is `tag`.
#[cfg(not(all(target_arch = "x86_64", target_feature = "aes", target_feature = "avx2")))]
#[inline(always)]
fn match_tags(words: &[u32; 16], tag: u16) -> u32 {
    let mut found = 0;
    for place in 0..PLACES {
        let equal = (words[place >> 1] >> ((place & 1) * 16)) as u16 == tag;
        found |= (u32::from(equal) * 3) << (place * 2);
    }
    found
}

/// The buckets.
#[derive(Debug)]
pub struct Index {
    buckets: Box<[Bucket]>,
}

impl Index {
    /// Buckets that `keys` keys need at 80 % load.
    pub const fn buckets_for(keys: usize) -> usize {
        let buckets = keys.div_ceil(LOAD);
        if buckets < 2 { 2 } else { buckets }
    }

    /// An empty index over `buckets`, all default.
    pub fn new(buckets: Box<[Bucket]>) -> Self {
        Self { buckets }
    }

    /// Bytes it takes.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    #[inline]
    fn bucket_of(&self, part: u32) -> usize {
        // Multiply-shift: any number of buckets.
        ((u64::from(part) * self.buckets.len() as u64) >> 32) as usize
    }

    /// Number of the bucket to look into first.
    #[inline]
    pub fn home(&self, hash: Hash) -> u32 {
        self.bucket_of(hash.home()) as u32
    }

    /// The bucket with a number from [`Index::home`].
    #[inline]
    pub fn bucket(&self, number: u32) -> &Bucket {
        &self.buckets[number as usize]
    }

    /// The bucket to look into when the home bucket has overflow.
    #[inline]
    pub fn second(&self, hash: Hash) -> &Bucket {
        &self.buckets[self.bucket_of(hash.second())]
    }

    /// The first entry of a key with `hash` that `is_it` accepts.
    #[inline]
    pub fn find(&self, hash: Hash, mut is_it: impl FnMut(Entry) -> bool) -> Option<Entry> {
        let home = self.bucket(self.home(hash));
        if let Some(entry) = home.matches(hash.tag()).map(|p| home.entry(p)).find(|e| is_it(*e)) {
            return Some(entry);
        }
        if home.overflow() == 0 {
            return None;
        }
        let second = self.second(hash);
        second.matches(hash.tag()).map(|p| second.entry(p)).find(|e| is_it(*e))
    }

    /// Adds a key that is not there. `hash_of` gives the hash of an entry that is.
    ///
    /// # Errors
    ///
    /// [`IndexFull`] if both buckets are full and none of their occupants can move; unchanged then.
    pub fn insert(
        &mut self,
        hash: Hash,
        entry: Entry,
        hash_of: impl Fn(Entry) -> Hash,
    ) -> Result<(), IndexFull> {
        let home = self.bucket_of(hash.home());
        let second = self.bucket_of(hash.second());
        for at in [home, second] {
            if let Some(place) = self.buckets[at].free_place() {
                self.put(at, place, home, hash.tag(), entry);
                return Ok(());
            }
        }
        for at in [home, second] {
            if let Some(place) = self.make_room(at, &hash_of) {
                self.put(at, place, home, hash.tag(), entry);
                return Ok(());
            }
        }
        Err(IndexFull)
    }

    fn put(&mut self, at: usize, place: usize, home: usize, tag: u16, entry: Entry) {
        self.buckets[at].put(place, tag, entry);
        if at != home {
            self.count_overflow(home, 1);
        }
    }

    fn count_overflow(&mut self, home: usize, by: i16) {
        let bucket = &mut self.buckets[home];
        let count = bucket.overflow().wrapping_add_signed(by);
        bucket.set_overflow(count);
    }

    /// Moves one occupant of the full bucket `at` to its other bucket and gives the freed place.
    fn make_room(&mut self, at: usize, hash_of: &impl Fn(Entry) -> Hash) -> Option<usize> {
        for place in 0..PLACES {
            let entry = self.buckets[at].entry(place as u32);
            let hash = hash_of(entry);
            let home = self.bucket_of(hash.home());
            let second = self.bucket_of(hash.second());
            let other = if at == home { second } else { home };
            if other == at {
                continue;
            }
            let Some(free) = self.buckets[other].free_place() else { continue };
            self.buckets[other].put(free, hash.tag(), entry);
            self.buckets[at].set_tag(place, 0);
            self.count_overflow(home, if other == home { -1 } else { 1 });
            return Some(place);
        }
        None
    }

    /// Removes `entry`, whose key hashes to `hash`; does nothing if it is not there.
    pub fn remove(&mut self, hash: Hash, entry: Entry) {
        let home = self.bucket_of(hash.home());
        let second = self.bucket_of(hash.second());
        if let Some(place) = self.buckets[home].place_of(hash.tag(), entry) {
            self.buckets[home].set_tag(place, 0);
        } else if let Some(place) = self.buckets[second].place_of(hash.tag(), entry) {
            self.buckets[second].set_tag(place, 0);
            self.count_overflow(home, -1);
        }
    }
}

#[cfg(test)]
mod tests;
