//! Time: what happens without anybody asking.
//!
//! Owns `retry`, `t.soon`, `t.today`, `t.exp` and `t.win`, the hourly sample, the minute of K2 and
//! the day of P11, and when the next of them is due.
//!
//! Source: licensing.md §3.4 (notes b, e), §6, §7.2 (P10, P11), §8 (K2, K6, K10).

use std::time::Duration;

use super::Machine;
use super::turn::Turn;
use crate::calendar::OVERDUE;
use crate::calendar::samples::SampleTime;
use crate::codes::Code;
use crate::now::Now;
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Refusal, Storing};
use crate::trigger::Trigger;

impl Turn<'_> {
    /// Runs every timer due; an early call does nothing.
    pub(super) fn timer(&mut self) -> Result<Answer, Refusal> {
        if self.machine.run.clock.is_none() || self.machine.run.stopped.is_some() {
            return Ok(Answer::Done);
        }
        self.return_unjudged();
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            let due = self.machine.run.due.get(slot).copied();
            if due.is_some_and(|due| due <= self.now.boot) {
                self.machine.run.due.put(slot, None);
                self.go_on(slot);
            }
        }
        self.give_up_late();
        self.look_at_waiting_jwt();
        self.age();
        self.expire_before_activation();
        // Missed hours belong to the window that ends.
        self.sample();
        self.end_window();
        self.remind();
        self.keep_time();
        Ok(Answer::Done)
    }

    /// A receipt is judged in the request that brings it; one that was not, as it could not be
    /// stored, waits as after a restart (notes c and g).
    fn return_unjudged(&mut self) {
        if self.machine.settings.mode.sends() {
            return;
        }
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            if self.machine.context.state(slot) == Some(State::VerificationInProgress) {
                self.enter(slot, Some(State::Downloaded), Trigger::Retry, None);
            }
        }
    }

    /// The retry timer of a slot is due.
    fn go_on(&mut self, slot: Slot) {
        let Some(state) = self.machine.context.state(slot) else { return };
        match state {
            State::InitializationFailed => self.initialise_again(),
            State::RegistrationInProgress => self.bind(slot),
            State::RegistrationFailed | State::ReportFailed | State::DownloadFailed => {
                self.fire(slot, Trigger::Retry, None);
            }
            State::ReadyToDownload | State::VerificationInProgress | State::VerificationFailed => {
                if self.machine.settings.mode.sends() {
                    self.send(slot);
                }
            }
            State::Default
            | State::Initialised
            | State::RegistrationComplete
            | State::ReportInProgress
            | State::Downloaded
            | State::VerificationComplete
            | State::ExpiringSoon
            | State::ExpiringToday
            | State::Expired
            | State::TelemetryInProgress
            | State::ReadyToGenerate => {}
        }
    }

    /// An active licence ages by the mark, so that no wrong wall clock leaves a scar (K8), and
    /// never gets younger (K10).
    pub(super) fn age(&mut self) {
        let state = self.machine.context.license.state;
        if !state.is_active() {
            return;
        }
        let to = self.machine.aged(self.mark());
        if to <= state {
            return;
        }
        let trigger = if to == State::Expired {
            Trigger::TExp
        } else if to == State::ExpiringToday {
            Trigger::TToday
        } else {
            Trigger::TSoon
        };
        self.fire(Slot::License, trigger, None);
    }

    /// The end passed before the first receipt (note e). By trusted time: 2 recovers by itself.
    pub(super) fn expire_before_activation(&mut self) {
        if self.machine.is_active() {
            return;
        }
        let end = self.machine.context.grant.as_ref().and_then(|grant| grant.claims.end());
        if end.is_some_and(|end| end <= self.trusted()) {
            let code = Code::JwtExpired;
            let fault = self.fault(code, code.text());
            let state = self.machine.context.license.state;
            // The table lets it count in 7 to 11 and 13 only.
            if crate::table::license(state, Trigger::TExp) != crate::table::Cell::Stay {
                self.stop_upload(Slot::License);
                self.fire(Slot::License, Trigger::TExp, Some(fault));
            }
        }
    }

    /// `t.win`: N and R move in one step (LIC-231).
    fn end_window(&mut self) {
        if self.machine.context.state(Slot::Next) != Some(State::TelemetryInProgress) {
            return;
        }
        let at = self.trusted();
        let Some(window) = self.machine.context.window else { return };
        let Some(roll) = window.roll_over(at) else { return };
        self.stop_upload(Slot::Current);
        let context = &mut self.machine.context;
        let waits = context
            .current
            .as_ref()
            .is_some_and(|place| place.state != State::VerificationComplete);
        let mut closed = roll.closed;
        if waits && let Some(earlier) = context.closed {
            closed = closed.joined(earlier);
        } else {
            context.unacknowledged = Some(window.end);
        }
        context.closed = Some(closed);
        context.samples.close(roll.closed);
        context.window = Some(roll.next);
        self.fire(Slot::Next, Trigger::TWin, None);
        self.fire(Slot::Current, Trigger::TWin, None);
    }

    /// The hourly sample.
    fn sample(&mut self) {
        let Some(due) = self.machine.context.sample_time else { return };
        if !self.machine.is_active() {
            return;
        }
        // Set under a wall clock that was wrong and is repaired (K8).
        if due.is_beyond(self.trusted()) {
            return self.schedule_sample(self.trusted());
        }
        if self.trusted() < due.at {
            return;
        }
        let at = self.trusted();
        self.machine.context.samples.miss(due.missed_by(at));
        let jitter = self.jitter();
        self.machine.context.sample_time = Some(SampleTime::after(at.max(due.hour), jitter));
        self.machine.run.hourly = true;
        self.count_usage();
    }

    /// Tells people once of an overdue month.
    fn remind(&mut self) {
        let overdue = self.machine.overdue(self.trusted()).is_some();
        if overdue && !self.machine.run.overdue_told {
            self.machine.run.overdue_told = true;
            self.tell(Notice::LicenseWarning, Some(Code::TelemetryOverdue));
        }
    }

    /// K2: once a minute. A failing store defers nothing but this.
    fn keep_time(&mut self) {
        let passed = self.now.boot.saturating_sub(self.machine.run.stored_at);
        if passed >= MINUTE && self.storing == Storing::No {
            self.storing = Storing::IfPossible;
        }
    }

    /// P11: counts how long this release has run while it writes the old form.
    pub(super) fn count_running_time(&mut self) {
        let (newest, now) = (self.machine.forms.newest, self.now.boot);
        let passed = now.saturating_sub(self.machine.run.counted_at);
        self.machine.run.counted_at = now;
        let context = &mut self.machine.context;
        if context.form < newest {
            context.form_ran = context.form_ran.saturating_add(passed.as_secs());
            if context.form_ran >= FORM_TRIAL {
                context.form = newest;
            }
        }
    }
}

