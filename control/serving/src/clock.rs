//! The clocks of a program.
//!
//! Pure crates are given times; only a `main` and its tasks take them from here. Source:
//! architecture.md §6 (Time).

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The wall clock, which may be set forward and back.
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// Time since the machine booted, suspension included (`CLOCK_BOOTTIME`). It never runs backwards.
#[must_use]
pub fn boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // Neither part of this clock is ever negative.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_is_the_uptime_of_the_machine() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let boot = boot().as_secs_f64();
        assert!(boot >= uptime - 0.01 && boot < uptime + 60.0, "{boot} {uptime}");
    }
}
