//! Start, objects and values: everything that is read rather than asked for.
//!
//! Owns what becomes of stored state at a start (P5 to P7, P11, note g), initialisation, binding,
//! changes of JWT, JWKS and mode, and starting over.
//!
//! Source: licensing.md §2.2, §3.4 (notes b, f, g), §5.3 (mode), §7.2, §7.5, LIC-127, LIC-225,
//! LIC-226, LIC-430.

use std::sync::Arc;

use spk_jose::name::sha256;
use spk_jose::{JoseError, RsaKeySet};
use uuid::Uuid;

use super::turn::Turn;
use super::{Machine, Run};
use crate::calendar::seconds;
use crate::clock::Clock;
use crate::codes::Code;
use crate::context::record::{self, RecordError};
use crate::context::{Context, Fault, Grant};
use crate::event::{Boot, Objects, PeerStatement, Stored};
use crate::settings::{Mode, Settings};
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

    /// Verifies the stored JWT again, as every start must (LIC-127, LIC-622).
    fn doubt(&mut self) {
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

    /// JWT or JWKS object, changed or not.
    pub(super) fn objects(&mut self, objects: Objects) -> Result<Answer, Refusal> {
        if self.machine.run.clock.is_some() && self.machine.run.stopped.is_none() {
            self.take_objects(objects);
        }
        Ok(Answer::Done)
    }

    /// Takes what is new in the objects, and starts over where `cfg` says so (note f).
    fn take_objects(&mut self, objects: Objects) {
        let jwks_changed = self.take_keys(objects.jwks.as_deref());
        let jwt = objects.jwt.map(|text| text.trim_ascii().to_owned()).filter(|t| !t.is_empty());
        let name = jwt.as_deref().map(sha256);
        let jwt_changed = name != self.machine.context.seen_jwt;
        self.machine.run.jwt = jwt.map(Arc::from);
        if self.machine.run.stopped.is_some() || !(jwt_changed || jwks_changed) {
            return;
        }
        self.store();
        self.machine.context.seen_jwt = name;
        let state = self.machine.context.license.state;
        if state.is_active() {
            self.fire(Slot::License, Trigger::Cfg, None);
            let new = self.machine.run.jwt.as_ref();
            let in_force = self.machine.context.grant.as_ref().map(|grant| &grant.text);
            if jwt_changed && new.is_some() && new != in_force {
                self.tell(Notice::LicenseJwtIgnored, None);
            }
            self.try_sending_again();
            return;
        }
        // In 2 and 5 nothing can get worse; elsewhere only what verifies starts over.
        let broken = matches!(state, State::InitializationFailed | State::RegistrationFailed);
        if (broken || self.looks_valid()) && state != State::Default {
            let cell = self.fire(Slot::License, Trigger::Cfg, None);
            if self.machine.context.license.state == State::Default
                && cell != crate::table::Cell::Stay
            {
                self.machine.context.refused.license = None;
                self.initialise();
            }
        }
    }

    fn looks_valid(&self) -> bool {
        let (Some(keys), Some(jwt)) = (&self.machine.run.keys, &self.machine.run.jwt) else {
            return false;
        };
        LicenseToken::read(jwt, keys, &self.machine.settings.trusted_issuers).is_ok()
    }

    /// Takes a key set; a broken one keeps the last good one (LIC-126). Whether a good one is new.
    fn take_keys(&mut self, text: Option<&str>) -> bool {
        let parsed = match text {
            None => Err((Code::JwksMissing, Code::JwksMissing.text().to_owned())),
            Some(text) => RsaKeySet::parse(text).map_err(|error| {
                let code = Code::from_code(error.code()).unwrap_or(Code::JwksMalformed);
                (code, error.to_string())
            }),
        };
        let name = text.map(sha256);
        self.machine.run.jwks_name.clone_from(&name);
        match parsed {
            Ok(keys) => {
                let refused = keys.refused().first().map(|refusal| {
                    let code = Code::from_code(refusal.code()).unwrap_or(Code::JwksMalformed);
                    self.fault(code, refusal.to_string())
                });
                let changed = name != self.machine.context.seen_jwks;
                let fresh = self.machine.run.keys.is_none();
                if let Some(fault) = &refused
                    && (changed || fresh)
                {
                    self.tell(Notice::LicenseWarning, Some(fault.code));
                }
                self.machine.run.keys_fault = refused;
                self.machine.run.keys = Some(Arc::new(keys));
                if changed && self.machine.run.stopped.is_none() {
                    self.machine.context.seen_jwks = name;
                }
                changed
            }
            Err((code, text)) => {
                let known = self.machine.run.keys_fault.as_ref().map(|fault| fault.code);
                if known != Some(code) {
                    self.tell(Notice::LicenseWarning, Some(code));
                }
                self.machine.run.keys_fault = Some(self.fault(code, text));
                false
            }
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

    /// New values. A change of mode moves reports with it (LIC-430).
    pub(super) fn settings(&mut self, settings: Settings) -> Result<Answer, Refusal> {
        if *self.machine.settings == settings {
            return Ok(Answer::Done);
        }
        let mode = settings.mode;
        self.machine.settings = Arc::new(settings);
        if self.machine.run.clock.is_some() && self.machine.run.stopped.is_none() {
            self.change_mode(self.machine.context.mode, mode);
            self.try_sending_again();
        }
        Ok(Answer::Done)
    }

    /// Reports in 11 go back to 10, or waiting ones are sent; all else stays.
    fn change_mode(&mut self, from: Mode, to: Mode) {
        if from == to {
            return;
        }
        self.store();
        self.machine.context.mode = to;
        for slot in [Slot::License, Slot::Current, Slot::Switch] {
            let Some(state) = self.machine.context.state(slot) else { continue };
            match (from.sends(), to.sends()) {
                (true, false) if state == State::VerificationInProgress => {
                    self.stop_upload(slot);
                    self.enter(slot, Some(State::Downloaded), Trigger::Cfg, None);
                }
                (true, false) => self.machine.run.due.put(slot, None),
                (false, true)
                    if matches!(
                        state,
                        State::ReadyToDownload | State::Downloaded | State::VerificationFailed
                    ) =>
                {
                    self.enter(slot, Some(State::VerificationInProgress), Trigger::UpSent, None);
                    self.due_now(slot);
                }
                (false, true) | (true, true) | (false, false) => {}
            }
        }
    }

    /// P6: gives up whatever is stored and begins with a new asset.
    pub(super) fn reset(&mut self) -> Result<Answer, Refusal> {
        let stopped = self.machine.stopped();
        let allowed = match stopped {
            Some(code) => code == Code::StoreCorrupt,
            None => !self.machine.is_active(),
        };
        if !allowed {
            let text = match stopped {
                Some(_) => "The stored state belongs to a newer release and is kept.",
                None => "An active licence is never reset.",
            };
            return Err(Refusal::new(Code::WrongState, text));
        }
        for slot in [Slot::License, Slot::Switch] {
            self.stop_upload(slot);
        }
        let (old, id) = (&self.machine.context, self.entropy.uuid());
        let mut context =
            Context::new(self.machine.forms.newest, self.machine.settings.mode, self.trusted());
        context.epoch = old.epoch.saturating_add(1);
        context.first_epoch = old.first_epoch;
        context.generation = old.generation;
        context.seen_jwt = self.machine.run.jwt.as_deref().map(sha256);
        context.seen_jwks.clone_from(&self.machine.run.jwks_name);
        context.digital_asset_id = Some(id);
        let run = &mut self.machine.run;
        run.stopped = None;
        (run.due, run.failures) = Default::default();
        (run.counting, run.rejected, run.doubt) = (false, None, None);
        self.machine.context = context;
        self.store();
        self.outputs.push(Output::ReplaceAsset(id));
        self.tell(Notice::LicenseReset, None);
        self.initialise();
        Ok(Answer::Done)
    }

    /// P11: the new form is written from now on.
    pub(super) fn confirm_upgrade(&mut self) -> Result<Answer, Refusal> {
        if self.machine.stopped().is_some() {
            let text = "The stored state cannot be used.";
            return Err(Refusal::new(Code::WrongState, text));
        }
        if self.machine.context.form < self.machine.forms.newest {
            self.machine.context.form = self.machine.forms.newest;
            self.store();
        }
        Ok(Answer::Done)
    }

    /// K7: the wall clock is right.
    pub(super) fn accept_clock(&mut self) -> Result<Answer, Refusal> {
        let now = self.now;
        let before = self.clock().state();
        self.clock().accept(now);
        let after = self.clock().state();
        self.tell_clock(before, after);
        self.store();
        Ok(Answer::Done)
    }

    /// §7.5: a peer remembers more than the stored state does.
    pub(super) fn peer(&mut self, peer: PeerStatement) -> Result<Answer, Refusal> {
        let context = &self.machine.context;
        // K9: what an earlier epoch signed says nothing about time any more.
        if self.machine.run.stopped.is_some() || peer.epoch < context.first_epoch {
            return Ok(Answer::Done);
        }
        let rolled_back =
            peer.epoch >= context.epoch || peer.iat > self.mark().saturating_add(UNSTORED);
        if !rolled_back && peer.iat <= self.mark() {
            return Ok(Answer::Done);
        }
        self.store();
        let now = self.now;
        let before = self.clock().state();
        self.clock().learn(peer.iat, now);
        let after = self.clock().state();
        self.tell_clock(before, after);
        if rolled_back {
            let context = &mut self.machine.context;
            if peer.epoch >= context.epoch {
                context.epoch = peer.epoch.saturating_add(1);
            }
            context.restored_iat = context.restored_iat.max(Some(peer.iat));
            self.tell(Notice::StateRolledBack, Some(Code::StateRolledBack));
        }
        Ok(Answer::Done)
    }

    pub(super) fn store_works(&mut self, works: bool) -> Result<Answer, Refusal> {
        let failing = self.machine.run.failing_since;
        match (works, failing) {
            (false, None) => {
                self.machine.run.failing_since = Some(self.now.boot);
                self.tell(Notice::LicenseError, Some(Code::StoreUnavailable));
            }
            (true, Some(_)) => {
                self.machine.run.failing_since = None;
                self.tell(Notice::LicenseRecovered, Some(Code::StoreUnavailable));
            }
            (true, None) | (false, Some(_)) => {}
        }
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

/// Seconds by which peers may know more than was stored, without a restore: the mark is stored
/// every 60 s (K2).
const UNSTORED: u64 = 120;
