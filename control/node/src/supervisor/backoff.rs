//! Pauses between restarts: short after a long life, doubling after short ones.
//!
//! Source: operations.md §1.6 (OPS-177).

use std::time::Duration;

/// The next pause.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The pause after a life of `lived`: 100 ms, doubled for each life below 30 s, at most 30 s.
    pub(super) fn next(&mut self, lived: Duration) -> Duration {
        let pause = match self.last {
            Some(last) if lived < GOOD_LIFE => last.saturating_mul(2).min(LONGEST),
            Some(_) | None => SHORTEST,
        };
        self.last = Some(pause);
        pause
    }
}

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
const GOOD_LIFE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_begin_anew_after_a_good_life() {
        let mut backoff = Backoff::default();
        let short: Vec<u128> =
            (0..11).map(|_| backoff.next(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(short, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(backoff.next(Duration::from_secs(30)), SHORTEST);
        assert_eq!(backoff.next(Duration::ZERO), SHORTEST * 2);
    }
}
