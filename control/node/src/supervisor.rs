//! Starts, watches and restarts one TMM per replica.
//!
//! Owns processes and their log files, and no state of theirs: a TMM runs on when spk-node dies, and
//! the next spk-node adopts it by its pid file, or restarts it if only its lock tells of it. Whether it serves is seen by [`spk_controller`]
//! over its gRPC port.
//!
//! Invariant: at most one TMM per replica; a signal goes only to a process whose start time is the
//! one in the pid file. Sources: operations.md §1.6 (OPS-174, OPS-177), architecture.md §6.

mod backoff;
mod identity;
mod log_file;
mod process;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::backoff::Backoff;
use self::process::{Exit, Process};
use spk_controller::{Actuator, EventKind, EventObject, EventRecord, Events, Target};
use crate::layout::{self, Layout};
use crate::settings::{NodeSettings, ReplicaSettings};

pub use identity::{Identity, IdentityError, Recipe};
pub use process::SpawnError;

/// The TMMs of one machine.
#[derive(Debug)]
pub struct Supervisor {
    parts: Vec<Part>,
    targets: watch::Sender<Vec<Target>>,
}

#[derive(Debug)]
struct Part {
    wish: watch::Sender<Wish>,
    restart: mpsc::Sender<()>,
    state: watch::Receiver<PartState>,
    task: JoinHandle<()>,
}

/// What a TMM process does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PartState {
    /// Not started, or stopped on purpose.
    Stopped,
    /// Runs.
    Running {
        /// Process id.
        pid: u32,
        /// When it was started or adopted.
        since: SystemTime,
        /// Whether an earlier spk-node started it.
        adopted: bool,
        /// Restarts by this spk-node.
        restarts: u32,
    },
    /// Ended or could not be started; started again at the end of the pause.
    Waiting {
        /// What happened, in one sentence.
        cause: String,
        /// Length of the pause.
        pause: Duration,
        /// Restarts by this spk-node.
        restarts: u32,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wish {
    Run,
    Stop,
    /// spk-node ends, the TMM runs on.
    Leave,
}

/// Shared with the other parts of spk-node.
pub type SharedEvents = Arc<Mutex<dyn Events>>;

impl Supervisor {
    /// Adopts the TMMs that run with the settings of now, restarts those that run with others, and
    /// starts the rest.
    #[must_use]
    pub fn start(settings: &Arc<NodeSettings>, layout: &Layout, events: &SharedEvents) -> Self {
        let parts = settings
            .replicas
            .iter()
            .map(|replica| {
                let (wish, wished) = watch::channel(Wish::Run);
                let (report, state) = watch::channel(PartState::Stopped);
                let (restart, asked) = mpsc::channel(1);
                let events = Arc::clone(events);
                let keeper = Keeper::new(settings, layout, replica, events, report, asked);
                Part { wish, restart, state, task: tokio::spawn(keeper.run(wished)) }
            })
            .collect();
        let targets = settings
            .replicas
            .iter()
            .map(|replica| Target {
                index: replica.index,
                pod: layout::pod_name(replica.index),
                uid: layout::pod_uid(settings.uid, replica.index).to_string(),
                address: replica.listen(),
            })
            .collect();
        Self { parts, targets: watch::channel(targets).0 }
    }

    /// State of each replica's process, in the order of `node.yaml`.
    #[must_use]
    pub fn states(&self) -> Vec<watch::Receiver<PartState>> {
        self.parts.iter().map(|part| part.state.clone()).collect()
    }

    /// Restarts TMMs on demand.
    #[must_use]
    pub fn restarts(&self) -> Restarts {
        let parts = self.parts.iter();
        Restarts(parts.map(|part| (part.restart.clone(), part.state.clone())).collect())
    }

    /// Lets the TMMs run on without a supervisor.
    pub async fn leave(self) {
        for part in self.parts {
            end(part, Wish::Leave).await;
        }
    }
}

/// Restarts TMMs.
#[derive(Clone, Debug)]
pub struct Restarts(Vec<(mpsc::Sender<()>, watch::Receiver<PartState>)>);

impl Restarts {
    /// Restarts the TMM at `place` of `node.yaml` and waits until another process runs. One that does
    /// not run is left alone: it takes what is there when it starts.
    pub async fn restart(&self, place: usize) {
        let Some((restart, state)) = self.0.get(place) else { return };
        let before = state.borrow().pid();
        if before.is_none() || restart.send(()).await.is_err() {
            return;
        }
        let mut state = state.clone();
        let renewed = |state: &PartState| state.pid().is_some_and(|pid| Some(pid) != before);
        // An error is the end of supervision.
        let _ = state.wait_for(renewed).await;
    }
}

impl PartState {
    /// Process id of one that runs.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } => Some(*pid),
            Self::Stopped | Self::Waiting { .. } => None,
        }
    }
}

