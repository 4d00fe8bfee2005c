//! The enforcer inside a TMM: decides from lease statements whether the gate may be open.
//!
//! Owns rules G2 to G11 and the reckoning of the signer's time. Makes no nonce and reads no clock:
//! the shell passes both in, publishes the word, answers the peer and logs. Time is
//! `CLOCK_BOOTTIME`, so a suspend counts; no wall clock is an input.
//!
//! Invariant: the gate is open only between the acceptance of an `open` lease and its deadline,
//! prolonged by newer renewals, or for good after a `latch`.
//! Source: licensing.md §12.1, §12.2.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use spk_jose::{Jwks, base64url};
use tmm_config::{GateWord, Nanos};
use uuid::Uuid;

use crate::lease::{
    self, ANY_NAMESPACE, Class, Kind, LeaseClaims, LeaseError, Verdict, VerifiedLease,
};
use crate::reason::Reason;
use crate::reckoning::{Reckoning, nanos};

/// Who this TMM is, as the downward API says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// UID of the pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
}

/// The gate as the enforcer holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Gate {
    /// Nothing passes.
    Closed {
        /// Why: a code.
        reason: String,
    },
    /// Passes before the deadline.
    Open {
        /// When it closes by itself.
        deadline: Nanos,
    },
    /// Passes for the life of the process.
    Latched,
}

/// What happens to the enforcer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// A peer asked for a nonce; these 16 random bytes go back to it.
    Hello {
        /// The new nonce. Earlier ones are void.
        nonce: [u8; 16],
    },
    /// A peer delivered a statement.
    Lease {
        /// Compact JWS.
        jws: String,
    },
    /// A peer asks to close; needs no signature (G11).
    Close {
        /// Why: a code.
        reason: String,
    },
    /// The key set was read, or replaced. A missing file is no input: the last good set stays.
    TrustAnchor(Jwks),
}

/// What the shell must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Publish this word to the workers. Always before the line that tells of it.
    Publish(GateWord),
    /// A closed gate is open now.
    Opened,
    /// An open gate is closed now.
    Closed {
        /// Why: a code.
        reason: String,
    },
    /// The lease was accepted.
    Accepted,
    /// The lease was refused: answer `LEASE_REJECTED` with the code.
    Rejected(LeaseError),
}

/// The machine. Closed when made.
#[derive(Debug)]
pub struct Enforcer {
    identity: Identity,
    anchor: Option<Jwks>,
    gate: Gate,
    nonce: Option<Nonce>,
    asset: Option<Uuid>,
    /// Last accepted (epoch, seq) by signing key.
    last: BTreeMap<String, (u64, u64)>,
    /// The pair accepted last, whoever signed it.
    newest: (u64, u64),
    reckoning: Option<Reckoning>,
    latch: Option<String>,
    /// While latched: when contact counts as lost.
    contact: Option<Nanos>,
    latched_ignored: u64,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
struct Nonce {
    bytes: [u8; 16],
    made: Nanos,
}

/// Rule G8: when a lease of these claims ends, counted from `now`.
fn deadline(reckoning: Reckoning, claims: &LeaseClaims, now: Nanos) -> Nanos {
    let most = claims.ttl.unwrap_or(0).min(*lease::TTL.end());
    let left = reckoning.until(claims.exp.unwrap_or(0), now);
    now.plus(left.min(Nanos::from_secs(most)))
}

impl Enforcer {
    /// A closed gate without a trust anchor.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            anchor: None,
            gate: Gate::Closed { reason: LeaseError::NoTrustAnchor.code().to_owned() },
            nonce: None,
            asset: None,
            last: BTreeMap::new(),
            newest: (0, 0),
            reckoning: None,
            latch: None,
            contact: None,
            latched_ignored: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one event at `now`. Never blocks, never fails.
    pub fn handle_input(&mut self, input: Input, now: Nanos) {
        self.handle_timeout(now);
        match input {
            Input::Hello { nonce } => self.nonce = Some(Nonce { bytes: nonce, made: now }),
            Input::Lease { jws } => {
                let outcome = self.lease(jws, now);
                self.outputs.push_back(match outcome {
                    Ok(()) => Output::Accepted,
                    Err(error) => Output::Rejected(error),
                });
            }
            Input::Close { reason } => self.close(reason),
            Input::TrustAnchor(keys) => {
                if let (None, Gate::Closed { reason }) = (&self.anchor, &mut self.gate) {
                    NO_LEASE.clone_into(reason);
                }
                self.anchor = Some(keys);
            }
        }
    }

    /// Runs every timer due at `now`; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Nanos) {
        match &self.gate {
            Gate::Open { deadline } if now >= *deadline => self.close(LEASE_ENDED.to_owned()),
            Gate::Latched if self.contact.is_some_and(|end| now >= end) => {
                self.contact = None;
                self.latched_ignored += 1;
            }
            Gate::Open { .. } | Gate::Latched | Gate::Closed { .. } => {}
        }
    }

