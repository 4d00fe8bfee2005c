//! What the Controller does next: a machine without I/O and clock.
//!
//! Owns when a plan is made (100 ms after a change, at most five a second), what it is made from,
//! when it is withheld, and what each object's status says of its delivery. Sends and writes nothing.
//!
//! Invariant: a plan's memory is output before the plan; no plan is output while the licence does
//! not allow it; every object of the newest plan has had its newest status output once no timer is
//! due. Sources: operations.md §1.4 (OPS-130 to OPS-138), crds.md §4, licensing.md §12.3, §12.4.

mod licence;
mod reports;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::Value;
use spk_api::status::Status;
use spk_api::{Kind, ObjectId};
use spk_entitlement::reason::Reason;
use spk_plan::{Delivery, Event, EventType, Inputs, Memory, Plan, Replica};

use super::ports::{
    EventKind, EventObject, EventRecord, FactSet, LICENSE_GATE, Now, PodStatus, READY,
    REPLICA_INDEX, Target,
};
pub use licence::LicenceNews;
pub use reports::{News, ReplicaFacts};

use licence::Standing;

/// What never changes while a Controller runs.
#[derive(Clone, Debug)]
pub struct CoreSettings {
    /// Namespace of controller and TMM.
    pub tmm_namespace: String,
    /// App namespaces.
    pub watched: BTreeSet<String>,
    /// UID of the cluster.
    pub cluster_uid: String,
    /// Name of the Controller's Deployment, `<release>-f5ingress`.
    pub deployment: String,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// New facts, whole.
    Facts(FactSet),
    /// The replicas that should run.
    Replicas(Vec<Target>),
    /// Something about one replica.
    News {
        /// Its index.
        replica: u16,
        /// What.
        news: News,
    },
    /// Something about the licence.
    Licence(LicenceNews),
}

/// One thing to do.
#[derive(Debug)]
pub enum Output {
    /// Store this before what follows.
    Keep(Vec<u8>),
    /// Deliver this plan to every replica.
    Push(Arc<Plan>),
    /// Deliver none until the next [`Output::Push`], and leave the gates alone.
    Withhold,
    /// Deliver none until the next [`Output::Push`], and close every gate, now and when a replica
    /// connects.
    Close {
        /// Why.
        reason: Reason,
    },
    /// Close no gate any more; leases may be delivered after the next [`Output::Push`].
    Serve,
    /// Stop all replicas.
    Halt,
    /// Start the replicas of before the stop.
    Resume,
    /// Write an object's status; none if the object is gone.
    Status(ObjectId, Option<Box<Status>>),
    /// Write what is known of the TMM pods.
    Pods(Vec<PodStatus>),
    /// Show an event.
    Event(EventRecord),
}

/// The machine.
#[derive(Debug)]
pub struct Core {
    settings: CoreSettings,
    facts: Option<FactSet>,
    targets: Vec<Target>,
    replicas: BTreeMap<u16, ReplicaFacts>,
    plan: Arc<Plan>,
    /// Objects of before the restart that no plan has met yet.
    known: BTreeSet<ObjectId>,
    standing: Standing,
    statuses: BTreeMap<ObjectId, Status>,
    pods: Vec<PodStatus>,
    plan_due: Option<Instant>,
    planned: Option<Instant>,
    status_due: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Core {
    /// A machine that goes on from `before`, and delivers nothing before a judgement allows it. `halted`
    /// says that a stop by the licence of before the restart still stands.
    #[must_use]
    pub fn new(settings: CoreSettings, before: Remembered, halted: bool) -> Self {
        let mut plan = Plan::default();
        plan.memory = before.memory;
        Self {
            settings,
            facts: None,
            targets: Vec::new(),
            replicas: BTreeMap::new(),
            plan: Arc::new(plan),
            known: before.known,
            standing: Standing::new(halted),
            statuses: BTreeMap::new(),
            pods: Vec::new(),
            plan_due: None,
            planned: None,
            status_due: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one thing that happened.
    pub fn handle_input(&mut self, input: Input, now: Now) {
        match input {
            Input::Facts(facts) => {
                self.facts = Some(facts);
                self.want_plan(now);
            }
            Input::Replicas(targets) => {
                self.replicas.retain(|index, _| targets.iter().any(|t| t.index == *index));
                for target in &targets {
                    self.replicas.entry(target.index).or_default();
                }
                self.targets = targets;
                self.want_plan(now);
            }
            Input::News { replica, news } => {
                let Some(facts) = self.replicas.get_mut(&replica) else { return };
                let served = facts.serves();
                let changes = facts.take(news, now.monotonic);
                let turned = served != facts.serves();
                for change in changes {
                    let pod = self.targets.iter().find(|target| target.index == replica);
                    let namespace = &self.settings.tmm_namespace;
                    let event = change.event(&self.plan, namespace, pod);
                    self.outputs.extend(event.map(Output::Event));
                }
                self.status_due.get_or_insert(now.monotonic + STATUS_PAUSE);
                if turned {
                    self.want_plan(now);
                }
            }
            Input::Licence(news) => self.take_licence(news, now),
        }
    }

    /// Runs what is due at `now`; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.plan_due.is_some_and(|due| due <= now.monotonic) {
            self.plan_due = None;
            self.make_plan(now);
        }
        if self.status_due.is_some_and(|due| due <= now.monotonic) {
            self.status_due = None;
            self.make_statuses(now.wall);
        }
    }

    /// When [`Core::handle_timeout`] is next due. Ask again after any `handle_*`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.plan_due, self.status_due].into_iter().flatten().min()
    }

