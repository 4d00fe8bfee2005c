use super::*;

/// The key of 32 bytes of `number`.
pub(crate) fn key(number: u8) -> Ed25519Key {
    Ed25519Key::from_seed([number; 32]).unwrap()
}

/// LIC-010: recomputes RFC 7638 by hand; the vector is RFC 8037 appendix A.3.
#[test]
fn kid_is_the_thumbprint_of_the_public_key() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let key = Ed25519Key::from_jwk(jwk).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key.jwks().kids().collect::<Vec<_>>(), [key.kid()]);
}

#[test]
fn a_private_key_survives_its_own_text_and_is_not_in_its_debug_form() {
    let key = key(9);
    let text = key.to_jwk();
    assert_eq!(Ed25519Key::from_jwk(&text).unwrap().kid(), key.kid());
    let secret = base64url::encode(&[9; 32]);
    assert!(text.contains(&secret));
    assert!(!format!("{key:?}").contains(&secret));
}

#[test]
fn a_private_key_with_a_foreign_public_part_is_refused() {
    let text = key(1).to_jwk();
    let other = key(2).to_jwk();
    let x = |jwk: &str| jwk.split(r#""x":""#).nth(1).unwrap()[..43].to_owned();
    let mixed = text.replace(&x(&text), &x(&other));
    assert_eq!(Ed25519Key::from_jwk(&mixed).unwrap_err(), Ed25519KeyError::Mismatch);
    assert_eq!(Ed25519Key::from_jwk("{}").unwrap_err(), Ed25519KeyError::Malformed);
}
