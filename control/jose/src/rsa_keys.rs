//! The set of RSA public keys that licences and receipts are verified with: key `jwt.key` of
//! ConfigMap `cpcl-key-cm`.
//!
//! Owns which keys of a set are usable. A fault of one key refuses that key; private material
//! refuses the set. `x5c` never makes a key trusted.
//!
//! Source: licensing.md §2.2, §2.1 (V5, V7); RFC 7517, RFC 7518 §6.3.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};
use serde_json::{Map, Value};

use crate::certificate::{self, without_zeros};
use crate::compact::is_key_id;
use crate::error::JoseError;
use crate::limits::{KEY_SET_DEPTH, KEY_SET_SIZE};
use crate::{base64url, json};

/// Usable RSA public keys, and those that were refused. Sets are equal if both lists are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RsaKeySet {
    keys: Vec<RsaKey>,
    refused: Vec<KeyRefusal>,
}

/// One usable key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RsaKey {
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// A whole set is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RsaKeySetError {
    /// Above 64 KiB.
    #[error("key set is larger than 65536 bytes")]
    TooLarge,
    /// Not the JSON of a key set.
    #[error("key set is not strict JSON with a list `keys`")]
    Malformed,
    /// Not 1 to 16 keys.
    #[error("key set holds {count} keys, not 1 to 16")]
    Count {
        /// How many it holds.
        count: usize,
    },
    /// Private or symmetric material (LIC-124).
    #[error("key {index} carries private or symmetric material in member {member}")]
    Private {
        /// Which one, from 0.
        index: usize,
        /// The first such member.
        member: &'static str,
    },
}

impl RsaKeySetError {
    /// Stable label: a code of licensing.md §3.7.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge | Self::Malformed | Self::Count { .. } => "jwks_malformed",
            Self::Private { .. } => "jwks_private",
        }
    }
}

/// One key of a set is refused; the others stay usable.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("key {} (number {index}), member {}: {fault}", .kid.as_deref().unwrap_or("without kid"), .fault.member())]
pub struct KeyRefusal {
    /// Which one, from 0.
    pub index: usize,
    /// Its `kid`, if that is a text of 1 to 64 characters.
    pub kid: Option<String>,
    /// What is wrong.
    pub fault: KeyFault,
}

impl KeyRefusal {
    /// Stable label: a code of licensing.md §3.7.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "jwks_malformed"
    }
}

/// What is wrong with one key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// `kid` is missing or no text of 1 to 64 characters.
    #[error("not a text of 1 to 64 characters")]
    KeyId,
    /// `kid` is that of another key as well; both are refused.
    #[error("names more than one key")]
    Duplicate,
    /// `n` is missing or no base64url, for instance a placeholder. The wording is that of the
    /// original product.
    #[error("illegal base64 data")]
    ModulusText,
    /// `n` has not 2,048 to 8,192 bits.
    #[error("modulus of {bits} bits, not 2048 to 8192")]
    ModulusSize {
        /// How many it has.
        bits: usize,
    },
    /// `n` is even, so it is no product of two primes.
    #[error("modulus is even")]
    ModulusEven,
    /// `e` is there but no base64url.
    #[error("illegal base64 data")]
    ExponentText,
    /// `e` is even or not 65,537 to 2³²−1.
    #[error("exponent is not odd and from 65537 to 4294967295")]
    Exponent,
    /// `x5c` is no list whose first item is a certificate with an RSA key.
    #[error("first certificate cannot be read or has no RSA key")]
    Certificate,
    /// The key in `x5c` is another one.
    #[error("first certificate has another key than n and e")]
    CertificateKey,
}

impl KeyFault {
    /// The member of the key that is wrong.
    #[must_use]
    pub const fn member(&self) -> &'static str {
        match self {
            Self::KeyId | Self::Duplicate => "kid",
            Self::ModulusText | Self::ModulusSize { .. } | Self::ModulusEven => "n",
            Self::ExponentText | Self::Exponent => "e",
            Self::Certificate | Self::CertificateKey => "x5c",
        }
    }
}

