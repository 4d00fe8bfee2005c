//! `spkctl license`: licence tokens and the monthly exchange of report and receipt.
//!
//! Owns the commands and their exit codes; what a token says and whether it is good is
//! `spk_license`'s. Exit code 0: done; 1: failed, with the reason on stderr; 2: usage.
//! Source: licensing.md §14.1.

mod decode;
mod files;
mod submit;

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

/// Arguments of `spkctl license`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a licence JWT, report, receipt or lease, and says whether it is good. Offline.
    Decode(decode::Args),
    /// Submits a report to the licensing service and writes the receipt. Needs internet access and
    /// no cluster.
    Submit(submit::Args),
}

/// Carries out `args`; what fails is told on stderr.
pub fn run(args: &Args) -> ExitCode {
    let outcome = match &args.command {
        Command::Decode(args) => decode::run(args),
        Command::Submit(args) => submit::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spkctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}
