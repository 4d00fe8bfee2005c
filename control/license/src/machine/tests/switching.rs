//! Switching to another licence.

use proptest::prelude::*;
use serde_json::json;
use spk_entitlement::Class;

use super::super::allowed;
use crate::codes::Code;
use crate::event::Event;
use crate::fixture::{signed, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::Slot;
use crate::step::{Answer, Notice, Output};
use crate::token::OrderType;

/// LIC-242: all 16 pairs of order types, and the licence in force again.
#[test]
fn each_pair_of_order_types_is_allowed_or_refused() {
    for old in OrderType::ALL {
        for new in OrderType::ALL {
            let mut rig = Rig::active(old.as_str());
            let answer = rig.feed(Event::Reactivate(Rig::jwt(new.as_str(), 1)));
            assert_eq!(allowed(old, new), new.class() == Class::Production);
            if new.class() == Class::Production {
                let state = crate::state::State::RegistrationInProgress;
                assert_eq!(answer, Ok(Answer::Switching { state }), "{old} to {new}");
                assert_eq!(rig.state(Slot::Switch), Some(3));
            } else {
                let refusal = answer.unwrap_err();
                assert_eq!(refusal.code, Code::SwitchNotAllowed);
                assert!(refusal.text.contains(&format!("{old} to {new}")), "{}", refusal.text);
                assert_eq!(rig.state(Slot::Switch), None);
            }
        }
        let mut rig = Rig::active(old.as_str());
        let refusal = rig.feed(Event::Reactivate(Rig::jwt(old.as_str(), 0))).unwrap_err();
        assert_eq!(refusal.code, Code::SwitchSameLicense);
    }
}

/// R4: 0 to 11 and 13 refuse a new JWT; 12, 14, 15 and 16 take it.
#[test]
fn only_an_active_licence_is_switched() {
    let rig = Rig::active("eval");
    for number in 0..17 {
        let mut rig = rig.clone();
        rig.machine.context.license.state = crate::state::State::from_number(number).unwrap();
        let answer = rig.feed(Event::Reactivate(Rig::jwt("paid", 1)));
        match number {
            12 | 14..=16 => assert!(answer.is_ok(), "{number}"),
            _ => assert_eq!(answer.unwrap_err().code, Code::WrongState, "{number}"),
        }
    }
}

/// LIC-321, LIC-322 (the machine's side): a refused JWT leaves no trace in what is stored.
#[test]
fn a_refused_jwt_leaves_no_trace() {
    let mut rig = Rig::active("paid");
    for (text, code) in [
        ("garbage".to_owned(), Code::JwtMalformed),
        (Rig::jwt("eval", 1), Code::SwitchNotAllowed),
        (crate::fixture::stranger().sign(b"{}").unwrap(), Code::JwtSignature),
    ] {
        let (writes, context) = (rig.writes, rig.machine.context().clone());
        let refusal = rig.feed(Event::Reactivate(text.clone())).unwrap_err();
        assert_eq!(refusal.code, code);
        assert_eq!((rig.writes, rig.machine.context()), (writes, &context));
        assert!(!refusal.to_string().contains(&text));
        let facts = rig.machine.facts(rig.now, Default::default());
        assert_eq!(facts.warnings.last().unwrap().code, code.code());
    }
}

#[test]
fn a_switch_is_complete_with_its_receipt() {
    let mut rig = Rig::active("eval");
    rig.feed(Event::Reactivate(Rig::jwt("paid", 1))).unwrap();
    rig.settle();
    assert_eq!(rig.state(Slot::Switch), Some(7));
    rig.download();
    assert_eq!(rig.class(), Class::Trial);
    let receipt = rig.receipt(Slot::Switch);
    rig.outputs.clear();
    rig.feed(Event::Receipt(receipt)).unwrap();
    assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
    assert_eq!(rig.class(), Class::Production);
    assert_eq!(rig.told(Notice::LicenseSwitched), 1);
    assert!(rig.outputs.contains(&Output::Broadcast));
    assert!(rig.outputs.contains(&Output::Latch));
    let context = rig.machine.context();
    assert_eq!(context.pending, None);
    assert_eq!(&*context.grant.as_ref().unwrap().text, Rig::jwt("paid", 1));
}

/// §3.6: a second JWT replaces the first, but not while its receipt is checked.
#[test]
fn a_switch_can_be_replaced_and_abandoned_but_not_in_11() {
    let mut rig = Rig::active("paid");
    assert_eq!(rig.feed(Event::Abandon).unwrap_err().code, Code::NotFound);
    rig.feed(Event::Reactivate(Rig::jwt("ela", 1))).unwrap();
    rig.settle();
    let first = rig.machine.context().reports.switch.as_ref().unwrap().id;
    rig.feed(Event::Reactivate(Rig::jwt("ela", 2))).unwrap();
    rig.settle();
    let context = rig.machine.context();
    assert_eq!(context.superseded.last().unwrap().report_id, first);
    assert_eq!(rig.feed(Event::Abandon), Ok(Answer::Done));
    assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
    assert!(rig.machine.context().pending.is_none());

    let mut rig = Rig::active("paid");
    rig.set_mode(Mode::Connected);
    rig.feed(Event::Reactivate(Rig::jwt("ela", 1))).unwrap();
    rig.settle();
    assert_eq!(rig.state(Slot::Switch), Some(11));
    assert_eq!(rig.feed(Event::Abandon).unwrap_err().code, Code::WrongState);
    let again = rig.feed(Event::Reactivate(Rig::jwt("ela", 2)));
    assert_eq!(again.unwrap_err().code, Code::WrongState);
    assert_eq!(rig.state(Slot::Switch), Some(11));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// LIC-240, LIC-621: on every path of a switch, failures among them, licence, class, end and
    /// verdict stay as they were until it is complete.
    #[test]
    fn the_running_licence_is_untouched_until_the_switch_is_complete(
        trial in any::<bool>(),
        connected in any::<bool>(),
        steps in prop::collection::vec(0_u8..11, 1..14),
    ) {
        let mut rig = Rig::active(if trial { "eval" } else { "paid" });
        if connected {
            rig.set_mode(Mode::Connected);
        }
        let grant = rig.machine.context().grant.clone();
        let (class, end, verdict) = (rig.class(), rig.machine.context().end(), rig.ruling().0);
        rig.counts = false;
        for step in steps {
            let report = rig.machine.context().reports.switch.as_ref().map(|report| report.id);
            let upstream = |report, outcome| Event::Upstream { slot: Slot::Switch, report, outcome };
            let event = match (step, report) {
                (0, _) => Event::Reactivate(Rig::jwt("ela", u128::from(step) + 1)),
                (1, _) => Event::Reactivate(Rig::jwt("paid", 9)),
                (2, _) => Event::Usage(None),
                (3, _) => Event::Usage(Some(crate::rig::USAGE)),
                (4, _) => Event::Get { slot: Some(Slot::Switch) },
                (5, Some(_)) => Event::Receipt(signed(&with(
                    rig.receipt_claims(Slot::Switch), "digitalAssetID", json!("no"),
                ))),
                (6, Some(report)) => upstream(report, Err(crate::upstream::Failure {
                    code: Code::UpstreamRejected, temporary: false, retry_after: None,
                })),
                (7, _) => Event::NotBound,
                (8, _) => Event::Abandon,
                (9, _) => { rig.boot(); continue }
                _ => { rig.pass(61); continue }
            };
            let _ = rig.feed(event);
            prop_assert_eq!(&rig.machine.context().grant, &grant);
            prop_assert_eq!(rig.state(Slot::License), Some(12));
            prop_assert_eq!((rig.class(), rig.machine.context().end()), (class, end));
            prop_assert_eq!(rig.ruling().0, verdict);
        }
    }
}
