//! Message ids.
//!
//! A message id is also the nonce that proves an answer fresh (licensing.md §10.4), so nobody may
//! guess the next one: each is made from a secret seed of 32 random bytes that the shell passes in.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;

/// Makes message ids (UUID v4), no two alike. Its debug form does not show the seed.
pub struct MessageIds {
    seed: [u8; 32],
    count: u64,
}

impl MessageIds {
    /// Ids of `seed`: 32 bytes of a random source, used for nothing else and only once.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, count: 0 }
    }

    /// The next id.
    pub fn next_id(&mut self) -> Uuid {
        self.count += 1;
        let mut context = Context::new(&SHA256);
        context.update(&self.seed);
        context.update(&self.count.to_be_bytes());
        let digest = context.finish();
        let mut bytes = [0; 16];
        for (byte, made) in bytes.iter_mut().zip(digest.as_ref()) {
            *byte = *made;
        }
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl fmt::Debug for MessageIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageIds").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::MessageIds;

    #[test]
    fn ids_are_uuids_of_version_4_and_differ_by_count_and_seed() {
        let (mut one, mut other) = (MessageIds::new([1; 32]), MessageIds::new([2; 32]));
        let ids = [one.next_id(), one.next_id(), other.next_id(), other.next_id()];
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(id.get_version_num(), 4);
            assert!(!ids[..place].contains(id));
        }
        assert!(!format!("{one:?}").contains("1, 1"));
    }
}
