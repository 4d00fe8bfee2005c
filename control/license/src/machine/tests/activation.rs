//! From start to the first receipt.

use std::time::Duration;

use serde_json::json;
use spk_entitlement::{Class, Reason, Verdict};

use crate::calendar::Window;
use crate::codes::Code;
use crate::event::{Event, Objects};
use crate::fixture::{NOW, claims, signed, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Output, Storing};

#[test]
fn a_disconnected_activation_goes_from_0_to_12() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    assert_eq!(rig.states(), [Some(7), None, None, None]);
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::NotActivated));
    let report = rig.download();
    assert_eq!(rig.state(Slot::License), Some(10));
    assert_eq!(rig.download(), report);
    let receipt = rig.receipt(Slot::License);
    let answer = rig.feed(Event::Receipt(receipt)).unwrap();
    assert_eq!(answer, Answer::Accepted { state: State::VerificationComplete });
    assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
    assert_eq!(rig.class(), Class::Production);
    assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    let seen: Vec<u8> = rig
        .machine
        .context()
        .history
        .iter()
        .filter(|line| line.slot == Slot::License)
        .filter_map(|line| line.to.map(State::number))
        .collect();
    assert_eq!(seen, [1, 3, 4, 6, 7, 10, 11, 12]);
}

/// LIC-213 (the machine's side): the asset id is in the first record that is stored, is created
/// with it, and is never another.
#[test]
fn the_asset_id_is_stored_before_anything_else_of_it_is_seen() {
    let mut rig = Rig::with_jwt(&claims(), Mode::Disconnected);
    rig.broken = true;
    let boot = rig.machine.step(
        Event::Boot(Box::new(crate::event::Boot {
            context: crate::event::Stored::Absent,
            digital_asset_id: crate::event::Stored::Absent,
            objects: rig.objects.clone(),
        })),
        rig.now,
        &mut rig.numbers,
    );
    assert_eq!(boot.storing, Storing::First);
    let id = boot.next.digital_asset_id().unwrap();
    assert!(boot.outputs.contains(&Output::CreateAsset(id)));
    assert!(boot.next.record().unwrap().contains(&id.to_string()));
    assert_eq!(rig.machine.digital_asset_id(), None, "a step changes nothing by itself");
    rig.broken = false;
    rig.boot();
    let id = rig.asset;
    for _ in 0..3 {
        rig.settle();
        rig.boot();
        assert_eq!(rig.asset, id);
        assert_eq!(rig.machine.digital_asset_id(), id);
    }
}

/// LIC-214 (the machine's side): binding asks nothing of any network; a binding that cannot be
/// stored is state 5, and tried again after 30 s.
#[test]
fn a_binding_that_cannot_be_stored_is_state_5() {
    let mut rig = Rig::with_jwt(&claims(), Mode::Connected);
    rig.boot();
    assert_eq!(rig.state(Slot::License), Some(3));
    rig.broken = true;
    rig.settle();
    assert_eq!(rig.state(Slot::License), Some(5));
    assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::RegistrationFailed);
    assert!(rig.upload().is_none());
    rig.broken = false;
    rig.pass(29);
    assert_eq!(rig.state(Slot::License), Some(5));
    rig.pass(1);
    assert!(rig.machine.context().grant.as_ref().unwrap().bound);
    assert_eq!(rig.state(Slot::License), Some(11));
}

/// LIC-215 (the machine's side): 7 raises its event, and in connected mode the report is sent.
#[test]
fn a_report_is_announced_and_in_connected_mode_sent() {
    let rig = Rig::waiting("eval", Mode::Disconnected);
    assert_eq!(rig.told(Notice::LicenseReportReady), 1);
    assert!(rig.upload().is_none());
    let rig = Rig::waiting("eval", Mode::Connected);
    assert_eq!(rig.told(Notice::LicenseReportReady), 1);
    assert_eq!(rig.state(Slot::License), Some(11));
    let uploads = rig.outputs.iter().filter(|o| matches!(o, Output::Upload(_))).count();
    assert_eq!(uploads, 1);
    let report = rig.machine.context().reports.license.as_ref().unwrap();
    assert_eq!(rig.upload().unwrap().text, *report.text);
}

