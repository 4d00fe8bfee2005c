//! The CWC's machine: four slots, their data and their timers.
//!
//! Owns what an event does. Parses no token and decides no verdict: `token`, `receipt` and
//! `spk_entitlement::policy` do. Which state follows is read from `table`.
//!
//! Slots move by the *mark* of [`clock`](crate::clock), which no wrong wall clock can push ahead;
//! verdicts and telemetry windows follow trusted time (K8).
//!
//! Source: licensing.md §3, §5.1, §6, §7.2, §7.5, §8.

mod boot;
mod control;
mod facts;
mod objects;
mod receipts;
mod reports;
mod sending;
mod standing;
mod switching;
mod timers;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use spk_entitlement::Class;
use spk_jose::{Ed25519Key, RsaKeySet};
use uuid::Uuid;

pub use self::facts::Surroundings;
pub use self::standing::Stops;
pub use self::switching::allowed;

use self::turn::Turn;
use crate::clock::{Clock, ClockState};
use crate::codes::Code;
use crate::context::record::{self, Forms, RecordError};
use crate::context::{Context, Fault, PerSlot};
use crate::event::Event;
use crate::now::{Entropy, Now};
use crate::settings::Settings;
use crate::state::State;
use crate::step::{Refusal, Step};

/// The machine. Cheap to clone: large texts are shared. Its debug form shows no token.
#[derive(Clone)]
pub struct Machine {
    settings: Arc<Settings>,
    report_key: Option<Arc<Ed25519Key>>,
    forms: Forms,
    context: Context,
    run: Run,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("context", &self.context).finish_non_exhaustive()
    }
}

/// What a process knows and does not store.
#[derive(Clone, Default)]
struct Run {
    clock: Option<Clock>,
    /// The last good key set.
    keys: Option<Arc<RsaKeySet>>,
    /// Why there is none, or why the newest one was not taken.
    keys_fault: Option<Fault>,
    /// Name of the JWKS object, as it is now.
    jwks_name: Option<String>,
    /// The JWT of the values, as it is now.
    jwt: Option<Arc<str>>,
    /// Why the stored JWT could not be verified again at this start (LIC-127, LIC-622).
    doubt: Option<Fault>,
    /// The stored state cannot be used: nothing is stored (P6, P11).
    stopped: Option<Fault>,
    /// Running time at which each slot steps on by itself.
    due: PerSlot<Duration>,
    /// Failures in a row, for the doubling waits of 5 and 8.
    failures: PerSlot<u32>,
    /// The reports that are on their way upstream.
    uploading: PerSlot<Uuid>,
    /// Usage is being counted.
    counting: bool,
    /// The count under way is that of the hour.
    hourly: bool,
    /// Running time of the last stored step.
    stored_at: Duration,
    /// Running time up to which `form_ran` counts.
    counted_at: Duration,
    /// Running time since which storing fails.
    failing_since: Option<Duration>,
    /// The last upload that was refused without a change of state (§3.7).
    rejected: Option<Fault>,
    /// Whether people were told of an overdue month.
    overdue_told: bool,
}

impl Machine {
    /// A machine that has read nothing: state 0 until [`Event::Boot`].
    ///
    /// `report_key` signs the reports; without one none can be built (`report_failed`).
    #[must_use]
    pub fn new(settings: Settings, report_key: Option<Ed25519Key>) -> Self {
        Self::with_forms(settings, report_key, Forms::RELEASE)
    }

    /// As [`Machine::new`], for a release that knows other forms of record `context`.
    #[must_use]
    pub fn with_forms(settings: Settings, key: Option<Ed25519Key>, forms: Forms) -> Self {
        let context = Context::new(forms.newest, settings.mode, 0);
        Self {
            settings: Arc::new(settings),
            report_key: key.map(Arc::new),
            forms,
            context,
            run: Run::default(),
        }
    }

