//! The licence client of a Controller: asks the CWC, judges its statements, keeps the latch.
//!
//! Owns the machine of licensing.md §11, the reckoning that tells late messages from live ones, and
//! what is stored. Sends nothing and reads no clock, file or random source: the shell fills requests
//! with nonces, publishes, delivers leases, stores and runs the actuators that a [`Change`] asks
//! for. Time is `CLOCK_BOOTTIME`.
//!
//! Invariants: no verdict comes from a message whose statement did not count (LIC-732 to LIC-734);
//! once a latch is held, no event leads to Block or Unknown (LIC-640).
//! Sources: licensing.md §9, §10.3, §10.4, §11.

use std::collections::{BTreeMap, VecDeque};

use spk_jose::Jwks;
use tmm_config::Nanos;
use uuid::Uuid;

use crate::contact::{MissedHeartbeats, POLL_EVERY};
use crate::ids::MessageIds;
use crate::lease::{Class, Verdict};
use crate::messages::{
    Body, GateState, GetEntitlementRequest, LeaseRequest, Message, PodLease, SeenIds,
};
use crate::reason::Reason;

mod admission;
mod grid;
mod judgement;
mod steps;
mod tmms;

pub use admission::Refusal;
pub use grid::State;
pub use judgement::{Change, Enforcement, Judged, Judgement, Notice};

use admission::{Admission, Heard, HeldLatch};
use grid::{Action, Event};
use tmms::Tmms;

/// Who this Controller is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Its namespace.
    pub namespace: String,
    /// UID of its pod.
    pub instance: String,
    /// Its release.
    pub version: String,
    /// When silence is loss as long as no statement said so; later each statement's `ttl` does.
    pub missed: MissedHeartbeats,
}

/// What an earlier run stored, and what the shell found at the start.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The trust anchor `cwc-lease-jwks`, if it is there.
    pub trust: Option<Jwks>,
    /// Secret `spk-license-latch`, key `latch.jws`.
    pub latch: Option<String>,
    /// Secret `spk-license-last`, key `last.jws`.
    pub last: Option<String>,
}

/// What happens to the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// A message came from the bus. Acknowledge it when the outputs are done.
    Message(Message),
    /// The trust anchor came, or changed. A missing file is no input: the last good set stays.
    TrustAnchor(Jwks),
    /// A TMM is new, restarted, or its gate moved.
    Tmm {
        /// UID of its pod.
        pod: String,
        /// Its gate now.
        gate: GateState,
    },
    /// A TMM refused a renewal, for another reason than `lease_replayed`: it needs a new `open`.
    RenewalRefused {
        /// UID of its pod.
        pod: String,
    },
    /// A TMM is gone.
    TmmGone {
        /// UID of its pod.
        pod: String,
    },
    /// A TMM's `Hello` handed a latch back.
    LatchOffered {
        /// As signed.
        jws: String,
    },
    /// Whether the CWC's Deployment is missing or has no ready pod, as read from the API.
    CwcAbsent(bool),
    /// The last replica ends.
    Stop,
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Say `Hello` to the TMMs, fill their nonces in ([`Body::tmms_mut`]) and publish, within 1 s;
    /// those that do not answer are left out. A latch that a `Hello` hands back comes as
    /// [`Input::LatchOffered`] before the request is published, so that no answer is judged without
    /// it (LIC-627): connect to the TMMs before the client starts.
    Ask {
        /// The request; its `tmms` are empty.
        request: Message,
        /// Whom to ask.
        hello: Hello,
    },
    /// Publish.
    Publish(Message),
    /// Deliver this `open` lease to one TMM.
    Lease {
        /// UID of its pod.
        pod: String,
        /// As signed.
        jws: String,
    },
    /// Deliver this renewal to every TMM.
    Renew {
        /// As signed.
        jws: String,
    },
    /// Deliver the latch.
    Latch {
        /// The pod to send it to; none: every TMM.
        pod: Option<String>,
        /// As signed.
        jws: String,
    },
    /// Store the latch in Secret `spk-license-latch`.
    StoreLatch {
        /// As signed.
        jws: String,
    },
    /// Store the newest statement in Secret `spk-license-last`; at most once a minute.
    StoreLast {
        /// As signed.
        jws: String,
    },
    /// The judgement changed: run the actuators ([`Judgement::enforcement`]), tell people.
    Judged(Change),
    /// The judgement is still a warning, 24 h after it was last told (licensing.md §9).
    StillWarned(Judgement),
    /// Event `TrustAnchorMissing`.
    TrustAnchorMissing,
    /// Event `CwcContactLost`.
    ContactLost,
    /// Event `CwcContactRestored`.
    ContactRestored,
    /// The CWC commands these log levels, by component.
    LogLevels(BTreeMap<String, String>),
    /// A message or record did not count. Count it by [`Refusal::code`]; log it at most once a
    /// minute.
    Refused(Refusal),
}

/// Which TMMs give a nonce for a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hello {
    /// Every one.
    All,
    /// The one with this pod UID.
    One(String),
    /// None: the request only reports the trust anchor.
    Nobody,
}

/// The machine.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    ids: MessageIds,
    seen: SeenIds,
    admission: Admission,
    state: State,
    judgement: Judgement,
    tmms: Tmms,
    /// Records of an earlier run that wait for a trust anchor.
    stored_latch: Option<String>,
    latch: Option<HeldLatch>,
    last: Option<String>,
    last_stored: Option<Nanos>,
    last_is_stored: bool,
    attempts: u64,
    /// The newest `GetEntitlementRequest`: when, which, and whether its answer is still missing.
    asked: Option<(Nanos, Uuid, bool)>,
    silent_at: Option<Nanos>,
    heard_at: Option<Nanos>,
    contact_lost: bool,
    cwc_absent: bool,
    warned_at: Nanos,
    latched_ignored: u64,
    log: Option<BTreeMap<String, String>>,
    outputs: VecDeque<Output>,
}

