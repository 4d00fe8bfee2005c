//! The exchange of report and receipt.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use spk_tests::licence::OrderType;

use crate::operator::{Operator, SUBMIT};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// LIC-411: activation with `spkctl`, three commands. LIC-911: file, digest, and exit code 5 with
/// the date before there is a report. LIC-913 for the wrapped form.
#[test]
fn three_commands_activate_a_cluster() {
    let mut operator = Operator::of(OrderType::Paid);
    operator.serve(0);
    operator.run(&["watch", "--until", "report", "--timeout", "30s"]).done();

    let args = ["report", "-o", "report.json", "--format", "json"];
    let said = json_of(&operator.run(&args).done().out);
    let path = operator.file("report.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = json_of(&fs::read_to_string(&path).unwrap());
    assert_eq!(file, json!({ "report": operator.cwc.report().unwrap() }));
    let waits = &operator.license()["report"];
    assert_eq!(said["type"], "initial-config");
    assert_eq!(said["period"], waits["period"]);
    assert_eq!(said["sha256"], waits["sha256"]);
    assert!(said["usage"]["samples"].as_u64().unwrap() > 0, "{said}");

    operator.run(&SUBMIT).done();
    let said = operator.run(&["receipt", "receipt.json"]).done();
    assert!(said.out.contains("Verification Complete (12)"), "{said:?}");
    assert_eq!(operator.license()["active"], true);

    // The next one is too early.
    let end = operator.cwc.json("/v1/telemetry").unwrap()["window"]["end"].clone();
    let day = end.as_str().unwrap().split('T').next().unwrap();
    fs::remove_file(&path).unwrap();
    operator.run(&["report", "-o", "report.json"]).failed(5, day);
    assert!(!path.exists());
}

/// LIC-920: a month of a cluster without a way out is three commands.
#[test]
fn a_month_is_acknowledged_in_three_commands() {
    let mut operator = Operator::before(OrderType::Paid);
    operator.cwc.clock("+0").unwrap();
    operator.cwc.start().unwrap();
    operator.activate();
    operator.cwc.kill();
    operator.cwc.clock("+35d").unwrap();
    operator.cwc.start().unwrap();
    operator.serve(35);
    operator.cwc.await_slot("current", 7).unwrap();

    let said = operator.run(&["report", "-o", "report.json"]).done();
    assert!(said.out.contains("telemetry"), "{said:?}");
    operator.run(&SUBMIT).done();
    operator.run(&["receipt", "receipt.json"]).done();

    assert_eq!(operator.cwc.slot("current").unwrap(), Some(12));
    assert_eq!(operator.license()["report"], Value::Null);
    operator.run(&["status"]).done();
}

/// LIC-913: both forms are taken; what is no receipt, not signed, or for another cluster is refused
/// in words before it is sent.
#[test]
fn a_bad_receipt_is_refused_before_it_is_sent() {
    let foreign = {
        let mut other = Operator::of(OrderType::Eval);
        other.activate();
        fs::read_to_string(other.file("receipt.json")).unwrap()
    };
    let mut operator = Operator::of(OrderType::Eval);
    operator.serve(0);
    operator.run(&["watch", "--until", "report", "--timeout", "30s"]).done();
    operator.run(&["report", "-o", "report.json"]).done();
    operator.run(&SUBMIT).done();
    let receipt = json_of(&fs::read_to_string(operator.file("receipt.json")).unwrap());
    let receipt = receipt["manifest"].as_str().unwrap().to_owned();
    let before = operator.cwc.json("/v1/license/history").unwrap();

    let put = |name: &str, text: &str| fs::write(operator.file(name), text).unwrap();
    // One letter of the signature.
    let (head, signature) = receipt.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    put("altered", &format!("{head}.{other}{}", &signature[1..]));
    put("nothing", "nothing");
    let keys = ["--jwks", "jwt.key"];
    for (file, more, reason) in [
        ("altered", &keys[..], "nothing was sent"),
        ("nothing", &[][..], "holds no receipt"),
        ("report.json", &[][..], "is no receipt"),
        ("license.jwt", &[][..], "is no receipt"),
        ("absent", &[][..], "cannot open"),
    ] {
        let args = [&["receipt", file], more].concat();
        operator.run(&args).failed(1, reason);
    }
    put("foreign.json", &foreign);
    operator.run(&["receipt", "foreign.json"]).failed(1, "for another cluster");
    assert_eq!(operator.cwc.json("/v1/license/history").unwrap(), before);

    put("bare", &format!(" {receipt}\n"));
    operator.run(&["receipt", "bare", "--jwks", "jwt.key"]).done();
    assert_eq!(operator.license()["active"], true);
    // The same again is refused by the CWC, with its code.
    operator.run(&["receipt", "receipt.json"]).failed(1, "receipt_replayed");
}

/// LIC-919: each code of the table. LIC-912's `submit` and LIC-916's `decode` have their own tests.
#[test]
fn each_exit_code_is_told() {
    let mut operator = Operator::of(OrderType::Eval);
    operator.run(&["status"]).failed(3, "");
    operator.run(&["report"]).failed(2, "--output");
    operator.run(&["watch", "--timeout", "1s"]).failed(2, "--until");
    operator.run(&["status", "--cwc", "https://127.0.0.9:1"]).failed(1, "cannot be asked");
    operator.run(&["status", "--cwc", "http://127.0.0.9"]).failed(1, "no https address");
    operator.run(&["status", "--server-name", "else"]).failed(1, "--server-name");
    operator.run(&["status", "--key", "jwt.key"]).failed(1, "private key");
    operator.activate();
    // A trial of a year: nothing to be warned of.
    operator.run(&["status"]).done();
    operator.run(&["report", "-o", "report.json"]).failed(5, "not before");
    operator.cwc.kill();
    operator.run(&["status"]).failed(1, "cannot be asked");
    // The clock, two hours back: an error of a trial blocks it.
    let mut operator = Operator::before(OrderType::Paid);
    operator.cwc.clock("+0").unwrap();
    operator.cwc.start().unwrap();
    operator.activate();
    operator.cwc.clock("-2h").unwrap();
    operator.cwc.kill();
    operator.cwc.start().unwrap();
    let said = operator.run(&["status"]).failed(4, "");
    assert!(said.out.contains("clock_rolled_back"), "{said:?}");
}
