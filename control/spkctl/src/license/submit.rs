//! `spkctl license submit`: the one step of the monthly exchange that needs the internet.
//!
//! Refuses a report or licence that cannot belong together before anything is sent, and an answer
//! that is not for this report. Sends the licence to the named host only, over TLS that was
//! verified. Source: licensing.md §5.1, §14.1 (LIC-912).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Uri};
use serde_json::json;
use spk_jose::{Limits, unverified};
use spk_license::decode::bare;
use spk_license::receipt::SignedReceipt;
use spk_license::report::{self, ReadReport};
use spk_license::upstream::{Answer, BODY_LIMIT, TIMEOUT, manifest};
use spk_serving::clock;
use spk_serving::https::{self, Bounds};
use uuid::Uuid;

use super::files;

/// Arguments of `submit`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Example:\n  spkctl license submit report.json --jwt-file license.jwt -o \
                       receipt.json\n\nA proxy is taken from HTTPS_PROXY and NO_PROXY. Exit code \
                       0: the receipt is written. 1: it is not; stderr says why."
)]
pub(super) struct Args {
    /// The report, as `spkctl license report` wrote it; `-` is standard input.
    file: PathBuf,
    /// The JWT of the licence that the report was made under.
    #[arg(long, value_name = "FILE")]
    jwt_file: PathBuf,
    /// Where the receipt is written; `-` is standard output.
    #[arg(short, long, value_name = "RECEIPT", default_value = "receipt.json")]
    output: PathBuf,
    /// Address of the licensing service.
    #[arg(long, value_name = "URL", env = "SPKCTL_UPSTREAM_URL", default_value = DEFAULT_URL)]
    url: Uri,
    /// A CA to trust beside those of the system, in PEM.
    #[arg(long, value_name = "FILE", env = "SPKCTL_UPSTREAM_CA")]
    upstream_ca: Option<PathBuf>,
    /// The authority's keys, to verify the receipt before it is written.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

/// Submits the report.
///
/// # Errors
///
/// Files that cannot be used, a service that does not answer or refuses, or an answer that is not
/// this report's receipt. Nothing is written then.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.url.scheme_str() != Some("https") || args.url.host().is_none() {
        bail!("--url {} is no https address; the licence travels with the report", args.url);
    }
    let text = bare(&files::read(&args.file)?);
    let report = report::read(&text)
        .with_context(|| format!("{} holds no good report", args.file.display()))?;
    let jwt = bare(&files::read(&args.jwt_file)?);
    check_license(args, &jwt, &report)?;
    let ca = args.upstream_ca.as_deref().map(files::read).transpose()?.unwrap_or_default();
    let keys = args.jwks.as_deref().map(files::read_key_set).transpose()?;
    let trace = Uuid::new_v4();
    let telemetry = &report.telemetry;
    eprintln!(
        "Submitting {} report {} of {} to {} to {} (trace {trace}) …",
        telemetry.report_type.as_str(),
        telemetry.report_id,
        telemetry.period.start,
        telemetry.period.end,
        args.url.host().unwrap_or_default(),
    );
    let receipt = bare(&post(args, &text, &jwt, telemetry.digital_asset_id, trace, &ca)?);
    check_receipt(&receipt, &report)?;
    if let Some(keys) = keys {
        SignedReceipt::read(&receipt, &keys).context("the service's receipt is not good")?;
    }
    files::write(&args.output, &format!("{}\n", json!({ "manifest": receipt })))?;
    eprintln!(
        "Receipt written to {path}. Next, where the cluster is: spkctl license receipt {path}",
        path = args.output.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Whether the licence is the report's; only the CWC and the service verify its signature.
fn check_license(args: &Args, jwt: &str, report: &ReadReport) -> anyhow::Result<()> {
    let token = unverified::read(jwt, &Limits::JWT)
        .with_context(|| format!("{} holds no licence JWT", args.jwt_file.display()))?;
    let jti = token.payload.get("jti").and_then(|jti| jti.as_str()).unwrap_or_default();
    if Uuid::try_parse(jti).ok() != Some(report.telemetry.license.jti) {
        bail!(
            "{} is not the licence that the report was made under ({} {}); nothing was sent",
            args.jwt_file.display(),
            report.telemetry.license.order_type,
            report.telemetry.license.jti,
        );
    }
    Ok(())
}

/// Whether the receipt names the report. Its signature is for the CWC to verify, or for `--jwks`.
fn check_receipt(receipt: &str, report: &ReadReport) -> anyhow::Result<()> {
    let token =
        unverified::read(receipt, &Limits::RECEIPT).context("the service answers no receipt")?;
    let names = |member: &str, wanted: &str| {
        token.payload.get(member).and_then(|value| value.as_str()) == Some(wanted)
    };
    let id = report.telemetry.report_id.to_string();
    if names("reportID", &id) && names("reportSha256", &report.sha256) {
        return Ok(());
    }
    bail!("the service answers a receipt of another report; nothing was written")
}

fn post(
    args: &Args,
    report: &str,
    jwt: &str,
    asset: Uuid,
    trace: Uuid,
    ca: &str,
) -> anyhow::Result<String> {
    // The form of the JWT was checked, so nothing in it can end the header early.
    let mut bearer = HeaderValue::from_str(&format!("Bearer {jwt}"))?;
    bearer.set_sensitive(true);
    let request = Request::post(&args.url)
        .header("F5-DigitalAssetId", asset.to_string())
        .header(USER_AGENT, "SPK")
        .header("F5-TraceId", trace.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, bearer)
        .body(Full::new(Bytes::from(json!({ "report": report }).to_string())))?;
    let bounds = Bounds { extra_roots: ca, within: TIMEOUT, body: BODY_LIMIT };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reply = runtime.block_on(https::send(request, bounds))?;
    let status = reply.status.as_u16();
    let retry_after = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let now = u64::try_from(clock::wall().as_second()).unwrap_or(0);
    let answer = Answer::Response { status, retry_after, body: &reply.body };
    manifest(answer, now).map_err(|failure| {
        let wait = failure.retry_after.map(|seconds| format!("; try again in {seconds} s"));
        let wait = match (wait, failure.temporary) {
            (Some(wait), _) => wait,
            (None, true) => "; try again later".to_owned(),
            (None, false) => String::new(),
        };
        let said = files::said(&reply.body);
        anyhow::anyhow!(
            "the service answers {}{said} ({}){wait}",
            reply.status,
            failure.code.code()
        )
    })
}

/// The documented address of the licensing service (licensing.md §5.1).
const DEFAULT_URL: &str = "https://product.apis.f5.com/ee/v1/entitlements/telemetry";
