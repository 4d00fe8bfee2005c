//! What the loop that owns the machine and the REST API share.
//!
//! Owns the way in (requests, each with its answer) and the way out (what is shown, and news of
//! changes). Invariant: what is shown was stored before (P1); reading it never waits for the loop,
//! so `/status` answers while the store hangs (P9).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spk_entitlement::desk::ControllerView;
use spk_entitlement::messages::GateState;
use spk_license::codes::Code;
use spk_license::machine::Surroundings;
use spk_license::view::{ControllerFacts, Facts, TmmFacts};
use spk_license::{Answer, Event, Machine, Now, Refusal};
use spk_serving::clock;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::config::ShellSettings;
use crate::events::RecentEvents;

/// Both clocks, now.
#[must_use]
pub fn now() -> Now {
    Now { wall: clock::wall(), boot: clock::boot() }
}

/// What a request wants of the loop.
#[derive(Debug)]
pub enum Wish {
    /// The machine is to take this.
    Event(Event),
    /// Log levels of Controllers and TMMs, by component.
    LogLevels(BTreeMap<String, String>),
}

/// A wish and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    /// The wish.
    pub wish: Wish,
    /// The answer; nobody may be waiting for it any more.
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// What is shown, as of the last stored step.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The machine.
    pub machine: Machine,
    /// The registered Controllers.
    pub controllers: Vec<ControllerView>,
    /// Namespaces that need the signing key (LIC-017).
    pub untrusting: Vec<String>,
    /// When the two lists were made, by boot time.
    pub at: Duration,
    /// Namespace of the CWC.
    pub namespace: Arc<str>,
    /// `cpclConfig.upstreamUrl`.
    pub upstream: Arc<str>,
}

impl Shown {
    /// All that the views show, now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let now = now();
        let around = Surroundings {
            namespace: self.namespace.to_string(),
            upstream: self.upstream.to_string(),
            controllers: self.controllers(now, self.machine.trusted(now)),
            untrusting: self.untrusting.clone(),
        };
        self.machine.facts(now, around)
    }

    fn controllers(&self, now: Now, trusted: u64) -> Vec<ControllerFacts> {
        let passed = now.boot.saturating_sub(self.at).as_secs();
        let seen = |view: &ControllerView| {
            let ago = now.boot.saturating_sub(Duration::from_nanos(view.last_seen.0));
            trusted.saturating_sub(ago.as_secs())
        };
        let tmm = |tmm: &spk_entitlement::desk::TmmView| TmmFacts {
            name: tmm.name.clone(),
            gate: match tmm.gate {
                GateState::Closed => "closed",
                GateState::Open => "open",
                GateState::Latched => "latched",
            },
            reason: tmm.reason,
            lease_remaining: tmm.lease_remaining.map(|left| left.saturating_sub(passed)),
        };
        self.controllers
            .iter()
            .map(|view| ControllerFacts {
                namespace: view.namespace.clone(),
                instance: Some(view.instance.clone()).filter(|instance| !instance.is_empty()),
                last_seen: Some(seen(view)),
                tmms: view.tmms.iter().map(tmm).collect(),
            })
            .collect()
    }
}

/// One change, for who follows them.
#[derive(Clone, Debug)]
pub struct News {
    /// Name of the server-sent event: `state`, `event` or `controllers`.
    pub kind: &'static str,
    /// Its data: one line of JSON.
    pub data: Arc<str>,
}

/// The REST API's side.
#[derive(Clone, Debug)]
pub struct Front {
    /// To the loop.
    pub asks: mpsc::Sender<Ask>,
    /// From the loop.
    pub shown: watch::Receiver<Arc<Shown>>,
    /// The values in force.
    pub settings: watch::Receiver<Arc<ShellSettings>>,
    /// What changes, from now on.
    pub news: broadcast::Sender<News>,
    /// The last events.
    pub recent: RecentEvents,
}

impl Front {
    /// Has the loop do `wish`, after those that came before (LIC-324).
    ///
    /// # Errors
    ///
    /// The refusal.
    pub async fn ask(&self, wish: Wish) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ending = || Refusal::new(Code::StoreUnavailable, "The CWC is ending.");
        self.asks.send(Ask { wish, reply }).await.map_err(|_| ending())?;
        answer.await.map_err(|_| ending())?
    }

    /// What is shown now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let shown = Arc::clone(&self.shown.borrow());
        shown.facts()
    }
}
