//! K1 to K10 on two simulated clocks.

use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{Clock, ClockState};
use crate::fixture::NOW;
use crate::now::Now;
use crate::rig::at;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// A clock that is observed every 4 s while both clocks run.
struct Run {
    clock: Clock,
    now: Now,
}

impl Run {
    fn start(mark: u64, wall: u64) -> Self {
        let now = at(wall);
        Self { clock: Clock::start(mark, now), now }
    }

    /// Started long ago, wall and mark agreeing.
    fn settled() -> Self {
        let mut run = Self::start(NOW, NOW);
        run.run(20 * MINUTE);
        run
    }

    fn run(&mut self, seconds: i64) {
        let mut left = u64::try_from(seconds).unwrap();
        while left > 0 {
            let stride = left.min(4);
            left -= stride;
            self.now.boot += Duration::from_secs(stride);
            self.now.wall += SignedDuration::from_secs(i64::try_from(stride).unwrap());
            self.clock.observe(self.now);
        }
    }

    fn step_wall(&mut self, seconds: i64) {
        self.now.wall += SignedDuration::from_secs(seconds);
        self.clock.observe(self.now);
    }

    fn trusted(&self) -> u64 {
        self.clock.trusted(self.now.boot)
    }

    fn mark(&self) -> u64 {
        self.clock.high_water(self.now.boot)
    }

    fn wall(&self) -> u64 {
        crate::calendar::seconds(self.now.wall)
    }

    /// The process ends and starts again at once.
    fn restart(&mut self) {
        self.clock = Clock::start(self.mark(), self.now);
    }
}

/// LIC-560: the wall, the mark (into which a receipt's and a peer's `iat` go), each ahead in turn.
#[test]
fn trusted_time_starts_from_the_latest_source() {
    assert_eq!(Run::start(NOW, NOW + 5_000).trusted(), NOW + 5_000);
    assert_eq!(Run::start(NOW + 3_000, NOW).trusted(), NOW + 3_000);
    let mut run = Run::start(NOW, NOW);
    run.clock.learn(NOW + 2_000, run.now);
    assert_eq!((run.trusted(), run.mark()), (NOW + 2_000, NOW + 2_000));
}

/// LIC-560: 60 s are followed at once, 61 s after ten minutes of agreement.
#[test]
fn a_step_of_61_s_is_followed_after_ten_minutes_only() {
    let mut run = Run::settled();
    run.step_wall(60);
    assert_eq!(run.trusted(), run.wall());
    let mut run = Run::settled();
    run.step_wall(61);
    assert_eq!(run.trusted(), run.wall() - 61);
    run.run(599);
    assert_eq!(run.trusted(), run.wall() - 61);
    run.run(1);
    assert_eq!((run.trusted(), run.mark()), (run.wall(), run.wall()));
}

/// Small steps do not add up without agreement.
#[test]
fn many_small_steps_are_one_big_one() {
    let mut run = Run::settled();
    for _ in 0..10 {
        run.step_wall(50);
    }
    assert!(run.trusted() <= run.wall() - 400, "{} of {}", run.trusted(), run.wall());
}

/// LIC-561: what the wall was ahead at start is not stored for ten minutes.
#[test]
fn a_start_40_days_ahead_is_not_stored_for_ten_minutes() {
    let ahead = 40 * 86_400;
    let mut run = Run::start(NOW, NOW + ahead);
    run.run(599);
    assert_eq!(run.mark(), NOW + 599);
    assert_eq!(run.trusted(), run.wall());
    run.run(1);
    assert_eq!(run.mark(), run.wall());
}

/// LIC-561: restarting every nine minutes does not freeze time.
#[test]
fn restarts_every_nine_minutes_let_time_advance() {
    let mut run = Run::start(NOW, NOW + 40 * 86_400);
    for _ in 0..100 {
        run.run(9 * MINUTE);
        run.restart();
    }
    assert_eq!(run.mark(), NOW + 100 * 9 * 60);
}

/// LIC-562, LIC-564: 59 minutes back is nothing, 61 minutes and a year are `clk.back`; at start.
#[test]
fn a_start_more_than_an_hour_back_is_rolled_back() {
    for (back, state) in [
        (59 * MINUTE, ClockState::Ok),
        (HOUR, ClockState::Ok),
        (61 * MINUTE, ClockState::RolledBack),
        (365 * DAY, ClockState::RolledBack),
    ] {
        let run = Run::start(NOW, NOW - u64::try_from(back).unwrap());
        assert_eq!(run.clock.state(), state, "{back}");
        assert_eq!(run.trusted(), NOW, "{back}");
    }
}

