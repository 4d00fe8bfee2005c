//! The two forms, and the level while lines are written.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

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

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

fn written(format: LogFormat, write: impl FnOnce(&LogControl)) -> Vec<String> {
    let page = Page::default();
    let control = LogControl::new(Level::INFO);
    let writer = page.clone();
    let subscriber = subscriber("spk-cwc", format, &control, move || writer.clone());
    tracing::subscriber::with_default(subscriber, || write(&control));
    page.lines()
}

/// OPS-724: the klog form; a line break in a value does not break the line.
#[test]
fn klog_line_is_one_line_with_its_fields() {
    let lines = written(LogFormat::Klog, |_| {
        tracing::info!(queue = "a\nb", "two\nlines");
        tracing::error!("broken");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (head, text) = lines[0].split_once("] ").unwrap();
    let (letter, rest) = head.split_at(1);
    assert_eq!(letter, "I");
    assert!(rest.contains(" tests.rs:"), "{head}");
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(digits(&rest[..4]) && digits(&rest[14..20]), "{head}");
    assert_eq!(text, r#"two\nlines queue="a\nb""#);
    assert!(lines[1].starts_with('E') && lines[1].ends_with("] broken"), "{lines:?}");
}

/// OPS-724: the JSON form has its four members, and fields keep their types.
#[test]
fn json_line_is_an_object_with_its_fields() {
    let lines = written(LogFormat::Json, |_| {
        tracing::warn!(count = 3, left = -1, open = true, msg_id = "x", "text");
    });
    let object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(object["level"], "warn");
    assert_eq!(object["component"], "spk-cwc");
    assert_eq!(object["msg"], "text");
    object["ts"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(object["count"], 3);
    assert_eq!(object["left"], -1);
    assert_eq!(object["open"], true);
    assert_eq!(object["msg_id"], "x");
}

#[test]
fn level_changes_while_lines_are_written() {
    let lines = written(LogFormat::Klog, |control| {
        tracing::debug!("hidden");
        control.set_level(Level::DEBUG);
        assert_eq!(control.level(), Level::DEBUG);
        tracing::debug!("shown");
        control.set_level(Level::ERROR);
        tracing::warn!("hidden again");
        tracing::error!("shown, too");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("] shown") && lines[1].ends_with("] shown, too"), "{lines:?}");
}

#[test]
fn libraries_are_heard_from_warn_on() {
    let lines = written(LogFormat::Klog, |control| {
        control.set_level(Level::TRACE);
        tracing::info!(target: "hyper::proto", "hidden");
        tracing::warn!(target: "hyper::proto", "shown");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn level_is_named_by_a_word() {
    assert_eq!(level("Warning"), Some(Level::WARN));
    assert_eq!(level("DEBUG"), Some(Level::DEBUG));
    assert_eq!(level("2"), None);
    assert_eq!(level(""), None);
    assert_eq!(level("loud"), None);
}

/// The AMQP library writes whole messages with their leases.
#[test]
fn lapin_is_not_heard_at_any_level() {
    let lines = written(LogFormat::Klog, |control| {
        control.set_level(Level::TRACE);
        tracing::error!(target: "lapin::returned_messages", "eyJhbGciOiJFZERTQSJ9");
        tracing::error!(target: "other", "heard");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}
