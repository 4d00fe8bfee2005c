//! Events as JSON lines in `<state>/events.jsonl`.
//!
//! Owns the file, its rotation at 8 MiB (one older file is kept) and the rule that an event is
//! written once: the same (reason, object, text) again within a minute is counted in the next line.
//! Source: operations.md §1.6 (OPS-176), crds.md §4.2 rule 6.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use spk_controller::{EventKind, EventRecord, Events};

/// Bytes at which the file is rotated.
pub const ROTATE_AT: u64 = 8 << 20;

/// The event file.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    open: Option<(File, u64)>,
    recent: HashMap<EventRecord, Recent>,
    rotate_at: u64,
}

#[derive(Debug)]
struct Recent {
    written: Instant,
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

    /// Writes `event` unless the same was written less than a minute before `now`.
    ///
    /// # Errors
    ///
    /// The system's error; the event is lost.
    pub fn append(&mut self, event: &EventRecord, time: Timestamp, now: Instant) -> io::Result<()> {
        let mut repeated = 0;
        if let Some(recent) = self.recent.get_mut(event) {
            if now.saturating_duration_since(recent.written) < ONCE_A_MINUTE {
                recent.held_back = recent.held_back.saturating_add(1);
                return Ok(());
            }
            repeated = recent.held_back;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent
                .retain(|_, recent| now.saturating_duration_since(recent.written) < ONCE_A_MINUTE);
        }
        if self.recent.len() < REMEMBERED {
            self.recent.insert(event.clone(), Recent { written: now, held_back: 0 });
        }
        let mut line = serde_json::to_vec(&Line { time, event, repeated })?;
        line.push(b'\n');
        self.write(&line)
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

impl Events for EventFile {
    fn record(&mut self, event: EventRecord) {
        match event.kind {
            EventKind::Normal => {
                tracing::info!(reason = event.reason, object = %event.object, "{}", event.text);
            }
            EventKind::Warning => {
                tracing::warn!(reason = event.reason, object = %event.object, "{}", event.text);
            }
        }
        if let Err(error) = self.append(&event, Timestamp::now(), Instant::now()) {
            tracing::warn!(path = %self.path.display(), %error, "cannot write events");
        }
    }
}

const fn is_zero(count: &u32) -> bool {
    *count == 0
}

const ONCE_A_MINUTE: Duration = Duration::from_secs(60);
/// Most events remembered; bounded by what a minute can bring.
const REMEMBERED: usize = 4096;

#[cfg(test)]
mod tests;
