//! Writes events as lines.
//!
//! `May 10 08:44:32 <pod> -l=<thread>[<pid>]: <id>:<severity>: "v"="1.0";"lt"="U";"l"="<word>";..;"m"="<text>"`

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::{LIBRARY, MESSAGES, MessageId, Severity, message};

/// Target of our own messages.
pub const TARGET: &str = "tmm";

/// Where lines go.
type Output = Box<dyn Write + Send>;

/// The layer. Writes whole lines, never interleaved.
pub struct LogLayer {
    pod: String,
    level: Severity,
    state: Mutex<State>,
}

struct State {
    output: Output,
    /// By place in [`MESSAGES`].
    limits: Vec<Limit>,
}

/// Lines of one id in one second.
#[derive(Clone, Copy, Default)]
struct Limit {
    second: u64,
    lines: u32,
    suppressed: u64,
}

impl fmt::Debug for LogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLayer").field("pod", &self.pod).finish_non_exhaustive()
    }
}

impl LogLayer {
    /// Writes lines of `level` and above for `pod` to `output`.
    #[must_use]
    pub fn new(pod: &str, level: Severity, output: Output) -> Self {
        let limits = vec![Limit::default(); MESSAGES.len()];
        Self { pod: pod.to_owned(), level, state: Mutex::new(State { output, limits }) }
    }

    pub(super) fn write(&self, id: MessageId, severity: Severity, pairs: &Pairs, at: SystemTime) {
        if severity > self.level {
            return;
        }
        let Ok(mut state) = self.state.lock() else { return };
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let place = MESSAGES.iter().position(|message| message.id == id.id);
        let suppressed = match place.and_then(|place| state.limits.get_mut(place)) {
            Some(limit) if id.by_peer => match limit.take(seconds) {
                Some(suppressed) => suppressed,
                None => return,
            },
            _ => 0,
        };
        let mut line = head(&self.pod, id, severity, seconds);
        for (key, value) in &pairs.others {
            pair(&mut line, key, value);
        }
        if suppressed > 0 {
            pair(&mut line, "suppressed", &suppressed.to_string());
        }
        pair(&mut line, "m", &pairs.text);
        line.push('\n');
        // Nobody is left to tell if the log itself cannot be written.
        let _ = state.output.write_all(line.as_bytes()).and_then(|()| state.output.flush());
    }
}

impl Limit {
    /// How many lines were left out before this one, or none if this one is left out too.
    fn take(&mut self, second: u64) -> Option<u64> {
        if self.second != second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines >= LINES_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let own = event.metadata().target() == TARGET;
        // Below a warning, libraries tell of single messages, tickets and keys among them.
        if !own && *event.metadata().level() > Level::WARN {
            return;
        }
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        let known = pairs.id.filter(|_| own).and_then(message);
        let (id, severity) = match known {
            Some(message) => (*message, message.severity),
            None => (LIBRARY, severity_of(*event.metadata().level())),
        };
        if known.is_none() {
            pairs.others.push(("source".to_owned(), event.metadata().target().to_owned()));
        }
        self.write(id, severity, &pairs, SystemTime::now());
    }
}

/// Libraries' own errors are our warnings, so that nothing but our table is an error.
fn severity_of(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Warning,
        Level::WARN => Severity::Info,
        Level::INFO | Level::DEBUG | Level::TRACE => Severity::Debug,
    }
}

/// The fields of an event.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub id: Option<u32>,
    pub text: String,
    pub others: Vec<(String, String)>,
}

impl Visit for Pairs {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "id" {
            self.id = u32::try_from(value).ok();
        } else {
            self.others.push((field.name().to_owned(), value.to_string()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        } else {
            self.others.push((field.name().to_owned(), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.text);
        } else {
            self.others.push((field.name().to_owned(), value.to_owned()));
        }
    }
}

/// A line up to its fixed pairs.
fn head(pod: &str, id: MessageId, severity: Severity, seconds: u64) -> String {
    let (thread, pid) = (nix::unistd::gettid(), std::process::id());
    let mut line = timestamp(seconds);
    // Writing to a string cannot fail.
    let _ = write!(line, " {pod} -l={thread}[{pid}]: {:08x}:{}: ", id.id, severity as u8);
    line.push_str(r#""v"="1.0";"lt"="U""#);
    pair(&mut line, "l", severity.word());
    line
}

/// `;"key"="value"` with `"` and `\` escaped, control characters as spaces.
fn pair(line: &mut String, key: &str, value: &str) {
    for (mark, text) in [(";\"", key), ("=\"", value)] {
        line.push_str(mark);
        for c in text.chars().take(VALUE_LIMIT) {
            match c {
                '"' | '\\' => line.extend(['\\', c]),
                c if c.is_control() => line.push(' '),
                c => line.push(c),
            }
        }
        line.push('"');
    }
}

/// `May 10 08:44:32`, UTC, the day padded by a space (RFC 3164 §4.1.2).
fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (month, day) = month_and_day(days);
    let name = MONTHS[month];
    format!("{name} {day:>2} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Month (0 to 11) and day (1 to 31) of the day that lies `days` after 1 January 1970.
fn month_and_day(days: u64) -> (usize, u64) {
    let mut year = 1970 + days / 146_097 * 400;
    let mut rest = days % 146_097;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while rest >= 365 + u64::from(leap(year)) {
        rest -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (month, rest + 1)
}

/// Names of months.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Lines of one id in a second, if a peer can trigger it (OPS-722).
const LINES_PER_SECOND: u32 = 10;
/// Characters of one value.
const VALUE_LIMIT: usize = 2048;
