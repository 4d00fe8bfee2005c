//! The JWT and JWKS objects and the values, as Helm writes them.
//!
//! Owns when a change starts over (`cfg`), which key set is in use, and what a change of mode does
//! to reports.
//!
//! Source: licensing.md §2.2, §3.4 (note f), §5.3 (mode), LIC-126, LIC-225, LIC-430.

use std::sync::Arc;

use spk_jose::RsaKeySet;
use spk_jose::name::sha256;

use super::turn::Turn;
use crate::codes::Code;
use crate::event::Objects;
use crate::settings::{Mode, Settings};
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Refusal};
use crate::table::{self, Cell};
use crate::token::LicenseToken;
use crate::trigger::Trigger;

impl Turn<'_> {
    /// JWT or JWKS object, changed or not.
    pub(super) fn objects(&mut self, objects: Objects) -> Result<Answer, Refusal> {
        if self.machine.run.clock.is_some() && self.machine.run.stopped.is_none() {
            self.take_objects(objects);
        }
        Ok(Answer::Done)
    }

    /// Takes what is new in the objects, and starts over where `cfg` says so (note f).
    pub(super) fn take_objects(&mut self, objects: Objects) {
        let jwks_changed = self.take_keys(objects.jwks.as_deref());
        let jwt = objects.jwt.map(|text| text.trim_ascii().to_owned()).filter(|t| !t.is_empty());
        let name = jwt.as_deref().map(sha256);
        let jwt_changed = name != self.machine.context.seen_jwt;
        self.machine.run.jwt = jwt.map(Arc::from);
        if self.machine.run.stopped.is_some() || !(jwt_changed || jwks_changed) {
            return;
        }
        let state = self.machine.context.license.state;
        if state.is_active() {
            self.store();
            self.machine.context.seen_jwt = name;
            self.fire(Slot::License, Trigger::Cfg, None);
            // Only a start raises a doubt; what mends the objects ends it at once.
            if self.machine.run.doubt.take().is_some() {
                self.doubt();
            }
            let new = self.machine.run.jwt.as_ref();
            let in_force = self.machine.context.grant.as_ref().map(|grant| &grant.text);
            if jwt_changed && new.is_some() && new != in_force {
                self.tell(Notice::LicenseJwtIgnored, None);
            }
            self.try_sending_again();
            return;
        }
        self.start_over(name);
    }

    /// `cfg` before activation, with the JWT of this name. In 3, 4, 6 and 11 it changes nothing
    /// yet: the JWT stays unseen until the slot gets to where it counts.
    fn start_over(&mut self, name: Option<String>) {
        let state = self.machine.context.license.state;
        let counts = table::license(state, Trigger::Cfg) != Cell::Stay;
        // In 2 and 5 nothing can get worse; elsewhere only what verifies starts over.
        let broken = matches!(state, State::InitializationFailed | State::RegistrationFailed);
        let valid = broken || self.looks_valid();
        if counts || !valid || state == State::Default {
            self.store();
            self.machine.context.seen_jwt = name;
        }
        if valid && state != State::Default {
            self.fire(Slot::License, Trigger::Cfg, None);
            if counts {
                self.machine.context.refused.license = None;
                self.initialise();
            }
        }
    }

    /// A JWT that came when it could not count yet.
    pub(super) fn look_at_waiting_jwt(&mut self) {
        let state = self.machine.context.license.state;
        if table::license(state, Trigger::Cfg) == Cell::Stay {
            return;
        }
        let name = self.machine.run.jwt.as_deref().map(sha256);
        if name != self.machine.context.seen_jwt {
            self.start_over(name);
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
    pub(super) fn change_mode(&mut self, from: Mode, to: Mode) {
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
}
