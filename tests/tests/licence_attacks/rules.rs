//! Tokens that break a rule of every compact JWS: V1 to V8, and with other codes A1.

use std::net::SocketAddr;

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA512};
use serde_json::{Value, json};
use spk_jose::base64url;

use crate::forge::{self, Forger};
use crate::{Attack, Leaves};

/// Kind of token, for codes and limits.
#[derive(Clone, Copy)]
pub struct Kind {
    /// First word of its codes.
    pub word: &'static str,
    /// Levels of JSON that it may have.
    pub depth: usize,
    /// Bytes that it may have.
    pub size: usize,
}

/// The attacks with `claims` that would be accepted if they were signed as they should be.
/// `listener`: what headers name as the place of a key.
pub fn broken(forger: &Forger, kind: Kind, claims: &Value, listener: SocketAddr) -> Vec<Attack> {
    let mut all = algorithms(forger, claims);
    all.extend(key_ids(forger, claims));
    all.extend(header_keys(forger, claims, listener));
    all.extend(shapes(forger, kind, claims));
    all.into_iter()
        .map(|(name, body, status, code)| Attack {
            name: format!("{} {name}", kind.word),
            body,
            status,
            code: match code {
                "too_large_body" => String::from("too_large"),
                code => format!("{}_{code}", kind.word),
            },
            leaves: Leaves::Nothing,
        })
        .collect()
}

