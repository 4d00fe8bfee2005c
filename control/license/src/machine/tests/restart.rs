//! Starts from stored, lost, damaged, old and newer state; crashes at every write.

use serde_json::json;
use spk_entitlement::{Reason, Verdict};
use spk_jose::RsaSigningKey;
use uuid::Uuid;

use crate::codes::Code;
use crate::context::Place;
use crate::context::record::{self, Forms};
use crate::event::{Boot, Event, PeerStatement, Stored};
use crate::fixture::{NOW, claims, signed, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Output, Storing};

/// A stored machine with every slot's data at hand, to be put into any state.
pub fn complete(mode: Mode) -> Rig {
    let mut rig = Rig::active("paid");
    rig.pass(17 * 86_400);
    rig.feed(Event::Reactivate(Rig::jwt("ela", 1))).unwrap();
    rig.settle();
    let context = &mut rig.machine.context;
    let mut report = context.reports.switch.clone().unwrap();
    report.id = Uuid::from_u128(77);
    context.reports.license = Some(report);
    rig.set_mode(mode);
    rig
}

fn store(rig: &mut Rig) {
    rig.stored = Some(rig.machine.record().unwrap());
}

/// LIC-226: every state of every slot, stored and started again: the state of note g, and the same
/// asset.
#[test]
fn a_start_restores_every_state() {
    for mode in [Mode::Disconnected, Mode::Connected] {
        let base = complete(mode);
        let asset = base.machine.digital_asset_id();
        // 1, 2 and 4 step on, at a start as ever; 0 is initialised.
        let restored = |slot, number| match number {
            0 | 1 if slot == Slot::License => 3,
            4 => 6,
            11 if !mode.sends() => 10,
            other => other,
        };
        let mut cases: Vec<(Slot, u8)> = (0..17).map(|number| (Slot::License, number)).collect();
        cases.extend((6..14).map(|number| (Slot::Current, number)));
        cases.extend([17, 18].map(|number| (Slot::Next, number)));
        cases.extend((3..14).filter(|n| *n != 12).map(|number| (Slot::Switch, number)));
        for (slot, number) in cases {
            let mut rig = base.clone();
            rig.counts = false;
            let state = State::from_number(number).unwrap();
            let place = Some(Place::new(state, NOW));
            let context = &mut rig.machine.context;
            match slot {
                Slot::License => context.license = Place::new(state, NOW),
                Slot::Current => context.current = place,
                Slot::Next => context.next = place,
                Slot::Switch => context.switch = place,
            }
            store(&mut rig);
            rig.boot();
            assert_eq!(rig.state(slot), Some(restored(slot, number)), "{slot:?} {number} {mode:?}");
            assert_eq!(rig.machine.digital_asset_id(), asset);
            assert_eq!(rig.asset, asset);
            assert!(rig.machine.epoch() > base.machine.epoch());
        }
    }
}

/// LIC-226 (note g): in connected mode 11 sends the same report again.
#[test]
fn a_report_in_11_is_sent_again_after_a_restart() {
    let mut rig = Rig::waiting("paid", Mode::Connected);
    let first = rig.upload().unwrap().clone();
    rig.outputs.clear();
    rig.boot();
    rig.settle();
    let again = rig.upload().unwrap();
    assert_eq!((again.report, &again.text), (first.report, &first.text));
    assert_ne!(again.trace, first.trace);
}

/// LIC-127: the key that signed the stored JWT is gone at a start: production warns, a trial is
/// blocked, an unactivated one is in state 2; and all recover when it returns.
#[test]
fn a_vanished_key_is_judged_by_class_at_a_start() {
    let other = RsaSigningKey::generate("v2", spk_jose::RsaKeySize::Bits2048).unwrap();
    let jwks = RsaSigningKey::key_set([&other]);
    for (order, active, verdict) in [
        ("paid", true, Verdict::Warn),
        ("eval", true, Verdict::Block),
        ("eval", false, Verdict::Block),
    ] {
        let mut rig =
            if active { Rig::active(order) } else { Rig::waiting(order, Mode::Disconnected) };
        let (ruling, state) = (rig.ruling(), rig.state(Slot::License));
        let good = rig.objects.jwks.replace(jwks.clone());
        rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
        assert_eq!(rig.ruling().0, ruling.0, "LIC-622: no effect before a restart");
        rig.boot();
        let error = rig.machine.error(rig.now).unwrap().code;
        if active {
            assert_eq!(rig.state(Slot::License), state);
            assert_eq!(
                (rig.ruling(), error),
                ((verdict, Reason::JwksKidMissing), Code::JwksKidMissing)
            );
        } else {
            assert_eq!(rig.state(Slot::License), Some(2));
            assert!([Code::JwksKidMissing, Code::JwtUnknownKey].contains(&error), "{error:?}");
        }
        rig.objects.jwks = good;
        if active {
            rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
            assert_eq!(rig.ruling(), ruling, "without another start");
        }
        rig.boot();
        rig.settle();
        if active {
            assert_eq!(rig.ruling(), ruling);
        } else {
            assert_eq!(rig.state(Slot::License), Some(7));
        }
    }
}

