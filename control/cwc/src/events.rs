//! Events: what people should know, as JSON lines in a file.
//!
//! Owns the form of an event, the rule that an event is written once (the same again within a minute
//! is counted in the next line), and the file with its rotation at 8 MiB (one older file is kept).
//! Source: operations.md §1.6 (OPS-176), licensing.md §12.5.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use spk_serving::clock;

/// One event. All are about Deployment `f5-spk-cwc`.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct EventRecord {
    /// Reason word.
    pub reason: &'static str,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// What it is about.
    pub object: &'static str,
    /// The code that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// In words; holds no part of a token.
    pub text: String,
}

/// Whether somebody has to do something.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
pub enum EventKind {
    /// No.
    Normal,
    /// Perhaps.
    Warning,
}

impl EventKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl EventRecord {
    /// An event about this CWC.
    #[must_use]
    pub const fn new(
        reason: &'static str,
        kind: EventKind,
        code: Option<&'static str>,
        text: String,
    ) -> Self {
        Self { reason, kind, object: "Deployment/f5-spk-cwc", code, text }
    }
}

/// An event as it was written, for people.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// When, by the wall clock.
    pub time: Timestamp,
    /// Its reason word.
    pub reason: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// In words.
    pub text: String,
}

/// The last events, at most 20.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Line>);

impl Recent {
    /// All of them, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().rev()
    }

    fn push(&mut self, line: Line) {
        self.0.push_back(line);
        while self.0.len() > SHOWN {
            self.0.pop_front();
        }
    }
}

/// The last events as others see them while they are written. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct RecentEvents(Arc<RwLock<Recent>>);

impl RecentEvents {
    /// Looks at them; hold the guard briefly.
    pub fn read(&self) -> RwLockReadGuard<'_, Recent> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Line) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The file.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    shown: RecentEvents,
    open: Option<(File, u64)>,
    recent: HashMap<EventRecord, Seen>,
    rotate_at: u64,
}

#[derive(Debug)]
struct Seen {
    /// Boot time.
    written: Duration,
    held_back: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    time: Timestamp,
    #[serde(flatten)]
    event: &'a EventRecord,
    #[serde(skip_serializing_if = "is_zero")]
    repeated: u32,
}

