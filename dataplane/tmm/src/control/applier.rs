//! Owns the configuration: compiles snapshots and facts, publishes, waits for the threads, reports.
//!
//! Decides nothing about a snapshot; `tmm-config` does. Invariant: a refused snapshot changes
//! nothing (OPS-134), and a configuration is freed here only, once no thread holds it.
//! Sources: operations.md §1.4; crds.md §4.1; architecture.md §3.1 (Configuration).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tmm_config::config::MemberState;
use tmm_config::{ApplyReport, Config, Facts, Health, ObjectProblem, PortFacts, Spec};
use tmm_engine::Event;
use tmm_engine::out::{MemberEvent, MemberReason};
use tmm_rpc::member_state_name;
use tmm_rpc::proto::{InterfaceReport, MemberReport, Report};
use tmm_wire::{MacAddr, PortId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::log;
use crate::shared::Shared;

/// A message to the applier.
#[derive(Debug)]
pub enum Message {
    /// A controller's snapshot.
    Apply(Box<Spec>, oneshot::Sender<Applied>),
    /// What packet threads told.
    Events(Vec<Event>),
    /// What links are like now.
    Links(Vec<(PortId, PortFacts)>),
}

/// What became of a snapshot.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The report.
    pub report: ApplyReport,
    /// Generation of the snapshot in force; 0 if there is none.
    pub running: u64,
    /// Whether every packet thread took it in time.
    pub taken: bool,
}

/// The task.
#[derive(Debug)]
pub struct Applier {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
    reports: watch::Sender<Report>,
    spec: Option<Arc<Spec>>,
    /// The snapshot in force, for those who keep it.
    specs: watch::Sender<Option<Arc<Spec>>>,
    facts: Facts,
    macs: HashMap<PortId, MacAddr>,
    current: Arc<Config>,
    /// Configurations that threads may still hold, oldest first.
    retired: Vec<Arc<Config>>,
    problems: Vec<ObjectProblem>,
    members: HashMap<(String, IpAddr, u16), Member>,
    link_since: HashMap<PortId, u64>,
}

/// What is told of a member besides the configuration.
#[derive(Clone, Copy, Debug)]
struct Member {
    state: MemberState,
    since: u64,
    reason: Option<MemberReason>,
}

