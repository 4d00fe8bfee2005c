//! The three verifications: by a set of RSA keys, by a set of Ed25519 keys, by the token's own key.
//!
//! Each pins one algorithm before it looks for a key, so a token cannot choose how it is checked.
//! The first failing rule of V1 to V8 is the answer. Source: licensing.md §2.1, §2.3, §2.5.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Map, Value};

use crate::compact::{Compact, Typ};
use crate::error::JoseError;
use crate::jwks::{self, Jwks};
use crate::limits::Limits;
use crate::rsa_keys::RsaKeySet;

/// A token whose signature is good. Its debug form shows the `kid` only.
#[derive(Clone, Eq, PartialEq)]
pub struct Verified {
    /// The header's members.
    pub header: Map<String, Value>,
    /// The payload's members.
    pub payload: Map<String, Value>,
    /// Name of the key that signed it.
    pub kid: String,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A token that verified with the key in its own header. Whether that key is to be trusted is the
/// caller's question. Its debug form shows the `kid` only.
#[derive(Clone, Eq, PartialEq)]
pub struct Embedded {
    /// The payload's members.
    pub payload: Map<String, Value>,
    /// The Ed25519 public key.
    pub key: [u8; 32],
    /// Its RFC 7638 thumbprint.
    pub kid: String,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Checks a licence JWT or a receipt: RS512 by a key of `keys` (V1 to V8).
///
/// # Errors
///
/// The first rule that fails.
pub fn verify_rs512(text: &str, limits: &Limits, keys: &RsaKeySet) -> Result<Verified, JoseError> {
    let token = Compact::read(text, limits, Typ::Jwt)?;
    token.algorithm("RS512")?;
    let kid = token.kid()?.to_owned();
    let key = keys.find(&kid).ok_or(JoseError::UnknownKey)?;
    key.verify(token.signed, &token.signature).map_err(|_| JoseError::Signature)?;
    let payload = token.members(limits)?;
    Ok(Verified { header: token.header, payload, kid })
}

/// Checks a lease or debug statement: EdDSA by a key of `keys`, and exactly this `typ`
/// (licensing.md §2.5, §2.6).
///
/// # Errors
///
/// The first rule that fails.
pub fn verify_ed25519(
    text: &str,
    typ: &str,
    limits: &Limits,
    keys: &Jwks,
) -> Result<Verified, JoseError> {
    let token = Compact::read(text, limits, Typ::Exactly(typ))?;
    token.algorithm("EdDSA")?;
    let kid = token.kid()?.to_owned();
    let key = keys.find(&kid).ok_or(JoseError::UnknownKey)?;
    check_ed25519(&token, key)?;
    let payload = token.members(limits)?;
    Ok(Verified { header: token.header, payload, kid })
}

/// Checks a report: EdDSA by the key in its header, whose thumbprint is its `kid`
/// (licensing.md §2.3, LIC-143).
///
/// # Errors
///
/// The first rule that fails.
pub fn verify_embedded(text: &str, limits: &Limits) -> Result<Embedded, JoseError> {
    let token = Compact::read(text, limits, Typ::Jwt)?;
    token.algorithm("EdDSA")?;
    let kid = token.kid()?.to_owned();
    let jwk = token.header.get("jwk").and_then(Value::as_object).ok_or(JoseError::EmbeddedKey)?;
    let key = jwks::bytes_of(jwk, "x").ok_or(JoseError::EmbeddedKey)?;
    if jwk.contains_key("d") || jwks::thumbprint(&key) != kid {
        return Err(JoseError::EmbeddedKey);
    }
    check_ed25519(&token, &key)?;
    let payload = token.members(limits)?;
    Ok(Embedded { payload, key, kid })
}

fn check_ed25519(token: &Compact<'_>, key: &[u8; 32]) -> Result<(), JoseError> {
    UnparsedPublicKey::new(&ED25519, key)
        .verify(token.signed, &token.signature)
        .map_err(|_| JoseError::Signature)
}

#[cfg(test)]
mod tests;
