use uuid::Uuid;

use super::{Code, Site};

/// The table of licensing.md §3.7: numbers, words, and how the advice may begin.
const TABLE: [(u16, &[&str], &[&str]); 9] = [
    (
        1001,
        &[
            "jwt_missing",
            "jwt_too_large",
            "jwt_malformed",
            "jwt_algorithm",
            "jwt_unknown_key",
            "jwt_signature",
            "jwt_issuer",
            "jwt_audience",
            "jwt_claims",
            "jwt_order_type",
            "jwt_not_yet_valid",
            "jwt_expired",
        ],
        &["Obtain a new JWT", "Set cpclConfig.jwt"],
    ),
    (
        1101,
        &["jwks_missing", "jwks_malformed", "jwks_private", "jwks_kid_missing"],
        &["Create ConfigMap cpcl-key-cm"],
    ),
    (
        1201,
        &["store_unavailable", "store_corrupt", "store_newer"],
        &["Check access to Secrets in namespace", "Install the release that wrote the state"],
    ),
    (
        2001,
        &["registration_failed", "switch_not_allowed", "switch_same_license"],
        &["Use a JWT of an allowed type"],
    ),
    (
        3001,
        &["usage_unavailable", "report_failed", "report_download_failed"],
        &["Check RBAC of the CWC service account"],
    ),
    (
        4001,
        &[
            "receipt_too_large",
            "receipt_malformed",
            "receipt_algorithm",
            "receipt_unknown_key",
            "receipt_signature",
            "receipt_issuer",
            "receipt_wrong_asset",
            "receipt_replayed",
            "receipt_superseded",
            "receipt_wrong_report",
            "receipt_wrong_license",
            "receipt_stale",
            "receipt_claims",
        ],
        &["Submit report 00000000-0000-0000-0000-0000000000a1 again and upload its receipt"],
    ),
    (
        5001,
        &["upstream_unreachable", "upstream_tls", "upstream_rejected", "upstream_bad_response"],
        &["Check egress to https://up.example/telemetry"],
    ),
    (
        6001,
        &["expired", "clock_rolled_back", "clock_jumped_forward"],
        &["Renew ", "Correct the node's clock"],
    ),
    // The two overdue codes tell of reports, not of the bus; one is only a warning, the other one
    // is not produced in this release.
    (
        7001,
        &["comms_lost", "cwc_absent", "telemetry_overdue", "final_ack_overdue"],
        &["Check the RabbitMQ pod", "Download the report that waits"],
    ),
];

/// Words without a number (§3.7, last paragraph).
const WORDS: [&str; 11] = [
    "report_not_ready",
    "wrong_state",
    "wrong_mode",
    "not_leader",
    "rate_limited",
    "cross_origin",
    "token_required",
    "token_wrong",
    "too_large",
    "not_found",
    "state_rolled_back",
];

/// LIC-250, the table: process tests produce each code.
#[test]
fn codes_numbers_and_advice_are_those_of_the_reference() {
    let site = Site {
        namespace: "spk-cwc",
        report: Some(Uuid::from_u128(0xa1)),
        upstream: "https://up.example/telemetry",
    };
    let mut all = Code::ALL.into_iter();
    for (first, words, advice) in TABLE {
        for (number, word) in (first..).zip(words) {
            let code = all.next().unwrap();
            assert_eq!((code.code(), code.number()), (*word, Some(number)));
            let action = code.action(&site);
            assert!(advice.iter().any(|start| action.starts_with(start)), "{word}: {action}");
        }
    }
    for word in WORDS {
        let code = all.next().unwrap();
        assert_eq!((code.code(), code.number()), (word, None));
        assert!(!code.action(&site).is_empty());
    }
    assert_eq!(all.next(), None);
    let warnings: Vec<_> = Code::ALL.into_iter().filter(|code| code.is_warning()).collect();
    assert_eq!(warnings, [Code::ClockJumpedForward, Code::TelemetryOverdue]);
}

/// LIC-250: a word means one code, in text and in JSON.
#[test]
fn a_code_and_its_word_name_each_other() {
    for code in Code::ALL {
        assert_eq!(Code::from_code(code.code()), Some(code));
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.code()));
        assert!(code.text().ends_with('.'), "{code:?}");
    }
    assert_eq!(Code::from_code("jwt"), None);
}

/// LIC-328: by the words of §4.2, not by our own match.
#[test]
fn every_code_has_the_status_of_its_group() {
    for code in Code::ALL {
        let word = code.code();
        let expected = match word {
            _ if word.ends_with("_malformed") || word.ends_with("_algorithm") => Some(400),
            "receipt_replayed" | "receipt_superseded" => Some(409),
            "switch_not_allowed" | "switch_same_license" => Some(409),
            _ if word.starts_with("jwt_") || word.starts_with("receipt_") => Some(422),
            "token_required" => Some(401),
            "token_wrong" | "cross_origin" => Some(403),
            "not_found" => Some(404),
            "report_not_ready" | "wrong_state" | "wrong_mode" => Some(405),
            "too_large" => Some(413),
            "rate_limited" => Some(429),
            "report_download_failed" => Some(500),
            "store_unavailable" | "not_leader" => Some(503),
            _ => None,
        };
        assert_eq!(code.http_status(), expected, "{word}");
    }
}
