use super::{HISTORY_LIMIT, History, Transition};
use crate::codes::Code;
use crate::fixture::NOW;
use crate::state::{Slot, State};
use crate::trigger::Trigger;

fn transition(number: u64) -> Transition {
    Transition {
        at: NOW + number,
        slot: Slot::Current,
        event: Trigger::RcptBad,
        from: Some(State::Downloaded),
        to: Some(State::VerificationFailed),
        code: Some(Code::ReceiptStale),
    }
}

#[test]
fn the_last_256_transitions_are_kept() {
    let mut history = History::default();
    for number in 0..300 {
        history.push(transition(number));
    }
    assert_eq!(history.iter().len(), HISTORY_LIMIT);
    assert_eq!(history.iter().next(), Some(&transition(44)));
    assert_eq!(history.iter().next_back(), Some(&transition(299)));
    let stored = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&stored).unwrap(), history);
}

#[test]
fn a_transition_is_shown_in_numbers_and_words() {
    let mut history = History::default();
    history.push(transition(0));
    history.push(Transition { from: None, code: None, ..transition(1) });
    let text = serde_json::to_string(&history.view()).unwrap();
    let first = r#"{"at":"2027-01-15T08:00:00Z","slot":"current","event":"rcpt.bad","from":10,"fromText":"Config Report Downloaded","to":13,"toText":"Verification Failed","code":"receipt_stale"}"#;
    let second = r#"{"at":"2027-01-15T08:00:01Z","slot":"current","event":"rcpt.bad","from":null,"fromText":null,"to":13,"toText":"Verification Failed","code":null}"#;
    assert_eq!(text, format!("[{first},{second}]"));
}
