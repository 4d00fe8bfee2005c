//! Situations that the views show, in tests.

use spk_entitlement::{Reason, Verdict};
use uuid::Uuid;

use super::{
    ClockFacts, Facts, Fault, ReportFacts, SlotFacts, SwitchFacts, VerdictFacts, WindowFacts,
};
use crate::calendar::{Window, seconds};
use crate::codes::Code;
use crate::fixture::ASSET;
use crate::report::ReportType;
use crate::settings::Mode;
use crate::state::State;
use crate::token::OrderType;

pub const REPORT: Uuid = Uuid::from_u128(0xa1);

pub fn at(text: &str) -> u64 {
    seconds(text.parse().unwrap())
}

pub fn slot(state: State) -> SlotFacts {
    SlotFacts { state, since: at("2022-12-05T14:22:33Z") }
}

pub fn window(state: State, start: &str, end: &str) -> WindowFacts {
    WindowFacts { slot: slot(state), window: Window { start: at(start), end: at(end) } }
}

pub fn fault(code: Code) -> Fault {
    Fault { code, text: code.text().to_owned() }
}

/// A trial before its first receipt, slot L in `state`.
pub fn unactivated(state: State) -> Facts {
    let waits = state.offers_report() || state == State::VerificationInProgress;
    Facts {
        now: at("2022-12-05T14:22:33Z"),
        namespace: "spk-cwc".to_owned(),
        upstream: "https://up.example/telemetry".to_owned(),
        cluster: "SPK Cluster".to_owned(),
        mode: Mode::Disconnected,
        digital_asset_id: Some(ASSET),
        order_type: Some(OrderType::Eval),
        active: false,
        license: slot(state),
        current: None,
        next: None,
        switch: None,
        verdict: VerdictFacts {
            value: Verdict::Block,
            reason: Reason::NotActivated,
            since: at("2022-12-05T14:22:33Z"),
        },
        stops: Some((at("2022-12-05T14:22:33Z"), Reason::NotActivated)),
        expiry: Some(at("2023-01-04T00:00:00Z")),
        error: None,
        warnings: Vec::new(),
        controllers: Vec::new(),
        untrusting: Vec::new(),
        clock: ClockFacts {
            state: "ok",
            wall: at("2022-12-05T14:22:33Z"),
            high_water: at("2022-12-05T14:22:00Z"),
        },
        report: waits.then(|| ReportFacts {
            id: REPORT,
            kind: ReportType::InitialConfig,
            period: Window { start: at("2022-12-05T14:22:30Z"), end: at("2022-12-05T14:22:33Z") },
            sha256: "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".to_owned(),
            downloads: 0,
        }),
    }
}

/// The seed's licence: paid, its first window reported, January 2023 open.
pub fn active() -> Facts {
    Facts {
        now: at("2023-01-03T12:00:00Z"),
        order_type: Some(OrderType::Paid),
        active: true,
        license: slot(State::VerificationComplete),
        current: Some(window(State::Downloaded, "2022-12-05T14:22:33Z", "2022-12-31T14:22:33Z")),
        next: Some(window(
            State::TelemetryInProgress,
            "2023-01-01T00:00:00Z",
            "2023-01-31T00:00:00Z",
        )),
        verdict: VerdictFacts {
            value: Verdict::Allow,
            reason: Reason::Verified,
            since: at("2022-12-05T14:22:33Z"),
        },
        stops: None,
        expiry: Some(at("2023-12-04T00:01:00Z")),
        ..unactivated(State::Downloaded)
    }
}

/// A trial that becomes paid, slot S in `state`.
pub fn switching(state: State) -> Facts {
    let error = (state == State::VerificationFailed).then(|| fault(Code::ReceiptWrongReport));
    let switch = SwitchFacts { slot: slot(state), order_type: OrderType::Paid, error };
    Facts { order_type: Some(OrderType::Eval), switch: Some(switch), ..active() }
}