/// LIC-216: 10 is stored before the body is handed out.
#[test]
fn a_report_is_not_handed_out_before_10_is_stored() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    rig.broken = true;
    let refusal = rig.feed(Event::Get { slot: None }).unwrap_err();
    assert_eq!(refusal.code, Code::StoreUnavailable);
    assert_eq!(rig.state(Slot::License), Some(7));
    rig.broken = false;
    let step = rig.machine.step(Event::Get { slot: None }, rig.now, &mut rig.numbers);
    assert_eq!(step.storing, Storing::First);
    assert_eq!(step.next.context().license.state, State::Downloaded);
    assert!(matches!(step.answer, Ok(Answer::Report { .. })));
}

/// LIC-217 (the machine's side): the first activation, all of it at once.
#[test]
fn the_first_receipt_activates() {
    for (order, latch) in [("paid", 1), ("ela", 1), ("eval", 0), ("freemium", 0)] {
        let rig = Rig::active(order);
        let context = rig.machine.context();
        assert_eq!(context.activated, Some(NOW));
        assert_eq!(context.window, Some(Window::first(NOW)));
        assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
        let count = |wanted: &Output| rig.outputs.iter().filter(|o| *o == wanted).count();
        assert!(count(&Output::Broadcast) >= 1);
        assert_eq!(count(&Output::Latch), latch, "{order}");
        assert_eq!(rig.told(Notice::LicenseActivated), 1);
    }
}

/// LIC-221: 2, 5, 8 and 9 set the error, raise an event and block.
#[test]
fn each_failing_state_sets_its_error_and_raises_an_event() {
    let assert_failed = |rig: &Rig, state: u8, code: Code| {
        assert_eq!(rig.state(Slot::License), Some(state));
        assert_eq!(rig.machine.error(rig.now).unwrap().code, code);
        let event = Output::Event { notice: Notice::LicenseError, code: Some(code) };
        assert!(rig.outputs.contains(&event), "{state}");
        let (verdict, reason) = rig.ruling();
        assert_eq!((verdict, reason.code()), (Verdict::Block, code.code()));
    };
    let mut rig = Rig::with_jwt(&claims(), Mode::Disconnected);
    rig.objects.jwt = None;
    rig.boot();
    assert_failed(&rig, 2, Code::JwtMissing);

    let mut rig = Rig::with_jwt(&claims(), Mode::Disconnected);
    rig.boot();
    rig.broken = true;
    rig.settle();
    assert_failed(&rig, 5, Code::RegistrationFailed);

    let mut rig = Rig::with_jwt(&claims(), Mode::Disconnected);
    rig.usage = None;
    rig.boot();
    rig.settle();
    assert_failed(&rig, 8, Code::UsageUnavailable);

    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    rig.machine.context.reports.license.as_mut().unwrap().text = "x".into();
    let refusal = rig.feed(Event::Get { slot: None }).unwrap_err();
    assert_eq!(refusal.code, Code::ReportDownloadFailed);
    assert_failed(&rig, 9, Code::ReportDownloadFailed);
    rig.pass(60);
    assert_eq!(rig.state(Slot::License), Some(7), "built again after 60 s");
    assert_eq!(rig.machine.context().superseded.len(), 1, "the new one replaces it (note i)");
}

