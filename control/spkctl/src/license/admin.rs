//! `spkctl license clock accept`, `reset` and `confirm-upgrade`: what wants the bearer token.
//!
//! Owns asking a person first. Source: licensing.md §4.2 (LIC-329), §14.1 (LIC-918).

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, Subcommand};

use super::files;
use super::site::{Connection, Site};

/// Arguments of `clock`.
#[derive(Debug, ClapArgs)]
pub(super) struct ClockArgs {
    #[command(subcommand)]
    command: ClockCommand,
}

#[derive(Debug, Subcommand)]
enum ClockCommand {
    /// Takes a jump of the clock as true.
    ///
    /// After a jump of more than 30 days the CWC keeps its own time and warns. Correct the node's
    /// clock if it is wrong; if it is right, accept it with this.
    Accept(Args),
}

/// Arguments of what wants the token.
#[derive(Debug, ClapArgs)]
#[command(
    after_long_help = "Example:\n  spkctl license clock accept --token-file token\n  spkctl license \
                       reset --yes --token-file token\n\nThe token is key token of Secret \
                       cwc-auth-token. Exit code 0: done. 1: refused, or not confirmed."
)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// File of the bearer token; with --state-dir or a profile theirs is used.
    #[arg(long, value_name = "FILE", env = "SPKCTL_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Does not ask.
    #[arg(short, long)]
    yes: bool,
}

/// K7.
pub(super) fn clock(args: &ClockArgs) -> anyhow::Result<ExitCode> {
    let ClockCommand::Accept(args) = &args.command;
    let (site, token) = args.open()?;
    let clock = site.license()?.clock;
    let what = format!(
        "The wall clock says {}; the CWC counts {} ({}).\nIt will take the wall clock as true, for \
         good: a licence that ends before then has ended.",
        clock.wall, clock.trusted, clock.state
    );
    args.confirm(&what)?;
    site.post("/v1/clock/accept", String::new(), Some(&token))?;
    files::emit("The clock is accepted.\n")?;
    Ok(ExitCode::SUCCESS)
}

/// P6.
pub(super) fn reset(args: &Args) -> anyhow::Result<ExitCode> {
    let (site, token) = args.open()?;
    let asset = site.license()?.digital_asset_id.map(|id| id.to_string());
    let what = format!(
        "The stored state of digital asset {} will be given up, for good. The CWC gets a new digital \
         asset id and must be activated anew; a good copy of the state, if there is one, is better: \
         spkctl license restore.",
        asset.unwrap_or_else(|| String::from("(none)"))
    );
    args.confirm(&what)?;
    site.post("/v1/license/reset", String::new(), Some(&token))?;
    files::emit("The state is reset. Next: spkctl license status\n")?;
    Ok(ExitCode::SUCCESS)
}

/// P11.
pub(super) fn confirm_upgrade(args: &Args) -> anyhow::Result<ExitCode> {
    let (site, token) = args.open()?;
    args.confirm(
        "The CWC will write its state in the form of this release from now on: the release before \
         can then no longer read it.",
    )?;
    site.post("/v1/upgrade/confirm", String::new(), Some(&token))?;
    files::emit("The upgrade is confirmed.\n")?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn open(&self) -> anyhow::Result<(Site, String)> {
        let site = self.connection.open()?;
        let file = self.token_file.as_ref().or(site.token_file.as_ref()).context(
            "this wants the bearer token: give --token-file (key token of Secret cwc-auth-token)",
        )?;
        let token = files::read(file)?.trim().to_owned();
        if token.is_empty() || token.contains(char::is_whitespace) {
            bail!("{} holds no token", file.display());
        }
        Ok((site, token))
    }

    /// Goes on only if a person types yes, or `--yes` was given.
    fn confirm(&self, what: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        eprint!("{what}\nType yes to go on: ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).context("cannot read the answer")?;
        if answer.trim() != "yes" {
            bail!("not confirmed; nothing was done");
        }
        Ok(())
    }
}
