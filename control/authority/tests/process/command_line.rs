//! What a person types.

use std::os::unix::fs::PermissionsExt as _;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::rig::{Authority, Cluster, claims, now, text};

/// Verifies a token with a library that is not ours, by the printed key set.
fn verify(authority: &Authority, token: &str) -> Value {
    let set: JwkSet = serde_json::from_str(&authority.ok(&["jwks"], "")).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::RS512, Some("JWT")));
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::RS512);
    rules.validate_aud = false;
    rules.validate_exp = false;
    rules.set_required_spec_claims(&["iss"]);
    rules.set_issuer(&["F5 Inc."]);
    jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims
}

/// LIC-441: a licence of each type and the receipt of a report under it verify by an independent
/// JOSE library.
#[test]
fn a_licence_and_a_receipt_of_each_type_verify_by_an_independent_library() {
    let authority = Authority::new();
    for (number, order_type) in ["eval", "freemium", "paid", "ela"].into_iter().enumerate() {
        let jwt = authority.ok(
            &["issue", "--type", order_type, "--cat", "CAT", "--days", "30", "--subtype", "x"],
            "",
        );
        let license = verify(&authority, &jwt);
        assert_eq!(license["sub"], "CAT");
        assert_eq!(license["aud"], "urn:f5:teem");
        assert_eq!(license["f5_order_type"], order_type);
        assert_eq!(license["f5_order_subtype"], "x");

        let cluster = Cluster::new(u8::try_from(number).unwrap() + 1);
        let telemetry = cluster.telemetry(&jwt);
        let report = cluster.sign(&telemetry);
        // Both forms of input: the token, and what GET /report prints.
        let wrapped = json!({ "report": report }).to_string();
        for input in [format!(" {report}\n"), wrapped] {
            let receipt = verify(&authority, &authority.ok(&["ack"], &input));
            assert_eq!(receipt["digitalAssetID"], json!(cluster.asset));
            assert_eq!(receipt["reportID"], telemetry["reportID"]);
            assert_eq!(receipt["reportSha256"], json!(spk_jose::name::sha256(&report)));
            assert_eq!(receipt["licenseJti"], license["jti"]);
            let entitlement = json!({"orderType": order_type, "expiry": license["f5_sat"]});
            assert_eq!(receipt["entitlement"], entitlement);
            assert_eq!(receipt["ack"], "final");
            let names: Vec<&String> = receipt.as_object().unwrap().keys().collect();
            assert_eq!(names.len(), 9, "{names:?}");
        }
    }
}

/// LIC-441: ends by `--days`, `--until` and `--for`, exact to 1 s.
#[test]
fn an_end_is_exact_to_a_second() {
    let authority = Authority::new();
    for (flag, value, seconds) in [
        ("--days", "1", 86_400),
        ("--days", "365", 365 * 86_400),
        ("--for", "90s", 90),
        ("--for", "36h", 36 * 3_600),
        ("--for", "15m", 900),
    ] {
        let before = now();
        let jwt = authority.ok(&["issue", "--type", "eval", "--cat", "C", flag, value], "");
        let claims = claims(&jwt);
        let (iat, end) = (claims["iat"].as_u64().unwrap(), claims["f5_sat"].as_u64().unwrap());
        assert!((before..=now()).contains(&iat));
        assert_eq!(end - iat, seconds, "{flag} {value}");
    }
    let until = "2030-01-01T02:00:00+02:00";
    let jwt = authority.ok(&["issue", "--type", "ela", "--cat", "C", "--until", until], "");
    assert_eq!(claims(&jwt)["f5_sat"], 1_893_456_000);
    let jwt = authority.ok(&["issue", "--type", "paid", "--cat", "C"], "");
    assert!(claims(&jwt).get("f5_sat").is_none());
}

