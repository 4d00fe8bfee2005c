//! The RSA key inside a certificate of `x5c`, to compare it with `n` and `e` (LIC-125).
//!
//! A certificate makes nothing trusted here; it can only make a key refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Modulus and exponent, big-endian without leading zeros.
pub type Components = (Vec<u8>, Vec<u8>);

/// The key of a certificate in the standard base64 of `x5c` (RFC 7517 §4.7); none if it cannot be
/// read or holds no RSA key.
pub fn of_certificate(text: &str) -> Option<Components> {
    let der = STANDARD.decode(text).ok()?;
    let (rest, certificate) = X509Certificate::from_der(&der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    of_info(certificate.public_key())
}

/// The key of a DER-encoded SubjectPublicKeyInfo (RFC 5280).
pub fn of_public_key(der: &[u8]) -> Option<Components> {
    let (_, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
    of_info(&info)
}

fn of_info(info: &SubjectPublicKeyInfo<'_>) -> Option<Components> {
    match info.parsed().ok()? {
        PublicKey::RSA(key) => {
            Some((without_zeros(key.modulus).to_vec(), without_zeros(key.exponent).to_vec()))
        }
        PublicKey::EC(_)
        | PublicKey::DSA(_)
        | PublicKey::GostR3410(_)
        | PublicKey::GostR3410_2012(_)
        | PublicKey::Unknown(_) => None,
    }
}

/// `number`, big-endian, without its leading zero bytes.
pub fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}
