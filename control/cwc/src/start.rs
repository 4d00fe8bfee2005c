//! Putting the parts together.
//!
//! Owns the order of a start: values, lock, keys, bus, machine, then the listeners. A missing Secret
//! of the REST API or the bus is waited for; values that make no sense and a store that another
//! process holds end the program. Sources: licensing.md §4.1 (LIC-304), §7.3; operations.md §1.5
//! (OPS-160).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use spk_bus::{Address, Bus, End, Events, Link};
use spk_license::Machine;
use spk_serving::log;
use spk_serving::probes::{self, Pages, Topic};
use spk_serving::shutdown::Signals;
use spk_serving::tls::{self, Alpn, CertificateEvent, Report, Tls, TlsFiles, TlsListener};
use spk_store::FileStore;
use tokio::sync::{broadcast, mpsc, watch};

use crate::config::{self, Config};
use crate::events::EventFile;
use crate::front::{Front, Shown, now};
use crate::keys;
use crate::metrics::{Counters, CwcPages};
use crate::page::session::Sessions;
use crate::persist::Keeper;
use crate::rest::{self, Site};
use crate::run::{self, Inbox, Outlet, Parts};
use crate::usage::MachineUsage;

/// Where the state is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place(PathBuf);

/// The text names no store.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("store {0:?} is not file:DIR")]
pub struct PlaceError(String);

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self(PathBuf::from(path))),
            Some(_) | None => Err(PlaceError(text.to_owned())),
        }
    }
}

impl Place {
    /// The event file of one machine lies beside the store (OPS-176).
    fn events(&self) -> PathBuf {
        self.0.parent().unwrap_or(Path::new("")).join("events.jsonl")
    }
}

/// What the program was started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The folder of Secrets and ConfigMaps.
    pub config: PathBuf,
    /// Where the state is kept.
    pub store: Place,
    /// The bus.
    pub bus: Address,
    /// Where the REST API listens.
    pub rest: SocketAddr,
    /// Where probes listen.
    pub probes: SocketAddr,
    /// Where metrics are served behind mutual TLS.
    pub metrics: Option<SocketAddr>,
    /// The registered namespaces.
    pub instances: BTreeSet<String>,
    /// The folder of resources.
    pub resources: Option<PathBuf>,
    /// Namespace of this CWC.
    pub namespace: String,
}

/// Runs the program until a signal comes.
///
/// # Errors
///
/// What keeps it from running, in words.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let config = Config::read(&setup.config).context("the values are refused")?;
    let log = log::start("spk-cwc", config.shell.log_format, config.shell.log_level);
    tls::install_provider();
    let signals = Signals::new().context("cannot take signals over")?;
    let store = FileStore::open(&setup.store.0).context("cannot use the store")?;
    let key_store = FileStore::shared(&setup.config).context("cannot use the folder of keys")?;
    let keys = keys::open(&key_store).await.context("cannot use the keys")?;

    let (report, certificates) = reporter();
    let certs = setup.config.join("cwc-license-certs");
    let rest_tls = Tls::follow(TlsFiles::server(&certs), Alpn::Http, Arc::clone(&report));
    let mut identities = vec![rest_tls.clone()];
    let (bus, bus_events) = open_bus(&setup, &report, &mut identities);

    let machine = Machine::new(config.settings.clone(), Some(keys.report));
    let shown = watch::Sender::new(Arc::new(Shown {
        machine: machine.clone(),
        controllers: Vec::new(),
        untrusting: Vec::new(),
        at: now().boot,
        namespace: setup.namespace.as_str().into(),
        upstream: config.shell.upstream_url.to_string().into(),
    }));
    let settings = watch::Sender::new(Arc::new(config.shell.clone()));
    let events = EventFile::new(setup.store.events());
    let (asks, asked) = mpsc::channel(REQUESTS);
    let (news, _) = broadcast::channel(NEWS);
    let front = Front {
        asks,
        shown: shown.subscribe(),
        settings: settings.subscribe(),
        news: news.clone(),
        recent: events.shown(),
    };
    let sessions = Sessions::new().context("cannot make keys for the page")?;
    let counters = Counters::default();
    let pages: Arc<dyn Pages> = Arc::new(CwcPages::new(
        front.clone(),
        counters.clone(),
        bus.metrics().clone(),
        rest_tls.clone(),
        identities,
    ));
    serve_pages(&setup, &pages, &rest_tls).await?;

    let (changes, changed) = mpsc::channel(1);
    tokio::spawn(config::follow(setup.config.clone(), config.clone(), changes));
    let parts = Parts {
        keeper: Keeper::new(store),
        machine,
        keys: keys.lease,
        key_store,
        config,
        usage: MachineUsage::new(setup.resources.clone()),
        bus,
        instances: setup.instances.clone(),
        namespace: setup.namespace.as_str().into(),
        events,
        counters,
        log: log.clone(),
    };
    let (stop, stopped) = watch::channel(false);
    let site = Site { front, token: keys.token, log, sessions };
    let api = tokio::spawn(serve_rest(setup.rest, rest_tls, site, stopped));
    let inbox = Inbox { asks: asked, bus: bus_events, config: changed, certificates };
    let outlet = Outlet { shown, settings, news };
    let ended = run::run(parts, outlet, inbox, signals).await;
    // Answers that are under way are still given.
    let _ = stop.send(true);
    let _ = api.await;
    ended.context("cannot go on")
}