/// LIC-510: no answer, publication or upload before the state is stored; a failed write undoes the
/// step as a whole (LIC-512).
#[test]
fn nothing_is_put_out_unless_the_state_was_stored() {
    let harmless = |output: &Output| {
        matches!(output, Output::Count { .. } | Output::CountUsage | Output::Event { .. })
    };
    // Two whole lives, each event fed once to a shell whose store fails, then to one whose works.
    for mode in [Mode::Disconnected, Mode::Connected] {
        let mut rig = Rig::with_jwt(&with(claims(), "f5_order_type", json!("eval")), mode);
        let mut seen = 0;
        let feed = |rig: &mut Rig, event: Event| {
            let step = rig.machine.step(event.clone(), rig.now, &mut rig.numbers.clone());
            let (old, new) = (rig.machine.context(), step.next.context());
            if step.storing != Storing::First {
                assert!(step.outputs.iter().all(harmless), "{event:?}: {:?}", step.outputs);
                assert_eq!(old.license, new.license);
                assert_eq!(
                    (&old.current, &old.next, &old.switch),
                    (&new.current, &new.next, &new.switch)
                );
                assert_eq!(old.accepted, new.accepted);
            } else {
                let before = rig.machine.record().unwrap();
                let mut failing = rig.clone();
                failing.broken = true;
                failing.outputs.clear();
                if step.instead.is_none() {
                    let answer = failing.feed(event.clone());
                    assert_eq!(answer.unwrap_err().code, Code::StoreUnavailable);
                    assert!(failing.outputs.is_empty());
                    assert_eq!(failing.machine.record().unwrap(), before);
                }
            }
            let _ = rig.feed(event);
            1
        };
        let boot = Event::Boot(Box::new(Boot {
            context: Stored::Absent,
            digital_asset_id: Stored::Absent,
            objects: rig.objects.clone(),
        }));
        seen += feed(&mut rig, boot);
        for _ in 0..6 {
            seen += feed(&mut rig, Event::Timer);
        }
        for _ in 0..3 {
            seen += feed(&mut rig, Event::Get { slot: None });
            for slot in [Slot::License, Slot::Switch, Slot::Current] {
                if let Some(report) = rig.machine.context().reports.get(slot).map(|r| r.id) {
                    let receipt = rig.receipt(slot);
                    let outcome = Ok(receipt.clone());
                    seen += feed(&mut rig, Event::Upstream { slot, report, outcome });
                    seen += feed(&mut rig, Event::Receipt(receipt));
                }
            }
            seen += feed(&mut rig, Event::Reactivate(Rig::jwt("paid", 3)));
            for _ in 0..8 {
                rig.now.boot += std::time::Duration::from_secs(5 * 86_400);
                rig.shift_wall(5 * 86_400);
                seen += feed(&mut rig, Event::Timer);
            }
        }
        assert!(rig.machine.is_active());
        assert!(seen > 40);
    }
}

