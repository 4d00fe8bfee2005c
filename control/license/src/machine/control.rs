//! What operators, peers and the store itself tell the machine.
//!
//! Owns starting over (P6), the new form (P11), the clock by hand (K7), what peers remember (§7.5)
//! and whether storing works.
//!
//! Source: licensing.md §7.2, §7.5, §8, LIC-329, LIC-540.

use spk_jose::name::sha256;

use super::turn::Turn;
use crate::codes::Code;
use crate::context::Context;
use crate::event::PeerStatement;
use crate::state::Slot;
use crate::step::{Answer, Notice, Output, Refusal};

impl Turn<'_> {
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
        self.tell(Notice::LicenseUpgradeConfirmed, None);
        Ok(Answer::Done)
    }

    /// K7: the wall clock is right.
    pub(super) fn accept_clock(&mut self) -> Result<Answer, Refusal> {
        let now = self.now;
        let before = self.clock().state();
        self.clock().accept(now);
        let after = self.clock().state();
        self.tell_clock(before, after);
        self.tell(Notice::LicenseClockAccepted, None);
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

/// Seconds by which peers may know more than was stored, without a restore: the mark is stored
/// every 60 s (K2).
const UNSTORED: u64 = 120;
