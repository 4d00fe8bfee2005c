use serde_json::{Value, json};
use spk_entitlement::{Authority, Class, Jwks, Occasion, Verdict};
use spk_jose::{Ed25519Key, RsaKeySet};
use uuid::Uuid;

use super::{DecodeError, DecodeKeys, Decoded, TokenKind, Verification, bare, decode};
use crate::fixture::{
    ASSET, LICENSE, NOW, claims, issuers, keys, report_key, signed, stranger, with,
};

fn lease_key() -> Ed25519Key {
    Ed25519Key::from_seed([5; 32]).unwrap()
}

fn decode_with(text: &str, authority: Option<&RsaKeySet>, lease: Option<&Jwks>) -> Decoded {
    let issuers = issuers();
    decode(text, &DecodeKeys { authority, lease, issuers: &issuers, now: NOW }).unwrap()
}

fn decoded(text: &str) -> Decoded {
    decode_with(text, Some(&keys()), Some(&lease_key().jwks()))
}

fn receipt() -> Value {
    json!({
        "iss": "F5 Inc.",
        "jti": Uuid::from_u128(1),
        "iat": NOW,
        "digitalAssetID": ASSET,
        "reportID": Uuid::from_u128(2),
        "reportSha256": "x",
        "licenseJti": LICENSE,
        "entitlement": {"orderType": "paid", "expiry": NOW + 5},
        "ack": "final",
        "delegation": {"sub": "licence-manager-of-somebody"},
    })
}

fn lease() -> String {
    let mut authority = Authority::new(lease_key(), ASSET, 1);
    let occasion = Occasion {
        class: Class::Trial,
        verdict: Verdict::Allow,
        reason: "verified".to_owned(),
        iat: NOW,
        ttl: 183,
        ends: None,
    };
    authority.open("spk-namespace", "5c0ffee0-0000-4000-8000-000000000001", &[7; 16], &occasion)
}

fn is_good(decoded: &Decoded) -> bool {
    matches!(decoded.verification, Verification::Good { .. })
}

fn code(decoded: &Decoded) -> &'static str {
    match &decoded.verification {
        Verification::Bad { code, .. } => code,
        Verification::Good { .. } | Verification::Unknown => "",
    }
}

/// LIC-916
#[test]
fn each_kind_is_told_and_verified() {
    let report = report_key().sign_embedded(br#"{"documentType":"ProductTelemetry"}"#);
    let debug = lease_key().sign_typed("spk-debug+jwt", br#"{"sub":"spk-namespace"}"#);
    for (text, kind) in [
        (signed(&claims()), TokenKind::License),
        (signed(&receipt()), TokenKind::Receipt),
        (lease(), TokenKind::Lease),
        (debug, TokenKind::Debug),
    ] {
        let good = decoded(&text);
        assert_eq!(good.kind, kind);
        assert!(is_good(&good), "{good:?}");
        assert_eq!(decode_with(&text, None, None).verification, Verification::Unknown);
    }
    let bad = decoded(&report);
    assert_eq!((bad.kind, code(&bad)), (TokenKind::Report, "report_payload"));
}

/// LIC-916: a report that was really made.
#[test]
fn a_report_verifies_with_its_own_key() {
    let text = crate::report::tests::example().sign(&report_key()).unwrap();
    let good = decode_with(&format!("{{\"report\":\"{}\"}}\n", text.text), None, None);
    assert_eq!(good.kind, TokenKind::Report);
    assert_eq!(good.verification, Verification::Good { kid: report_key().kid().to_owned() });
    assert_eq!(good.sha256, text.sha256);
}

/// LIC-916
#[test]
fn no_sub_is_shown_in_full() {
    let subject = "TST-b1c5a3c6-1c7d-4d0f-9f0e-7b3a";
    let odd = with(claims(), "also", json!([{"sub": [subject]}, {"x": {"sub": subject}}]));
    for (text, hidden) in [
        (signed(&odd), subject),
        (signed(&receipt()), "licence-manager-of-somebody"),
        (lease(), "spk-namespace"),
        (signed(&with(claims(), "sub", json!("ab"))), "\"ab\""),
    ] {
        let shown = serde_json::to_string(&decoded(&text)).unwrap();
        assert!(!shown.contains(hidden), "{shown}");
        assert!(!format!("{:?}", decoded(&text)).contains(hidden));
    }
    let shown = decoded(&signed(&claims()));
    assert_eq!(shown.payload["sub"], "TST-b1c5… (32 characters)");
}

/// LIC-916: what is wrong is said, and the token is shown all the same.
#[test]
fn a_bad_token_is_shown_with_the_reason() {
    let foreign = stranger().sign(claims().to_string().as_bytes()).unwrap();
    assert_eq!(code(&decoded(&foreign)), "jwt_signature");
    assert_eq!(code(&decoded(&signed(&with(claims(), "f5_sat", json!(5))))), "jwt_expired");
    assert_eq!(code(&decoded(&signed(&with(claims(), "iss", json!("x"))))), "jwt_issuer");
    let foreign = stranger().sign(receipt().to_string().as_bytes()).unwrap();
    assert_eq!(code(&decoded(&foreign)), "receipt_signature");
    let other = Ed25519Key::from_seed([6; 32]).unwrap().jwks();
    let refused = decode_with(&lease(), None, Some(&other));
    assert_ne!(code(&refused), "");
}

#[test]
fn dates_are_shown_as_dates() {
    let shown = decoded(&signed(&claims()));
    assert_eq!(shown.dates["iat"].to_string(), "2027-01-14T08:00:00Z");
    assert_eq!(shown.dates.len(), 2);
    let shown = decoded(&signed(&receipt()));
    assert_eq!(shown.dates["entitlement.expiry"].to_string(), "2027-01-15T08:00:05Z");
}

#[test]
fn every_wrapping_is_taken_off() {
    for text in
        ["a.b.c", " a.b.c\n", "\"a.b.c\"", r#"{"report": "a.b.c"}"#, r#"{"manifest":" a.b.c "}"#]
    {
        assert_eq!(bare(text), "a.b.c", "{text}");
    }
    for text in ["{}", "\"", r#"{"manifest":1}"#, r#"{"jwt":"a","jwt":"b"}"#, ""] {
        assert_eq!(bare(text), text);
    }
}

#[test]
fn what_is_no_token_of_ours_is_refused() {
    let issuers = issuers();
    let keys = DecodeKeys { authority: None, lease: None, issuers: &issuers, now: NOW };
    assert_eq!(decode(&signed(&json!({"a": 1})), &keys), Err(DecodeError::Kind));
    assert!(matches!(decode("hello", &keys), Err(DecodeError::Form(_))));
}
