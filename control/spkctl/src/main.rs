//! `spkctl`: the operator's command.
//!
//! Owns the command line; each subcommand is a module with its own arguments and outcome. Exit code
//! 0: done; 1: the answer is no; 2: the command could not be carried out. `license` has its own.

mod license;
mod node;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at and works with the service proxy.
#[derive(Debug, Parser)]
#[command(
    name = "spkctl",
    version,
    propagate_version = true,
    after_help = "Exit code 0: done. 1: the answer is no, such as a refused resource. 2: the \
                  command could not be carried out.\n\nFirst steps:\n  spkctl validate -f \
                  my-resources/      what the controller would say to these files"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says what the controller would say to custom resources, without a cluster.
    ///
    /// Every object is checked as the API server checks it (unknown fields, types, ranges, CEL rules)
    /// and as the controller does (rules between objects, functions that this build does not have).
    /// Services and EndpointSlices in the files are used to resolve references; a reference that
    /// leads nowhere is a note, not a refusal, as all else of the object would be programmed.
    Validate(validate::Args),
    /// Works with licence tokens, reports and receipts.
    License(Box<license::Args>),
    /// Works with the spk-node of this machine: status, leases, flows, drops, counters.
    Node(node::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::License(args) => Ok(license::run(&args)),
        Command::Validate(args) => validate::run(&args),
        Command::Node(args) => node::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("spkctl: {error:#}");
        ExitCode::from(2)
    })
}
