use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Acceptance, Ack, Entitlement, Expected, Outstanding, ReceiptClaims, ReceiptError,
    SignedReceipt, Superseded,
};
use crate::codes::Code;
use crate::fixture::{ASSET, LICENSE, NOW, issuers, keys, signed, stranger, with};
use crate::token::OrderType;

const REPORT: Uuid = Uuid::from_u128(0xa1);
const OLD_REPORT: Uuid = Uuid::from_u128(0xa0);
const RECEIPT: Uuid = Uuid::from_u128(0xc1);
const HASH: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

fn claims() -> ReceiptClaims {
    ReceiptClaims {
        iss: "F5 Inc.".to_owned(),
        jti: RECEIPT,
        iat: NOW,
        digital_asset_id: ASSET,
        report_id: REPORT,
        report_sha256: HASH.to_owned(),
        license_jti: LICENSE,
        entitlement: Entitlement { order_type: OrderType::Paid, expiry: Some(NOW + 400 * 86_400) },
        ack: Ack::Final,
        reset_clock: None,
    }
}

fn payload() -> Value {
    serde_json::to_value(claims()).unwrap()
}

/// What a cluster expects that handed out [`REPORT`] an hour ago.
struct Cluster {
    issuers: Vec<String>,
    accepted: Vec<Uuid>,
    superseded: Vec<Superseded>,
    outstanding: Vec<Outstanding>,
    trusted: u64,
    wall: u64,
    last_iat: Option<u64>,
    restored_iat: Option<u64>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            issuers: issuers(),
            accepted: vec![Uuid::from_u128(0xc0)],
            superseded: vec![Superseded { report_id: OLD_REPORT, by: REPORT }],
            outstanding: vec![Outstanding {
                report_id: REPORT,
                sha256: HASH.to_owned(),
                generated_at: NOW - 3_600,
                handed_out: true,
                license_jti: LICENSE,
                order_type: OrderType::Paid,
            }],
            trusted: NOW,
            wall: NOW,
            last_iat: None,
            restored_iat: None,
        }
    }

    fn check(&self, payload: &Value) -> Result<Acceptance, ReceiptError> {
        SignedReceipt::read(&signed(payload), &keys())?.check(&Expected {
            issuers: &self.issuers,
            digital_asset_id: ASSET,
            accepted: &self.accepted,
            superseded: &self.superseded,
            outstanding: &self.outstanding,
            trusted: self.trusted,
            wall: self.wall,
            last_iat: self.last_iat,
            restored_iat: self.restored_iat,
        })
    }
}

fn refusal(name: &str, value: Value) -> Option<Code> {
    Cluster::new().check(&with(payload(), name, value)).err().map(ReceiptError::code)
}

fn dated(iat: u64) -> Value {
    with(payload(), "iat", json!(iat))
}

#[test]
fn a_right_receipt_is_accepted() {
    let accepted = Cluster::new().check(&payload()).unwrap();
    let expected = Acceptance {
        jti: RECEIPT,
        iat: NOW,
        index: 0,
        expiry: Some(NOW + 400 * 86_400),
        reset_clock: false,
    };
    assert_eq!(accepted, expected);
}

/// LIC-130 and LIC-131, the pure part: A1 gives its codes and changes nothing.
#[test]
fn what_nobody_known_signed_changes_nothing() {
    let foreign = stranger().sign(payload().to_string().as_bytes()).unwrap();
    let mut junk = signed(&payload());
    junk.truncate(junk.rfind('.').unwrap() + 1);
    junk.push_str("AAAA");
    let head = |alg: &str, kid: &str| {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        stranger().sign_parts(header.as_bytes(), b"{}").unwrap()
    };
    for (text, code, status) in [
        ("a".repeat(65_537), Code::ReceiptTooLarge, 422),
        ("no receipt".to_owned(), Code::ReceiptMalformed, 400),
        (head("HS512", "v1"), Code::ReceiptAlgorithm, 400),
        (head("RS512", "v2"), Code::ReceiptUnknownKey, 422),
        (foreign, Code::ReceiptSignature, 422),
        (junk, Code::ReceiptSignature, 422),
    ] {
        let refused = SignedReceipt::read(&text, &keys()).unwrap_err();
        assert_eq!(refused.code(), code);
        assert_eq!(code.http_status(), Some(status), "{code:?}");
        assert!(!refused.fails_verification(), "{code:?}");
    }
}

