//! Puts spk-node together and runs it.
//!
//! Owns the order of starting (files before processes, the lock before all) and of ending.
//! Source: operations.md §1.6, architecture.md §6.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use spk_bus::{Address, Link};
use spk_controller::core::CoreSettings;
use spk_controller::licence::LicenceWorld;
use spk_controller::meters::Meters;
use spk_controller::runtime::{self, World};
use spk_controller::view::View;
use spk_controller::{Actuator as _, EventKind, EventObject, EventRecord, Vault, VaultError};
use spk_entitlement::contact::MissedHeartbeats;
use spk_serving::log::{self, LogControl};
use spk_serving::probes::{self, ListenError, Pages, Topic};
use spk_serving::shutdown::Signals;
use spk_serving::tls::{self, Alpn, Tls};
use tokio::sync::watch;

use crate::certs::{self, CertError};
use crate::events::EventFile;
use crate::files::{FileFacts, FollowError, StatusFiles};
use crate::install::{self, InstallError};
use crate::layout::{self, Layout};
use crate::metrics::NodePages;
use crate::provision::{self, ProvisionError};
use crate::settings::NodeSettings;
use crate::socket::{self, Desk};
use crate::supervisor::{SharedEvents, Supervisor};
use crate::vault::FileVault;
use spk_store::durable;

/// What happens to the TMMs at the end of spk-node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AtEnd {
    /// They are stopped, the first replica first.
    StopTmms,
    /// They run on; the next spk-node adopts them.
    LeaveTmms,
}

