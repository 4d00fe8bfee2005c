//! Reports: signed by the key in their own header.

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::json;

use super::*;
use crate::base64url::encode;
use crate::ed25519::tests::key;

/// LIC-143: a library that is not ours verifies the form every report is signed in, with the `jwk`
/// of its header, and finds the same thumbprint.
#[test]
fn an_independent_library_verifies_a_report_with_its_own_key() {
    let claims = json!({"documentType": "ProductTelemetry", "sequence": 1});
    let text = key(1).sign_embedded(claims.to_string().as_bytes());
    let header = jsonwebtoken::decode_header(&text).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("JWT")));
    let jwk: Jwk = header.jwk.unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let decoding = DecodingKey::from_jwk(&jwk).unwrap();
    let found = jsonwebtoken::decode::<Value>(&text, &decoding, &rules).unwrap();
    assert_eq!(found.claims, claims);
    assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), header.kid.unwrap());

    let ours = verify_embedded(&text, &Limits::REPORT).unwrap();
    assert_eq!((ours.key, ours.kid.as_str()), (*key(1).public(), key(1).kid()));
    assert_eq!(Value::Object(ours.payload), claims);
}

#[test]
fn a_report_whose_key_is_not_that_of_its_name_is_refused() {
    let outcome = |signer: u8, kid: u8, jwk: Value| {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": key(kid).kid(), "jwk": jwk});
        let text = key(signer).sign_parts(header.to_string().as_bytes(), b"{}");
        verify_embedded(&text, &Limits::REPORT).map(|_| ())
    };
    let jwk =
        |number: u8| json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key(number).public())});
    assert_eq!(outcome(1, 1, jwk(1)), Ok(()));
    assert_eq!(outcome(2, 1, jwk(1)), Err(JoseError::Signature));
    assert_eq!(outcome(2, 1, jwk(2)), Err(JoseError::EmbeddedKey));
    assert_eq!(outcome(1, 2, jwk(1)), Err(JoseError::EmbeddedKey));
    for (member, value) in [
        ("kty", json!("RSA")),
        ("crv", json!("Ed448")),
        ("x", json!("AAAA")),
        ("x", json!(null)),
        ("alg", json!("ES256")),
        ("d", json!(encode(&[1; 32]))),
    ] {
        let mut bad = jwk(1);
        bad[member] = value;
        assert_eq!(outcome(1, 1, bad), Err(JoseError::EmbeddedKey), "{member}");
    }
    for jwk in [json!(null), json!([]), json!("x"), json!({})] {
        assert_eq!(outcome(1, 1, jwk), Err(JoseError::EmbeddedKey));
    }
    // A low-order point as key: every signature of all zeros would fit it in a lax library.
    let zero = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[0; 32])});
    let header = json!({"alg": "EdDSA", "kid": crate::jwks::thumbprint(&[0; 32]), "jwk": zero});
    let text = format!("{}.e30.{}", encode(header.to_string().as_bytes()), encode(&[0; 64]));
    assert_eq!(verify_embedded(&text, &Limits::REPORT).map(|_| ()), Err(JoseError::Signature));
}

#[test]
fn an_rs512_report_and_one_without_a_kid_are_refused() {
    let x = encode(key(1).public());
    let with = |start: &str| {
        let header = format!(r#"{{{start}"jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#);
        verify_embedded(&key(1).sign_parts(header.as_bytes(), b"{}"), &Limits::REPORT).map(|_| ())
    };
    assert_eq!(with(r#""alg":"RS512","kid":"v1","#), Err(JoseError::Algorithm));
    assert_eq!(with(r#""alg":"EdDSA","#), Err(JoseError::UnknownKey));
}
