//! When to try the next connection.
//!
//! Owns the row of pauses and its reset. Reads no clock and draws no number: both are passed in.
//! Source: licensing.md §10.3 (LIC-724).

use std::time::Duration;

/// The pauses of one end, from its first attempt on.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: usize,
}

impl Backoff {
    /// The pause before the next attempt. `spread` moves it evenly from 20 % below the row's value
    /// (0) to 20 % above it (`u16::MAX`).
    pub fn next_pause(&mut self, spread: u16) -> Duration {
        let pause = PAUSES[self.attempts.min(PAUSES.len() - 1)];
        self.attempts = self.attempts.saturating_add(1);
        pause.mul_f64(0.8 + 0.4 * f64::from(spread) / f64::from(u16::MAX))
    }

    /// A connection ended that was good for `time`; 60 s of it start the row again.
    pub fn lost_after(&mut self, time: Duration) {
        if time >= GOOD {
            self.attempts = 0;
        }
    }
}

const PAUSES: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];

const GOOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [u64; 9] = [0, 1, 2, 4, 8, 16, 30, 30, 30];

    fn row(backoff: &mut Backoff, spread: u16) -> Vec<Duration> {
        (0..ROW.len()).map(|_| backoff.next_pause(spread)).collect()
    }

    /// LIC-724.
    #[test]
    fn pauses_follow_the_row_within_a_fifth() {
        let row_times = |factor: f64| -> Vec<Duration> {
            ROW.iter().map(|seconds| Duration::from_secs(*seconds).mul_f64(factor)).collect()
        };
        assert_eq!(row(&mut Backoff::default(), 0), row_times(0.8));
        assert_eq!(row(&mut Backoff::default(), u16::MAX), row_times(1.2));
        for spread in (0..u16::MAX).step_by(97) {
            let pauses = row(&mut Backoff::default(), spread);
            for (pause, seconds) in pauses.iter().zip(ROW) {
                let exact = Duration::from_secs(seconds);
                assert!(*pause >= exact.mul_f64(0.8) && *pause <= exact.mul_f64(1.2), "{pause:?}");
            }
        }
    }

    /// LIC-724: the reset rule.
    #[test]
    fn only_a_minute_of_good_connection_starts_the_row_again() {
        let mut backoff = Backoff::default();
        let _ = row(&mut backoff, 0);
        backoff.lost_after(Duration::from_millis(59_999));
        assert_eq!(backoff.next_pause(u16::MAX), Duration::from_secs(36));
        backoff.lost_after(Duration::from_secs(60));
        assert_eq!(backoff.next_pause(u16::MAX), Duration::ZERO);
        assert_eq!(backoff.next_pause(0), Duration::from_millis(800));
    }
}