/// Why spk-node cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The state directory cannot be used.
    #[error("{path}: {source}; check stateDir in node.yaml")]
    State {
        /// What cannot be made or opened.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another spk-node uses the state directory.
    #[error("another spk-node runs with stateDir {path}; stop it first")]
    Busy {
        /// The state directory.
        path: PathBuf,
    },
    /// Certificates.
    #[error(transparent)]
    Certificates(#[from] CertError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Secrets of the licence plane.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// No random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// Files of a TMM.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The resource directory.
    #[error(transparent)]
    Resources(#[from] FollowError),
    /// Probes or metrics.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl NodeError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::State { .. } => "state_dir",
            Self::Busy { .. } => "state_dir_busy",
            Self::Certificates(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Provision(error) => error.code(),
            Self::NoRandom => "no_random",
            Self::Install(error) => error.code(),
            Self::Resources(error) => error.code(),
            Self::Listen(error) => error.code(),
        }
    }
}

/// Runs until SIGTERM or SIGINT; a second one does not wait for TMMs that drain.
///
/// # Errors
///
/// [`NodeError`], before any TMM is started.
pub async fn run(settings: NodeSettings, at_end: AtEnd, log: LogControl) -> Result<(), NodeError> {
    let settings = Arc::new(settings);
    let layout = Layout::new(&settings.state_dir);
    let _lock = prepare(&layout)?;
    let state_error = |path: PathBuf| move |source| NodeError::State { path, source };
    let mut signals = Signals::new().map_err(state_error(layout.run()))?;
    let made = certs::ensure(&layout, SystemTime::now())?;
    let vault: Arc<dyn Vault> = Arc::new(FileVault::open(&layout.vault())?);
    for replica in &settings.replicas {
        install::replica(&layout, &settings, replica)?;
    }
    provision::provision(&layout, &settings, SystemTime::now())?;
    let events: SharedEvents = Arc::new(Mutex::new(EventFile::new(layout.events())));
    let facts = FileFacts::open(&settings.resource_dir, Arc::clone(&vault), Arc::clone(&events))?;
    // Everything that may fail has been tried before a process is started.
    let probes = probes::listen(settings.probes, "probes").await?;
    let metrics = probes::listen(settings.metrics, "metrics").await?;
    let listener = socket::bind(&layout.socket()).map_err(state_error(layout.socket()))?;

    report_certificates(&events, &settings, &made);
    let catalogue = facts.views();
    let served = settings.app_namespaces.iter().chain([&settings.tmm_namespace]).cloned().collect();
    let statuses = StatusFiles::start(&settings.resource_dir, facts.views(), served);
    let supervisor = Supervisor::start(&settings, &layout, &events, Arc::clone(&vault));
    let (views, view) = watch::channel(Arc::<View>::default());
    let desk = Desk { views: view, processes: supervisor.states(), catalogue };
    let renewal = Renewal {
        settings: Arc::clone(&settings),
        layout: layout.clone(),
        events: Arc::clone(&events),
    };
    let files = tls::TlsFiles::grpc(layout.root(), certs::CONTROLLER);
    let report = certificate_report(&events, &settings.tmm_namespace);
    let tls = Tls::follow(files, Alpn::Http2, report);
    let mut identities = vec![tls.clone()];
    tokio::spawn(provision::follow(layout.clone(), Arc::clone(&settings)));
    let licence = licence_world(&settings, &layout, &events)?;
    tokio::spawn(follow_levels(licence.levels.subscribe(), log));
    if let Some(Link::Broker { tls, .. }) = &licence.link {
        identities.push(tls.clone());
    }
    let meters = Meters::default();
    let pages: Arc<dyn Pages> = Arc::new(NodePages::new(desk.clone(), meters.clone(), identities));
    tokio::spawn(probes::serve(probes, Topic::Probes, Arc::clone(&pages)));
    tokio::spawn(probes::serve(metrics, Topic::Metrics, pages));
    socket::serve(listener, desk);
    tokio::spawn(renewal.run());

    let world =
        World { facts, statuses, actuator: supervisor, events, vault, licence, tls, meters };
    let core = CoreSettings {
        tmm_namespace: settings.tmm_namespace.clone(),
        watched: settings.app_namespaces.iter().cloned().collect(),
        cluster_uid: settings.uid.to_string(),
        deployment: format!("{}-f5ingress", settings.release),
    };
    let supervisor = runtime::run(core, world, views, signals.next()).await;
    tracing::info!("ending");
    let end = async {
        match at_end {
            AtEnd::StopTmms => supervisor.stop().await,
            AtEnd::LeaveTmms => supervisor.leave().await,
        }
    };
    tokio::select! {
        () = end => {}
        () = signals.next() => tracing::warn!("second signal: TMMs that still drain are left"),
    }
    Ok(())
}

/// What the licence client gets. Without section `cwc` there is no bus, so no verdict ever allows.
fn licence_world(
    settings: &NodeSettings,
    layout: &Layout,
    events: &SharedEvents,
) -> Result<LicenceWorld, NodeError> {
    let cwc = settings.cwc.as_ref();
    let link = cwc.and_then(|cwc| cwc.address(&layout.bus())).map(|address| match address {
        Address::Local(path) => Link::Local { path },
        Address::Broker { host, port } => {
            let dir = layout.controller_config().join("rabbitmq-client-1-certs");
            let report = certificate_report(events, &settings.tmm_namespace);
            let tls = Tls::follow(tls::TlsFiles::client(&dir), Alpn::None, report);
            Link::Broker { host, port, tls }
        }
    });
    let missed = cwc.and_then(|cwc| cwc.config.get("missed_heartbeats")?.parse().ok());
    let missed = missed.and_then(|count| MissedHeartbeats::new(count).ok()).unwrap_or_default();
    Ok(LicenceWorld {
        link,
        trust: layout.controller_config().join("cwc-lease-jwks/jwks.json"),
        instance: layout::controller_uid(settings.uid).to_string(),
        missed,
        seed: random_seed().ok_or(NodeError::NoRandom)?,
        levels: watch::Sender::default(),
    })
}

/// Takes the log level that the CWC commands for Controllers; without one, the level of the start.
async fn follow_levels(mut levels: watch::Receiver<BTreeMap<String, String>>, log: LogControl) {
    let first = log.level();
    while levels.changed().await.is_ok() {
        let wanted = levels.borrow_and_update().get(CONTROLLER).and_then(|word| log::level(word));
        log.set_level(wanted.unwrap_or(first));
    }
}

/// Tells of certificates (OPS-322, OPS-323).
fn certificate_report(events: &SharedEvents, namespace: &str) -> tls::Report {
    let (events, namespace) = (Arc::clone(events), namespace.to_owned());
    Arc::new(move |event| {
        let kind = if event.is_warning() { EventKind::Warning } else { EventKind::Normal };
        let object = EventObject::new("Secret", &namespace, event.object());
        let record = EventRecord { reason: event.reason(), kind, object, text: event.to_string() };
        if let Ok(mut events) = events.lock() {
            events.record(record);
        }
    })
}

/// Makes the folders and takes the lock, which ends with the process.
fn prepare(layout: &Layout) -> Result<Flock<File>, NodeError> {
    for path in [layout.root().to_owned(), layout.run(), layout.log()] {
        durable::create_private_dir(&path).map_err(|source| NodeError::State { path, source })?;
    }
    let path = layout.run().join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| NodeError::State { path, source })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| NodeError::Busy { path: layout.root().to_owned() })
}

/// Renews certificates once a day. TMMs and links take new files by themselves (OPS-320).
struct Renewal {
    settings: Arc<NodeSettings>,
    layout: Layout,
    events: SharedEvents,
}

impl Renewal {
    async fn run(self) {
        loop {
            tokio::time::sleep(RENEW_INTERVAL).await;
            // It waits for disks.
            match tokio::task::block_in_place(|| self.renew()) {
                Ok(new) => report_certificates(&self.events, &self.settings, &new),
                Err(error) => {
                    tracing::error!(%error, code = error.code(), "certificates are not renewed");
                }
            }
        }
    }

    fn renew(&self) -> Result<Vec<&'static str>, NodeError> {
        let new = certs::renew(&self.layout, SystemTime::now())?;
        for replica in &self.settings.replicas {
            install::replica(&self.layout, &self.settings, replica)?;
        }
        Ok(new)
    }
}

fn report_certificates(events: &SharedEvents, settings: &NodeSettings, new: &[&str]) {
    let Ok(mut events) = events.lock() else { return };
    for name in new {
        events.record(EventRecord {
            reason: "CertificateMade",
            kind: EventKind::Normal,
            object: EventObject::new("Secret", &settings.tmm_namespace, "certs-secret"),
            text: format!("certificate {name} was made"),
        });
    }
}

fn random_seed() -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).ok()?;
    Some(seed)
}

/// The Controllers' component in log levels.
const CONTROLLER: &str = "f5ingress";
const RENEW_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
