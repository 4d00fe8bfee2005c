//! `spkctl license decode`: a token for a screen.
//!
//! Source: licensing.md §14.1 (LIC-916).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use spk_jose::Jwks;
use spk_license::decode::{DecodeKeys, Decoded, TokenKind, Verification, decode};
use spk_serving::clock;

use super::files;
use super::output::{Output, plain};

/// Arguments of `decode`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  spkctl license decode license.jwt --jwks jwt.key\n  spkctl \
                       license decode report.json\n  spkctl license decode lease.jws \
                       --lease-jwks jwks.json -o json\n\nExit code 0: the token is good, or no \
                       keys were given to check it with. 1: it is not good, or it is no token."
)]
pub(super) struct Args {
    /// The token, as it is or as {"report":…}, {"manifest":…}, {"jwt":…}; `-` is standard input.
    file: PathBuf,
    /// The authority's keys, to verify a licence or a receipt: jwt.key of ConfigMap cpcl-key-cm.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The CWC's keys, to verify a lease: jwks.json of Secret cwc-lease-jwks.
    #[arg(long, value_name = "FILE")]
    lease_jwks: Option<PathBuf>,
    /// A trusted issuer of licences; may be given several times.
    #[arg(long, value_name = "NAME", default_value = "F5 Inc.")]
    issuer: Vec<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Shows the token.
///
/// # Errors
///
/// A file that cannot be read, a text that is no token, or a token that is not good; the last one is
/// shown all the same.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = files::read(&args.file)?;
    let authority = args.jwks.as_deref().map(files::read_key_set).transpose()?;
    let lease = match &args.lease_jwks {
        None => None,
        Some(path) => Some(
            Jwks::parse(&files::read(path)?)
                .with_context(|| format!("{} is no usable key set", path.display()))?,
        ),
    };
    let now = u64::try_from(clock::wall().as_second()).unwrap_or(0);
    let (authority, lease) = (authority.as_ref(), lease.as_ref());
    let keys = DecodeKeys { authority, lease, issuers: &args.issuer, now };
    let token = decode(&text, &keys)
        .with_context(|| format!("{} holds no token to show", args.file.display()))?;
    files::emit(&args.output.text(&token, || table(&token))?)?;
    match token.verification {
        Verification::Good { .. } | Verification::Unknown => Ok(ExitCode::SUCCESS),
        Verification::Bad { code, text } => bail!("{} is not good: {text} ({code})", token.kind),
    }
}

fn table(token: &Decoded) -> String {
    let verification = match (&token.verification, token.kind) {
        (Verification::Good { kid }, _) => format!("good, by key {kid}"),
        (Verification::Bad { code, text }, _) => format!("NOT GOOD: {text} ({code})"),
        (Verification::Unknown, TokenKind::Lease | TokenKind::Debug) => {
            "not checked; give --lease-jwks".to_owned()
        }
        (Verification::Unknown, TokenKind::License | TokenKind::Receipt | TokenKind::Report) => {
            "not checked; give --jwks".to_owned()
        }
    };
    let mut text = format!(
        "Kind       {} {}\nSignature  {verification}\nSHA-256    {}\n",
        token.kind, token.name, token.sha256
    );
    section(&mut text, "Header", &token.header, token);
    section(&mut text, "Payload", &token.payload, token);
    text
}

fn section(text: &mut String, title: &str, members: &Map<String, Value>, token: &Decoded) {
    let width = members.keys().map(String::len).max().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{title}");
    for (name, value) in members {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let shown = plain(&shown);
        let date = token.dates.get(name).map(|at| format!("  ({at})")).unwrap_or_default();
        let _ = writeln!(text, "  {name:width$}  {shown}{date}");
    }
}
