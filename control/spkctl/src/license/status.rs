//! `spkctl license status`: what stands, when and why traffic stops, and what to do next.
//!
//! Shows the object of `/v1/license`; decides nothing but the exit code.
//! Source: licensing.md §4.4, §14.1 (LIC-342, LIC-910, LIC-919).

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Deserialize;
use spk_entitlement::{Class, Verdict};
use spk_license::settings::Mode;
use spk_license::view::license::{License, SlotState};
use spk_license::view::steps::NextStep;

use super::output::{Output, plain};
use super::site::Connection;
use super::{BLOCKED, WARNING, files};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  spkctl license status --cwc https://node-1:30881 --cacert \
                       ca_root.crt --cert client.crt --key client.key\n  spkctl license status -o \
                       json | jq .stopsAt\n\nExit code 0: traffic may pass and nothing is to be \
                       warned of. 3: it may not, or the licence is not active. 4: it may, and there \
                       is a warning. 1: the CWC does not answer."
)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Form of the output; json and yaml are the object of /v1/license.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Shows the licence.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let site = args.connection.open()?;
    let license = site.license()?;
    let calendar = match args.output {
        Output::Table => serde_json::from_slice(&site.get("/v1/telemetry")?)?,
        Output::Json | Output::Yaml => Calendar::default(),
    };
    files::emit(&args.output.text(&license, || table(&license, &calendar))?)?;
    Ok(ExitCode::from(code(&license)))
}

/// The exit code for `license`.
fn code(license: &License) -> u8 {
    let warned = !license.warnings.is_empty() || license.error.is_some();
    match (license.verdict.value, license.active) {
        (Verdict::Block, _) | (_, false) => BLOCKED,
        (Verdict::Warn, true) => WARNING,
        (Verdict::Allow, true) => {
            if warned {
                WARNING
            } else {
                0
            }
        }
    }
}

/// What of `/v1/telemetry` is shown.
#[derive(Debug, Default, Deserialize)]
struct Calendar {
    window: Option<Span>,
    upcoming: Vec<Span>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Span {
    start: Timestamp,
    end: Timestamp,
}

fn table(license: &License, calendar: &Calendar) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<11}{}", plain(&value));
    };
    line("Licence", kind(license));
    line("State", state(&license.slots.license));
    let verdict = &license.verdict;
    line(
        "Traffic",
        format!("{}: {}, since {}", word(verdict.value), verdict.reason.code(), at(verdict.since)),
    );
    line("Stops", stops(license));
    line(
        "Expires",
        license.expiry.map_or_else(
            || String::from("no end is known"),
            |end| format!("{} ({} days)", at(end.date), end.days),
        ),
    );
    let asset = license.digital_asset_id.map(|id| id.to_string());
    line("Asset", asset.unwrap_or_else(|| String::from("none yet")));
    line("Mode", mode(license.mode).to_owned());
    let clock = &license.clock;
    line("Clock", format!("{}, {}", clock.state, at(clock.trusted)));
    if let Some(switch) = &license.slots.switch {
        line("Switch", state(switch));
    }
    if let Some(error) = &license.error {
        line("Error", format!("{} ({})", error.text, error.code));
        line("", error.action.clone());
    }
    for warning in &license.warnings {
        let since = at(warning.since);
        line("Warning", format!("{} ({}, since {since})", warning.text, warning.code));
    }
    reports(&mut text, license, calendar);
    controllers(&mut text, license);
    steps(&mut text, &license.next_steps);
    text
}

fn kind(license: &License) -> String {
    let class = match license.class {
        Class::Unactivated => "not activated",
        Class::Trial => "trial",
        Class::Production => "production",
    };
    let order = license.order_type.map(|order| format!(" ({order})"));
    format!("{class}{}", order.unwrap_or_default())
}

fn state(slot: &SlotState) -> String {
    format!("{} ({}), since {}", slot.text, slot.state.number(), at(slot.since))
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "passes",
        Verdict::Warn => "passes, with a warning",
        Verdict::Block => "BLOCKED",
    }
}

/// When and why traffic stops if nothing is done.
fn stops(license: &License) -> String {
    match (license.stops_at, license.stops_because, license.verdict.value) {
        (Some(since), Some(reason), Verdict::Block) => {
            format!("stopped since {}, because of {}", at(since), reason.code())
        }
        (Some(end), Some(reason), Verdict::Allow | Verdict::Warn) => {
            format!("{} if nothing is done, because of {}", at(end), reason.code())
        }
        (_, _, _) => String::from("never by itself"),
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Disconnected => "disconnected: reports are carried by hand",
        Mode::Connected => "connected: reports are sent to the licensing service",
        Mode::Mediated => "mediated: reports are sent to a local licence manager",
    }
}

fn reports(text: &mut String, license: &License, calendar: &Calendar) {
    let _ = writeln!(text, "\nReports");
    if let Some(report) = &license.report {
        let period = &report.period;
        let _ = writeln!(
            text,
            "  waits for its receipt   {} {}, {} to {}, downloaded {} times",
            report.kind.as_str(),
            report.id,
            at(period.start),
            at(period.end),
            report.downloads
        );
    }
    let open = calendar.window.map(|span| ("counts now", span));
    let next = calendar.upcoming.iter().take(UPCOMING).map(|span| ("to come", *span));
    for (what, span) in open.into_iter().chain(next) {
        let (start, end) = (at(span.start), at(span.end));
        let _ = writeln!(text, "  {what:<22}  {start} to {end}; download from then on");
    }
    if license.report.is_none() && calendar.window.is_none() {
        let _ = writeln!(text, "  none yet");
    }
}

fn controllers(text: &mut String, license: &License) {
    let _ = writeln!(text, "\nControllers");
    if license.controllers.is_empty() {
        let _ = writeln!(text, "  none is registered");
    }
    for controller in &license.controllers {
        let seen = controller.last_seen.map_or_else(
            || String::from("not heard of yet"),
            |seen| format!("last heard of {}", at(seen)),
        );
        let _ = writeln!(text, "  {}: {seen}", plain(&controller.namespace));
        for tmm in &controller.tmms {
            let reason = tmm.reason.map(|reason| format!(", {}", reason.code()));
            let lease = tmm.lease_remaining.map(|left| format!(", lease ends in {left} s"));
            let _ = writeln!(
                text,
                "    {:<16}gate {}{}{}",
                plain(&tmm.name),
                plain(&tmm.gate),
                reason.unwrap_or_default(),
                lease.unwrap_or_default()
            );
        }
    }
}

/// The next steps, numbered, with their commands on lines of their own.
pub(super) fn steps(text: &mut String, steps: &[NextStep]) {
    let _ = writeln!(text, "\nNext");
    if steps.is_empty() {
        let _ = writeln!(text, "  nothing has to be done");
    }
    for (index, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "  {}. {}", index + 1, plain(&step.text));
        if let Some(command) = &step.command {
            let _ = writeln!(text, "     $ {}", plain(command));
        }
    }
}

/// A date to the second.
pub(super) fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How many windows to come are shown.
const UPCOMING: usize = 2;

#[cfg(test)]
mod tests;