/// Note b: 8 is tried again after 30 s, doubling to 300 s.
#[test]
fn a_failed_report_is_tried_again_with_doubling_waits() {
    let mut rig = Rig::with_jwt(&claims(), Mode::Disconnected);
    rig.usage = None;
    rig.boot();
    rig.settle();
    for wait in [30, 60, 120, 240, 300, 300] {
        assert_eq!(rig.state(Slot::License), Some(8));
        let before = rig.now.boot;
        rig.counts = false;
        rig.run(wait - 1);
        assert_eq!(rig.state(Slot::License), Some(8), "{wait}");
        rig.run(1);
        assert_eq!(rig.state(Slot::License), Some(6), "{wait}");
        assert_eq!(rig.now.boot - before, Duration::from_secs(wait));
        rig.counts = true;
        let _ = rig.feed(Event::Usage(None));
    }
    rig.usage = Some(crate::rig::USAGE);
    rig.pass(300);
    assert_eq!(rig.state(Slot::License), Some(7));
}

/// LIC-222: the end falls into each of 3 to 6: on entering 7 or 8 at once 2, `jwt_expired`.
#[test]
fn an_end_passed_on_the_way_is_state_2_on_entering_7_or_8() {
    let end = with(claims(), "f5_sat", json!(NOW + 100));
    let pass = |rig: &mut Rig| {
        rig.now.boot += Duration::from_secs(101);
        rig.shift_wall(101);
    };
    let assert_expired = |rig: &Rig| {
        assert_eq!(rig.state(Slot::License), Some(2));
        assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::JwtExpired);
        let last: Vec<u8> = rig
            .machine
            .context()
            .history
            .iter()
            .rev()
            .take(2)
            .filter_map(|line| line.to.map(State::number))
            .collect();
        assert_eq!(last[0], 2);
        assert!([7, 8].contains(&last[1]), "{last:?}");
    };
    // In 3, and with it in 4, which is left within the same step.
    let mut rig = Rig::with_jwt(&end, Mode::Disconnected);
    rig.boot();
    assert_eq!(rig.state(Slot::License), Some(3));
    pass(&mut rig);
    let _ = rig.feed(Event::Timer);
    assert_expired(&rig);
    // In 5.
    let mut rig = Rig::with_jwt(&end, Mode::Disconnected);
    rig.boot();
    rig.broken = true;
    rig.settle();
    assert_eq!(rig.state(Slot::License), Some(5));
    rig.broken = false;
    pass(&mut rig);
    rig.feed(Event::Timer).unwrap();
    rig.feed(Event::Timer).unwrap();
    assert_expired(&rig);
    // In 6, to 7 and to 8.
    for usage in [Some(crate::rig::USAGE), None] {
        let mut rig = Rig::with_jwt(&end, Mode::Disconnected);
        rig.counts = false;
        rig.boot();
        rig.settle();
        assert_eq!(rig.state(Slot::License), Some(6));
        pass(&mut rig);
        rig.feed(Event::Usage(usage)).unwrap();
        assert_expired(&rig);
    }
}

/// Note e: the end passes while a report waits.
#[test]
fn an_end_before_activation_is_state_2() {
    let mut rig = Rig::with_jwt(&with(claims(), "f5_sat", json!(NOW + 100)), Mode::Disconnected);
    rig.boot();
    rig.settle();
    rig.download();
    rig.run(99);
    assert_eq!(rig.state(Slot::License), Some(10));
    rig.run(1);
    assert_eq!(rig.state(Slot::License), Some(2));
    assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::JwtExpired);
}

/// Note f: another JWT while not active starts over, and keeps the asset.
#[test]
fn another_jwt_before_activation_starts_over() {
    for download in [false, true] {
        let mut rig = Rig::waiting("paid", Mode::Disconnected);
        let asset = rig.asset;
        let first = rig.machine.context().reports.license.as_ref().unwrap().id;
        if download {
            rig.download();
        }
        rig.objects.jwt = Some(Rig::jwt("eval", 1));
        rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
        rig.settle();
        assert_eq!(rig.state(Slot::License), Some(7));
        assert_eq!(rig.asset, asset);
        let context = rig.machine.context();
        let report = context.reports.license.as_ref().unwrap();
        assert_ne!(report.id, first);
        assert_eq!(report.order_type.as_str(), "eval");
        assert_eq!(context.superseded[0].report_id, first);
        let writes = rig.writes;
        rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
        assert_eq!(rig.writes, writes, "the same objects again change nothing");
    }
}

