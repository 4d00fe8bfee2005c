//! Start, initialisation and binding.
//!
//! Owns what becomes of stored state at a start (P5 to P7, P11, note g), what is verified again,
//! and the way from 0 to 6.
//!
//! Source: licensing.md §2.2, §3.4 (notes b, g), §7.2, LIC-127, LIC-226.

use std::sync::Arc;

use spk_jose::JoseError;
use uuid::Uuid;

use super::turn::Turn;
use super::{Machine, Run};
use crate::calendar::seconds;
use crate::clock::Clock;
use crate::codes::Code;
use crate::context::record::{self, RecordError};
use crate::context::{Context, Fault, Grant};
use crate::event::{Boot, Objects, Stored};
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Output, Refusal, Storing};
use crate::token::{LicenseToken, TokenError, strict_uuid};
use crate::trigger::Trigger;

impl Turn<'_> {
    pub(super) fn boot(&mut self, boot: Boot) -> Result<Answer, Refusal> {
        self.machine.run = Run { counted_at: self.now.boot, ..Run::default() };
        let asset = match &boot.digital_asset_id {
            Stored::Absent => Ok(None),
            Stored::Text(text) => strict_uuid(text.trim()).map(Some).ok_or(Code::StoreCorrupt),
            Stored::Unreadable => Err(Code::StoreCorrupt),
        };
        let stored = match &boot.context {
            Stored::Absent => Ok(None),
            Stored::Text(text) => match record::read(text, &self.machine.forms) {
                Ok(context) => Ok(Some(context)),
                Err(RecordError::Newer { .. }) => Err(Code::StoreNewer),
                Err(RecordError::Damaged | RecordError::TooLarge) => Err(Code::StoreCorrupt),
            },
            Stored::Unreadable => Err(Code::StoreCorrupt),
        };
        let (form, mode) = (self.machine.forms.newest, self.machine.settings.mode);
        let mut lost = false;
        match (stored, asset) {
            // A good context says which asset this is; the record beside it is its projection.
            (Ok(Some(context)), _) => self.machine.context = context,
            (Ok(None), Ok(asset)) => {
                self.machine.context = Context::new(form, mode, 0);
                self.machine.context.digital_asset_id = asset;
                lost = asset.is_some();
            }
            (Err(code), _) | (Ok(None), Err(code)) => return self.stop(code, boot.objects),
        }
        let context = &mut self.machine.context;
        context.epoch = context.epoch.saturating_add(1);
        let receipt = context.receipt.as_ref().map_or(0, |receipt| receipt.iat);
        let clock = Clock::start(context.high_water.max(receipt), self.now);
        self.machine.run.clock = Some(clock);
        self.tell_clock(crate::clock::ClockState::Ok, clock.state());
        self.store();
        if lost {
            self.tell(Notice::LicenseStateLost, None);
        }
        self.take_objects(boot.objects);
        self.resume();
        Ok(Answer::Done)
    }

    /// The stored state cannot be used: state 2, and nothing is written (P6, P11).
    fn stop(&mut self, code: Code, objects: Objects) -> Result<Answer, Refusal> {
        self.machine.context =
            Context::new(self.machine.forms.newest, self.machine.settings.mode, 0);
        self.machine.run.clock = Some(Clock::start(0, self.now));
        self.take_objects(objects);
        let fault = self.fault(code, code.text());
        self.machine.run.stopped = Some(fault.clone());
        let to = Some(State::InitializationFailed);
        self.enter(Slot::License, to, Trigger::InitErr, Some(fault));
        self.machine.run.due = Default::default();
        Ok(Answer::Done)
    }

    /// Goes on from the stored state (note g).
    fn resume(&mut self) {
        let mode = self.machine.settings.mode;
        self.change_mode(self.machine.context.mode, mode);
        for slot in [Slot::License, Slot::Current, Slot::Switch] {
            let Some(place) = self.machine.context.place(slot).cloned() else { continue };
            match place.state {
                // A receipt was being checked when the process ended.
                State::VerificationInProgress if !mode.sends() => {
                    self.enter(slot, Some(State::Downloaded), Trigger::Boot, None);
                }
                State::VerificationInProgress => self.due_now(slot),
                // Attempts go on hourly, beginning now.
                State::VerificationFailed if mode.sends() => self.due_now(slot),
                state => self.rearm(slot, state),
            }
        }
        self.doubt();
        if self.machine.is_active() {
            let at = self.trusted();
            if let Some(due) = self.machine.context.sample_time {
                self.machine.context.samples.miss(due.missed_by(at));
            }
            self.schedule_sample(at);
            self.machine.run.hourly = true;
            self.count_usage();
        }
        if self.machine.context.license.state == State::Default {
            self.initialise();
        }
    }

    /// Sets the timers of a state that was restored; 1 and 4 step on.
    fn rearm(&mut self, slot: Slot, state: State) {
        let fault = self.machine.context.place(slot).and_then(|place| place.fault.clone());
        self.enter(slot, Some(state), Trigger::Boot, fault);
        if matches!(state, State::Initialised | State::RegistrationComplete) {
            self.fire(slot, Trigger::Retry, None);
        }
    }

    pub(super) fn due_now(&mut self, slot: Slot) {
        self.machine.run.due.put(slot, Some(self.now.boot));
    }

    /// Verifies the stored JWT again, as every start must (LIC-127, LIC-622), and as mended objects
    /// allow after a start that could not.
    pub(super) fn doubt(&mut self) {
        let state = self.machine.context.license.state;
        if matches!(state, State::Default | State::Initialised | State::InitializationFailed) {
            return;
        }
        let Some(grant) = self.machine.context.grant.clone() else { return };
        let fault = match &self.machine.run.keys {
            None => self.machine.run.keys_fault.clone(),
            Some(keys) => {
                let issuers = &self.machine.settings.trusted_issuers;
                LicenseToken::read(&grant.text, keys, issuers).err().map(|error| {
                    let code = match error {
                        TokenError::Form(JoseError::UnknownKey) => Code::JwksKidMissing,
                        other => other.code(),
                    };
                    self.fault(code, code.text())
                })
            }
        };
        let Some(fault) = fault else { return };
        if state.is_active() {
            let notice = match self.machine.class() {
                spk_entitlement::Class::Production => Notice::LicenseWarning,
                spk_entitlement::Class::Trial | spk_entitlement::Class::Unactivated => {
                    Notice::LicenseError
                }
            };
            self.tell(notice, Some(fault.code));
            self.machine.run.doubt = Some(fault);
        } else {
            let to = Some(State::InitializationFailed);
            self.enter(Slot::License, to, Trigger::Boot, Some(fault));
        }
    }

    /// State 0: JWT and JWKS are verified, or not.
    pub(super) fn initialise(&mut self) {
        match self.verified() {
            Ok(token) => {
                // Without any mark yet, the authority's own date is the best that is known (K1).
                let now = self.now;
                let signed = token.claims.iat.unwrap_or(0).min(seconds(now.wall));
                self.clock().learn(signed, now);
                self.machine.context.grant = Some(grant(token));
                if self.machine.context.digital_asset_id.is_none() {
                    let id = self.entropy.uuid();
                    self.machine.context.digital_asset_id = Some(id);
                    self.outputs.push(Output::CreateAsset(id));
                }
                self.fire(Slot::License, Trigger::InitOk, None);
                // 1 steps on by itself (note b).
                self.fire(Slot::License, Trigger::Retry, None);
            }
            Err(fault) => {
                self.fire(Slot::License, Trigger::InitErr, Some(fault));
            }
        }
    }

    /// The timer in 2: tries again, and leaves no trace while nothing changed.
    pub(super) fn initialise_again(&mut self) {
        match self.verified() {
            Ok(_) => {
                self.fire(Slot::License, Trigger::Retry, None);
                self.initialise();
            }
            Err(fault) => {
                self.fire(Slot::License, Trigger::InitErr, Some(fault));
            }
        }
    }

    fn verified(&self) -> Result<LicenseToken, Fault> {
        let Some(keys) = &self.machine.run.keys else {
            let missing = || self.fault(Code::JwksMissing, Code::JwksMissing.text());
            return Err(self.machine.run.keys_fault.clone().unwrap_or_else(missing));
        };
        let Some(jwt) = &self.machine.run.jwt else {
            return Err(self.fault(Code::JwtMissing, Code::JwtMissing.text()));
        };
        let issuers = &self.machine.settings.trusted_issuers;
        LicenseToken::verify(jwt, keys, issuers, self.trusted()).map_err(|error| {
            // A refused key of the set says more than "unknown".
            let refused = self.machine.run.keys_fault.as_ref();
            match (error.code(), refused) {
                (Code::JwtUnknownKey, Some(fault)) if keys.is_empty() => fault.clone(),
                (code, _) => self.fault(code, error.to_string()),
            }
        })
    }

    /// State 3: binds the JWT to the asset. The binding counts once the step is stored (P3).
    pub(super) fn bind(&mut self, slot: Slot) {
        let grant = match slot {
            Slot::Switch => self.machine.context.pending.as_mut(),
            Slot::License | Slot::Current | Slot::Next => self.machine.context.grant.as_mut(),
        };
        if let Some(grant) = grant {
            grant.bound = true;
        }
        self.instead = Some(crate::event::Event::NotBound);
        self.fire(slot, Trigger::RegOk, None);
        // 4 steps on by itself (note b).
        self.fire(slot, Trigger::Retry, None);
    }

    pub(super) fn not_bound(&mut self) -> Result<Answer, Refusal> {
        for slot in [Slot::License, Slot::Switch] {
            if self.machine.context.state(slot) == Some(State::RegistrationInProgress) {
                let code = Code::RegistrationFailed;
                let fault = self.fault(code, code.text());
                self.fire(slot, Trigger::RegErr, Some(fault));
            }
        }
        self.storing = Storing::IfPossible;
        self.failing = true;
        Ok(Answer::Done)
    }
}

pub(super) fn grant(token: LicenseToken) -> Grant {
    Grant { text: Arc::from(token.text), claims: token.claims, bound: false }
}

impl Machine {
    /// The digital asset id, once there is one.
    #[must_use]
    pub const fn digital_asset_id(&self) -> Option<Uuid> {
        self.context.digital_asset_id
    }
}
