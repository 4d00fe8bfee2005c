//! Receipts: whose they are, and what accepting one does.
//!
//! Owns `rcpt.ok`, `rcpt.bad`, `rcpt.same` for all slots, first activation, renewal and K9. The
//! rules A1 to A9 are `receipt`'s.
//!
//! Source: licensing.md §2.4, §3.4 (note c, outputs), §3.5, §3.6, LIC-217, LIC-218, LIC-241.

use std::sync::Arc;

use spk_entitlement::Class;

use super::turn::Turn;
use crate::calendar::{Window, seconds};
use crate::codes::Code;
use crate::context::{Acknowledged, Fault, LastReceipt};
use crate::event::Event;
use crate::receipt::{Acceptance, Expected, Outstanding, REMEMBERED, ReceiptError, SignedReceipt};
use crate::state::{Slot, State};
use crate::step::{Answer, Effect, Notice, Output, Refusal};
use crate::table::Cell;
use crate::trigger::Trigger;

/// What a receipt with a good signature comes to.
pub(super) enum Finding {
    /// It acknowledges the report of this slot.
    Good(Slot, Acceptance),
    /// It is refused, and this slot goes to 13.
    Bad(Slot, ReceiptError),
    /// It was right once: nothing changes.
    Same(ReceiptError),
    /// No slot may take a receipt now.
    NotNow,
}