/// Note f: `cfg` changes nothing in 11, but the JWT is not forgotten.
#[test]
fn another_jwt_in_11_counts_once_11_is_left() {
    for restart in [false, true] {
        let mut rig = Rig::waiting("paid", Mode::Connected);
        rig.objects.jwt = Some(Rig::jwt("eval", 1));
        rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
        rig.settle();
        assert_eq!(rig.state(Slot::License), Some(11));
        let report = rig.machine.context().reports.license.as_ref().unwrap().id;
        if restart {
            rig.boot();
            rig.settle();
            assert_eq!(rig.state(Slot::License), Some(11));
        }
        let failure = crate::upstream::Failure {
            code: Code::UpstreamRejected,
            temporary: false,
            retry_after: None,
        };
        let outcome = Err(failure);
        rig.feed(Event::Upstream { slot: Slot::License, report, outcome }).unwrap();
        assert_eq!(rig.state(Slot::License), Some(13));
        rig.pass(4);
        assert_eq!(rig.state(Slot::License), Some(11));
        let context = rig.machine.context();
        assert_eq!(context.grant.as_ref().unwrap().claims.order_type.as_str(), "eval");
        assert_eq!(context.superseded[0].report_id, report);
    }
}

/// A JWT that does not verify starts nothing over while a report waits.
#[test]
fn a_broken_jwt_before_activation_changes_nothing() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    let before = rig.states();
    let objects = Objects { jwt: Some("a.b.c".to_owned()), ..rig.objects.clone() };
    rig.feed(Event::Objects(Box::new(objects))).unwrap();
    rig.settle();
    assert_eq!(rig.states(), before);
}

/// In 2 every change of the objects is tried at once.
#[test]
fn in_2_the_objects_are_tried_as_soon_as_they_come() {
    let mut rig = Rig::with_jwt(&claims(), Mode::Disconnected);
    let jwks = rig.objects.jwks.take();
    rig.boot();
    assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::JwksMissing);
    rig.objects.jwks = jwks;
    rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
    rig.settle();
    assert_eq!(rig.state(Slot::License), Some(7));
}

/// LIC-225 (the machine's side): another JWT while active is ignored, and told once.
#[test]
fn another_jwt_while_active_is_ignored() {
    let mut rig = Rig::active("paid");
    let before = rig.machine.context().grant.clone();
    rig.objects.jwt = Some(Rig::jwt("ela", 1));
    for _ in 0..2 {
        rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
        assert_eq!(rig.machine.context().grant, before);
        assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
        assert_eq!(rig.told(Notice::LicenseJwtIgnored), 1);
    }
    rig.boot();
    assert_eq!(rig.told(Notice::LicenseJwtIgnored), 1, "not again at a restart");
    rig.objects.jwt = Some(signed(&with(claims(), "f5_order_type", json!("eval"))));
    rig.boot();
    assert_eq!(rig.told(Notice::LicenseJwtIgnored), 2, "changed while it was down");
}

/// LIC-126 (the machine's side): a broken set keeps the last good one.
#[test]
fn a_broken_key_set_keeps_the_last_good_one() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    rig.download();
    let receipt = rig.receipt(Slot::License);
    let objects = Objects { jwks: Some("{".to_owned()), ..rig.objects.clone() };
    rig.feed(Event::Objects(Box::new(objects))).unwrap();
    let code = Some(Code::JwksMalformed);
    assert!(rig.outputs.contains(&Output::Event { notice: Notice::LicenseWarning, code }));
    rig.feed(Event::Receipt(receipt)).unwrap();
    assert!(rig.machine.is_active());
}
