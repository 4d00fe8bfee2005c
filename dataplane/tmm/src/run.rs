//! The life of the process: data plane, control side, SIGTERM, drain, end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use spk_entitlement::Enforcer;
use spk_serving::probes::{self, ListenError, Topic};
use spk_serving::shutdown::Signals;
use spk_serving::tls::{Alpn, CertificateEvent, Tls, TlsFiles, TlsListener};
use tmm_rpc::{MESSAGE_LIMIT, SERVER_NAME, TmmServer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tonic::transport::Server;

use crate::control::applier::Applier;
use crate::control::cache::Cache;
use crate::control::collector::Collector;
use crate::control::gatekeeper::Gatekeeper;
use crate::control::lister::Lister;
use crate::control::pages::Pages;
use crate::control::service::Service;
use crate::log;
use crate::random::{RandomError, random_bytes};
use crate::settings::Settings;
use crate::shared::Life;
use crate::start::{self, DataPlane, StartError};

/// Why the process ends before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The data plane cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The control side cannot run.
    #[error("control side: {0}")]
    Runtime(#[from] std::io::Error),
    /// A packet thread ended.
    #[error("packet thread {index} ended")]
    Thread {
        /// Its index.
        index: usize,
    },
}

impl RunError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Start(error) => error.code(),
            Self::Listen(error) => error.code(),
            Self::Random(error) => error.code(),
            Self::Runtime(_) => "control_runtime",
            Self::Thread { .. } => "packet_thread_ended",
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// [`RunError`].
pub fn run(settings: &Settings) -> Result<(), RunError> {
    let set = control_cpus(settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .on_thread_start(move || keep_to(&set))
        .enable_all()
        .build()?;
    for name in &settings.unknown_variables {
        log::setting(&format!("variable {name} has no effect"));
    }
    if !settings.file.hugepages {
        log::setting("hugepages is false: packet buffers lie in ordinary pages, which is slower");
    }
    // What can be refused without touching a device is refused first.
    let listeners = runtime.block_on(listen(settings))?;
    let mut plane = log::gathered(|| start::start(settings))?;
    // Not before: threads and checks of the environment start from this thread's CPUs.
    keep_to(&set);
    let outcome = runtime.block_on(serve(settings, &mut plane, listeners));
    plane.shared.set_life(Life::Ending);
    log::gathered(|| {
        // The last owner of a port closes it.
        for thread in plane.threads {
            if let Err(error) = thread.join() {
                log::failed(error.code(), &error.to_string());
            }
        }
        // A look at a mount that hangs never ends.
        runtime.shutdown_timeout(Duration::from_secs(2));
        drop(plane.ports);
        drop(plane.eal);
    });
    outcome?;
    log::stopped("drained");
    Ok(())
}

/// What is listened on before a device is touched.
struct Listeners {
    grpc: TcpListener,
    probes: TcpListener,
    /// None if both have one address.
    metrics: Option<TcpListener>,
}

async fn listen(settings: &Settings) -> Result<Listeners, ListenError> {
    let file = &settings.file;
    Ok(Listeners {
        grpc: probes::listen(file.listen, "listen").await?,
        probes: probes::listen(file.probes, "probes").await?,
        metrics: match file.metrics == file.probes {
            true => None,
            false => Some(probes::listen(file.metrics, "metrics").await?),
        },
    })
}

/// The control side, until a signal and the drain after it, or until a packet thread ends.
async fn serve(
    settings: &Settings,
    plane: &mut DataPlane,
    listeners: Listeners,
) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let files = TlsFiles::grpc(&settings.directory, SERVER_NAME);
    let tls = Tls::follow(files, Alpn::Http2, Arc::new(report_certificate));
    let shared = Arc::clone(&plane.shared);
    let enforcer = Enforcer::new(settings.identity.clone());
    let (keeper, gate) = Gatekeeper::new(enforcer, Arc::clone(&shared), settings.trust_anchor());
    tokio::spawn(keeper.run());
    let macs: HashMap<_, _> = plane.ports.iter().map(|(id, _, mac)| (*id, *mac)).collect();
    let listing: Vec<String> = plane
        .ports
        .iter()
        .map(|(id, port, mac)| format!("{id} {} {mac}", port.kind().name()))
        .collect();
    let (applier, send, reports) = Applier::new(Arc::clone(&shared), macs);
    let specs = applier.follow_spec();
    tokio::spawn(applier.run());
    if let Some(folder) = settings.file.cache.clone() {
        let cache = Cache::new(folder);
        // Before a controller can call, so that its newer snapshot comes after this one.
        if cache.resume(&gate, &send).await {
            log::library("cache", "resumed with the kept latch and its configuration");
        }
        tokio::spawn(cache.follow(gate.follow_latch(), specs));
    }
    let ports = plane.ports.drain(..).map(|(id, port, _)| (id, port)).collect();
    let (stop, stopped) = watch::channel(false);
    let (collector, latest) = Collector::new(
        std::mem::take(&mut plane.samples),
        std::mem::take(&mut plane.events),
        ports,
        plane.port_places,
        send.clone(),
        Arc::clone(&shared),
    );
    let collecting = tokio::spawn(collector.run(until(stopped.clone())));
    let pages: Arc<dyn probes::Pages> = Arc::new(Pages {
        shared: Arc::clone(&shared),
        latest: latest.clone(),
        gate: gate.clone(),
        tls: tls.clone(),
    });
    let topic = if listeners.metrics.is_some() { Topic::Probes } else { Topic::Both };
    tokio::spawn(probes::serve(listeners.probes, topic, Arc::clone(&pages)));
    if let Some(metrics) = listeners.metrics {
        tokio::spawn(probes::serve(metrics, Topic::Metrics, pages));
    }
    let service = TmmServer::new(Service {
        identity: settings.identity.clone(),
        name: settings.pod_name.clone(),
        boot_id: hex(&random_bytes()?),
        gate,
        applier: send,
        reports,
        lister: Lister::new(std::mem::take(&mut plane.listings)),
        latest: latest.clone(),
        shared: Arc::clone(&shared),
    })
    .max_decoding_message_size(MESSAGE_LIMIT)
    .max_encoding_message_size(MESSAGE_LIMIT);
    let incoming = TlsListener::serve(listeners.grpc, tls)?.into_incoming();
    let serving = tokio::spawn(
        Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, until(stopped)),
    );
    log::started(&format!(
        "version {}, {}, {} packet threads, interfaces {}",
        env!("CARGO_PKG_VERSION"),
        plane.eal.version(),
        plane.threads.len(),
        listing.join(", ")
    ));
    let outcome = tokio::select! {
        () = signals.next() => Ok(()),
        index = thread_end(plane) => Err(RunError::Thread { index }),
    };
    if outcome.is_ok() {
        log::draining(settings.file.drain_seconds);
        shared.set_life(Life::Draining);
        tokio::select! {
            () = drain(settings.file.drain_seconds, || {
                latest.read(|readings| readings.threads.iter().map(|thread| thread.flows).sum())
            }) => {}
            () = signals.next() => {}
        }
    }
    let _ = stop.send(true);
    // Streams that controllers follow never end by themselves.
    serving.abort();
    let _ = collecting.await;
    outcome
}

