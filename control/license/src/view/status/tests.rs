use serde_json::Value;

use super::{LicenseStatusSecret, Status};
use crate::calendar::{Window, parse_status_date};
use crate::codes::Code;
use crate::state::State;
use crate::view::Facts;
use crate::view::fixture::{active, at, fault, switching, unactivated, window};

fn text(facts: &Facts) -> String {
    serde_json::to_string(&Status::new(facts)).unwrap()
}

/// LIC-331, LIC-335: the reference's own example, byte by byte.
#[test]
fn before_the_first_receipt_the_initial_registration_is_shown() {
    let golden = include_str!("../golden/initial.json");
    assert_eq!(text(&unactivated(State::ReadyToDownload)), golden.trim_end());
}

/// LIC-331, LIC-332, LIC-335: the reference's own example, byte by byte.
#[test]
fn after_the_first_receipt_the_licence_and_its_windows_are_shown() {
    assert_eq!(text(&active()), include_str!("../golden/active.json").trim_end());
}

/// LIC-331
#[test]
fn without_a_report_only_the_open_window_is_shown() {
    let next = window(State::TelemetryInProgress, "2022-12-05T14:22:33Z", "2022-12-31T14:22:33Z");
    let facts = Facts { current: None, next: Some(next), ..active() };
    assert_eq!(text(&facts), include_str!("../golden/no-report-yet.json").trim_end());
    // A licence that is not active shows no window, whatever its slots hold.
    let facts = Facts { next: Some(next), ..unactivated(State::Downloaded) };
    assert!(text(&facts).ends_with(r#""TelemetryStatus":{}}"#));
}

/// LIC-334, LIC-335
#[test]
fn a_switch_is_shown_beside_the_running_licence_in_each_state() {
    let states = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13].map(|n| State::from_number(n).unwrap());
    let golden = include_str!("../golden/switching.jsonl");
    assert_eq!(golden.lines().count(), states.len());
    for (state, line) in states.into_iter().zip(golden.lines()) {
        assert_eq!(text(&switching(state)), line, "{state:?}");
    }
}

/// LIC-457: 24 months, one report behind the open window.
#[test]
fn windows_of_two_years_are_shown_as_the_calendar_has_them() {
    let golden = include_str!("../golden/months.jsonl");
    assert_eq!(golden.lines().count(), 24);
    let mut facts = active();
    let mut open = Window::first(at("2027-02-10T09:30:00Z"));
    for line in golden.lines() {
        let rolled = open.roll_over(open.end).unwrap();
        let of = |state, window| {
            let mut facts = window_facts(state);
            facts.window = window;
            Some(facts)
        };
        facts.current = of(State::ReadyToDownload, rolled.closed);
        facts.next = of(State::TelemetryInProgress, rolled.next);
        let shown = serde_json::to_string(&Status::new(&facts).telemetry_status).unwrap();
        assert_eq!(shown, line);
        open = rolled.next;
    }
}

fn window_facts(state: State) -> crate::view::WindowFacts {
    window(state, "2027-01-01T00:00:00Z", "2027-01-31T00:00:00Z")
}

/// LIC-330
#[test]
fn days_left_are_a_text_and_absent_without_an_end() {
    const DAY: u64 = 86_400;
    let days = |expiry: Option<u64>| {
        let status = Status::new(&Facts { expiry, ..active() });
        let details = status.running.unwrap().license_details;
        assert_eq!(details.license_expiry_date.is_some(), expiry.is_some());
        details.license_expiry_in_days
    };
    let now = active().now;
    for (end, text) in [
        (now + 334 * DAY + 1, "334"),
        (now + DAY, "1"),
        (now + DAY - 1, "0"),
        (now, "0"),
        (now - 3 * DAY, "-3"),
    ] {
        assert_eq!(days(Some(end)).as_deref(), Some(text));
    }
    assert_eq!(days(None), None);
}

/// LIC-333
#[test]
fn error_and_action_are_there_exactly_when_something_is_wrong() {
    for facts in [active(), unactivated(State::VerificationFailed)] {
        for error in [None, Some(fault(Code::ReceiptStale)), Some(fault(Code::ClockRolledBack))] {
            let facts = Facts { error: error.clone(), ..facts.clone() };
            let status = Status::new(&facts);
            let shown = status.running.or(status.initial_registration_status).unwrap();
            let shown = shown.license_status;
            let secret = LicenseStatusSecret::new(&facts);
            assert_eq!(shown.error.is_some(), error.is_some());
            assert_eq!(shown.suggested_action.is_some(), error.is_some());
            assert_eq!(secret.err_code != 0, error.is_some());
            assert_eq!(shown.error.unwrap_or_default(), secret.err_string);
            assert_eq!(shown.suggested_action.unwrap_or_default(), secret.operator_action);
        }
    }
}

/// LIC-335: no other member at the top in any situation.
#[test]
fn status_has_no_other_top_level_member() {
    let documented = ["InitialRegistrationStatus", "Status", "SwitchingStatus", "TelemetryStatus"];
    for facts in [active(), unactivated(State::Default), switching(State::Downloaded)] {
        let value: Value = serde_json::from_str(&text(&facts)).unwrap();
        for name in value.as_object().unwrap().keys() {
            assert!(documented.contains(&name.as_str()), "{name}");
        }
    }
}

/// Also before there is a digital asset id or a JWT the members are there.
#[test]
fn an_empty_installation_shows_empty_texts() {
    let facts = Facts {
        digital_asset_id: None,
        order_type: None,
        expiry: None,
        ..unactivated(State::InitializationFailed)
    };
    let details = r#""LicenseDetails":{"DigitalAssetID":"","EntitlementType":""}"#;
    assert!(text(&facts).contains(details));
    let secret = serde_json::to_string(&LicenseStatusSecret::new(&facts)).unwrap();
    assert!(secret.contains(r#""DigitalAssetId":"","LicenseExpiryDate":"","EntitlementType":"""#));
}

/// LIC-501, the text: a cluster test runs the seed's command on the Secret.
#[test]
fn licensestatus_has_the_nine_members_of_the_seed_in_order() {
    let text = serde_json::to_string(&LicenseStatusSecret::new(&active())).unwrap();
    assert_eq!(text, include_str!("../golden/licensestatus.json").trim_end());
}

/// LIC-332: what `spkctl` reads, in the form of the seed's sample.
#[test]
fn a_status_of_the_original_product_is_read() {
    let original = r#"{"Status":{"ClusterDetails":{"Name":"SPK Cluster"},"LicenseDetails":{"DigitalAssetID":"x","EntitlementType":"paid","LicenseExpiryDate":"2023-12-04T00:01:00Z","LicenseExpiryInDays":"334"},"LicenseStatus":{"State":"Verification Complete"}},"TelemetryStatus":{"CurrentReport":{"StartDate":"2022-12-05 14:22:33.325423427 +0000 UTC m=+17151.693042043","EndDate":"2022-12-31 14:22:36.409736702 +0000 UTC m=+2263554.777356511","State":"Config Report Downloaded"}}}"#;
    let status: Status = serde_json::from_str(original).unwrap();
    let current = status.telemetry_status.current_report.unwrap();
    assert_eq!(parse_status_date(&current.start_date), Some(at("2022-12-05T14:22:33Z")));
    assert_eq!(parse_status_date(&current.end_date), Some(at("2022-12-31T14:22:36Z")));
}
