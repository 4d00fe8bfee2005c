use super::*;
use crate::ed25519::tests::key;

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
    assert_eq!(Jwks::parse(&"x".repeat(65_537)), Err(JwksError::TooLarge));
}
