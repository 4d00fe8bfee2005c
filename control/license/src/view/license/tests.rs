use spk_entitlement::{Class, Reason, Verdict};

use super::License;
use crate::codes::Code;
use crate::report::ReportType;
use crate::state::State;
use crate::token::OrderType;
use crate::view::fixture::{active, at, fault, unactivated};
use crate::view::{ClockFacts, ControllerFacts, Facts, TmmFacts, VerdictFacts, Warning};

fn tmm(name: &str, gate: &'static str, reason: Option<Reason>, left: Option<u64>) -> TmmFacts {
    TmmFacts { name: name.to_owned(), gate, reason, lease_remaining: left }
}

/// A situation in which every member has something to show.
fn full() -> Facts {
    let mut facts = active();
    let report = facts.report.as_mut().unwrap();
    report.kind = ReportType::Telemetry;
    report.period = facts.current.unwrap().window;
    report.downloads = 2;
    Facts {
        verdict: VerdictFacts {
            value: Verdict::Warn,
            reason: Reason::ClockRolledBack,
            ..facts.verdict
        },
        error: Some(fault(Code::ClockRolledBack)),
        warnings: vec![Warning {
            code: Code::TelemetryOverdue.code(),
            text: Code::TelemetryOverdue.text().to_owned(),
            since: at("2023-01-07T14:22:33Z"),
        }],
        controllers: vec![
            ControllerFacts {
                namespace: "spk-core".to_owned(),
                instance: Some("5c0ffee0-0000-4000-8000-000000000001".to_owned()),
                last_seen: Some(at("2023-01-03T11:59:30Z")),
                tmms: vec![
                    tmm("f5-tmm-0", "latched", None, None),
                    tmm("f5-tmm-1", "closed", Some(Reason::NoLease), Some(12)),
                ],
            },
            ControllerFacts {
                namespace: "spk-edge".to_owned(),
                instance: None,
                last_seen: None,
                tmms: Vec::new(),
            },
        ],
        clock: ClockFacts {
            state: "rolled_back",
            wall: at("2023-01-02T12:00:00Z"),
            high_water: at("2023-01-03T12:00:00Z"),
        },
        ..facts
    }
}

#[test]
fn everything_is_shown_under_its_documented_name() {
    let license = License::new(&full());
    let text = serde_json::to_string(&license).unwrap();
    assert_eq!(text, include_str!("../golden/license.json").trim_end());
    assert_eq!(serde_json::from_str::<License>(&text).unwrap(), license);
}

#[test]
fn what_is_unknown_is_null() {
    let facts = Facts {
        digital_asset_id: None,
        order_type: None,
        expiry: None,
        report: None,
        ..unactivated(State::InitializationFailed)
    };
    let value = serde_json::to_value(License::new(&facts)).unwrap();
    for name in ["digitalAssetID", "orderType", "expiry", "report", "error"] {
        assert!(value[name].is_null(), "{name}");
    }
    assert_eq!(value["class"], "unactivated");
    assert_eq!(value["stopsBecause"], "not_activated");
    assert_eq!(value["stopsAt"], "2022-12-05T14:22:33Z");
}

#[test]
fn a_class_belongs_to_an_active_licence_only() {
    for order in OrderType::ALL {
        let order_type = Some(order);
        let before = License::new(&Facts { order_type, ..unactivated(State::Downloaded) });
        assert_eq!(before.class, Class::Unactivated);
        assert_eq!(License::new(&Facts { order_type, ..active() }).class, order.class());
    }
}
