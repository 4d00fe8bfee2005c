//! The `spk-authority` program.
//!
//! Owns the command line and the clock. Exit code 0: done; 1: the answer is no; 2: the command could
//! not be carried out.

mod forward;
mod identity;
mod office;
mod problem;
mod serve;
mod state;

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use spk_authority::issue::{End, Order};
use spk_authority::request;
use spk_jose::{Limits, RsaKeySize, RsaSigningKey};
use spk_license::token::OrderType;
use spk_serving::clock;
use spk_serving::log::{self, LogFormat};
use spk_serving::shutdown::Signals;
use spk_serving::tls::install_provider;
use spk_store::durable::{self, Access};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::forward::Upstream;
use crate::identity::Identity;
use crate::office::OfficeError;
use crate::serve::Role;
use crate::state::StateDir;

/// Issues licences and acknowledges usage reports: the licensing authority of a private
/// installation, and the one the tests use.
///
/// A licence (JWT) entitles one cluster. It becomes active when the cluster's first report was
/// acknowledged; after that a report comes each month. Who trusts this authority puts its key set
/// into ConfigMap cpcl-key-cm.
///
/// Begin with three commands:
///
///   spk-authority --state authority keygen
///
///   spk-authority --state authority jwks > jwt.key
///
///   spk-authority --state authority issue --type paid --cat @cat.txt --days 365 -o license.jwt
///
/// Then, once a month for a cluster without a way out (its /report, this, its /receipt):
///
///   spk-authority --state authority ack < report.json > manifest
///
/// or let clusters send their reports by themselves:
///
///   spk-authority --state authority serve --listen 0.0.0.0:443 --cert tls.crt --key tls.key
///
/// All of these may run at the same time on one state directory. It holds the private keys and what
/// was acknowledged: keep it secret, and keep a backup.
#[derive(Debug, Parser)]
#[command(
    name = "spk-authority",
    version,
    verbatim_doc_comment,
    propagate_version = true,
    after_help = "Exit code 0: done. 1: the answer is no, such as a report that is not \
                  acknowledged. 2: the command could not be carried out."
)]
struct Cli {
    /// The directory with keys and ledger.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SPK_AUTHORITY_STATE",
        default_value = "authority"
    )]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a signing key; the first one makes the authority.
    ///
    /// To change keys without an interruption: make the new one (`keygen --kid v2`), give the key
    /// set with both to all clusters (`jwks`), then sign with the new one (`sign-with v2`), and leave
    /// the old one out of the key set (`jwks --kid v2`) when no licence of it is in use.
    Keygen(Keygen),
    /// Signs with another key from now on.
    SignWith {
        /// Name of the key.
        kid: String,
    },
    /// Prints the public key set: key jwt.key of ConfigMap cpcl-key-cm.
    ///
    /// In a cluster:
    ///   kubectl create configmap cpcl-key-cm --from-file=jwt.key
    #[command(verbatim_doc_comment)]
    Jwks {
        /// Only this key; may be repeated. Without it: all keys.
        #[arg(long, value_name = "KID")]
        kid: Vec<String>,
    },
    /// Issues a licence.
    ///
    ///   spk-authority issue --type eval --cat CAT --for 90s        # a trial of 90 seconds
    ///   spk-authority issue --type paid --cat CAT --days 365
    ///   spk-authority issue --type ela  --cat CAT --until 2030-01-01T00:00:00Z
    ///
    /// Without an end a trial ends 30 days after its activation, and paid and ela never.
    #[command(verbatim_doc_comment)]
    Issue(Issue),
    /// Acknowledges a report.
    ///
    ///   spk-authority ack < report > manifest
    ///
    /// The report may be the token itself or what GET /report of the cluster printed. It is
    /// acknowledged if it was made under a licence of this authority, comes from the asset's own key
    /// and continues its chain. The same report may be acknowledged again.
    #[command(verbatim_doc_comment)]
    Ack(Acknowledge),
    /// Lets a cluster's chain of reports begin anew, after that cluster lost its state.
    Restart {
        /// The digital asset id, as the cluster's /status shows it.
        asset: Uuid,
    },
    /// Answers clusters that send their reports by themselves, and hands out the key set.
    ///
    ///   POST /ee/v1/entitlements/telemetry   {"report": ...} -> {"manifest": ...}
    ///   GET  /ee/v1/keys/jwks
    ///
    /// As a local licence manager it forwards to an authority, and needs no state:
    ///
    ///   spk-authority serve --role llm --upstream https://authority.example/ee/v1/entitlements/telemetry \
    ///                       --listen 0.0.0.0:443 --cert tls.crt --key tls.key
    ///
    /// Prints one line with its address when it is ready. Ends at SIGTERM or Ctrl-C.
    #[command(verbatim_doc_comment)]
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Keygen {
    /// Name of the key, 1 to 64 characters.
    #[arg(long, default_value = "v1")]
    kid: String,
    /// Bits of the key.
    #[arg(long, value_enum, default_value = "3072")]
    bits: Bits,
    /// `iss` of licences and receipts; clusters trust "F5 Inc." unless their values say otherwise.
    /// Counts for the first key only.
    #[arg(long, default_value = "F5 Inc.")]
    issuer: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bits {
    #[value(name = "2048")]
    Bits2048,
    #[value(name = "3072")]
    Bits3072,
    #[value(name = "4096")]
    Bits4096,
}

#[derive(Debug, Args)]
struct Issue {
    /// What was ordered: eval and freemium are trials, paid and ela are production.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["eval", "freemium", "paid", "ela"])]
    order_type: String,
    /// The customer association token: names the customer's subscription. @FILE reads it from a
    /// file, so that it does not stand in the list of processes.
    #[arg(long, value_name = "TEXT|@FILE")]
    cat: String,
    /// Claim f5_order_subtype, for some paid orders.
    #[arg(long, value_name = "TEXT")]
    subtype: Option<String>,
    #[command(flatten)]
    end: EndArgs,
    /// Signs with this key.
    #[arg(long)]
    kid: Option<String>,
    /// Writes the licence to this file, mode 0600, instead of printing it.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct EndArgs {
    /// Ends so many days of 24 hours from now.
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Ends then, for example 2030-01-01T00:00:00Z.
    #[arg(long, value_name = "RFC3339")]
    until: Option<Timestamp>,
    /// Ends so long from now, for example 90s, 15m or 36h.
    #[arg(long = "for", value_name = "TIME")]
    after: Option<SignedDuration>,
}

#[derive(Debug, Args)]
struct Acknowledge {
    /// Lowers the cluster's idea of time to the receipt's date: for a cluster whose clock was far
    /// ahead and is right again.
    #[arg(long)]
    reset_clock: bool,
    /// Signs with this key.
    #[arg(long)]
    kid: Option<String>,
    /// Writes the receipt to this file, mode 0600, instead of printing it.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The report; standard input without it.
    report: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen. Plain HTTP, without --cert, is for addresses of this machine only, for a
    /// licence is sent with each report.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Certificate chain in PEM. A renewed file is taken without a restart.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Acknowledges reports, or forwards them.
    #[arg(long, value_enum, default_value = "authority")]
    role: RoleName,
    /// Where a licence manager forwards to: an https address. Proxies are taken from HTTPS_PROXY and
    /// NO_PROXY.
    #[arg(long, value_name = "URL", required_if_eq("role", "llm"))]
    upstream: Option<String>,
    /// Trusts the certificates in this file as well as those of the system, for --upstream.
    #[arg(long, value_name = "FILE", requires = "upstream")]
    upstream_ca: Option<PathBuf>,
    /// Signs receipts with this key.
    #[arg(long)]
    kid: Option<String>,
    /// Form of log lines.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// Least severe lines that are shown.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: tracing::Level,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum RoleName {
    /// Acknowledges reports itself.
    Authority,
    /// Local licence manager: forwards each report as it is.
    Llm,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match carry_out(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<OfficeError>() {
                Some(refused) => eprintln!("spk-authority: {error:#} ({})", refused.code()),
                None => eprintln!("spk-authority: {error:#}"),
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// 1 if the answer is no, 2 if the command could not be carried out.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<OfficeError>() {
        Some(OfficeError::License(_) | OfficeError::Report(_) | OfficeError::Rejected(_)) => 1,
        Some(OfficeError::State(_) | OfficeError::Order(_)) | None => 2,
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<()> {
    let state = StateDir::at(&cli.state);
    match cli.command {
        Command::Keygen(args) => keygen(&state, &args),
        Command::SignWith { kid } => sign_with(&state, &kid),
        Command::Jwks { kid } => jwks(&state, &kid),
        Command::Issue(args) => issue(&state, args, clock::wall()),
        Command::Ack(args) => acknowledge(&state, &args, clock::wall()),
        Command::Restart { asset } => restart(&state, asset),
        Command::Serve(args) => serve(state, args),
    }
}

fn keygen(state: &StateDir, args: &Keygen) -> anyhow::Result<()> {
    let size = match args.bits {
        Bits::Bits2048 => RsaKeySize::Bits2048,
        Bits::Bits3072 => RsaKeySize::Bits3072,
        Bits::Bits4096 => RsaKeySize::Bits4096,
    };
    let key = RsaSigningKey::generate(&args.kid, size).context("no key was made")?;
    state.add_key(&key, &args.issuer)?;
    let signing = state.read()?.signing_key;
    if signing == args.kid {
        eprintln!("key {signing} is made and signs from now on");
    } else {
        eprintln!("key {} is made; key {signing} still signs, until: sign-with {0}", args.kid);
    }
    Ok(())
}

fn sign_with(state: &StateDir, kid: &str) -> anyhow::Result<()> {
    state.transact(|ledger| {
        ledger.signing_key = state.key(kid)?.kid().to_owned();
        Ok::<(), OfficeError>(())
    })??;
    eprintln!("key {kid} signs from now on");
    Ok(())
}

fn jwks(state: &StateDir, kids: &[String]) -> anyhow::Result<()> {
    let keys = if kids.is_empty() {
        state.keys()?
    } else {
        kids.iter().map(|kid| state.key(kid)).collect::<Result<_, _>>()?
    };
    print!("{}", RsaSigningKey::key_set(&keys));
    Ok(())
}

fn issue(state: &StateDir, args: Issue, now: Timestamp) -> anyhow::Result<()> {
    let order_type = OrderType::from_text(&args.order_type).context("no such type")?;
    let end = match args.end {
        EndArgs { days: Some(days), .. } => End::Days(days),
        EndArgs { until: Some(at), .. } => End::At(at),
        EndArgs { after: Some(time), .. } => End::After(time),
        EndArgs { days: None, until: None, after: None } => End::Open,
    };
    let cat = match args.cat.strip_prefix('@') {
        None => args.cat,
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {path}"))?
            .trim()
            .to_owned(),
    };
    let order = Order { order_type, subtype: args.subtype, cat, end };
    let token = office::issue(state, &order, args.kid.as_deref(), now)?;
    if let Some(ends) = order.end.seconds(now)? {
        let ends = spk_license::calendar::instant(ends);
        let past = if ends <= now { "; that is past, so no cluster will take it" } else { "" };
        eprintln!("licence of type {order_type} ends at {ends}{past}");
    }
    hand_out(&token, args.out.as_deref())
}

fn acknowledge(state: &StateDir, args: &Acknowledge, now: Timestamp) -> anyhow::Result<()> {
    let mut text = String::new();
    // White space and the JSON around a report are small beside it.
    let most = 2 * Limits::REPORT.total as u64;
    match &args.report {
        None => io::stdin().take(most).read_to_string(&mut text).context("standard input")?,
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(most).read_to_string(&mut text))
            .with_context(|| format!("cannot read {}", path.display()))?,
    };
    let report = request::token_in(&text, "report")
        .context("the input is neither a report nor JSON with a member report")?;
    let receipt = office::acknowledge(state, &report, args.kid.as_deref(), args.reset_clock, now)?;
    eprintln!("report {} of asset {} is acknowledged", receipt.report, receipt.asset);
    hand_out(&receipt.manifest, args.out.as_deref())
}

fn restart(state: &StateDir, asset: Uuid) -> anyhow::Result<()> {
    let known = state.transact(|ledger| Ok::<_, OfficeError>(ledger.restart(asset)))??;
    ensure!(known, "no report of asset {asset} was ever acknowledged");
    eprintln!("the next report of asset {asset} must have sequence 1 or more and no previous one");
    Ok(())
}

/// Prints a token, or writes it to `file`, readable by its owner only.
fn hand_out(token: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let text = format!("{token}\n");
    match file {
        None => io::stdout().write_all(text.as_bytes()).context("standard output"),
        Some(path) => durable::write(&std::path::absolute(path)?, text.as_bytes(), Access::Private)
            .with_context(|| format!("cannot write {}", path.display())),
    }
}

fn serve(state: StateDir, args: Serve) -> anyhow::Result<()> {
    log::start("spk-authority", args.log_format, args.log_level);
    install_provider();
    let identity = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Some(Identity::open(cert, key)?),
        (None, None) if args.listen.ip().is_loopback() => None,
        (None, None) => {
            bail!("plain HTTP is for addresses of this machine only; give --cert and --key")
        }
        (Some(_), None) | (None, Some(_)) => bail!("--cert and --key belong together"),
    };
    let role = match args.role {
        RoleName::Authority => {
            // Said at the start rather than with the first report.
            let signing = state.read()?.signing_key;
            state.key(args.kid.as_ref().unwrap_or(&signing))?;
            Role::Authority { state, kid: args.kid, clock: clock::wall }
        }
        RoleName::Llm => {
            let url = args.upstream.context("--role llm needs --upstream")?;
            Role::Forwarder(Upstream::new(&url, args.upstream_ca)?)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut signals = Signals::new().context("cannot take signals")?;
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        let scheme = if identity.is_some() { "https" } else { "http" };
        let address = listener.local_addr().context("own address")?;
        println!("{scheme}://{address}{}", request::TELEMETRY_PATH);
        io::stdout().flush().context("standard output")?;
        tracing::info!(%address, role = ?args.role, "listening");
        serve::serve(listener, identity, role, signals.next()).await;
        tracing::info!("ended");
        Ok(())
    })
}