impl EventFile {
    /// Appends to the file at `path`, which is made with the first event (0600). Reads its end, if it
    /// is there.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let shown = RecentEvents::default();
        // Without the old events the new ones are shown alone.
        for line in end_of(&path).unwrap_or_default().lines() {
            if let Ok(line) = serde_json::from_str(line) {
                shown.push(line);
            }
        }
        Self { path, shown, open: None, recent: HashMap::new(), rotate_at: ROTATE_AT }
    }

    /// The last events, for the page.
    #[must_use]
    pub fn shown(&self) -> RecentEvents {
        self.shown.clone()
    }

    /// Logs `event` and writes it down; says whether it was one that is not held back. A file that
    /// cannot be written costs the line only.
    pub fn record(&mut self, event: &EventRecord) -> bool {
        let news = match self.append(event, clock::wall(), clock::boot()) {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot write events");
                true
            }
        };
        if news {
            self.shown.push(Line {
                time: clock::wall(),
                reason: event.reason.to_owned(),
                kind: event.kind.word().to_owned(),
                text: event.text.clone(),
            });
            match event.kind {
                EventKind::Normal => tracing::info!(reason = event.reason, "{}", event.text),
                EventKind::Warning => tracing::warn!(reason = event.reason, "{}", event.text),
            }
        }
        news
    }

    /// Writes `event` unless the same was written less than a minute before `now`.
    fn append(&mut self, event: &EventRecord, time: Timestamp, now: Duration) -> io::Result<bool> {
        let mut repeated = 0;
        if let Some(recent) = self.recent.get_mut(event) {
            if now.saturating_sub(recent.written) < ONCE_A_MINUTE {
                recent.held_back = recent.held_back.saturating_add(1);
                return Ok(false);
            }
            repeated = recent.held_back;
        }
        self.recent.retain(|_, recent| now.saturating_sub(recent.written) < ONCE_A_MINUTE);
        if self.recent.len() < REMEMBERED {
            self.recent.insert(event.clone(), Seen { written: now, held_back: 0 });
        }
        let mut line = serde_json::to_vec(&Written { time, event, repeated })?;
        line.push(b'\n');
        self.write(&line)?;
        Ok(true)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let (mut file, mut size) = self.take_open()?;
        if size > 0 && size.saturating_add(length) > self.rotate_at {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            std::fs::rename(&self.path, older)?;
            (file, size) = self.take_open()?;
        }
        file.write_all(line)?;
        self.open = Some((file, size.saturating_add(length)));
        Ok(())
    }

    /// The open file and its size; it is opened anew after an error.
    fn take_open(&mut self) -> io::Result<(File, u64)> {
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

/// The last lines of a file; the first of them may be cut.
fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Bytes at which the file is rotated.
const ROTATE_AT: u64 = 8 << 20;
const ONCE_A_MINUTE: Duration = Duration::from_secs(60);
/// Events that are shown.
const SHOWN: usize = 20;
/// Bytes at the end of the file that are read for them.
const END: u64 = 32 << 10;
/// Most events remembered.
const REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> EventRecord {
        EventRecord::new("LicenseError", EventKind::Warning, Some("expired"), text.to_owned())
    }

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// OPS-176: one line each, with reason, type, object and text; a repeat is counted.
    #[test]
    fn an_event_is_one_line_and_its_repeats_are_counted_in_the_next() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut file = EventFile::new(path.clone());
        let time = Timestamp::UNIX_EPOCH;
        assert!(file.append(&event("a"), time, second(0)).unwrap());
        assert!(!file.append(&event("a"), time, second(59)).unwrap());
        assert!(file.append(&event("b"), time, second(59)).unwrap());
        assert!(file.append(&event("a"), time, second(60)).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["reason"], "LicenseError");
        assert_eq!(lines[0]["type"], "Warning");
        assert_eq!(lines[0]["object"], "Deployment/f5-spk-cwc");
        assert_eq!(lines[0]["code"], "expired");
        assert_eq!(lines[0]["text"], "a");
        assert_eq!(lines[0]["repeated"], serde_json::Value::Null);
        assert_eq!(lines[2]["repeated"], 1);
    }

    #[test]
    fn the_last_twenty_are_shown_also_after_a_start() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut file = EventFile::new(path.clone());
        for number in 0..30 {
            assert!(file.record(&event(&format!("{number}"))));
        }
        assert!(!file.record(&event("29")));
        let texts = |file: &EventFile| {
            let shown = file.shown();
            let shown = shown.read();
            shown.newest_first().map(|line| line.text.clone()).collect::<Vec<_>>()
        };
        let expected: Vec<String> = (10..30).rev().map(|number| number.to_string()).collect();
        assert_eq!(texts(&file), expected);
        assert_eq!(texts(&EventFile::new(path)), expected);
    }

    #[test]
    fn a_full_file_is_rotated_and_one_older_is_kept() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut file = EventFile { rotate_at: 300, ..EventFile::new(path.clone()) };
        for number in 0..6 {
            file.append(&event(&format!("{number}")), Timestamp::UNIX_EPOCH, second(0)).unwrap();
        }
        let older = std::fs::read_to_string(dir.path().join("events.jsonl.1")).unwrap();
        let newer = std::fs::read_to_string(&path).unwrap();
        assert_eq!(older.lines().count() + newer.lines().count(), 4);
        assert!(newer.contains("\"5\"") && older.contains("\"2\""), "{older}{newer}");
        assert!(older.len() <= 300 && newer.len() <= 300);
    }
}
