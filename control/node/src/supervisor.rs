//! Starts, watches and restarts the parts of one machine: a TMM per replica, and what else
//! `node.yaml` asks for.
//!
//! Owns processes and their log files, and no state of theirs: a part runs on when spk-node dies, and
//! the next spk-node adopts it by its pid file, or restarts it if only its lock tells of it. Whether a
//! TMM serves is seen by [`spk_controller`] over its gRPC port.
//!
//! Invariant: at most one process per part; a signal goes only to a process whose start time is the
//! one in the pid file; TMMs that the licence stopped are not started before it allows, also by the
//! next spk-node. Sources: operations.md §1.6 (OPS-174, OPS-177), licensing.md §12.3 (LIC-836),
//! architecture.md §6.

mod backoff;
mod identity;
mod keeper;
mod log_file;
mod process;
mod recipe;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use spk_controller::{Actuator, EventObject, Events, Target, Vault, VaultError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::keeper::{Keeper, PartPlan, Words};
use self::log_file::LogFile;
use crate::layout::{self, Layout};
use crate::settings::{NodeSettings, ReplicaSettings};

pub use identity::{Identity, IdentityError};
pub use process::SpawnError;
pub use recipe::Recipe;

/// The parts of one machine.
#[derive(Debug)]
pub struct Supervisor {
    tmms: Vec<Part>,
    others: Vec<Part>,
    all: Vec<Target>,
    targets: watch::Sender<Vec<Target>>,
    vault: Arc<dyn Vault>,
}

#[derive(Debug)]
struct Part {
    name: PartName,
    wish: watch::Sender<Wish>,
    state: watch::Receiver<PartState>,
    task: JoinHandle<()>,
}

/// Which part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartName {
    /// Name of its directory, log and pid file, such as `tmm-0` or `cwc`.
    pub name: String,
    /// Index of the replica, if it is a TMM.
    pub index: Option<u16>,
}

/// What a process does.
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
    /// The licence stops it until further notice.
    Halt,
    /// spk-node ends, the part runs on.
    Leave,
}

/// Shared with the other parts of spk-node.
pub type SharedEvents = Arc<Mutex<dyn Events>>;

impl Supervisor {
    /// Adopts the parts that run with the settings of now, restarts those that run with others, and
    /// starts the rest; but no TMM while a stop by the licence stands.
    #[must_use]
    pub fn start(
        settings: &NodeSettings,
        layout: &Layout,
        events: &SharedEvents,
        vault: Arc<dyn Vault>,
    ) -> Self {
        let halted = match vault.load(PREVIOUS_REPLICAS) {
            Ok(record) => record.is_some(),
            Err(error) => {
                tracing::error!(%error, "a stop by the licence is forgotten");
                false
            }
        };
        let wish = if halted { Wish::Halt } else { Wish::Run };
        let tmms = settings.replicas.iter().map(|replica| {
            let name =
                PartName { name: layout::part_name(replica.index), index: Some(replica.index) };
            Part::start(name, tmm_plan(settings, layout, replica), events, wish)
        });
        let all: Vec<Target> = settings
            .replicas
            .iter()
            .map(|replica| Target {
                index: replica.index,
                pod: layout::pod_name(replica.index),
                uid: layout::pod_uid(settings.uid, replica.index).to_string(),
                address: replica.listen(),
            })
            .collect();
        let targets = if halted { Vec::new() } else { all.clone() };
        let others = other_plans(settings, layout).into_iter().map(|(name, plan)| {
            let name = PartName { name: name.to_owned(), index: None };
            Part::start(name, plan, events, Wish::Run)
        });
        Self {
            tmms: tmms.collect(),
            others: others.collect(),
            all,
            targets: watch::channel(targets).0,
            vault,
        }
    }

    /// State of each part's process: TMMs in the order of `node.yaml`, then the others.
    #[must_use]
    pub fn states(&self) -> Vec<(PartName, watch::Receiver<PartState>)> {
        self.parts().map(|part| (part.name.clone(), part.state.clone())).collect()
    }

