//! What one step of the machine gives back.
//!
//! Owns the closed sets of outputs, answers and refusals. Does nothing itself.
//!
//! Source: licensing.md §3.4 (outputs), §4.2 (answers), §7.2 (P1, P3), §12.5.

use std::time::Duration;

use uuid::Uuid;

use crate::Machine;
use crate::codes::Code;
use crate::event::Event;
use crate::state::{Slot, State};
use crate::trigger::Trigger;

/// One step: the machine after an event, and what to do about it.
///
/// In this order (P1, P3): if `storing` says so, store [`Machine::record`] of `next`; if that
/// fails, drop this step, keep the machine as it was, and feed `instead` to it if there is one,
/// else refuse the request with `store_unavailable`. Then take `next`, perform `outputs` in their
/// order, and if `then` is set feed it at once: its answer is the request's answer. Else give
/// `answer`. A timer that could not be stored stays due: feed it again after a second.
#[derive(Clone, Debug)]
#[must_use]
pub struct Step {
    /// The machine after the event.
    pub next: Machine,
    /// Whether `next` must be stored before anything of it is seen.
    pub storing: Storing,
    /// The answer to who asked. `Ok(Answer::Done)` where nobody did.
    pub answer: Result<Answer, Refusal>,
    /// What to do, in this order, after storing.
    pub outputs: Vec<Output>,
    /// The event that finishes this request.
    pub then: Option<Event>,
    /// The event for the machine as it was, if storing fails.
    pub instead: Option<Event>,
}

/// Whether a step must be stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Storing {
    /// Nothing that anybody sees depends on it: the next stored step carries it along (P10).
    No,
    /// Store it first; on failure the step did not happen.
    First,
    /// Try to store it; it happened either way. Only where a failing store is the news.
    IfPossible,
}

/// A good answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Nothing to say (204).
    Done,
    /// The report to hand out.
    Report {
        /// Its compact text.
        text: String,
    },
    /// A receipt was accepted: the state of its slot (L: 12).
    Accepted {
        /// The state shown: [`State::VerificationComplete`].
        state: State,
    },
    /// A switch began.
    Switching {
        /// State of slot S.
        state: State,
    },
}

/// A refusal of a request: its code, and what a reader needs.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {text}", .code.code())]
pub struct Refusal {
    /// The word (§3.7); gives the HTTP status.
    pub code: Code,
    /// One sentence; holds no part of a token.
    pub text: String,
    /// Time until the request may succeed: seconds until a report is ready.
    pub retry_after: Option<Duration>,
    /// Trusted time from which a report is ready, seconds since 1970.
    pub not_before: Option<u64>,
    /// The report to submit instead, for `receipt_superseded`.
    pub report: Option<Uuid>,
}

impl Refusal {
    /// A refusal with nothing but its code and sentence.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry_after: None, not_before: None, report: None }
    }
}

/// A report for the upstream client (§5.1). Debug shows no token.
#[derive(Clone, Eq, PartialEq)]
pub struct Upload {
    /// The slot whose report it is.
    pub slot: Slot,
    /// The report.
    pub report: Uuid,
    /// Its compact text, for the body.
    pub text: String,
    /// The JWT of the slot, for `Authorization`. Secret.
    pub jwt: String,
    /// For `F5-DigitalAssetId`.
    pub digital_asset_id: Uuid,
    /// For `F5-TraceId`; fresh for each request.
    pub trace: Uuid,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("slot", &self.slot)
            .field("report", &self.report)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

/// Something to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Create record `digitalassetid`, create-only, before any other record but `context`.
    CreateAsset(Uuid),
    /// Replace record `digitalassetid` by this one, and give up whatever else was stored (P6).
    ReplaceAsset(Uuid),
    /// Raise an event.
    Event {
        /// Its reason.
        notice: Notice,
        /// The code that goes with it.
        code: Option<Code>,
    },
    /// Count one in `spk_license_events`.
    Count {
        /// Label `event`.
        trigger: Trigger,
        /// Label `state`: the state it met.
        state: Option<State>,
        /// Label `outcome`.
        outcome: Effect,
    },
    /// A slot moved; a line of the history and of the event stream.
    Moved {
        /// Which.
        slot: Slot,
        /// From.
        from: Option<State>,
        /// To.
        to: Option<State>,
    },
    /// Publish `LicenseChanged` on the bus.
    Broadcast,
    /// The licence is production and active: latches may be signed from now on.
    Latch,
    /// Post a report upstream, then feed [`Event::Upstream`].
    Upload(Upload),
    /// Stop what is under way for this report, if anything.
    StopUpload(Uuid),
    /// Count usage now, then feed [`Event::Usage`].
    CountUsage,
}

