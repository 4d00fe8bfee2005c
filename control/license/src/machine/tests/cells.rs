//! Slot L, cell by cell: next state, outputs and counter.

use super::super::turn::Turn;
use crate::codes::Code;
use crate::context::{Fault, Place};
use crate::rig::Rig;
use crate::state::{Slot, State};
use crate::step::{Effect, Notice, Output};
use crate::table::tests::cells;
use crate::trigger::Trigger;

/// The event that entering a state raises (§3.4, outputs).
fn notice(state: State) -> Option<Notice> {
    match state.number() {
        2 | 5 | 8 | 9 => Some(Notice::LicenseError),
        7 => Some(Notice::LicenseReportReady),
        13 => Some(Notice::LicenseVerificationFailed),
        14 => Some(Notice::LicenseExpiringSoon),
        15 => Some(Notice::LicenseExpiringToday),
        16 => Some(Notice::LicenseExpired),
        _ => None,
    }
}

/// LIC-210: every cell of slot L: next state, outputs, counter.
#[test]
fn every_cell_of_slot_l_has_its_next_state_outputs_and_counter() {
    // Activated, with an end 400 days ahead: a renewal leads to 12 (the other two results are in
    // `telemetry::a_renewal_goes_where_the_new_end_says`).
    let rig = Rig::active("paid");
    let mut tested = 0;
    for (from, trigger, expected) in cells(include_str!("../../../tests/data/license.txt")) {
        let from = from.unwrap();
        let mut machine = rig.machine.clone();
        machine.context.license = Place::new(from, 0);
        let mut numbers = rig.numbers.clone();
        let mut turn = Turn::new(machine, rig.now, &mut numbers);
        let code = Code::UsageUnavailable;
        let fault = Fault { code, text: String::new(), since: 0, upstream: false };
        let fails = matches!(
            trigger,
            Trigger::InitErr
                | Trigger::RegErr
                | Trigger::RepErr
                | Trigger::GetErr
                | Trigger::RcptBad
                | Trigger::UpRej
        );
        turn.fire(Slot::License, trigger, fails.then_some(fault));
        let to = turn.machine.context.license.state;
        let name = format!("{} {}", from.number(), trigger.word());
        let (next, effect) = match expected {
            "-" => (from, Some(Effect::Ignored)),
            "405" => (from, Some(Effect::Refused)),
            "R" | "S" => (from, None),
            number => {
                let number = number.split('/').next().unwrap().parse().unwrap();
                (State::from_number(number).unwrap(), Some(Effect::Taken))
            }
        };
        assert_eq!(to, next, "{name}");
        let counts: Vec<&Output> =
            turn.outputs.iter().filter(|o| matches!(o, Output::Count { .. })).collect();
        let expected: Vec<Output> = effect
            .map(|outcome| Output::Count { trigger, state: Some(from), outcome })
            .into_iter()
            .collect();
        assert_eq!(counts, expected.iter().collect::<Vec<_>>(), "{name}");
        let told: Vec<Notice> = turn
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Event { notice, .. } => Some(*notice),
                _ => None,
            })
            .collect();
        let news = next != from || (fails && effect == Some(Effect::Taken));
        let wanted: Vec<Notice> = notice(next).filter(|_| news).into_iter().collect();
        assert_eq!(told, wanted, "{name}");
        let moved = turn.outputs.iter().any(|output| matches!(output, Output::Moved { .. }));
        assert_eq!(moved, next != from, "{name}");
        if news {
            assert_eq!(turn.storing, crate::step::Storing::First, "{name}: stored first");
        }
        if next.number() == 6 && next != from {
            assert!(turn.outputs.contains(&Output::CountUsage), "{name}: usage is counted");
        }
        if fails && effect == Some(Effect::Taken) {
            assert_eq!(turn.machine.context.license.fault.as_ref().map(|f| f.code), Some(code));
        }
        tested += 1;
    }
    assert_eq!(tested, 17 * 21);
}
