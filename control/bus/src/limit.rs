//! At most one log line a minute.
//!
//! Reads no clock. Source: licensing.md §10.3 (LIC-721, LIC-726).

use tokio::time::{Duration, Instant};

/// Lets one line of its kind through, then none for a minute; counts those it held back.
#[derive(Debug, Default)]
pub struct Limit {
    last: Option<Instant>,
    held_back: u64,
}

impl Limit {
    /// Whether a line may be written at `now`; then with how many were held back since the last.
    pub fn allow(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now - last < EVERY) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// LIC-721, LIC-726: the limit.
    #[test]
    fn one_line_a_minute_says_how_many_were_held_back() {
        let start = Instant::now();
        let mut limit = Limit::default();
        assert_eq!(limit.allow(start), Some(0));
        for second in 0..60 {
            assert_eq!(limit.allow(start + Duration::from_secs(second)), None);
        }
        assert_eq!(limit.allow(start + Duration::from_secs(60)), Some(60));
        assert_eq!(limit.allow(start + Duration::from_secs(119)), None);
        assert_eq!(limit.allow(start + Duration::from_secs(120)), Some(1));
    }
}
