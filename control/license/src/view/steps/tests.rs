use spk_entitlement::{Reason, Verdict};

use super::{NextStep, next_steps};
use crate::codes::Code;
use crate::settings::Mode;
use crate::state::State;
use crate::view::fixture::{active, at, fault, slot, switching, unactivated, window};
use crate::view::{Facts, VerdictFacts, Warning};

fn ids(facts: &Facts) -> Vec<String> {
    next_steps(facts).into_iter().map(|step| step.id).collect()
}

fn commands(facts: &Facts) -> Vec<String> {
    next_steps(facts).into_iter().filter_map(|step| step.command).collect()
}

/// Slot L's states before activation.
fn unactivated_states() -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|state| state.number() <= 13 && state.number() != 12)
}

/// LIC-340: process tests run each command.
#[test]
fn there_is_a_step_while_unactivated_or_blocked_or_a_report_waits() {
    for mode in Mode::ALL {
        for state in unactivated_states() {
            for error in [None, Some(fault(Code::UsageUnavailable))] {
                let facts = Facts { mode, error, ..unactivated(state) };
                assert!(!next_steps(&facts).is_empty(), "{mode:?} {state:?}");
            }
        }
        let quiet = Facts { mode, current: None, next: None, report: None, ..active() };
        assert_eq!(next_steps(&quiet), []);
        let blocked = VerdictFacts {
            value: Verdict::Block,
            reason: Reason::StoreUnavailable,
            ..quiet.verdict
        };
        assert!(!next_steps(&Facts { verdict: blocked, ..quiet.clone() }).is_empty());
        for state in State::ALL {
            let current = window(state, "2022-12-05T14:22:33Z", "2022-12-31T14:22:33Z");
            let waiting =
                Facts { current: Some(current), report: active().report, ..quiet.clone() };
            assert!(!next_steps(&waiting).is_empty(), "{mode:?} {state:?}");
        }
    }
}

#[test]
fn a_waiting_report_is_exchanged_in_three_commands() {
    for state in [State::ReadyToDownload, State::Downloaded, State::DownloadFailed] {
        let expected = [
            "spkctl license report -o report.json",
            "spkctl license submit report.json --jwt-file license.jwt -o receipt.json",
            "spkctl license receipt receipt.json",
        ];
        assert_eq!(commands(&unactivated(state)), expected);
    }
    let failed =
        Facts { error: Some(fault(Code::ReceiptStale)), ..unactivated(State::VerificationFailed) };
    assert_eq!(ids(&failed), ["repair", "report", "submit", "receipt"]);
}

#[test]
fn where_reports_travel_by_themselves_nothing_is_done_by_hand() {
    for mode in [Mode::Connected, Mode::Mediated] {
        for state in [State::ReadyToDownload, State::VerificationInProgress] {
            assert_eq!(ids(&Facts { mode, ..unactivated(state) }), ["wait-upstream"]);
        }
        let error = Some(fault(Code::UpstreamRejected));
        let failed = Facts { mode, error, ..unactivated(State::VerificationFailed) };
        assert_eq!(ids(&failed), ["repair"]);
    }
}

#[test]
fn two_waiting_reports_are_told_apart_by_their_slot() {
    let steps = commands(&switching(State::ReadyToDownload));
    assert!(steps.contains(&"spkctl license report -o report.json --slot switch".to_owned()));
    assert!(steps.contains(&"spkctl license report -o report.json --slot current".to_owned()));
}

#[test]
fn the_next_report_has_its_date() {
    let quiet = Facts { current: None, report: None, ..active() };
    let step = NextStep {
        id: "next-report".to_owned(),
        text: "From 2023-01-31 00:00 UTC on: download the next report.".to_owned(),
        command: Some("spkctl license report -o report.json".to_owned()),
        not_before: Some("2023-01-31T00:00:00Z".parse().unwrap()),
    };
    assert_eq!(next_steps(&quiet), [step]);
    assert!(next_steps(&Facts { mode: Mode::Connected, ..quiet }).is_empty());
}

#[test]
fn an_ending_licence_is_renewed_unless_its_follower_is_under_way() {
    for state in [State::ExpiringSoon, State::ExpiringToday, State::Expired] {
        let error = (state == State::Expired).then(|| fault(Code::Expired));
        let ending = Facts { license: slot(state), error, current: None, next: None, ..active() };
        assert_eq!(ids(&ending), ["renew"]);
        let switching = Facts { switch: switching(State::ReportInProgress).switch, ..ending };
        assert_eq!(ids(&switching), ["watch-switch"]);
    }
}

#[test]
fn a_jumped_clock_and_an_old_copy_of_the_keys_have_their_commands() {
    let warning = Warning {
        code: Code::ClockJumpedForward.code(),
        text: Code::ClockJumpedForward.text().to_owned(),
        since: at("2023-01-03T12:00:00Z"),
    };
    let facts = Facts {
        warnings: vec![warning],
        untrusting: vec!["spk-core".to_owned(), "spk-edge".to_owned()],
        current: None,
        next: None,
        report: None,
        ..active()
    };
    let expected = [
        "spkctl license clock accept",
        "spkctl license trust -n spk-core",
        "spkctl license trust -n spk-edge",
    ];
    assert_eq!(commands(&facts), expected);
}