impl Turn<'_> {
    /// `POST /receipt`.
    pub(super) fn receipt(&mut self, text: String) -> Result<Answer, Refusal> {
        if self.machine.settings.mode.sends() {
            let text = "Receipts are fetched by the CWC itself in this mode.";
            return Err(Refusal::new(Code::WrongMode, text));
        }
        let license = self.machine.context.license.state;
        if !license.is_active() && !license.awaits_receipt() {
            return Err(self.wrong_state(Trigger::RcptOk));
        }
        let signed = match self.signed(&text) {
            Ok(signed) => signed,
            Err(error) => return self.reject(refusal(error)),
        };
        match self.find(&signed) {
            Finding::Good(slot, _) => self.pass_through(slot, Trigger::RcptOk, text),
            Finding::Bad(slot, _) => self.pass_through(slot, Trigger::RcptBad, text),
            Finding::Same(error) => {
                self.count(Trigger::RcptSame, Some(license), Effect::Refused);
                self.reject(refusal(error))
            }
            Finding::NotNow => Err(self.wrong_state(Trigger::RcptBad)),
        }
    }

    fn wrong_state(&mut self, trigger: Trigger) -> Refusal {
        let state = self.machine.context.license.state;
        self.count(trigger, Some(state), Effect::Refused);
        Refusal::new(Code::WrongState, "No report waits for a receipt.")
    }

    /// 10 or 13 to 11: stored before the receipt is judged (note c).
    fn pass_through(
        &mut self,
        slot: Slot,
        trigger: Trigger,
        text: String,
    ) -> Result<Answer, Refusal> {
        self.enter(slot, Some(State::VerificationInProgress), trigger, None);
        self.then = Some(Event::Judge(text));
        Ok(Answer::Done)
    }

    /// The second half of `POST /receipt`.
    pub(super) fn judge(&mut self, text: &str) -> Result<Answer, Refusal> {
        let signed = match self.signed(text) {
            Ok(signed) => signed,
            Err(error) => return self.reject(refusal(error)),
        };
        match self.find(&signed) {
            Finding::Good(slot, acceptance) => Ok(self.accept(slot, &acceptance, signed.text())),
            Finding::Bad(slot, error) => {
                let refusal = refusal(error);
                self.bad(slot, &refusal);
                Err(refusal)
            }
            Finding::Same(error) => self.reject(refusal(error)),
            Finding::NotNow => Err(self.wrong_state(Trigger::RcptBad)),
        }
    }

    pub(super) fn bad(&mut self, slot: Slot, refusal: &Refusal) {
        let fault = self.fault(refusal.code, refusal.text.clone());
        self.fire(slot, Trigger::RcptBad, Some(fault));
    }

    /// A1.
    pub(super) fn signed(&self, text: &str) -> Result<SignedReceipt, ReceiptError> {
        match &self.machine.run.keys {
            Some(keys) => SignedReceipt::read(text, keys),
            None => Err(ReceiptError::Form(spk_jose::JoseError::UnknownKey)),
        }
    }

    /// A2 to A9, over all slots.
    pub(super) fn find(&self, signed: &SignedReceipt) -> Finding {
        let context = &self.machine.context;
        let Some(asset) = context.digital_asset_id else { return Finding::NotNow };
        let (slots, outstanding) = self.outstanding();
        let expected = Expected {
            issuers: &self.machine.settings.trusted_issuers,
            digital_asset_id: asset,
            accepted: &context.accepted,
            superseded: &context.superseded,
            outstanding: &outstanding,
            trusted: self.trusted(),
            wall: seconds(self.now.wall),
            last_iat: context.receipt.as_ref().map(|receipt| receipt.iat),
            restored_iat: context.restored_iat,
        };
        match signed.check(&expected) {
            Ok(acceptance) => match slots.get(acceptance.index) {
                Some(slot) => Finding::Good(*slot, acceptance),
                None => Finding::NotNow,
            },
            Err(error) if error.fails_verification() => {
                let awaits =
                    |slot: &&Slot| context.state(**slot).is_some_and(State::awaits_receipt);
                // The slot it names, or else the one whose report was handed out first.
                let named = signed.addressee(&outstanding).and_then(|index| slots.get(index));
                match named.or_else(|| slots.iter().find(awaits)).filter(awaits) {
                    Some(slot) => Finding::Bad(*slot, error),
                    None => Finding::NotNow,
                }
            }
            Err(error) => Finding::Same(error),
        }
    }

    /// Reports without a receipt, with the slot of each: L, S, R.
    fn outstanding(&self) -> (Vec<Slot>, Vec<Outstanding>) {
        let context = &self.machine.context;
        let order = [Slot::License, Slot::Switch, Slot::Current];
        let reports = order.into_iter().filter_map(|slot| {
            let report = context.reports.get(slot)?;
            let state = context.state(slot)?;
            let outstanding = Outstanding {
                report_id: report.id,
                sha256: report.sha256.clone(),
                generated_at: report.generated_at,
                handed_out: state.awaits_receipt(),
                license_jti: report.license_jti,
                order_type: report.order_type,
            };
            Some((slot, outstanding))
        });
        reports.unzip()
    }

    /// Accepts a receipt for the report of `slot`, which is in 11 or 13.
    pub(super) fn accept(&mut self, slot: Slot, receipt: &Acceptance, text: &str) -> Answer {
        self.store();
        self.set_clock(receipt);
        let at = self.trusted();
        let old_end = self.machine.context.end();
        let context = &mut self.machine.context;
        context.accepted.push(receipt.jti);
        let surplus = context.accepted.len().saturating_sub(REMEMBERED);
        context.accepted.drain(..surplus);
        context.receipt = Some(LastReceipt { text: Arc::from(text), iat: receipt.iat });
        context.refused.put(slot, None);
        if let Some(report) = context.reports.get(slot) {
            context.acknowledged =
                Some(Acknowledged { report: report.id, sha256: report.sha256.clone(), at });
        }
        context.reports.put(slot, None);
        self.machine.run.uploading.put(slot, None);
        self.machine.run.rejected = None;
        match slot {
            Slot::License => self.activate(receipt, at),
            Slot::Current | Slot::Next => {
                let context = &mut self.machine.context;
                context.receipt_expiry = receipt.expiry.or(context.receipt_expiry);
                context.samples.acknowledged();
                context.unacknowledged = None;
                self.machine.run.overdue_told = false;
                self.fire(Slot::Current, Trigger::RcptOk, None);
                self.renew(old_end);
            }
            Slot::Switch => self.switched(receipt),
        }
        self.age();
        Answer::Accepted { state: State::VerificationComplete }
    }

    /// K1, K7, K9.
    fn set_clock(&mut self, receipt: &Acceptance) {
        let now = self.now;
        let before = self.clock().state();
        if receipt.reset_clock {
            self.clock().reset(receipt.iat, now);
            let context = &mut self.machine.context;
            context.epoch = context.epoch.saturating_add(1);
            context.first_epoch = context.epoch;
            context.restored_iat = None;
        } else {
            self.clock().confirm(receipt.iat, now);
        }
        let after = self.clock().state();
        self.tell_clock(before, after);
    }

    /// The first receipt (LIC-217).
    fn activate(&mut self, receipt: &Acceptance, at: u64) {
        // What is kept rests on no wall clock that nothing confirmed yet (K8): a trial would end
        // later for it, for good.
        let confirmed = self.mark();
        let context = &mut self.machine.context;
        context.activated = Some(confirmed);
        context.receipt_expiry = receipt.expiry;
        context.window = Some(Window::first(confirmed));
        context.samples.acknowledged();
        self.fire(Slot::Next, Trigger::FirstActivation, None);
        self.schedule_sample(at);
        self.fire(Slot::License, Trigger::RcptOk, None);
        self.outputs.push(Output::Broadcast);
        self.tell(Notice::LicenseActivated, None);
        self.latch();
    }

    /// A switch is complete: its JWT is the licence in force.
    fn switched(&mut self, receipt: &Acceptance) {
        let context = &mut self.machine.context;
        if let Some(pending) = context.pending.take() {
            context.grant = Some(pending);
        }
        context.receipt_expiry = receipt.expiry;
        // Verified just now, whatever the start found.
        self.machine.run.doubt = None;
        let cell = self.fire(Slot::Switch, Trigger::RcptOk, None);
        debug_assert_eq!(cell, Cell::Done, "slot S takes receipts in 11 only");
        self.outputs.push(Output::Broadcast);
        self.tell(Notice::LicenseSwitched, None);
        self.latch();
    }

    fn latch(&mut self) {
        if self.machine.class() == Class::Production {
            self.outputs.push(Output::Latch);
        }
    }

    /// `t.renew`: the expiry moved later.
    fn renew(&mut self, old_end: Option<u64>) {
        let later = match (old_end, self.machine.context.end()) {
            (Some(old), Some(new)) => new > old,
            (Some(_), None) => true,
            (None, Some(_) | None) => false,
        };
        if later {
            self.fire(Slot::License, Trigger::TRenew, None);
            self.tell(Notice::LicenseRenewed, None);
        }
    }
}

fn refusal(error: ReceiptError) -> Refusal {
    let report = match error {
        ReceiptError::Superseded { by } => Some(by),
        ReceiptError::Form(_)
        | ReceiptError::Issuer
        | ReceiptError::Asset
        | ReceiptError::Replayed
        | ReceiptError::Report
        | ReceiptError::License
        | ReceiptError::Stale { .. }
        | ReceiptError::Claim { .. } => None,
    };
    Refusal { report, ..Refusal::new(error.code(), error.to_string()) }
}

impl super::Machine {
    /// What is wrong in a slot: in its state now, or by its last refused receipt or upload.
    #[must_use]
    pub fn fault(&self, slot: Slot) -> Option<&Fault> {
        let place = self.context.place(slot).and_then(|place| place.fault.as_ref());
        place.or(self.context.refused.get(slot))
    }
}
