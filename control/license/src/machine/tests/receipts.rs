//! Receipts: which slot they meet, and what a refusal leaves behind.

use serde_json::json;
use spk_entitlement::{Reason, Verdict};
use uuid::Uuid;

use crate::codes::Code;
use crate::event::Event;
use crate::fixture::{NOW, signed, stranger, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Output, Storing};

fn downloaded(order: &str) -> Rig {
    let mut rig = Rig::waiting(order, Mode::Disconnected);
    rig.download();
    rig
}

/// Active, with a telemetry report in 10.
fn reporting(order: &str) -> Rig {
    let mut rig = Rig::active(order);
    rig.pass(17 * 86_400);
    assert_eq!(rig.states(), [Some(12), Some(7), Some(17), None]);
    rig.download();
    rig
}

/// Note c: 11 is stored before the receipt is judged.
#[test]
fn a_receipt_passes_through_11_in_a_stored_step_of_its_own() {
    let mut rig = downloaded("paid");
    let receipt = rig.receipt(Slot::License);
    let step = rig.machine.step(Event::Receipt(receipt), rig.now, &mut rig.numbers);
    assert_eq!(step.storing, Storing::First);
    assert_eq!(step.next.context().license.state, State::VerificationInProgress);
    let judged = step.next.step(step.then.unwrap(), rig.now, &mut rig.numbers);
    assert_eq!(judged.storing, Storing::First);
    assert_eq!(judged.next.context().license.state, State::VerificationComplete);
    assert_eq!(judged.answer, Ok(Answer::Accepted { state: State::VerificationComplete }));
}

/// LIC-130, LIC-131 (the machine's side), LIC-615: what nobody known signed changes nothing but
/// what people are warned of.
#[test]
fn an_unsigned_receipt_changes_nothing() {
    for mut rig in [downloaded("eval"), reporting("eval"), reporting("paid")] {
        let slot = if rig.machine.is_active() { Slot::Current } else { Slot::License };
        let forged = stranger().sign(rig.receipt_claims(slot).to_string().as_bytes()).unwrap();
        for (text, code) in [
            ("garbage".to_owned(), Code::ReceiptMalformed),
            ("a".repeat(65_537), Code::ReceiptTooLarge),
            (forged, Code::ReceiptSignature),
        ] {
            let (states, ruling, writes) = (rig.states(), rig.ruling(), rig.writes);
            let history = rig.machine.context().history.clone();
            let refusal = rig.feed(Event::Receipt(text)).unwrap_err();
            assert_eq!(refusal.code, code);
            assert_eq!((rig.states(), rig.ruling(), rig.writes), (states, ruling, writes));
            assert_eq!(rig.machine.context().history, history);
            let facts = rig.machine.facts(rig.now, Default::default());
            assert!(facts.warnings.iter().any(|warning| warning.code == code.code()));
            let event = Output::Event { notice: Notice::LicenseWarning, code: Some(code) };
            assert!(rig.outputs.contains(&event));
        }
        rig.download();
    }
}

/// LIC-219 (the machine's side), LIC-612, LIC-613, LIC-652: 13 sets the error, raises an event and
/// keeps the report; until a good receipt comes, a trial is blocked, whatever is downloaded.
#[test]
fn a_bad_receipt_leads_to_13_until_a_good_one_comes() {
    for (order, verdict) in [("eval", Verdict::Block), ("paid", Verdict::Warn)] {
        let mut rig = reporting(order);
        let bad =
            signed(&with(rig.receipt_claims(Slot::Current), "digitalAssetID", json!(Uuid::nil())));
        let refusal = rig.feed(Event::Receipt(bad)).unwrap_err();
        assert_eq!(refusal.code, Code::ReceiptWrongAsset);
        assert_eq!(rig.state(Slot::Current), Some(13));
        let code = Some(Code::ReceiptWrongAsset);
        let event = Output::Event { notice: Notice::LicenseVerificationFailed, code };
        assert!(rig.outputs.contains(&event));
        assert_eq!(rig.machine.error(rig.now).map(|fault| fault.code), code);
        assert_eq!(rig.ruling(), (verdict, Reason::ReceiptWrongAsset));
        rig.download();
        assert_eq!(rig.state(Slot::Current), Some(10));
        assert_eq!(rig.ruling(), (verdict, Reason::ReceiptWrongAsset), "{order}");
        let good = rig.receipt(Slot::Current);
        rig.feed(Event::Receipt(good)).unwrap();
        assert_eq!(rig.state(Slot::Current), Some(12));
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
        assert_eq!(rig.machine.error(rig.now), None);
    }
}

