//! Receipts that are none: forged, foreign, stale, replayed.

use std::sync::Barrier;

use serde_json::json;
use spk_tests::{
    cwc::{self, Cwc},
    licence::OrderType,
};
use uuid::Uuid;

use crate::forge::{self, Forger};
use crate::rules::{self, Kind};
use crate::{Attack, Leaves, Picture, attack};

fn downloaded(order: OrderType) -> (Cwc, String) {
    let mut cwc = Cwc::new(order).unwrap();
    cwc.start().unwrap();
    cwc.await_slot("license", 7).unwrap();
    let report = cwc.report().unwrap();
    (cwc, report)
}

/// LIC-133, LIC-137, LIC-138's border of a day, and every rule of a compact token at the door of the
/// running program: no forged receipt activates, junk leaves nothing, a foreign one state 13, and the
/// good one is still taken.
#[test]
fn no_forged_foreign_or_stale_receipt_activates() {
    cwc::alone().unwrap();
    let (cwc, report) = downloaded(OrderType::Paid);
    let forger = Forger::new(&cwc);
    let claims = forge::receipt(&report, forge::now());
    let kind = Kind { word: "receipt", depth: 16, size: 65_536 };
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut attacks = rules::broken(&forger, kind, &claims, nowhere);
    attacks.push(Attack {
        name: String::from("the report itself"),
        body: report.clone(),
        status: 400,
        code: String::from("receipt_algorithm"),
        leaves: Leaves::Nothing,
    });
    attack(&cwc, "/receipt", &attacks);
    attack(&cwc, "/receipt", &foreign(&forger, &report));
    assert_eq!(cwc.report().unwrap(), report);
    let good = cwc.acknowledge(&report).unwrap();
    assert_eq!(cwc.send("POST", "/receipt", &good).status, 200);
    assert_eq!(cwc.slot("license").unwrap(), Some(12));
}

/// Receipts that the authority signed, and that are for another one, or of another time.
fn foreign(forger: &Forger, report: &str) -> Vec<Attack> {
    let now = forge::now();
    let claims = forge::receipt(report, now);
    let generated = spk_license::report::read(report).unwrap().telemetry.generated_at.as_second();
    let generated = u64::try_from(generated).unwrap();
    let other = Uuid::new_v4();
    let row = |name: &str, more, code: &str| Attack {
        name: name.to_owned(),
        body: forger.usual(&forge::with(&claims, more)),
        status: 422,
        code: code.to_owned(),
        leaves: Leaves::Refused,
    };
    let days = 86_400;
    vec![
        row("another issuer", json!({ "iss": "Other" }), "receipt_issuer"),
        row("another asset", json!({ "digitalAssetID": other }), "receipt_wrong_asset"),
        row("another report", json!({ "reportID": other }), "receipt_wrong_report"),
        row("another text", json!({ "reportSha256": "x".repeat(43) }), "receipt_wrong_report"),
        row("another licence", json!({ "licenseJti": other }), "receipt_wrong_license"),
        row(
            "another order",
            json!({ "entitlement": { "orderType": "ela" } }),
            "receipt_wrong_license",
        ),
        row("of tomorrow", json!({ "iat": now + days + 600 }), "receipt_stale"),
        row("from before the report", json!({ "iat": generated - days - 1 }), "receipt_stale"),
        row(
            "expiry before issue",
            json!({ "entitlement": { "orderType": "paid", "expiry": now - 1 } }),
            "receipt_claims",
        ),
        row("a local one", json!({ "ack": "local" }), "receipt_claims"),
    ]
}

/// LIC-134 with the shipped program: of 100 equal receipts at the same instant exactly one is
/// accepted, and later ones change nothing.
#[test]
fn of_a_hundred_equal_receipts_exactly_one_is_accepted() {
    cwc::alone().unwrap();
    let (cwc, report) = downloaded(OrderType::Paid);
    let receipt = cwc.acknowledge(&report).unwrap();
    let start = Barrier::new(100);
    let post = || {
        start.wait();
        // On a busy machine a handshake may be given up; that post is made again.
        let answered = |_| Some(cwc.send("POST", "/receipt", &receipt).status).filter(|s| *s != 0);
        (0..5).find_map(answered).unwrap_or_default()
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..100).map(|_| scope.spawn(post)).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(200), count(409)), (1, 99), "{statuses:?}");
    let before = Picture::of(&cwc);
    let again = cwc.send("POST", "/receipt", &receipt);
    assert_eq!(again.status, 409);
    assert!(again.body.contains("receipt_replayed"), "{again:?}");
    assert_eq!(Picture::of(&cwc), before);
    assert_eq!(cwc.context().unwrap()["accepted"].as_array().unwrap().len(), 1);
}