impl Actuator for Supervisor {
    fn replicas(&self) -> watch::Receiver<Vec<Target>> {
        self.targets.subscribe()
    }

    /// The first replica first, so that the others serve while it drains.
    async fn stop(self) {
        for part in self.parts {
            end(part, Wish::Stop).await;
        }
    }
}

async fn end(part: Part, wish: Wish) {
    // The task ends by itself only after such a wish, so the channel is open.
    let _ = part.wish.send(wish);
    if let Err(error) = part.task.await {
        tracing::error!(%error, "supervision ended");
    }
}

/// Waits for another wish than to run. A closed channel means that spk-node ends without a word.
async fn not_run(wish: &mut watch::Receiver<Wish>) -> Wish {
    wish.wait_for(|wish| *wish != Wish::Run).await.map_or(Wish::Leave, |wish| *wish)
}

/// How the watch over a process ended.
enum Watched {
    /// The process ended by itself.
    Exited(Exit),
    /// It was ended and is to be started again.
    Restart,
    /// It was ended, or left, for good.
    Over,
}

/// Keeps one TMM running.
struct Keeper {
    recipe: Recipe,
    pid_file: PathBuf,
    lock: PathBuf,
    asked: mpsc::Receiver<()>,
    log: log_file::LogFile,
    drain: Duration,
    pod: EventObject,
    events: SharedEvents,
    report: watch::Sender<PartState>,
    restarts: u32,
}

impl Keeper {
    fn new(
        settings: &NodeSettings,
        layout: &Layout,
        replica: &ReplicaSettings,
        events: SharedEvents,
        report: watch::Sender<PartState>,
        asked: mpsc::Receiver<()>,
    ) -> Self {
        let name = layout::pod_name(replica.index);
        Self {
            recipe: Recipe::new(settings, layout, replica),
            pid_file: layout.tmm_pid(replica.index),
            lock: layout.tmm_lock(replica.index),
            asked,
            log: log_file::LogFile::new(layout.tmm_log(replica.index), settings.tmm.log_limit),
            drain: Duration::from_secs(u64::from(settings.tmm.drain_seconds)),
            pod: EventObject::new("Pod", &settings.tmm_namespace, &name),
            events,
            report,
            restarts: 0,
        }
    }

