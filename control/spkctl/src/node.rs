//! `spkctl node`: asks and orders the spk-node of this machine, and asks its TMMs.
//!
//! Status goes over spk-node's Unix socket; flows, drops and statistics go to each TMM's
//! port 8750 with the state directory's certificates (operations.md §1.2, N20). Owns what people
//! see; decides nothing. Source: issue `packets` sections 4 and 7.

mod status;
mod table;
mod tmm;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use spk_node::layout::Layout;
use spk_node::socket::{Answer, NodeStatus, Request, ask};

/// Arguments of `spkctl node`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The stateDir of spk-node's node.yaml.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SPK_STATE_DIR",
        default_value = "/var/lib/spk-node"
    )]
    state_dir: PathBuf,
    /// Form of the output.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows TMMs, their gates and every resource with its conditions.
    Status,
    /// Lists live flows of the TMMs.
    Flows(tmm::FlowArgs),
    /// Shows dropped packets by reason.
    Drops(tmm::DropArgs),
    /// Shows tables of counters (operations handbook, section 7.1).
    Stats(tmm::StatArgs),
}

/// Carries out `args`.
///
/// # Errors
///
/// What could not be done; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let layout = Layout::new(&args.state_dir);
    match &args.command {
        Command::Status => status::show(&status_of(&layout)?, args.output),
        Command::Flows(flows) => tmm::flows(&layout, flows, args.output),
        Command::Drops(drops) => tmm::drops(&layout, drops, args.output),
        Command::Stats(stats) => tmm::stats(&layout, stats, args.output),
    }
}

/// Asks the socket; a refusal is an error.
fn order(layout: &Layout, request: Request) -> anyhow::Result<Answer> {
    let path = layout.socket();
    let answer = ask(&path, request).with_context(|| {
        format!(
            "no spk-node answers at {}; is it running, and is --state-dir its stateDir?",
            path.display()
        )
    })?;
    if let Answer::Refused { code, message } = answer {
        bail!("spk-node refuses: {message} ({code})");
    }
    Ok(answer)
}

fn status_of(layout: &Layout) -> anyhow::Result<NodeStatus> {
    match order(layout, Request::Status)? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused { .. } => bail!("spk-node gives another answer"),
    }
}

fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Writes `text`; a reader that left (`| head`) is no error.
fn emit(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