    /// Lets the parts run on without a supervisor.
    pub async fn leave(self) {
        for part in self.tmms.into_iter().chain(self.others) {
            end(part, Wish::Leave).await;
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.tmms.iter().chain(&self.others)
    }

    /// Stores or removes the record of a stop by the licence; waits for the disk.
    async fn remember(&self, replicas: Option<usize>) -> Result<(), VaultError> {
        let vault = Arc::clone(&self.vault);
        let write = move || match replicas {
            Some(count) => vault.store(PREVIOUS_REPLICAS, count.to_string().as_bytes()),
            None => vault.remove(PREVIOUS_REPLICAS),
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(outcome) => outcome,
            Err(error) => Err(VaultError {
                name: PREVIOUS_REPLICAS.to_owned(),
                source: std::io::Error::other(error),
            }),
        }
    }
}

impl Part {
    fn start(name: PartName, plan: PartPlan, events: &SharedEvents, first: Wish) -> Self {
        let (wish, wished) = watch::channel(first);
        let (report, state) = watch::channel(PartState::Stopped);
        let keeper = Keeper::new(plan, Arc::clone(events), report);
        Self { name, wish, state, task: tokio::spawn(keeper.run(wished)) }
    }
}

/// The parts besides TMMs that `node.yaml` asks for: those who need others first.
fn other_plans(settings: &NodeSettings, layout: &Layout) -> Vec<(&'static str, PartPlan)> {
    let plan = |name: &'static str, mut recipe: Recipe, object: EventObject, words| {
        recipe.renew_trust();
        let plan = PartPlan {
            recipe,
            pid_file: layout.pid(name),
            lock: layout.lock(name),
            log: LogFile::new(layout.part_log(name), settings.tmm.log_limit),
            patience: OTHERS_PATIENCE,
            object,
            words,
        };
        (name, plan)
    };
    let object = |name| EventObject::new("Deployment", layout::CWC_NAMESPACE, name);
    let cwc = settings.cwc.as_ref().filter(|cwc| cwc.run).map(|cwc| {
        plan(layout::CWC, Recipe::cwc(settings, layout, cwc), object("f5-spk-cwc"), CWC)
    });
    let broker = settings.rabbitmq.as_ref().map(|broker| {
        plan(layout::BROKER, Recipe::broker(layout, broker), object("rabbitmq-server"), BROKER)
    });
    cwc.into_iter().chain(broker).collect()
}

fn tmm_plan(settings: &NodeSettings, layout: &Layout, replica: &ReplicaSettings) -> PartPlan {
    let name = layout::part_name(replica.index);
    let drain = Duration::from_secs(u64::from(settings.tmm.drain_seconds));
    PartPlan {
        recipe: Recipe::tmm(settings, layout, replica),
        pid_file: layout.pid(&name),
        lock: layout.lock(&name),
        log: LogFile::new(layout.part_log(&name), settings.tmm.log_limit),
        patience: drain + KILL_AFTER,
        object: EventObject::new("Pod", &settings.tmm_namespace, &layout::pod_name(replica.index)),
        words: TMM,
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

    fn is_halted(&self) -> bool {
        self.tmms.iter().any(|part| *part.wish.borrow() == Wish::Halt)
    }

    async fn halt(&mut self) -> Result<(), VaultError> {
        for part in &self.tmms {
            part.wish.send_replace(Wish::Halt);
        }
        self.targets.send_replace(Vec::new());
        // The stop holds also if it cannot be remembered.
        self.remember(Some(self.all.len())).await
    }

    async fn resume(&mut self) -> Result<(), VaultError> {
        for part in &self.tmms {
            part.wish.send_replace(Wish::Run);
        }
        self.targets.send_replace(self.all.clone());
        self.remember(None).await
    }

    /// The first replica first, so that the others serve while it drains; what they need last.
    async fn stop(self) {
        for part in self.tmms.into_iter().chain(self.others) {
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

const TMM: Words = Words {
    setting: "tmm.binary",
    started: "TmmStarted",
    exited: "TmmExited",
    not_started: "TmmNotStarted",
    adopted: "TmmAdopted",
    settings_changed: "TmmSettingsChanged",
    unknown: "TmmUnknown",
    stopped: "TmmStopped",
};

const CWC: Words = Words {
    setting: "cwc.binary",
    started: "CwcStarted",
    exited: "CwcExited",
    not_started: "CwcNotStarted",
    adopted: "CwcAdopted",
    settings_changed: "CwcSettingsChanged",
    unknown: "CwcUnknown",
    stopped: "CwcStopped",
};

const BROKER: Words = Words {
    setting: "rabbitmq.binary",
    started: "BrokerStarted",
    exited: "BrokerExited",
    not_started: "BrokerNotStarted",
    adopted: "BrokerAdopted",
    settings_changed: "BrokerSettingsChanged",
    unknown: "BrokerUnknown",
    stopped: "BrokerStopped",
};

/// How long CWC and broker may take to end.
const OTHERS_PATIENCE: Duration = Duration::from_secs(15);
/// A part that did not end this long after its drain is killed.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// Record of a stop by the licence: how many replicas ran. In a cluster the annotation of this name
/// on the Deployment (licensing.md §12.3).
const PREVIOUS_REPLICAS: &str = "license-previous-replicas";
