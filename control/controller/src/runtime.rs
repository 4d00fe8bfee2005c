//! Joins the machine with its world: facts and reports in, snapshots, statuses and events out.
//!
//! Owns the loop and one link per TMM. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use spk_entitlement::client::{Hello, Output as ClientOutput};
use spk_entitlement::messages::TmmNonce;
use spk_plan::Plan;
use spk_serving::tls::Tls;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::core::{Core, CoreSettings, Input, LicenceNews, News, Output, Remembered};
use super::licence::{self, LAST, LATCH, LicenceWorld, Licensee};
use super::link::statements::{GateOrder, Statement};
use super::link::{self, LinkContext};
use super::meters::{ActuatorName, Meters, ScaleAction};
use super::ports::{
    Actuator, EventKind, EventObject, EventRecord, Events, Facts, Now, Statuses, Target, Vault,
    VaultError,
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
    /// What the licence client needs.
    pub licence: LicenceWorld,
    /// Certificates of the Controller.
    pub tls: Tls,
    /// Counts.
    pub meters: Meters,
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
    let World { mut facts, statuses, actuator, events, vault, licence, tls, meters } = world;
    let namespace = settings.tmm_namespace.clone();
    let (plans, plan) = watch::channel(None);
    let (orders, order) = watch::channel(GateOrder::Leave);
    let (tell, mut told) = mpsc::channel(256);
    let mut core = start(settings, vault.as_ref(), actuator.is_halted());
    let mut licensee = Licensee::start(licence, &namespace, vault.as_ref());
    let context = LinkContext { namespace, tls, plans: plan, gates: order, news: tell };
    let mut links = Links { context, tasks: BTreeMap::new() };
    let mut replicas = actuator.replicas();
    let mut hands =
        Hands { statuses, actuator, events, vault, plans, orders, meters, unkept: BTreeMap::new() };
    let (give, mut given) = mpsc::channel(1);
    let reader = tokio::spawn(async move { while give.send(facts.next().await).await.is_ok() {} });
    let targets = replicas.borrow_and_update().clone();
    links.follow(&targets);
    core.handle_input(Input::Replicas(targets), now());
    let mut stop = std::pin::pin!(stop);
    loop {
        let timer = core.poll_timeout();
        let mut delivery = None;
        tokio::select! {
            () = &mut stop => break,
            Some(set) = given.recv() => core.handle_input(Input::Facts(set), now()),
            Some((replica, news)) = told.recv() => {
                if let Some(target) = links.target(replica) {
                    licensee.note(&target.uid, &news);
                }
                if matches!(news, News::Closed(_)) {
                    hands.acted(ActuatorName::Gate, &core);
                }
                core.handle_input(Input::News { replica, news }, now());
            }
            Ok(()) = replicas.changed() => {
                let targets = replicas.borrow_and_update().clone();
                for gone in links.follow(&targets) {
                    licensee.gone(&gone.uid);
                }
                core.handle_input(Input::Replicas(targets), now());
            }
            occurrence = licensee.next() => delivery = licensee.take(occurrence),
            () = at(timer) => core.handle_timeout(now()),
            () = at(hands.next_try()) => hands.keep().await,
        }
        let acted = settle(&mut core, &mut licensee, &mut hands, &links).await;
        // What it caused is stored now.
        if let Some(delivery) = delivery {
            delivery.ack();
        }
        if acted || core.poll_timeout().is_none() {
            views.send_replace(Arc::new(View::of(&core, licensee.view(&core), Instant::now())));
        }
    }
    reader.abort();
    licensee.stop();
    settle(&mut core, &mut licensee, &mut hands, &links).await;
    licensee.close().await;
    hands.actuator
}

