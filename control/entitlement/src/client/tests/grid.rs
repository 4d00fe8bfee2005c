//! The grid of licensing.md §11, cell by cell, against a table that was written from the reference.

use super::*;
use crate::LeaseError;

const TABLE: &str = include_str!("grid.txt");
const STATES: [State; 8] = State::ALL;
const EVENTS: [&str; 11] =
    ["late", "ver", "paid", "trial", "ok", "prod", "block", "t5", "silent", "tmm", "latch"];

/// The table: (state, event, next state, letters). `-` keeps the state and has no letters.
fn table() -> Vec<(State, &'static str, State, &'static str)> {
    let named = |name: &str| STATES.into_iter().find(|state| state.name() == name).unwrap();
    let mut cells = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('|').map(str::trim);
        let from = named(columns.next().unwrap());
        for event in EVENTS {
            let cell = columns.next().unwrap();
            let (next, letters) = match cell.split_once(' ') {
                Some((next, letters)) => (named(next), letters),
                None => {
                    assert_eq!(cell, "-");
                    (from, "")
                }
            };
            cells.push((from, event, next, letters));
        }
        assert_eq!(columns.next(), None);
    }
    cells
}

/// A rig in `state`, and the second now. For event `silent` the last request is younger than 5 s
/// when silence is loss, so that `t5` does not follow at once.
fn in_state(state: State, event: &str) -> (Rig, u64) {
    let trust = Some(key(1).jwks()).filter(|_| state != State::Boot);
    let mut rig = Rig::start(Records { trust, ..Records::default() }, 0);
    let first = rig.request;
    let now = if event == "silent" { 181 } else { 1 };
    rig.run(now);
    let newest = std::mem::replace(&mut rig.request, first);
    let block = says(0, Verdict::Block, Reason::NotActivated);
    let allow = says(0, Verdict::Allow, Reason::Verified);
    let full = production(0, Verdict::Allow, Reason::Verified);
    let lost = match state {
        State::Boot => false,
        State::Asking => {
            rig.later(&block, now);
            false
        }
        State::Confirming => {
            rig.verified(&allow, now);
            false
        }
        State::Active => {
            rig.trial(&allow, now);
            false
        }
        State::Blocked => {
            rig.verified(&allow, now);
            rig.beat(&block, now);
            false
        }
        State::Lost => {
            rig.later(&block, now);
            true
        }
        State::Latched => {
            rig.paid(&full, now);
            false
        }
        State::LatchedLost => {
            rig.paid(&full, now);
            true
        }
    };
    // In Latched only a request that is not answered is repeated.
    if event == "t5" && state == State::Latched {
        let statement = rig.authority.renew(&Occasion { ..full.clone() });
        rig.authority.assign(Uuid::from_u128(2));
        let prod = rig.authority.renew(&full);
        rig.message(heartbeat(statement), now);
        rig.message(heartbeat(prod), now);
        rig.authority.assign(Uuid::from_u128(1));
    } else {
        rig.request = newest;
    }
    let now = if lost {
        let end = rig.client.silent_at.unwrap();
        rig.run_to(end);
        end.0 / 1_000_000_000
    } else {
        now
    };
    assert_eq!(rig.client.state(), state, "set up for {event}");
    (rig, now)
}

/// What the event of a test brings.
struct Given {
    judged: Judged,
    reason: Reason,
    statement: Option<String>,
    latch: Option<String>,
}

/// Lets `event` happen 1 s after `now`; gives what came out and what it brought.
fn let_happen(rig: &mut Rig, event: &str, now: u64) -> (Vec<Output>, Given) {
    let latched = rig.client.state().is_latched();
    let now = now + 1;
    let allow = says(now, Verdict::Allow, Reason::Switching);
    let block = says(now, Verdict::Block, Reason::ReceiptStale);
    let full = production(now, Verdict::Warn, Reason::Expiring);
    let mut given =
        Given { judged: Judged::Allow, reason: Reason::Switching, statement: None, latch: None };
    let blocks = |given: &mut Given| {
        given.judged = if latched { Judged::Warn } else { Judged::Block };
        given.reason = Reason::ReceiptStale;
    };
    let outputs = match event {
        "late" => {
            blocks(&mut given);
            rig.later(&block, now)
        }
        "ver" => rig.verified(&allow, now),
        "paid" => {
            let latch = rig.authority.latch(NAMESPACE, &full);
            given.latch = Some(latch.clone());
            let statement = rig.answer(&full);
            rig.message(paid(statement, latch), now)
        }
        "trial" => rig.trial(&allow, now),
        "ok" => {
            let statement = rig.authority.renew(&allow);
            given.statement = Some(statement.clone());
            rig.message(heartbeat(statement), now)
        }
        "prod" => {
            rig.authority.assign(Uuid::from_u128(3));
            let statement = rig.authority.renew(&full);
            (given.judged, given.reason) = (Judged::Warn, Reason::Expiring);
            given.statement = Some(statement.clone());
            rig.message(changed(statement), now)
        }
        "block" => {
            blocks(&mut given);
            rig.beat(&block, now)
        }
        "t5" => {
            let asked = rig.client.asked.map_or(Nanos(0), |(at, ..)| at);
            let due = asked.plus(POLL_EVERY);
            rig.outputs.clear();
            rig.client.handle_timeout(Nanos(due.0 - 1));
            assert_eq!(asks(&rig.outputs), 0, "not before 5 s");
            rig.run_to(due.max(seconds(now)));
            rig.outputs.clone()
        }
        "silent" => {
            rig.outputs.clear();
            match rig.client.silent_at {
                Some(silent) => rig.run_to(silent),
                // Not armed: a statement's whole life passes. Only the asking goes on.
                None => {
                    rig.run(now + 183);
                    rig.outputs.retain(|output| !matches!(output, Output::Ask { .. }));
                }
            }
            rig.outputs.clone()
        }
        "tmm" => rig.give(Input::Tmm { pod: POD.to_owned(), gate: GateState::Closed }, now),
        "latch" => {
            let latch = rig.authority.latch(NAMESPACE, &full);
            given.latch = Some(latch.clone());
            rig.give(Input::LatchOffered { jws: latch }, now)
        }
        other => panic!("no event {other}"),
    };
    (outputs, given)
}

