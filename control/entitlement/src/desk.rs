//! The CWC's side of the conversation: answers Controllers, sends heartbeats, signs.
//!
//! Owns who is registered, the numbers and keys of statements, heartbeats and broadcasts, and what
//! is learnt from a Controller's `last`. Decides no verdict: the licence machine's [`Standing`]
//! comes in. Publishes, stores and reads nothing itself: no clock, file or random source.
//!
//! Invariants: an epoch is used only after the shell stored it; nobody is answered whose namespace
//! the API does not show (LIC-738); nothing is learnt from what our own keys did not sign (LIC-541).
//! Sources: licensing.md §1.2 (rotation), §2.5, §7.2 (P9), §7.5, §10.3, §10.4.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use spk_jose::{Ed25519Key, Jwks};
use tmm_config::Nanos;

use crate::contact::{HEARTBEAT_EVERY, MissedHeartbeats};
use crate::ids::MessageIds;
use crate::lease::{Class, LeaseError, Verdict};
use crate::messages::{Body, LicenseFacts, Message, SeenIds};
use crate::reason::Reason;
use crate::signer::{Authority, Occasion};

mod answers;
mod instances;

pub use instances::{ControllerView, TmmView};

use instances::Instances;

/// What the licence machine says now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Class of the licence.
    pub class: Class,
    /// Whether the first receipt was accepted.
    pub active: bool,
    /// The ruling of [`crate::policy::ruling`].
    pub verdict: Verdict,
    /// Its reason.
    pub reason: Reason,
    /// Number of slot L's state, 0 to 16.
    pub state: u8,
    /// Its text (licensing.md §3.1).
    pub state_text: String,
    /// What the JWT says; none before one was verified.
    pub license: Option<LicenseFacts>,
    /// The digital asset; the nil UUID before it exists.
    pub daid: uuid::Uuid,
    /// End of a trial by trusted time, seconds since 1970: no lease goes beyond.
    pub ends: Option<u64>,
}

/// The keys that sign.
#[derive(Debug)]
pub struct KeyRing {
    /// `private.jwk`. Where it is lost: `next.jwk`, which then signs at once.
    pub signing: Ed25519Key,
    /// `next.jwk`, while rotating.
    pub next: Option<Ed25519Key>,
    /// `jwks.json` of the CWC's namespace: every key of ours, also those that signed before.
    pub published: Jwks,
}

/// What a desk starts with.
#[derive(Debug)]
pub struct Start {
    /// Value `cpclConfig.missedHeartbeats`.
    pub missed: MissedHeartbeats,
    /// The keys.
    pub keys: KeyRing,
    /// The epoch of this start: stored before, and never used.
    pub epoch: u64,
    /// What the licence machine says.
    pub standing: Standing,
    /// 32 random bytes: see [`MessageIds::new`].
    pub seed: [u8; 32],
}

/// Now, on both clocks that a desk needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Boot time.
    pub boot: Nanos,
    /// Trusted time as it may be signed: the stored reckoning of K2 (licensing.md §8), seconds
    /// since 1970.
    pub iat: u64,
}

/// What happens to the desk.
#[derive(Debug)]
pub enum Input {
    /// A message came from the bus. Acknowledge it when the outputs are done.
    Message(Message),
    /// The licence machine's standing, at any change; what it says was stored before.
    Standing(Standing),
    /// The namespaces where the API shows a Deployment of chart `f5ingress`.
    Instances(BTreeSet<String>),
    /// The keys were read again: `next.jwk` came.
    Keys(KeyRing),
    /// A new epoch, stored before: after K9, and the answer to each [`Output::Learnt`], whether the
    /// epoch rose or not.
    Epoch(u64),
    /// Log levels by component, set by POST `/v1/log`.
    LogLevels(BTreeMap<String, String>),
    /// Whether the state can be stored. From 180 s of failure on the desk is silent (P9).
    Storing(bool),
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Publish.
    Publish(Message),
    /// A Controller showed a statement of ours from ahead: the licence machine takes epoch and
    /// time, stores, and the shell answers with [`Input::Epoch`]. The Controller's answer waits
    /// for it.
    Learnt {
        /// Its epoch.
        epoch: u64,
        /// Its number.
        seq: u64,
        /// Its time.
        iat: u64,
    },
    /// `next.jwk` signs from now on: store it as `private.jwk` and delete `next.jwk`.
    Rotated {
        /// Its `kid`.
        kid: String,
    },
    /// Event `TrustAnchorReplaced`: a Controller's copy holds a key that we did not publish.
    TrustAnchorReplaced {
        /// The Controller's namespace.
        namespace: String,
        /// The foreign key's `kid`.
        kid: String,
    },
    /// A message, or the `last` in it, was not taken. Count it by [`Refusal::code`]; log it at most
    /// once a minute.
    Refused(Refusal),
}

/// Why something is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The API shows no Controller in its namespace (LIC-738).
    #[error("no Controller of ours runs in this namespace")]
    UnknownInstance,
    /// 256 others are registered.
    #[error("256 Controllers are registered")]
    Full,
    /// It came before (LIC-723).
    #[error("message came before")]
    Repeated,
    /// It is of a type that a Controller does not send.
    #[error("message is no request")]
    NoRequest,
    /// A name in it is none.
    #[error("a name in the message is malformed")]
    BadName,
    /// Its `last` was not signed by us, or is malformed (LIC-541).
    #[error("last statement is not ours: {0}")]
    Last(LeaseError),
}

