//! `spkctl license reactivate`: a renewal, or trial to paid.
//!
//! Refuses a file that is no licence JWT before anything is sent, then follows the switch to its end.
//! Source: licensing.md §3.6, §14.1 (LIC-914).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use spk_jose::{Limits, unverified};
use spk_license::decode::bare;
use spk_license::token::LicenseToken;
use spk_license::view::license::License;
use spk_serving::clock;

use super::files;
use super::output::plain;
use super::site::{Connection, Site};
use super::status::steps;
use super::watch::{Change, Followed, duration, follow, in_words};

/// Arguments of `reactivate`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  spkctl license reactivate license.jwt --dry-run --jwks \
                       jwt.key\n  spkctl license reactivate license.jwt\n\nIn disconnected mode the \
                       switch ends with the receipt of a report: the commands are shown when the \
                       report is ready, and --until-report leaves then. Leaving early, also by \
                       Ctrl-C, stops nothing; the running licence stays in force until the end.\n\n\
                       Exit code 0: the new licence is in force (--until-report: its report is \
                       ready; --dry-run: the file can be sent). 1: refused, or not within --timeout.")]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// The new licence's JWT, as it is or as {"jwt":…}; `-` is standard input.
    file: PathBuf,
    /// Checks the file and sends nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leaves when the new licence's report is ready.
    #[arg(long, conflicts_with = "dry_run")]
    until_report: bool,
    /// Gives up following after this time, such as 90s or 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// The authority's keys, to verify the JWT before it is sent.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// A trusted issuer, for --jwks; may be given several times.
    #[arg(long, value_name = "NAME", default_value = "F5 Inc.")]
    issuer: Vec<String>,
}

/// Switches.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = bare(&files::read(&args.file)?);
    let order = order_type(&args.file, &text)?;
    if let Some(path) = &args.jwks {
        let now = u64::try_from(clock::wall().as_second()).unwrap_or(0);
        LicenseToken::verify(&text, &files::read_key_set(path)?, &args.issuer, now)
            .with_context(|| format!("{} is not good; nothing was sent", args.file.display()))?;
    }
    if args.dry_run {
        let checked = if args.jwks.is_some() { "verified" } else { "not verified; give --jwks" };
        files::emit(&format!(
            "{} holds a licence of type {order} ({checked}). Nothing was sent.\n",
            args.file.display()
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let site = args.connection.open()?;
    site.post("/reactivate", text, None)?;
    eprintln!("The CWC switches to the licence of type {order} …");
    follow_switch(args, &site, &order)
}

/// The order type of a licence JWT, which nobody verified.
fn order_type(path: &Path, text: &str) -> anyhow::Result<String> {
    let token = unverified::read(text, &Limits::JWT)
        .with_context(|| format!("{} holds no licence JWT; nothing was sent", path.display()))?;
    match token.payload.get("f5_order_type").and_then(Value::as_str) {
        Some(order) => Ok(plain(order)),
        None => bail!(
            "{} holds a token that is no licence JWT: it lacks f5_order_type. Nothing was sent; \
             spkctl license decode shows what it is",
            path.display()
        ),
    }
}

fn follow_switch(args: &Args, site: &Site, order: &str) -> anyhow::Result<ExitCode> {
    let mut told = false;
    let mut left = false;
    let done = |license: &License| {
        let Some(switch) = &license.slots.switch else { return true };
        if switch.state.offers_report() && !license.mode.sends() && !told {
            told = true;
            let mut text = String::new();
            steps(&mut text, &license.next_steps);
            eprintln!("The report of the new licence is ready.\n{}", text.trim_start());
        }
        left = told && args.until_report;
        left
    };
    let line = |change: &Change| {
        eprint!("{}", in_words(change));
        Ok(())
    };
    match site.runtime.block_on(follow(site, args.timeout, line, done)) {
        Followed::Done => {}
        Followed::Late => {
            bail!("the switch goes on, and has not ended in time; see spkctl license status");
        }
        Followed::Unheard(error) => return Err(error).context("cannot write"),
    }
    if left {
        return Ok(ExitCode::SUCCESS);
    }
    let license = site.license()?;
    let now = license.order_type.map(|order| order.to_string()).unwrap_or_default();
    if now != order || license.slots.switch.is_some() {
        bail!("the switch ended without the new licence; {now} stays in force");
    }
    files::emit(&format!("The licence of type {now} is in force.\n"))?;
    Ok(ExitCode::SUCCESS)
}