impl Applier {
    /// An applier without a snapshot, for ports with these addresses.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        macs: HashMap<PortId, MacAddr>,
    ) -> (Self, mpsc::Sender<Message>, watch::Receiver<Report>) {
        let (send, messages) = mpsc::channel(256);
        let (reports, follow) = watch::channel(Report::default());
        let current = shared.config.load_full();
        let applier = Self {
            shared,
            messages,
            reports,
            spec: None,
            specs: watch::channel(None).0,
            facts: Facts::default(),
            macs,
            current,
            retired: Vec::new(),
            problems: Vec::new(),
            members: HashMap::new(),
            link_since: HashMap::new(),
        };
        (applier, send, follow)
    }

    /// The snapshot in force, to follow; none before the first.
    #[must_use]
    pub fn follow_spec(&self) -> watch::Receiver<Option<Arc<Spec>>> {
        self.specs.subscribe()
    }

    /// Serves until every sender is gone.
    pub async fn run(mut self) {
        let mut due: Option<Instant> = None;
        let mut earliest = Instant::now();
        loop {
            let message = tokio::select! {
                message = self.messages.recv() => message,
                () = at(due) => {
                    due = None;
                    self.recompile().await;
                    earliest = Instant::now() + SPACING;
                    self.free();
                    continue;
                }
            };
            let is_news = match message {
                Some(Message::Apply(spec, answer)) => {
                    let applied = self.apply(spec).await;
                    // A controller that went away needs no answer.
                    let _ = answer.send(applied);
                    false
                }
                Some(Message::Events(events)) => {
                    events.into_iter().fold(false, |any, event| self.note(event) | any)
                }
                Some(Message::Links(links)) => {
                    links.into_iter().fold(false, |any, link| self.note_link(link) | any)
                }
                None => return,
            };
            if is_news && due.is_none() {
                due = Some(earliest.max(Instant::now()));
            }
            self.free();
        }
    }

    async fn apply(&mut self, spec: Box<Spec>) -> Applied {
        let generation = spec.generation;
        let compiled = self.compile(&spec);
        let report = match compiled {
            Ok((config, problems)) => {
                log::applied(generation, problems.len());
                let spec = Arc::from(spec);
                self.specs.send_replace(Some(Arc::clone(&spec)));
                self.spec = Some(spec);
                self.problems.clone_from(&problems);
                self.facts.retain_members_of(&config);
                self.publish(config);
                ApplyReport::accepted(generation, problems)
            }
            Err(report) => {
                let first =
                    report.errors.first().map(|error| format!("{}: {}", error.path, error.text));
                log::refused(generation, report.errors.len(), &first.unwrap_or_default());
                report
            }
        };
        let taken = self.wait_for_threads().await;
        let running = self.spec.as_ref().map_or(0, |spec| spec.generation);
        Applied { report, running, taken }
    }

    /// Compiles the snapshot in force again, as a fact changed.
    async fn recompile(&mut self) {
        let Some(spec) = self.spec.take() else {
            self.report();
            return;
        };
        // A snapshot that was accepted stays acceptable: facts refuse nothing.
        if let Ok((config, problems)) = self.compile(&spec) {
            self.problems = problems;
            self.publish(config);
            self.wait_for_threads().await;
        }
        self.spec = Some(spec);
    }

    /// Not on an asynchronous worker's time: a table of Maglev takes milliseconds.
    fn compile(&self, spec: &Spec) -> Result<(Arc<Config>, Vec<ObjectProblem>), ApplyReport> {
        tokio::task::block_in_place(|| {
            Config::compile(Some(&self.current), spec, &self.facts)
                .map(|compiled| (Arc::new(compiled.config), compiled.problems))
                .map_err(|errors| ApplyReport::refused(spec.generation, &errors))
        })
    }

    fn publish(&mut self, config: Arc<Config>) {
        let former = std::mem::replace(&mut self.current, Arc::clone(&config));
        self.retired.push(former);
        self.shared.config.store(config);
        self.report();
    }

    /// Waits until every thread took the configuration in force, for [`PATIENCE`] at most.
    async fn wait_for_threads(&self) -> bool {
        let end = Instant::now() + PATIENCE;
        while self.shared.taken_by_all() < self.current.generation() {
            if Instant::now() > end {
                return false;
            }
            sleep(Duration::from_micros(200)).await;
        }
        true
    }

    /// Frees what no thread holds any more.
    fn free(&mut self) {
        if self.shared.taken_by_all() >= self.current.generation() {
            self.retired.clear();
        }
    }

    /// Whether the event is news for the configuration.
    fn note(&mut self, event: Event) -> bool {
        let MemberEvent { pool, address, port, state, reason } = match event {
            Event::Member(member) => member,
            Event::Gateway { vlan, address, alive } => {
                let state = if alive { "answers" } else { "does not answer" };
                let name = self.current.vlan(vlan).map_or("", |vlan| vlan.name.as_str());
                log::library("engine", &format!("gateway {address} on {name} {state}"));
                return false;
            }
        };
        // One that left meanwhile is checked anew if it comes back.
        if self.current.member_slot(&pool, address, port).is_none() {
            return false;
        }
        let is_up = state == MemberState::Up;
        let health = if is_up { Health::Up } else { Health::Down };
        if self.facts.health(&pool, address, port) == Some(health) {
            return false;
        }
        log::member_changed(&pool, address, port, is_up, reason.code());
        self.facts.set_health(&pool, address, port, health);
        let key = (pool, address, port);
        let entry = Member { state, since: clock::wall_millis(), reason: Some(reason) };
        self.members.insert(key, entry);
        true
    }

    fn note_link(&mut self, (port, facts): (PortId, PortFacts)) -> bool {
        let former = self.facts.ports.insert(port, facts);
        if former == Some(facts) {
            return false;
        }
        if former.map(|former| former.link_up) != Some(facts.link_up) {
            log::interface(&port.to_string(), facts.link_up);
            self.link_since.insert(port, clock::wall_millis());
        }
        true
    }

    /// Tells followers what is now.
    fn report(&mut self) {
        let now = clock::wall_millis();
        let mut kept = HashMap::new();
        let mut members = Vec::new();
        for pool in self.current.pools() {
            for member in &pool.members {
                let key = (pool.name.clone(), member.address, member.port);
                let known = self.members.get(&key).copied();
                let entry = match known {
                    Some(known) if known.state == member.state => known,
                    _ => Member {
                        state: member.state,
                        since: now,
                        reason: known.and_then(|known| known.reason),
                    },
                };
                let is_down = entry.state == MemberState::Down;
                members.push(MemberReport {
                    pool: pool.name.clone(),
                    address: member.address.to_string(),
                    port: u32::from(member.port),
                    state: member_state_name(member.state).to_owned(),
                    reason: entry
                        .reason
                        .filter(|_| is_down)
                        .map_or_else(String::new, |reason| reason.code().to_owned()),
                    since: entry.since,
                });
                kept.insert(key, entry);
            }
        }
        self.members = kept;
        let interfaces = self.facts.ports.iter().map(|(port, facts)| InterfaceReport {
            name: port.to_string(),
            up: facts.link_up,
            mac: self.macs.get(port).map_or_else(String::new, ToString::to_string),
            since: self.link_since.get(port).copied().unwrap_or(0),
        });
        self.reports.send_replace(Report {
            generation: self.current.spec_generation(),
            members,
            interfaces: interfaces.collect(),
            problems: self.problems.iter().map(Into::into).collect(),
        });
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Facts that come within this time after a compilation make one more together.
const SPACING: Duration = Duration::from_millis(100);
/// How long packet threads may take to take a configuration.
const PATIENCE: Duration = Duration::from_secs(5);
