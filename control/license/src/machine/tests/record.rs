//! The record: newer, older, restored from an old copy, and at its limits.

use serde_json::json;
use spk_entitlement::{Class, Reason, Verdict};
use uuid::Uuid;

use super::super::Machine;
use super::restart::complete;
use crate::codes::Code;
use crate::context::Context;
use crate::context::record::{self, Forms, tests::NEXT_FORM};
use crate::event::{Boot, Event, PeerStatement, Stored};
use crate::fixture::{NOW, report_key, signed, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::{Notice, Output};

/// LIC-520 (pure part): a newer form is refused untouched and cannot be reset.
#[test]
fn a_newer_form_is_refused_untouched() {
    let mut rig = Rig::active("paid");
    let context = Context { form: 2, ..rig.machine.context().clone() };
    rig.stored = Some(record::write(&context, &NEXT_FORM).unwrap());
    let (stored, writes) = (rig.stored.clone(), rig.writes);
    rig.boot();
    assert_eq!(rig.machine.stopped(), Some(Code::StoreNewer));
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::StoreNewer));
    assert_eq!(rig.feed(Event::Reset).unwrap_err().code, Code::WrongState);
    assert_eq!(rig.feed(Event::ConfirmUpgrade).unwrap_err().code, Code::WrongState);
    rig.run(600);
    assert_eq!((rig.stored, rig.writes), (stored, writes));
}

/// LIC-520 (pure part): a new release writes the old form for a day of running, or until it is
/// told; the release before reads it until then.
#[test]
fn the_old_form_is_written_for_a_day_or_until_confirmed() {
    let upgraded = || {
        let mut rig = Rig::active("paid");
        rig.machine =
            Machine::with_forms(rig.machine.settings().clone(), Some(report_key()), NEXT_FORM);
        let boot = Boot {
            context: Stored::Text(rig.stored.clone().unwrap()),
            digital_asset_id: Stored::Absent,
            objects: rig.objects.clone(),
        };
        rig.feed(Event::Boot(Box::new(boot))).unwrap();
        rig
    };
    let old = |rig: &Rig| record::read(rig.stored.as_ref().unwrap(), &Forms::RELEASE).is_ok();
    let mut rig = upgraded();
    assert!(rig.machine.is_active());
    for _ in 0..23 {
        rig.pass(3_600);
    }
    rig.pass(3_540);
    assert!(old(&rig));
    rig.pass(120);
    assert!(!old(&rig));
    let mut rig = upgraded();
    assert!(old(&rig));
    rig.feed(Event::ConfirmUpgrade).unwrap();
    assert!(!old(&rig));
    assert!(record::read(rig.stored.as_ref().unwrap(), &NEXT_FORM).is_ok());
}

/// LIC-540 (pure part): an old copy after activation: epoch above the peers', the mark at theirs,
/// and receipts of before are refused unless they reset the clock.
#[test]
fn an_old_copy_is_caught_up_with_the_peers() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    rig.download();
    let backup = rig.stored.clone();
    let first = rig.receipt(Slot::License);
    rig.feed(Event::Receipt(first.clone())).unwrap();
    for _ in 0..3 {
        rig.pass(86_400);
        rig.boot();
    }
    let peers = PeerStatement {
        epoch: rig.machine.epoch().unwrap(),
        seq: 400,
        iat: rig.machine.high_water(rig.now),
    };
    rig.stored = backup;
    rig.boot();
    assert_eq!(rig.state(Slot::License), Some(10));
    rig.feed(Event::Peer(peers)).unwrap();
    assert!(rig.machine.epoch().unwrap() > peers.epoch);
    assert!(rig.machine.high_water(rig.now) >= peers.iat);
    let code = Some(Code::StateRolledBack);
    assert!(rig.outputs.contains(&Output::Event { notice: Notice::StateRolledBack, code }));
    let refusal = rig.feed(Event::Receipt(first)).unwrap_err();
    assert_eq!(refusal.code, Code::ReceiptStale);
    // Kept over a restart, told once.
    rig.boot();
    assert_eq!(rig.told(Notice::StateRolledBack), 1);
    rig.pass(60);
    let good = with(rig.receipt_claims(Slot::License), "jti", json!(Uuid::from_u128(5)));
    rig.feed(Event::Receipt(signed(&good))).unwrap();
    assert!(rig.machine.is_active());
}

