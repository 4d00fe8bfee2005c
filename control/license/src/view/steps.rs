//! What to do next, as sentences and commands that can be copied.
//!
//! Owns their order and words. Invariant: there is a step whenever the licence is unactivated or
//! blocked, or a report waits (LIC-340). A command runs as it stands, from a directory that holds
//! the files it names: `license.jwt`, `report.json`, `receipt.json`.
//! Source: licensing.md §4.4, §5.1, §5.2, §14.1.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use spk_entitlement::Verdict;

use super::{Facts, Fault, sentence};
use crate::calendar::instant;
use crate::codes::Code;
use crate::state::State;

/// One step.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    /// Stable word for the kind of step.
    pub id: String,
    /// What to do, in words.
    pub text: String,
    /// The command that does it; null where no single command does.
    pub command: Option<String>,
    /// When it can be done; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// The steps for the situation of `facts`, the first one first.
#[must_use]
pub fn next_steps(facts: &Facts) -> Vec<NextStep> {
    let mut steps = Vec::new();
    // An ended licence has its own step, which is to renew it.
    if let Some(fault) = facts.error.as_ref().filter(|fault| fault.code != Code::Expired) {
        steps.push(repair(fault, facts));
    }
    if facts.active {
        active(&mut steps, facts);
    } else {
        unactivated(&mut steps, facts);
    }
    for namespace in &facts.untrusting {
        steps.push(step(
            "trust",
            format!("Renew the copy of the lease keys in namespace {namespace}."),
            Some(format!("spkctl license trust -n {namespace}")),
        ));
    }
    let needed = !facts.active || facts.verdict.value == Verdict::Block || facts.report.is_some();
    if steps.is_empty() && needed {
        steps.push(step(
            "status",
            "Nothing has to be done by hand at the moment; look again in a minute.",
            Some("spkctl license status".to_owned()),
        ));
    }
    steps
}

fn unactivated(steps: &mut Vec<NextStep>, facts: &Facts) {
    match facts.license.state {
        // The error's own step says what to repair; the CWC then goes on by itself.
        State::InitializationFailed | State::RegistrationFailed | State::ReportFailed => {}
        State::ReadyToDownload
        | State::DownloadFailed
        | State::Downloaded
        | State::VerificationFailed => exchange(steps, facts, facts.license.state, ""),
        State::VerificationInProgress if facts.mode.sends() => sent(steps),
        State::Default
        | State::Initialised
        | State::RegistrationInProgress
        | State::RegistrationComplete
        | State::ReportInProgress
        | State::VerificationInProgress => steps.push(step(
            "wait",
            "Wait a moment: the CWC goes on by itself.",
            Some("spkctl license status".to_owned()),
        )),
        // Slot L has these only once active, or never.
        State::VerificationComplete
        | State::ExpiringSoon
        | State::ExpiringToday
        | State::Expired
        | State::TelemetryInProgress
        | State::ReadyToGenerate => {}
    }
}

fn active(steps: &mut Vec<NextStep>, facts: &Facts) {
    let switching = facts.switch.as_ref();
    let switch = switching.map(|switch| switch.slot.state);
    if let Some(fault) = switching.and_then(|switch| switch.error.as_ref()) {
        steps.push(repair(fault, facts));
    }
    match switch {
        Some(state) if state.offers_report() => exchange(steps, facts, state, " --slot switch"),
        Some(State::VerificationInProgress) if facts.mode.sends() => sent(steps),
        Some(_) => steps.push(step(
            "watch-switch",
            "Follow the switch to the new licence.",
            Some("spkctl license status".to_owned()),
        )),
        None => {}
    }
    if let Some(current) = facts.current {
        let state = current.slot.state;
        // Without `--slot` the report of a switch would come first.
        let slot = if switch.is_some() { " --slot current" } else { "" };
        if state.offers_report() {
            exchange(steps, facts, state, slot);
        } else if state == State::VerificationInProgress && facts.mode.sends() {
            sent(steps);
        }
    }
    let ending =
        matches!(facts.license.state, State::ExpiringSoon | State::ExpiringToday | State::Expired);
    if ending && switch.is_none() {
        steps.push(step(
            "renew",
            "Renew the subscription, and hand its JWT over.",
            Some("spkctl license reactivate license.jwt".to_owned()),
        ));
    }
    if facts.warnings.iter().any(|warning| warning.code == Code::ClockJumpedForward.code()) {
        steps.push(step(
            "accept-clock",
            "Correct the node's clock; if the new time is right, accept it.",
            Some("spkctl license clock accept".to_owned()),
        ));
    }
    if let Some(next) = facts.next
        && !facts.mode.sends()
    {
        let at = instant(next.window.end);
        steps.push(NextStep {
            not_before: Some(at),
            ..step(
                "next-report",
                format!("From {} on: download the next report.", at.strftime("%Y-%m-%d %H:%M UTC")),
                Some("spkctl license report -o report.json".to_owned()),
            )
        });
    }
}

/// A report waits in a slot in `state`; `slot` is the option that names the slot.
fn exchange(steps: &mut Vec<NextStep>, facts: &Facts, state: State, slot: &str) {
    if facts.mode.sends() {
        // A failed attempt has its own step; the next one comes by itself.
        if state != State::VerificationFailed {
            sent(steps);
        }
        return;
    }
    let download = match state {
        State::Downloaded | State::VerificationFailed => {
            "Download the report again, if its file is gone."
        }
        _ => "Download the report.",
    };
    steps.push(step(
        "report",
        download,
        Some(format!("spkctl license report -o report.json{slot}")),
    ));
    steps.push(step(
        "submit",
        "Submit it from a machine with internet access; license.jwt holds its licence's JWT.",
        Some("spkctl license submit report.json --jwt-file license.jwt -o receipt.json".to_owned()),
    ));
    steps.push(step(
        "receipt",
        "Upload the receipt.",
        Some("spkctl license receipt receipt.json".to_owned()),
    ));
}

fn sent(steps: &mut Vec<NextStep>) {
    steps.push(step(
        "wait-upstream",
        "Wait: the report is on its way to the licensing service, and is sent again if need be.",
        Some("spkctl license status".to_owned()),
    ));
}

fn repair(fault: &Fault, facts: &Facts) -> NextStep {
    let action = fault.code.action(&facts.site());
    step("repair", format!("{} {action}", sentence(&fault.text)), None)
}

fn step(id: &str, text: impl Into<String>, command: Option<String>) -> NextStep {
    NextStep { id: id.to_owned(), text: text.into(), command, not_before: None }
}

#[cfg(test)]
mod tests;
