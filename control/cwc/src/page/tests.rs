use spk_entitlement::Reason;
use spk_license::State;
use spk_license::calendar::Window;
use spk_license::codes::Code;
use spk_license::report::ReportType;
use spk_license::settings::Mode;
use spk_license::token::OrderType;
use spk_license::view::{
    ClockFacts, ControllerFacts, Fault, ReportFacts, SlotFacts, SwitchFacts, TmmFacts,
    VerdictFacts, Warning, WindowFacts,
};
use uuid::Uuid;

use super::*;

/// 2023-01-10.
const NOW: u64 = 1_673_308_800;

fn slot(state: State) -> SlotFacts {
    SlotFacts { state, since: NOW - 60 }
}

/// A licence of `order` in slot L's `state`, with the verdict that goes with it.
fn facts(state: State, order: OrderType, mode: Mode) -> Facts {
    let active = matches!(
        state,
        State::VerificationComplete | State::ExpiringSoon | State::ExpiringToday | State::Expired
    );
    let (value, reason) = match state {
        State::VerificationComplete => (Verdict::Allow, Reason::Verified),
        State::ExpiringSoon | State::ExpiringToday => (Verdict::Warn, Reason::Expiring),
        State::Expired if order == OrderType::Paid => (Verdict::Warn, Reason::Expired),
        State::Expired => (Verdict::Block, Reason::Expired),
        State::InitializationFailed => (Verdict::Block, Reason::JwtMissing),
        State::RegistrationFailed => (Verdict::Block, Reason::RegistrationFailed),
        State::ReportFailed => (Verdict::Block, Reason::ReportFailed),
        _ => (Verdict::Block, Reason::NotActivated),
    };
    let end = if state == State::Expired { NOW - 86_400 * 3 } else { NOW + 86_400 * 20 };
    let stops = match (value, order) {
        (Verdict::Block, _) => Some((NOW - 60, reason)),
        (_, OrderType::Paid) => None,
        (_, _) => Some((end, Reason::Expired)),
    };
    let error = Code::from_code(reason.code())
        .filter(|code| value == Verdict::Block && *code != Code::Expired)
        .map(|code| Fault { code, text: code.text().to_owned() });
    Facts {
        now: NOW,
        namespace: "spk-cwc".to_owned(),
        upstream: "https://up.example/telemetry".to_owned(),
        cluster: "A <b>cluster</b>".to_owned(),
        mode,
        digital_asset_id: Some(Uuid::from_u128(7)),
        order_type: Some(order),
        active,
        license: slot(state),
        current: None,
        next: None,
        switch: None,
        verdict: VerdictFacts { value, reason, since: NOW - 60 },
        stops,
        expiry: active.then_some(end),
        error,
        warnings: vec![Warning { code: "expiring", text: "the end is near".into(), since: NOW }],
        controllers: vec![ControllerFacts {
            namespace: "spk-1".to_owned(),
            instance: None,
            last_seen: Some(NOW - 5),
            tmms: vec![TmmFacts {
                name: "f5-tmm-0".to_owned(),
                gate: "open",
                reason: None,
                lease_remaining: Some(170),
            }],
        }],
        untrusting: Vec::new(),
        clock: ClockFacts { state: "ok", wall: NOW, high_water: NOW },
        report: state.offers_report().then(|| ReportFacts {
            id: Uuid::from_u128(9),
            kind: ReportType::InitialConfig,
            period: Window { start: NOW - 60, end: NOW },
            sha256: "x".to_owned(),
            downloads: 0,
        }),
    }
}

fn html(facts: &Facts) -> String {
    let mut context = Context::new(1, facts.mode, NOW);
    if facts.active {
        context.window = Some(Window { start: NOW - 86_400 * 9, end: NOW + 86_400 * 21 });
    }
    Page::new(facts, &context, &Recent::default(), "form-token".to_owned(), None).render().unwrap()
}

/// What of `parts` is not on the page of `facts`.
fn missing<'a>(facts: &Facts, parts: &[&'a str]) -> Vec<&'a str> {
    let html = html(facts);
    parts.iter().copied().filter(|part| !html.contains(part)).collect()
}