/// §7.5: what peers know of the last minute before a restart is no sign of an old copy.
#[test]
fn a_mark_behind_by_a_minute_is_no_rollback() {
    let mut rig = Rig::active("paid");
    let epoch = rig.machine.epoch().unwrap();
    rig.boot();
    let peer = PeerStatement { epoch, seq: 10, iat: NOW + 59 };
    rig.feed(Event::Peer(peer)).unwrap();
    assert_eq!(rig.told(Notice::StateRolledBack), 0);
    assert_eq!(rig.machine.high_water(rig.now), NOW + 59);
    assert_eq!(rig.machine.epoch(), Some(epoch + 1));
}

/// LIC-541 (the machine's side): what is learnt never overflows the epoch.
#[test]
fn the_last_epoch_is_not_passed() {
    let mut rig = Rig::active("eval");
    let peer = PeerStatement { epoch: u64::MAX, seq: 1, iat: NOW };
    rig.feed(Event::Peer(peer)).unwrap();
    assert_eq!(rig.machine.epoch(), Some(u64::MAX));
    rig.boot();
    assert_eq!(rig.class(), Class::Trial);
}

/// LIC-502 (pure part): everything at its limit fits and is read back as it was. The projections
/// are functions of it; the cwc suite rebuilds them.
#[test]
fn a_context_at_its_limits_is_stored_and_read_back() {
    let mut rig = complete(Mode::Disconnected);
    let context = &mut rig.machine.context;
    context.reports.license = None;
    for slot in [Slot::Current, Slot::Switch] {
        let report = context.reports.get_mut(slot).unwrap();
        report.text = "r".repeat(131_072).into();
        let entry = crate::report::SupersededReport {
            report_id: Uuid::max(),
            period: report.period.into(),
        };
        report.supersedes = vec![entry; crate::report::SUPERSEDES_LIMIT];
    }
    for grant in [&mut context.grant, &mut context.pending].into_iter().flatten() {
        grant.text = "j".repeat(8_192).into();
        grant.claims.sub = "\u{1F600}".repeat(2_048);
    }
    context.receipt.as_mut().unwrap().text = "r".repeat(65_536).into();
    context.accepted = vec![Uuid::max(); crate::receipt::REMEMBERED];
    let old = crate::receipt::Superseded { report_id: Uuid::max(), by: Uuid::max() };
    context.superseded = vec![old; crate::report::SUPERSEDES_LIMIT];
    for at in 0..300 {
        context.history.push(crate::view::history::Transition {
            at: u64::MAX - at,
            slot: Slot::License,
            event: crate::trigger::Trigger::FirstActivation,
            from: Some(State::VerificationInProgress),
            to: Some(State::VerificationComplete),
            code: Some(Code::UpstreamBadResponse),
        });
    }
    for month in 0..200_u64 {
        let window = crate::calendar::Window { start: month, end: month + 1 };
        for day in 0..64 {
            context.samples.take(crate::rig::USAGE, u64::MAX / 2 + day * 86_400);
        }
        context.samples.close(window);
    }
    let text = rig.machine.record().unwrap();
    assert!(text.len() <= record::LIMIT, "{}", text.len());
    assert_eq!(&record::read(&text, &Forms::RELEASE).unwrap(), rig.machine.context());
}

/// LIC-013: what is written for debugging holds no JWT and no receipt.
#[test]
fn no_debug_form_shows_a_token() {
    let rig = complete(Mode::Disconnected);
    let context = rig.machine.context();
    let tokens: Vec<&str> = [
        context.grant.as_ref().map(|grant| grant.text.as_ref()),
        context.pending.as_ref().map(|grant| grant.text.as_ref()),
        context.receipt.as_ref().map(|receipt| receipt.text.as_ref()),
        rig.objects.jwt.as_deref(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(tokens.len(), 4);
    let boot = Boot {
        context: Stored::Text(rig.machine.record().unwrap()),
        digital_asset_id: Stored::Absent,
        objects: rig.objects.clone(),
    };
    let told = format!(
        "{:?} {boot:?} {:?} {:?}",
        rig.machine,
        Event::Receipt(tokens[2].to_owned()),
        Event::Reactivate(tokens[1].to_owned()),
    );
    for token in tokens {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!told.contains(signature));
    }
}
