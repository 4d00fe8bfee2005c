//! A token bucket over a clock that others read.

use tmm_config::Nanos;

/// Allows a number of events a second, and a burst of them.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    per_second: u64,
    burst: u64,
    /// Billionths of a token.
    left: u64,
    last: Nanos,
}

impl Budget {
    /// A full bucket of `burst` events that refills with `per_second`.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Nanos) -> Self {
        let burst = u64::from(burst) * TOKEN;
        Self { per_second: u64::from(per_second), burst, left: burst, last: now }
    }

    /// Takes one event if there is one left.
    pub fn take(&mut self, now: Nanos) -> bool {
        let gained = now.since(self.last).0.saturating_mul(self.per_second);
        self.last = self.last.max(now);
        self.left = self.left.saturating_add(gained).min(self.burst);
        let allowed = self.left >= TOKEN;
        if allowed {
            self.left -= TOKEN;
        }
        allowed
    }
}

const TOKEN: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_after_the_burst_gives_the_rate_and_no_more() {
        let mut budget = Budget::new(1000, 10, Nanos(0));
        let burst = (0..100).filter(|_| budget.take(Nanos(0))).count();
        assert_eq!(burst, 10);
        let steady = (0..4000).filter(|i| budget.take(Nanos(i * 250_000))).count();
        assert_eq!(steady, 999);
    }
}
