//! Age of the licence, and the clock's part in it.

use std::process::Command;

use proptest::prelude::*;
use serde_json::json;
use spk_entitlement::{Reason, Verdict};

use crate::calendar::Window;
use crate::clock::ClockState;
use crate::codes::Code;
use crate::event::{Event, PeerStatement};
use crate::fixture::{NOW, claims, signed, with};
use crate::rig::Rig;
use crate::settings::{Mode, Settings};
use crate::state::{Slot, State};
use crate::step::{Notice, Output};

const DAY: u64 = 86_400;

/// Active, the JWT's end so many seconds after [`NOW`].
fn ending(order: &str, after: u64) -> Rig {
    let claims = with(with(claims(), "f5_order_type", json!(order)), "f5_sat", json!(NOW + after));
    let mut rig = Rig::with_jwt(&claims, Mode::Disconnected);
    rig.boot();
    rig.settle();
    rig.download();
    let receipt = rig.receipt(Slot::License);
    rig.feed(Event::Receipt(receipt)).unwrap();
    rig
}

/// LIC-201: 30 days for production, 7 for a trial, or the value; to the second.
#[test]
fn a_licence_expires_soon_at_its_threshold() {
    for (order, value, days) in [
        ("paid", None, 30),
        ("ela", None, 30),
        ("eval", None, 7),
        ("freemium", None, 7),
        ("eval", Some(3), 3),
        ("paid", Some(45), 45),
    ] {
        let mut rig = ending(order, 60 * DAY);
        let settings = Settings { expiring_soon_days: value, ..rig.machine.settings().clone() };
        rig.feed(Event::Settings(Box::new(settings))).unwrap();
        rig.pass((60 - days) * DAY - 1);
        assert_eq!(rig.state(Slot::License), Some(12), "{order} {value:?}");
        rig.run(1);
        assert_eq!(rig.state(Slot::License), Some(14), "{order} {value:?}");
        rig.pass((days - 1) * DAY);
        assert_eq!(rig.state(Slot::License), Some(14), "24 h are left");
        rig.run(1);
        assert_eq!(rig.state(Slot::License), Some(15));
    }
}

/// LIC-220: 14, 15 and 16 at their instants, each with its event; LIC-604, LIC-605: a trial is
/// blocked at its end, production warned.
#[test]
fn a_licence_ages_at_exact_instants() {
    for (order, end) in [("eval", Verdict::Block), ("paid", Verdict::Warn)] {
        let mut rig = ending(order, 40 * DAY);
        let soon = if order == "eval" { 7 } else { 30 };
        let ages = [
            (40 - soon, 14, Notice::LicenseExpiringSoon, Verdict::Warn, Reason::Expiring),
            (39, 15, Notice::LicenseExpiringToday, Verdict::Warn, Reason::Expiring),
            (40, 16, Notice::LicenseExpired, end, Reason::Expired),
        ];
        for (day, state, notice, verdict, reason) in ages {
            let late = u64::from(state == 15);
            rig.pass(NOW + day * DAY + late - rig.trusted() - 1);
            assert_ne!(rig.state(Slot::License), Some(state));
            assert_eq!(rig.told(notice), 0);
            rig.outputs.clear();
            rig.run(1);
            assert_eq!(rig.trusted(), NOW + day * DAY + late);
            assert_eq!(rig.state(Slot::License), Some(state));
            assert_eq!(rig.told(notice), 1);
            assert_eq!(rig.ruling().0, verdict, "{order} {state}");
            if !rig.machine.conditions(rig.now).holds(Reason::TelemetryOverdue) {
                assert_eq!(rig.ruling().1, reason);
            }
            let decay = &rig.machine.context().decay;
            let entered = [decay.soon, decay.today, decay.expired][usize::from(state - 14)];
            assert_eq!(entered, Some(rig.trusted()));
        }
        assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::Expired);
        assert!(rig.machine.is_active());
    }
}

/// LIC-562, LIC-617, LIC-618, LIC-655: a clock set back by more than an hour blocks a trial and
/// warns production, and the verdict returns with the clock within 5 s.
#[test]
fn a_clock_set_back_is_told_and_recovers() {
    for (order, verdict) in [("eval", Verdict::Block), ("paid", Verdict::Warn)] {
        for restart in [false, true] {
            let mut rig = ending(order, 200 * DAY);
            rig.run(700);
            rig.shift_wall(-3_660);
            if restart {
                rig.boot();
            } else {
                rig.run(4);
            }
            assert_eq!(rig.ruling(), (verdict, Reason::ClockRolledBack));
            let code = Some(Code::ClockRolledBack);
            assert!(rig.outputs.contains(&Output::Event { notice: Notice::LicenseError, code }));
            assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::ClockRolledBack);
            rig.shift_wall(3_660);
            rig.run(4);
            assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
            assert_eq!(rig.machine.clock_state(), ClockState::Ok);
        }
    }
}

