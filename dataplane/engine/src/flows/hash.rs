//! The keyed hash of a packet's key.
//!
//! Four AES rounds a block under random keys that are made anew for each process, so that nobody
//! outside can compute keys that meet in one bucket (CRC and Toeplitz are linear and allow that
//! without the seed). An IPv4 key is one block, an IPv6 key three. Where the build has no AES, a
//! folded multiplication under the same keys takes its place. Not a cryptographic hash, and not
//! stable: nothing that leaves the process may depend on it.
//!
//! Source: performance.md §5 (Hash).

/// Random keys of this process; the caller draws them from the system's random source.
#[derive(Clone, Copy)]
pub struct HashKeys(pub [u128; 5]);

impl core::fmt::Debug for HashKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Who knows the keys can flood one bucket.
        f.write_str("HashKeys(..)")
    }
}

/// Where a key may lie in the index, and the tag that it carries there.
///
/// One word, so that the hit path keeps it with one store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hash(u128);

impl Hash {
    /// That of no key: no place in the index carries its tag.
    pub const NONE: Self = Self(2 << 64);

    #[inline(always)]
    const fn of(word: u128) -> Self {
        Self(word | 1 << 64)
    }

    /// Decides the home bucket.
    #[inline(always)]
    pub const fn home(self) -> u32 {
        self.0 as u32
    }

    /// Decides the second bucket.
    #[inline(always)]
    pub const fn second(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Odd, so never 0, which marks a free place.
    #[inline(always)]
    pub const fn tag(self) -> u16 {
        (self.0 >> 64) as u16
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "aes", target_feature = "avx2"))]
mod engine {
    use safe_arch::{aes_encrypt_m128i, m128i};

    use super::{Hash, HashKeys};

    /// The keys in the registers' form.
    #[derive(Clone, Copy, Debug)]
    pub struct Hasher {
        keys: [m128i; 5],
    }

    impl Hasher {
        /// Takes the process's keys.
        pub fn new(keys: &HashKeys) -> Self {
            Self { keys: keys.0.map(m128i::from) }
        }

        /// Hashes blocks of 16 bytes, each given as its two halves.
        #[inline(always)]
        pub fn hash<const BLOCKS: usize>(&self, blocks: [[u64; 2]; BLOCKS]) -> Hash {
            let [start, rounds @ ..] = self.keys;
            let mut state = start;
            for block in blocks {
                state ^= m128i::from(block);
                for key in rounds {
                    state = aes_encrypt_m128i(state, key);
                }
            }
            Hash::of(u128::from(state))
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "aes", target_feature = "avx2")))]
mod engine {
    use super::{Hash, HashKeys};

    /// The keys as they are.
    #[derive(Clone, Copy, Debug)]
    pub struct Hasher {
        keys: HashKeys,
    }

    impl Hasher {
        /// Takes the process's keys.
        pub fn new(keys: &HashKeys) -> Self {
            Self { keys: *keys }
        }

        /// Hashes blocks of 16 bytes, each given as its two halves.
        #[inline(always)]
        pub fn hash<const BLOCKS: usize>(&self, blocks: [[u64; 2]; BLOCKS]) -> Hash {
            let [start, first, second, third, fourth] = self.keys.0;
            let mut state = start;
            for [low, high] in blocks {
                let low = fold(low ^ state as u64 ^ first as u64, high ^ (first >> 64) as u64);
                let high =
                    fold(high ^ (state >> 64) as u64 ^ second as u64, low ^ (second >> 64) as u64);
                state = u128::from(low) | u128::from(high) << 64;
            }
            let low =
                fold(state as u64 ^ third as u64, (state >> 64) as u64 ^ (third >> 64) as u64);
            let high = fold(low ^ fourth as u64, (state >> 64) as u64 ^ (fourth >> 64) as u64);
            Hash::of(u128::from(low) | u128::from(high) << 64)
        }
    }

    /// Both halves of the product, folded.
    const fn fold(a: u64, b: u64) -> u64 {
        let product = (a as u128).wrapping_mul(b as u128);
        product as u64 ^ (product >> 64) as u64
    }
}

pub use engine::Hasher;