/// Tells in this process's own words what is no fault; `spk_serving` warns of the rest itself.
fn report_certificate(event: CertificateEvent) {
    if let CertificateEvent::Reloaded { certificate, .. } = event {
        log::certificate_reloaded(&certificate.file);
    }
}

/// Waits until no flow is left, or for the time that is set.
async fn drain(seconds: u16, flows: impl Fn() -> u32) {
    let end = Instant::now() + Duration::from_secs(u64::from(seconds));
    loop {
        // Longer than a copy of the counters is old, so that no flow is overlooked.
        sleep(Duration::from_millis(250)).await;
        if Instant::now() >= end || flows() == 0 {
            return;
        }
    }
}

/// Resolves with the index of a packet thread that ended.
async fn thread_end(plane: &DataPlane) -> usize {
    loop {
        if let Some(index) = plane.threads.iter().position(capsule::Lcore::is_finished) {
            return index;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Resolves when `stopped` says so, or its sender is gone.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// CPUs of the control side: off those of packet threads, where there are others (OPS-422).
fn control_cpus(settings: &Settings) -> CpuSet {
    let mut set = CpuSet::new();
    for cpu in &settings.cores.other {
        // The number came from such a set.
        let _ = set.set(usize::from(*cpu));
    }
    set
}

/// Keeps this thread to `set`; without it threads only share CPUs.
fn keep_to(set: &CpuSet) {
    let _ = sched_setaffinity(Pid::from_raw(0), set);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
