//! Server-sent events: bytes to changes.
//!
//! Owns the form of the stream, as far as the CWC uses it (fields `event` and `data`, comments).

use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::license) struct Change {
    /// `state`, `event` or `missed`.
    pub(in crate::license) kind: String,
    /// What the CWC tells of it.
    pub(in crate::license) data: Value,
}

impl Change {
    /// The change on one line.
    pub(in crate::license) fn words(&self) -> String {
        let member = |name: &str| self.data.get(name).and_then(Value::as_str).unwrap_or_default();
        match self.kind.as_str() {
            "state" => {
                let text = match member("text") {
                    "" => "empty",
                    text => text,
                };
                let number = |name: &str| match self.data.get(name).and_then(Value::as_u64) {
                    Some(number) => number.to_string(),
                    None => String::from("none"),
                };
                format!("{}: {text} ({} -> {})", member("slot"), number("from"), number("to"))
            }
            "event" => format!("{} {}: {}", member("type"), member("reason"), member("text")),
            "missed" => String::from("some changes were too fast to be told"),
            other => format!("{other} {}", self.data),
        }
    }
}

/// The stream of one connection.
pub(super) struct Stream {
    response: Response<Incoming>,
    lines: Lines,
}

impl Stream {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        Self { response, lines: Lines::default() }
    }

    /// What came next; an empty list is a comment only. None: the stream ended.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Change>>> {
        loop {
            let frame = timeout(SILENCE, self.response.frame()).await;
            let frame = frame.context("nothing was heard for 60 s")?;
            let Some(frame) = frame else { return Ok(None) };
            if let Ok(data) = frame.context("the connection broke")?.into_data() {
                return self.lines.feed(&data).map(Some);
            }
        }
    }
}

/// Puts lines together, and events of lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    kind: String,
    data: String,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Change>> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LIMIT {
            bail!("the CWC tells a change of more than {LIMIT} bytes");
        }
        let mut changes = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            changes.extend(self.line(line.trim_end_matches(['\r', '\n'])));
        }
        Ok(changes)
    }

    /// An empty line ends an event.
    fn line(&mut self, line: &str) -> Option<Change> {
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
            return (!kind.is_empty()).then_some(Change { kind, data });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push_str(value),
            // A comment has no name.
            _ => {}
        }
        None
    }
}

/// Bytes of a line that is not whole yet.
const LIMIT: usize = 1 << 20;
/// The CWC sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let text = ": comment\n\nevent: state\ndata: {\"slot\":\"license\",\"from\":7,\"to\":10,\
                    \"text\":\"x\"}\n\nevent: missed\r\ndata: {}\r\n\r\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let changes: Vec<Change> =
                text.as_bytes().chunks(size).flat_map(|part| lines.feed(part).unwrap()).collect();
            let kinds: Vec<&str> = changes.iter().map(|change| change.kind.as_str()).collect();
            assert_eq!(kinds, ["state", "missed"], "{size}");
            assert_eq!(changes[0].data["to"], json!(10));
            assert_eq!(changes[0].words(), "license: x (7 -> 10)");
        }
    }
}
