//! The reckoning of the signer's time by our own clock.
//!
//! Owns `t_low` (licensing.md §12.2 G5, §10.3): how late it is at least at the CWC, told from the
//! `iat`s seen and the boot time that passed since. No wall clock is an input.

use tmm_config::Nanos;

/// The signer's nanoseconds since 1970 minus ours since boot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reckoning {
    offset: i128,
}

impl Reckoning {
    /// The signer's clock read `iat` seconds at `at`.
    pub fn seen(iat: u64, at: Nanos) -> Self {
        Self { offset: nanos(iat) - i128::from(at.0) }
    }

    /// `t_low` at `now`, in nanoseconds since 1970.
    pub fn low(self, now: Nanos) -> i128 {
        i128::from(now.0) + self.offset
    }

    /// The later of two reckonings.
    pub fn latest(self, other: Self) -> Self {
        Self { offset: self.offset.max(other.offset) }
    }

    /// Nanoseconds from `now` until the signer's clock reads `second`; zero if it does already.
    pub fn until(self, second: u64, now: Nanos) -> Nanos {
        Nanos(u64::try_from(nanos(second) - self.low(now)).unwrap_or(0))
    }
}

/// Nanoseconds of `seconds`.
pub(crate) fn nanos(seconds: u64) -> i128 {
    i128::from(seconds) * 1_000_000_000
}
