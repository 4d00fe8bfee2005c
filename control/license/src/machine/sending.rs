//! Sending reports upstream, in connected and mediated mode.
//!
//! Owns the slot's side: `up.sent`, `up.tmp`, `up.rej`, `retry`. When to try again is `upstream`'s;
//! the request itself is the shell's.
//!
//! Source: licensing.md §5.1, §3.4 (note d), §3.5, LIC-403, LIC-430.

use std::time::Duration;

use uuid::Uuid;

use super::turn::Turn;
use crate::receipt::ReceiptError;
use crate::state::{Slot, State};
use crate::step::{Answer, Effect, Output, Refusal, Upload};
use crate::trigger::Trigger;
use crate::upstream::{Failure, Plan};

use super::receipts::Finding;

impl Turn<'_> {
    /// Sends the report of `slot`: `up.sent` from 7, `retry` from 11 and 13.
    pub(super) fn send(&mut self, slot: Slot) {
        let at = self.trusted();
        let trace = self.entropy.uuid();
        let context = &mut self.machine.context;
        let jwt = context.grant_of(slot).map(|grant| grant.text.to_string());
        let asset = context.digital_asset_id;
        let state = context.state(slot);
        let report = context.reports.get_mut(slot);
        let (Some(report), Some(jwt), Some(asset)) = (report, jwt, asset) else { return };
        report.attempts.started(at);
        let (id, text) = (report.id, report.text.to_string());
        let trigger = match state {
            Some(State::ReadyToDownload | State::DownloadFailed) => Trigger::UpSent,
            Some(_) | None => Trigger::Retry,
        };
        self.fire(slot, trigger, None);
        self.store();
        self.machine.run.due.put(slot, None);
        self.machine.run.uploading.put(slot, Some(id));
        let upload = Upload { slot, report: id, text, jwt, digital_asset_id: asset, trace };
        self.outputs.push(Output::Upload(upload));
    }

    pub(super) fn stop_upload(&mut self, slot: Slot) {
        if let Some(report) = self.machine.run.uploading.get(slot).copied() {
            self.outputs.push(Output::StopUpload(report));
        }
        self.machine.run.uploading.put(slot, None);
        self.machine.run.due.put(slot, None);
    }

    /// An attempt ended.
    pub(super) fn upstream(
        &mut self,
        slot: Slot,
        report: Uuid,
        outcome: Result<String, Failure>,
    ) -> Result<Answer, Refusal> {
        let state = self.machine.context.state(slot);
        let ours = self.machine.context.reports.get(slot).map(|report| report.id) == Some(report);
        if !ours || !state.is_some_and(State::awaits_receipt) || !self.machine.settings.mode.sends()
        {
            // Of a report that was replaced meanwhile.
            self.count(Trigger::UpTmp, state, Effect::Ignored);
            return Ok(Answer::Done);
        }
        self.machine.run.uploading.put(slot, None);
        match outcome {
            Err(failure) => self.failed(slot, failure),
            Ok(manifest) => match self.signed(&manifest) {
                Err(_) => self.failed(slot, Failure::BAD_MANIFEST),
                Ok(signed) => match self.find(&signed) {
                    Finding::Good(slot, acceptance) => {
                        return Ok(self.accept(slot, &acceptance, signed.text()));
                    }
                    Finding::Bad(slot, error) => {
                        let refusal = Refusal::new(error.code(), error.to_string());
                        self.bad(slot, &refusal);
                        self.again_in(slot, crate::upstream::HOURLY);
                    }
                    // An old receipt again: the service may know better at the next attempt.
                    Finding::Same(error) => self.stale(slot, error),
                    Finding::NotNow => self.failed(slot, Failure::BAD_MANIFEST),
                },
            },
        }
        Ok(Answer::Done)
    }

    fn stale(&mut self, slot: Slot, error: ReceiptError) {
        self.fire(slot, Trigger::RcptSame, None);
        let failure = Failure { code: error.code(), temporary: true, retry_after: None };
        self.failed(slot, failure);
    }

    fn failed(&mut self, slot: Slot, failure: Failure) {
        let (at, jitter) = (self.trusted(), self.jitter());
        let grace = self.machine.settings.report_grace.as_secs();
        let Some(report) = self.machine.context.reports.get_mut(slot) else { return };
        let plan = report.attempts.failed(failure, at, grace, jitter);
        self.follow(slot, plan);
    }

    fn follow(&mut self, slot: Slot, plan: Plan) {
        if plan.refused {
            let mut fault = self.fault(plan.code, plan.code.text());
            fault.upstream = true;
            self.fire(slot, Trigger::UpRej, Some(fault));
        } else {
            self.machine.run.rejected = Some(self.fault(plan.code, plan.code.text()));
            self.tell(crate::step::Notice::LicenseWarning, Some(plan.code));
            self.fire(slot, Trigger::UpTmp, None);
        }
        self.again_in(slot, plan.delay);
    }

    fn again_in(&mut self, slot: Slot, delay: Duration) {
        self.machine.run.due.put(slot, Some(self.now.boot.saturating_add(delay)));
    }

    /// The grace of an unanswered report is over.
    pub(super) fn give_up_late(&mut self) {
        let at = self.trusted();
        let grace = self.machine.settings.report_grace.as_secs();
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            if self.machine.context.state(slot) != Some(State::VerificationInProgress) {
                continue;
            }
            let Some(report) = self.machine.context.reports.get_mut(slot) else { continue };
            if report.attempts.deadline(grace).is_some_and(|end| end <= at) {
                let plan = report.attempts.give_up();
                self.follow(slot, plan);
            }
        }
    }

    /// A change of the configuration: a report that was refused is sent again at once.
    pub(super) fn try_sending_again(&mut self) {
        if !self.machine.settings.mode.sends() {
            return;
        }
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            if self.machine.context.state(slot) == Some(State::VerificationFailed) {
                self.due_now(slot);
            }
        }
    }
}
