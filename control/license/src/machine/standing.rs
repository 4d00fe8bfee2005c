//! Which conditions hold, the verdict that follows, and when time alone would make it Block.
//!
//! Owns the left column of the policy table as far as the CWC knows it. The table itself is
//! `spk_entitlement::policy`'s.
//!
//! Source: licensing.md §9, §4.4 (`stopsAt`, LIC-342), §8 (K8).

use std::time::Duration;

use spk_entitlement::policy::{self, Conditions, Ruling};
use spk_entitlement::{Class, Reason, Verdict};

use super::Machine;
use super::turn::Turn;
use crate::clock::ClockState;
use crate::codes::Code;
use crate::context::{Fault, Ruled};
use crate::now::Now;
use crate::state::{Slot, State};
use crate::step::{Output, Storing};

/// When traffic stops if nothing is done (LIC-342).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stops {
    /// Trusted time, seconds since 1970; in the past while traffic is stopped.
    pub at: u64,
    /// Why.
    pub because: Reason,
}

impl Machine {
    /// The conditions of §9 that hold now.
    #[must_use]
    pub fn conditions(&self, now: Now) -> Conditions {
        let mut conditions = Conditions::none();
        if let Some(fault) = &self.run.stopped {
            add(&mut conditions, fault);
        }
        let failing = self.run.failing_since.map(|since| now.boot.saturating_sub(since));
        if failing.is_some_and(|time| time >= SILENT) {
            conditions.add(Reason::StoreUnavailable);
        }
        match self.clock_state() {
            ClockState::Ok => {}
            ClockState::RolledBack => conditions.add(Reason::ClockRolledBack),
            ClockState::JumpedForward => conditions.add(Reason::ClockJumpedForward),
        }
        if let Some(fault) = &self.run.doubt {
            add(&mut conditions, fault);
        }
        for slot in [Slot::License, Slot::Current] {
            let place = self.context.place(slot).and_then(|place| place.fault.as_ref());
            for fault in place.into_iter().chain(self.context.refused.get(slot)) {
                add(&mut conditions, fault);
            }
        }
        match self.license_state(now) {
            State::Expired => conditions.add(Reason::Expired),
            State::ExpiringSoon | State::ExpiringToday => conditions.add(Reason::Expiring),
            State::Default
            | State::Initialised
            | State::InitializationFailed
            | State::RegistrationInProgress
            | State::RegistrationComplete
            | State::RegistrationFailed
            | State::ReportInProgress
            | State::ReadyToDownload
            | State::ReportFailed
            | State::DownloadFailed
            | State::Downloaded
            | State::VerificationInProgress
            | State::VerificationComplete
            | State::VerificationFailed
            | State::TelemetryInProgress
            | State::ReadyToGenerate => {}
        }
        if self.overdue(self.trusted(now)).is_some() {
            conditions.add(Reason::TelemetryOverdue);
        }
        if self.context.switch.is_some() {
            conditions.add(Reason::Switching);
        }
        conditions
    }

    /// The verdict of the policy now.
    #[must_use]
    pub fn ruling(&self, now: Now) -> Ruling {
        policy::ruling(self.class(), self.is_active(), &self.conditions(now))
    }

    /// Since when the present verdict stands, trusted time in seconds since 1970.
    #[must_use]
    pub fn ruled_since(&self, now: Now) -> u64 {
        self.context.ruled.map_or_else(|| self.trusted(now), |ruled| ruled.since)
    }

    /// The first instant at which time alone brings a Block, from what is known now; while blocked,
    /// since when and why; none where traffic never stops (LIC-342).
    #[must_use]
    pub fn stops(&self, now: Now) -> Option<Stops> {
        if self.class() == Class::Production {
            return None;
        }
        let ruling = self.ruling(now);
        if ruling.verdict == Verdict::Block {
            return Some(Stops { at: self.ruled_since(now), because: ruling.reason });
        }
        let expiry = self.context.end().map(|at| Stops { at, because: Reason::Expired });
        expiry.into_iter().chain(self.grace_end(now)).min_by_key(|stops| stops.at)
    }

    /// When a report on its way upstream counts as refused (§5.1).
    fn grace_end(&self, now: Now) -> Option<Stops> {
        if !self.settings.mode.sends() {
            return None;
        }
        let grace = self.settings.report_grace.as_secs();
        let report = self.context.reports.get(Slot::Current)?;
        let at = match self.context.state(Slot::Current)? {
            // It is sent at once.
            State::ReadyToDownload => Some(self.trusted(now).saturating_add(grace)),
            State::VerificationInProgress => report.attempts.deadline(grace),
            _ => None,
        }?;
        Some(Stops { at, because: Reason::UpstreamRejected })
    }
}

/// The condition of a fault; what state 13 has by `up.rej` is one condition, whatever its code.
fn add(conditions: &mut Conditions, fault: &Fault) {
    let code = if fault.upstream { Code::UpstreamRejected } else { fault.code };
    if let Some(reason) = Reason::from_code(code.code()) {
        conditions.add(reason);
    }
}

impl Turn<'_> {
    /// Rules anew; a verdict that changed is stored and told to all.
    pub(super) fn rule(&mut self) {
        let ruling = self.machine.ruling(self.now);
        let since = self.trusted();
        let old = self.machine.context.ruled;
        let same =
            old.is_some_and(|old| (old.verdict, old.reason) == (ruling.verdict, ruling.reason));
        if same {
            return;
        }
        let verdict_since =
            old.filter(|old| old.verdict == ruling.verdict).map_or(since, |old| old.since);
        self.machine.context.ruled =
            Some(Ruled { verdict: ruling.verdict, reason: ruling.reason, since: verdict_since });
        // What the failing store itself leads to cannot be stored.
        if self.machine.run.failing_since.is_some() && self.storing != Storing::First {
            self.storing = Storing::IfPossible;
        } else if !self.failing {
            self.store();
        }
        if !self.outputs.contains(&Output::Broadcast) {
            self.outputs.push(Output::Broadcast);
        }
    }
}

/// How long storing may fail before the CWC may no longer vouch (P9).
const SILENT: Duration = Duration::from_secs(180);
