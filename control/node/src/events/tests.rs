//! Lines, once each, rotation.

use super::*;
use spk_controller::EventObject;

fn event(text: &str) -> EventRecord {
    EventRecord {
        reason: "Added",
        kind: EventKind::Normal,
        object: EventObject::new("F5SPKVlan", "spk-core", "external"),
        text: text.to_owned(),
    }
}

fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn event_is_one_line_with_reason_type_object_and_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut file = EventFile::new(path.clone());
    file.append(&event("was added"), Timestamp::UNIX_EPOCH, Instant::now()).unwrap();
    let lines = lines(&path);
    assert_eq!(
        lines,
        [serde_json::json!({
            "time": "1970-01-01T00:00:00Z", "reason": "Added", "type": "Normal",
            "object": {"kind": "F5SPKVlan", "namespace": "spk-core", "name": "external"},
            "text": "was added",
        })]
    );
}

#[test]
fn same_event_within_a_minute_is_counted_in_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut file = EventFile::new(path.clone());
    let begin = Instant::now();
    for second in [0, 10, 59, 60, 61] {
        let now = begin + Duration::from_secs(second);
        file.append(&event("again"), Timestamp::UNIX_EPOCH, now).unwrap();
    }
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["repeated"], 2);
}

#[test]
fn file_is_rotated_before_it_grows_past_its_bound_and_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut file = EventFile::new(path.clone());
    file.rotate_at = 1000;
    for number in 0..10 {
        let text = format!("number {number}");
        file.append(&event(&text), Timestamp::UNIX_EPOCH, Instant::now()).unwrap();
    }
    let older = dir.path().join("events.jsonl.1");
    assert!(std::fs::metadata(&path).unwrap().len() <= 1000);
    assert!(std::fs::metadata(&older).unwrap().len() <= 1000);
    assert_eq!(lines(&older).len() + lines(&path).len(), 10);
}