    /// The next thing to do. Call until `None` after any `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The newest plan.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The newest status of each object.
    #[must_use]
    pub const fn statuses(&self) -> &BTreeMap<ObjectId, Status> {
        &self.statuses
    }

    /// What is known of each TMM pod.
    #[must_use]
    pub fn pods(&self) -> &[PodStatus] {
        &self.pods
    }

    /// The replicas that should run.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// What is known of replica `index`.
    #[must_use]
    pub fn replica(&self, index: u16) -> Option<&ReplicaFacts> {
        self.replicas.get(&index)
    }

    fn want_plan(&mut self, now: Now) {
        let soonest = now.monotonic + DEBOUNCE;
        let spaced = self.planned.map_or(soonest, |planned| planned + PLAN_SPACING);
        self.plan_due.get_or_insert(soonest.max(spaced));
    }

    fn make_plan(&mut self, now: Now) {
        // Without facts there is nothing to say, and an empty plan would end all flows.
        let Some(facts) = &self.facts else { return };
        self.planned = Some(now.monotonic);
        let inputs = Inputs {
            objects: facts.manifests.clone(),
            services: facts.services.clone(),
            slices: facts.slices.clone(),
            pods: facts.pods.clone(),
            tmm_namespace: self.settings.tmm_namespace.clone(),
            watched: self.settings.watched.clone(),
            replicas: self
                .targets
                .iter()
                .map(|target| Replica {
                    index: target.index,
                    pod: target.pod.clone(),
                    ready: self.replicas.get(&target.index).is_some_and(ReplicaFacts::serves),
                })
                .collect(),
            cluster_uid: self.settings.cluster_uid.clone(),
            default_mtu: 0,
            memory: self.plan.memory.clone(),
        };
        let next = spk_plan::plan(&inputs);
        if next.memory != self.plan.memory {
            let record = serde_json::to_vec(&next.memory.store()).unwrap_or_default();
            self.outputs.push_back(Output::Keep(record));
        }
        for event in Event::between(&self.plan, &next) {
            let met = event.reason == "Added" && self.known.remove(&event.object);
            if !met {
                self.outputs.push_back(Output::Event(record_of(event)));
            }
        }
        for object in std::mem::take(&mut self.known) {
            let message = format!("{object} was deleted");
            let event = Event { object, kind: EventType::Normal, reason: "Deleted", message };
            self.outputs.push_back(Output::Event(record_of(event)));
        }
        let changed = next.generation() != self.plan.generation();
        self.plan = Arc::new(next);
        if changed && !self.is_withheld() {
            self.outputs.push_back(Output::Push(Arc::clone(&self.plan)));
        }
        self.status_due = Some(now.monotonic);
    }

    fn make_statuses(&mut self, now: Timestamp) {
        let delivery = self.delivery();
        let gone: Vec<ObjectId> = self
            .statuses
            .keys()
            .filter(|id| !self.plan.objects.contains_key(id))
            .cloned()
            .collect();
        for id in gone {
            self.statuses.remove(&id);
            self.outputs.push_back(Output::Status(id, None));
        }
        for id in self.plan.objects.keys() {
            let before = self.statuses.get(id);
            let Some(status) = spk_plan::status(&self.plan, id, &delivery, before, now) else {
                continue;
            };
            if before != Some(&status) {
                let output = Output::Status(id.clone(), Some(Box::new(status.clone())));
                self.outputs.push_back(output);
                self.statuses.insert(id.clone(), status);
            }
        }
        let pods: Vec<PodStatus> =
            self.targets.iter().map(|target| self.pod_status(target, now)).collect();
        if pods != self.pods {
            self.outputs.push_back(Output::Pods(pods.clone()));
            self.pods = pods;
        }
    }

