//! What wants the bearer token.

use std::fs;

use serde_json::Value;
use spk_tests::licence::OrderType;

use crate::operator::Operator;

/// LIC-918: each of the three wants the token, asks, acts, and the CWC writes an event.
#[test]
fn the_three_commands_want_the_token_ask_and_act() {
    let mut operator = Operator::of(OrderType::Paid);
    operator.activate();
    let accept = ["clock", "accept"];
    let confirm = ["confirm-upgrade"];
    let reset = ["reset"];
    fs::write(operator.file("wrong"), "wrong-token\n").unwrap();
    fs::write(operator.file("empty"), "\n").unwrap();
    let profile = fs::read_to_string(operator.file("profile.yaml")).unwrap();
    let (tokenless, _) = profile.split_once("tokenFile").unwrap();
    fs::write(operator.file("tokenless.yaml"), tokenless).unwrap();
    for command in [&accept[..], &confirm, &reset] {
        let with = |more: &[&'static str]| [command, more].concat();
        operator.run(&with(&["--yes", "--profile", "tokenless.yaml"])).failed(1, "--token-file");
        operator.run(&with(&["--yes", "--token-file", "empty"])).failed(1, "holds no token");
        operator.run(&with(&["--yes", "--token-file", "wrong"])).failed(1, "token_wrong");
        operator.run_typing(command, "no\n").failed(1, "not confirmed");
        operator.run(command).failed(1, "not confirmed");
    }
    for reason in ["LicenseClockAccepted", "LicenseUpgradeConfirmed", "LicenseReset"] {
        assert!(!operator.cwc.told(reason), "{reason}");
    }
    operator.run_typing(&accept, "yes\n").done();
    assert!(operator.cwc.told("LicenseClockAccepted"));
    operator.run_typing(&confirm, "yes\n").done();
    assert!(operator.cwc.told("LicenseUpgradeConfirmed"));
    // An active licence is not given up.
    operator.run(&["reset", "--yes"]).failed(1, "wrong_state");

    let asset = operator.license()["digitalAssetID"].clone();
    operator.cwc.kill();
    let context = operator.cwc.path("store/context");
    let text = fs::read_to_string(&context).unwrap();
    fs::write(&context, &text[..text.len() / 2]).unwrap();
    operator.cwc.start().unwrap();
    assert_eq!(operator.license()["error"]["code"], "store_corrupt");
    operator.run(&["reset", "--yes"]).done();
    assert!(operator.cwc.told("LicenseReset"));
    operator.cwc.await_slot("license", 7).unwrap();
    let now = operator.license()["digitalAssetID"].clone();
    assert_ne!(now, asset);
    assert_ne!(now, Value::Null);
}
