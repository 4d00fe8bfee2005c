//! The loop's dealings with the store: start, keeping, failing (P1 to P9).

use std::time::Duration;

use spk_license::machine::Surroundings;
use spk_license::{Boot, Event, Machine, Stored};
use spk_store::{Store, StoreError};

use super::Shell;
use crate::front::now;
use crate::projections::{DIGITAL_ASSET_ID, projections};
use crate::random::SystemEntropy;
use crate::usage::UsageSource;

impl<S: Store + Clone, U: UsageSource> Shell<S, U> {
    /// Reads what is stored, and starts the machine from it.
    pub(super) async fn boot(&mut self) {
        let boot = Boot {
            context: self.keeper.context().await,
            digital_asset_id: self.keeper.text(DIGITAL_ASSET_ID).await,
            objects: self.config.objects.clone(),
        };
        drop(self.feed(Event::Boot(Box::new(boot))).await);
        self.ensure_asset().await;
        self.open_desk().await;
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
        // Nothing is written over a state that cannot be read (P6, P11).
        if self.machine.stopped().is_some() {
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
        self.told_works = works;
        // The machine answers this with events only; nothing of it is stored.
        let step = self.machine.step(Event::StoreWorks(works), now(), &mut SystemEntropy);
        self.machine = step.next;
        self.perform(step.outputs).await;
        self.tell_desk_storing(works);
    }
}

/// How long timers wait after a store that failed.
const DEFERRED: Duration = Duration::from_secs(5);
/// After this the CWC is not ready (P9).
const VOUCHED_FOR: Duration = Duration::from_secs(180);