impl Machine {
    /// How long from `now` until [`crate::Event::Timer`] is due; zero if it is. At most 4 s, so
    /// that the clock is looked at often enough (K6). Ask again after every step.
    #[must_use]
    pub fn poll_timeout(&self, now: Now) -> Duration {
        let mut wait = LOOK;
        let Some(clock) = self.run.clock else { return wait };
        if self.run.stopped.is_some() {
            return wait;
        }
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            if let Some(due) = self.run.due.get(slot) {
                wait = wait.min(due.saturating_sub(now.boot));
            }
        }
        let trusted = clock.trusted_exact(now.boot);
        let mut at = |when: u64, seen: Duration| {
            wait = wait.min(Duration::from_secs(when).saturating_sub(seen));
        };
        let context = &self.context;
        if let (true, Some(due)) = (self.is_active(), context.sample_time) {
            at(due.at, trusted);
        }
        if let (Some(State::TelemetryInProgress), Some(window)) =
            (context.state(Slot::Next), context.window)
        {
            at(window.end, trusted);
        }
        if let (Some(end), Some(grant)) = (context.end(), &context.grant) {
            let mark = clock.mark_exact(now.boot);
            let soon = self.settings.expiring_soon(grant.claims.order_type);
            for before in [0, DAY, soon] {
                let when = end.saturating_sub(before);
                // What is past was done, or is nothing to do.
                for seen in [mark, trusted] {
                    if Duration::from_secs(when) > seen {
                        at(when, seen);
                    }
                }
            }
        }
        let grace = self.settings.report_grace.as_secs();
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            if context.state(slot) == Some(State::VerificationInProgress)
                && let Some(end) =
                    context.reports.get(slot).and_then(|r| r.attempts.deadline(grace))
            {
                at(end, trusted);
            }
        }
        wait.min(MINUTE.saturating_sub(now.boot.saturating_sub(self.run.stored_at)))
    }

    /// The state of age of the licence in force at time `at`: 12, 14, 15 or 16.
    pub(super) fn aged(&self, at: u64) -> State {
        let (Some(end), Some(grant)) = (self.context.end(), &self.context.grant) else {
            return State::VerificationComplete;
        };
        let left = end.saturating_sub(at);
        if left == 0 {
            State::Expired
        } else if left < DAY {
            State::ExpiringToday
        } else if left <= self.settings.expiring_soon(grant.claims.order_type) {
            State::ExpiringSoon
        } else {
            State::VerificationComplete
        }
    }

    /// Since when a month is overdue, if one is: 7 days after its end (LIC-458).
    #[must_use]
    pub fn overdue(&self, at: u64) -> Option<u64> {
        let since = self.context.unacknowledged?.saturating_add(OVERDUE);
        (since <= at).then_some(since)
    }
}

/// How often the clock is looked at, at least.
const LOOK: Duration = Duration::from_secs(4);
/// K2.
const MINUTE: Duration = Duration::from_secs(60);
/// Running time for which the old form is still written (P11), in seconds.
const FORM_TRIAL: u64 = DAY;
/// Seconds of a day.
const DAY: u64 = 86_400;