/// LIC-563: a small step back moves no instant of expiry.
#[test]
fn a_small_step_back_does_not_move_the_end() {
    let mut rig = ending("eval", DAY);
    rig.run(700);
    rig.shift_wall(-3_540);
    rig.pass(DAY - 701);
    assert_eq!(rig.state(Slot::License), Some(15));
    rig.run(1);
    assert_eq!(rig.state(Slot::License), Some(16));
    assert_eq!(rig.told(Notice::LicenseExpired), 1);
}

/// LIC-566, LIC-619: 31 days forward while running is a warning, and the end is not reached early.
#[test]
fn a_jump_forward_reaches_no_end() {
    let mut rig = ending("eval", 20 * DAY);
    rig.run(700);
    rig.shift_wall(31 * 86_400);
    rig.run(3_600);
    assert_eq!(rig.ruling(), (Verdict::Warn, Reason::ClockJumpedForward));
    assert_eq!(rig.state(Slot::License), Some(12));
    assert_eq!(rig.machine.error(rig.now), None, "6003 is a warning");
    let facts = rig.machine.facts(rig.now, Default::default());
    assert!(facts.warnings.iter().any(|w| w.code == "clock_jumped_forward"));
    rig.feed(Event::AcceptClock).unwrap();
    rig.settle();
    rig.run(1);
    assert_eq!(rig.state(Slot::License), Some(16));
}

/// LIC-567: a clock wrong at start blocks an ended trial until it is repaired, and leaves nothing
/// behind: neither state nor mark, and no `iat`, also where peers teach it.
#[test]
fn a_wrong_clock_at_start_leaves_no_trace() {
    let mut rig = ending("eval", 10 * DAY);
    rig.run(700);
    let states = rig.states();
    rig.shift_wall(12 * 86_400);
    rig.boot();
    rig.settle();
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::Expired));
    assert_eq!(rig.machine.license_state(rig.now), State::Expired);
    let iat = rig.machine.high_water(rig.now);
    assert!(iat <= NOW + 800, "{iat}");
    rig.run(540);
    let signed = rig.machine.high_water(rig.now);
    assert!(signed <= NOW + 1_300);
    let epoch = rig.machine.epoch().unwrap();
    rig.shift_wall(-12 * 86_400);
    rig.run(4);
    assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    assert_eq!(rig.states(), states);
    rig.boot();
    rig.feed(Event::Peer(PeerStatement { epoch, seq: 9, iat: signed })).unwrap();
    rig.settle();
    assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    assert_eq!(rig.machine.context().license.state, State::VerificationComplete);
    assert_eq!(rig.told(Notice::LicenseExpired), 0);
}

/// LIC-567: the wall stepped ahead while running and undone within ten minutes: the verdict does
/// not move, and neither does anything stored.
#[test]
fn a_step_ahead_undone_leaves_the_verdict_alone() {
    for ahead in [3_600, 86_400, 29 * 86_400] {
        let mut rig = ending("eval", 20 * DAY);
        rig.run(700);
        let states = rig.states();
        rig.shift_wall(ahead);
        for _ in 0..9 {
            rig.run(60);
            assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified), "{ahead}");
        }
        rig.shift_wall(-ahead);
        rig.run(660);
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
        assert_eq!(rig.states(), states);
        rig.boot();
        assert_eq!(rig.trusted(), NOW + 700 + 540 + 660);
    }
}