/// Does all that core and licence client say, each output of the client after what the one before
/// led to; whether there was anything.
async fn settle<S: Statuses, A: Actuator>(
    core: &mut Core,
    licensee: &mut Licensee,
    hands: &mut Hands<S, A>,
    links: &Links,
) -> bool {
    let mut acted = false;
    loop {
        while let Some(output) = core.poll_output() {
            hands.act(output, core).await;
            acted = true;
        }
        let Some(output) = licensee.poll_output() else { return acted };
        acted = true;
        let news = match output {
            ClientOutput::Ask { request, hello } => {
                licensee.ask(request, links.nonces(&hello, core));
                continue;
            }
            ClientOutput::Publish(message) => {
                licensee.publish(&message);
                continue;
            }
            ClientOutput::Lease { pod, jws } => {
                links.send(Some(&pod), || Statement::Open(jws.clone()));
                continue;
            }
            ClientOutput::Renew { jws } => {
                links.send(None, || Statement::Renew(jws.clone()));
                continue;
            }
            ClientOutput::Latch { pod, jws } => {
                links.send(pod.as_deref(), || Statement::Latch(jws.clone()));
                continue;
            }
            ClientOutput::StoreLatch { jws } => {
                hands.store(LATCH, jws.into_bytes()).await;
                continue;
            }
            ClientOutput::StoreLast { jws } => {
                hands.store(LAST, jws.into_bytes()).await;
                continue;
            }
            ClientOutput::LogLevels(levels) => {
                licensee.set_levels(levels);
                continue;
            }
            ClientOutput::Refused(refusal) => {
                hands.meters.refused(refusal.code());
                licensee.refused(refusal);
                continue;
            }
            ClientOutput::Judged(change) => {
                tracing::info!(
                    verdict = change.to.verdict.code(),
                    reason = change.to.reason.code(),
                    state = licensee.state(),
                    "the licence's verdict changed"
                );
                LicenceNews::Judged(change)
            }
            ClientOutput::StillWarned(judgement) => LicenceNews::StillWarned(judgement),
            ClientOutput::TrustAnchorMissing => LicenceNews::TrustAnchorMissing,
            ClientOutput::ContactLost => LicenceNews::ContactLost,
            ClientOutput::ContactRestored => LicenceNews::ContactRestored,
        };
        core.handle_input(Input::Licence(news), now());
        hands.statuses.put_licence(&licensee.view(core).status());
    }
}

fn start(settings: CoreSettings, vault: &dyn Vault, halted: bool) -> Core {
    let record = vault.load(MEMORY).unwrap_or_else(|error| {
        tracing::error!(%error, "the last accepted configuration is lost");
        None
    });
    let before = record.as_deref().map(Remembered::read);
    let before = before.transpose().unwrap_or_else(|error| {
        tracing::error!(%error, "the last accepted configuration is lost");
        None
    });
    Core::new(settings, before.unwrap_or_default(), halted)
}

/// Does what the machine says.
struct Hands<S, A> {
    statuses: S,
    actuator: A,
    events: Arc<Mutex<dyn Events>>,
    vault: Arc<dyn Vault>,
    plans: watch::Sender<Option<Arc<Plan>>>,
    orders: watch::Sender<GateOrder>,
    meters: Meters,
    /// What could not be stored yet, by name.
    unkept: BTreeMap<&'static str, Unkept>,
}

/// A record that waits for its vault.
struct Unkept {
    record: Vec<u8>,
    next_try: Instant,
    /// Whether the failure was told.
    is_told: bool,
}

impl<S: Statuses, A: Actuator> Hands<S, A> {
    async fn act(&mut self, output: Output, core: &Core) {
        match output {
            Output::Keep(record) => self.store(MEMORY, record).await,
            Output::Push(plan) => {
                tracing::info!("configuration {} goes to all TMMs", plan.generation());
                self.plans.send_replace(Some(plan));
            }
            Output::Withhold => {
                self.plans.send_replace(None);
                self.orders.send_replace(GateOrder::Leave);
            }
            Output::Close { reason } => {
                self.orders.send_modify(|order| {
                    let generation = match order {
                        GateOrder::Leave => 1,
                        GateOrder::Close { generation, .. } => generation.wrapping_add(1),
                    };
                    *order = GateOrder::Close { reason, generation };
                });
                self.plans.send_replace(None);
                self.acted(ActuatorName::Withhold, core);
            }
            Output::Serve => drop(self.orders.send_replace(GateOrder::Leave)),
            Output::Halt => {
                let stopped = self.actuator.halt().await;
                self.acted(ActuatorName::Scale, core);
                self.meters.scaled(ScaleAction::Zero);
                self.tell_unstored(stopped.err());
            }
            Output::Resume => {
                let started = self.actuator.resume().await;
                self.meters.scaled(ScaleAction::Restore);
                self.tell_unstored(started.err());
            }
            Output::Status(id, status) => self.statuses.put(&id, status.as_deref()),
            Output::Pods(pods) => self.statuses.put_pods(&pods),
            Output::Event(event) => self.record(event),
        }
    }

