//! Log lines of the Controller: klog or JSON.
//!
//! Owns the two forms. Source: operations.md §7.3 (OPS-724).

use std::fmt::{self, Write as _};
use std::io;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// `I1123 14:20:34.106219       1 cm20.rs:105] text`.
    #[default]
    Klog,
    /// One object with `ts`, `level`, `component`, `msg` and fields.
    Json,
}

/// Sends lines of `component` at `level` and above to standard error from now on.
pub fn start(component: &'static str, format: LogFormat, level: Level) {
    let filter = EnvFilter::new(format!("warn,spk_node={level},spk_controller={level}"));
    let base = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    let result = match format {
        LogFormat::Klog => base.event_format(Klog).try_init(),
        LogFormat::Json => base.event_format(Json { component }).try_init(),
    };
    if result.is_err() {
        tracing::debug!("logging was started before");
    }
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
            &Timestamp::now().to_zoned(TimeZone::UTC),
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

/// One line always: line breaks in values are escaped.
#[derive(Default)]
struct KlogFields {
    message: String,
    rest: String,
}

impl Visit for KlogFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text.replace('\n', "\\n");
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
        object.insert("ts".into(), Timestamp::now().to_string().into());
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

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.rest.insert(field.name().to_owned(), value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.rest.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.rest.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn klog_head_has_severity_date_microseconds_thread_and_source() {
        let time = "2026-11-23T14:20:34.106219Z".parse::<Timestamp>().unwrap();
        let time = time.to_zoned(TimeZone::UTC);
        assert_eq!(
            klog_head(Level::INFO, &time, 1, "cm20.rs", 105),
            "I1123 14:20:34.106219       1 cm20.rs:105]"
        );
        assert!(klog_head(Level::WARN, &time, 1, "a.rs", 1).starts_with('W'));
        assert!(klog_head(Level::ERROR, &time, 1, "a.rs", 1).starts_with('E'));
    }
}
