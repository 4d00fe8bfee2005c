use std::sync::OnceLock;

use super::*;

/// A key called `v1`, made once for all tests of a process.
pub(crate) fn signer() -> &'static RsaSigningKey {
    static KEY: OnceLock<RsaSigningKey> = OnceLock::new();
    KEY.get_or_init(|| RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap())
}

/// Another key that is called `v1` as well.
pub(crate) fn namesake() -> &'static RsaSigningKey {
    static KEY: OnceLock<RsaSigningKey> = OnceLock::new();
    KEY.get_or_init(|| RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap())
}

#[test]
fn a_private_key_survives_its_own_text_and_is_not_in_its_debug_form() {
    let pem = signer().to_pem().unwrap();
    assert!(pem.lines().all(|line| line.len() <= 64));
    let read = RsaSigningKey::from_pem("v1", &format!("a comment\n{pem}")).unwrap();
    assert_eq!(read.public_jwk(), signer().public_jwk());
    assert_eq!(read.sign(b"{}"), signer().sign(b"{}"));
    assert_eq!(format!("{read:?}"), r#"RsaSigningKey { kid: "v1", .. }"#);
}

#[test]
fn a_text_that_is_no_rsa_key_is_refused() {
    let pem = signer().to_pem().unwrap();
    let outcome = |kid: &str, pem: &str| RsaSigningKey::from_pem(kid, pem).map(|_| ()).unwrap_err();
    assert_eq!(outcome("v1", ""), RsaKeyError::Pem);
    assert_eq!(outcome("v1", &pem.replace("PRIVATE KEY", "RSA PRIVATE KEY")), RsaKeyError::Pem);
    assert_eq!(outcome("v1", &format!("{PEM_BEGIN}\n!\n{PEM_END}")), RsaKeyError::Pem);
    assert_eq!(outcome("v1", &format!("{PEM_BEGIN}\nAAAA\n{PEM_END}")), RsaKeyError::Key);
    assert_eq!(outcome("", &pem), RsaKeyError::KeyId);
    assert_eq!(outcome(&"k".repeat(65), &pem), RsaKeyError::KeyId);
}