    /// Counts how long after the verdict an actuator did its part.
    fn acted(&self, actuator: ActuatorName, core: &Core) {
        let after = licence::now().since(core.judgement().since);
        self.meters.acted(actuator, Duration::from_nanos(after.0));
    }

    /// Stores a record, now or as soon as it can be.
    async fn store(&mut self, name: &'static str, record: Vec<u8>) {
        let is_told = self.unkept.remove(name).is_some_and(|unkept| unkept.is_told);
        self.unkept.insert(name, Unkept { record, next_try: Instant::now(), is_told });
        self.keep().await;
    }

    /// When a record that could not be stored is tried again.
    fn next_try(&self) -> Option<Instant> {
        self.unkept.values().map(|unkept| unkept.next_try).min()
    }

    /// Stores what is not stored yet; the first failure is told, and each is tried again.
    async fn keep(&mut self) {
        for (name, unkept) in std::mem::take(&mut self.unkept) {
            let vault = Arc::clone(&self.vault);
            let Unkept { record, is_told, .. } = unkept;
            // It waits for a disk.
            let stored = tokio::task::spawn_blocking(move || {
                let stored = vault.store(name, &record);
                (stored, record)
            });
            // Only a panic of the vault, or the end of spk-node, takes the record away.
            let Ok((stored, record)) = stored.await else { continue };
            let Err(error) = stored else { continue };
            if !is_told {
                self.tell_unstored(Some(error));
            }
            let next_try = Instant::now() + KEEP_AGAIN;
            self.unkept.insert(name, Unkept { record, next_try, is_told: true });
        }
    }

    fn tell_unstored(&self, error: Option<VaultError>) {
        if let Some(error) = error {
            self.record(EventRecord {
                reason: "StoreFailed",
                kind: EventKind::Warning,
                object: EventObject::new("Controller", "", "controller"),
                text: format!("{error}; a restart would go back to an older state"),
            });
        }
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
    tasks: BTreeMap<u16, Conversation>,
}

struct Conversation {
    target: Target,
    statements: mpsc::UnboundedSender<Statement>,
    task: JoinHandle<()>,
}

impl Links {
    /// Talks to `targets` from now on; those that are gone.
    fn follow(&mut self, targets: &[Target]) -> Vec<Target> {
        let mut gone = Vec::new();
        self.tasks.retain(|_, held| {
            let wanted = targets.contains(&held.target);
            if !wanted {
                held.task.abort();
                gone.push(held.target.clone());
            }
            wanted
        });
        for target in targets {
            self.tasks.entry(target.index).or_insert_with(|| {
                let (statements, taken) = mpsc::unbounded_channel();
                let talk = link::keep(target.clone(), self.context.clone(), taken);
                Conversation { target: target.clone(), statements, task: tokio::spawn(talk) }
            });
        }
        gone
    }

    fn target(&self, index: u16) -> Option<&Target> {
        self.tasks.get(&index).map(|held| &held.target)
    }

    /// Gives a statement to one TMM, or to every one.
    fn send(&self, pod: Option<&str>, statement: impl Fn() -> Statement) {
        let meant = |held: &&Conversation| pod.is_none_or(|pod| held.target.uid == pod);
        for held in self.tasks.values().filter(meant) {
            // A conversation that ended has no TMM.
            let _ = held.statements.send(statement());
        }
    }

    /// Asks the TMMs that answer for nonces.
    fn nonces(&self, hello: &Hello, core: &Core) -> Vec<oneshot::Receiver<TmmNonce>> {
        let answers = |index| core.replica(index).is_some_and(|facts| facts.boot_id().is_some());
        let meant = |held: &Conversation| match hello {
            Hello::All => true,
            Hello::One(pod) => held.target.uid == *pod,
            Hello::Nobody => false,
        };
        let asked = self.tasks.values().filter(|held| meant(held) && answers(held.target.index));
        let ask = |held: &Conversation| {
            let (answer, nonce) = oneshot::channel();
            // Unsent, the nonce never comes.
            let _ = held.statements.send(Statement::Hello(answer));
            nonce
        };
        asked.map(ask).collect()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for held in self.tasks.values() {
            held.task.abort();
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
