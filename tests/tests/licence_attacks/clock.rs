//! A wall clock set back, under a running program and before its start.

use std::time::Duration;

use serde_json::{Value, json};
use spk_tests::{
    cwc::{self, Cwc},
    licence::OrderType,
    poll,
};

use crate::forge::{self, Forger};

/// How far back, and whether that is more than the hour that is borne (K5).
const BACK: [(&str, i64, bool); 3] =
    [("-59m", 3_540, false), ("-61m", 3_660, true), ("-365d", 31_536_000, true)];

fn active(order: OrderType) -> Cwc {
    let mut cwc = Cwc::new(order).unwrap();
    cwc.clock("+0").unwrap();
    cwc.start().unwrap();
    cwc.activate().unwrap();
    cwc
}

/// Sets the clock back, under the running program or with a new start, and waits until the program
/// has seen it and a second more has passed for it.
fn set(cwc: &mut Cwc, offset: &str, seconds: i64, restart: bool) -> Value {
    if restart {
        cwc.kill();
    }
    cwc.clock(offset).unwrap();
    if restart {
        cwc.start().unwrap();
    }
    let time = |license: &Value, name: &str| {
        let text = license["clock"][name].as_str().unwrap_or_default().to_owned();
        text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second).unwrap_or_default()
    };
    let mut first = None;
    poll::until("the clock is seen", Duration::from_secs(20), || {
        let license = cwc.json("/v1/license").ok()?;
        let right = i64::try_from(forge::now()).unwrap();
        let seen = (right - seconds - time(&license, "wall")).abs() < 5;
        let trusted = time(&license, "trusted");
        let began = *first.get_or_insert(trusted);
        (seen && trusted > began + 1).then_some(license)
    })
    .unwrap()
}

/// Waits until verdict, reason and state of the clock are these.
fn ruled(cwc: &Cwc, case: &str, value: &str, reason: &str, clock: &str) {
    let mut last = Value::Null;
    poll::hold(case, Duration::from_secs(10), || {
        last = cwc.json("/v1/license").unwrap();
        let verdict = &last["verdict"];
        verdict["value"] == value && verdict["reason"] == reason && last["clock"]["state"] == clock
    })
    .unwrap_or_else(|error| panic!("{error}: {}, {}", last["verdict"], last["clock"]));
}

/// LIC-564 with the running program, for a trial, at start and while it runs: 59 minutes back:
/// nothing; 61 minutes and a year: blocked under its code, and all is back with the clock.
#[test]
fn a_trial_is_blocked_by_a_clock_more_than_an_hour_back() {
    clock_back(OrderType::Eval, "block");
}

/// LIC-564 with the running program, for production: the same, warned only.
#[test]
fn production_is_warned_of_a_clock_more_than_an_hour_back() {
    clock_back(OrderType::Paid, "warn");
}

fn clock_back(order: OrderType, word: &str) {
    cwc::alone().unwrap();
    let mut cwc = active(order);
    for (offset, seconds, seen) in BACK {
        for restart in [false, true] {
            set(&mut cwc, offset, seconds, restart);
            let case = format!("{offset}, restart {restart}");
            if seen {
                ruled(&cwc, &case, word, "clock_rolled_back", "rolled_back");
            } else {
                ruled(&cwc, &case, "allow", "verified", "ok");
            }
            set(&mut cwc, "+0", 0, false);
            ruled(&cwc, &format!("{case}, undone"), "allow", "verified", "ok");
            assert_eq!(cwc.slot("license").unwrap(), Some(12), "{case}");
        }
    }
}

/// A trial that has ended is not brought back by any clock (K4, K10).
#[test]
fn an_expired_trial_stays_expired_under_any_clock() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Eval).unwrap();
    cwc.clock("+0").unwrap();
    cwc.start().unwrap();
    cwc.await_slot("license", 7).unwrap();
    let report = cwc.report().unwrap();
    let expiry = json!({ "orderType": "eval", "expiry": forge::now() + 3 });
    let claims =
        forge::with(&forge::receipt(&report, forge::now()), json!({ "entitlement": expiry }));
    let receipt = Forger::new(&cwc).usual(&claims);
    assert_eq!(cwc.send("POST", "/receipt", &receipt).status, 200);
    cwc.await_slot("license", 16).unwrap();
    for (offset, seconds, _) in BACK {
        for restart in [false, true] {
            let license = set(&mut cwc, offset, seconds, restart);
            let case = format!("{offset}, restart {restart}");
            assert_eq!(license["slots"]["license"]["state"], 16, "{case}");
            assert_eq!(license["verdict"]["value"], "block", "{case}");
        }
    }
    let license = set(&mut cwc, "+0", 0, true);
    assert_eq!(license["slots"]["license"]["state"], 16);
    assert_eq!(license["verdict"]["reason"], "expired");
}
