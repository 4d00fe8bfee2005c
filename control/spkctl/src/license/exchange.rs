//! `spkctl license report` and `receipt`: the two steps of the monthly exchange at the cluster.
//!
//! Checks what comes and what goes: a report by its own key before it is written, a receipt by its
//! form, its asset and, with `--jwks`, its signature before it is sent.
//! Source: licensing.md §5.2, §14.1 (LIC-911, LIC-913).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value, json};
use spk_jose::{Limits, unverified};
use spk_license::codes::Code;
use spk_license::decode::bare;
use spk_license::receipt::SignedReceipt;
use spk_license::report::{self, Period, ReadReport, ReportType, ReportedUsage};
use spk_license::view::license::License;
use uuid::Uuid;

use super::output::Output;
use super::site::{Connection, Refused, Site};
use super::status::at;
use super::{NOT_YET, files};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  spkctl license report -o report.json\n  spkctl license report \
                       -o report.json --slot switch --format json\n\nNext: spkctl license submit, \
                       from a machine with internet access.\n\nExit code 0: the report is written. \
                       5: it is too early; stderr names the date. 1: there is none, and stderr says \
                       why."
)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    connection: Connection,
    /// Where the report is written, as {"report":…}.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Which report, if several wait: that of the running licence's month, or of the licence that is
    /// switched to. Without it the one that comes first.
    #[arg(long, value_enum)]
    slot: Option<SlotName>,
    /// Form of what is printed about the report.
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SlotName {
    Current,
    Switch,
}

/// What is printed about a report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "reportID")]
    id: Uuid,
    #[serde(rename = "type")]
    kind: ReportType,
    period: Period,
    sha256: String,
    usage: ReportedUsage,
}