/// LIC-132, LIC-133, LIC-136, LIC-137, LIC-138, LIC-139 (the states; the rules themselves are in
/// `receipt`): each leads to 13 before activation as well.
#[test]
fn each_rule_with_state_13_leads_there() {
    let cases = [
        ("iss", json!("Somebody"), Code::ReceiptIssuer),
        ("digitalAssetID", json!(Uuid::nil()), Code::ReceiptWrongAsset),
        ("reportSha256", json!("AAAA"), Code::ReceiptWrongReport),
        ("reportID", json!(Uuid::nil()), Code::ReceiptWrongReport),
        ("licenseJti", json!(Uuid::nil()), Code::ReceiptWrongLicense),
        ("iat", json!(NOW - 86_401), Code::ReceiptStale),
        ("iat", json!(NOW + 86_401), Code::ReceiptStale),
        ("ack", json!("local"), Code::ReceiptClaims),
    ];
    for (member, value, code) in cases {
        let mut rig = downloaded("paid");
        let bad = signed(&with(rig.receipt_claims(Slot::License), member, value));
        let refusal = rig.feed(Event::Receipt(bad)).unwrap_err();
        assert_eq!(refusal.code, code, "{member}");
        assert_eq!(rig.state(Slot::License), Some(13), "{member}");
        assert!(!rig.machine.is_active());
        let good = rig.receipt(Slot::License);
        rig.feed(Event::Receipt(good)).unwrap();
        assert_eq!(rig.state(Slot::License), Some(12), "{member}");
    }
}

/// LIC-134 (the machine's side), LIC-614: the same receipt again is refused and changes nothing.
#[test]
fn a_replayed_receipt_is_refused_and_changes_nothing() {
    let mut rig = downloaded("eval");
    let receipt = rig.receipt(Slot::License);
    rig.feed(Event::Receipt(receipt.clone())).unwrap();
    let (states, writes, stored) = (rig.states(), rig.writes, rig.stored.clone());
    for _ in 0..3 {
        let refusal = rig.feed(Event::Receipt(receipt.clone())).unwrap_err();
        assert_eq!(refusal.code, Code::ReceiptReplayed);
        assert_eq!((rig.states(), rig.writes), (states, writes));
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    }
    assert_eq!(rig.stored, stored);
    rig.boot();
    let refusal = rig.feed(Event::Receipt(receipt)).unwrap_err();
    assert_eq!(refusal.code, Code::ReceiptReplayed, "also after a restart");
}

/// LIC-135 (the machine's side), LIC-614: the receipt of a month that was rolled up names the
/// report to send.
#[test]
fn the_receipt_of_a_superseded_report_names_the_new_one() {
    let mut rig = reporting("eval");
    let old = rig.receipt(Slot::Current);
    rig.pass(31 * 86_400);
    assert_eq!(rig.state(Slot::Current), Some(7));
    let report = rig.machine.context().reports.current.as_ref().unwrap().id;
    for _ in 0..2 {
        let (states, ruling) = (rig.states(), rig.ruling());
        let refusal = rig.feed(Event::Receipt(old.clone())).unwrap_err();
        assert_eq!(refusal.code, Code::ReceiptSuperseded);
        assert_eq!(refusal.report, Some(report));
        assert_eq!((rig.states(), rig.ruling()), (states, ruling));
        rig.download();
    }
}

/// LIC-136 (the machine's side): a receipt for a report that was never downloaded is 405.
#[test]
fn a_receipt_before_the_download_is_refused() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    let receipt = rig.receipt(Slot::License);
    let refusal = rig.feed(Event::Receipt(receipt)).unwrap_err();
    assert_eq!((refusal.code, rig.state(Slot::License)), (Code::WrongState, Some(7)));
}

/// LIC-138 (the machine's side): below the last accepted receipt's `iat`.
#[test]
fn a_receipt_older_than_the_last_one_is_stale() {
    let mut rig = reporting("paid");
    let last = rig.machine.context().receipt.as_ref().unwrap().iat;
    let old = with(rig.receipt_claims(Slot::Current), "resetClock", json!(true));
    let refusal = rig.feed(Event::Receipt(signed(&with(old, "iat", json!(last - 1))))).unwrap_err();
    assert_eq!(refusal.code, Code::ReceiptStale);
}

