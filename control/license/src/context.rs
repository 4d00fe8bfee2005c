//! The whole stored state of the machine.
//!
//! Owns what record `context` holds. Its text form, with schema and hash, is [`record`]; what
//! happens to it is `machine`'s. Holds tokens: never print it.
//!
//! Source: licensing.md §7.1, §3.2.

pub mod record;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spk_entitlement::Verdict;
use spk_entitlement::reason::Reason;
use uuid::Uuid;

use crate::calendar::Window;
use crate::calendar::samples::{Aggregate, SampleTime, Samples};
use crate::codes::Code;
use crate::receipt::Superseded;
use crate::report::{ReportType, SupersededReport};
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::token::{LicenseClaims, OrderType};
use crate::upstream::Attempts;
use crate::view::history::History;

/// What is wrong in a slot.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The word of §3.7.
    pub code: Code,
    /// One sentence; holds no part of a token.
    pub text: String,
    /// Trusted time at which it began, seconds since 1970.
    pub since: u64,
    /// Whether state 13 came by `up.rej` (§9 tells that from a bad receipt).
    pub upstream: bool,
}

/// A slot that is not empty.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its state.
    pub state: State,
    /// Trusted time at which it was entered, seconds since 1970.
    pub since: u64,
    /// What is wrong, in 2, 5, 8, 9 and 13.
    pub fault: Option<Fault>,
}

impl Place {
    pub(crate) const fn new(state: State, since: u64) -> Self {
        Self { state, since, fault: None }
    }
}

/// A verified licence JWT. Secret.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// Its compact text.
    pub text: Arc<str>,
    /// Its claims.
    pub claims: LicenseClaims,
    /// Whether slot L or S bound it to the digital asset (`reg.ok`).
    pub bound: bool,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("claims", &self.claims)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// A report without a receipt.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `reportID`.
    pub id: Uuid,
    /// Base64url of the SHA-256 of its text.
    pub sha256: String,
    /// Why it was made.
    pub kind: ReportType,
    /// What it covers.
    pub period: Window,
    /// Its number.
    pub sequence: u64,
    /// Trusted time of building.
    pub generated_at: u64,
    /// The JWT it was made under.
    pub license_jti: Uuid,
    /// That JWT's order type.
    pub order_type: OrderType,
    /// Its compact text.
    pub text: Arc<str>,
    /// What it counted.
    pub usage: Aggregate,
    /// How often it was downloaded.
    pub downloads: u64,
    /// The reports it replaces, oldest first.
    pub supersedes: Vec<SupersededReport>,
    /// Attempts to send it.
    pub attempts: Attempts,
}

/// One value per slot that can hold a report.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PerSlot<T> {
    /// Slot L.
    pub license: Option<T>,
    /// Slot R.
    pub current: Option<T>,
    /// Slot S.
    pub switch: Option<T>,
}

impl<T> Default for PerSlot<T> {
    fn default() -> Self {
        Self { license: None, current: None, switch: None }
    }
}

impl<T> PerSlot<T> {
    /// What `slot` holds; slot N holds none.
    #[must_use]
    pub const fn get(&self, slot: Slot) -> Option<&T> {
        match slot {
            Slot::License => self.license.as_ref(),
            Slot::Current => self.current.as_ref(),
            Slot::Switch => self.switch.as_ref(),
            Slot::Next => None,
        }
    }

    pub(crate) const fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        match slot {
            Slot::License => self.license.as_mut(),
            Slot::Current => self.current.as_mut(),
            Slot::Switch => self.switch.as_mut(),
            Slot::Next => None,
        }
    }

    pub(crate) fn put(&mut self, slot: Slot, value: Option<T>) {
        match slot {
            Slot::License => self.license = value,
            Slot::Current => self.current = value,
            Slot::Switch => self.switch = value,
            Slot::Next => {}
        }
    }
}

/// The last accepted receipt. Secret.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
pub struct LastReceipt {
    /// Its compact text.
    pub text: Arc<str>,
    /// When it was signed, seconds since 1970.
    pub iat: u64,
}

impl std::fmt::Debug for LastReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastReceipt").field("iat", &self.iat).finish_non_exhaustive()
    }
}

/// The last acknowledged report.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// `reportID`.
    pub report: Uuid,
    /// Base64url of the SHA-256 of its text: the next report's `previousReportSha256`.
    pub sha256: String,
    /// Trusted time of acceptance.
    pub at: u64,
}

/// Trusted times at which 14, 15 and 16 were last entered (`statesofdecay`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Decay {
    /// State 14.
    pub soon: Option<u64>,
    /// State 15.
    pub today: Option<u64>,
    /// State 16.
    pub expired: Option<u64>,
}

/// The verdict as it was last ruled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ruled {
    /// Whether traffic may pass.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Trusted time since which, seconds since 1970.
    pub since: u64,
}

