//! Connected and mediated mode, and changes between modes.

use std::time::Duration;

use serde_json::json;
use spk_entitlement::{Reason, Verdict};

use crate::codes::Code;
use crate::context::Place;
use crate::event::Event;
use crate::fixture::{signed, stranger, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::Output;
use crate::upstream::Failure;

const REFUSED: Failure =
    Failure { code: Code::UpstreamRejected, temporary: false, retry_after: None };
const AWAY: Failure =
    Failure { code: Code::UpstreamUnreachable, temporary: true, retry_after: None };

fn answer(rig: &mut Rig, slot: Slot, outcome: Result<String, Failure>) {
    let report = rig.machine.context().reports.get(slot).unwrap().id;
    rig.feed(Event::Upstream { slot, report, outcome }).unwrap();
}

/// Active in connected mode, a telemetry report on its way.
fn reporting(order: &str) -> Rig {
    let mut rig = Rig::waiting(order, Mode::Connected);
    let receipt = rig.receipt(Slot::License);
    answer(&mut rig, Slot::License, Ok(receipt));
    assert!(rig.machine.is_active());
    rig.pass(17 * 86_400);
    assert_eq!(rig.states(), [Some(12), Some(11), Some(17), None]);
    rig
}

#[test]
fn a_connected_activation_needs_no_hands() {
    for mode in [Mode::Connected, Mode::Mediated] {
        let mut rig = Rig::waiting("paid", mode);
        assert_eq!(rig.state(Slot::License), Some(11));
        let upload = rig.upload().unwrap();
        assert_eq!(Some(upload.digital_asset_id), rig.machine.digital_asset_id());
        assert_eq!(Some(&upload.jwt), rig.objects.jwt.as_ref());
        let receipt = rig.receipt(Slot::License);
        answer(&mut rig, Slot::License, Ok(receipt));
        assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
    }
}

/// §5.1: `up.tmp` keeps 11 and tries again, each time with a fresh trace id and the same report.
#[test]
fn a_temporary_failure_is_tried_again() {
    let mut rig = Rig::waiting("paid", Mode::Connected);
    let first = rig.upload().unwrap().clone();
    for wait in [1.0, 2.0, 4.0, 8.0] {
        answer(&mut rig, Slot::License, Err(AWAY));
        assert_eq!(rig.state(Slot::License), Some(11));
        let due = rig.machine.run.due.license.unwrap() - rig.now.boot;
        let wait = Duration::from_secs_f64(wait);
        assert!(due >= wait.mul_f64(0.8) && due <= wait.mul_f64(1.2), "{due:?}");
        rig.run(10);
    }
    let last = rig.upload().unwrap();
    assert_eq!((last.report, &last.text), (first.report, &first.text));
    assert_ne!(last.trace, first.trace);
    let count = rig.outputs.iter().filter(|o| matches!(o, Output::Upload(_))).count();
    assert_eq!(count, 5);
}

/// LIC-403 (the machine's side), LIC-610, LIC-611, LIC-654: a refusal, and a manifest that fails
/// A1: state 13, an attempt each hour, and recovery with a good answer.
#[test]
fn a_refusal_leads_to_13_and_hourly_attempts() {
    for (order, verdict) in [("eval", Verdict::Block), ("paid", Verdict::Warn)] {
        for bad_manifest in [false, true] {
            let mut rig = reporting(order);
            let outcome = if bad_manifest {
                Ok(stranger()
                    .sign(rig.receipt_claims(Slot::Current).to_string().as_bytes())
                    .unwrap())
            } else {
                Err(REFUSED)
            };
            answer(&mut rig, Slot::Current, outcome);
            assert_eq!(rig.state(Slot::Current), Some(13));
            assert_eq!(rig.ruling(), (verdict, Reason::UpstreamRejected));
            let code = rig.machine.error(rig.now).unwrap().code;
            let wanted =
                if bad_manifest { Code::UpstreamBadResponse } else { Code::UpstreamRejected };
            assert_eq!(code, wanted);
            rig.outputs.clear();
            rig.run(3_599);
            assert!(rig.upload().is_none());
            rig.run(1);
            assert!(rig.upload().is_some());
            assert_eq!(rig.ruling().0, verdict, "an attempt alone clears nothing");
            let receipt = rig.receipt(Slot::Current);
            answer(&mut rig, Slot::Current, Ok(receipt));
            assert_eq!(rig.state(Slot::Current), Some(12));
            assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
        }
    }
}

/// §5.1: no answer for 24 h after the first attempt is `up.rej` with `upstream_unreachable`.
#[test]
fn a_day_without_an_answer_is_a_refusal() {
    let mut rig = reporting("eval");
    let first = rig.trusted();
    answer(&mut rig, Slot::Current, Err(AWAY));
    for _ in 0..23 {
        rig.pass(3_600);
        answer(&mut rig, Slot::Current, Err(AWAY));
    }
    rig.pass(first + 86_399 - rig.trusted());
    assert_eq!(rig.state(Slot::Current), Some(11));
    rig.run(1);
    assert_eq!(rig.state(Slot::Current), Some(13));
    assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::UpstreamUnreachable);
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::UpstreamRejected));
}

