//! The only clocks of this process: boot time for everything that acts, wall time for people.
//!
//! Invariant: a [`BurstClock`] never runs backwards and stays within 1 s of `CLOCK_BOOTTIME`,
//! suspends included (LIC-801); it costs one read of the cycle counter. The cycle counter of a
//! machine may stop or start anew while it sleeps: after each 10 ms of cycles, and when the counter
//! is behind the last look, the kernel is asked.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use tmm_config::Nanos;

/// `CLOCK_BOOTTIME`.
#[must_use]
pub fn boot() -> Nanos {
    since_boot(clock_gettime(ClockId::CLOCK_BOOTTIME))
}

/// The end of time if the clock cannot be read: every deadline has passed then, and the gate is
/// shut.
fn since_boot(read: nix::Result<TimeSpec>) -> Nanos {
    read.map_or(Nanos(u64::MAX), |time| {
        let part = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        Nanos(
            part(time.tv_sec()).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec())),
        )
    })
}

/// Milliseconds since 1970, for reports that people read.
#[must_use]
pub fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One worker's clock.
#[derive(Debug)]
pub struct BurstClock<Boot = fn() -> Nanos> {
    boot: Boot,
    now: Nanos,
    base: Nanos,
    base_cycles: u64,
    /// Nanoseconds a cycle, in 2^-32.
    scale: u64,
    /// Cycles from one look at the kernel's clock to the next: 10 ms.
    period: u64,
}

impl BurstClock {
    /// A clock that ticks with the cycle counter of `cycles_per_second`, which stands at `cycles`.
    #[must_use]
    pub fn new(cycles_per_second: u64, cycles: u64) -> Self {
        Self::over(boot, cycles_per_second, cycles)
    }
}

impl<Boot: Fn() -> Nanos> BurstClock<Boot> {
    /// The same over any source of boot time.
    fn over(boot: Boot, cycles_per_second: u64, cycles: u64) -> Self {
        let rate = cycles_per_second.max(1_000_000);
        let scale = (1_000_000_000u128 << 32) / u128::from(rate);
        let base = boot();
        Self {
            boot,
            now: base,
            base,
            base_cycles: cycles,
            scale: u64::try_from(scale).unwrap_or(u64::MAX),
            period: rate / 100,
        }
    }

    /// The time at `cycles`.
    #[inline]
    pub fn read(&mut self, cycles: u64) -> Nanos {
        let passed = cycles.wrapping_sub(self.base_cycles);
        let reckoned = if passed > self.period {
            self.base = (self.boot)();
            self.base_cycles = cycles;
            self.base
        } else {
            // passed <= 10 ms of cycles, so the product fits: 2^27 x 2^34 at 0.25 GHz and above.
            self.base.plus(Nanos((passed * self.scale) >> 32))
        };
        self.now = self.now.max(reckoned);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_clock_follows_cycles_between_looks_and_the_kernel_at_each() {
        let mut clock = BurstClock::new(2_000_000_000, 0);
        let start = clock.read(0);
        assert_eq!(clock.read(2_000_000).since(start), Nanos::from_millis(1));
        // A counter that jumps by an hour moves the clock only as far as boot time went.
        let jumped = clock.read(7_200_000_000_000);
        assert!(jumped.since(start) < Nanos::from_secs(1));
        assert!(boot().since(jumped) < Nanos::from_secs(1));
    }

    /// LIC-813 (the clock that deadlines are compared with): after a suspend, through which the cycle
    /// counter goes on, stands still or starts anew, the clock is at boot time after at most 10 ms
    /// of cycles, so a lease that ended while the machine slept passes nothing after that.
    #[test]
    fn the_burst_clock_is_at_boot_time_within_a_period_after_a_suspend() {
        const RATE: u64 = 2_000_000_000;
        const PERIOD: u64 = RATE / 100;
        let slept = Nanos::from_secs(86_400);
        let lease = tmm_config::GateWord::open_until(Nanos::from_secs(1000 + 183));
        for awake in [0, 1, PERIOD / 2, PERIOD] {
            for counter in [awake + 86_400 * RATE, awake, 0] {
                let kernel = std::cell::Cell::new(Nanos::from_secs(1000));
                let mut clock = BurstClock::over(|| kernel.get(), RATE, 0);
                assert!(lease.passes(clock.read(awake)));
                kernel.set(kernel.get().plus(slept));
                let first = clock.read(counter);
                assert!(first >= Nanos::from_secs(1000));
                kernel.set(kernel.get().plus(Nanos::from_millis(11)));
                let then = clock.read(counter + PERIOD + 1);
                assert!(kernel.get().since(then) < Nanos::from_secs(1), "{then:?}");
                assert!(!lease.passes(then));
            }
        }
    }

    #[test]
    fn a_clock_that_cannot_be_read_shuts_every_gate() {
        let gate = tmm_config::Gate::closed();
        gate.store(tmm_config::GateWord::open_until(Nanos::from_secs(1 << 32)));
        assert!(!gate.load().passes(since_boot(Err(nix::Error::EINVAL))));
        assert!(gate.load().passes(since_boot(Ok(TimeSpec::new(5, 0)))));
    }

    #[test]
    fn the_burst_clock_never_runs_backwards() {
        let mut clock = BurstClock::new(2_000_000_000, 1000);
        let mut last = clock.read(1000);
        for cycles in [5000, 10_000_000, 30_000_000, 29_000_000, u64::MAX, 1000, 0] {
            let now = clock.read(cycles);
            assert!(now >= last);
            last = now;
        }
    }
}
