//! Nothing that is read from outside can bring a reader down.

use proptest::prelude::*;

use super::*;
use crate::base64url::encode;
use crate::ed25519::tests::key;
use crate::{Ed25519Key, RsaSigningKey, json, unverified};

/// Feeds every reader of this crate; each must return.
fn read_everything(text: &str) {
    let keys = RsaKeySet::default();
    for limits in [Limits::JWT, Limits::RECEIPT, Limits::REPORT, Limits::STATEMENT] {
        let _ = verify_rs512(text, &limits, &keys);
        let _ = verify_ed25519(text, "spk-lease+jwt", &limits, &key(1).jwks());
        let _ = verify_embedded(text, &limits);
        let _ = unverified::read(text, &limits);
    }
    let _ = RsaKeySet::parse(text);
    let _ = Jwks::parse(text);
    let _ = Ed25519Key::from_jwk(text);
    let _ = RsaSigningKey::from_pem("v1", text);
    let _ = crate::name::token_name(text);
}

/// Any JSON of some levels, with the member names that the readers look for.
fn any_json() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("keys"),
        Just("kid"),
        Just("alg"),
        Just("typ"),
        Just("kty"),
        Just("crv"),
        Just("x"),
        Just("n"),
        Just("e"),
        Just("x5c"),
        Just("jwk"),
        Just("use"),
        Just("key_ops"),
        Just("crit"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "\"[A-Za-z0-9_-]{0,12}\"",
        prop_oneof![
            Just("\"RSA\""),
            Just("\"OKP\""),
            Just("\"Ed25519\""),
            Just("\"EdDSA\""),
            Just("\"RS512\""),
            Just("\"JWT\""),
            Just("\"v1\""),
        ]
        .prop_map(str::to_owned),
        prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| format!("\"{}\"", encode(&bytes))),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| {
                let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_everything(&String::from_utf8_lossy(&bytes));
        let _ = json::object(&bytes, 8);
        let pem = format!("-----BEGIN PRIVATE KEY-----{}-----END PRIVATE KEY-----", encode(&bytes));
        read_everything(&pem);
    }

    #[test]
    fn any_parts_are_read_without_a_panic(
        header in any_json(), payload in any_json(), signature in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let signature = encode(&signature);
        let text = format!("{}.{}.{signature}", encode(header.as_bytes()), encode(payload.as_bytes()));
        read_everything(&text);
        read_everything(&format!("{{\"keys\":[{header},{payload}]}}"));
        // Signed by a trusted key, so that the payload is read as well.
        let signed = key(1).sign_typed("spk-lease+jwt", payload.as_bytes());
        read_everything(&signed);
        read_everything(&key(1).sign_embedded(payload.as_bytes()));
    }

    #[test]
    fn any_certificate_in_a_key_set_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
        prop_assert_eq!(crate::certificate::of_certificate(&text), None);
    }
}