/// A manifest that breaks a rule after A1 is `rcpt.bad`.
#[test]
fn a_bad_receipt_from_upstream_is_13() {
    let mut rig = reporting("eval");
    let bad = signed(&with(rig.receipt_claims(Slot::Current), "licenseJti", json!("no")));
    answer(&mut rig, Slot::Current, Ok(bad));
    assert_eq!(rig.state(Slot::Current), Some(13));
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::ReceiptWrongLicense));
}

/// Answers for a report that was replaced meanwhile mean nothing.
#[test]
fn an_answer_for_another_report_is_ignored() {
    let mut rig = reporting("paid");
    let states = rig.states();
    let report = uuid::Uuid::from_u128(1);
    let event = Event::Upstream { slot: Slot::Current, report, outcome: Err(REFUSED) };
    rig.feed(event).unwrap();
    assert_eq!(rig.states(), states);
}

/// The endpoints of the disconnected flow are refused in the other modes.
#[test]
fn reports_and_receipts_by_hand_are_refused_when_connected() {
    let mut rig = Rig::waiting("paid", Mode::Connected);
    let refusal = rig.feed(Event::Get { slot: None }).unwrap_err();
    assert_eq!(refusal.code, Code::WrongMode);
    let receipt = rig.receipt(Slot::License);
    assert_eq!(rig.feed(Event::Receipt(receipt)).unwrap_err().code, Code::WrongMode);
}

/// LIC-430: each pair of modes in each state of each slot: the state is kept, but a report in 11
/// goes back to 10 and one that waits is sent.
#[test]
fn a_change_of_mode_keeps_the_state_and_sends_or_returns_the_report() {
    let base = {
        let mut rig = Rig::active("paid");
        rig.pass(17 * 86_400);
        rig.feed(Event::Reactivate(Rig::jwt("ela", 1))).unwrap();
        rig.settle();
        let report = rig.machine.context().reports.switch.clone();
        rig.machine.context.reports.license = report;
        rig
    };
    for from in Mode::ALL {
        for to in Mode::ALL.into_iter().filter(|to| *to != from) {
            let cases = (0..17)
                .map(|n| (Slot::License, n))
                .chain((6..14).map(|n| (Slot::Current, n)))
                .chain((3..14).filter(|n| *n != 12).map(|n| (Slot::Switch, n)));
            for (slot, number) in cases {
                let mut rig = base.clone();
                rig.counts = false;
                rig.set_mode(from);
                let state = State::from_number(number).unwrap();
                let place = Some(Place::new(state, 0));
                match slot {
                    Slot::License => rig.machine.context.license = Place::new(state, 0),
                    Slot::Current => rig.machine.context.current = place,
                    Slot::Switch | Slot::Next => rig.machine.context.switch = place,
                }
                for other in [Slot::License, Slot::Current, Slot::Switch] {
                    rig.machine.run.due.put(other, None);
                    if other != slot {
                        rig.machine.context.reports.put(other, None);
                    }
                }
                rig.outputs.clear();
                rig.set_mode(to);
                let expected = match (from.sends(), to.sends(), number) {
                    (true, false, 11) => 10,
                    (false, true, 7 | 10 | 13) => 11,
                    (_, _, number) => number,
                };
                assert_eq!(rig.state(slot), Some(expected), "{from:?} {to:?} {slot:?} {number}");
                let _ = rig.feed(Event::Timer);
                let sent = rig.upload().is_some_and(|upload| upload.slot == slot);
                let wanted = match (from.sends(), to.sends(), number) {
                    (false, true, number) => matches!(number, 7 | 10 | 13),
                    // Another attempt at every change of the configuration.
                    (true, true, number) => number == 13,
                    (_, false, _) => false,
                };
                assert_eq!(sent, wanted, "{from:?} {to:?} {slot:?} {number}");
            }
        }
    }
}
