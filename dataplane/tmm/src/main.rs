//! The traffic management microkernel: one data plane process.
//!
//! `main` reads the settings, starts the data plane, runs the control side until SIGTERM, drains and
//! ends. Everything it needs comes from `--config DIR` and the environment, in a pod and on one
//! machine alike.

mod clock;
mod control;
mod cores;
mod flow_listing;
mod log;
mod mac;
mod packet_thread;
mod ports;
mod random;
mod run;
mod sample;
mod settings;
mod shared;
mod sizing;
mod start;
mod transmit;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::log::LogLayer;
use crate::settings::Settings;

/// Moves packets for one replica of a service proxy.
#[derive(Debug, Parser)]
#[command(version, after_long_help = FILES)]
struct Arguments {
    /// Directory with tmm.yaml, certificates and keys; see below
    #[arg(long, value_name = "DIR", default_value = "/etc/spk")]
    config: PathBuf,
    /// Reads and checks the settings, then ends
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let names: Vec<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let variable = |name: &str| std::env::var(name).ok();
    let settings = match Settings::read(&arguments.config, &variable, &names) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("tmm: {error} ({})", error.code());
            return ExitCode::FAILURE;
        }
    };
    if arguments.check {
        println!("{}: well formed", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    let layer = LogLayer::new(&settings.pod_name, settings.log_level, Box::new(std::io::stdout()));
    tracing_subscriber::registry().with(layer).init();
    match run::run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::failed(error.code(), &error.to_string());
            eprintln!("tmm: {error} ({})", error.code());
            ExitCode::FAILURE
        }
    }
}

/// The long help's second half.
const FILES: &str = r#"FILES under --config DIR
  tmm.yaml                          how this process runs (a ConfigMap in a pod)
  certs/ca_root.crt                 CA of the controllers that may connect
  certs/grpc-svc.crt                own certificate for gRPC, with the name grpc-svc
  keys/grpc-svc.key                 its key
  license/jwks.json                 keys that may sign leases; without it the gate stays closed
  podinfo/name, uid, namespace      used where POD_NAME, POD_UID, POD_NAMESPACE are not set
  podinfo/annotations               k8s.f5net.com/replica-index="N", 0 if absent

tmm.yaml
  clusterUid: 2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a10   # MAC addresses derive from it
  listen: 127.0.0.4:8750            # gRPC with mTLS
  probes: 127.0.0.4:8081            # /healthz and /readyz, plain HTTP
  metrics: 127.0.0.4:9090           # /metrics, plain HTTP
  memory: 512                       # MiB for packet buffers and flow tables together, 32 or more
  hugepages: true                   # false: ordinary pages, slower, works everywhere
  flows: 65536                      # most flows of each IP version, 64 or more
  drainSeconds: 10                  # old flows are served so long after SIGTERM
  cache: /var/run/spk/cache         # a latched process resumes from here; default: it does not
  ports:                            # interface 1.N; kind and device:
  - {name: "1.1", kind: afXdp, device: ext0}
    # afXdp, afPacket: a kernel interface     tap: a tap to be made
    # memif: socket of a memif server         virtioUser: path of a vhost-user socket
    # pci: address of a function on vfio-pci  pcap: IN.pcap,OUT.pcap
    # ring: own output is own input           null: no device

ENVIRONMENT
  POD_NAME, POD_UID, POD_NAMESPACE  who this is; leases are bound to the UID
  PAL_CPU_SET                       CPUs of packet threads, such as 1,2 or 4-7; default: all that
                                    this process may use
  TMM_LOG_LEVEL                     Error, Warning, Notice (default), Info or Debug

The log goes to standard output. Exit code 0 after SIGTERM, 1 if the process cannot start or run."#;