/// An event with what it brings.
enum Occurrence {
    Statement(Event, Box<Heard>, Vec<PodLease>),
    Paid(Box<Heard>, HeldLatch),
    Latch(HeldLatch),
    Tmm(String),
    Timer(Event),
}

impl Occurrence {
    const fn event(&self) -> Event {
        match self {
            Self::Statement(event, _, _) | Self::Timer(event) => *event,
            Self::Paid(_, _) => Event::Paid,
            Self::Latch(_) => Event::Latch,
            Self::Tmm(_) => Event::Tmm,
        }
    }
}

/// A timer, most urgent first where two are due at once.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Timer {
    Silent,
    Poll,
    Tmm(String),
    StoreLast,
    Remind,
}

impl Client {
    /// A client that starts at `now`. `seed`: see [`MessageIds::new`].
    #[must_use]
    pub fn new(settings: Settings, records: Records, seed: [u8; 32], now: Nanos) -> Self {
        let Records { trust, latch, last } = records;
        let mut client = Self {
            admission: Admission::new(settings.namespace.clone(), None),
            settings,
            ids: MessageIds::new(seed),
            seen: SeenIds::default(),
            state: State::Boot,
            judgement: Judgement {
                verdict: Judged::Unknown,
                reason: Reason::Unknown,
                class: None,
                since: now,
            },
            tmms: Tmms::default(),
            stored_latch: latch,
            latch: None,
            last,
            last_stored: None,
            last_is_stored: true,
            attempts: 0,
            asked: None,
            silent_at: None,
            heard_at: None,
            contact_lost: false,
            cwc_absent: false,
            warned_at: now,
            latched_ignored: 0,
            log: None,
            outputs: VecDeque::new(),
        };
        match trust {
            Some(keys) => client.trust(keys, now),
            None => client.outputs.push_back(Output::TrustAnchorMissing),
        }
        client
    }

    /// Takes one event at `now`. Never blocks, never fails.
    pub fn handle_input(&mut self, input: Input, now: Nanos) {
        self.handle_timeout(now);
        match input {
            Input::Message(message) => {
                if let Err(refusal) = self.message(message, now) {
                    self.outputs.push_back(Output::Refused(refusal));
                }
            }
            Input::TrustAnchor(keys) => self.trust(keys, now),
            Input::Tmm { pod, gate } => self.tmms.note(pod, gate == GateState::Closed),
            Input::RenewalRefused { pod } => self.tmms.note(pod, true),
            Input::TmmGone { pod } => self.tmms.remove(&pod),
            Input::LatchOffered { jws } => match self.admission.latch(&jws) {
                Ok(latch) => self.occur(Occurrence::Latch(latch), now),
                Err(refusal) => self.outputs.push_back(Output::Refused(refusal)),
            },
            Input::CwcAbsent(absent) => {
                self.cwc_absent = absent;
                let reason = self.lost_reason();
                if self.contact_lost && self.judgement.reason != reason {
                    match self.state {
                        State::Lost => self.judge(Judged::Block, reason, self.judgement.class, now),
                        State::LatchedLost => {
                            self.judge(Judged::Warn, reason, self.judgement.class, now);
                        }
                        State::Boot
                        | State::Asking
                        | State::Confirming
                        | State::Active
                        | State::Blocked
                        | State::Latched => {}
                    }
                }
            }
            Input::Stop => {
                self.store_last(now);
                let goodbye = self.message_of(Body::Goodbye);
                self.outputs.push_back(Output::Publish(goodbye));
            }
        }
        self.handle_timeout(now);
    }

    /// Runs every timer due at `now`; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Nanos) {
        while let Some((due, timer)) = self.next_timer() {
            if due > now {
                break;
            }
            match timer {
                Timer::Silent => {
                    self.silent_at = None;
                    self.contact_lost = true;
                    self.outputs.push_back(Output::ContactLost);
                    self.occur(Occurrence::Timer(Event::Silent), now);
                }
                Timer::Poll => self.occur(Occurrence::Timer(Event::T5), now),
                Timer::Tmm(pod) => {
                    self.tmms.served(&pod, now);
                    self.occur(Occurrence::Tmm(pod), now);
                }
                Timer::StoreLast => self.store_last(now),
                Timer::Remind => {
                    self.warned_at = now;
                    self.outputs.push_back(Output::StillWarned(self.judgement));
                }
            }
        }
    }

    /// When `handle_timeout` is next due. Ask again after any `handle_*`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.next_timer().map(|(due, _)| due)
    }

    /// The next thing to do. Call until `None` after any `handle_*`, and after [`Client::new`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What it holds of the licence.
    #[must_use]
    pub const fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The latch that is held, as signed.
    #[must_use]
    pub fn latch(&self) -> Option<&str> {
        self.latch.as_ref().map(|latch| latch.text.as_str())
    }

    /// When the last statement that counted came; its age is `spk_license_heartbeat_age`.
    #[must_use]
    pub const fn heard_at(&self) -> Option<Nanos> {
        self.heard_at
    }

    /// How many blocking statements a held latch made warnings of: `spk_license_latched_ignored`.
    #[must_use]
    pub const fn latched_ignored(&self) -> u64 {
        self.latched_ignored
    }
}

#[cfg(test)]
mod tests;