/// Where certificate events go: into the loop.
fn reporter() -> (Report, mpsc::UnboundedReceiver<CertificateEvent>) {
    let (send, receive) = mpsc::unbounded_channel();
    // The loop may have ended.
    let report = Arc::new(move |event| drop(send.send(event)));
    (report, receive)
}

fn open_bus(setup: &Setup, report: &Report, identities: &mut Vec<Tls>) -> (Bus, Events) {
    let link = match &setup.bus {
        Address::Local(path) => Link::Local { path: path.clone() },
        Address::Broker { host, port } => {
            let certs = setup.config.join("rabbitmq-client-certs");
            let tls = Tls::follow(TlsFiles::client(&certs), Alpn::None, Arc::clone(report));
            identities.push(tls.clone());
            Link::Broker { host: host.clone(), port: *port, tls }
        }
    };
    Bus::open(End::Cwc, link)
}

async fn serve_pages(setup: &Setup, pages: &Arc<dyn Pages>, tls: &Tls) -> anyhow::Result<()> {
    let topic = match setup.probes.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Topic::Both,
        IpAddr::V6(ip) if ip.is_loopback() => Topic::Both,
        IpAddr::V4(_) | IpAddr::V6(_) => Topic::Probes,
    };
    let listener = probes::listen(setup.probes, "--probes").await?;
    tokio::spawn(probes::serve(listener, topic, Arc::clone(pages)));
    if let Some(address) = setup.metrics {
        let listener = probes::listen(address, "--metrics").await?;
        let listener = TlsListener::serve(listener, tls.clone())?;
        tokio::spawn(probes::serve_metrics(listener, Arc::clone(pages)));
    }
    Ok(())
}

/// Serves the REST API once the state was read and its certificates are there (LIC-304).
async fn serve_rest(
    address: SocketAddr,
    tls: Tls,
    mut site: Site,
    mut stopped: watch::Receiver<bool>,
) {
    let mut stop = std::pin::pin!(async move { drop(stopped.wait_for(|stopped| *stopped).await) });
    // Before the state was read there is nothing to show; the loop may also end without it.
    tokio::select! {
        shown = site.front.shown.changed() => if shown.is_err() { return },
        () = &mut stop => return,
    }
    let listener = loop {
        let opened = tokio::select! {
            opened = TlsListener::open(address, tls.clone()) => opened,
            () = &mut stop => return,
        };
        match opened {
            Ok(listener) => break listener,
            Err(error) => {
                tracing::error!(%address, %error, "cannot listen for the REST API");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    };
    tracing::info!(address = %listener.address(), "REST API listens");
    rest::serve(listener, site, stop).await;
}

/// How many requests may wait for the loop.
const REQUESTS: usize = 64;
/// How many changes a slow follower may lag behind.
const NEWS: usize = 256;
/// Between two tries to listen.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