/// LIC-132
#[test]
fn another_issuer_is_refused() {
    for wrong in [json!("F5"), json!(null), json!(["F5 Inc."])] {
        assert_eq!(refusal("iss", wrong), Some(Code::ReceiptIssuer));
    }
    assert!(ReceiptError::Issuer.fails_verification());
}

/// LIC-133: machine and process tests see state 13 and the answer.
#[test]
fn a_receipt_of_another_asset_is_refused() {
    for wrong in [json!(Uuid::from_u128(5)), json!("x"), json!(null)] {
        assert_eq!(refusal("digitalAssetID", wrong), Some(Code::ReceiptWrongAsset));
    }
    assert!(ReceiptError::Asset.fails_verification());
}

/// LIC-134, the pure part: process tests post it in parallel.
#[test]
fn a_receipt_accepted_before_is_refused_without_effect() {
    let mut cluster = Cluster::new();
    cluster.accepted.push(RECEIPT);
    let refused = cluster.check(&payload()).unwrap_err();
    assert_eq!(refused, ReceiptError::Replayed);
    assert_eq!(refused.code().http_status(), Some(409));
    assert!(!refused.fails_verification());
    // A4 comes before A6: also when its report no longer waits.
    cluster.outstanding.clear();
    assert_eq!(cluster.check(&payload()), Err(ReceiptError::Replayed));
    assert_eq!(refusal("jti", json!("x")), Some(Code::ReceiptClaims));
}

/// LIC-135, the pure part.
#[test]
fn a_receipt_of_a_replaced_report_names_the_one_to_send() {
    let old = with(payload(), "reportID", json!(OLD_REPORT));
    let refused = Cluster::new().check(&old).unwrap_err();
    assert_eq!(refused, ReceiptError::Superseded { by: REPORT });
    assert!(refused.to_string().contains(&REPORT.to_string()));
    assert_eq!(refused.code().http_status(), Some(409));
    assert!(!refused.fails_verification());
}

