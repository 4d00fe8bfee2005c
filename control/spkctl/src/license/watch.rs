//! `spkctl license watch`: one line for each change, from the CWC's server-sent events.
//!
//! Owns reading the stream, going on after it broke, and the states that end it. Source: licensing.md
//! §4.2, §14.1 (LIC-915).

mod stream;

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jiff::SignedDuration;
use spk_license::state::State;
use spk_license::view::license::License;
use spk_serving::clock;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::output::{Output, plain};
use super::site::{Connection, Site};
use super::status::at;
pub(super) use stream::Change;
use stream::Stream;

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  spkctl license watch\n  spkctl license watch --until report \
                       --timeout 1m && spkctl license report -o report.json\n  spkctl license watch \
                       --until verified --timeout 5m\n\nA connection that breaks, as when the CWC \
                       restarts, is made again. Exit code 0: the state came. 1: it did not within \
                       --timeout, or the CWC does not answer."
)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Ends when this holds; without it Ctrl-C ends it.
    #[arg(long, value_enum)]
    until: Option<Until>,
    /// Gives up after this time, such as 90s or 5m.
    #[arg(long, value_name = "TIME", requires = "until", value_parser = duration)]
    timeout: Option<Duration>,
    /// Form of the lines: json and yaml are one object each.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Until {
    /// The licence is active and no report waits for a receipt.
    Verified,
    /// A report can be downloaded.
    Report,
}

impl Until {
    fn holds(self, license: &License) -> bool {
        let slots = &license.slots;
        match self {
            Self::Verified => {
                let done = |state| matches!(state, State::VerificationComplete);
                license.active
                    && license.report.is_none()
                    && slots.switch.is_none()
                    && slots.current.as_ref().is_none_or(|slot| done(slot.state))
            }
            Self::Report => license.report.is_some(),
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Verified => "not verified",
            Self::Report => "no report",
        }
    }
}

/// A time that a person writes.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    parsed.ok_or_else(|| format!("{text} is no time, such as 90s or 5m"))
}

/// Prints changes.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let site = args.connection.open()?;
    let license = site.license()?;
    let slot = &license.slots.license;
    eprintln!("The licence is {} ({}). Changes:", slot.text, slot.state.number());
    let line = |change: &Change| {
        let text = args.output.text(change, || in_words(change)).map_err(io::Error::other)?;
        io::stdout().write_all(text.as_bytes())
    };
    let until = args.until;
    let done = |license: &License| until.is_some_and(|until| until.holds(license));
    match site.runtime.block_on(follow(&site, args.timeout, line, done)) {
        Followed::Done => Ok(ExitCode::SUCCESS),
        Followed::Late => bail!(
            "{} within {} s",
            until.map_or("nothing", Until::told),
            args.timeout.unwrap_or_default().as_secs()
        ),
        // A reader that left (`| head`) is no error.
        Followed::Unheard(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Followed::Unheard(error) => Err(error).context("cannot write"),
    }
}

/// A change on one line for people.
pub(super) fn in_words(change: &Change) -> String {
    format!("{} {}\n", at(clock::wall()), plain(&change.words()))
}

/// How following ended.
#[derive(Debug)]
pub(super) enum Followed {
    /// What was waited for holds.
    Done,
    /// The time is over.
    Late,
    /// Lines can no longer be written.
    Unheard(io::Error),
}

/// Hands each change to `line` until `done` holds of the licence or `limit` is over. The CWC has just
/// answered; if it no longer does, it is asked again and again.
pub(super) async fn follow(
    site: &Site,
    limit: Option<Duration>,
    mut line: impl FnMut(&Change) -> io::Result<()>,
    mut done: impl FnMut(&License) -> bool,
) -> Followed {
    // A limit beyond the clock's range is none.
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let end = end.unwrap_or_else(|| Instant::now() + FOR_EVER);
    let mut told = String::new();
    loop {
        let round = async {
            let mut stream = Stream::new(site.stream("/v1/license/events").await?);
            // What changed before the stream began is seen here.
            if done(&site.license_soon().await?) {
                return Ok(Followed::Done);
            }
            loop {
                let Some(changes) = stream.next().await? else { bail!("the CWC ended the stream") };
                if let Err(error) = changes.iter().try_for_each(&mut line) {
                    return Ok(Followed::Unheard(error));
                }
                if done(&site.license_soon().await?) {
                    break;
                }
            }
            // The other changes of the same step are on their way.
            while let Ok(Ok(Some(changes))) = timeout(GRACE, stream.next()).await
                && changes.iter().try_for_each(&mut line).is_ok()
            {}
            Ok(Followed::Done)
        };
        let error = match timeout_at(end, round).await {
            Err(_) => return Followed::Late,
            Ok(Ok(followed)) => return followed,
            Ok(Err(error)) => error,
        };
        let text = format!("{error:#}");
        if text != told {
            eprintln!("spkctl: {text}; trying again");
            told = text;
        }
        if timeout_at(end, sleep(AGAIN_AFTER)).await.is_err() {
            return Followed::Late;
        }
    }
}

/// How long the last changes are waited for.
const GRACE: Duration = Duration::from_millis(200);
/// Between two connections.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);
