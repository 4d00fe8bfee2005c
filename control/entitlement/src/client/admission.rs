//! Which statements count (licensing.md §11, first paragraph; §10.3; §10.4).
//!
//! Owns the order of statements by signing key, the requests that wait for an answer, and `t_low`.
//! Invariant: before the first answer to an own request nothing counts (LIC-732).

use std::collections::{BTreeMap, VecDeque};

use tmm_config::Nanos;
use uuid::Uuid;

use crate::lease::{self, ANY_NAMESPACE, Class, Kind, LeaseClaims, LeaseError, TTL, VerifiedLease};
use crate::reckoning::{Reckoning, nanos};
use spk_jose::Jwks;

/// A statement that counts.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub claims: LeaseClaims,
    /// As signed.
    pub text: String,
    /// When silence is loss, if no other comes.
    pub silent_at: Nanos,
    /// The own request that it answers.
    pub answers: Option<Uuid>,
}

/// A latch that is good for the own namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct HeldLatch {
    pub text: String,
    pub daid: Uuid,
    pub iat: u64,
}

/// Why a message or a record does not count. It changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its statement or latch does not verify, or is for others.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Its statement is of another kind than `renew`, or its latch of another than `latch`.
    #[error("statement is of the wrong kind")]
    Kind,
    /// Its statement is not newer than the last one of the same key (LIC-734).
    #[error("statement is not newer than the last one of its key")]
    Order,
    /// It is the first since the start and answers no own request (LIC-732).
    #[error("the first statement must answer an own request")]
    NotAsked,
    /// Its statement has ended by our reckoning (LIC-731).
    #[error("statement has ended")]
    Ended,
    /// It is of a type that a CWC does not send.
    #[error("message carries no statement")]
    NoStatement,
    /// It came before (LIC-723).
    #[error("message came before")]
    Repeated,
}

impl Refusal {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Lease(error) => error.code(),
            Self::Kind => "statement_kind",
            Self::Order => "statement_order",
            Self::NotAsked => "statement_not_asked",
            Self::Ended => "statement_ended",
            Self::NoStatement => "no_statement",
            Self::Repeated => "repeated",
        }
    }
}

#[derive(Debug)]
pub(super) struct Admission {
    namespace: String,
    anchor: Option<Jwks>,
    /// Last (epoch, seq) by signing key.
    last: BTreeMap<String, (u64, u64)>,
    /// Own requests and when they were made, oldest first.
    requests: VecDeque<(Uuid, Nanos)>,
    reckoning: Option<Reckoning>,
}

impl Admission {
    pub fn new(namespace: String, anchor: Option<Jwks>) -> Self {
        Self {
            namespace,
            anchor,
            last: BTreeMap::new(),
            requests: VecDeque::new(),
            reckoning: None,
        }
    }

    pub fn trust(&mut self, keys: Jwks) {
        self.anchor = Some(keys);
    }

    pub const fn anchor(&self) -> Option<&Jwks> {
        self.anchor.as_ref()
    }

    /// Notes an own request made at `now`.
    pub fn asked(&mut self, id: Uuid, now: Nanos) {
        self.requests.push_back((id, now));
        if self.requests.len() > REQUESTS {
            self.requests.pop_front();
        }
    }

    /// Takes `text` as a statement at `now`.
    pub fn statement(&mut self, text: &str, now: Nanos) -> Result<Heard, Refusal> {
        let VerifiedLease { claims, kid } = self.verify(text)?;
        if claims.kind != Kind::Renew {
            return Err(Refusal::Kind);
        }
        if claims.sub != ANY_NAMESPACE && claims.sub != self.namespace {
            return Err(LeaseError::Namespace.into());
        }
        if self.last.get(&kid).is_some_and(|last| (claims.epoch, claims.seq) <= *last) {
            return Err(Refusal::Order);
        }
        let asked = self.request_of(&claims);
        let end = claims.iat.saturating_add(claims.ttl.unwrap_or(*TTL.start()));
        let reckoning = match (asked, self.reckoning) {
            // As an `open` (G5): CWC's clock read `iat` after the request was made.
            (Some((_, at)), _) => Reckoning::seen(claims.iat, at),
            (None, Some(known)) => {
                if nanos(end) <= known.low(now) {
                    return Err(Refusal::Ended);
                }
                known.latest(Reckoning::seen(claims.iat, now))
            }
            (None, None) => return Err(Refusal::NotAsked),
        };
        let left = reckoning.until(end, now);
        if left == Nanos(0) {
            return Err(Refusal::Ended);
        }
        self.last.insert(kid, (claims.epoch, claims.seq));
        self.reckoning = Some(reckoning);
        let answers = asked.map(|(id, _)| id);
        Ok(Heard { claims, text: text.to_owned(), silent_at: now.plus(left), answers })
    }

    /// Checks `text` as a latch of the own namespace.
    pub fn latch(&self, text: &str) -> Result<HeldLatch, Refusal> {
        let VerifiedLease { claims, .. } = self.verify(text)?;
        if claims.kind != Kind::Latch {
            return Err(Refusal::Kind);
        }
        if claims.class != Class::Production {
            return Err(LeaseError::Class.into());
        }
        if claims.sub != self.namespace {
            return Err(LeaseError::Namespace.into());
        }
        Ok(HeldLatch { text: text.to_owned(), daid: claims.daid, iat: claims.iat })
    }

    /// Whether `text` verifies at all: the record `last` of an earlier run.
    pub fn verify(&self, text: &str) -> Result<VerifiedLease, LeaseError> {
        lease::verify(text, self.anchor.as_ref().ok_or(LeaseError::NoTrustAnchor)?)
    }

    fn request_of(&self, claims: &LeaseClaims) -> Option<(Uuid, Nanos)> {
        let nonce = Uuid::try_parse(claims.nonce.as_deref()?).ok()?;
        self.requests.iter().rfind(|(id, _)| *id == nonce).copied()
    }
}

/// How many own requests may wait for an answer. An answer to an older one counts like any other
/// message.
const REQUESTS: usize = 1024;