    fn delivery(&self) -> Delivery {
        let of = |target: &Target| {
            let facts = self.replicas.get(&target.index);
            facts.map_or_else(Default::default, |facts| facts.delivery(target, &self.plan))
        };
        let licence = self.standing.verdict();
        Delivery { licence, replicas: self.targets.iter().map(of).collect() }
    }

    fn pod_status(&self, target: &Target, now: Timestamp) -> PodStatus {
        let name = &target.pod;
        let (reason, message) = self.not_ready(target).unwrap_or(("", String::new()));
        let status = if reason.is_empty() { "True" } else { "False" };
        let gate = self.replicas.get(&target.index).and_then(ReplicaFacts::gate_condition);
        let (gate_status, gate_reason) = gate.unwrap_or(("Unknown", String::from("unknown")));
        let gate_reason = match gate_status {
            "True" => self.judgement().reason.code().to_owned(),
            _ => gate_reason,
        };
        let conditions = [
            (READY, status, reason.to_owned(), message),
            (LICENSE_GATE, gate_status, gate_reason, String::new()),
        ];
        let held = self.pods.iter().find(|pod| pod.name == *name);
        let conditions = conditions.map(|(kind, status, reason, message)| {
            let before = held
                .and_then(|pod| pod.condition(kind))
                .filter(|condition| condition.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason,
                message,
                observed_generation: None,
                last_transition_time: before
                    .map_or(Time(now), |condition| condition.last_transition_time.clone()),
            }
        });
        PodStatus {
            name: name.clone(),
            namespace: self.settings.tmm_namespace.clone(),
            uid: target.uid.clone(),
            annotations: BTreeMap::from([(REPLICA_INDEX.to_owned(), target.index.to_string())]),
            conditions: conditions.to_vec(),
        }
    }

    /// Why a replica is not ready: reason and message.
    fn not_ready(&self, target: &Target) -> Option<(&'static str, String)> {
        let facts = self.replicas.get(&target.index)?;
        if let Some(cause) = facts.failure() {
            return Some(("DeliveryFailed", cause.to_owned()));
        }
        if facts.acknowledged() != Some(self.plan.generation()) {
            let message = format!("waits for configuration {}", self.plan.generation());
            return Some(("Pending", message));
        }
        let missing = self.plan.missing_addresses(target.index);
        let (id, path) = missing.first()?;
        Some((
            "SelfIpExhausted",
            format!("no entry for replica {} in {path} of {id}", target.index),
        ))
    }
}

/// What is known of the time before a restart.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    memory: Memory,
    /// Objects that were in force: they are not news.
    known: BTreeSet<ObjectId>,
}

impl Remembered {
    /// Reads a record of [`Output::Keep`].
    ///
    /// # Errors
    ///
    /// The JSON error of a broken one.
    pub fn read(record: &[u8]) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_slice(record)?;
        let objects = value.get("objects").and_then(Value::as_array).into_iter().flatten();
        let known = objects.filter_map(id_of).collect();
        Ok(Self { memory: Memory::restore(value)?, known })
    }
}

fn id_of(object: &Value) -> Option<ObjectId> {
    let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let metadata = object.get("metadata")?;
    Some(ObjectId {
        kind: Kind::from_name(&text(object, "kind")?)?,
        namespace: text(metadata, "namespace")?,
        name: text(metadata, "name")?,
    })
}

fn record_of(event: Event) -> EventRecord {
    EventRecord {
        reason: event.reason,
        kind: match event.kind {
            EventType::Normal => EventKind::Normal,
            EventType::Warning => EventKind::Warning,
        },
        object: EventObject::new(
            event.object.kind.name(),
            &event.object.namespace,
            &event.object.name,
        ),
        text: event.message,
    }
}

/// From a change to the plan.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Between two plans: at most five in any second (OPS-138).
const PLAN_SPACING: Duration = Duration::from_millis(250);
/// Reports that come together make one status.
const STATUS_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
