use super::*;
use crate::fixture::key;
use crate::signer::{KeyError, LeaseKey};

/// LIC-010: recomputes RFC 7638 by hand; the vector is RFC 8037 appendix A.3.
#[test]
fn kid_is_the_thumbprint_of_the_public_key() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let key = LeaseKey::from_jwk(jwk).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key.jwks().kids().collect::<Vec<_>>(), [key.kid()]);
}

#[test]
fn a_set_survives_its_own_text() {
    let set = key(1).jwks().joined(&key(2).jwks());
    assert_eq!(Jwks::parse(&set.to_json()), Ok(set.clone()));
    assert!(set.find(key(2).kid()).is_some());
    assert!(set.find(key(3).kid()).is_none());
}

#[test]
fn joining_keeps_four_keys_and_each_once() {
    let five = (1..=5).map(|n| key(n).jwks()).fold(Jwks::default(), |all, one| all.joined(&one));
    assert_eq!(five.kids().count(), 4);
    assert_eq!(key(1).jwks().joined(&key(1).jwks()), key(1).jwks());
}

#[test]
fn a_set_with_one_bad_key_is_refused_whole() {
    let good = key(1).jwks().to_json();
    let one = good.trim().trim_start_matches(r#"{"keys":["#).trim_end_matches("]}").to_owned();
    let set = |keys: &[&str]| Jwks::parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    assert!(set(&[&one]).is_ok());
    assert_eq!(set(&[]), Err(JwksError::Count { count: 0 }));
    assert_eq!(set(&[one.as_str(); 5]), Err(JwksError::Count { count: 5 }));
    assert_eq!(set(&[&one, &one]), Err(JwksError::Duplicate { index: 1 }));
    let other_kid = one.replace(key(1).kid(), key(2).kid());
    assert_eq!(set(&[&one, &other_kid]), Err(JwksError::KeyId { index: 1 }));
    let rsa = one.replace("OKP", "RSA");
    assert_eq!(set(&[&rsa]), Err(JwksError::Key { index: 0 }));
    let short = one.replace(r#""x":""#, r#""x":"AA"#);
    assert_eq!(set(&[&short]), Err(JwksError::Key { index: 0 }));
    assert_eq!(Jwks::parse("[]"), Err(JwksError::Malformed));
    assert_eq!(Jwks::parse(&" ".repeat(65_537)), Err(JwksError::TooLarge));
}

#[test]
fn a_private_key_survives_its_own_text_and_is_not_in_its_debug_form() {
    let key = key(9);
    let text = key.to_jwk();
    assert_eq!(LeaseKey::from_jwk(&text).unwrap().kid(), key.kid());
    let secret = jws::encode(&[9; 32]);
    assert!(text.contains(&secret));
    assert!(!format!("{key:?}").contains(&secret));
}

#[test]
fn a_private_key_with_a_foreign_public_part_is_refused() {
    let text = key(1).to_jwk();
    let other = key(2).to_jwk();
    let x = |jwk: &str| jwk.split(r#""x":""#).nth(1).unwrap()[..43].to_owned();
    let mixed = text.replace(&x(&text), &x(&other));
    assert_eq!(LeaseKey::from_jwk(&mixed).unwrap_err(), KeyError::Mismatch);
    assert_eq!(LeaseKey::from_jwk("{}").unwrap_err(), KeyError::Malformed);
}
