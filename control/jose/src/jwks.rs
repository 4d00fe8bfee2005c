//! Sets of Ed25519 public keys as JSON Web Keys (RFC 7517, RFC 8037).
//!
//! Owns parsing, and the `kid`, which is always the RFC 7638 thumbprint (LIC-010). A set is the
//! trust anchor of Controllers and TMMs: key `jwks.json` of Secret `cwc-lease-jwks`.
//!
//! Source: licensing.md §1.2.

use serde_json::{Map, Value};

use crate::limits::{KEY_SET_DEPTH, KEY_SET_SIZE};
use crate::{base64url, json, name};

/// The public keys that may sign leases and debug statements: 1 to 4.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Jwks {
    keys: Vec<(String, [u8; 32])>,
}

/// A key set is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Above 64 KiB.
    #[error("key set is larger than 65536 bytes")]
    TooLarge,
    /// Not the JSON of a key set.
    #[error("key set is not strict JSON with a list `keys`")]
    Malformed,
    /// Not 1 to 4 keys.
    #[error("key set holds {count} keys, not 1 to 4")]
    Count {
        /// How many it holds.
        count: usize,
    },
    /// A key is not Ed25519.
    #[error("key {index} is no Ed25519 public key (kty OKP, crv Ed25519, x of 32 bytes)")]
    Key {
        /// Which one, from 0.
        index: usize,
    },
    /// A `kid` is not the thumbprint of its key.
    #[error("kid of key {index} is not its RFC 7638 thumbprint")]
    KeyId {
        /// Which one, from 0.
        index: usize,
    },
    /// Two keys are one.
    #[error("key {index} is there twice")]
    Duplicate {
        /// Which one, from 0.
        index: usize,
    },
}

impl JwksError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "jwks_too_large",
            Self::Malformed => "jwks_malformed",
            Self::Count { .. } => "jwks_count",
            Self::Key { .. } => "jwks_key",
            Self::KeyId { .. } => "jwks_kid",
            Self::Duplicate { .. } => "jwks_duplicate",
        }
    }
}

impl Jwks {
    /// Reads a key set.
    ///
    /// # Errors
    ///
    /// [`JwksError`]; a set with one bad key is refused whole.
    pub fn parse(text: &str) -> Result<Self, JwksError> {
        let text = text.trim_ascii();
        if text.len() > KEY_SET_SIZE {
            return Err(JwksError::TooLarge);
        }
        let set = json::object(text.as_bytes(), KEY_SET_DEPTH).map_err(|_| JwksError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(JwksError::Malformed)?;
        if !(1..=KEY_LIMIT).contains(&list.len()) {
            return Err(JwksError::Count { count: list.len() });
        }
        let mut keys: Vec<(String, [u8; 32])> = Vec::new();
        for (index, jwk) in list.iter().enumerate() {
            let members = jwk.as_object().ok_or(JwksError::Key { index })?;
            let key = bytes_of(members, "x").ok_or(JwksError::Key { index })?;
            let kid = thumbprint(&key);
            if members.get("kid").and_then(Value::as_str) != Some(&kid) {
                return Err(JwksError::KeyId { index });
            }
            if keys.iter().any(|(other, _)| *other == kid) {
                return Err(JwksError::Duplicate { index });
            }
            keys.push((kid, key));
        }
        Ok(Self { keys })
    }

    /// The set of one public key.
    #[must_use]
    pub fn of(key: [u8; 32]) -> Self {
        Self { keys: vec![(thumbprint(&key), key)] }
    }

    /// This set with the keys of `other`, each once, at most 4 (LIC-016).
    #[must_use]
    pub fn joined(mut self, other: &Self) -> Self {
        for (kid, key) in &other.keys {
            if self.keys.len() < KEY_LIMIT && self.find(kid).is_none() {
                self.keys.push((kid.clone(), *key));
            }
        }
        self
    }

    /// The JSON text of file `jwks.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|(kid, key)| {
                format!(
                    r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"{kid}","x":"{}"}}"#,
                    base64url::encode(key)
                )
            })
            .collect();
        format!("{{\"keys\":[{}]}}\n", keys.join(","))
    }

    /// The `kid`s of the set.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(kid, _)| kid.as_str())
    }

    /// How many keys it holds, 0 to 4; only a default set has none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The public key that is called `kid`; compared byte by byte.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&[u8; 32]> {
        self.keys.iter().find(|(name, _)| name == kid).map(|(_, key)| key)
    }
}

/// The RFC 7638 thumbprint of an Ed25519 public key (RFC 8037 §2).
#[must_use]
pub fn thumbprint(key: &[u8; 32]) -> String {
    name::sha256(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(key)))
}

/// The 32 bytes in member `name` of an Ed25519 key.
pub(crate) fn bytes_of(jwk: &Map<String, Value>, name: &str) -> Option<[u8; 32]> {
    let is = |member: &str, wanted: &str| jwk.get(member).and_then(Value::as_str) == Some(wanted);
    let alg = jwk.get("alg").is_none() || is("alg", "EdDSA");
    if !is("kty", "OKP") || !is("crv", "Ed25519") || !alg {
        return None;
    }
    base64url::decode(jwk.get(name)?.as_str()?)?.try_into().ok()
}

/// Keys of a lease key set (licensing.md §1.2).
const KEY_LIMIT: usize = 4;

#[cfg(test)]
mod tests;