#[test]
fn a_command_that_cannot_be_meant_is_a_usage_error() {
    let authority = Authority::new();
    for arguments in [
        &["issue", "--type", "Paid", "--cat", "C"][..],
        &["issue", "--type", "paid"],
        &["issue", "--type", "paid", "--cat", ""],
        &["issue", "--type", "paid", "--cat", "C", "--days", "1", "--for", "90s"],
        &["issue", "--type", "paid", "--cat", "C", "--for", "soon"],
        &["issue", "--type", "paid", "--cat", "C", "--kid", "v9"],
        &["keygen", "--bits", "1024"],
        &["keygen", "--kid", "../v2"],
        &["keygen", "--kid", "v1", "--bits", "2048"],
        &["jwks", "--kid", "v9"],
        &["sign-with", "v9"],
        &["serve", "--listen", "0.0.0.0:0"],
        &["serve", "--role", "llm"],
        &["serve", "--role", "llm", "--upstream", "http://127.0.0.1/x"],
        &["serve", "--role", "llm", "--upstream", "authority.example"],
    ] {
        let output = authority.run(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    let output = crate::rig::run(empty.path(), &["issue", "--type", "paid", "--cat", "C"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("keygen"), "it says what to do");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "and leaves nothing behind");
}

#[test]
fn keys_are_added_used_and_left_out_one_after_the_other() {
    let authority = Authority::new();
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let first = authority.license("paid");
    authority.ok(&["keygen", "--kid", "v2", "--bits", "2048"], "");
    assert_eq!(kid(&authority.license("paid")), "v1", "a new key does not sign by itself");
    let by_hand = authority.ok(&["issue", "--type", "paid", "--cat", "C", "--kid", "v2"], "");
    assert_eq!(kid(&by_hand), "v2");
    authority.ok(&["sign-with", "v2"], "");
    let second = authority.license("paid");
    assert_eq!((kid(&first).as_str(), kid(&second).as_str()), ("v1", "v2"));
    verify(&authority, &first);
    verify(&authority, &second);
    let cluster = Cluster::new(1);
    assert_eq!(kid(&authority.ok(&["ack"], &cluster.report(&first))), "v2");
    let only: Value = serde_json::from_str(&authority.ok(&["jwks", "--kid", "v2"], "")).unwrap();
    assert_eq!(only["keys"].as_array().unwrap().len(), 1);
    let all = authority.ok(&["jwks"], "");
    let keys = spk_jose::RsaKeySet::parse(&all).unwrap();
    assert_eq!((keys.kids().count(), keys.refused().len()), (2, 0));
}

#[test]
fn files_with_keys_and_tokens_are_for_their_owner_only() {
    let authority = Authority::new();
    let out = authority.state().join("license.jwt");
    let name = out.to_str().unwrap();
    let cat = authority.state().join("cat.txt");
    std::fs::write(&cat, "A CAT\n").unwrap();
    let cat = format!("@{}", cat.display());
    let printed = authority.ok(&["issue", "--type", "eval", "--cat", &cat, "-o", name], "");
    assert_eq!(printed, "");
    let jwt = std::fs::read_to_string(&out).unwrap();
    assert_eq!(verify(&authority, jwt.trim())["sub"], "A CAT");
    let receipt = authority.state().join("receipt");
    let report = authority.state().join("report.json");
    std::fs::write(&report, Cluster::new(1).report(jwt.trim())).unwrap();
    let (receipt, report) = (receipt.to_str().unwrap(), report.to_str().unwrap());
    authority.ok(&["ack", report, "--out", receipt], "");
    let mode = |path: &str| {
        let path = authority.state().join(path);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    for file in ["license.jwt", "receipt", "ledger.json", "keys/v1.pem", ".lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert_eq!((mode(""), mode("keys")), (0o700, 0o700));
}

#[test]
fn help_shows_the_first_steps() {
    let authority = Authority::new();
    let help = authority.ok(&["--help"], "");
    for step in ["keygen", "jwks > jwt.key", "issue --type paid", "ack < report.json", "serve"] {
        assert!(help.contains(step), "{step}");
    }
}
