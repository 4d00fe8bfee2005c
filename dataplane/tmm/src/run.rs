//! The life of the process: data plane, control side, SIGTERM, drain, end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use spk_entitlement::Enforcer;
use tmm_rpc::{MESSAGE_LIMIT, TlsError, TlsFiles, TmmServer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::control::applier::Applier;
use crate::control::cache::Cache;
use crate::control::collector::Collector;
use crate::control::gatekeeper::Gatekeeper;
use crate::control::http::{self, ListenError, Pages, Topic};
use crate::control::lister::Lister;
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
    /// A certificate or key cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Certificate and key do not fit, or the server ended.
    #[error("gRPC: {0}; check certs/grpc-svc.crt, keys/grpc-svc.key and certs/ca_root.crt")]
    Grpc(#[from] tonic::transport::Error),
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
            Self::Tls(error) => error.code(),
            Self::Listen(error) => error.code(),
            Self::Grpc(_) => "grpc",
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
    let tls = TlsFiles::tmm(&settings.directory).load()?;
    let (grpc, probes, metrics) = runtime.block_on(async {
        Ok::<_, ListenError>((
            http::listen(settings.file.listen).await?,
            http::listen(settings.file.probes).await?,
            if settings.file.metrics == settings.file.probes {
                None
            } else {
                Some(http::listen(settings.file.metrics).await?)
            },
        ))
    })?;
    let server = Server::builder()
        .tls_config(tls.server())?
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)));
    let mut plane = log::gathered(|| start::start(settings))?;
    // Not before: threads and checks of the environment start from this thread's CPUs.
    keep_to(&set);
    let outcome = runtime.block_on(serve(settings, &mut plane, server, grpc, probes, metrics));
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

/// The control side, until a signal and the drain after it, or until a packet thread ends.
async fn serve(
    settings: &Settings,
    plane: &mut DataPlane,
    server: Server,
    grpc: TcpListener,
    probes: TcpListener,
    metrics: Option<TcpListener>,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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
    let pages =
        Arc::new(Pages { shared: Arc::clone(&shared), latest: latest.clone(), gate: gate.clone() });
    let topic = if metrics.is_some() { Topic::Probes } else { Topic::Both };
    tokio::spawn(http::serve(probes, topic, Arc::clone(&pages)));
    if let Some(metrics) = metrics {
        tokio::spawn(http::serve(metrics, Topic::Metrics, pages));
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
    let mut server = server;
    let serving = tokio::spawn(
        server
            .add_service(service)
            .serve_with_incoming_shutdown(TcpListenerStream::new(grpc), until(stopped)),
    );
    log::started(&format!(
        "version {}, {}, {} packet threads, interfaces {}",
        env!("CARGO_PKG_VERSION"),
        plane.eal.version(),
        plane.threads.len(),
        listing.join(", ")
    ));
    let signalled = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let outcome = tokio::select! {
        () = signalled => Ok(()),
        index = thread_end(plane) => Err(RunError::Thread { index }),
    };
    if outcome.is_ok() {
        log::draining(settings.file.drain_seconds);
        shared.set_life(Life::Draining);
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tokio::select! {
            () = drain(settings.file.drain_seconds, || {
                latest.read(|readings| readings.threads.iter().map(|thread| thread.flows).sum())
            }) => {}
            () = again => {}
        }
    }
    let _ = stop.send(true);
    // Streams that controllers follow never end by themselves.
    serving.abort();
    let _ = collecting.await;
    outcome
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
