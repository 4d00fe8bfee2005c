//! `reactivate`.

use std::process::Stdio;
use std::time::Duration;

use spk_tests::{licence::OrderType, poll};

use crate::operator::{Operator, SUBMIT};

/// LIC-914: dry run sends nothing; what is no licence, or not signed, is refused before it is sent;
/// what the CWC refuses is told with its code.
#[test]
fn a_bad_licence_is_refused_and_a_dry_run_sends_nothing() {
    let mut operator = Operator::of(OrderType::Paid);
    operator.activate();
    let before = operator.cwc.json("/v1/license/history").unwrap();
    let jwt = operator.cwc.issue(&["--type", "ela", "--days", "400"]).unwrap();
    std::fs::write(operator.file("ela.jwt"), &jwt).unwrap();
    let (head, signature) = jwt.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    std::fs::write(operator.file("altered"), format!("{head}.{other}{}", &signature[1..])).unwrap();

    // Nobody listens there.
    let nowhere = ["--cwc", "https://127.0.0.9:1"];
    let dry = ["reactivate", "ela.jwt", "--dry-run", "--jwks", "jwt.key"];
    let said = operator.run(&[&dry[..], &nowhere].concat()).done();
    assert!(said.out.contains("type ela (verified)"), "{said:?}");
    let bad = ["reactivate", "altered", "--jwks", "jwt.key"];
    operator.run(&[&bad[..], &nowhere].concat()).failed(1, "nothing was sent");
    operator.run(&["reactivate", "receipt.json"]).failed(1, "no licence JWT");
    operator.run(&["reactivate", "profile.yaml"]).failed(1, "no licence JWT");
    assert_eq!(operator.cwc.json("/v1/license/history").unwrap(), before);
    operator.run(&["reactivate", "license.jwt"]).failed(1, "switch_same_license");
    let trial = operator.cwc.issue(&["--type", "eval", "--days", "30"]).unwrap();
    std::fs::write(operator.file("eval.jwt"), trial).unwrap();
    operator.run(&["reactivate", "eval.jwt"]).failed(1, "switch_not_allowed");
    assert_eq!(operator.cwc.json("/v1/license/history").unwrap(), before);
}

/// LIC-914: it follows the switch to its end, the receipt of the new licence's report.
#[test]
fn a_switch_is_followed_to_its_end() {
    let mut operator = Operator::of(OrderType::Eval);
    operator.activate();
    let jwt = operator.cwc.issue(&["--type", "paid", "--days", "400"]).unwrap();
    std::fs::write(operator.file("license.jwt"), jwt).unwrap();
    let mut command = operator.command(&["reactivate", "license.jwt", "--timeout", "60s"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    poll::hold("the new report", Duration::from_secs(30), || {
        operator.cwc.slot("switch").unwrap() == Some(7)
    })
    .unwrap();
    // The three commands that it shows, at another terminal.
    operator.run(&["report", "-o", "report.json", "--slot", "switch"]).done();
    operator.run(&SUBMIT).done();
    operator.run(&["receipt", "receipt.json"]).done();
    let said = operator.said(&child.wait_with_output().unwrap()).done();
    assert!(said.err.contains("$ spkctl license report -o report.json --slot switch"), "{said:?}");
    assert!(said.out.contains("The licence of type paid is in force."), "{said:?}");
    assert_eq!(operator.license()["class"], "production");
}

/// LIC-914: a script leaves when the report is ready, or after a time; the switch goes on.
#[test]
fn following_a_switch_may_end_early() {
    let mut operator = Operator::of(OrderType::Eval);
    operator.activate();
    let jwt = operator.cwc.issue(&["--type", "paid", "--days", "400"]).unwrap();
    std::fs::write(operator.file("license.jwt"), jwt).unwrap();
    operator.run(&["reactivate", "license.jwt", "--until-report"]).done();
    assert_eq!(operator.cwc.slot("switch").unwrap(), Some(7));
    let again = ["reactivate", "license.jwt", "--timeout", "1s"];
    operator.run(&again).failed(1, "the switch goes on");
}