/// Name, body, status, code without the kind.
type Row = (String, String, u16, &'static str);

/// V4: LIC-104 and LIC-109 at the door of the running program.
fn algorithms(forger: &Forger, claims: &Value) -> Vec<Row> {
    let payload = claims.to_string();
    let header = |alg: &str| json!({ "alg": alg, "typ": "JWT", "kid": forger.kid() }).to_string();
    let mut rows = Vec::new();
    for none in ["none", "None", "NONE", "nOnE"] {
        let token = forge::with_signature(&header(none), &payload, b"x");
        rows.push((format!("alg {none}"), token, 400, "algorithm"));
    }
    let unsigned = forge::with_signature(&header("none"), &payload, b"");
    rows.push(("alg none, no signature".into(), unsigned, 400, "malformed"));
    for (secret, form) in forger.public.iter().zip(["PEM", "DER", "JWK"]) {
        let token = forge::hmac(HMAC_SHA512, &header("HS512"), &payload, secret);
        rows.push((format!("HS512 by the public key's {form}"), token, 400, "algorithm"));
        let token = forge::hmac(HMAC_SHA256, &header("HS256"), &payload, secret);
        rows.push((format!("HS256 by the public key's {form}"), token, 400, "algorithm"));
        // The name of the right algorithm over an HMAC.
        let token = forge::hmac(HMAC_SHA512, &header("RS512"), &payload, secret);
        rows.push((format!("HMAC by {form} called RS512"), token, 422, "signature"));
    }
    let pss = forger.pss(&header("PS512"), &payload);
    rows.push(("PS512, a real one".into(), pss, 400, "algorithm"));
    let pss = forger.pss(&header("RS512"), &payload);
    rows.push(("PSS called RS512".into(), pss, 422, "signature"));
    for alg in ["RS256", "RS384", "PS256", "ES512", "EdDSA", "rs512", "RS512 ", ""] {
        rows.push((format!("alg {alg:?}"), forger.sign(&header(alg), &payload), 400, "algorithm"));
    }
    for alg in [json!(["RS512"]), json!(null), json!(512)] {
        let header = json!({ "alg": alg, "kid": forger.kid() }).to_string();
        rows.push((format!("alg {alg}"), forger.sign(&header, &payload), 400, "algorithm"));
    }
    rows
}

/// V5: LIC-105.
fn key_ids(forger: &Forger, claims: &Value) -> Vec<Row> {
    let kid = forger.kid();
    let mut kids: Vec<Value> = [
        "",
        "../../etc/passwd",
        "/dev/null",
        "' OR 1=1 --",
        "*",
        "\u{0}",
        "none",
        &kid.to_uppercase(),
        &format!("{kid} "),
        &format!("{kid}\u{0}"),
        &"k".repeat(65),
    ]
    .map(|text| json!(text))
    .to_vec();
    kids.extend([json!([kid]), json!({ "kid": kid }), json!(1), json!(null)]);
    let mut rows: Vec<Row> = kids
        .into_iter()
        .filter(|other| *other != json!(kid))
        .map(|other| {
            let header = json!({ "alg": "RS512", "kid": other }).to_string();
            let token = forger.sign(&header, &claims.to_string());
            (format!("kid {other}"), token, 422, "unknown_key")
        })
        .collect();
    let without = forger.sign("{\"alg\":\"RS512\"}", &claims.to_string());
    rows.push(("no kid".into(), without, 422, "unknown_key"));
    rows
}

/// V6 and V7: keys and places of keys that a header brings along (LIC-106).
fn header_keys(forger: &Forger, claims: &Value, listener: SocketAddr) -> Vec<Row> {
    let payload = claims.to_string();
    let own = forger.stranger.public_jwk();
    let url = format!("https://{listener}/keys");
    let plain = format!("http://{listener}/keys");
    let mut rows = vec![(
        "another key of the same name".to_owned(),
        forger.stranger.sign(payload.as_bytes()).unwrap(),
        422,
        "signature",
    )];
    for (name, more) in [
        ("jku", json!({ "jku": url })),
        ("jku by plain HTTP", json!({ "jku": plain })),
        ("x5u", json!({ "x5u": url })),
        ("jku and x5u", json!({ "jku": plain, "x5u": plain })),
        ("jwk", json!({ "jwk": own })),
        ("x5c", json!({ "x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA" })),
        ("all of them", json!({ "jwk": own, "jku": url, "x5u": url, "x5c": [] })),
    ] {
        let header = forge::with(&json!({ "alg": "RS512", "kid": forger.kid() }), more);
        let token = forger.stranger.sign_parts(header.as_bytes(), payload.as_bytes()).unwrap();
        rows.push((format!("own key by {name}"), token, 422, "signature"));
    }
    rows
}

/// V1 to V3, V7, V8: sizes, depths, duplicates, parts, bits.
fn shapes(forger: &Forger, kind: Kind, claims: &Value) -> Vec<Row> {
    let payload = claims.to_string();
    let good = forger.usual(&payload);
    let parts: Vec<&str> = good.split('.').collect();
    let kid = forger.kid();
    let header = |more: &str| format!("{{\"alg\":\"RS512\",\"kid\":\"{kid}\"{more}}}");
    let deep = |depth: usize| {
        forger.usual(&format!(
            "{},\"deep\":{}}}",
            &payload[..payload.len() - 1],
            forge::nested(depth)
        ))
    };
    let mut flipped = base64url::decode(parts[2]).unwrap();
    flipped[100] ^= 1;
    let altered = payload.replacen("F5 Inc.", "F5  Inc.", 1);
    let first = payload.find(':').unwrap();
    let twice = format!("{{{}:0,{}", &payload[1..first], &payload[1..]);
    // Two objects, one after the other.
    let two = format!("{payload}{payload}");
    let padded = good.replace('.', "=.");
    let own = |token: &str| token.to_owned();
    vec![
        ("one byte too large".into(), "a".repeat(kind.size + 1), 413, "too_large_body"),
        ("a megabyte".into(), "a".repeat(1 << 20), 413, "too_large_body"),
        (
            "large header".into(),
            forger.sign(&header(&format!(",\"x\":\"{}\"", "x".repeat(4_100))), "{}"),
            422,
            "too_large",
        ),
        ("one level too deep".into(), deep(kind.depth), 400, "malformed"),
        ("1,000 levels deep".into(), deep(1_000), 400, "malformed"),
        (
            "deep header".into(),
            forger.sign(&header(&format!(",\"x\":{}", forge::nested(1_000))), &payload),
            400,
            "malformed",
        ),
        (
            "alg twice".into(),
            forger.sign(&format!("{{\"alg\":\"none\",{}", &header("")[1..]), &payload),
            400,
            "malformed",
        ),
        (
            "kid twice".into(),
            forger.sign(&header(",\"kid\":\"other\""), &payload),
            400,
            "malformed",
        ),
        ("a claim twice".into(), forger.usual(&twice), 400, "malformed"),
        (
            "a claim twice, deep inside".into(),
            forger.usual(&format!("{{\"x\":[{{\"y\":1,\"y\":2}}],{}", &payload[1..])),
            400,
            "malformed",
        ),
        ("two objects".into(), forger.usual(&two), 400, "malformed"),
        ("an array".into(), forger.usual(&format!("[{payload}]")), 400, "malformed"),
        ("crit".into(), forger.sign(&header(",\"crit\":[\"exp\"]"), &payload), 400, "malformed"),
        ("b64".into(), forger.sign(&header(",\"b64\":false"), &payload), 400, "malformed"),
        ("zip".into(), forger.sign(&header(",\"zip\":\"DEF\""), &payload), 400, "malformed"),
        ("enc".into(), forger.sign(&header(",\"enc\":\"A256GCM\""), &payload), 400, "malformed"),
        (
            "typ of a lease".into(),
            forger.sign(&header(",\"typ\":\"spk-lease+jwt\""), &payload),
            400,
            "malformed",
        ),
        ("padded".into(), padded, 400, "malformed"),
        ("white space inside".into(), good.replacen('.', ". ", 1), 400, "malformed"),
        ("two parts".into(), format!("{}.{}", parts[0], parts[1]), 400, "malformed"),
        ("four parts".into(), format!("{good}.{}", parts[2]), 400, "malformed"),
        ("nothing".into(), String::new(), 400, "malformed"),
        (
            "one bit of the signature".into(),
            format!("{}.{}.{}", parts[0], parts[1], base64url::encode(&flipped)),
            422,
            "signature",
        ),
        (
            "another payload under the signature".into(),
            format!("{}.{}.{}", parts[0], base64url::encode(altered.as_bytes()), parts[2]),
            422,
            "signature",
        ),
        (
            "the signature of another token".into(),
            {
                let other = forger.usual("{}");
                format!("{}.{}.{}", parts[0], parts[1], own(other.rsplit('.').next().unwrap()))
            },
            422,
            "signature",
        ),
    ]
}