    /// Takes one event at `now`: gives back the machine after it and what to do, and changes
    /// nothing itself. See [`Step`] for what the shell owes. Never fails.
    pub fn step(&self, event: Event, now: Now, entropy: &mut dyn Entropy) -> Step {
        let mut turn = Turn::new(self.clone(), now, entropy);
        turn.look_at_clock();
        if self.run.clock.is_none() && event.needs_state() {
            let code = Code::StoreUnavailable;
            return turn.finish(Err(Refusal::new(code, code.text())));
        }
        let answer = match event {
            Event::Boot(boot) => turn.boot(*boot),
            Event::Objects(objects) => turn.objects(*objects),
            Event::Settings(settings) => turn.settings(*settings),
            Event::Get { slot } => turn.get(slot),
            Event::Receipt(text) => turn.receipt(text),
            Event::Judge(text) => turn.judge(&text),
            Event::Reactivate(text) => turn.reactivate(&text),
            Event::Abandon => turn.abandon(),
            Event::Reset => turn.reset(),
            Event::AcceptClock => turn.accept_clock(),
            Event::ConfirmUpgrade => turn.confirm_upgrade(),
            Event::Upstream { slot, report, outcome } => turn.upstream(slot, report, outcome),
            Event::Usage(usage) => turn.usage(usage),
            Event::Timer => turn.timer(),
            Event::Peer(peer) => turn.peer(peer),
            Event::NotBound => turn.not_bound(),
            Event::StoreWorks(works) => turn.store_works(works),
        };
        turn.finish(answer)
    }

    /// Record `context`.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`]; treat it as a store that fails.
    pub fn record(&self) -> Result<String, RecordError> {
        record::write(&self.context, &self.forms)
    }

    /// The stored state. Holds tokens.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The values.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The key that signs reports, if there is one.
    #[must_use]
    pub fn report_key(&self) -> Option<&Ed25519Key> {
        self.report_key.as_deref()
    }

    /// Whether a receipt was accepted: slot L is in 12, 14, 15 or 16.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.context.license.state.is_active()
    }

    /// Class of the licence in force: unactivated until it is active.
    #[must_use]
    pub fn class(&self) -> Class {
        match &self.context.grant {
            Some(grant) if self.is_active() => grant.claims.order_type.class(),
            Some(_) | None => Class::Unactivated,
        }
    }

    /// The epoch of statements, stored before it is used; none before a start was stored, and while
    /// the stored state cannot be used (P6, P11), when nothing may be signed.
    #[must_use]
    pub const fn epoch(&self) -> Option<u64> {
        if self.is_without_state() { None } else { Some(self.context.epoch) }
    }

    /// Whether what is stored is not what this machine holds: it has read nothing yet, or cannot use
    /// what it read. Nothing may be written then.
    const fn is_without_state(&self) -> bool {
        self.run.clock.is_none() || self.run.stopped.is_some()
    }

    /// Why the stored state cannot be used: `store_corrupt` or `store_newer`. Nothing may be
    /// written then, projections neither.
    #[must_use]
    pub fn stopped(&self) -> Option<Code> {
        self.run.stopped.as_ref().map(|fault| fault.code)
    }

    /// Trusted time, seconds since 1970 (K1).
    #[must_use]
    pub fn trusted(&self, now: Now) -> u64 {
        self.run.clock.map_or_else(|| crate::calendar::seconds(now.wall), |c| c.trusted(now.boot))
    }

    /// The stored reckoning, seconds since 1970: `iat` of every statement (§2.5, K2).
    #[must_use]
    pub fn high_water(&self, now: Now) -> u64 {
        self.run.clock.map_or(0, |clock| clock.high_water(now.boot))
    }

    /// How the wall clock looked when it was last observed.
    #[must_use]
    pub fn clock_state(&self) -> ClockState {
        self.run.clock.map_or(ClockState::Ok, |clock| clock.state())
    }

    /// State of slot L as it is shown and judged: that of the slot, aged by trusted time (K8).
    #[must_use]
    pub fn license_state(&self, now: Now) -> State {
        let state = self.context.license.state;
        if state.is_active() { state.max(self.aged(self.trusted(now))) } else { state }
    }
}

#[cfg(test)]
mod tests;
