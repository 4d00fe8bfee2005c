//! What the shell knows about time and chance at one instant.
//!
//! The only way either gets into this crate. Reads nothing itself.
//!
//! Source: licensing.md §8 K11, LIC-570; architecture.md ("Time").

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

/// One reading of both clocks, made by a `main` and nowhere else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// The wall clock, UTC. May jump either way.
    pub wall: Timestamp,
    /// CLOCK_BOOTTIME: time since the machine started, suspends included. Never goes back while
    /// the process runs; means nothing across restarts of the process.
    pub boot: Duration,
}

/// Fresh randomness, one value at a time.
pub trait Entropy {
    /// A random UUID (version 4).
    fn uuid(&mut self) -> Uuid;
    /// 64 random bits, for the jitter of retries.
    fn word(&mut self) -> u64;
}