/// What a trigger did (label `outcome` of `spk_license_events`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// It moved the slot, or kept it on purpose.
    Taken,
    /// It means nothing in this state.
    Ignored,
    /// The request was refused.
    Refused,
}

impl Effect {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

/// The reason of an event on Deployment `f5-spk-cwc` (§3.4, §12.5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Notice {
    /// A report can be downloaded, or is sent.
    LicenseReportReady,
    /// First activation.
    LicenseActivated,
    /// State 13.
    LicenseVerificationFailed,
    /// State 14.
    LicenseExpiringSoon,
    /// State 15.
    LicenseExpiringToday,
    /// State 16.
    LicenseExpired,
    /// States 2, 5, 8, 9, or another error that begins.
    LicenseError,
    /// A warning that begins: its code says which.
    LicenseWarning,
    /// The expiry moved later.
    LicenseRenewed,
    /// A switch is complete.
    LicenseSwitched,
    /// A condition ended.
    LicenseRecovered,
    /// Another JWT in the values while active: use POST /reactivate.
    LicenseJwtIgnored,
    /// `context` was lost, the digital asset id kept (P5).
    LicenseStateLost,
    /// State was restored from an old copy (§7.5).
    StateRolledBack,
    /// The operator started over (P6).
    LicenseReset,
    /// The operator took a jump of the clock as true (K7).
    LicenseClockAccepted,
    /// The operator lets the form of this release be written (P11).
    LicenseUpgradeConfirmed,
}

impl Notice {
    /// Its reason word.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::LicenseReportReady => "LicenseReportReady",
            Self::LicenseActivated => "LicenseActivated",
            Self::LicenseVerificationFailed => "LicenseVerificationFailed",
            Self::LicenseExpiringSoon => "LicenseExpiringSoon",
            Self::LicenseExpiringToday => "LicenseExpiringToday",
            Self::LicenseExpired => "LicenseExpired",
            Self::LicenseError => "LicenseError",
            Self::LicenseWarning => "LicenseWarning",
            Self::LicenseRenewed => "LicenseRenewed",
            Self::LicenseSwitched => "LicenseSwitched",
            Self::LicenseRecovered => "LicenseRecovered",
            Self::LicenseJwtIgnored => "LicenseJwtIgnored",
            Self::LicenseStateLost => "LicenseStateLost",
            Self::StateRolledBack => "StateRolledBack",
            Self::LicenseReset => "LicenseReset",
            Self::LicenseClockAccepted => "LicenseClockAccepted",
            Self::LicenseUpgradeConfirmed => "LicenseUpgradeConfirmed",
        }
    }

    /// Whether its type is Warning, not Normal.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        match self {
            Self::LicenseReportReady
            | Self::LicenseActivated
            | Self::LicenseRenewed
            | Self::LicenseSwitched
            | Self::LicenseRecovered
            | Self::LicenseReset
            | Self::LicenseClockAccepted
            | Self::LicenseUpgradeConfirmed => false,
            Self::LicenseVerificationFailed
            | Self::LicenseExpiringSoon
            | Self::LicenseExpiringToday
            | Self::LicenseExpired
            | Self::LicenseError
            | Self::LicenseWarning
            | Self::LicenseJwtIgnored
            | Self::LicenseStateLost
            | Self::StateRolledBack => true,
        }
    }
}