impl RsaKeySet {
    /// Reads a key set. Keys of other types and for other uses are left out silently: they are not
    /// for us, and no token that names one verifies (V5).
    ///
    /// # Errors
    ///
    /// [`RsaKeySetError`] if the whole set is refused. A set may come back without a usable key;
    /// [`RsaKeySet::refused`] says why.
    pub fn parse(text: &str) -> Result<Self, RsaKeySetError> {
        let text = text.trim_ascii();
        if text.len() > KEY_SET_SIZE {
            return Err(RsaKeySetError::TooLarge);
        }
        let set =
            json::object(text.as_bytes(), KEY_SET_DEPTH).map_err(|_| RsaKeySetError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(RsaKeySetError::Malformed)?;
        if !(1..=KEY_LIMIT).contains(&list.len()) {
            return Err(RsaKeySetError::Count { count: list.len() });
        }
        let list: Option<Vec<&Map<String, Value>>> = list.iter().map(Value::as_object).collect();
        let list = list.ok_or(RsaKeySetError::Malformed)?;
        for (index, jwk) in list.iter().enumerate() {
            if let Some(member) = private_member(jwk) {
                return Err(RsaKeySetError::Private { index, member });
            }
        }
        let mut found = Self::default();
        for (index, jwk) in list.iter().copied().enumerate() {
            let kid = key_id(jwk);
            let twice = kid.is_some_and(|kid| {
                list.iter().filter(|other| key_id(other) == Some(kid)).count() > 1
            });
            let key = match kid {
                _ if !is_for_rs512(jwk) => continue,
                None => Err(KeyFault::KeyId),
                Some(_) if twice => Err(KeyFault::Duplicate),
                Some(kid) => RsaKey::of(kid, jwk),
            };
            match key {
                Ok(key) => found.keys.push(key),
                Err(fault) => {
                    found.refused.push(KeyRefusal { index, kid: kid.map(str::to_owned), fault });
                }
            }
        }
        Ok(found)
    }

    /// The usable key that is called `kid`; compared byte by byte.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&RsaKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The `kid`s of the usable keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.kid.as_str())
    }

    /// How many keys are usable, 0 to 16.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that were refused, in their order.
    #[must_use]
    pub fn refused(&self) -> &[KeyRefusal] {
        &self.refused
    }
}

impl RsaKey {
    /// Reads `n`, `e` and `x5c` of one key.
    fn of(kid: &str, jwk: &Map<String, Value>) -> Result<Self, KeyFault> {
        let modulus = jwk.get("n").and_then(Value::as_str).filter(|text| !text.is_empty());
        let modulus = modulus.and_then(base64url::decode).ok_or(KeyFault::ModulusText)?;
        let modulus = without_zeros(&modulus);
        let top = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = modulus.len() * 8 - top;
        if !(2_048..=8_192).contains(&bits) {
            return Err(KeyFault::ModulusSize { bits });
        }
        if modulus.last().is_none_or(|byte| byte & 1 == 0) {
            return Err(KeyFault::ModulusEven);
        }
        // Absent: 65537, as the original product's sets leave it out (LIC-121).
        let exponent = match jwk.get("e") {
            None => DEFAULT_EXPONENT.to_vec(),
            Some(value) => {
                value.as_str().and_then(base64url::decode).ok_or(KeyFault::ExponentText)?
            }
        };
        let exponent = without_zeros(&exponent);
        if exponent.len() > 4 {
            return Err(KeyFault::Exponent);
        }
        let number = exponent.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        if number < 65_537 || number & 1 == 0 {
            return Err(KeyFault::Exponent);
        }
        if let Some(chain) = jwk.get("x5c") {
            let first = chain.as_array().and_then(|chain| chain.first()).and_then(Value::as_str);
            let (n, e) =
                first.and_then(certificate::of_certificate).ok_or(KeyFault::Certificate)?;
            if n != modulus || e != exponent {
                return Err(KeyFault::CertificateKey);
            }
        }
        Ok(Self { kid: kid.to_owned(), modulus: modulus.to_vec(), exponent: exponent.to_vec() })
    }

    /// Checks RSASSA-PKCS1-v1_5 with SHA-512 over `signed` (V7). The library compares in constant
    /// time.
    ///
    /// # Errors
    ///
    /// [`JoseError::Signature`].
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent }
            .verify(&RSA_PKCS1_2048_8192_SHA512, signed, signature)
            .map_err(|_| JoseError::Signature)
    }
}

fn key_id(jwk: &Map<String, Value>) -> Option<&str> {
    jwk.get("kid").and_then(Value::as_str).filter(|kid| is_key_id(kid))
}

/// Whether `kty`, `alg`, `use` and `key_ops` allow RS512 verification (V5).
fn is_for_rs512(jwk: &Map<String, Value>) -> bool {
    let is = |member: &str, wanted: &str| jwk.get(member).and_then(Value::as_str) == Some(wanted);
    let absent_or = |member: &str, wanted: &str| !jwk.contains_key(member) || is(member, wanted);
    let verifies = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|name| name == "verify"))
    });
    is("kty", "RSA") && absent_or("alg", "RS512") && absent_or("use", "sig") && verifies
}

/// The first member that must not be in a public set.
fn private_member(jwk: &Map<String, Value>) -> Option<&'static str> {
    let symmetric = jwk.get("kty").and_then(Value::as_str) == Some("oct");
    let named = PRIVATE_MEMBERS.into_iter().find(|member| jwk.contains_key(*member));
    if symmetric { Some("kty") } else { named }
}

/// Keys of a set (licensing.md §1.2, §2).
const KEY_LIMIT: usize = 16;
/// `AQAB`.
const DEFAULT_EXPONENT: [u8; 3] = [1, 0, 1];
/// Members of an RSA private key (RFC 7518 §6.3.2).
const PRIVATE_MEMBERS: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];

#[cfg(test)]
mod tests;