/// The letters of what came out, in order.
fn letters(outputs: &[Output], given: &Given, ignored: bool) -> String {
    let mut word = String::new();
    let mut left = outputs.iter().peekable();
    while let Some(output) = left.next() {
        let letter = match output {
            Output::Judged(Change { to, .. }) => match (to.verdict, to.reason) {
                (Judged::Block, Reason::CommsLost) => 'b',
                (Judged::Warn, Reason::CommsLost) => 'c',
                (Judged::Warn, _) if ignored => 'w',
                said if said == (given.judged, given.reason) => 'v',
                _ => '?',
            },
            Output::Lease { pod, jws } if (pod.as_str(), jws.as_str()) == (POD, "lease") => 'o',
            Output::Renew { jws } if Some(jws) == given.statement.as_ref() => 'n',
            Output::Ask { request, hello } => match (&request.body, hello) {
                (Body::GetEntitlementRequest(_), Hello::All) => 'q',
                (Body::LeaseRequest(_), Hello::One(pod)) if pod == POD => 'a',
                _ => '?',
            },
            // l: stored, judged where that changes something, sent to every TMM.
            Output::StoreLatch { jws } if Some(jws) == given.latch.as_ref() => {
                left.next_if(|output| matches!(output, Output::Judged(change)
                    if change.to.verdict != Judged::Block && change.to.class == Some(Class::Production)));
                let sent = Output::Latch { pod: None, jws: jws.clone() };
                if left.next() == Some(&sent) { 'l' } else { '?' }
            }
            Output::Latch { pod: Some(pod), .. } if pod == POD => 's',
            // In Boot nothing verifies: counted, and no event.
            Output::Refused(Refusal::Lease(LeaseError::NoTrustAnchor)) => continue,
            // What every statement does, and what the shell tells people.
            Output::StoreLast { .. } | Output::ContactLost | Output::ContactRestored => continue,
            _ => '?',
        };
        word.push(letter);
    }
    word
}

/// LIC-750: 8 states, 11 events: the next state and the outputs of each cell.
#[test]
fn every_cell_of_the_grid_has_its_next_state_and_its_outputs() {
    let table = table();
    assert_eq!(table.len(), 88);
    for (state, event, next, expected) in table {
        let (mut rig, now) = in_state(state, event);
        let ignored = rig.client.latched_ignored();
        let (outputs, given) = let_happen(&mut rig, event, now);
        let ignored = rig.client.latched_ignored() - ignored;
        assert_eq!(rig.client.state(), next, "{state:?} {event}: {outputs:?}");
        assert_eq!(ignored, u64::from(expected.contains('w')), "{state:?} {event}");
        let got = letters(&outputs, &given, ignored == 1);
        assert_eq!(got, expected, "{state:?} {event}: {outputs:?}");
    }
}

/// The start of licensing.md §11.
#[test]
fn a_start_asks_with_a_latch_at_hand_waits_without_a_trust_anchor() {
    let mut boot = Rig::start(Records::default(), 0);
    assert_eq!(boot.outputs, [Output::TrustAnchorMissing]);
    assert_eq!(boot.client.state(), State::Boot);
    assert_eq!(boot.client.poll_timeout(), None);
    assert_eq!(boot.verdict(), Judged::Unknown);
    let outputs = boot.give(Input::TrustAnchor(key(1).jwks()), 1000);
    assert_eq!((boot.client.state(), asks(&outputs)), (State::Asking, 1));
    assert_eq!(boot.verdict(), Judged::Unknown);

    let latch = boot.authority.latch(NAMESPACE, &production(0, Verdict::Allow, Reason::Verified));
    let records = Records { latch: Some(latch.clone()), trust: Some(key(1).jwks()), last: None };
    for late_trust in [false, true] {
        let mut records = records.clone();
        let trust = records.trust.take_if(|_| late_trust);
        let mut rig = Rig::start(records, 0);
        if let Some(keys) = trust {
            assert_eq!(rig.verdict(), Judged::Unknown);
            rig.give(Input::TrustAnchor(keys), 0);
        }
        assert_eq!((rig.client.state(), rig.verdict()), (State::Latched, Judged::Allow));
        assert!(rig.outputs.contains(&Output::Latch { pod: None, jws: latch.clone() }));
        assert_eq!(asks(&rig.outputs), 1);
    }
}