/// Downloads the report.
pub(super) fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let site = args.connection.open()?;
    let path = match args.slot {
        None => "/report",
        Some(SlotName::Current) => "/report?slot=current",
        Some(SlotName::Switch) => "/report?slot=switch",
    };
    let body = match site.get(path) {
        Ok(body) => body,
        Err(error) => return too_early(error),
    };
    let text = bare(std::str::from_utf8(&body).context("the CWC answers no text")?);
    let report = report::read(&text).context("the CWC answers no good report")?;
    files::write(&args.output, &format!("{}\n", json!({ "report": text })))?;
    let ReadReport { telemetry, sha256, .. } = report;
    let told = Told {
        id: telemetry.report_id,
        kind: telemetry.report_type,
        period: telemetry.period,
        sha256,
        usage: telemetry.usage,
    };
    let shown = args.format.text(&told, || table(&told))?;
    if args.output == Path::new("-") {
        eprint!("{shown}");
        return Ok(ExitCode::SUCCESS);
    }
    files::emit(&shown)?;
    eprintln!(
        "Report written to {path}. Next, from a machine with internet access:\n  spkctl license \
         submit {path} --jwt-file license.jwt -o receipt.json",
        path = args.output.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Exit code 5 for a refusal that only time lifts.
fn too_early(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let refused = error.downcast::<Refused>()?;
    match refused.0.not_before {
        Some(date) if refused.0.code == Code::ReportNotReady.code() => {
            eprintln!("spkctl: not before {}: {}", at(date), refused.0.detail);
            Ok(ExitCode::from(NOT_YET))
        }
        Some(_) | None => Err(refused.into()),
    }
}

fn table(told: &Told) -> String {
    let Told { id, kind, period, sha256, usage } = told;
    format!(
        "Report     {} {id}\nPeriod     {} to {}\nSHA-256    {sha256}\nUsage      {} CPUs, {} \
         resources of {} kinds, {} samples, {} missed\n",
        kind.as_str(),
        at(period.start),
        at(period.end),
        usage.cpu_count,
        usage.total_crds,
        usage.unique_crds,
        usage.samples,
        usage.missed
    )
}

/// Arguments of `receipt`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  spkctl license receipt receipt.json\n  spkctl license receipt \
                       receipt.json --jwks jwt.key\n\nThe keys of --jwks are the value of jwt.key \
                       of ConfigMap cpcl-key-cm. Exit code 0: the CWC accepted the receipt. 1: it is \
                       refused, here or by the CWC; stderr says why."
)]
pub(super) struct ReceiptArgs {
    #[command(flatten)]
    connection: Connection,
    /// The receipt, as it is or as {"manifest":…}; `-` is standard input.
    file: PathBuf,
    /// The authority's keys, to verify the receipt before it is sent.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

/// Uploads the receipt.
pub(super) fn receipt(args: &ReceiptArgs) -> anyhow::Result<ExitCode> {
    let text = bare(&files::read(&args.file)?);
    let claims = claims(&args.file, &text)?;
    if let Some(path) = &args.jwks {
        SignedReceipt::read(&text, &files::read_key_set(path)?)
            .with_context(|| format!("{} is not good; nothing was sent", args.file.display()))?;
    }
    let site = args.connection.open()?;
    check_site(&args.file, &claims, &site.license()?)?;
    site.post("/receipt", text, None)?;
    accepted(&site)?;
    Ok(ExitCode::SUCCESS)
}

/// The members of a receipt, which nobody verified.
fn claims(path: &Path, text: &str) -> anyhow::Result<Map<String, Value>> {
    let token = unverified::read(text, &Limits::RECEIPT)
        .with_context(|| format!("{} holds no receipt; nothing was sent", path.display()))?;
    for member in ["digitalAssetID", "reportID", "reportSha256", "licenseJti"] {
        if !token.payload.contains_key(member) {
            bail!(
                "{} holds a token that is no receipt: it lacks {member}. Nothing was sent; \
                 spkctl license decode shows what it is",
                path.display()
            );
        }
    }
    Ok(token.payload)
}

/// Whether the receipt can be for this cluster and its report: a wrong one would block a trial.
fn check_site(path: &Path, claims: &Map<String, Value>, license: &License) -> anyhow::Result<()> {
    let id = |member: &str| {
        claims.get(member).and_then(Value::as_str).and_then(|text| Uuid::try_parse(text).ok())
    };
    let (asset, report) = (id("digitalAssetID"), id("reportID"));
    let told = |id: Option<Uuid>| id.map_or_else(|| String::from("none"), |id| id.to_string());
    if asset != license.digital_asset_id {
        bail!(
            "{} is for another cluster: digital asset {}, and this is {}. Nothing was sent",
            path.display(),
            told(asset),
            told(license.digital_asset_id)
        );
    }
    let slots = &license.slots;
    let waiting = [Some(&slots.license), slots.current.as_ref(), slots.switch.as_ref()]
        .into_iter()
        .flatten()
        .filter(|slot| slot.state.offers_report())
        .count();
    match &license.report {
        // Of several only the CWC knows all.
        Some(waits) if waiting == 1 && report != Some(waits.id) => bail!(
            "{} answers report {}, and the one that waits is {}. Nothing was sent; submit that one: \
             spkctl license report -o report.json",
            path.display(),
            told(report),
            waits.id
        ),
        Some(_) | None => Ok(()),
    }
}

/// Says what the licence is after a receipt was accepted.
fn accepted(site: &Site) -> anyhow::Result<()> {
    let license = site.license()?;
    files::emit(&format!(
        "Accepted. The licence is {} ({}), and traffic {}.\n",
        license.slots.license.text,
        license.slots.license.state.number(),
        match license.verdict.value {
            spk_entitlement::Verdict::Allow => "passes",
            spk_entitlement::Verdict::Warn => "passes, with a warning",
            spk_entitlement::Verdict::Block => "is still BLOCKED: see spkctl license status",
        }
    ))?;
    if let Some(step) = license.next_steps.iter().find(|step| step.not_before.is_some()) {
        eprintln!("Next: {}", step.text);
    }
    Ok(())
}
