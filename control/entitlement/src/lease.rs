//! The lease statement: its claims and what makes it well formed.
//!
//! Owns rule G1 (form, key, signature, `iss`, `aud`, types). The rules that need the state of a TMM
//! are in `enforcer`. Source: licensing.md §2.5, §12.2.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spk_jose::{Ed25519Key, JoseError, Jwks, Limits, Verified, verify_ed25519};
use uuid::Uuid;

/// The payload of a lease statement.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LeaseClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// Controller namespace; `*` in a heartbeat.
    pub sub: String,
    /// What the statement does.
    pub kind: Kind,
    /// The digital asset, one per cluster.
    pub daid: Uuid,
    /// Class of the licence.
    pub class: Class,
    /// Whether traffic may pass.
    pub verdict: Verdict,
    /// Why: a code of licensing.md §9.
    pub reason: String,
    /// Count of the signer's starts.
    pub epoch: u64,
    /// Rises by 1 per statement within an epoch.
    pub seq: u64,
    /// Trusted time of signing, seconds since 1970.
    pub iat: u64,
    /// Trusted time of its end; none in a latch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// Seconds that it opens the gate for, 123 to 603; unused in a latch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// In `open`: UID of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// In `open`: the TMM's 16 bytes in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Log level by component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<BTreeMap<String, String>>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Opens the gate of one pod once, for one nonce.
    Open,
    /// Prolongs an open gate, or closes it.
    Renew,
    /// Opens for the life of the process.
    Latch,
}

/// Class of a licence.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// No receipt was accepted yet.
    Unactivated,
    /// `eval`, `freemium`.
    Trial,
    /// `paid`, `ela`.
    Production,
}

/// Whether traffic may pass. The strictest is the greatest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may, and people are warned.
    Warn,
    /// It may not.
    Block,
}

/// Why a statement is refused. The state stays as it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// G1: there is no key set.
    #[error("no trust anchor: file license/jwks.json is missing")]
    NoTrustAnchor,
    /// G1: above a size limit.
    #[error("statement is too large")]
    TooLarge,
    /// G1: not a strict compact JWS with the claims of a lease.
    #[error("statement is malformed")]
    Malformed,
    /// G1: not EdDSA.
    #[error("algorithm is not EdDSA")]
    Algorithm,
    /// G1: another kind of statement.
    #[error("typ is not spk-lease+jwt")]
    Type,
    /// G1: signed by a key that is not in the set.
    #[error("signing key is not trusted")]
    UnknownKey,
    /// G1: altered, or signed by another key than it names.
    #[error("signature does not verify")]
    Signature,
    /// G1: `iss`.
    #[error("issuer is not spk-cwc")]
    Issuer,
    /// G1: `aud`.
    #[error("audience is not f5-tmm")]
    Audience,
    /// G1: claims that contradict each other or leave their range.
    #[error("claims are missing, out of range or contradict each other")]
    Claims,
    /// G2: for another pod.
    #[error("lease is for another pod")]
    Pod,
    /// G2, G9: for another namespace.
    #[error("lease is for another namespace")]
    Namespace,
    /// G2: answers no nonce, an older one or a used one.
    #[error("lease does not answer the newest unused nonce")]
    Nonce,
    /// G2: answers a nonce of more than 10 s ago.
    #[error("nonce is older than 10 s")]
    NonceExpired,
    /// G3: of another asset.
    #[error("renewal is of another asset")]
    Asset,
    /// G4: not newer than the last accepted one.
    #[error("renewal is not newer than the last accepted statement")]
    Replayed,
    /// G5, G8: ended.
    #[error("lease has ended")]
    Expired,
    /// G6: a renewal of a closed gate.
    #[error("gate is closed; a renewal opens nothing")]
    GateClosed,
    /// G9: a latch that is not for production.
    #[error("latch is not of class production")]
    Class,
}

