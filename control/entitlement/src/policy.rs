//! The policy: which verdict follows from a licence's class and the conditions that stand.
//!
//! Owns the table of licensing.md §9 and nothing else: who finds out that a condition stands, and
//! what a verdict leads to, is decided elsewhere. Invariant (LIC-643): a ruling is a function of
//! (class, active, conditions); a condition more never makes it milder.
//! Source: licensing.md §9.

use std::collections::BTreeSet;

use crate::lease::{Class, Verdict};
use crate::reason::Reason;

/// The conditions that stand, each named by its reason code.
///
/// Reasons that are no condition of §9 (such as [`Reason::Verified`], or those of a closed gate)
/// may be added and weigh nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conditions(BTreeSet<Reason>);

impl Conditions {
    /// Nothing stands.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Adds one.
    pub fn add(&mut self, reason: Reason) {
        self.0.insert(reason);
    }

    /// Takes one away.
    pub fn clear(&mut self, reason: Reason) {
        self.0.remove(&reason);
    }

    /// Whether this one stands.
    #[must_use]
    pub fn holds(&self, reason: Reason) -> bool {
        self.0.contains(&reason)
    }

    /// All that stand, in the order of weight.
    pub fn iter(&self) -> impl Iterator<Item = Reason> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Reason> for Conditions {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        Self(reasons.into_iter().collect())
    }
}

/// What the policy says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ruling {
    /// Whether traffic may pass.
    pub verdict: Verdict,
    /// Why: the weightiest condition that leads to this verdict.
    pub reason: Reason,
}

/// The ruling for a licence of `class` that is `active` (its first receipt was accepted) while
/// `conditions` stand: the strictest of their verdicts.
///
/// A licence that is not active is judged as [`Class::Unactivated`], whatever `class` says.
#[must_use]
pub fn ruling(class: Class, active: bool, conditions: &Conditions) -> Ruling {
    let column = if active { class } else { Class::Unactivated };
    let quiet = match column {
        Class::Unactivated => Ruling { verdict: Verdict::Block, reason: Reason::NotActivated },
        Class::Trial | Class::Production => {
            Ruling { verdict: Verdict::Allow, reason: Reason::Verified }
        }
    };
    let mut ruling = quiet;
    let mut told = false;
    for reason in conditions.iter() {
        let Some(verdict) = row(reason, column) else { continue };
        if verdict > ruling.verdict || (verdict == ruling.verdict && !told) {
            ruling = Ruling { verdict, reason };
            told = true;
        }
    }
    ruling
}

/// One cell of the table: the verdict that `reason` asks for in `column`; none where the row says
/// nothing (`–`, or "unchanged").
const fn row(reason: Reason, column: Class) -> Option<Verdict> {
    match reason {
        Reason::StoreNewer
        | Reason::StoreCorrupt
        | Reason::StoreUnavailable
        | Reason::ClockRolledBack
        | Reason::Expired
        | Reason::CwcAbsent
        | Reason::CommsLost
        // A licence that cannot be verified again at a restart. An edit before that is no
        // condition yet (LIC-622).
        | Reason::JwtMissing
        | Reason::JwtTooLarge
        | Reason::JwtMalformed
        | Reason::JwtAlgorithm
        | Reason::JwtUnknownKey
        | Reason::JwtSignature
        | Reason::JwtIssuer
        | Reason::JwtAudience
        | Reason::JwtClaims
        | Reason::JwtOrderType
        | Reason::JwtNotYetValid
        | Reason::JwtExpired
        | Reason::JwksMissing
        | Reason::JwksMalformed
        | Reason::JwksPrivate
        | Reason::JwksKidMissing
        | Reason::RegistrationFailed
        // A bad receipt, signed by a known key: A2, A3, A6 to A9.
        | Reason::ReceiptIssuer
        | Reason::ReceiptWrongAsset
        | Reason::ReceiptWrongReport
        | Reason::ReceiptWrongLicense
        | Reason::ReceiptStale
        | Reason::ReceiptClaims
        // State 13 by a final refusal.
        | Reason::UpstreamRejected
        | Reason::UpstreamBadResponse
        // States 8 and 9.
        | Reason::UsageUnavailable
        | Reason::ReportFailed
        | Reason::ReportDownloadFailed => Some(by_class(column, Verdict::Block)),
        // (Later release.)
        Reason::FinalAckOverdue => match column {
            Class::Unactivated => None,
            Class::Trial | Class::Production => Some(by_class(column, Verdict::Block)),
        },
        Reason::ClockJumpedForward | Reason::Expiring => Some(by_class(column, Verdict::Warn)),
        Reason::TelemetryOverdue => match column {
            Class::Unactivated => None,
            Class::Trial | Class::Production => Some(Verdict::Warn),
        },
        // The verdict of the running licence: this row asks for none of its own.
        Reason::Switching => match column {
            Class::Unactivated => None,
            Class::Trial | Class::Production => Some(Verdict::Allow),
        },
        // Refused without a change of state: malformed (400), no signature of a known key (422),
        // replayed or superseded (409); a switch refused at once; an upload that is tried again.
        Reason::ReceiptTooLarge
        | Reason::ReceiptMalformed
        | Reason::ReceiptAlgorithm
        | Reason::ReceiptUnknownKey
        | Reason::ReceiptSignature
        | Reason::ReceiptReplayed
        | Reason::ReceiptSuperseded
        | Reason::SwitchNotAllowed
        | Reason::SwitchSameLicense
        | Reason::UpstreamUnreachable
        | Reason::UpstreamTls
        // No conditions of a licence.
        | Reason::NotActivated
        | Reason::Verified
        | Reason::Unknown
        | Reason::LeaseEnded
        | Reason::NoLease
        | Reason::NoTrustAnchor
        | Reason::Unlisted => None,
    }
}

/// A row whose trial column says `trial`: not activated blocks always, production never.
const fn by_class(column: Class, trial: Verdict) -> Verdict {
    match column {
        Class::Unactivated => Verdict::Block,
        Class::Trial => trial,
        Class::Production => Verdict::Warn,
    }
}

impl Verdict {
    /// This verdict at a Controller that holds a latch: it judges as production, whatever a
    /// statement says (§9, §11).
    #[must_use]
    pub const fn under_latch(self) -> Self {
        match self {
            Self::Allow => Self::Allow,
            Self::Warn | Self::Block => Self::Warn,
        }
    }

    /// Whether traffic may pass.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::Allow | Self::Warn => true,
            Self::Block => false,
        }
    }
}

#[cfg(test)]
mod tests;