    async fn run(mut self, mut wish: watch::Receiver<Wish>) {
        let mut backoff = Backoff::default();
        let mut adopted = self.adopt().await;
        loop {
            let begun = Instant::now();
            let outcome = match adopted.take() {
                Some(process) => Ok(process),
                None => {
                    self.recipe.renew_trust();
                    // It takes what a restart would bring.
                    while self.asked.try_recv().is_ok() {}
                    Process::spawn(&self.recipe, &self.log, &self.pid_file, &self.lock)
                }
            };
            let cause = match outcome {
                Ok(process) => match self.watch(process, &mut wish).await {
                    Watched::Exited(exit) => {
                        let text = exit.logged_in(&self.log).to_string();
                        self.event(EventKind::Warning, "TmmExited", text.clone());
                        text
                    }
                    Watched::Restart => {
                        self.restarts = self.restarts.saturating_add(1);
                        continue;
                    }
                    Watched::Over => return,
                },
                Err(error) => {
                    self.event(EventKind::Warning, "TmmNotStarted", error.to_string());
                    error.to_string()
                }
            };
            let pause = backoff.next(begun.elapsed());
            let state = PartState::Waiting { cause, pause, restarts: self.restarts };
            self.report.send_replace(state);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = not_run(&mut wish) => {
                    self.report.send_replace(PartState::Stopped);
                    return;
                }
            }
            self.restarts = self.restarts.saturating_add(1);
        }
    }

    /// The running TMM of an earlier spk-node, if it was started as we would start it.
    async fn adopt(&self) -> Option<Process> {
        let identity = Identity::read(&self.pid_file).unwrap_or_else(|error| {
            tracing::warn!(%error, "pid file is not readable");
            None
        });
        let known = identity.as_ref().and_then(|identity| {
            Some((Process::adopt(identity)?, identity.recipe.as_ref() == Some(&self.recipe)))
        });
        let process = match known {
            Some((process, true)) => {
                let text = format!("adopted process {}", process.pid());
                self.event(EventKind::Normal, "TmmAdopted", text);
                return Some(process);
            }
            Some((process, false)) => {
                let text =
                    format!("settings or trust changed; process {} is restarted", process.pid());
                self.event(EventKind::Normal, "TmmSettingsChanged", text);
                process
            }
            // Its spk-node died before it wrote the pid file, or the file is broken.
            None => {
                let process = Process::find(&self.lock, &self.recipe.config)?;
                let text = format!("process {} has no pid file; it is restarted", process.pid());
                self.event(EventKind::Warning, "TmmUnknown", text);
                process
            }
        };
        process.stop(self.drain + KILL_AFTER).await;
        None
    }

    /// Watches `process` until it ends or is ended on purpose.
    async fn watch(&mut self, mut process: Process, wish: &mut watch::Receiver<Wish>) -> Watched {
        self.report.send_replace(PartState::Running {
            pid: process.pid(),
            since: SystemTime::now(),
            adopted: process.is_adopted(),
            restarts: self.restarts,
        });
        if !process.is_adopted() {
            self.event(
                EventKind::Normal,
                "TmmStarted",
                format!("process {} was started", process.pid()),
            );
        }
        let mut look = tokio::time::interval(LOG_INTERVAL);
        loop {
            tokio::select! {
                exit = process.ended() => {
                    identity::remove(&self.pid_file);
                    return Watched::Exited(exit);
                }
                // It waits for a disk.
                _ = look.tick() => tokio::task::block_in_place(|| self.log.bound()),
                Some(()) = self.asked.recv() => {
                    let pid = process.pid();
                    let text = format!("process {pid} is restarted with its new certificate");
                    self.event(EventKind::Normal, "TmmRestarted", text);
                    process.stop(self.drain + KILL_AFTER).await;
                    identity::remove(&self.pid_file);
                    return Watched::Restart;
                }
                next = not_run(wish) => {
                    if next == Wish::Stop {
                        let pid = process.pid();
                        process.stop(self.drain + KILL_AFTER).await;
                        identity::remove(&self.pid_file);
                        self.report.send_replace(PartState::Stopped);
                        self.event(EventKind::Normal, "TmmStopped", format!("process {pid} was stopped"));
                    }
                    return Watched::Over;
                }
            }
        }
    }

    fn event(&self, kind: EventKind, reason: &'static str, text: String) {
        let event = EventRecord { reason, kind, object: self.pod.clone(), text };
        if let Ok(mut events) = self.events.lock() {
            events.record(event);
        }
    }
}

/// A TMM that did not end this long after its drain is killed.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// How often the size of a log is looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(2);
