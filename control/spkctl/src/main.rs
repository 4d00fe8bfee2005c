//! `spkctl`: the operator's command.
//!
//! Owns the command line; each subcommand is a module with its own arguments and outcome. Exit code
//! 0: done; 1: the answer is no; 2: the command could not be carried out.

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
    Validate(validate::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Validate(args) => validate::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("spkctl: {error:#}");
        ExitCode::from(2)
    })
}
