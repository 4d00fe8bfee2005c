//! The `spk-node` program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use spk_node::node::{self, AtEnd};
use spk_node::settings::{EXAMPLE, NodeSettings};
use spk_node::site::{self, SitePlan};
use spk_serving::log::{self, LogFormat};

/// The Controller of one machine without Kubernetes: it turns a directory of YAML resources into
/// the configuration of one or more TMMs, starts them, watches them and restarts them.
///
/// Begin with three commands (as root, on a bare machine):
///
///   spk-node init /etc/spk-node --jwt license.jwt --jwks jwks.json
///
///   spk-node activate /etc/spk-node
///
///   systemctl enable --now spk-node       (or: spk-node run --config /etc/spk-node/node.yaml)
///
/// Then put resources (F5SPKVlan, F5SPKIngressTCP, Service, EndpointSlice, ...) as YAML files into
/// resourceDir. Each change is applied within a second; what became of it stands beside the file as
/// <file>.status.yaml. `spkctl validate -f FILE` says the same beforehand.
///
/// Traffic passes only under a verified licence: spk-node runs the CWC (section `cwc` of node.yaml),
/// which signs the leases that open the gates. `spkctl license status` says what to do next.
#[derive(Debug, Parser)]
#[command(name = "spk-node", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until SIGTERM or Ctrl-C, then stops the TMMs.
    Run {
        /// The settings file; `spk-node example` prints a documented one.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Leaves the TMMs running at the end; the next spk-node adopts them.
        #[arg(long)]
        leave_running: bool,
        /// Form of log lines.
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
        /// Least severe lines that are shown.
        #[arg(long, value_name = "LEVEL", default_value = "info")]
        log_level: tracing::Level,
    },
    /// Makes a site: node.yaml, certificates, keys and sample resources. Nothing that is there is
    /// overwritten.
    Init {
        /// Where the site's files go.
        #[arg(value_name = "DIR", default_value = "/etc/spk-node")]
        dir: PathBuf,
        /// Where everything lies that must survive a restart.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/spk-node")]
        state_dir: PathBuf,
        /// The licence (JWT); copied with mode 0600. May be given later, to `activate`.
        #[arg(long, value_name = "FILE")]
        jwt: Option<PathBuf>,
        /// The authority's public keys (JWKS). May be given later, to `activate`.
        #[arg(long, value_name = "FILE")]
        jwks: Option<PathBuf>,
        /// The authority's address: reports then go there by themselves (connected mode).
        #[arg(long, value_name = "URL")]
        upstream: Option<String>,
        /// PEM of the CA of that address, if it is a private one.
        #[arg(long, value_name = "FILE", requires = "upstream")]
        upstream_ca: Option<PathBuf>,
        /// Interfaces of ports 1.1 and 1.2.
        #[arg(long, value_name = "NAME", num_args = 2, default_values = ["ext0", "int0"])]
        interfaces: Vec<String>,
    },
    /// Puts a licence in place, after a look whether the authority signed it.
    Activate {
        /// The site's files.
        #[arg(value_name = "DIR", default_value = "/etc/spk-node")]
        dir: PathBuf,
        /// The licence (JWT), if it was not given to `init`.
        #[arg(long, value_name = "FILE")]
        jwt: Option<PathBuf>,
        /// The authority's public keys (JWKS), if they were not given to `init`.
        #[arg(long, value_name = "FILE")]
        jwks: Option<PathBuf>,
    },
    /// Prints a documented node.yaml with every field.
    Example,
    /// Says what is wrong with a node.yaml; exit code 1 if anything is.
    Check {
        /// The settings file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spk-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Example => {
            print!("{EXAMPLE}");
            Ok(())
        }
        Command::Init { dir, state_dir, jwt, jwks, upstream, upstream_ca, interfaces } => {
            let [external, internal] = <[String; 2]>::try_from(interfaces)
                .map_err(|_| anyhow::anyhow!("--interfaces takes two names"))?;
            let plan =
                SitePlan { dir, state_dir, jwt, jwks, upstream, upstream_ca, external, internal };
            print!("{}", site::init(&plan)?);
            Ok(())
        }
        Command::Activate { dir, jwt, jwks } => {
            print!("{}", site::activate(&dir, jwt.as_deref(), jwks.as_deref())?);
            Ok(())
        }
        Command::Check { config } => {
            load(&config)?;
            println!("{} is good", config.display());
            Ok(())
        }
        Command::Run { config, leave_running, log_format, log_level } => {
            let settings = load(&config)?;
            let log = log::start("spk-node", log_format, log_level);
            let at_end = if leave_running { AtEnd::LeaveTmms } else { AtEnd::StopTmms };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("cannot start threads")?;
            let ended = runtime.block_on(node::run(settings, at_end, log));
            runtime.shutdown_background();
            ended.map_err(Into::into)
        }
    }
}

fn load(path: &std::path::Path) -> anyhow::Result<NodeSettings> {
    NodeSettings::load(path).with_context(|| format!("{} is refused", path.display()))
}