/// The whole stored state.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// One more at every write.
    pub generation: u64,
    /// The digital asset id, once there is one.
    pub digital_asset_id: Option<Uuid>,
    /// Slot L.
    pub license: Place,
    /// Slot R.
    pub current: Option<Place>,
    /// Slot N.
    pub next: Option<Place>,
    /// Slot S.
    pub switch: Option<Place>,
    /// The JWT of slot L.
    pub grant: Option<Grant>,
    /// The JWT of slot S.
    pub pending: Option<Grant>,
    /// Trusted time of the first acceptance.
    pub activated: Option<u64>,
    /// Expiry of the last accepted receipt under the licence in force.
    pub receipt_expiry: Option<u64>,
    /// The last accepted receipt.
    pub receipt: Option<LastReceipt>,
    /// `jti` of accepted receipts, newest last, at most 512 (A4).
    pub accepted: Vec<Uuid>,
    /// Reports that another replaced, newest last, at most 512 (A5).
    pub superseded: Vec<Superseded>,
    /// Reports without a receipt.
    pub reports: PerSlot<Report>,
    /// Why the last receipt or upload of a slot was refused, until one is accepted: what state 13
    /// says outlives its downloads and further attempts (§9.1).
    pub refused: PerSlot<Fault>,
    /// The last acknowledged report.
    pub acknowledged: Option<Acknowledged>,
    /// Reports built so far.
    pub sequence: u64,
    /// The open window: N = 17. While N = 18 the window that opens next.
    pub window: Option<Window>,
    /// What the report of slot R covers, built or to be built.
    pub closed: Option<Window>,
    /// End of the first window that is not acknowledged.
    pub unacknowledged: Option<u64>,
    /// Usage.
    pub samples: Samples,
    /// The next hourly sample.
    pub sample_time: Option<SampleTime>,
    /// Count of starts and of K9.
    pub epoch: u64,
    /// First epoch whose `iat` counts (K9).
    pub first_epoch: u64,
    /// The high-water mark, seconds since 1970 (K2).
    pub high_water: u64,
    /// After a restore from an old copy: the peers' `iat` (§7.5).
    pub restored_iat: Option<u64>,
    /// Names of the JWT and JWKS objects last seen, as base64url of their SHA-256.
    pub seen_jwt: Option<String>,
    /// See `seen_jwt`.
    pub seen_jwks: Option<String>,
    /// The mode the slots were last in.
    pub mode: Mode,
    /// The last 256 moves.
    pub history: History,
    /// When the licence aged.
    pub decay: Decay,
    /// The verdict.
    pub ruled: Option<Ruled>,
    /// The form that is written (P11).
    pub form: u32,
    /// Seconds that a release which knows a newer form has run (P11).
    pub form_ran: u64,
}

impl Context {
    /// The state of nothing: L = 0.
    #[must_use]
    pub fn new(form: u32, mode: Mode, now: u64) -> Self {
        Self {
            generation: 0,
            digital_asset_id: None,
            license: Place::new(State::Default, now),
            current: None,
            next: None,
            switch: None,
            grant: None,
            pending: None,
            activated: None,
            receipt_expiry: None,
            receipt: None,
            accepted: Vec::new(),
            superseded: Vec::new(),
            reports: PerSlot::default(),
            refused: PerSlot::default(),
            acknowledged: None,
            sequence: 0,
            window: None,
            closed: None,
            unacknowledged: None,
            samples: Samples::default(),
            sample_time: None,
            epoch: 0,
            first_epoch: 0,
            high_water: 0,
            restored_iat: None,
            seen_jwt: None,
            seen_jwks: None,
            mode,
            history: History::default(),
            decay: Decay::default(),
            ruled: None,
            form,
            form_ran: 0,
        }
    }

    /// State of a slot; none if it is empty.
    #[must_use]
    pub fn state(&self, slot: Slot) -> Option<State> {
        self.place(slot).map(|place| place.state)
    }

    /// A slot; none if it is empty.
    #[must_use]
    pub const fn place(&self, slot: Slot) -> Option<&Place> {
        match slot {
            Slot::License => Some(&self.license),
            Slot::Current => self.current.as_ref(),
            Slot::Next => self.next.as_ref(),
            Slot::Switch => self.switch.as_ref(),
        }
    }

    /// The JWT of a slot: that of S for S, else that of L.
    #[must_use]
    pub const fn grant_of(&self, slot: Slot) -> Option<&Grant> {
        match slot {
            Slot::License | Slot::Current | Slot::Next => self.grant.as_ref(),
            Slot::Switch => self.pending.as_ref(),
        }
    }

    /// When the licence in force ends, as far as is known (V15, R5).
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.grant.as_ref()?.claims.license_end(self.receipt_expiry, self.activated)
    }
}