impl LeaseError {
    /// Stable label, for logs and metrics; the answer `LEASE_REJECTED` carries it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoTrustAnchor => "no_trust_anchor",
            Self::TooLarge => "lease_too_large",
            Self::Malformed => "lease_malformed",
            Self::Algorithm => "lease_algorithm",
            Self::Type => "lease_type",
            Self::UnknownKey => "lease_unknown_key",
            Self::Signature => "lease_signature",
            Self::Issuer => "lease_issuer",
            Self::Audience => "lease_audience",
            Self::Claims => "lease_claims",
            Self::Pod => "lease_wrong_pod",
            Self::Namespace => "lease_wrong_namespace",
            Self::Nonce => "lease_wrong_nonce",
            Self::NonceExpired => "lease_nonce_expired",
            Self::Asset => "lease_wrong_asset",
            Self::Replayed => "lease_replayed",
            Self::Expired => "lease_expired",
            Self::GateClosed => "lease_gate_closed",
            Self::Class => "lease_class",
        }
    }
}

impl From<JoseError> for LeaseError {
    fn from(error: JoseError) -> Self {
        match error {
            JoseError::TooLarge => Self::TooLarge,
            JoseError::Form | JoseError::Header | JoseError::Extension | JoseError::Payload => {
                Self::Malformed
            }
            JoseError::Type => Self::Type,
            JoseError::Algorithm => Self::Algorithm,
            JoseError::UnknownKey | JoseError::EmbeddedKey => Self::UnknownKey,
            JoseError::Signature => Self::Signature,
        }
    }
}

/// Signs `claims` as a lease statement.
#[must_use]
pub fn sign(key: &Ed25519Key, claims: &LeaseClaims) -> String {
    key.sign_typed(LEASE_TYPE, &serde_json::to_vec(claims).unwrap_or_default())
}

/// A statement whose form and signature are good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedLease {
    /// Its claims, in range and consistent.
    pub claims: LeaseClaims,
    /// The key that signed it.
    pub kid: String,
}

/// Checks rule G1 and the ranges of §2.5.
///
/// # Errors
///
/// The first rule that fails.
pub fn verify(text: &str, keys: &Jwks) -> Result<VerifiedLease, LeaseError> {
    let Verified { payload, kid, header: _ } =
        verify_ed25519(text, LEASE_TYPE, &Limits::STATEMENT, keys)?;
    let claims: LeaseClaims =
        serde_json::from_value(Value::Object(payload)).map_err(|_| LeaseError::Malformed)?;
    if claims.iss != ISSUER {
        return Err(LeaseError::Issuer);
    }
    if claims.aud != AUDIENCE {
        return Err(LeaseError::Audience);
    }
    if !is_consistent(&claims) {
        return Err(LeaseError::Claims);
    }
    Ok(VerifiedLease { claims, kid })
}

fn is_consistent(claims: &LeaseClaims) -> bool {
    let in_time = |seconds: u64| seconds <= LAST_SECOND;
    let bounded = || {
        let (Some(exp), Some(ttl)) = (claims.exp, claims.ttl) else { return false };
        in_time(exp) && TTL.contains(&ttl) && exp <= claims.iat.saturating_add(ttl)
    };
    let shaped = match claims.kind {
        Kind::Open => bounded() && claims.pod.is_some() && claims.nonce.is_some(),
        Kind::Renew => bounded() && claims.pod.is_none(),
        Kind::Latch => claims.exp.is_none() && claims.verdict != Verdict::Block,
    };
    shaped && in_time(claims.iat)
}

/// `iss` of a lease.
pub const ISSUER: &str = "spk-cwc";
/// `aud` of a lease.
pub const AUDIENCE: &str = "f5-tmm";
/// `sub` of a heartbeat.
pub const ANY_NAMESPACE: &str = "*";
/// `typ` of a lease, so that a debug statement is none (licensing.md §2.6).
pub const LEASE_TYPE: &str = "spk-lease+jwt";
/// Range of `ttl` in seconds.
pub const TTL: std::ops::RangeInclusive<u64> = 123..=603;
/// `ttl` by default: three missed heartbeats and 3 s.
pub const DEFAULT_TTL: u64 = 183;
/// 31 December 9999, the last second of RFC 3339.
const LAST_SECOND: u64 = 253_402_300_799;
