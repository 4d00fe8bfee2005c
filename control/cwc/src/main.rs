//! The `spk-cwc` program.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use spk_bus::Address;
use spk_cwc::start::{self, Place, Setup};

/// The cluster-wide controller: it holds the licence, says over the bus whether traffic may pass,
/// and serves the REST API that activates and renews it. One runs for all Controllers.
///
/// What Secrets and ConfigMaps are in a cluster are folders of files below --config:
/// cpcl-config-cm/<key>, cpcl-key-cm/jwt.key, cwc-license-certs/{ca_root.crt,server.crt,server.key},
/// rabbitmq-client-certs/{ca-root-cert.pem,client-cert.pem,client-key.pem}. Its own keys are kept
/// there, too: cwc-lease-key, cwc-lease-jwks, cwc-report-key, cwc-auth-token; what is absent it makes.
#[derive(Debug, Parser)]
#[command(name = "spk-cwc", version)]
struct Cli {
    /// The folder of Secrets and ConfigMaps.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Where the state is kept: file:DIR.
    #[arg(long, value_name = "STORE")]
    store: Place,
    /// The bus: amqps://HOST:PORT, or local:SOCKET, which is then served.
    #[arg(long, value_name = "ADDRESS")]
    bus: Address,
    /// Where the REST API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:30881")]
    rest: SocketAddr,
    /// Where probes listen; on loopback also plain metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.2:8081")]
    probes: SocketAddr,
    /// Where metrics are served behind mutual TLS.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// A namespace whose Controller is registered; may be repeated.
    #[arg(long = "instance", value_name = "NAMESPACE")]
    instances: Vec<String>,
    /// The folder of resources whose usage is counted.
    #[arg(long, value_name = "DIR")]
    resources: Option<PathBuf>,
    /// Namespace of this CWC, for texts.
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
}

fn main() -> ExitCode {
    match carry_out(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spk-cwc: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<()> {
    let setup = Setup {
        config: cli.config,
        store: cli.store,
        bus: cli.bus,
        rest: cli.rest,
        probes: cli.probes,
        metrics: cli.metrics,
        instances: BTreeSet::from_iter(cli.instances),
        resources: cli.resources,
        namespace: cli.namespace,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(start::run(setup));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}
