//! Joins the machine with its world: facts and reports in, snapshots, statuses and events out.
//!
//! Owns the loop and one link per TMM. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use spk_plan::Plan;
use tmm_rpc::TlsFiles;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::core::{Core, CoreSettings, Input, Output, Remembered};
use super::link::{self, LinkContext};
use super::ports::{
    Actuator, EventKind, EventObject, EventRecord, Events, Facts, Licence, Now, Statuses, Target,
    Vault,
};
use super::view::View;

/// The world of one Controller.
pub struct World<F, S, A> {
    /// Gives facts.
    pub facts: F,
    /// Takes statuses.
    pub statuses: S,
    /// Starts and stops TMMs.
    pub actuator: A,
    /// Takes events.
    pub events: Arc<Mutex<dyn Events>>,
    /// Keeps what must survive.
    pub vault: Arc<dyn Vault>,
    /// Opens gates.
    pub licence: Arc<dyn Licence>,
    /// Certificates of the Controller.
    pub tls: TlsFiles,
}

impl<F, S, A> std::fmt::Debug for World<F, S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// Runs until `stop`; gives the actuator back, whose TMMs go on.
pub async fn run<F: Facts + 'static, S: Statuses, A: Actuator>(
    settings: CoreSettings,
    world: World<F, S, A>,
    views: watch::Sender<Arc<View>>,
    stop: impl Future<Output = ()>,
) -> A {
    let World { mut facts, statuses, actuator, events, vault, licence, tls } = world;
    let namespace = settings.tmm_namespace.clone();
    let (plans, plan) = watch::channel(None);
    let (tell, mut told) = mpsc::channel(256);
    let context =
        LinkContext { namespace, tls, plans: plan, licence: Arc::clone(&licence), news: tell };
    let mut links = Links { context, tasks: BTreeMap::new() };
    let mut hands = Hands { statuses, events, vault, plans, unkept: None };
    let mut core = start(settings, &hands);
    let (give, mut given) = mpsc::channel(1);
    let reader = tokio::spawn(async move { while give.send(facts.next().await).await.is_ok() {} });
    let mut replicas = actuator.replicas();
    let targets = replicas.borrow_and_update().clone();
    links.follow(&targets);
    core.handle_input(Input::Replicas(targets), now());
    let mut stop = std::pin::pin!(stop);
    loop {
        let timer = core.poll_timeout();
        tokio::select! {
            () = &mut stop => break,
            Some(set) = given.recv() => core.handle_input(Input::Facts(set), now()),
            Some((replica, news)) = told.recv() => {
                core.handle_input(Input::News { replica, news }, now());
            }
            Ok(()) = replicas.changed() => {
                let targets = replicas.borrow_and_update().clone();
                links.follow(&targets);
                core.handle_input(Input::Replicas(targets), now());
            }
            () = at(timer) => core.handle_timeout(now()),
            () = at(hands.next_try()) => hands.keep().await,
        }
        let mut acted = false;
        while let Some(output) = core.poll_output() {
            hands.act(output).await;
            acted = true;
        }
        if acted || core.poll_timeout().is_none() {
            views.send_replace(Arc::new(View::of(&core, licence.note(), Instant::now())));
        }
    }
    reader.abort();
    actuator
}

fn start<S: Statuses>(settings: CoreSettings, hands: &Hands<S>) -> Core {
    let record = hands.vault.load(MEMORY).unwrap_or_else(|error| {
        tracing::error!(%error, "the last accepted configuration is lost");
        None
    });
    let before = record.as_deref().map(Remembered::read);
    let before = before.transpose().unwrap_or_else(|error| {
        tracing::error!(%error, "the last accepted configuration is lost");
        None
    });
    Core::new(settings, before.unwrap_or_default())
}

/// Does what the machine says.
struct Hands<S> {
    statuses: S,
    events: Arc<Mutex<dyn Events>>,
    vault: Arc<dyn Vault>,
    plans: watch::Sender<Option<Arc<Plan>>>,
    /// What could not be stored yet.
    unkept: Option<Unkept>,
}

/// A record that waits for its vault.
struct Unkept {
    record: Vec<u8>,
    next_try: Instant,
    /// Whether the failure was told.
    is_told: bool,
}

impl<S: Statuses> Hands<S> {
    async fn act(&mut self, output: Output) {
        match output {
            Output::Keep(record) => {
                let is_told = self.unkept.take().is_some_and(|unkept| unkept.is_told);
                self.unkept = Some(Unkept { record, next_try: Instant::now(), is_told });
                self.keep().await;
            }
            Output::Push(plan) => {
                tracing::info!("configuration {} goes to all TMMs", plan.generation());
                self.plans.send_replace(Some(plan));
            }
            Output::Status(id, status) => self.statuses.put(&id, status.as_deref()),
            Output::Pods(pods) => self.statuses.put_pods(&pods),
            Output::Event(event) => self.record(event),
        }
    }

    /// When the record that could not be stored is tried again.
    fn next_try(&self) -> Option<Instant> {
        self.unkept.as_ref().map(|unkept| unkept.next_try)
    }

    /// Stores what is not stored yet; the first failure is told, and each is tried again.
    async fn keep(&mut self) {
        let Some(unkept) = self.unkept.take() else { return };
        let vault = Arc::clone(&self.vault);
        let Unkept { record, is_told, .. } = unkept;
        // It waits for a disk.
        let stored = tokio::task::spawn_blocking(move || {
            let stored = vault.store(MEMORY, &record);
            (stored, record)
        });
        // Only a panic of the vault, or the end of spk-node, takes the record away.
        let Ok((stored, record)) = stored.await else { return };
        let Err(error) = stored else { return };
        if !is_told {
            self.record(EventRecord {
                reason: "StoreFailed",
                kind: EventKind::Warning,
                object: EventObject::new("Controller", "", "controller"),
                text: format!("{error}; a restart would go back to an older state"),
            });
        }
        let next_try = Instant::now() + KEEP_AGAIN;
        self.unkept = Some(Unkept { record, next_try, is_told: true });
    }

    fn record(&self, event: EventRecord) {
        if let Ok(mut events) = self.events.lock() {
            events.record(event);
        }
    }
}

/// One conversation per TMM.
struct Links {
    context: LinkContext,
    tasks: BTreeMap<u16, (Target, JoinHandle<()>)>,
}

impl Links {
    fn follow(&mut self, targets: &[Target]) {
        self.tasks.retain(|_, (held, task)| {
            let wanted = targets.contains(held);
            if !wanted {
                task.abort();
            }
            wanted
        });
        for target in targets {
            self.tasks.entry(target.index).or_insert_with(|| {
                let talk = link::keep(target.clone(), self.context.clone());
                (target.clone(), tokio::spawn(talk))
            });
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

async fn at(timer: Option<Instant>) {
    match timer {
        Some(timer) => tokio::time::sleep_until(timer.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Now {
    Now { monotonic: Instant::now(), wall: Timestamp::now() }
}

/// Between two tries to store a record.
const KEEP_AGAIN: Duration = Duration::from_secs(1);
/// Name of the vault record of the last accepted configuration.
const MEMORY: &str = "accepted.json";

#[cfg(test)]
mod tests;
