//! Keeps one part running.
//!
//! Owns one process, its log and its pauses. Source: operations.md §1.6 (OPS-177).

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use spk_controller::{EventKind, EventObject, EventRecord};

use super::backoff::Backoff;
use super::identity::{self, Identity};
use super::log_file::LogFile;
use super::process::{Exit, Process};
use super::recipe::Recipe;
use super::{PartState, SharedEvents, Wish};

/// What a part is to its keeper.
pub(super) struct PartPlan {
    /// How it is started.
    pub(super) recipe: Recipe,
    /// Where its pid is written.
    pub(super) pid_file: PathBuf,
    /// File that it keeps locked while it lives.
    pub(super) lock: PathBuf,
    /// Its log.
    pub(super) log: LogFile,
    /// How long it may take to end after SIGTERM.
    pub(super) patience: Duration,
    /// What its events are about.
    pub(super) object: EventObject,
    /// How its events are called.
    pub(super) words: Words,
}

/// Reasons of the events of one kind of part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// The field of `node.yaml` that names the program.
    pub(super) setting: &'static str,
    pub(super) started: &'static str,
    pub(super) exited: &'static str,
    pub(super) not_started: &'static str,
    pub(super) adopted: &'static str,
    pub(super) settings_changed: &'static str,
    pub(super) unknown: &'static str,
    pub(super) stopped: &'static str,
}

/// How the watch over a process ended.
enum Watched {
    /// The process ended by itself.
    Exited(Exit),
    /// It was ended until the wish changes.
    Halted,
    /// It was ended, or left, for good.
    Over,
}

/// Keeps one part running.
pub(super) struct Keeper {
    plan: PartPlan,
    events: SharedEvents,
    report: watch::Sender<PartState>,
    restarts: u32,
}

impl Keeper {
    pub(super) const fn new(
        plan: PartPlan,
        events: SharedEvents,
        report: watch::Sender<PartState>,
    ) -> Self {
        Self { plan, events, report, restarts: 0 }
    }

    pub(super) async fn run(mut self, mut wish: watch::Receiver<Wish>) {
        let mut backoff = Backoff::default();
        let mut adopted = self.adopt().await;
        loop {
            if adopted.is_none() && not_halted(&mut wish).await != Wish::Run {
                self.report.send_replace(PartState::Stopped);
                return;
            }
            let begun = Instant::now();
            let outcome = match adopted.take() {
                Some(process) => Ok(process),
                None => {
                    self.plan.recipe.renew_trust();
                    let PartPlan { recipe, log, pid_file, lock, words, .. } = &self.plan;
                    Process::spawn(recipe, words.setting, log, pid_file, lock)
                }
            };
            let cause = match outcome {
                Ok(process) => match self.watch(process, &mut wish).await {
                    Watched::Exited(exit) => {
                        let text = exit.logged_in(&self.plan.log).to_string();
                        self.event(EventKind::Warning, self.plan.words.exited, text.clone());
                        text
                    }
                    Watched::Halted => {
                        backoff = Backoff::default();
                        continue;
                    }
                    Watched::Over => return,
                },
                Err(error) => {
                    self.event(EventKind::Warning, self.plan.words.not_started, error.to_string());
                    error.to_string()
                }
            };
            let pause = backoff.next(begun.elapsed());
            let state = PartState::Waiting { cause, pause, restarts: self.restarts };
            self.report.send_replace(state);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                next = not_run(&mut wish) => {
                    self.report.send_replace(PartState::Stopped);
                    if next == Wish::Halt {
                        continue;
                    }
                    return;
                }
            }
            self.restarts = self.restarts.saturating_add(1);
        }
    }

    /// The running TMM of an earlier spk-node, if it was started as we would start it.
    async fn adopt(&self) -> Option<Process> {
        let identity = Identity::read(&self.plan.pid_file).unwrap_or_else(|error| {
            tracing::warn!(%error, "pid file is not readable");
            None
        });
        let known = identity.as_ref().and_then(|identity| {
            Some((Process::adopt(identity)?, identity.recipe.as_ref() == Some(&self.plan.recipe)))
        });
        let process = match known {
            Some((process, true)) => {
                let text = format!("adopted process {}", process.pid());
                self.event(EventKind::Normal, self.plan.words.adopted, text);
                return Some(process);
            }
            Some((process, false)) => {
                let text =
                    format!("settings or trust changed; process {} is restarted", process.pid());
                self.event(EventKind::Normal, self.plan.words.settings_changed, text);
                process
            }
            // Its spk-node died before it wrote the pid file, or the file is broken.
            None => {
                let process = Process::find(&self.plan.lock, &self.plan.recipe.config)?;
                let text = format!("process {} has no pid file; it is restarted", process.pid());
                self.event(EventKind::Warning, self.plan.words.unknown, text);
                process
            }
        };
        process.stop(self.plan.patience).await;
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
                self.plan.words.started,
                format!("process {} was started", process.pid()),
            );
        }
        let mut look = tokio::time::interval(LOG_INTERVAL);
        loop {
            tokio::select! {
                exit = process.ended() => {
                    identity::remove(&self.plan.pid_file);
                    return Watched::Exited(exit);
                }
                // It waits for a disk.
                _ = look.tick() => tokio::task::block_in_place(|| self.plan.log.bound()),
                next = not_run(wish) => {
                    if next == Wish::Stop || next == Wish::Halt {
                        let pid = process.pid();
                        process.stop(self.plan.patience).await;
                        identity::remove(&self.plan.pid_file);
                        self.report.send_replace(PartState::Stopped);
                        self.event(EventKind::Normal, self.plan.words.stopped, format!("process {pid} was stopped"));
                    }
                    return if next == Wish::Halt { Watched::Halted } else { Watched::Over };
                }
            }
        }
    }

    fn event(&self, kind: EventKind, reason: &'static str, text: String) {
        let event = EventRecord { reason, kind, object: self.plan.object.clone(), text };
        if let Ok(mut events) = self.events.lock() {
            events.record(event);
        }
    }
}

/// Waits for another wish than to run. A closed channel means that spk-node ends without a word.
async fn not_run(wish: &mut watch::Receiver<Wish>) -> Wish {
    wish.wait_for(|wish| *wish != Wish::Run).await.map_or(Wish::Leave, |wish| *wish)
}

/// Waits until the part is not halted; the wish then. A closed channel as in [`not_run`].
async fn not_halted(wish: &mut watch::Receiver<Wish>) -> Wish {
    wish.wait_for(|wish| *wish != Wish::Halt).await.map_or(Wish::Leave, |wish| *wish)
}

/// How often the size of a log is looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(2);
