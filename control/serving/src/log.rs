//! Log lines on standard error: klog or JSON, with a level that changes at run time.
//!
//! Owns the two forms and the level. What is logged is the callers'. Invariant: one event is one
//! line; a line break in a value is escaped. Source: operations.md §7.3 (OPS-724, OPS-725), seed 003
//! (the form of a klog line).

use std::fmt::{self, Write as _};
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Zoned;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::clock;

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// `I1123 14:20:34.106219       1 cm20.rs:105] text`.
    #[default]
    Klog,
    /// One object with `ts`, `level`, `component`, `msg` and fields.
    Json,
}

/// Sends lines of `component` at `level` and above to standard error from now on. Libraries are
/// heard from `warn` on. A second call changes nothing but gives no control over the first.
pub fn start(component: &'static str, format: LogFormat, level: Level) -> LogControl {
    let control = LogControl::new(level);
    let subscriber = subscriber(component, format, &control, io::stderr);
    if subscriber.try_init().is_err() {
        tracing::debug!("logging was started before");
    }
    control
}

/// Changes the level while the program runs. Clones are the same one.
#[derive(Clone, Debug)]
pub struct LogControl {
    level: Arc<AtomicU8>,
}

impl LogControl {
    /// Lines at `level` and above.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { level: Arc::new(AtomicU8::new(rank(level))) }
    }

    /// The least severe lines that are shown.
    #[must_use]
    pub fn level(&self) -> Level {
        let rank = self.level.load(Ordering::Relaxed);
        LEVELS.get(usize::from(rank)).copied().unwrap_or(Level::INFO)
    }

    /// Shows lines at `level` and above from now on.
    pub fn set_level(&self, level: Level) {
        self.level.store(rank(level), Ordering::Relaxed);
    }
}

/// The level that a word names, in any case of letters: `error`, `warn` or `warning`, `info`,
/// `debug`, `trace`.
#[must_use]
pub fn level(word: &str) -> Option<Level> {
    if word.eq_ignore_ascii_case("warning") {
        return Some(Level::WARN);
    }
    // A number would name one, too; it is no word.
    if word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Level::from_str(word).ok()
    } else {
        None
    }
}

const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

impl<S> Filter<S> for LogControl {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        if metadata.target().starts_with(SILENT) {
            return false;
        }
        let ours = OURS.iter().any(|prefix| metadata.target().starts_with(prefix));
        let limit = if ours { self.level() } else { self.level().min(Level::WARN) };
        *metadata.level() <= limit
    }
}

/// How the crates of this project are called.
const OURS: [&str; 5] = ["spk_", "f5ingress", "tmrouted", "cert_gen", "crd_conversion"];

/// Lapin writes whole messages, with the leases in them, and without a limit; what there is to say
/// about the bus, `spk-bus` says.
const SILENT: &str = "lapin";

/// What [`start`] installs, but with another place to write to.
pub fn subscriber<W>(
    component: &'static str,
    format: LogFormat,
    control: &LogControl,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer);
    let lines = match format {
        LogFormat::Klog => lines.event_format(Klog).boxed(),
        LogFormat::Json => lines.event_format(Json { component }).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(control.clone()))
}

struct Klog;

impl<S, N> FormatEvent<S, N> for Klog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let file = metadata.file().unwrap_or("unknown");
        let file = file.rsplit('/').next().unwrap_or(file);
        let head = klog_head(
            *metadata.level(),
            &clock::wall().to_zoned(TimeZone::UTC),
            std::process::id(),
            file,
            metadata.line().unwrap_or(0),
        );
        let mut text = KlogFields::default();
        event.record(&mut text);
        writeln!(out, "{head} {}{}", text.message, text.rest)
    }
}

fn klog_head(level: Level, time: &Zoned, thread: u32, file: &str, line: u32) -> String {
    let severity = match level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        Level::INFO | Level::DEBUG | Level::TRACE => 'I',
    };
    let time = time.strftime("%m%d %H:%M:%S.%6f");
    format!("{severity}{time} {thread:>7} {file}:{line}]")
}

#[derive(Default)]
struct KlogFields {
    message: String,
    rest: String,
}

impl Visit for KlogFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text.replace('\n', "\\n").replace('\r', "\\r");
        } else {
            // Writing to a String does not fail.
            let _ = write!(self.rest, " {}={:?}", field.name(), text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

struct Json {
    component: &'static str,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = JsonFields::default();
        event.record(&mut fields);
        let mut object = serde_json::Map::new();
        object.insert("ts".into(), clock::wall().to_string().into());
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        object.insert("level".into(), level.into());
        object.insert("component".into(), self.component.into());
        object.insert("msg".into(), fields.message.into());
        for (name, value) in fields.rest {
            object.entry(name).or_insert(value);
        }
        writeln!(out, "{}", serde_json::Value::Object(object))
    }
}

#[derive(Default)]
struct JsonFields {
    message: String,
    rest: serde_json::Map<String, serde_json::Value>,
}

impl JsonFields {
    fn insert(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        self.rest.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.insert(field, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
}

#[cfg(test)]
mod tests;
