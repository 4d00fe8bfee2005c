//! `watch`.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use spk_tests::{licence::OrderType, poll};

use crate::operator::Operator;

/// LIC-915: `--until verified` returns 0 once it is, at once if it was, and 1 when the time is over;
/// each change is one line; a CWC that restarts is found again.
#[test]
fn watch_tells_changes_and_ends_when_it_should() {
    let mut operator = Operator::of(OrderType::Paid);
    operator.cwc.await_slot("license", 7).unwrap();
    let begun = Instant::now();
    operator.run(&["watch", "--until", "verified", "--timeout", "1s"]).failed(1, "not verified");
    assert!((1..10).contains(&begun.elapsed().as_secs()));

    let args = ["watch", "--until", "verified", "--timeout", "60s", "-o", "json"];
    let mut command = operator.command(&args);
    let errors = tempfile::NamedTempFile::new().unwrap();
    let heard = || fs::read_to_string(errors.path()).unwrap();
    let child = command.stdout(Stdio::piped()).stderr(errors.reopen().unwrap()).spawn().unwrap();
    let wait = Duration::from_secs(20);
    // The stream's connection is the only one that lasts.
    poll::hold("it follows", wait, || heard().contains("Changes:") && operator.connections() >= 1)
        .unwrap();
    operator.cwc.kill();
    poll::hold("it misses the CWC", wait, || heard().contains("trying again")).unwrap();
    operator.cwc.start().unwrap();
    poll::hold("it follows again", wait, || operator.connections() >= 1).unwrap();
    operator.activate();
    let said = operator.said(&child.wait_with_output().unwrap()).done();
    // Objects, one after the other.
    let changes: Vec<Value> = serde_json::Deserializer::from_str(&said.out)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let told = |kind: &str, member: &str, value: Value| {
        changes.iter().any(|change| change["kind"] == kind && change["data"][member] == value)
    };
    assert!(told("state", "to", Value::from(10)), "{changes:?}");
    assert!(told("state", "to", Value::from(12)), "{changes:?}");

    operator.run(&["watch", "--until", "verified"]).done();
}
