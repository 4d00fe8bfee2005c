use serde_json::{Value, json};

use super::{LicenseClaims, LicenseToken, OrderType, TokenError};
use crate::codes::Code;
use crate::fixture::{LICENSE, NOW, claims, issuers, keys, signed, stranger, with};

fn verify(payload: &Value) -> Result<LicenseToken, TokenError> {
    LicenseToken::verify(&signed(payload), &keys(), &issuers(), NOW)
}

/// The code that refuses [`claims`] with `name` set to `value`; none if nothing does.
fn refusal(name: &str, value: Value) -> Option<Code> {
    verify(&with(claims(), name, value)).err().map(TokenError::code)
}

#[test]
fn a_licence_of_the_seeds_shape_is_read() {
    let token = verify(&claims()).unwrap();
    assert_eq!(token.kid, "v1");
    assert_eq!(token.claims.jti, LICENSE);
    assert_eq!(token.claims.order_type, OrderType::Paid);
    assert_eq!(token.claims.iat, Some(NOW - 86_400));
}

/// LIC-110
#[test]
fn another_issuer_is_refused_unless_the_values_trust_it() {
    for wrong in [json!("F5 Inc"), json!("f5 inc."), json!(null), json!(["F5 Inc."]), json!(5)] {
        assert_eq!(refusal("iss", wrong.clone()), Some(Code::JwtIssuer), "{wrong}");
    }
    let text = signed(&with(claims(), "iss", json!("Operator")));
    let trusted = ["F5 Inc.".to_owned(), "Operator".to_owned()];
    assert!(LicenseToken::verify(&text, &keys(), &trusted, NOW).is_ok());
    assert_eq!(LicenseToken::verify(&text, &keys(), &issuers(), NOW), Err(TokenError::Issuer));
}

/// LIC-111
#[test]
fn audience_is_ours_alone_or_among_others() {
    for right in [json!("urn:f5:teem"), json!(["urn:x", "urn:f5:teem"])] {
        assert_eq!(refusal("aud", right), None);
    }
    for wrong in [json!("urn:f5:Teem"), json!(["urn:x"]), json!([]), json!(1), json!(null)] {
        assert_eq!(refusal("aud", wrong.clone()), Some(Code::JwtAudience), "{wrong}");
    }
}

/// LIC-112
#[test]
fn subject_and_identifier_are_well_formed() {
    assert_eq!(refusal("sub", json!("é".repeat(2_048))), None);
    for wrong in [json!(""), json!("x".repeat(2_049)), json!(1), json!(null)] {
        assert_eq!(refusal("sub", wrong), Some(Code::JwtClaims));
    }
    let id = LICENSE.to_string();
    assert_eq!(refusal("jti", json!(id.to_uppercase())), None);
    for wrong in [
        json!(id.replace('-', "")),
        json!(format!("{{{id}}}")),
        json!(format!("urn:uuid:{id}")),
        json!(format!("{id}0")),
        json!(id.replace('b', "g")),
        json!("no uuid"),
        json!(null),
    ] {
        assert_eq!(refusal("jti", wrong.clone()), Some(Code::JwtClaims), "{wrong}");
    }
    assert_eq!(refusal("f5_order_subtype", json!("flex")), None);
    assert_eq!(refusal("f5_order_subtype", json!(7)), Some(Code::JwtClaims));
    assert_eq!(refusal("exp", json!("tomorrow")), Some(Code::JwtClaims));
}

/// LIC-113
#[test]
fn four_order_types_pass_and_have_their_class() {
    for order in OrderType::ALL {
        let token = verify(&with(claims(), "f5_order_type", json!(order.as_str()))).unwrap();
        assert_eq!(token.claims.order_type, order);
    }
    for wrong in [json!("Paid"), json!("trial"), json!(""), json!(null), json!(["paid"])] {
        assert_eq!(refusal("f5_order_type", wrong.clone()), Some(Code::JwtOrderType), "{wrong}");
    }
    let trial = [OrderType::Eval, OrderType::Freemium];
    for order in OrderType::ALL {
        let class = if trial.contains(&order) { "Trial" } else { "Production" };
        assert_eq!(format!("{:?}", order.class()), class);
    }
}

/// LIC-114
#[test]
fn start_may_lie_an_hour_ahead() {
    assert_eq!(refusal("iat", json!(NOW + 3_600)), None);
    assert_eq!(refusal("iat", json!(0)), None);
    for wrong in [json!(NOW + 3_601), json!(-1), json!(1.5), json!("1"), json!(null)] {
        assert_eq!(refusal("iat", wrong.clone()), Some(Code::JwtNotYetValid), "{wrong}");
    }
}

/// LIC-115
#[test]
fn not_before_may_lie_five_minutes_ahead() {
    assert_eq!(refusal("nbf", json!(NOW + 300)), None);
    assert_eq!(refusal("nbf", json!(NOW + 301)), Some(Code::JwtNotYetValid));
    assert_eq!(refusal("nbf", json!(u64::MAX)), Some(Code::JwtNotYetValid));
}

