//! Switching to another licence.
//!
//! Owns `jwt.ok`, `jwt.bad` and `cancel`: who may switch to what. The running licence stays as it
//! is until the receipt of the new one is accepted (LIC-240).
//!
//! Source: licensing.md §3.6, LIC-242.

use spk_entitlement::Class;

use super::boot::grant;
use super::turn::Turn;
use crate::codes::Code;
use crate::state::{Slot, State};
use crate::step::{Answer, Effect, Refusal};
use crate::table::{self, Cell};
use crate::token::{LicenseToken, OrderType};
use crate::trigger::Trigger;

impl Turn<'_> {
    /// `POST /reactivate`.
    pub(super) fn reactivate(&mut self, text: &str) -> Result<Answer, Refusal> {
        let license = self.machine.context.license.state;
        if table::license(license, Trigger::JwtOk) != Cell::Switch {
            self.count(Trigger::JwtOk, Some(license), Effect::Refused);
            let text = "The licence is not active yet; set the JWT in the values of chart cwc.";
            return Err(Refusal::new(Code::WrongState, text));
        }
        let switch = self.machine.context.state(Slot::Switch);
        if table::switch(switch, Trigger::JwtOk) == Cell::Conflict {
            self.count(Trigger::JwtOk, switch, Effect::Refused);
            return Err(being_verified());
        }
        let token = match self.switchable(text) {
            Ok(token) => token,
            Err(refusal) => {
                self.count(Trigger::JwtBad, switch, Effect::Refused);
                return self.reject(refusal);
            }
        };
        self.machine.context.pending = Some(grant(token));
        self.machine.context.refused.switch = None;
        self.machine.run.rejected = None;
        // Also from 3 to 3: the JWT is another one.
        self.store();
        self.fire(Slot::Switch, Trigger::JwtOk, None);
        Ok(Answer::Switching { state: State::RegistrationInProgress })
    }

    fn switchable(&self, text: &str) -> Result<LicenseToken, Refusal> {
        let keys = self.machine.run.keys.as_ref();
        let keys = keys.ok_or_else(|| Refusal::new(Code::JwtUnknownKey, "There is no key set."))?;
        let issuers = &self.machine.settings.trusted_issuers;
        let token = LicenseToken::verify(text, keys, issuers, self.trusted())
            .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
        let Some(old) = self.machine.context.grant.as_ref().map(|grant| &grant.claims) else {
            return Ok(token);
        };
        let new = &token.claims;
        if new.jti == old.jti {
            let text = "This JWT is the one in force.";
            return Err(Refusal::new(Code::SwitchSameLicense, text));
        }
        if !allowed(old.order_type, new.order_type) {
            let text = format!("switching {} to {} is not allowed", old.order_type, new.order_type);
            return Err(Refusal::new(Code::SwitchNotAllowed, text));
        }
        Ok(token)
    }

    /// `DELETE /v1/license/switch`.
    pub(super) fn abandon(&mut self) -> Result<Answer, Refusal> {
        match self.fire(Slot::Switch, Trigger::Cancel, None) {
            Cell::Missing => Err(Refusal::new(Code::NotFound, "No switch is under way.")),
            Cell::Clear => {
                self.machine.context.pending = None;
                self.machine.context.reports.switch = None;
                self.machine.context.refused.switch = None;
                Ok(Answer::Done)
            }
            Cell::Conflict
            | Cell::Stay
            | Cell::Refuse
            | Cell::Current
            | Cell::Switch
            | Cell::To(_)
            | Cell::Renewed
            | Cell::Done => Err(being_verified()),
        }
    }
}

fn being_verified() -> Refusal {
    Refusal::new(Code::WrongState, "The switch is being verified; wait for its end.")
}

/// Whether a licence of type `old` may be switched to one of type `new`.
#[must_use]
pub fn allowed(old: OrderType, new: OrderType) -> bool {
    match (old.class(), new.class()) {
        (Class::Trial | Class::Production, Class::Production) => true,
        (Class::Trial | Class::Production, Class::Trial | Class::Unactivated)
        | (Class::Unactivated, _) => false,
    }
}
