use super::{Problem, Request, plain_text, status};
use crate::codes::Code;
use crate::state::State;
use crate::step::Refusal;
use crate::view::Facts;
use crate::view::fixture::{active, at, switching, unactivated, window};

fn too_early() -> (Refusal, Facts) {
    let end = "2027-01-31T00:00:00Z";
    let next = window(State::TelemetryInProgress, "2027-01-01T00:00:00Z", end);
    let text = "The window of January 2027 is open until 2027-01-31T00:00:00Z.";
    let refusal = Refusal { not_before: Some(at(end)), ..Refusal::new(Code::ReportNotReady, text) };
    (refusal, Facts { next: Some(next), ..active() })
}

/// LIC-327, the object: the reference's own example, byte by byte.
#[test]
fn a_report_that_is_not_ready_is_refused_with_its_date() {
    let (refusal, facts) = too_early();
    let problem = Problem::new(Request::Report, "/report", &refusal, &facts);
    let text = serde_json::to_string(&problem).unwrap();
    assert_eq!(text, include_str!("../golden/problem.json").trim_end());
}

/// LIC-454: the text of the seed.
#[test]
fn a_report_before_its_date_is_refused_in_the_seeds_words() {
    let (refusal, facts) = too_early();
    let expected = "Cannot download config report in current state. Error Invalid State";
    for code in [Code::ReportNotReady, Code::WrongState, Code::WrongMode] {
        let refusal = Refusal { code, ..refusal.clone() };
        assert_eq!(plain_text(Request::Report, &refusal), expected);
        assert_eq!(status(Request::Report, &refusal, &facts), 405);
    }
}

#[test]
fn each_endpoint_has_its_own_words() {
    let wrong = Refusal::new(Code::WrongState, "no");
    let text = |request| plain_text(request, &wrong);
    let invalid = "in current state. Error Invalid State";
    assert_eq!(text(Request::Receipt), format!("Cannot accept receipt {invalid}"));
    assert_eq!(text(Request::Reactivate), format!("Cannot reactivate {invalid}"));
    let store = Refusal::new(Code::StoreUnavailable, "no");
    let expected = "Status unavailable. Error Store Unavailable";
    assert_eq!(plain_text(Request::Status, &store), expected);
    // The reason of a refused token is told in words, with its code.
    let stale = Refusal::new(Code::ReceiptStale, "iat is too old");
    assert_eq!(plain_text(Request::Receipt, &stale), "iat is too old (receipt_stale)");
}

/// LIC-328: a switch whose receipt is being checked answers 409, all else what its code says.
#[test]
fn a_switch_in_state_11_conflicts() {
    let wrong = Refusal::new(Code::WrongState, "no");
    let facts = switching(State::VerificationInProgress);
    assert_eq!(status(Request::Reactivate, &wrong, &facts), 409);
    assert_eq!(status(Request::Abandon, &wrong, &facts), 409);
    assert_eq!(status(Request::Receipt, &wrong, &facts), 405);
    assert_eq!(status(Request::Reactivate, &wrong, &unactivated(State::Downloaded)), 405);
    for code in Code::ALL {
        let expected = code.http_status().unwrap_or(500);
        assert_eq!(status(Request::Other, &Refusal::new(code, "x"), &active()), expected);
    }
}

#[test]
fn a_superseded_receipt_names_the_report_to_send() {
    let by = uuid::Uuid::from_u128(0xbb);
    let refusal = Refusal { report: Some(by), ..Refusal::new(Code::ReceiptSuperseded, "old") };
    let problem = Problem::new(Request::Receipt, "/receipt", &refusal, &active());
    assert!(problem.suggested_action.contains(&by.to_string()), "{}", problem.suggested_action);
    assert_eq!((problem.status, problem.state), (409, State::VerificationComplete));
}
