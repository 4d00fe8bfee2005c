//! Attacks on a running CWC (suite `licence`): each is refused with its documented code and changes
//! nothing that it should not.
//!
//! Sources: licensing.md §1.3, §2.1, §2.4, §7.5, §8.

mod bus;
mod clock;
mod controller;
mod forge;
mod receipts;
mod rules;
mod state;
mod tokens;

use serde_json::{Value, json};
use spk_tests::cwc::Cwc;

/// One attack on an endpoint.
struct Attack {
    /// What it tries.
    name: String,
    /// The body.
    body: String,
    /// HTTP status of the refusal.
    status: u16,
    /// Its code.
    code: String,
    /// What it may leave.
    leaves: Leaves,
}

/// What a refused attack leaves behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaves {
    /// Nothing at all.
    Nothing,
    /// State 13: the signature was good (§2.4). The licence, its report and what was accepted stay.
    Refused,
}

/// Everything of a CWC that an attack must not change.
#[derive(Debug, PartialEq)]
struct Picture {
    /// The records, but what time alone changes.
    records: Value,
    /// The last transitions.
    history: Value,
    /// Slots, verdict, asset, class.
    shown: Value,
}

impl Picture {
    fn of(cwc: &Cwc) -> Self {
        let mut records = json!(cwc.records().unwrap());
        records["context"] = lasting(cwc);
        let license = cwc.json("/v1/license").unwrap();
        let names = ["digitalAssetID", "class", "active", "slots", "verdict", "stopsAt", "report"];
        let shown = names.map(|name| (name.to_owned(), license[name].clone()));
        Self {
            records,
            history: cwc.json("/v1/license/history").unwrap(),
            shown: Value::Object(shown.into_iter().collect()),
        }
    }
}

/// Record `context` without what the minutes change: the count of writes, the mark of time, samples.
fn lasting(cwc: &Cwc) -> Value {
    let mut context = cwc.context().unwrap();
    let members = context.as_object_mut().unwrap();
    for name in ["generation", "high_water", "samples", "sample_time", "sha256"] {
        assert!(members.remove(name).is_some(), "{name} is no member of context");
    }
    context
}

/// Makes every attack, and looks at what it left.
fn attack(cwc: &Cwc, path: &str, attacks: &[Attack]) {
    let mut before = Picture::of(cwc);
    for attack in attacks {
        let Attack { name, body, status, code, leaves } = attack;
        let reply = cwc.send("POST", path, body);
        assert_eq!(reply.status, *status, "{name}: {reply:?}");
        assert!(reply.body.contains(code.as_str()), "{name}: {reply:?}, not {code}");
        let after = Picture::of(cwc);
        match leaves {
            Leaves::Nothing => assert_eq!(after, before, "{name}"),
            Leaves::Refused => {
                assert_eq!(after.shown["slots"]["license"]["state"], 13, "{name}");
                for member in [
                    "digitalAssetId",
                    "grant",
                    "activated",
                    "receipt",
                    "accepted",
                    "sequence",
                    "reports",
                ] {
                    let member = |picture: &Picture| picture.records["context"][member].clone();
                    assert_eq!(member(&after), member(&before), "{name}");
                }
                assert_eq!(after.shown["report"], before.shown["report"], "{name}");
            }
        }
        before = after;
    }
    println!("{} attacks on {path}: 0 successes", attacks.len());
}
