//! How contact between CWC and Controllers is kept: periods and limits.
//!
//! Owns the numbers of licensing.md §10.3 that both ends share. Measures no time.

use tmm_config::Nanos;

/// The CWC publishes a heartbeat this often (LIC-728).
pub const HEARTBEAT_EVERY: Nanos = Nanos::from_secs(60);
/// A Controller asks this often while it has no answer that ends the asking (LIC-727).
pub const POLL_EVERY: Nanos = Nanos::from_secs(5);
/// Seconds after which `GetbackLater` asks to come again.
pub const RETRY_AFTER: u64 = 5;

/// After how many missed heartbeats contact counts as lost: 2 to 10, by default 3.
/// Value `cpclConfig.missedHeartbeats` (licensing.md §10.3, LIC-729).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MissedHeartbeats(u64);

impl MissedHeartbeats {
    /// Checks `count` and names it.
    ///
    /// # Errors
    ///
    /// [`MissedHeartbeatsError`] outside of 2 to 10.
    pub const fn new(count: u64) -> Result<Self, MissedHeartbeatsError> {
        match count {
            2..=10 => Ok(Self(count)),
            _ => Err(MissedHeartbeatsError { count }),
        }
    }

    /// Seconds that a statement lasts, and after which silence is loss: 60 for each heartbeat and
    /// 3 more; 123 to 603, by default 183.
    #[must_use]
    pub const fn ttl(self) -> u64 {
        self.0 * 60 + 3
    }
}

impl Default for MissedHeartbeats {
    fn default() -> Self {
        Self(3)
    }
}

/// A number of missed heartbeats is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("missedHeartbeats is {count}, not 2 to 10")]
pub struct MissedHeartbeatsError {
    /// What was given.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::MissedHeartbeats;

    /// LIC-729: overrides 2 and 10 are taken, 1 and 11 refused. That contact is lost at these
    /// seconds, and not before, is shown with the client.
    #[test]
    fn two_to_ten_missed_heartbeats_are_taken() {
        assert_eq!(MissedHeartbeats::default().ttl(), 183);
        assert_eq!(MissedHeartbeats::new(2).unwrap().ttl(), 123);
        assert_eq!(MissedHeartbeats::new(10).unwrap().ttl(), 603);
        assert!(MissedHeartbeats::new(1).is_err());
        assert!(MissedHeartbeats::new(11).is_err());
    }
}