/// LIC-517 (pure part): the process ends before and after each write of a whole life; it goes on
/// from the state before or after, no receipt counts twice and no report is lost.
#[test]
fn a_crash_at_any_write_leaves_the_state_before_or_after() {
    for mode in [Mode::Disconnected, Mode::Connected] {
        let mut rig = Rig::with_jwt(&claims(), mode);
        rig.trail = Some(Vec::new());
        rig.boot();
        rig.settle();
        for round in 0..12 {
            if round == 3 {
                rig.feed(Event::Reactivate(Rig::jwt("ela", 1))).unwrap();
                rig.settle();
            }
            while rig.machine.offering(None).is_some() && mode == Mode::Disconnected {
                rig.download();
                let slot = Slot::ALL
                    .into_iter()
                    .find(|slot| rig.machine.context().state(*slot) == Some(State::Downloaded));
                let slot = slot.unwrap();
                if round % 2 == 0 {
                    let bad = with(rig.receipt_claims(slot), "digitalAssetID", json!("no"));
                    rig.feed(Event::Receipt(signed(&bad))).unwrap_err();
                }
                let receipt = rig.receipt(slot);
                rig.feed(Event::Receipt(receipt)).unwrap();
            }
            for slot in [Slot::License, Slot::Switch, Slot::Current] {
                if let (Some(11), Some(report)) =
                    (rig.state(slot), rig.machine.context().reports.get(slot).map(|r| r.id))
                {
                    let outcome = Ok(rig.receipt(slot));
                    rig.feed(Event::Upstream { slot, report, outcome }).unwrap();
                }
            }
            rig.pass(31 * 86_400);
        }
        assert!(rig.machine.context().accepted.len() > 10);
        let trail = rig.trail.take().unwrap();
        assert!(trail.len() > 50, "{}", trail.len());
        for (now, before, after) in trail {
            for stored in [before, Some(after)] {
                let mut crashed = rig.clone();
                (crashed.now, crashed.counts, crashed.stored) = (now, false, stored.clone());
                crashed.boot();
                let Some(stored) = stored else {
                    assert_eq!(crashed.states(), [Some(3), None, None, None], "as at first");
                    continue;
                };
                let stored = record::read(&stored, &Forms::RELEASE).unwrap();
                let expected = Slot::ALL.map(|slot| match stored.state(slot).map(State::number) {
                    Some(11) if mode == Mode::Disconnected => Some(10),
                    other => other,
                });
                assert_eq!(crashed.states(), expected);
                let context = crashed.machine.context();
                assert_eq!(context.accepted, stored.accepted);
                assert_eq!(context.reports, stored.reports);
                assert_eq!(context.digital_asset_id, stored.digital_asset_id);
                for slot in [Slot::License, Slot::Switch, Slot::Current] {
                    if matches!(crashed.state(slot), Some(7 | 10 | 11 | 13)) {
                        assert!(context.reports.get(slot).is_some(), "{slot:?}");
                    }
                }
            }
        }
        let accepted = &rig.machine.context().accepted;
        let once: std::collections::BTreeSet<_> = accepted.iter().collect();
        assert_eq!(once.len(), accepted.len());
    }
}

/// LIC-514 (pure part): `context` is lost, the asset stays: state 0 again, sequence from 1.
#[test]
fn a_lost_context_keeps_the_asset() {
    let mut rig = Rig::active("paid");
    let asset = rig.asset;
    rig.stored = None;
    rig.counts = false;
    rig.boot();
    assert_eq!(rig.machine.digital_asset_id(), asset);
    assert_eq!(rig.asset, asset);
    assert!(!rig.machine.is_active());
    assert_eq!(rig.told(Notice::LicenseStateLost), 1);
    assert_eq!(rig.machine.context().sequence, 0);
}

/// LIC-515 (pure part): a damaged context is state 2, and nothing is written whatever happens,
/// until a good copy returns or a reset.
#[test]
fn a_damaged_context_stops_all_writes() {
    let good = Rig::active("paid");
    let mut rig = good.clone();
    rig.stored = Some("{\"schema\":1,\"sha256\":\"00\"}".to_owned());
    let stored = rig.stored.clone();
    rig.boot();
    let writes = rig.writes;
    assert_eq!(rig.machine.stopped(), Some(Code::StoreCorrupt));
    assert_eq!(rig.machine.epoch(), None);
    assert_eq!(rig.state(Slot::License), Some(2));
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::StoreCorrupt));
    assert_eq!(rig.machine.error(rig.now).unwrap().code, Code::StoreCorrupt);
    let _ = rig.feed(Event::Objects(Box::new(rig.objects.clone())));
    let _ = rig.feed(Event::Get { slot: None });
    let _ = rig.feed(Event::Receipt("a.b.c".to_owned()));
    let _ = rig.feed(Event::Reactivate(Rig::jwt("paid", 1)));
    let _ = rig.feed(Event::Peer(PeerStatement { epoch: 9, seq: 1, iat: NOW }));
    let _ = rig.feed(Event::AcceptClock);
    let _ = rig.feed(Event::Settings(Box::default()));
    rig.run(600);
    assert_eq!((rig.writes, &rig.stored), (writes, &stored));
    // A good copy.
    let mut returned = rig.clone();
    returned.stored = good.stored.clone();
    returned.boot();
    assert!(returned.machine.is_active());
    // Or a reset.
    rig.outputs.clear();
    assert_eq!(rig.feed(Event::Reset), Ok(Answer::Done));
    assert_ne!(rig.asset, good.asset);
    assert_eq!(rig.machine.digital_asset_id(), rig.asset);
    assert_eq!(rig.told(Notice::LicenseReset), 1);
    rig.settle();
    assert_eq!(rig.state(Slot::License), Some(7));
    rig.feed(Event::Objects(Box::new(rig.objects.clone()))).unwrap();
    assert_eq!(rig.state(Slot::License), Some(7), "the objects were known");
}

