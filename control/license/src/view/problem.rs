//! Refusals of the REST API: RFC 9457 problem details, and the plain text without them.
//!
//! Owns titles, members and their order. Which refusal it is, the machine says.
//! Source: licensing.md §4.2 (endpoints, problem details, LIC-327, LIC-328).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Facts, SlotFacts};
use crate::calendar::instant;
use crate::codes::Code;
use crate::state::State;
use crate::step::Refusal;

/// What was asked for; names the plain texts of the original product.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Request {
    /// `GET /status`.
    Status,
    /// `GET /report`.
    Report,
    /// `POST /receipt`.
    Receipt,
    /// `POST /reactivate`.
    Reactivate,
    /// `DELETE /v1/license/switch`.
    Abandon,
    /// Any other.
    Other,
}

/// A problem details object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:spk:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What was refused, the same for every refusal of its kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Why, this time.
    pub detail: String,
    /// Path of the request.
    pub instance: String,
    /// The code word.
    pub code: String,
    /// Number of the state that refused.
    pub state: State,
    /// Its text.
    pub state_text: String,
    /// When the request may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What to do.
    pub suggested_action: String,
}

impl Problem {
    /// The object for `refusal` of `request` at `path`, in the situation of `facts`.
    #[must_use]
    pub fn new(request: Request, path: &str, refusal: &Refusal, facts: &Facts) -> Self {
        let code = refusal.code;
        let slot = slot_of(code, facts);
        let suggested_action = match refusal.not_before {
            Some(at) if code == Code::ReportNotReady => {
                let day = instant(at).strftime("%Y-%m-%d");
                format!("Run: spkctl license report, on or after {day}.")
            }
            Some(_) | None => {
                let mut site = facts.site();
                site.report = refusal.report.or(site.report);
                code.action(&site)
            }
        };
        Self {
            kind: format!("urn:spk:problem:{}", code.code()),
            title: title(request, code).to_owned(),
            status: status(request, refusal, facts),
            detail: refusal.text.clone(),
            instance: path.to_owned(),
            code: code.code().to_owned(),
            state: slot.state,
            state_text: slot.state.text().to_owned(),
            not_before: refusal.not_before.map(instant),
            suggested_action,
        }
    }
}

/// HTTP status of a refusal of `request`.
#[must_use]
pub fn status(request: Request, refusal: &Refusal, facts: &Facts) -> u16 {
    let switch = facts.switch.as_ref().map(|switch| switch.slot.state);
    match (request, refusal.code, switch) {
        // A switch whose receipt is being checked can neither be replaced nor abandoned now.
        (
            Request::Reactivate | Request::Abandon,
            Code::WrongState,
            Some(State::VerificationInProgress),
        ) => 409,
        (_, code, _) => code.http_status().unwrap_or(500),
    }
}

/// The plain text of a refusal, for who did not ask for problem details.
#[must_use]
pub fn plain_text(request: Request, refusal: &Refusal) -> String {
    let title = title(request, refusal.code);
    match (request, refusal.code) {
        (Request::Status, _) => format!("{title}. Error Store Unavailable"),
        (
            Request::Report | Request::Receipt | Request::Reactivate,
            Code::ReportNotReady | Code::WrongState | Code::WrongMode,
        ) => format!("{title}. Error Invalid State"),
        (
            Request::Report
            | Request::Receipt
            | Request::Reactivate
            | Request::Abandon
            | Request::Other,
            _,
        ) => format!("{} ({})", refusal.text, refusal.code.code()),
    }
}

fn title(request: Request, code: Code) -> &'static str {
    let state = matches!(code, Code::ReportNotReady | Code::WrongState | Code::WrongMode);
    match request {
        Request::Status => "Status unavailable",
        Request::Report if state => "Cannot download config report in current state",
        Request::Receipt if state => "Cannot accept receipt in current state",
        Request::Reactivate if state => "Cannot reactivate in current state",
        Request::Report
        | Request::Receipt
        | Request::Reactivate
        | Request::Abandon
        | Request::Other => code.text().trim_end_matches('.'),
    }
}

/// The slot whose state refused: the window that is still open, else the licence.
fn slot_of(code: Code, facts: &Facts) -> SlotFacts {
    match (code, facts.next) {
        (Code::ReportNotReady, Some(next)) => next.slot,
        (_, _) => facts.license,
    }
}

#[cfg(test)]
mod tests;