    /// When `handle_timeout` is next due. Ask again after any `handle_*`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Nanos> {
        match self.gate {
            Gate::Open { deadline } => Some(deadline),
            Gate::Latched => self.contact,
            Gate::Closed { .. } => None,
        }
    }

    /// The next thing to do. Call until `None` after any `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The gate.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The word that workers shall see.
    #[must_use]
    pub const fn word(&self) -> GateWord {
        match self.gate {
            Gate::Closed { .. } => GateWord::CLOSED,
            Gate::Open { deadline } => GateWord::open_until(deadline),
            Gate::Latched => GateWord::LATCHED,
        }
    }

    /// The (epoch, seq) accepted last; zeros before the first.
    #[must_use]
    pub const fn last(&self) -> (u64, u64) {
        self.newest
    }

    /// The statement that latched the gate, to hand back in `Hello`.
    #[must_use]
    pub fn latch(&self) -> Option<&str> {
        self.latch.as_deref()
    }

    /// How often a latched gate was asked to close, or lost contact (G10).
    #[must_use]
    pub const fn latched_ignored(&self) -> u64 {
        self.latched_ignored
    }

    fn lease(&mut self, text: String, now: Nanos) -> Result<(), LeaseError> {
        let anchor = self.anchor.as_ref().ok_or(LeaseError::NoTrustAnchor)?;
        let lease = lease::verify(&text, anchor)?;
        match lease.claims.kind {
            Kind::Open => self.open(lease, now),
            Kind::Renew => self.renew(lease, now),
            Kind::Latch => self.latch_with(lease, text),
        }
    }

    fn open(&mut self, lease: VerifiedLease, now: Nanos) -> Result<(), LeaseError> {
        let claims = &lease.claims;
        // G2
        if claims.pod.as_deref() != Some(&self.identity.pod) {
            return Err(LeaseError::Pod);
        }
        if claims.sub != self.identity.namespace {
            return Err(LeaseError::Namespace);
        }
        let nonce = self.nonce.ok_or(LeaseError::Nonce)?;
        if claims.nonce.as_deref() != Some(&base64url::encode(&nonce.bytes)) {
            return Err(LeaseError::Nonce);
        }
        if now.since(nonce.made) > NONCE_LIFE {
            return Err(LeaseError::NonceExpired);
        }
        // G5: the signer's clock read `iat` after the nonce was made, so this is never too low.
        let reckoning = Reckoning::seen(claims.iat, nonce.made);
        let deadline = deadline(reckoning, claims, now);
        if claims.verdict != Verdict::Block && deadline <= now {
            return Err(LeaseError::Expired);
        }
        self.nonce = None;
        self.reckoning = Some(reckoning);
        self.asset = Some(claims.daid);
        self.accept(lease, deadline);
        Ok(())
    }

    fn renew(&mut self, lease: VerifiedLease, now: Nanos) -> Result<(), LeaseError> {
        let claims = &lease.claims;
        if claims.sub != ANY_NAMESPACE && claims.sub != self.identity.namespace {
            return Err(LeaseError::Namespace);
        }
        // G3
        if self.asset != Some(claims.daid) {
            return Err(LeaseError::Asset);
        }
        // G4
        if self.last.get(&lease.kid).is_some_and(|last| (claims.epoch, claims.seq) <= *last) {
            return Err(LeaseError::Replayed);
        }
        // G5. A latch alone starts no reckoning: its `iat` may be of any age.
        let seen = Reckoning::seen(claims.iat, now);
        let known = self.reckoning.unwrap_or(seen);
        if nanos(claims.exp.unwrap_or(0)) < known.low(now) - LATE {
            return Err(LeaseError::Expired);
        }
        // G6
        if claims.verdict != Verdict::Block && matches!(self.gate, Gate::Closed { .. }) {
            return Err(LeaseError::GateClosed);
        }
        let reckoning = known.latest(seen);
        let deadline = deadline(reckoning, claims, now);
        self.reckoning = Some(reckoning);
        self.accept(lease, deadline);
        self.handle_timeout(now);
        Ok(())
    }

    fn latch_with(&mut self, lease: VerifiedLease, text: String) -> Result<(), LeaseError> {
        let claims = &lease.claims;
        if claims.class != Class::Production {
            return Err(LeaseError::Class);
        }
        if claims.sub != self.identity.namespace {
            return Err(LeaseError::Namespace);
        }
        self.asset = Some(claims.daid);
        self.latch = Some(text);
        let was_closed = matches!(self.gate, Gate::Closed { .. });
        self.gate = Gate::Latched;
        self.outputs.push_back(Output::Publish(GateWord::LATCHED));
        if was_closed {
            self.outputs.push_back(Output::Opened);
        }
        Ok(())
    }

    /// Takes the pair of an accepted lease and does what its verdict says (G4, G7, G8, G10).
    fn accept(&mut self, lease: VerifiedLease, deadline: Nanos) {
        let VerifiedLease { claims, kid } = lease;
        self.newest = (claims.epoch, claims.seq);
        self.last.insert(kid, self.newest);
        match claims.verdict {
            Verdict::Block => self.close(claims.reason),
            Verdict::Allow | Verdict::Warn => match self.gate {
                Gate::Latched => self.contact = Some(deadline),
                Gate::Closed { .. } | Gate::Open { .. } => {
                    let old = mem::replace(&mut self.gate, Gate::Open { deadline });
                    self.outputs.push_back(Output::Publish(self.word()));
                    if matches!(old, Gate::Closed { .. }) {
                        self.outputs.push_back(Output::Opened);
                    }
                }
            },
        }
    }

    fn close(&mut self, reason: String) {
        match self.gate {
            Gate::Latched => self.latched_ignored += 1,
            Gate::Closed { .. } => self.gate = Gate::Closed { reason },
            Gate::Open { .. } => {
                self.gate = Gate::Closed { reason: reason.clone() };
                self.outputs.push_back(Output::Publish(GateWord::CLOSED));
                self.outputs.push_back(Output::Closed { reason });
            }
        }
    }
}

/// Reason of a gate that its deadline closed (G8).
pub const LEASE_ENDED: &str = Reason::LeaseEnded.code();
/// Reason of a gate that no lease opened yet.
pub const NO_LEASE: &str = Reason::NoLease.code();
/// How long a nonce may be answered (G2).
const NONCE_LIFE: Nanos = Nanos::from_secs(10);
/// How much later than its end a renewal may come, in nanoseconds (G5).
const LATE: i128 = 5_000_000_000;

#[cfg(test)]
mod tests;
