use spk_entitlement::Reason;
use spk_license::calendar::{Window, seconds};
use spk_license::codes::Code;
use spk_license::report::ReportType;
use spk_license::state::State;
use spk_license::token::OrderType;
use spk_license::view::{
    ClockFacts, ControllerFacts, Facts, Fault, ReportFacts, SlotFacts, SwitchFacts, TmmFacts,
    VerdictFacts, Warning, WindowFacts,
};
use uuid::Uuid;

use super::*;

fn time(text: &str) -> u64 {
    seconds(text.parse().unwrap())
}

fn slot(state: State) -> SlotFacts {
    SlotFacts { state, since: time("2027-01-05T14:22:33Z") }
}

fn window() -> Window {
    Window { start: time("2027-01-05T14:22:33Z"), end: time("2027-01-31T14:22:33Z") }
}

/// A trial, slot L in `state`; active from 12 on but for 13.
fn facts(state: State) -> Facts {
    use State::{
        DownloadFailed, Downloaded, Expired, ExpiringSoon, ExpiringToday, InitializationFailed,
        ReadyToDownload, RegistrationFailed, ReportFailed, VerificationComplete,
        VerificationFailed,
    };
    let active = matches!(state, VerificationComplete | ExpiringSoon | ExpiringToday | Expired);
    let now = time("2027-01-06T00:00:00Z");
    let days = match state {
        ExpiringSoon => 6,
        ExpiringToday => 0,
        Expired => -2,
        _ => 300,
    };
    let expiry = now.saturating_add_signed(days * 86_400 + 3_600);
    let (value, reason) = match state {
        VerificationComplete => (Verdict::Allow, Reason::Verified),
        ExpiringSoon | ExpiringToday => (Verdict::Warn, Reason::Expiring),
        Expired => (Verdict::Block, Reason::Expired),
        _ => (Verdict::Block, Reason::NotActivated),
    };
    let since = time("2027-01-05T14:22:33Z");
    let stops = match (value, state) {
        (Verdict::Block, _) => (since, reason),
        (_, _) => (expiry, Reason::Expired),
    };
    let code = match state {
        InitializationFailed => Some(Code::JwksMissing),
        RegistrationFailed => Some(Code::RegistrationFailed),
        ReportFailed => Some(Code::ReportFailed),
        DownloadFailed => Some(Code::ReportDownloadFailed),
        VerificationFailed => Some(Code::ReceiptWrongReport),
        Expired => Some(Code::Expired),
        _ => None,
    };
    let waits = matches!(state, ReadyToDownload | DownloadFailed | Downloaded | VerificationFailed);
    Facts {
        now,
        namespace: "default".to_owned(),
        upstream: "https://up.example/telemetry".to_owned(),
        cluster: "SPK Cluster".to_owned(),
        mode: Mode::Disconnected,
        digital_asset_id: (state != State::Default).then_some(Uuid::from_u128(0xa0)),
        order_type: Some(OrderType::Eval),
        active,
        license: slot(state),
        current: None,
        next: active
            .then(|| WindowFacts { slot: slot(State::TelemetryInProgress), window: window() }),
        switch: None,
        verdict: VerdictFacts { value, reason, since },
        stops: Some(stops),
        expiry: active.then_some(expiry),
        error: code.map(|code| Fault { code, text: code.text().to_owned() }),
        warnings: Vec::new(),
        controllers: Vec::new(),
        untrusting: Vec::new(),
        clock: ClockFacts { state: "ok", wall: now, high_water: now },
        report: waits.then(|| ReportFacts {
            id: Uuid::from_u128(0xa1),
            kind: ReportType::InitialConfig,
            period: window(),
            sha256: "sha".to_owned(),
            downloads: u64::from(state == Downloaded),
        }),
    }
}

fn calendar(active: bool) -> Calendar {
    let span =
        |start: &str, end: &str| Span { start: start.parse().unwrap(), end: end.parse().unwrap() };
    Calendar {
        window: active.then(|| span("2027-01-05T14:22:33Z", "2027-01-31T14:22:33Z")),
        upcoming: if active {
            vec![span("2027-02-01T00:00:00Z", "2027-02-28T00:00:00Z")]
        } else {
            Vec::new()
        },
    }
}

/// LIC-910, first half: what is shown in each state of slot L. That the steps run is proven by
/// `tests/licence_spkctl`.
#[test]
fn each_state_has_its_table() {
    let mut all = String::new();
    for state in State::ALL.into_iter().filter(|state| *state < State::TelemetryInProgress) {
        let facts = facts(state);
        let license = License::new(&facts);
        let shown = table(&license, &calendar(facts.active));
        let _ = writeln!(all, "== {} {}\n{shown}", state.number(), code(&license));
    }
    insta::assert_snapshot!(all);
}

/// LIC-910: a switch, warnings, Controllers and gates.
#[test]
fn switch_warnings_and_gates_are_shown() {
    let tmm = |name: &str, gate, reason, lease_remaining| TmmFacts {
        name: name.to_owned(),
        gate,
        reason,
        lease_remaining,
    };
    let facts = Facts {
        order_type: Some(OrderType::Paid),
        stops: None,
        switch: Some(SwitchFacts {
            slot: slot(State::Downloaded),
            order_type: OrderType::Ela,
            error: None,
        }),
        warnings: vec![Warning {
            code: Code::ClockJumpedForward.code(),
            text: "A\u{1b}[31m clock".to_owned(),
            since: time("2027-01-05T14:22:33Z"),
        }],
        controllers: vec![
            ControllerFacts {
                namespace: "spk-1".to_owned(),
                instance: Some("uid".to_owned()),
                last_seen: Some(time("2027-01-05T23:59:30Z")),
                tmms: vec![
                    tmm("f5-tmm-0", "latched", None, None),
                    tmm("f5-tmm-1", "closed", Some(Reason::NoLease), Some(12)),
                ],
            },
            ControllerFacts {
                namespace: "spk-2".to_owned(),
                instance: None,
                last_seen: None,
                tmms: Vec::new(),
            },
        ],
        untrusting: vec!["spk-2".to_owned()],
        ..facts(State::VerificationComplete)
    };
    let license = License::new(&facts);
    assert_eq!(code(&license), WARNING);
    insta::assert_snapshot!(table(&license, &calendar(true)));
}
