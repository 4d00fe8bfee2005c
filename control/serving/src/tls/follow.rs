//! Looking at files again and again, and handing the newest good set out.
//!
//! The files are read once a second: a mount of Kubernetes swaps symbolic links, and no limit of the
//! kernel's watches is in the way. Source: operations.md §3.4 (OPS-320: 10 s).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::files::{PemSet, TlsFiles};
use super::material::{Alpn, CertificateFacts, Material, Refusal};
use super::reload::{CertificateEvent, Output, Reload};
use crate::clock;

/// Where events go: into the log of events of a program. It must not block.
pub type Report = Arc<dyn Fn(CertificateEvent) + Send + Sync>;

/// One identity that follows its files. Clones are the same one; when the last is dropped, the files
/// are left alone.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    object: String,
    current: ArcSwapOption<Material>,
    /// Why nothing can be used.
    problem: Mutex<Option<Refusal>>,
    /// How many sets have been in use.
    changes: watch::Sender<u64>,
    report: Report,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("object", &self.shared.object).finish_non_exhaustive()
    }
}

impl Tls {
    /// Follows `files` from now on; must be called in a tokio runtime. The first look is done before
    /// it returns. Each event goes to the log and to `report`.
    #[must_use]
    pub fn follow(files: TlsFiles, alpn: Alpn, report: Report) -> Self {
        let mut reload = Reload::new(files.object(), alpn);
        let shared = Arc::new(Shared {
            object: files.object().to_owned(),
            current: ArcSwapOption::empty(),
            problem: Mutex::new(None),
            changes: watch::Sender::new(0),
            report,
        });
        shared.carry_out(look(&mut reload, files.read()));
        tokio::spawn(keep_looking(Arc::downgrade(&shared), files, reload));
        Self { shared }
    }

    /// What is in use; none before the first good set.
    #[must_use]
    pub fn material(&self) -> Option<Arc<Material>> {
        self.shared.current.load_full()
    }

    /// Configuration for the next connection that is accepted.
    #[must_use]
    pub fn server_config(&self) -> Option<Arc<ServerConfig>> {
        self.shared.current.load().as_ref().map(|material| material.server())
    }

    /// Configuration for the next connection that is made.
    #[must_use]
    pub fn client_config(&self) -> Option<Arc<ClientConfig>> {
        self.shared.current.load().as_ref().map(|material| material.client())
    }

    /// PEM text for the next connection, for libraries that make their own configuration.
    #[must_use]
    pub fn pem(&self) -> Option<PemSet> {
        self.shared.current.load().as_ref().map(|material| material.pem().clone())
    }

    /// Nothing when there is a good set, else which Secret is missing or wrong, in one line.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        if self.shared.current.load().is_some() {
            return None;
        }
        let problem = self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner);
        Some(problem.as_ref().map_or_else(
            || format!("Secret {} has not been read yet", self.shared.object),
            Refusal::to_string,
        ))
    }

    /// Waits until there is a good set.
    pub async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.changes().wait_for(|changes| *changes > 0).await;
    }

    /// Changes whenever another set comes into use, so that a client may try again at once.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The certificates in use: the own one, then the CA's; empty before the first good set.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateFacts> {
        let current = self.shared.current.load();
        current.as_ref().map_or_else(Vec::new, |material| material.certificates().to_vec())
    }
}

impl Shared {
    fn carry_out(&self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Use(material) => {
                    self.current.store(Some(material));
                    self.changes.send_modify(|changes| *changes += 1);
                }
                Output::Report(event) => {
                    if event.is_warning() {
                        tracing::warn!(reason = event.reason(), "{event}");
                    } else {
                        tracing::info!(reason = event.reason(), "{event}");
                    }
                    (self.report)(event);
                }
                Output::Waiting(refusal) => {
                    tracing::warn!(code = refusal.code(), "{refusal}; waiting for it");
                    *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                }
            }
        }
    }
}

async fn keep_looking(shared: Weak<Shared>, files: TlsFiles, mut reload: Reload) {
    let files = Arc::new(files);
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        ticks.tick().await;
        let reading = Arc::clone(&files);
        // A mount that hangs must not hold up other tasks.
        let Ok(found) = tokio::task::spawn_blocking(move || reading.read()).await else { return };
        let Some(shared) = shared.upgrade() else { return };
        shared.carry_out(look(&mut reload, found));
    }
}

fn look(reload: &mut Reload, found: Result<PemSet, Refusal>) -> Vec<Output> {
    reload.handle_input(found, clock::wall(), clock::boot())
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
