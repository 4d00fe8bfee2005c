//! What holds over any sequence of events.

use proptest::prelude::*;
use serde_json::json;

use crate::codes::Code;
use crate::event::Event;
use crate::fixture::{signed, stranger, with};
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::Slot;
use crate::step::{Effect, Output};
use crate::trigger::Trigger;
use crate::upstream::Failure;

/// One thing that may happen.
#[derive(Clone, Copy, Debug)]
enum Act {
    Get,
    Good(Slot),
    Bad(Slot),
    Junk,
    Again,
    Reactivate(u8),
    Abandon,
    Usage(bool),
    Counting(bool),
    Pass(u64),
    Wall(i64),
    Restart,
    Mode(bool),
    Rejected(Slot),
    Answered(Slot),
    Store(bool),
    NewJwt(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let slot = || prop::sample::select(vec![Slot::License, Slot::Current, Slot::Switch]);
    prop_oneof![
        3 => Just(Act::Get),
        3 => slot().prop_map(Act::Good),
        1 => slot().prop_map(Act::Bad),
        1 => Just(Act::Junk),
        1 => Just(Act::Again),
        1 => (1..6_u8).prop_map(Act::Reactivate),
        1 => Just(Act::Abandon),
        1 => any::<bool>().prop_map(Act::Usage),
        1 => any::<bool>().prop_map(Act::Counting),
        4 => (0..40 * 86_400_u64).prop_map(Act::Pass),
        1 => (-86_400 * 40..86_400 * 40_i64).prop_map(Act::Wall),
        2 => Just(Act::Restart),
        1 => any::<bool>().prop_map(Act::Mode),
        1 => slot().prop_map(Act::Rejected),
        1 => slot().prop_map(Act::Answered),
        1 => any::<bool>().prop_map(Act::Store),
        1 => (1..6_u8).prop_map(Act::NewJwt),
    ]
}

fn perform(rig: &mut Rig, act: Act, last: &mut Option<String>) {
    let report = |rig: &Rig, slot| rig.machine.context().reports.get(slot).map(|r| r.id);
    let order = |number: u8| ["paid", "ela", "eval"][usize::from(number % 3)];
    let event = match act {
        Act::Get => Event::Get { slot: None },
        Act::Good(slot) | Act::Bad(slot) if report(rig, slot).is_none() => return,
        Act::Good(slot) => {
            let receipt = rig.receipt(slot);
            *last = Some(receipt.clone());
            Event::Receipt(receipt)
        }
        Act::Bad(slot) => {
            Event::Receipt(signed(&with(rig.receipt_claims(slot), "licenseJti", json!("no"))))
        }
        Act::Junk => Event::Receipt(stranger().sign(b"{}").unwrap()),
        Act::Again => match last.clone() {
            Some(receipt) => Event::Receipt(receipt),
            None => return,
        },
        Act::Reactivate(number) => Event::Reactivate(Rig::jwt(order(number), u128::from(number))),
        Act::Abandon => Event::Abandon,
        Act::Usage(known) => Event::Usage(known.then_some(crate::rig::USAGE)),
        Act::Counting(counts) => {
            rig.counts = counts;
            return;
        }
        Act::Pass(seconds) => {
            rig.now.boot += std::time::Duration::from_secs(seconds);
            rig.shift_wall(i64::try_from(seconds).unwrap());
            for _ in 0..4 {
                let _ = rig.feed(Event::Timer);
            }
            return;
        }
        Act::Wall(seconds) => {
            rig.shift_wall(seconds);
            Event::Timer
        }
        Act::Restart => {
            let broken = std::mem::take(&mut rig.broken);
            rig.boot();
            rig.broken = broken;
            return;
        }
        Act::Mode(connected) => {
            if !rig.broken {
                rig.set_mode(if connected { Mode::Connected } else { Mode::Disconnected });
            }
            return;
        }
        Act::Rejected(slot) | Act::Answered(slot) => {
            let Some(report) = report(rig, slot) else { return };
            let failure =
                Failure { code: Code::UpstreamRejected, temporary: false, retry_after: None };
            let outcome = match act {
                Act::Answered(_) => Ok(rig.receipt(slot)),
                _ => Err(failure),
            };
            Event::Upstream { slot, report, outcome }
        }
        Act::Store(works) => {
            rig.broken = !works;
            return;
        }
        Act::NewJwt(number) => {
            rig.objects.jwt = Some(Rig::jwt(order(number), u128::from(number)));
            Event::Objects(Box::new(rig.objects.clone()))
        }
    };
    let _ = rig.feed(event);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// LIC-211: from any sequence of events, once L first reached 12 it is always in 12, 14, 15 or
    /// 16. LIC-212: L is 12 for the first time only by an accepted receipt. LIC-134: no receipt is
    /// accepted twice.
    #[test]
    fn an_active_licence_stays_active_and_became_so_by_a_receipt(
        order in prop::sample::select(vec!["eval", "freemium", "paid", "ela"]),
        connected in any::<bool>(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut rig =
            Rig::waiting(order, if connected { Mode::Connected } else { Mode::Disconnected });
        let mut last = None;
        for act in acts {
            let before = rig.machine.is_active();
            rig.outputs.clear();
            perform(&mut rig, act, &mut last);
            let state = rig.state(Slot::License).unwrap();
            if before {
                prop_assert!(matches!(state, 12 | 14 | 15 | 16), "{act:?}: {state}");
            } else if rig.machine.is_active() {
                let accepted = Output::Count {
                    trigger: Trigger::RcptOk,
                    state: Some(crate::state::State::VerificationInProgress),
                    outcome: Effect::Taken,
                };
                let late = Output::Count {
                    trigger: Trigger::RcptOk,
                    state: Some(crate::state::State::VerificationFailed),
                    outcome: Effect::Taken,
                };
                prop_assert!(rig.outputs.contains(&accepted) || rig.outputs.contains(&late));
                prop_assert!(rig.machine.context().receipt.is_some());
            }
            let accepted = &rig.machine.context().accepted;
            let once: std::collections::BTreeSet<_> = accepted.iter().collect();
            prop_assert_eq!(once.len(), accepted.len());
            // Whatever happened, it can be stored and read back.
            prop_assert!(rig.machine.record().is_ok());
        }
    }
}