/// LIC-562, LIC-563, LIC-564, LIC-565: the same while running, and back again.
#[test]
fn a_step_back_while_running_is_judged_as_at_start() {
    for (back, state) in [
        (59 * MINUTE, ClockState::Ok),
        (61 * MINUTE, ClockState::RolledBack),
        (365 * DAY, ClockState::RolledBack),
    ] {
        let mut run = Run::settled();
        let before = run.trusted();
        run.step_wall(-back);
        run.run(100);
        assert_eq!(run.clock.state(), state, "{back}");
        assert_eq!((run.trusted(), run.mark()), (before + 100, before + 100));
        run.step_wall(back);
        assert_eq!(run.clock.state(), ClockState::Ok);
        assert_eq!(run.trusted(), run.wall());
    }
}

/// LIC-566: 31 days forward while running: trusted time follows the running time.
#[test]
fn a_jump_of_31_days_while_running_is_not_followed() {
    let mut run = Run::settled();
    run.step_wall(31 * DAY);
    assert_eq!(run.clock.state(), ClockState::JumpedForward);
    run.run(DAY);
    assert_eq!(run.clock.state(), ClockState::JumpedForward);
    assert_eq!(run.trusted(), run.wall() - 31 * 86_400);
    run.step_wall(-31 * DAY);
    assert_eq!(run.clock.state(), ClockState::Ok);
    assert_eq!(run.trusted(), run.wall());
}

/// LIC-566: `clock accept` and a receipt of the day confirm a jump; an older receipt does not.
#[test]
fn a_jump_is_confirmed_by_hand_or_by_a_receipt() {
    let mut run = Run::settled();
    run.step_wall(31 * DAY);
    run.clock.accept(run.now);
    assert_eq!((run.trusted(), run.mark()), (run.wall(), run.wall()));
    assert_eq!(run.clock.state(), ClockState::Ok);

    let mut run = Run::settled();
    run.step_wall(31 * DAY);
    run.clock.confirm(run.wall() - 2 * 86_400, run.now);
    assert_eq!(run.clock.state(), ClockState::JumpedForward);
    run.clock.confirm(run.wall() - 3_600, run.now);
    assert_eq!(run.clock.state(), ClockState::Ok);
    run.run(11 * MINUTE);
    assert_eq!((run.trusted(), run.mark()), (run.wall(), run.wall()));
}

/// LIC-567: a step that is undone within ten minutes moved nothing.
#[test]
fn a_step_ahead_undone_in_ten_minutes_leaves_no_trace() {
    for ahead in [HOUR, DAY, 29 * DAY] {
        let mut run = Run::settled();
        run.step_wall(ahead);
        for _ in 0..9 {
            run.run(MINUTE);
            assert_eq!(run.trusted(), run.wall() - u64::try_from(ahead).unwrap());
        }
        run.step_wall(-ahead);
        run.run(HOUR);
        assert_eq!((run.trusted(), run.mark()), (run.wall(), run.wall()));
    }
}

/// LIC-567: a wall wrong at start is believed for expiry, until it is repaired.
#[test]
fn a_wrong_start_repaired_in_ten_minutes_leaves_no_trace() {
    let mut run = Run::start(NOW, NOW + 20 * 86_400);
    run.run(5 * MINUTE);
    assert_eq!(run.trusted(), NOW + 20 * 86_400 + 300);
    run.step_wall(-20 * DAY);
    assert_eq!((run.trusted(), run.mark()), (NOW + 300, NOW + 300));
    run.run(HOUR);
    assert_eq!((run.trusted(), run.mark()), (run.wall(), run.wall()));
    assert_eq!(run.clock.state(), ClockState::Ok);
}

/// LIC-568: a reset lowers the mark to the receipt's time, and time goes on from there.
#[test]
fn a_reset_lowers_the_mark() {
    let mut run = Run::start(NOW + 365 * 86_400, NOW);
    assert_eq!(run.clock.state(), ClockState::RolledBack);
    run.clock.reset(NOW - 3_600, run.now);
    assert_eq!(run.clock.state(), ClockState::Ok);
    assert_eq!((run.mark(), run.trusted()), (NOW - 3_600, NOW));
    run.run(11 * MINUTE);
    assert_eq!((run.mark(), run.trusted()), (run.wall(), run.wall()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// LIC-569 (time): under any steps of the wall and restarts the mark never goes back, and it is
    /// never ahead of what was shown.
    #[test]
    fn the_mark_never_goes_back(
        steps in prop::collection::vec((-40 * DAY..40 * DAY, 0..20 * MINUTE, any::<bool>()), 1..12)
    ) {
        let mut run = Run::settled();
        let mut mark = run.mark();
        let mut highest = run.wall();
        for (step, seconds, restart) in steps {
            run.step_wall(step);
            run.run(seconds);
            if restart {
                run.restart();
            }
            highest = highest.max(run.wall()).max(mark + u64::try_from(seconds).unwrap());
            prop_assert!(run.mark() >= mark + u64::try_from(seconds).unwrap());
            prop_assert!(run.mark() <= highest);
            prop_assert!(run.trusted() >= run.mark());
            mark = run.mark();
        }
    }
}
