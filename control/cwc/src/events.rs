//! Events: what people should know, as JSON lines in a file.
//!
//! Owns the form of an event, the rule that an event is written once (the same again within a minute
//! is counted in the next line), and the file with its rotation at 8 MiB (one older file is kept).
//! Source: operations.md §1.6 (OPS-176), licensing.md §12.5.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
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

/// The file.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    open: Option<(File, u64)>,
    recent: HashMap<EventRecord, Recent>,
    rotate_at: u64,
}

#[derive(Debug)]
struct Recent {
    /// Boot time.
    written: Duration,
    held_back: u32,
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    #[serde(flatten)]
    event: &'a EventRecord,
    #[serde(skip_serializing_if = "is_zero")]
    repeated: u32,
}

impl EventFile {
    /// Appends to the file at `path`, which is made with the first event (0600).
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None, recent: HashMap::new(), rotate_at: ROTATE_AT }
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
            self.recent.insert(event.clone(), Recent { written: now, held_back: 0 });
        }
        let mut line = serde_json::to_vec(&Line { time, event, repeated })?;
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

const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Bytes at which the file is rotated.
const ROTATE_AT: u64 = 8 << 20;
const ONCE_A_MINUTE: Duration = Duration::from_secs(60);
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
