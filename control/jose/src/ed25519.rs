//! An Ed25519 private key, for leases, debug statements and reports (RFC 8032, RFC 8037).
//!
//! Owns its text form (`private.jwk`) and signing. Draws no random bytes: the seed is passed in.
//! Source: licensing.md §1.2, §2.3, §2.5.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use crate::jwks::{self, Jwks};
use crate::limits::KEY_SET_DEPTH;
use crate::{base64url, json};

/// A private key. Its debug form shows the `kid` only.
pub struct Ed25519Key {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    public: [u8; 32],
    kid: String,
}

/// A private key is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Ed25519KeyError {
    /// Not the JSON of an Ed25519 private key.
    #[error("private key is no Ed25519 JWK (kty OKP, crv Ed25519, d and x of 32 bytes)")]
    Malformed,
    /// `x` or `kid` do not belong to `d`.
    #[error("public part of the private key does not belong to it")]
    Mismatch,
}

impl Ed25519KeyError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "key_malformed",
            Self::Mismatch => "key_mismatch",
        }
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Ed25519Key {
    /// The key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`Ed25519KeyError::Malformed`] if the library refuses the seed.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, Ed25519KeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| Ed25519KeyError::Malformed)?;
        let public =
            pair.public_key().as_ref().try_into().map_err(|_| Ed25519KeyError::Malformed)?;
        Ok(Self { kid: jwks::thumbprint(&public), pair, seed, public })
    }

    /// Reads what [`Ed25519Key::to_jwk`] wrote: file `private.jwk`.
    ///
    /// # Errors
    ///
    /// [`Ed25519KeyError`]; the text is never part of it.
    pub fn from_jwk(text: &str) -> Result<Self, Ed25519KeyError> {
        let members =
            json::object(text.as_bytes(), KEY_SET_DEPTH).map_err(|_| Ed25519KeyError::Malformed)?;
        let seed = jwks::bytes_of(&members, "d").ok_or(Ed25519KeyError::Malformed)?;
        let public = jwks::bytes_of(&members, "x").ok_or(Ed25519KeyError::Malformed)?;
        let key = Self::from_seed(seed)?;
        let kid = members.get("kid").and_then(Value::as_str);
        if key.public != public || kid.is_some_and(|kid| kid != key.kid) {
            return Err(Ed25519KeyError::Mismatch);
        }
        Ok(key)
    }

    /// The private key as a JWK. Secret: store it with mode 0600, never log it.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        format!(
            "{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"kid\":\"{}\",\"x\":\"{}\",\"d\":\"{}\"}}\n",
            self.kid,
            base64url::encode(&self.public),
            base64url::encode(&self.seed)
        )
    }

    /// Its name: the RFC 7638 thumbprint of its public part (LIC-010).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public part.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The key set of its public part.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        Jwks::of(self.public)
    }

    /// Signs a JSON `payload` as a statement of this `typ` (licensing.md §2.5, §2.6). `typ` is
    /// plain ASCII without quotes.
    #[must_use]
    pub fn sign_typed(&self, typ: &str, payload: &[u8]) -> String {
        let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"{}"}}"#, self.kid);
        self.sign_parts(header.as_bytes(), payload)
    }

    /// Signs a JSON `payload` with the public key in the header, as a report (licensing.md §2.3).
    #[must_use]
    pub fn sign_embedded(&self, payload: &[u8]) -> String {
        let header = format!(
            r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{}"}}}}"#,
            self.kid,
            base64url::encode(&self.public)
        );
        self.sign_parts(header.as_bytes(), payload)
    }

    /// Signs any header and payload, byte for byte: also what nobody accepts, for tests.
    #[must_use]
    pub fn sign_parts(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", base64url::encode(signature.as_ref()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