/// LIC-139: `ack: local` under a known key is A9, under another key A1.
#[test]
fn a_local_acknowledgement_is_refused() {
    let mut rig = downloaded("paid");
    let local = with(rig.receipt_claims(Slot::License), "ack", json!("local"));
    let foreign = stranger().sign(local.to_string().as_bytes()).unwrap();
    let refusal = rig.feed(Event::Receipt(foreign)).unwrap_err();
    assert_eq!((refusal.code, rig.state(Slot::License)), (Code::ReceiptSignature, Some(10)));
    let refusal = rig.feed(Event::Receipt(signed(&local))).unwrap_err();
    assert_eq!((refusal.code, rig.state(Slot::License)), (Code::ReceiptClaims, Some(13)));
}

/// LIC-241: which report `GET /report` hands out, over all combinations of waiting slots, without
/// and with `slot=`; and a receipt finds its slot by the report it names.
#[test]
fn the_first_of_l_s_r_that_offers_a_report_is_served() {
    let base = {
        let mut rig = reporting("paid");
        rig.feed(Event::Reactivate(Rig::jwt("ela", 1))).unwrap();
        rig.settle();
        assert_eq!(rig.states(), [Some(12), Some(10), Some(17), Some(7)]);
        let context = &mut rig.machine.context;
        let mut report = context.reports.switch.clone().unwrap();
        report.id = Uuid::from_u128(77);
        context.reports.license = Some(report);
        rig
    };
    let offered = [7, 9, 10, 13].map(|number| State::from_number(number).unwrap());
    let states: Vec<State> = State::ALL.into_iter().filter(|state| state.number() <= 16).collect();
    for license in &states {
        for switch in states.iter().filter(|state| (3..=13).contains(&state.number())) {
            for current in states.iter().filter(|state| (6..=13).contains(&state.number())) {
                let mut machine = base.machine.clone();
                machine.context.license.state = *license;
                machine.context.switch.as_mut().unwrap().state = *switch;
                machine.context.current.as_mut().unwrap().state = *current;
                let first =
                    [(license, Slot::License), (switch, Slot::Switch), (current, Slot::Current)]
                        .into_iter()
                        .find(|(state, _)| offered.contains(state))
                        .map(|(_, slot)| slot);
                assert_eq!(machine.offering(None), first);
                let only = |state, slot| offered.contains(state).then_some(slot);
                assert_eq!(machine.offering(Some(Slot::Current)), only(current, Slot::Current));
                assert_eq!(machine.offering(Some(Slot::Switch)), only(switch, Slot::Switch));
            }
        }
    }
    // The whole way, for both that wait here.
    let mut rig = base;
    rig.machine.context.reports.license = None;
    let text = |rig: &Rig, slot| rig.machine.context().reports.get(slot).unwrap().text.to_string();
    let (switch, current) = (text(&rig, Slot::Switch), text(&rig, Slot::Current));
    assert_eq!(rig.download(), switch);
    for (slot, wanted) in [(Slot::Current, current), (Slot::Switch, switch)] {
        let answer = rig.feed(Event::Get { slot: Some(slot) }).unwrap();
        assert_eq!(answer, Answer::Report { text: wanted });
    }
    let receipt = rig.receipt(Slot::Current);
    rig.feed(Event::Receipt(receipt)).unwrap();
    assert_eq!(rig.states(), [Some(12), Some(12), Some(17), Some(10)]);
    let receipt = rig.receipt(Slot::Switch);
    rig.feed(Event::Receipt(receipt)).unwrap();
    assert_eq!(rig.states(), [Some(12), Some(12), Some(17), None]);
}

/// LIC-512 (P3, note c): a receipt whose acceptance cannot be stored leaves the report as it was, to
/// be downloaded and acknowledged again.
#[test]
fn a_receipt_that_cannot_be_stored_gives_its_report_back() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    let report = rig.download();
    let receipt = rig.receipt(Slot::License);
    let step = rig.machine.step(Event::Receipt(receipt.clone()), rig.now, &mut rig.numbers);
    rig.machine = step.next;
    assert_eq!(rig.state(Slot::License), Some(11));
    rig.broken = true;
    assert_eq!(rig.feed(step.then.unwrap()).unwrap_err().code, Code::StoreUnavailable);
    rig.pass(4);
    rig.broken = false;
    rig.pass(4);
    assert_eq!(rig.state(Slot::License), Some(10));
    assert_eq!(rig.download(), report);
    rig.feed(Event::Receipt(receipt)).unwrap();
    assert!(rig.machine.is_active());
}