/// LIC-930, each state of slot L, for trial and production, with and without upstream: verdict,
/// reason, stop, state, days, steps, Controllers, gates, windows. The stages that a process comes to
/// are in `proc_cwc`.
#[test]
fn each_state_of_the_licence_shows_every_item() {
    let states = State::ALL.iter().filter(|state| state.number() <= 16);
    let mut seen = 0;
    for state in states {
        for order in [OrderType::Eval, OrderType::Paid] {
            for mode in [Mode::Disconnected, Mode::Connected] {
                let facts = facts(*state, order, mode);
                let license = License::new(&facts);
                let mut parts = vec![
                    words::headline(facts.verdict.value),
                    state.text(),
                    "f5-tmm-0",
                    "gate open",
                    "170 s left",
                    "The end is near.",
                ];
                parts.push(match (facts.verdict.value, order) {
                    (Verdict::Block, _) => "Stopped since 2023-01-09 23:59 UTC.",
                    (_, OrderType::Paid) => "Traffic does not stop by itself",
                    (_, _) => {
                        "traffic stops on 2023-01-30 00:00 UTC. Reason: the license ends then."
                    }
                });
                parts.push(match (facts.active, *state) {
                    (false, _) => "not known before activation",
                    (true, State::Expired) => "The license ended on 2023-01-07 00:00 UTC.",
                    (true, _) => "20 days left: the license ends on 2023-01-30 00:00 UTC.",
                });
                parts.push(match (facts.active, mode) {
                    (false, _) => "The first window opens",
                    (true, Mode::Disconnected) => "open; download from 2023-01-31 00:00 UTC",
                    (true, _) => "open; the report is sent on 2023-01-31 00:00 UTC",
                });
                let reason = words::reason(facts.verdict.reason).replace('\'', "&#39;");
                parts.push(&reason);
                assert_eq!(missing(&facts, &parts), [""; 0], "{state:?} {order:?} {mode:?}");
                if !facts.active || facts.verdict.value == Verdict::Block {
                    assert!(!license.next_steps.is_empty());
                }
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 17 * 4);
}

/// LIC-930, slots R, N and S in each of their states, with the buttons of what can be done.
#[test]
fn each_state_of_the_other_slots_is_shown_with_its_buttons() {
    let window = |state| WindowFacts {
        slot: slot(state),
        window: Window { start: NOW - 86_400 * 40, end: NOW - 86_400 * 10 },
    };
    for state in State::ALL.iter().filter(|state| (3..=13).contains(&state.number())) {
        let active = facts(State::VerificationComplete, OrderType::Eval, Mode::Disconnected);
        let current = Facts { current: Some(window(*state)), ..active.clone() };
        let switch = SwitchFacts { slot: slot(*state), order_type: OrderType::Paid, error: None };
        let switching = Facts { switch: Some(switch), ..active.clone() };
        for (facts, address) in [(current, "\"/report\""), (switching, "\"/report?slot=switch\"")] {
            let html = html(&facts);
            assert!(html.contains(state.text()), "{state:?}");
            assert_eq!(html.contains(address), state.offers_report(), "{state:?} {address}");
            let form = html.contains("action=\"/page/receipt\"");
            assert_eq!(form, state.offers_report(), "{state:?}");
        }
        let both = Facts {
            current: Some(window(State::ReadyToDownload)),
            switch: Some(SwitchFacts {
                slot: slot(State::ReadyToDownload),
                order_type: OrderType::Paid,
                error: None,
            }),
            ..active
        };
        let parts = ["/report?slot=switch", "/report?slot=current"];
        assert_eq!(missing(&both, &parts), [""; 0]);
    }
    for state in [State::TelemetryInProgress, State::ReadyToGenerate] {
        let active = facts(State::VerificationComplete, OrderType::Eval, Mode::Disconnected);
        let facts = Facts { next: Some(window(state)), ..active };
        assert_eq!(missing(&facts, &[state.text()]), [""; 0]);
    }
}

#[test]
fn names_of_the_site_cannot_write_the_page() {
    let html = html(&facts(State::Default, OrderType::Eval, Mode::Disconnected));
    assert!(html.contains("A &#60;b&#62;cluster&#60;/b&#62;"), "{html}");
}

#[test]
fn a_refused_form_is_told_with_reason_code_and_advice() {
    let facts = facts(State::Downloaded, OrderType::Eval, Mode::Disconnected);
    let refusal = Refusal::new(Code::ReceiptStale, "it is too old");
    let message = Message::refused("Not accepted", &refusal, &facts);
    let [reason, action] = message.refused.unwrap();
    assert_eq!(reason, "It is too old. (receipt_stale)");
    assert!(action.contains("00000000-0000-0000-0000-000000000009"), "{action}");
}
