//! The loop's dealings with the store: start, keeping, failing (P1 to P9).

use std::time::Duration;

use spk_license::machine::Surroundings;
use spk_license::{Boot, Event, Machine, Stored, Storing};
use spk_store::{Store, StoreError};

use super::Shell;
use crate::front::now;
use crate::projections::{DIGITAL_ASSET_ID, projections};
use crate::random::SystemEntropy;
use crate::usage::UsageSource;

impl<S: Store + Clone, U: UsageSource> Shell<S, U> {
    /// Reads what is stored, and starts the machine from it. Does so again as long as that cannot be
    /// stored, and when another copy comes in the place of a state that cannot be used (P6).
    pub(super) async fn boot(&mut self) {
        let now = now().boot;
        let usable = self.booted && self.machine.stopped().is_none();
        if usable || now < self.boot_at {
            return;
        }
        self.boot_at = now + BOOT_AGAIN;
        let found = (self.keeper.context().await, self.keeper.text(DIGITAL_ASSET_ID).await);
        if self.booted && self.found.as_ref() == Some(&found) {
            return;
        }
        self.found = Some(found.clone());
        let boot = Boot {
            context: found.0,
            digital_asset_id: found.1,
            objects: self.config.objects.clone(),
        };
        self.booted = self.feed(Event::Boot(Box::new(boot))).await.is_ok();
        if self.booted {
            // What was read is in the machine; only of an unusable state the text is compared.
            if self.machine.stopped().is_none() {
                self.found = None;
            }
            self.ensure_asset().await;
            self.open_desk().await;
        }
    }

    /// Stores `next`; says whether it is stored.
    pub(super) async fn keep(&mut self, next: &Machine) -> bool {
        let text = match next.record() {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the state cannot be stored");
                self.note_failed();
                return false;
            }
        };
        match self.keeper.keep(text).await {
            Ok(()) => {
                self.failing_since = None;
                self.deferred_until = Duration::ZERO;
                self.counters.set_failing(false);
                true
            }
            Err(error @ StoreError::Conflict { .. }) => {
                tracing::error!(%error, "another CWC writes this state; this one ends");
                self.lost = Some(error);
                false
            }
            Err(error) => {
                tracing::warn!(%error, code = error.code(), "the state cannot be stored");
                self.note_failed();
                false
            }
        }
    }

    /// Writes the projections that changed. What fails is tried with the next step; `context` holds
    /// it all (P2).
    pub(super) async fn project(&mut self) {
        // Nothing is written over a state that was not read, or cannot be used (P3, P6, P11).
        if self.machine.epoch().is_none() {
            self.projected = true;
            return;
        }
        let around = Surroundings {
            namespace: self.namespace.to_string(),
            upstream: self.config.shell.upstream_url.to_string(),
            ..Surroundings::default()
        };
        let facts = self.machine.facts(now(), around);
        let written = self.keeper.project(projections(&self.machine, &facts)).await;
        self.projected = written.is_ok();
        if let Err(error) = written {
            tracing::warn!(%error, "a projection of the state cannot be written");
        }
    }

    /// Makes the record of the digital asset id again if it is gone or altered: `context` says which
    /// asset this is.
    async fn ensure_asset(&mut self) {
        let (Some(id), None) = (self.machine.digital_asset_id(), self.machine.stopped()) else {
            return;
        };
        let id = id.to_string();
        if self.keeper.text(DIGITAL_ASSET_ID).await == Stored::Text(id.clone()) {
            return;
        }
        if let Err(error) = self.keeper.replace_once(DIGITAL_ASSET_ID, &id).await {
            tracing::error!(%error, "record {DIGITAL_ASSET_ID} does not hold our id");
        }
    }

    fn note_failed(&mut self) {
        let now = now();
        self.deferred_until = now.boot + DEFERRED;
        let since = *self.failing_since.get_or_insert(now.boot);
        self.counters.set_failing(now.boot.saturating_sub(since) >= VOUCHED_FOR);
    }

    /// Tells machine and desk whether storing works, if that is news to them.
    pub(super) async fn tell_storing(&mut self) {
        let works = self.failing_since.is_none();
        if works == self.told_works {
            return;
        }
        let step = self.machine.step(Event::StoreWorks(works), now(), &mut SystemEntropy);
        // That it fails cannot be stored; a verdict that returns with the store is stored first (P1).
        if works && step.storing != Storing::No && !self.keep(&step.next).await {
            return;
        }
        self.told_works = works;
        self.machine = step.next;
        self.perform(step.outputs).await;
        self.tell_desk_storing(works);
    }
}

/// How long until the stored state is read again.
const BOOT_AGAIN: Duration = Duration::from_secs(5);
/// How long timers wait after a store that failed.
const DEFERRED: Duration = Duration::from_secs(5);
/// After this the CWC is not ready (P9).
const VOUCHED_FOR: Duration = Duration::from_secs(180);
