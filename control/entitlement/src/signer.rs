//! Makes lease statements: the key, and an authority that numbers what it signs.
//!
//! `spk-node` is such an authority for one machine until the CWC is there; its statements are of
//! the same types and pass the same checks. Owns no file: the caller stores the key's text and the
//! epoch. Source: licensing.md §1.2, §2.5.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;
use uuid::Uuid;

use crate::jwk::{self, Jwks};
use crate::lease::{
    ANY_NAMESPACE, AUDIENCE, Class, ISSUER, Kind, LEASE_TYPE, LeaseClaims, TTL, Verdict,
};
use crate::{json, jws};

/// A private key that signs leases. Its debug form shows the `kid` only.
pub struct LeaseKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    kid: String,
}

/// A private key is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the JSON of an Ed25519 private key.
    #[error("lease key is no Ed25519 JWK (kty OKP, crv Ed25519, d and x of 32 bytes)")]
    Malformed,
    /// `x` or `kid` do not belong to `d`.
    #[error("public part of the lease key does not belong to its private part")]
    Mismatch,
}

impl KeyError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "lease_key_malformed",
            Self::Mismatch => "lease_key_mismatch",
        }
    }
}

impl fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl LeaseKey {
    /// The key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] if the library refuses the seed.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Malformed)?;
        let public = public_of(&pair).ok_or(KeyError::Malformed)?;
        Ok(Self { kid: jwk::thumbprint(&public), pair, seed })
    }

    /// Reads what [`LeaseKey::to_jwk`] wrote: file `private.jwk`.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the text is never part of it.
    pub fn from_jwk(text: &str) -> Result<Self, KeyError> {
        let members = json::object(text.as_bytes(), 8).map_err(|_| KeyError::Malformed)?;
        let seed = jwk::bytes_of(&members, "d").ok_or(KeyError::Malformed)?;
        let public = jwk::bytes_of(&members, "x").ok_or(KeyError::Malformed)?;
        let key = Self::from_seed(seed)?;
        let kid = members.get("kid").and_then(Value::as_str);
        if key.pair.public_key().as_ref() != public || kid.is_some_and(|kid| kid != key.kid) {
            return Err(KeyError::Mismatch);
        }
        Ok(key)
    }

    /// The private key as a JWK. Secret: store it with mode 0600, never log it.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        format!(
            "{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"kid\":\"{}\",\"x\":\"{}\",\"d\":\"{}\"}}\n",
            self.kid,
            jws::encode(self.pair.public_key().as_ref()),
            jws::encode(&self.seed)
        )
    }

    /// Its name: the RFC 7638 thumbprint of its public part.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key set of its public part: file `license/jwks.json` of a TMM.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        public_of(&self.pair).map(Jwks::of).unwrap_or_default()
    }

    /// Signs `claims` as a lease statement.
    #[must_use]
    pub fn sign(&self, claims: &LeaseClaims) -> String {
        self.sign_typed(LEASE_TYPE, &serde_json::to_vec(claims).unwrap_or_default())
    }

    /// Signs a JSON `payload` as a statement of another `typ`, such as a debug request
    /// (licensing.md §2.6). `typ` is plain ASCII without quotes.
    #[must_use]
    pub fn sign_typed(&self, typ: &str, payload: &[u8]) -> String {
        let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"{}"}}"#, self.kid);
        self.sign_raw(header.as_bytes(), payload)
    }

    /// Signs any header and payload: also what no TMM accepts.
    pub(crate) fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", jws::encode(header), jws::encode(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", jws::encode(signature.as_ref()))
    }
}

fn public_of(pair: &Ed25519KeyPair) -> Option<[u8; 32]> {
    pair.public_key().as_ref().try_into().ok()
}

/// What a statement says, besides whom it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Occasion {
    /// Class of the licence.
    pub class: Class,
    /// Whether traffic may pass.
    pub verdict: Verdict,
    /// Why: a code of licensing.md §9.
    pub reason: String,
    /// Trusted time now, seconds since 1970.
    pub iat: u64,
    /// Seconds that the statement lasts; brought into 123 to 603.
    pub ttl: u64,
    /// Trusted time of the licence's end, if it is a trial.
    pub ends: Option<u64>,
}

/// Signs and numbers lease statements of one asset in one epoch.
#[derive(Debug)]
pub struct Authority {
    key: LeaseKey,
    daid: Uuid,
    epoch: u64,
    seq: u64,
}

impl Authority {
    /// An authority whose next statement is (`epoch`, 1). The caller stored `epoch` before, and
    /// never used it.
    #[must_use]
    pub const fn new(key: LeaseKey, daid: Uuid, epoch: u64) -> Self {
        Self { key, daid, epoch, seq: 0 }
    }

    /// The signing key.
    #[must_use]
    pub const fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// The asset.
    #[must_use]
    pub const fn daid(&self) -> Uuid {
        self.daid
    }

    /// The pair of the last signed statement; `seq` is 0 before the first.
    #[must_use]
    pub const fn last(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }

    /// Opens the gate of the pod with UID `pod` in `namespace` that gave `nonce`.
    pub fn open(
        &mut self,
        namespace: &str,
        pod: &str,
        nonce: &[u8; 16],
        occasion: &Occasion,
    ) -> String {
        let mut claims = self.claims(Kind::Open, namespace, occasion);
        claims.pod = Some(pod.to_owned());
        claims.nonce = Some(jws::encode(nonce));
        self.key.sign(&claims)
    }

    /// A heartbeat for every namespace.
    pub fn renew(&mut self, occasion: &Occasion) -> String {
        let claims = self.claims(Kind::Renew, ANY_NAMESPACE, occasion);
        self.key.sign(&claims)
    }

    /// Opens the gates of `namespace` for good.
    pub fn latch(&mut self, namespace: &str, occasion: &Occasion) -> String {
        let mut claims = self.claims(Kind::Latch, namespace, occasion);
        claims.exp = None;
        claims.ttl = None;
        self.key.sign(&claims)
    }

    fn claims(&mut self, kind: Kind, sub: &str, occasion: &Occasion) -> LeaseClaims {
        self.seq += 1;
        let ttl = occasion.ttl.clamp(*TTL.start(), *TTL.end());
        let exp = occasion.iat.saturating_add(ttl);
        LeaseClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: sub.to_owned(),
            kind,
            daid: self.daid,
            class: occasion.class,
            verdict: occasion.verdict,
            reason: occasion.reason.clone(),
            epoch: self.epoch,
            seq: self.seq,
            iat: occasion.iat,
            exp: Some(occasion.ends.map_or(exp, |ends| ends.min(exp))),
            ttl: Some(ttl),
            pod: None,
            nonce: None,
            log: None,
        }
    }
}

#[cfg(test)]
mod tests;