/// LIC-116
#[test]
fn the_earlier_end_counts_and_must_lie_ahead() {
    let both = |exp: Value, sat: Value| with(with(claims(), "exp", exp), "f5_sat", sat);
    let end = |exp: Value, sat: Value| verify(&both(exp, sat)).map(|token| token.claims.end());
    assert_eq!(end(json!(NOW + 10), json!(null)), Ok(Some(NOW + 10)));
    assert_eq!(end(json!(null), json!(NOW + 20)), Ok(Some(NOW + 20)));
    assert_eq!(end(json!(NOW + 10), json!(NOW + 20)), Ok(Some(NOW + 10)));
    assert_eq!(end(json!(NOW + 20), json!(NOW + 10)), Ok(Some(NOW + 10)));
    // RFC 7519 allows fractions.
    assert_eq!(end(json!(NOW as f64 + 1.5), json!(null)), Ok(Some(NOW + 1)));
    assert_eq!(end(json!(u64::MAX), json!(null)), Ok(Some(u64::MAX)));
    for (exp, sat) in [
        (json!(NOW), json!(null)),
        (json!(null), json!(NOW)),
        (json!(NOW - 1), json!(NOW + 20)),
        (json!(NOW + 20), json!(0)),
        (json!(-5), json!(null)),
    ] {
        let refused = end(exp.clone(), sat.clone()).unwrap_err().code();
        assert_eq!(refused, Code::JwtExpired, "{exp} {sat}");
    }
}

/// LIC-117
#[test]
fn without_an_end_a_trial_has_thirty_days_and_production_has_none() {
    let endless = |order: &str| {
        let payload = with(with(claims(), "f5_sat", json!(null)), "f5_order_type", json!(order));
        verify(&payload).unwrap().claims
    };
    for order in ["eval", "freemium"] {
        let claims = endless(order);
        assert_eq!(claims.license_end(None, None), None);
        assert_eq!(claims.license_end(None, Some(NOW)), Some(NOW + 30 * 86_400));
        assert_eq!(claims.license_end(Some(NOW + 5), Some(NOW)), Some(NOW + 5));
    }
    for order in ["paid", "ela"] {
        let claims = endless(order);
        assert_eq!(claims.license_end(None, Some(NOW)), None);
        assert_eq!(claims.license_end(Some(NOW + 5), Some(NOW)), Some(NOW + 5));
    }
    let named = verify(&claims()).unwrap().claims;
    assert_eq!(named.license_end(None, Some(NOW)), Some(NOW + 400 * 86_400));
    assert_eq!(named.license_end(Some(NOW + 900 * 86_400), Some(NOW)), Some(NOW + 900 * 86_400));
}

/// LIC-118: `licensekey` holds the received text, so it keeps them; the shell stores
/// [`LicenseToken::text`].
#[test]
fn unknown_claims_are_ignored_and_kept() {
    let payload = with(claims(), "f5_future", json!({"a": [1, {"b": null}]}));
    let text = signed(&payload);
    let token = LicenseToken::verify(&format!("  {text}\n"), &keys(), &issuers(), NOW).unwrap();
    assert_eq!(token.text, text);
    let again = LicenseToken::verify(&token.text, &keys(), &issuers(), NOW).unwrap();
    assert_eq!(again, token);
    let body = token.text.split('.').nth(1).unwrap();
    let kept = spk_jose::base64url::decode(body).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), payload);
}

#[test]
fn the_first_failing_rule_gives_the_code() {
    // Each wrong claim is met before all that were made wrong earlier.
    let mut payload = with(claims(), "f5_sat", json!(1));
    assert_eq!(verify(&payload).unwrap_err().code(), Code::JwtExpired);
    for (name, value, code) in [
        ("nbf", json!(NOW + 9_999), Code::JwtNotYetValid),
        ("iat", json!(NOW + 9_999), Code::JwtNotYetValid),
        ("f5_order_type", json!("x"), Code::JwtOrderType),
        ("jti", json!("x"), Code::JwtClaims),
        ("aud", json!("x"), Code::JwtAudience),
        ("iss", json!("x"), Code::JwtIssuer),
    ] {
        payload = with(payload, name, value);
        assert_eq!(verify(&payload).unwrap_err().code(), code, "{name}");
    }
    // V1 to V7 come before any claim.
    let foreign = stranger().sign(payload.to_string().as_bytes()).unwrap();
    let codes = [
        (foreign, Code::JwtSignature),
        ("x".repeat(9_000), Code::JwtTooLarge),
        ("a.b".to_owned(), Code::JwtMalformed),
    ];
    for (text, code) in codes {
        let refused = LicenseToken::verify(&text, &keys(), &issuers(), NOW);
        assert_eq!(refused.unwrap_err().code(), code);
    }
}

#[test]
fn a_stored_licence_is_read_although_it_ended() {
    let text = signed(&with(claims(), "f5_sat", json!(NOW - 1)));
    let token = LicenseToken::read(&text, &keys(), &issuers()).unwrap();
    assert_eq!(token.claims.check_time(NOW), Err(TokenError::Expired { end: NOW - 1 }));
}

/// The customer's association token is in no debug text, and claims survive storing.
#[test]
fn debug_shows_no_secret() {
    let token = verify(&claims()).unwrap();
    let text = format!("{token:?}");
    assert!(!text.contains(&token.claims.sub), "{text}");
    assert!(!text.contains(&token.text), "{text}");
    let stored = serde_json::to_string(&token.claims).unwrap();
    assert_eq!(serde_json::from_str::<LicenseClaims>(&stored).unwrap(), token.claims);
}