/// LIC-136: the machine answers 405 in state 7 before it looks.
#[test]
fn a_receipt_of_another_report_is_refused() {
    let other_text = json!("AAAAv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    assert_eq!(refusal("reportID", json!(Uuid::from_u128(9))), Some(Code::ReceiptWrongReport));
    assert_eq!(refusal("reportID", json!(null)), Some(Code::ReceiptWrongReport));
    assert_eq!(refusal("reportSha256", other_text), Some(Code::ReceiptWrongReport));
    assert_eq!(refusal("reportSha256", json!(null)), Some(Code::ReceiptWrongReport));
    let mut cluster = Cluster::new();
    cluster.outstanding[0].handed_out = false;
    assert_eq!(cluster.check(&payload()), Err(ReceiptError::Report));
    assert!(ReceiptError::Report.fails_verification());
    let receipt = SignedReceipt::read(&signed(&payload()), &keys()).unwrap();
    assert_eq!(receipt.addressee(&cluster.outstanding), Some(0));
}

/// LIC-137
#[test]
fn a_receipt_for_another_licence_is_refused() {
    assert_eq!(refusal("licenseJti", json!(Uuid::from_u128(9))), Some(Code::ReceiptWrongLicense));
    for wrong in [json!({"orderType": "ela"}), json!({"orderType": "Paid"}), json!({}), json!(1)] {
        assert_eq!(refusal("entitlement", wrong), Some(Code::ReceiptWrongLicense));
    }
    assert!(ReceiptError::License.fails_verification());
}

/// LIC-138
#[test]
fn a_receipt_is_as_young_as_its_report_and_not_from_the_future() {
    const DAY: u64 = 86_400;
    let code = |cluster: &Cluster, payload: &Value| {
        cluster.check(payload).err().map(|refused| {
            assert!(refused.fails_verification());
            refused.code()
        })
    };
    let stale = Some(Code::ReceiptStale);
    let mut cluster = Cluster::new();
    let made = NOW - 3_600;
    assert_eq!(code(&cluster, &dated(NOW + DAY)), None);
    assert_eq!(code(&cluster, &dated(NOW + DAY + 1)), stale);
    assert_eq!(code(&cluster, &dated(made - DAY)), None);
    assert_eq!(code(&cluster, &dated(made - DAY - 1)), stale);
    assert_eq!(code(&cluster, &with(payload(), "iat", json!(null))), stale);
    // K7: the wall clock is ahead of trusted time, and right.
    cluster.wall = NOW + 40 * DAY;
    assert_eq!(code(&cluster, &dated(NOW + 41 * DAY)), None);
    assert_eq!(code(&cluster, &dated(NOW + 41 * DAY + 1)), stale);
    // K9: the report was made while the clock was far ahead.
    cluster = Cluster::new();
    cluster.outstanding[0].generated_at = NOW + 400 * DAY;
    cluster.trusted = NOW + 400 * DAY;
    assert_eq!(code(&cluster, &dated(NOW)), stale);
    let reset = with(dated(NOW), "resetClock", json!(true));
    assert!(cluster.check(&reset).unwrap().reset_clock);
    // Never older than the last one, also with `resetClock`.
    cluster.last_iat = Some(NOW);
    assert_eq!(code(&cluster, &reset), None);
    cluster.last_iat = Some(NOW + 1);
    assert_eq!(code(&cluster, &reset), stale);
    // §7.5: after a restore it must be younger than what the peers had seen.
    cluster = Cluster::new();
    cluster.restored_iat = Some(NOW);
    assert_eq!(code(&cluster, &dated(NOW)), stale);
    assert_eq!(code(&cluster, &dated(NOW + 1)), None);
    assert_eq!(code(&cluster, &with(dated(NOW), "resetClock", json!(true))), None);
}

/// LIC-139
#[test]
fn contradicting_members_and_local_acknowledgements_are_refused() {
    let ending = |expiry: Value| json!({"orderType": "paid", "expiry": expiry});
    assert_eq!(refusal("entitlement", ending(json!(NOW + 1))), None);
    assert_eq!(refusal("entitlement", json!({"orderType": "paid"})), None);
    for wrong in [json!(NOW), json!(NOW - 1), json!("2030-01-01"), json!(null)] {
        assert_eq!(refusal("entitlement", ending(wrong.clone())), Some(Code::ReceiptClaims));
    }
    assert_eq!(refusal("resetClock", json!("yes")), Some(Code::ReceiptClaims));
    assert_eq!(refusal("ack", json!(null)), Some(Code::ReceiptClaims));
    // Under a key of the set it fails A9, under another one A1.
    assert_eq!(refusal("ack", json!("local")), Some(Code::ReceiptClaims));
    let local = with(payload(), "ack", json!("local"));
    let foreign = stranger().sign(local.to_string().as_bytes()).unwrap();
    let refused = SignedReceipt::read(&foreign, &keys()).unwrap_err();
    assert_eq!(refused.code(), Code::ReceiptSignature);
    assert!(!refused.fails_verification());
    assert!(ReceiptError::Claim { member: "ack" }.fails_verification());
}

#[test]
fn the_first_failing_rule_gives_the_code() {
    // Each wrong member is met before all that were made wrong earlier.
    let mut wrong = with(payload(), "ack", json!("x"));
    for (name, value, code) in [
        ("iat", json!(1), Code::ReceiptStale),
        ("licenseJti", json!("x"), Code::ReceiptWrongLicense),
        ("reportSha256", json!("x"), Code::ReceiptWrongReport),
        ("reportID", json!(OLD_REPORT), Code::ReceiptSuperseded),
        ("jti", json!(Uuid::from_u128(0xc0)), Code::ReceiptReplayed),
        ("digitalAssetID", json!("x"), Code::ReceiptWrongAsset),
        ("iss", json!("x"), Code::ReceiptIssuer),
    ] {
        wrong = with(wrong, name, value);
        assert_eq!(Cluster::new().check(&wrong).unwrap_err().code(), code, "{name}");
    }
}

#[test]
fn members_are_named_as_documented() {
    let text = serde_json::to_string(&claims()).unwrap();
    let expected = format!(
        r#"{{"iss":"F5 Inc.","jti":"{RECEIPT}","iat":{NOW},"digitalAssetID":"{ASSET}","reportID":"{REPORT}","reportSha256":"{HASH}","licenseJti":"{LICENSE}","entitlement":{{"orderType":"paid","expiry":{}}},"ack":"final"}}"#,
        NOW + 400 * 86_400
    );
    assert_eq!(text, expected);
}
