//! What the shell feeds into the machine.
//!
//! Owns the closed set of inputs. What each does is `machine`'s.
//!
//! Source: licensing.md §3.3, §5.1, §7.2, §7.5, §8.

use std::fmt;

use uuid::Uuid;

use crate::calendar::samples::Usage;
use crate::settings::Settings;
use crate::state::Slot;
use crate::upstream::Failure;

/// What was found under one record name. Its debug form shows no text: a record may hold tokens.
#[derive(Clone, Eq, PartialEq)]
pub enum Stored {
    /// There is no such record.
    Absent,
    /// Its text.
    Text(String),
    /// It exists and is no text, or cannot be read.
    Unreadable,
}

/// The objects that Helm writes. Their debug form shows neither.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Objects {
    /// The licence JWT: value `jwt` of `cpcl-config-cm`, or the Secret that stands for it.
    pub jwt: Option<String>,
    /// `jwt.key` of ConfigMap `cpcl-key-cm`.
    pub jwks: Option<String>,
}

/// What the shell found at its start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Boot {
    /// Record `context`.
    pub context: Stored,
    /// Record `digitalassetid`.
    pub digital_asset_id: Stored,
    /// The objects that Helm writes.
    pub objects: Objects,
}

/// A signed statement of this CWC that a peer showed: the desk verified it with our own lease keys
/// (LIC-541), and it is ahead of what the desk itself has signed (§7.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerStatement {
    /// Its epoch.
    pub epoch: u64,
    /// Its number within the epoch.
    pub seq: u64,
    /// Its `iat`, seconds since 1970.
    pub iat: u64,
}

/// One input. Its debug form is its name: several hold tokens.
#[derive(Clone, Eq, PartialEq)]
pub enum Event {
    /// The process started. First of all inputs; a second one is a start over from the store.
    Boot(Box<Boot>),
    /// The JWT or JWKS object as it is now. May be fed at any time, changed or not.
    Objects(Box<Objects>),
    /// The values as they are now. May be fed at any time, changed or not.
    Settings(Box<Settings>),
    /// `GET /report`, with `?slot=`: [`Slot::Current`] or [`Slot::Switch`].
    Get {
        /// The slot asked for; none takes the first that offers one.
        slot: Option<Slot>,
    },
    /// `POST /receipt`: the token, freed of its wrapping.
    Receipt(String),
    /// `POST /reactivate`: the token, freed of its wrapping.
    Reactivate(String),
    /// `DELETE /v1/license/switch`.
    Abandon,
    /// `POST /v1/license/reset` (P6).
    Reset,
    /// `POST /v1/clock/accept` (K7).
    AcceptClock,
    /// `POST /v1/upgrade/confirm` (P11).
    ConfirmUpgrade,
    /// An upstream request ended.
    Upstream {
        /// The slot whose report was sent.
        slot: Slot,
        /// The report that was sent.
        report: Uuid,
        /// How it ended: what `upstream::manifest` made of the answer.
        outcome: Result<String, Failure>,
    },
    /// Usage was counted, as [`crate::Output::CountUsage`] asked; none if it could not be.
    Usage(Option<Usage>),
    /// Time passed: feed it when [`crate::Machine::poll_timeout`] is due.
    Timer,
    /// A peer showed a statement of ours from ahead.
    Peer(PeerStatement),
    /// The next step of a request that takes two; comes only from [`crate::Step::then`].
    Judge(String),
    /// The binding of JWT and asset could not be stored; comes only from [`crate::Step::instead`].
    NotBound,
    /// Writing to the store fails (`false`) or works again (`true`).
    StoreWorks(bool),
}

impl Event {
    /// Whether it means nothing before [`Event::Boot`] was stored: there is no state yet, and none
    /// made up for it may take the place of what is stored (P3).
    #[must_use]
    pub const fn needs_state(&self) -> bool {
        match self {
            Self::Boot(_)
            | Self::Objects(_)
            | Self::Settings(_)
            | Self::Timer
            | Self::StoreWorks(_) => false,
            Self::Get { .. }
            | Self::Receipt(_)
            | Self::Reactivate(_)
            | Self::Abandon
            | Self::Reset
            | Self::AcceptClock
            | Self::ConfirmUpgrade
            | Self::Upstream { .. }
            | Self::Usage(_)
            | Self::Peer(_)
            | Self::Judge(_)
            | Self::NotBound => true,
        }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Text(_) => "Text",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boot(_) => "Boot",
            Self::Objects(_) => "Objects",
            Self::Settings(_) => "Settings",
            Self::Get { .. } => "Get",
            Self::Receipt(_) => "Receipt",
            Self::Reactivate(_) => "Reactivate",
            Self::Abandon => "Abandon",
            Self::Reset => "Reset",
            Self::AcceptClock => "AcceptClock",
            Self::ConfirmUpgrade => "ConfirmUpgrade",
            Self::Upstream { .. } => "Upstream",
            Self::Usage(_) => "Usage",
            Self::Timer => "Timer",
            Self::Peer(_) => "Peer",
            Self::Judge(_) => "Judge",
            Self::NotBound => "NotBound",
            Self::StoreWorks(_) => "StoreWorks",
        })
    }
}
