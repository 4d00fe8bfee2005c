//! What a Controller holds of its licence, and what that asks of it.

use tmm_config::Nanos;

use crate::lease::{Class, Verdict};
use crate::reason::Reason;

/// A verdict, or none yet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Judged {
    /// No statement was heard since the start.
    Unknown,
    /// Traffic passes.
    Allow,
    /// Traffic passes, and people are warned.
    Warn,
    /// Traffic does not pass.
    Block,
}

impl Judged {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

impl From<Verdict> for Judged {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Warn => Self::Warn,
            Verdict::Block => Self::Block,
        }
    }
}

/// What a Controller holds now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Judged,
    /// Why.
    pub reason: Reason,
    /// Class of the licence; [`Class::Production`] while a latch is held; none before the first
    /// statement.
    pub class: Option<Class>,
    /// Since when, by boot time (LIC-751).
    pub since: Nanos,
}

impl Judgement {
    /// What it asks of the Controller.
    #[must_use]
    pub const fn enforcement(&self) -> Enforcement {
        match (self.verdict, self.reason) {
            (Judged::Allow | Judged::Warn, _) => Enforcement::Serve,
            (Judged::Unknown, _) => Enforcement::Withhold,
            (Judged::Block, Reason::NotActivated) => Enforcement::Close,
            (Judged::Block, _) => Enforcement::Stop,
        }
    }
}

/// What a judgement asks of a Controller (licensing.md §12.3), mildest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Enforcement {
    /// Serve: configuration is delivered; out of a block, recover (§12.4).
    Serve,
    /// Actuator 1 only: withhold the configuration. Nothing is closed or scaled (LIC-835).
    Withhold,
    /// Actuators 1 and 2: withhold, and close every gate. Pods stay up: waiting for the first
    /// receipt is no error (LIC-838).
    Close,
    /// All four actuators: withhold, close, withdraw routes, scale to 0.
    Stop,
}

/// A judgement that replaced another. `to.since` is the time stamp from which the figures of
/// licensing.md §15 are measured (LIC-751).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// The one before.
    pub from: Judgement,
    /// The one now.
    pub to: Judgement,
}

/// The event that a change is told by (licensing.md §12.5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Notice {
    /// `LicenseBlocked`, a warning.
    Blocked,
    /// `LicenseAllowed`.
    Allowed,
    /// `LicenseWarning`, a warning.
    Warning,
    /// `LicenseRecovered`: a warning ended.
    Recovered,
}

impl Notice {
    /// The event's reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "LicenseBlocked",
            Self::Allowed => "LicenseAllowed",
            Self::Warning => "LicenseWarning",
            Self::Recovered => "LicenseRecovered",
        }
    }
}

impl Change {
    /// How people are told; none if only the class changed, or nothing is known any more.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        if (self.from.verdict, self.from.reason) == (self.to.verdict, self.to.reason) {
            return None;
        }
        match (self.from.verdict, self.to.verdict) {
            (_, Judged::Block) => Some(Notice::Blocked),
            (_, Judged::Warn) => Some(Notice::Warning),
            (Judged::Warn, Judged::Allow) => Some(Notice::Recovered),
            (Judged::Unknown | Judged::Block, Judged::Allow) => Some(Notice::Allowed),
            (Judged::Allow, Judged::Allow) | (_, Judged::Unknown) => None,
        }
    }
}
