//! Lease and debug statements: Ed25519, the smallest limits, a `typ` of their own.

use super::*;
use crate::ed25519::tests::key;

const TYP: &str = "spk-lease+jwt";
const HEADER: &str = r#"{"alg":"EdDSA","typ":"spk-lease+jwt","kid":"KID"}"#;

fn header() -> String {
    HEADER.replace("KID", key(1).kid())
}

fn outcome(text: &str) -> Result<String, JoseError> {
    verify_ed25519(text, TYP, &Limits::STATEMENT, &key(1).jwks()).map(|verified| verified.kid)
}

#[test]
fn a_signed_statement_verifies_and_white_space_around_it_is_trimmed() {
    let text = key(1).sign_parts(header().as_bytes(), b"{}");
    assert_eq!(outcome(&text), Ok(key(1).kid().to_owned()));
    assert_eq!(outcome(&format!(" \n{text}\r\n")), Ok(key(1).kid().to_owned()));
}

#[test]
fn sizes_are_taken_at_the_limit_and_refused_above_it() {
    let with = |header: usize, payload: usize| {
        let start = HEADER.replace("KID", key(1).kid());
        let pad = "x".repeat(header - start.len() - r#","p":"""#.len());
        let head = format!(r#"{},"p":"{pad}"}}"#, start.trim_end_matches('}'));
        assert_eq!(head.len(), header);
        let body = format!(r#"{{"p":"{}"}}"#, "x".repeat(payload - r#"{"p":""}"#.len()));
        key(1).sign_parts(head.as_bytes(), body.as_bytes())
    };
    assert!(outcome(&with(1024, 100)).is_ok());
    assert_eq!(outcome(&with(1025, 100)), Err(JoseError::TooLarge));
    // 4096 = 1366 (header of 1024 bytes) + 1 + 2642 (payload) + 1 + 86
    let largest = with(1024, 1981);
    assert_eq!(largest.len(), 4096);
    assert!(outcome(&largest).is_ok());
    assert_eq!(outcome(&with(1024, 1982)), Err(JoseError::TooLarge));
}

#[test]
fn a_form_that_is_not_strict_is_malformed() {
    let good = key(1).sign_parts(header().as_bytes(), b"{}");
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let stray = key(1).sign_parts(header().as_bytes(), b"{} ");
    let stray = stray.replace(".e30g.", ".e30h.");
    for bad in [
        String::new(),
        ".".to_owned(),
        format!("{head}.{body}"),
        format!("{head}.{body}.{signature}.x"),
        format!("{head}..{signature}"),
        format!("{head}.{body}."),
        format!("{head}.{body}=.{signature}"),
        format!("{head}. {body}.{signature}"),
        format!("{head}+.{body}.{signature}"),
        // "e30" is "{}"; the last character carries two unused bits.
        format!("{head}.e31.{signature}"),
    ] {
        assert_eq!(outcome(&bad), Err(JoseError::Form), "{bad}");
    }
    assert!(outcome(&stray).is_err());
}

#[test]
fn a_payload_or_header_with_a_name_twice_is_malformed() {
    let twice = key(1).sign_parts(header().as_bytes(), br#"{"a":1,"a":1}"#);
    assert_eq!(outcome(&twice), Err(JoseError::Payload));
    let head = header().replace('}', r#","alg":"EdDSA"}"#);
    assert_eq!(outcome(&key(1).sign_parts(head.as_bytes(), b"{}")), Err(JoseError::Header));
}

#[test]
fn a_critical_header_is_refused() {
    let head = header().replace('}', r#","crit":["exp"]}"#);
    assert_eq!(outcome(&key(1).sign_parts(head.as_bytes(), b"{}")), Err(JoseError::Extension));
}

/// A debug statement is no lease and the other way round (licensing.md §2.6).
#[test]
fn a_statement_of_another_typ_is_refused() {
    for typ in ["spk-debug+jwt", "SPK-LEASE+JWT", "JWT", ""] {
        assert_eq!(outcome(&key(1).sign_typed(typ, b"{}")), Err(JoseError::Type), "{typ}");
    }
    let without = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, key(1).kid());
    let text = key(1).sign_parts(without.as_bytes(), b"{}");
    assert_eq!(outcome(&text), Err(JoseError::Type));
}

#[test]
fn a_statement_of_another_algorithm_or_key_is_refused() {
    for alg in ["RS512", "HS256", "none", "eddsa", "Ed25519"] {
        let text = key(1).sign_parts(header().replace("EdDSA", alg).as_bytes(), b"{}");
        assert_eq!(outcome(&text), Err(JoseError::Algorithm), "{alg}");
    }
    assert_eq!(outcome(&key(2).sign_typed(TYP, b"{}")), Err(JoseError::UnknownKey));
    let forged = key(2).sign_parts(header().as_bytes(), b"{}");
    assert_eq!(outcome(&forged), Err(JoseError::Signature));
}
