//! The `spk-node` program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use spk_node::node::{self, AtEnd};
use spk_node::settings::{EXAMPLE, NodeSettings};
use spk_serving::log::{self, LogFormat};

/// The Controller of one machine without Kubernetes: it turns a directory of YAML resources into
/// the configuration of one or more TMMs, starts them, watches them and restarts them.
///
/// Begin with three commands:
///
///   spk-node example > node.yaml
///
///   spk-node run --config node.yaml
///
///   spkctl node lease open
///
/// Then put resources (F5SPKVlan, F5SPKIngressTCP, Service, EndpointSlice, ...) as YAML files into
/// resourceDir. Each change is applied within a second; what became of it stands beside the file as
/// <file>.status.yaml. `spkctl validate -f FILE` says the same beforehand.
///
/// Traffic passes only while a signed lease holds. Until a CWC is there, spk-node signs leases
/// itself when told to (`spkctl node lease open`); each status then says self-issued.
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
        Command::Check { config } => {
            load(&config)?;
            println!("{} is good", config.display());
            Ok(())
        }
        Command::Run { config, leave_running, log_format, log_level } => {
            let settings = load(&config)?;
            log::start("spk-node", log_format, log_level);
            let at_end = if leave_running { AtEnd::LeaveTmms } else { AtEnd::StopTmms };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("cannot start threads")?;
            let ended = runtime.block_on(node::run(settings, at_end));
            runtime.shutdown_background();
            ended.map_err(Into::into)
        }
    }
}

fn load(path: &std::path::Path) -> anyhow::Result<NodeSettings> {
    NodeSettings::load(path).with_context(|| format!("{} is refused", path.display()))
}
