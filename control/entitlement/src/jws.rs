//! Strict compact JWS with EdDSA (RFC 7515, RFC 8037).
//!
//! Owns the form and the signature. Knows no claims. Invariant: no member of a payload is read
//! before its signature verified under the one algorithm we accept.
//! Source: licensing.md §2 (limits and rules), §2.5.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
use crate::jwk::Jwks;
use crate::lease::LeaseError;

/// A verified statement.
pub struct Verified {
    /// Its payload's members.
    pub payload: Map<String, Value>,
    /// The key that signed it.
    pub kid: String,
}

/// Checks form, algorithm, `typ`, key and signature of `text`, in this order.
///
/// # Errors
///
/// The first rule that fails.
pub fn verify(text: &str, typ: &str, keys: &Jwks) -> Result<Verified, LeaseError> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    if text.len() > SIZE_LIMIT {
        return Err(LeaseError::TooLarge);
    }
    let mut parts = text.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(LeaseError::Malformed);
    };
    if head.is_empty() || body.is_empty() {
        return Err(LeaseError::Malformed);
    }
    let header = decode(head)?;
    if header.len() > HEADER_LIMIT {
        return Err(LeaseError::TooLarge);
    }
    let header = json::object(&header, DEPTH_LIMIT).map_err(|_| LeaseError::Malformed)?;
    if header.get("alg").and_then(Value::as_str) != Some("EdDSA") {
        return Err(LeaseError::Algorithm);
    }
    if signature.is_empty() {
        return Err(LeaseError::Malformed);
    }
    // RFC 7515 §4.1.11: a critical header that is not understood makes the JWS invalid.
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(LeaseError::Malformed);
    }
    if header.get("typ").and_then(Value::as_str) != Some(typ) {
        return Err(LeaseError::Type);
    }
    let kid = header.get("kid").and_then(Value::as_str).ok_or(LeaseError::Malformed)?;
    let payload = decode(body)?;
    let signature = decode(signature)?;
    let key = keys.find(kid).ok_or(LeaseError::UnknownKey)?;
    let signed = &text.as_bytes()[..head.len() + 1 + body.len()];
    UnparsedPublicKey::new(&ED25519, key)
        .verify(signed, &signature)
        .map_err(|_| LeaseError::Signature)?;
    let payload = json::object(&payload, DEPTH_LIMIT).map_err(|_| LeaseError::Malformed)?;
    Ok(Verified { payload, kid: kid.to_owned() })
}

/// Base64url without padding, white space or stray bits.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, LeaseError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| LeaseError::Malformed)
}

/// Bytes of a whole statement after trimming.
const SIZE_LIMIT: usize = 4096;
/// Bytes of the decoded header.
const HEADER_LIMIT: usize = 1024;
/// Nested levels of JSON.
const DEPTH_LIMIT: usize = 8;

#[cfg(test)]
mod tests;
