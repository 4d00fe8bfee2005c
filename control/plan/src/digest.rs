//! Digests that tell "the same" from "changed": FNV-1a over canonical JSON, never over user input
//! that could be chosen to collide for gain.

use serde::Serialize;

/// FNV-1a of `bytes` (64 bits).
pub(crate) fn bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Digest of a value's JSON.
pub(crate) fn of<T: Serialize>(value: &T) -> u64 {
    bytes(&serde_json::to_vec(value).unwrap_or_default())
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
