//! One step in the making.
//!
//! Owns how a slot moves: the look-up in the table, the line of the history, the outputs that go
//! with a state, the retry timers. What leads to a move is in the modules beside this one.
//!
//! Source: licensing.md §3.4 (outputs, note b), §3.3.

use std::time::Duration;

use super::Machine;
use crate::clock::{Clock, ClockState};
use crate::codes::Code;
use crate::context::{Fault, Place};
use crate::event::Event;
use crate::now::{Entropy, Now};
use crate::state::{Slot, State};
use crate::step::{Answer, Effect, Notice, Output, Refusal, Step, Storing};
use crate::table::{self, Cell};
use crate::trigger::Trigger;
use crate::view::history::Transition;

pub(super) struct Turn<'a> {
    pub(super) machine: Machine,
    pub(super) now: Now,
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) outputs: Vec<Output>,
    pub(super) storing: Storing,
    /// The step is about a store that fails just now.
    pub(super) failing: bool,
    pub(super) then: Option<Event>,
    pub(super) instead: Option<Event>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(machine: Machine, now: Now, entropy: &'a mut dyn Entropy) -> Self {
        Self {
            machine,
            now,
            entropy,
            outputs: Vec::new(),
            storing: Storing::No,
            failing: false,
            then: None,
            instead: None,
        }
    }

    /// Trusted time, seconds since 1970.
    pub(super) fn trusted(&self) -> u64 {
        self.machine.trusted(self.now)
    }

    /// The mark, seconds since 1970: what moves slots once the licence is active.
    pub(super) fn mark(&self) -> u64 {
        self.machine.high_water(self.now)
    }

    /// The clock; before boot that of a machine that knows nothing.
    pub(super) fn clock(&mut self) -> &mut Clock {
        let (mark, now) = (self.machine.context.high_water, self.now);
        self.machine.run.clock.get_or_insert_with(|| Clock::start(mark, now))
    }

    pub(super) const fn store(&mut self) {
        self.storing = Storing::First;
    }

    /// Observes the clock; tells people when it goes wrong and when it is right again.
    pub(super) fn look_at_clock(&mut self) {
        let Some(clock) = self.machine.run.clock.as_mut() else { return };
        let before = clock.state();
        clock.observe(self.now);
        let after = clock.state();
        self.tell_clock(before, after);
    }

    pub(super) fn tell_clock(&mut self, before: ClockState, after: ClockState) {
        if before == after {
            return;
        }
        let state = Some(self.machine.context.license.state);
        match after {
            ClockState::Ok => {
                self.count(Trigger::ClkOk, state, Effect::Taken);
                self.tell(Notice::LicenseRecovered, None);
            }
            ClockState::RolledBack => {
                self.count(Trigger::ClkBack, state, Effect::Taken);
                self.tell(Notice::LicenseError, Some(Code::ClockRolledBack));
            }
            ClockState::JumpedForward => {
                self.tell(Notice::LicenseWarning, Some(Code::ClockJumpedForward));
            }
        }
    }

    pub(super) fn count(&mut self, trigger: Trigger, state: Option<State>, outcome: Effect) {
        self.outputs.push(Output::Count { trigger, state, outcome });
    }

    pub(super) fn tell(&mut self, notice: Notice, code: Option<Code>) {
        self.outputs.push(Output::Event { notice, code });
    }

    pub(super) fn fault(&self, code: Code, text: impl Into<String>) -> Fault {
        Fault { code, text: text.into(), since: self.trusted(), upstream: false }
    }

    /// Looks up what `trigger` does to `slot`, and moves it where the cell names a state. Returns
    /// the cell; refusals and hand-overs are the caller's.
    pub(super) fn fire(&mut self, slot: Slot, trigger: Trigger, fault: Option<Fault>) -> Cell {
        let from = self.machine.context.state(slot);
        let cell = match (slot, from) {
            (Slot::License, Some(state)) => table::license(state, trigger),
            (Slot::License, None) => Cell::Stay,
            (Slot::Current, state) => table::current(state, trigger),
            (Slot::Next, state) => table::next(state, trigger),
            (Slot::Switch, state) => table::switch(state, trigger),
        };
        let outcome = match cell {
            Cell::Stay => Effect::Ignored,
            Cell::Refuse | Cell::Conflict | Cell::Missing => Effect::Refused,
            Cell::Current | Cell::Switch => return cell,
            Cell::To(_) | Cell::Renewed | Cell::Clear | Cell::Done => Effect::Taken,
        };
        self.count(trigger, from, outcome);
        match cell {
            Cell::To(to) => self.enter(slot, Some(to), trigger, fault),
            Cell::Renewed => {
                let to = self.machine.aged(self.mark());
                let to = if Some(to) < from { to } else { State::VerificationComplete };
                self.enter(slot, Some(to), trigger, fault);
            }
            Cell::Clear => self.enter(slot, None, trigger, None),
            Cell::Done => {
                self.enter(Slot::Switch, None, trigger, None);
                self.enter(Slot::License, Some(State::VerificationComplete), trigger, None);
            }
            Cell::Stay
            | Cell::Refuse
            | Cell::Conflict
            | Cell::Missing
            | Cell::Current
            | Cell::Switch => {}
        }
        cell
    }

    /// Moves `slot` to `to`, and does what goes with that state.
    pub(super) fn enter(
        &mut self,
        slot: Slot,
        to: Option<State>,
        trigger: Trigger,
        fault: Option<Fault>,
    ) {
        let at = self.trusted();
        let before = self.machine.context.place(slot).cloned();
        let from = before.as_ref().map(|place| place.state);
        let same_fault =
            before.as_ref().and_then(|place| place.fault.as_ref()).map(|fault| fault.code)
                == fault.as_ref().map(|fault| fault.code);
        if from == to && same_fault {
            // A repeated failure or attempt: its timer starts anew, nothing else is new.
            if let Some(state) = to {
                self.arm(slot, state);
            }
            return;
        }
        self.store();
        let code = fault.as_ref().map(|fault| fault.code);
        let since = before.filter(|place| Some(place.state) == to).map_or(at, |place| place.since);
        let place = to.map(|state| Place { state, since, fault });
        let context = &mut self.machine.context;
        match slot {
            Slot::License => context.license = place.unwrap_or(Place::new(State::Default, at)),
            Slot::Current => context.current = place,
            Slot::Next => context.next = place,
            Slot::Switch => context.switch = place,
        }
        if from != to {
            context.history.push(Transition { at, slot, event: trigger, from, to, code });
            self.outputs.push(Output::Moved { slot, from, to });
        }
        self.machine.run.due.put(slot, None);
        if let Some(state) = to {
            self.arm(slot, state);
            self.announce(slot, state, code);
        }
    }

    /// Sets the timer after which `slot` steps on by itself (note b).
    fn arm(&mut self, slot: Slot, state: State) {
        let sends = self.machine.settings.mode.sends();
        let wait = match state {
            State::RegistrationInProgress => Some(Duration::ZERO),
            State::InitializationFailed => Some(RETRY_SHORT),
            State::DownloadFailed => Some(RETRY_DOWNLOAD),
            State::RegistrationFailed | State::ReportFailed => Some(self.doubled(slot)),
            State::ReadyToDownload => sends.then_some(Duration::ZERO),
            State::ReportInProgress => {
                self.count_usage();
                None
            }
            // 1 and 4 step on within the same step; 11 and 13 wait as the upstream plan says.
            State::Default
            | State::Initialised
            | State::RegistrationComplete
            | State::Downloaded
            | State::VerificationInProgress
            | State::VerificationComplete
            | State::VerificationFailed
            | State::ExpiringSoon
            | State::ExpiringToday
            | State::Expired
            | State::TelemetryInProgress
            | State::ReadyToGenerate => None,
        };
        if matches!(state, State::RegistrationComplete | State::ReadyToDownload) {
            self.machine.run.failures.put(slot, None);
        }
        let due = wait.map(|wait| self.now.boot.saturating_add(wait));
        self.machine.run.due.put(slot, due);
    }

    /// 30 s, doubling to 300 s.
    fn doubled(&mut self, slot: Slot) -> Duration {
        let failures = self.machine.run.failures.get(slot).copied().unwrap_or(0);
        self.machine.run.failures.put(slot, Some(failures.saturating_add(1)));
        RETRY_SHORT.saturating_mul(1 << failures.min(4)).min(RETRY_LONG)
    }

    pub(super) fn count_usage(&mut self) {
        if !self.machine.run.counting {
            self.machine.run.counting = true;
            self.outputs.push(Output::CountUsage);
        }
    }

    /// The event of a state (§3.4, outputs).
    fn announce(&mut self, slot: Slot, state: State, code: Option<Code>) {
        let at = self.trusted();
        let notice = match state {
            State::InitializationFailed
            | State::RegistrationFailed
            | State::ReportFailed
            | State::DownloadFailed => Notice::LicenseError,
            State::ReadyToDownload => Notice::LicenseReportReady,
            State::VerificationFailed => Notice::LicenseVerificationFailed,
            State::ExpiringSoon => {
                self.machine.context.decay.soon = Some(at);
                Notice::LicenseExpiringSoon
            }
            State::ExpiringToday => {
                self.machine.context.decay.today = Some(at);
                Notice::LicenseExpiringToday
            }
            State::Expired => {
                self.machine.context.decay.expired = Some(at);
                Notice::LicenseExpired
            }
            State::Default
            | State::Initialised
            | State::RegistrationInProgress
            | State::RegistrationComplete
            | State::ReportInProgress
            | State::Downloaded
            | State::VerificationInProgress
            | State::VerificationComplete
            | State::TelemetryInProgress
            | State::ReadyToGenerate => return,
        };
        let code = if state == State::Expired { Some(Code::Expired) } else { code };
        self.tell(notice, code);
        if matches!(state, State::VerificationFailed) {
            let fault = self.machine.context.place(slot).and_then(|place| place.fault.clone());
            self.machine.context.refused.put(slot, fault);
        }
    }

    /// Notes an upload that is refused and changes nothing else (§3.7).
    pub(super) fn reject(&mut self, refusal: Refusal) -> Result<Answer, Refusal> {
        self.machine.run.rejected = Some(self.fault(refusal.code, refusal.text.clone()));
        self.tell(Notice::LicenseWarning, Some(refusal.code));
        Err(refusal)
    }

    /// Rules anew, and closes the step.
    pub(super) fn finish(mut self, answer: Result<Answer, Refusal>) -> Step {
        self.rule();
        if self.machine.is_without_state() {
            self.storing = Storing::No;
            self.instead = None;
        }
        let run = &mut self.machine.run;
        match self.storing {
            Storing::No => {}
            Storing::First | Storing::IfPossible => {
                run.stored_at = self.now.boot;
                self.count_running_time();
                self.machine.context.generation = self.machine.context.generation.wrapping_add(1);
                self.machine.context.high_water = self.machine.high_water(self.now);
            }
        }
        Step {
            next: self.machine,
            storing: self.storing,
            answer,
            outputs: self.outputs,
            then: self.then,
            instead: self.instead,
        }
    }
}

/// First wait after a failure, and every wait in 2.
const RETRY_SHORT: Duration = Duration::from_secs(30);
/// Longest wait in 5 and 8.
const RETRY_LONG: Duration = Duration::from_secs(300);
/// Wait in 9.
const RETRY_DOWNLOAD: Duration = Duration::from_secs(60);
