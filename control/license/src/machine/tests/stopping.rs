//! When and why traffic stops if nothing is done.

use serde_json::json;
use spk_entitlement::{Reason, Verdict};

use super::super::Stops;
use crate::codes::Code;
use crate::event::Event;
use crate::fixture::{NOW, claims, signed, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::Slot;

const DAY: u64 = 86_400;
const STRIDE: u64 = 9 * DAY + 3_601;

/// Runs on without any input but time, and compares the first Block with what was said.
fn run_on(name: &str, mut rig: Rig) {
    rig.counts = false;
    rig.settle();
    let said = rig.machine.stops(rig.now);
    let blocked = rig.ruling().0 == Verdict::Block;
    let begin = rig.trusted();
    if blocked {
        let stops = said.unwrap();
        assert_eq!(stops.because, rig.ruling().1, "{name}");
        assert!(stops.at <= begin, "{name}");
        return;
    }
    match said {
        None => {
            for _ in 0..40 {
                rig.pass(20 * DAY);
                assert!(rig.ruling().0.passes(), "{name}: blocked after all");
                assert_eq!(rig.machine.stops(rig.now), None, "{name}");
            }
        }
        Some(Stops { at, because }) => {
            assert!(at > begin, "{name}");
            // On to the last second, which is the last that passes.
            while rig.trusted() + STRIDE < at {
                rig.pass(STRIDE);
                assert!(rig.ruling().0.passes(), "{name}: too early");
                let later = rig.machine.stops(rig.now);
                assert_eq!(later, Some(Stops { at, because }), "{name}: said otherwise before");
            }
            rig.pass(at - 1 - rig.trusted());
            assert!(rig.ruling().0.passes(), "{name}: a second too early");
            rig.run(1);
            assert_eq!(rig.ruling(), (Verdict::Block, because), "{name}");
            assert_eq!(rig.machine.stops(rig.now), Some(Stops { at, because }), "{name}");
        }
    }
}

/// LIC-342 (pure part): in each class and state, run on without input, Block falls at `stopsAt`
/// with `stopsBecause`, or never when there is none.
#[test]
fn traffic_stops_when_and_why_it_was_said() {
    let ending = |order: &str, after: u64, mode: Mode| {
        let claims =
            with(with(claims(), "f5_order_type", json!(order)), "f5_sat", json!(NOW + after));
        let mut rig = Rig::with_jwt(&claims, Mode::Disconnected);
        rig.boot();
        rig.settle();
        rig.download();
        let receipt = rig.receipt(Slot::License);
        rig.feed(Event::Receipt(receipt)).unwrap();
        rig.set_mode(mode);
        rig
    };
    for order in ["eval", "freemium", "paid", "ela"] {
        for mode in [Mode::Disconnected, Mode::Connected] {
            let name = |what: &str| format!("{order} {mode:?} {what}");
            run_on(&name("unactivated"), Rig::waiting(order, mode));
            let mut failed = Rig::with_jwt(&claims(), mode);
            failed.usage = None;
            failed.boot();
            run_on(&name("8"), failed);
            for after in [DAY / 2, 5 * DAY, 15 * DAY, 300 * DAY] {
                run_on(&name("active"), ending(order, after, mode));
                let mut reporting = ending(order, 100 * DAY, mode);
                reporting.pass(17 * DAY);
                run_on(&name("telemetry"), reporting.clone());
                if mode == Mode::Connected {
                    let report = reporting.machine.context().reports.current.as_ref().unwrap().id;
                    let failure = crate::upstream::Failure {
                        code: Code::UpstreamUnreachable,
                        temporary: true,
                        retry_after: None,
                    };
                    let outcome = Err(failure);
                    reporting.pass(3_600);
                    let event = Event::Upstream { slot: Slot::Current, report, outcome };
                    reporting.feed(event).unwrap();
                    run_on(&name("unreachable"), reporting);
                } else {
                    reporting.download();
                    let bad = signed(&with(
                        reporting.receipt_claims(Slot::Current),
                        "iss",
                        json!("Somebody"),
                    ));
                    reporting.feed(Event::Receipt(bad)).unwrap_err();
                    run_on(&name("13"), reporting);
                }
            }
            let mut expired = ending(order, DAY, mode);
            expired.pass(2 * DAY);
            run_on(&name("expired"), expired);
            let mut back = ending(order, 300 * DAY, mode);
            back.run(60);
            back.shift_wall(-7_200);
            back.run(4);
            run_on(&name("clock back"), back);
        }
    }
}

/// LIC-620 (the CWC's side): storing fails for 180 s: the condition stands until it works.
#[test]
fn a_store_that_fails_for_180_s_is_a_condition() {
    for (order, verdict) in [("eval", Verdict::Block), ("paid", Verdict::Warn)] {
        let mut rig = Rig::active(order);
        rig.feed(Event::StoreWorks(false)).unwrap();
        assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::StoreUnavailable);
        rig.broken = true;
        rig.run(179);
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
        rig.run(1);
        assert_eq!(rig.ruling(), (verdict, Reason::StoreUnavailable));
        rig.broken = false;
        rig.feed(Event::StoreWorks(true)).unwrap();
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    }
}