impl Refusal {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownInstance => "unknown_instance",
            Self::Full => "instances_full",
            Self::Repeated => "repeated",
            Self::NoRequest => "no_request",
            Self::BadName => "bad_name",
            Self::Last(_) => "foreign_last",
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Desk {
    missed: MissedHeartbeats,
    authority: Authority,
    next: Option<Ed25519Key>,
    published: Jwks,
    standing: Standing,
    ids: MessageIds,
    seen: SeenIds,
    instances: Instances,
    /// Requests that wait until what they taught is stored, by namespace.
    held: BTreeMap<String, Message>,
    heartbeat_at: Nanos,
    failing_since: Option<Nanos>,
    outputs: VecDeque<Output>,
}

impl Desk {
    /// A desk that starts at `now`; its first heartbeat is due at once.
    #[must_use]
    pub fn new(start: Start, now: Moment) -> Self {
        let Start { missed, keys, epoch, standing, seed } = start;
        let published = published_by(&keys);
        let KeyRing { signing, next, published: _ } = keys;
        Self {
            missed,
            authority: Authority::new(signing, standing.daid, epoch),
            next,
            published,
            standing,
            ids: MessageIds::new(seed),
            seen: SeenIds::default(),
            instances: Instances::default(),
            held: BTreeMap::new(),
            heartbeat_at: now.boot,
            failing_since: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one event at `now`. Never blocks, never fails.
    pub fn handle_input(&mut self, input: Input, now: Moment) {
        self.handle_timeout(now);
        match input {
            Input::Message(message) => {
                if let Err(refusal) = self.message(message, now) {
                    self.outputs.push_back(Output::Refused(refusal));
                }
            }
            Input::Standing(standing) => self.change(standing, now),
            Input::Instances(listed) => {
                self.instances.list(listed);
                self.rotate();
            }
            Input::Keys(keys) => {
                self.published = published_by(&keys);
                let KeyRing { signing, next, published: _ } = keys;
                self.authority.sign_with(signing);
                self.next = next;
                self.rotate();
            }
            Input::Epoch(epoch) => {
                if epoch != self.authority.last().0 {
                    self.authority.begin(epoch);
                }
                for (_, message) in std::mem::take(&mut self.held) {
                    self.answer(&message, now);
                }
            }
            Input::LogLevels(levels) => {
                self.authority.command_log_levels(levels);
                // At once, in an extra heartbeat (licensing.md §4.2, LIC-329).
                if self.vouches(now) {
                    self.heartbeat(now);
                }
            }
            Input::Storing(works) => {
                self.failing_since =
                    if works { None } else { self.failing_since.or(Some(now.boot)) };
            }
        }
    }

    /// Runs every timer due at `now`; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Moment) {
        if now.boot < self.heartbeat_at {
            return;
        }
        self.heartbeat_at = self.heartbeat_at.plus(HEARTBEAT_EVERY);
        if self.heartbeat_at <= now.boot {
            self.heartbeat_at = now.boot.plus(HEARTBEAT_EVERY);
        }
        if self.vouches(now) {
            self.heartbeat(now);
        }
    }

    /// When `handle_timeout` is next due. Ask again after any `handle_*`.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Nanos> {
        Some(self.heartbeat_at)
    }

    /// The next thing to do. Call until `None` after any `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The Controllers that are registered, for `/v1/license`.
    #[must_use]
    pub fn controllers(&self, now: Nanos) -> Vec<ControllerView> {
        self.instances.view(&self.standing, now)
    }

    /// The namespaces that reported a trust anchor without the key that signs: they need
    /// `spkctl license trust` (`nextSteps`).
    #[must_use]
    pub fn in_need_of_trust(&self) -> Vec<String> {
        self.instances.lacking(self.authority.key().kid())
    }

    /// The set of all our public keys: `jwks.json` of the CWC's namespace, `next.jwk` included.
    #[must_use]
    pub const fn published(&self) -> &Jwks {
        &self.published
    }

    /// The `kid` that signs.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.authority.key().kid()
    }

    /// (epoch, seq) of the last statement; `seq` is 0 before the first.
    #[must_use]
    pub const fn last(&self) -> (u64, u64) {
        self.authority.last()
    }

    /// Whether the state could be stored lately enough to vouch for it (P9).
    fn vouches(&self, now: Moment) -> bool {
        self.failing_since.is_none_or(|since| now.boot.since(since) < VOUCHED_FOR)
    }

    /// What a statement of `now` says.
    fn occasion(&self, now: Moment) -> Occasion {
        let standing = &self.standing;
        let activated = standing.active && standing.class != Class::Unactivated;
        Occasion {
            class: if standing.active { standing.class } else { Class::Unactivated },
            verdict: if activated { standing.verdict } else { Verdict::Block },
            reason: standing.reason.code().to_owned(),
            iat: now.iat,
            ttl: self.missed.ttl(),
            ends: standing.ends.filter(|_| standing.class == Class::Trial),
        }
    }

    fn publish(&mut self, request: Option<&Message>, namespace: &str, body: Body) {
        let message = Message {
            id: self.ids.next_id(),
            reply_to: request.map(|request| request.id),
            namespace: namespace.to_owned(),
            body,
        };
        self.outputs.push_back(Output::Publish(message));
    }
}

fn published_by(keys: &KeyRing) -> Jwks {
    let own = keys.signing.jwks();
    let next = keys.next.as_ref().map(Ed25519Key::jwks).unwrap_or_default();
    own.joined(&next).joined(&keys.published)
}

/// How long a state that cannot be stored is vouched for (P9).
const VOUCHED_FOR: Nanos = Nanos::from_secs(180);

#[cfg(test)]
mod tests;
