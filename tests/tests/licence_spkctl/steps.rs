//! What `status` shows, and the steps that it tells.

use std::collections::BTreeSet;

use serde_json::Value;
use spk_tests::licence::OrderType;

use crate::operator::Operator;

/// Runs each step that has a command, in order, and gives their ids. A command ends with 0, or with 5
/// if its date is to come; `status` says how things stand.
fn run_steps(operator: &Operator) -> Vec<String> {
    let license = operator.license();
    let mut ids = Vec::new();
    for step in license["nextSteps"].as_array().unwrap() {
        ids.push(step["id"].as_str().unwrap().to_owned());
        let Some(command) = step["command"].as_str() else { continue };
        let args: Vec<&str> = command.split_whitespace().collect();
        let args = args.strip_prefix(&["spkctl", "license"]).expect(command);
        let said = operator.run_typing(args, "yes\n");
        let expected: &[i32] = match (args[0], step.get("notBefore")) {
            ("status", _) => &[0, 3, 4],
            (_, Some(_)) => &[5],
            (_, None) => &[0],
        };
        assert!(expected.contains(&said.code.unwrap()), "{command}: {said:?}");
    }
    ids
}

/// LIC-340, its second half: every command that a step names runs as it stands. `reactivate` and
/// `report --slot switch` run so in `switching.rs`, `clock accept` in `admin.rs`; `trust` comes with
/// the cluster. LIC-910: next steps run.
#[test]
fn each_command_of_a_step_runs_as_it_stands() {
    let mut operator = Operator::of(OrderType::Paid);
    operator.serve(0);
    operator.cwc.await_slot("license", 7).unwrap();
    let exchange = ["report", "submit", "receipt"];
    assert_eq!(run_steps(&operator), exchange);
    assert_eq!(operator.license()["active"], true);
    assert_eq!(run_steps(&operator), ["next-report"]);
}

/// LIC-342, the part of `spkctl`: date and reason are those of the API and the metric, before the
/// stop and after. LIC-910: state, class, verdict, stop, calendar and steps are shown.
#[test]
fn status_agrees_with_the_api() {
    let mut operator = Operator::before(OrderType::Eval);
    operator.cwc.clock("+0").unwrap();
    operator.cwc.start().unwrap();
    operator.cwc.await_slot("license", 7).unwrap();
    compare(&operator, "not_activated", 3);
    operator.activate();
    compare(&operator, "expired", 0);
    operator.cwc.kill();
    operator.cwc.clock("+366d").unwrap();
    operator.cwc.start().unwrap();
    operator.cwc.await_slot("license", 16).unwrap();
    compare(&operator, "expired", 3);
}

/// Compares `status` in its three forms with API and metric.
fn compare(operator: &Operator, because: &str, code: i32) {
    let api = without_clock(operator.license());
    let said = operator.run(&["status", "-o", "json"]).failed(code, "");
    assert_eq!(without_clock(serde_json::from_str(&said.out).unwrap()), api);
    let said = operator.run(&["status", "-o", "yaml"]).failed(code, "");
    assert!(said.out.contains(&format!("stopsBecause: {because}")), "{said:?}");

    let stops: jiff::Timestamp = api["stopsAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(api["stopsBecause"], because);
    let metrics = operator.cwc.metrics().unwrap();
    let line = metrics.lines().find(|line| line.starts_with("spk_license_stops_at")).unwrap();
    let told: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(told, stops.as_second() as f64, "{line}");

    let said = operator.run(&["status"]).failed(code, "");
    let shown = stops.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let stop = said.out.lines().find(|line| line.starts_with("Stops")).unwrap();
    assert!(stop.contains(&shown) && stop.contains(because), "{stop}");
    let mut wanted = BTreeSet::new();
    wanted.insert(api["slots"]["license"]["text"].as_str().unwrap().to_owned());
    wanted.insert(api["verdict"]["reason"].as_str().unwrap().to_owned());
    wanted.insert(api["digitalAssetID"].as_str().unwrap().to_owned());
    for step in api["nextSteps"].as_array().unwrap() {
        wanted.insert(step["text"].as_str().unwrap().to_owned());
        if let Some(command) = step["command"].as_str() {
            wanted.insert(format!("$ {command}"));
        }
    }
    for text in wanted {
        assert!(said.out.contains(&text), "{text}: {}", said.out);
    }
}

/// The object without what runs on by itself.
fn without_clock(mut license: Value) -> Value {
    license.as_object_mut().unwrap().remove("clock");
    license
}
