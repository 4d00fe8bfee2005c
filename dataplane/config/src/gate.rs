//! The licence gate as workers see it: one word, read once per burst.
//!
//! Source: licensing.md §12.1 (LIC-800, LIC-801, LIC-805).

use crate::atomic::{AtomicU64, Ordering};

/// Nanoseconds of `CLOCK_BOOTTIME` (or of a test's own clock).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nanos(pub u64);

impl Nanos {
    /// `seconds` after zero.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// `millis` after zero.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// This instant `later` nanoseconds on, saturating.
    #[must_use]
    pub const fn plus(self, later: Self) -> Self {
        Self(self.0.saturating_add(later.0))
    }

    /// Time from `earlier` to this instant; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// What the gate says, in one word: closed, open until an instant, or latched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GateWord(u64);

impl GateWord {
    /// Nothing passes.
    pub const CLOSED: Self = Self(0);
    /// Passes for the life of the process (production).
    pub const LATCHED: Self = Self(u64::MAX);

    /// Passes before `deadline`.
    #[must_use]
    pub const fn open_until(deadline: Nanos) -> Self {
        // u64::MAX is the latch; a deadline never reaches it (584 years).
        Self(if deadline.0 == u64::MAX { u64::MAX - 1 } else { deadline.0 })
    }

    /// Whether a packet that arrives at `now` may pass. A worker applies this to its burst clock,
    /// so the gate closes at its deadline even if nobody writes the word again.
    #[must_use]
    pub const fn passes(self, now: Nanos) -> bool {
        now.0 < self.0
    }
}

/// The shared word. Closed when made (LIC-800).
#[derive(Debug, Default)]
pub struct Gate(AtomicU64);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub const fn closed() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The word now; one relaxed load (LIC-805).
    #[must_use]
    pub fn load(&self) -> GateWord {
        GateWord(self.0.load(Ordering::Relaxed))
    }

    /// Publishes `word`; each worker sees it at its next burst.
    pub fn store(&self, word: GateWord) {
        self.0.store(word.0, Ordering::Relaxed);
    }
}
