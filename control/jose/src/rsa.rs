//! An RSA private key, for licences and receipts: the authority's side.
//!
//! Owns its text form (PKCS#8 in PEM, as OpenSSL writes it), its public JWK and signing with RS512.
//! Source: licensing.md §1.2, §2.1, §2.2.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA512, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::compact::is_key_id;
use crate::{base64url, certificate};

/// A private key with its name. Its debug form shows the `kid` only.
pub struct RsaSigningKey {
    pair: RsaKeyPair,
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// Bits of a new key.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RsaKeySize {
    /// 2,048: quick to make; the least that verifies.
    Bits2048,
    /// 3,072.
    #[default]
    Bits3072,
    /// 4,096.
    Bits4096,
}

/// A private key is refused, or did not sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RsaKeyError {
    /// Not PEM with one `PRIVATE KEY`.
    #[error("not a PEM file with one block PRIVATE KEY (PKCS#8)")]
    Pem,
    /// No RSA key of 2,048 to 8,192 bits.
    #[error("not an RSA private key of 2048 to 8192 bits")]
    Key,
    /// `kid` has not 1 to 64 characters.
    #[error("kid has not 1 to 64 characters")]
    KeyId,
    /// The library could not make a key.
    #[error("no key could be made")]
    Generate,
    /// The library did not sign.
    #[error("signing failed")]
    Sign,
}

impl RsaKeyError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pem => "rsa_key_pem",
            Self::Key => "rsa_key_malformed",
            Self::KeyId => "rsa_key_id",
            Self::Generate => "rsa_key_not_made",
            Self::Sign => "rsa_sign_failed",
        }
    }
}

impl fmt::Debug for RsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaSigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl RsaSigningKey {
    /// Makes a new key called `kid`. Draws random bytes in the library: for shells and tests only.
    /// Takes 0.1 s to some seconds.
    ///
    /// # Errors
    ///
    /// [`RsaKeyError::KeyId`], or [`RsaKeyError::Generate`].
    pub fn generate(kid: &str, size: RsaKeySize) -> Result<Self, RsaKeyError> {
        let size = match size {
            RsaKeySize::Bits2048 => KeySize::Rsa2048,
            RsaKeySize::Bits3072 => KeySize::Rsa3072,
            RsaKeySize::Bits4096 => KeySize::Rsa4096,
        };
        Self::of(kid, RsaKeyPair::generate(size).map_err(|_| RsaKeyError::Generate)?)
    }

    /// Reads a private key in PKCS#8 PEM and calls it `kid`. Text around the block is ignored.
    ///
    /// # Errors
    ///
    /// [`RsaKeyError`]; the text is never part of it.
    pub fn from_pem(kid: &str, pem: &str) -> Result<Self, RsaKeyError> {
        let body = pem.split_once(PEM_BEGIN).and_then(|(_, rest)| rest.split_once(PEM_END));
        let (body, _) = body.ok_or(RsaKeyError::Pem)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| RsaKeyError::Pem)?;
        Self::of(kid, RsaKeyPair::from_pkcs8(&der).map_err(|_| RsaKeyError::Key)?)
    }

    fn of(kid: &str, pair: RsaKeyPair) -> Result<Self, RsaKeyError> {
        if !is_key_id(kid) {
            return Err(RsaKeyError::KeyId);
        }
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| RsaKeyError::Key)?;
        let (modulus, exponent) =
            certificate::of_public_key(public.as_ref()).ok_or(RsaKeyError::Key)?;
        Ok(Self { pair, kid: kid.to_owned(), modulus, exponent })
    }

    /// The private key as PKCS#8 PEM. Secret: store it with mode 0600, never log it.
    ///
    /// # Errors
    ///
    /// [`RsaKeyError::Key`] if the library cannot encode it.
    pub fn to_pem(&self) -> Result<String, RsaKeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| RsaKeyError::Key)?;
        let text = STANDARD.encode(der.as_ref());
        let mut pem = format!("{PEM_BEGIN}\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, next) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = next;
        }
        pem.push_str(PEM_END);
        pem.push('\n');
        Ok(pem)
    }

    /// Its name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public part as a JWK.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        json!({
            "kid": self.kid,
            "alg": "RS512",
            "kty": "RSA",
            "use": "sig",
            "n": base64url::encode(&self.modulus),
            "e": base64url::encode(&self.exponent),
        })
    }

    /// The key set of these keys' public parts: key `jwt.key` of ConfigMap `cpcl-key-cm`.
    #[must_use]
    pub fn key_set<'a>(keys: impl IntoIterator<Item = &'a Self>) -> String {
        let keys: Vec<Value> = keys.into_iter().map(Self::public_jwk).collect();
        format!("{}\n", json!({ "keys": keys }))
    }

    /// Signs a JSON `payload` as a licence or receipt: header RS512, `JWT` and the `kid`.
    ///
    /// # Errors
    ///
    /// [`RsaKeyError::Sign`].
    pub fn sign(&self, payload: &[u8]) -> Result<String, RsaKeyError> {
        let header = json!({ "alg": "RS512", "typ": "JWT", "kid": self.kid }).to_string();
        self.sign_parts(header.as_bytes(), payload)
    }

    /// Signs any header and payload, byte for byte: also what nobody accepts, for tests.
    ///
    /// # Errors
    ///
    /// [`RsaKeyError::Sign`].
    pub fn sign_parts(&self, header: &[u8], payload: &[u8]) -> Result<String, RsaKeyError> {
        let signed = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        // PKCS#1 v1.5 signatures are a function of key and text; the library ignores the source of
        // randomness that its signature asks for.
        self.pair
            .sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| RsaKeyError::Sign)?;
        Ok(format!("{signed}.{}", base64url::encode(&signature)))
    }
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

#[cfg(test)]
pub(crate) mod tests;