/// LIC-329 (pure part): an active licence is not reset.
#[test]
fn an_active_licence_is_not_reset() {
    let mut rig = Rig::active("eval");
    let writes = rig.writes;
    assert_eq!(rig.feed(Event::Reset).unwrap_err().code, Code::WrongState);
    assert_eq!(rig.writes, writes);
    let mut rig = Rig::waiting("eval", Mode::Disconnected);
    let asset = rig.asset;
    rig.feed(Event::Reset).unwrap();
    rig.settle();
    assert_ne!(rig.asset, asset);
    assert_eq!(rig.state(Slot::License), Some(7));
    assert_eq!(rig.machine.context().sequence, 1);
}

/// LIC-516 (pure part): all is lost: another asset, state 0.
#[test]
fn with_everything_lost_a_new_asset_begins() {
    let mut rig = Rig::active("paid");
    let asset = rig.asset.take();
    rig.stored = None;
    rig.boot();
    rig.settle();
    assert_ne!(rig.asset, asset);
    assert_eq!(rig.state(Slot::License), Some(7));
    assert_eq!(rig.machine.epoch(), Some(1));
    assert_eq!(rig.told(Notice::LicenseStateLost), 0);
}

/// LIC-519: an idle hour writes once a minute; a busy hour never more than once a second on
/// average.
#[test]
fn writes_are_one_a_minute_idle_and_few_when_busy() {
    let mut rig = Rig::active("paid");
    rig.run(600);
    rig.writes = 0;
    rig.run(3_600);
    assert!((55..=65).contains(&rig.writes), "{}", rig.writes);

    let mut rig = Rig::active("paid");
    rig.pass(17 * 86_400);
    rig.writes = 0;
    for _ in 0..900 {
        rig.download();
        let _ = rig.feed(Event::Receipt("garbage".to_owned()));
        let _ = rig.feed(Event::Reactivate("garbage".to_owned()));
        let _ = rig.feed(Event::Usage(rig.usage));
        let _ = rig.feed(Event::Objects(Box::new(rig.objects.clone())));
        rig.run(4);
    }
    // Requests that change nothing write nothing: a busy hour is as quiet as an idle one.
    assert!(rig.writes <= 70, "{}", rig.writes);
}

/// LIC-512 at a start (P3, P6): as long as no start could be stored, no event stores a state that was
/// made up for it, and nothing may be signed; what is there is as before.
#[test]
fn before_a_start_is_stored_nothing_takes_the_place_of_the_state() {
    let mut rig = Rig::active("paid");
    let stored = rig.stored.clone();
    let receipt = signed(&claims());
    rig.machine = crate::Machine::new(rig.machine.settings().clone(), None);
    rig.feed(Event::StoreWorks(false)).unwrap();
    rig.pass(200);
    let peer = PeerStatement { epoch: 9, seq: 1, iat: NOW };
    for event in [
        Event::Peer(peer),
        Event::AcceptClock,
        Event::Reset,
        Event::ConfirmUpgrade,
        Event::Abandon,
        Event::Get { slot: None },
        Event::Receipt(receipt.clone()),
        Event::Reactivate(receipt),
        Event::Usage(None),
    ] {
        let refusal = rig.feed(event.clone()).unwrap_err();
        assert_eq!(refusal.code, Code::StoreUnavailable, "{event:?}");
        assert_eq!(rig.stored, stored, "{event:?}");
        assert_eq!(rig.machine.epoch(), None, "{event:?}");
    }
    rig.boot();
    assert!(rig.machine.is_active());
}
