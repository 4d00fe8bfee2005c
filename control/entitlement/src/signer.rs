//! Makes lease statements: an authority that numbers what it signs.
//!
//! The CWC's desk signs with it; tests do, too. Owns no file: the caller stores the key's text and
//! the epoch. Source: licensing.md §1.2, §2.5.

use std::collections::BTreeMap;

use spk_jose::{Ed25519Key, base64url};
use uuid::Uuid;

use crate::lease::{self, ANY_NAMESPACE, AUDIENCE, Class, ISSUER, Kind, LeaseClaims, TTL, Verdict};

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
    key: Ed25519Key,
    daid: Uuid,
    epoch: u64,
    seq: u64,
    log: Option<BTreeMap<String, String>>,
}

impl Authority {
    /// An authority whose next statement is (`epoch`, 1). The caller stored `epoch` before, and
    /// never used it.
    #[must_use]
    pub const fn new(key: Ed25519Key, daid: Uuid, epoch: u64) -> Self {
        Self { key, daid, epoch, seq: 0, log: None }
    }

    /// Signs with `key` from now on. The numbers go on: they are ordered by key.
    pub fn sign_with(&mut self, key: Ed25519Key) {
        self.key = key;
    }

    /// Signs for the asset `daid` from now on.
    pub const fn assign(&mut self, daid: Uuid) {
        self.daid = daid;
    }

    /// Begins an epoch: the next statement is (`epoch`, 1). The caller stored `epoch` before, and
    /// never used it.
    pub const fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.seq = 0;
    }

    /// Every statement from now on commands these log levels, by component; none if empty.
    pub fn command_log_levels(&mut self, levels: BTreeMap<String, String>) {
        self.log = (!levels.is_empty()).then_some(levels);
    }

    /// The signing key.
    #[must_use]
    pub const fn key(&self) -> &Ed25519Key {
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
        claims.nonce = Some(base64url::encode(nonce));
        lease::sign(&self.key, &claims)
    }

    /// A heartbeat for every namespace.
    pub fn renew(&mut self, occasion: &Occasion) -> String {
        let claims = self.claims(Kind::Renew, ANY_NAMESPACE, occasion);
        lease::sign(&self.key, &claims)
    }

    /// The statement of the answer to `request`, for `namespace` alone.
    pub fn answer(&mut self, namespace: &str, request: Uuid, occasion: &Occasion) -> String {
        let mut claims = self.claims(Kind::Renew, namespace, occasion);
        claims.nonce = Some(request.to_string());
        lease::sign(&self.key, &claims)
    }

    /// Opens the gates of `namespace` for good.
    pub fn latch(&mut self, namespace: &str, occasion: &Occasion) -> String {
        let mut claims = self.claims(Kind::Latch, namespace, occasion);
        claims.exp = None;
        claims.ttl = None;
        lease::sign(&self.key, &claims)
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
            log: self.log.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