/// LIC-568: only an accepted receipt with `resetClock` lowers the mark; it begins an epoch, and
/// what peers signed before does not raise the mark again.
#[test]
fn a_reset_needs_a_receipt_and_begins_an_epoch() {
    // A year ahead for a while, so that the mark is there; then the clock is right again.
    let mut rig = ending("paid", 900 * DAY);
    rig.shift_wall(365 * 86_400);
    rig.boot();
    rig.run(700);
    rig.shift_wall(-365 * 86_400);
    rig.run(4);
    assert_eq!(rig.machine.clock_state(), ClockState::RolledBack);
    let peer = PeerStatement {
        epoch: rig.machine.epoch().unwrap(),
        seq: 1,
        iat: rig.machine.high_water(rig.now),
    };
    if rig.state(Slot::Current) == Some(7) {
        rig.download();
    }
    let wall = crate::calendar::seconds(rig.now.wall);
    let reset = |value: bool| {
        let claims = with(rig.receipt_claims(Slot::Current), "iat", json!(wall));
        signed(&with(claims, "resetClock", json!(value)))
    };
    let (without, with_reset) = (reset(false), reset(true));
    let refusal = rig.feed(Event::Receipt(without)).unwrap_err();
    assert_eq!(refusal.code, Code::ReceiptStale);
    assert_eq!(rig.machine.clock_state(), ClockState::RolledBack);
    rig.feed(Event::Receipt(with_reset)).unwrap();
    assert_eq!(rig.machine.clock_state(), ClockState::Ok);
    assert_eq!(rig.machine.high_water(rig.now), wall);
    assert_eq!(rig.machine.epoch(), Some(peer.epoch + 1));
    rig.feed(Event::Peer(peer)).unwrap();
    assert_eq!(rig.machine.high_water(rig.now), wall);
    assert_eq!(rig.told(Notice::StateRolledBack), 0);
    rig.boot();
    rig.feed(Event::Peer(peer)).unwrap();
    assert!(rig.machine.high_water(rig.now) <= wall + 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// LIC-569: an expired licence stays expired under any sequence of clock changes and restarts.
    #[test]
    fn expired_stays_expired_whatever_the_clock_does(
        steps in prop::collection::vec(
            (-400 * 86_400_i64..400 * 86_400, 0..1_200_u64, 0..4_u8),
            1..16,
        ),
    ) {
        let mut rig = ending("eval", 5 * DAY);
        rig.run(700);
        rig.pass(6 * DAY);
        prop_assert_eq!(rig.state(Slot::License), Some(16));
        for (step, seconds, what) in steps {
            rig.shift_wall(step);
            match what {
                0 => rig.boot(),
                1 => rig.feed(Event::AcceptClock).map(|_| ()).unwrap(),
                2 | 3 => {}
                _ => unreachable!(),
            }
            rig.pass(seconds);
            prop_assert_eq!(rig.state(Slot::License), Some(16));
            prop_assert_eq!(rig.machine.license_state(rig.now), State::Expired);
            prop_assert_eq!(rig.ruling().0, Verdict::Block);
        }
    }
}

/// LIC-567, LIC-117: a trial for which nobody named an end is activated while the wall is a year
/// ahead since the start: its 30 days, and its window, are counted from what was confirmed.
#[test]
fn a_wall_that_is_wrong_at_an_activation_moves_no_end() {
    let trial = with(with(claims(), "f5_order_type", json!("eval")), "f5_sat", json!(null));
    let mut rig = Rig::with_jwt(&trial, Mode::Disconnected);
    rig.boot();
    rig.settle();
    rig.download();
    let receipt = rig.receipt(Slot::License);
    rig.shift_wall(365 * 86_400);
    rig.boot();
    rig.feed(Event::Receipt(receipt)).unwrap();
    assert!(rig.machine.is_active());
    assert_eq!(rig.machine.context().end(), Some(NOW + 30 * 86_400));
    assert_eq!(rig.machine.context().window, Some(Window::first(NOW)));
}

/// LIC-567, LIC-450: a wall that is a year ahead at a start and repaired soon delays no sample.
#[test]
fn a_wall_that_is_wrong_at_a_start_delays_no_sample() {
    let mut rig = Rig::active("paid");
    rig.shift_wall(365 * 86_400);
    rig.boot();
    rig.shift_wall(-365 * 86_400);
    let before = rig.machine.context().samples.open().samples;
    rig.run(3_700);
    assert_eq!(rig.machine.context().samples.open().samples, before + 1);
}

/// LIC-571: zones and daylight saving change nothing; leap seconds are not counted in UTC here.
#[test]
fn the_rules_of_time_hold_in_any_zone() {
    let program = std::env::current_exe().unwrap();
    for zone in ["UTC", "America/St_Johns", "Pacific/Kiritimati"] {
        let mut command = Command::new(&program);
        command.env("TZ", zone).args(["clock::", "calendar::", "view::status::"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{zone}: {}", String::from_utf8_lossy(&output.stdout));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("running 0 tests"), "{zone}");
    }
}
