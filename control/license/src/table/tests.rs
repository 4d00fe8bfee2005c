//! The tables in code against those of the reference, kept as data of their own.

use super::{
    CURRENT_COLUMNS, Cell, LICENSE_COLUMNS, NEXT_COLUMNS, SWITCH_COLUMNS, current, license, next,
    switch,
};
use crate::state::State;
use crate::trigger::Trigger;

/// One cell of the reference: from, event, what it says.
pub fn cells(text: &'static str) -> Vec<(Option<State>, Trigger, &'static str)> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [from, event, to] = words[..] else { panic!("{line}") };
        let from = match from {
            "none" => None,
            number => State::from_number(number.parse().unwrap()),
        };
        (from, Trigger::from_word(&event.replace('_', " ")).unwrap(), to)
    })
    .collect()
}

fn text(cell: Cell) -> String {
    match cell {
        Cell::Stay => "-".to_owned(),
        Cell::Refuse => "405".to_owned(),
        Cell::Conflict => "409".to_owned(),
        Cell::Missing => "404".to_owned(),
        Cell::Current => "R".to_owned(),
        Cell::Switch => "S".to_owned(),
        Cell::To(state) => state.number().to_string(),
        Cell::Renewed => "renewed".to_owned(),
        Cell::Clear => "none".to_owned(),
        Cell::Done => "done".to_owned(),
    }
}

/// Compares a slot with the reference; every pair of `states` and `columns` must be there, and
/// every other trigger changes nothing.
fn compare(
    reference: &'static str,
    states: &[Option<State>],
    columns: &[Trigger],
    ours: impl Fn(Option<State>, Trigger) -> Cell,
) {
    let reference = cells(reference);
    assert_eq!(reference.len(), states.len() * columns.len());
    for (from, trigger, expected) in reference {
        assert!(states.contains(&from) && columns.contains(&trigger));
        let expected = if expected.starts_with("12/") { "renewed" } else { expected };
        assert_eq!(text(ours(from, trigger)), expected, "{from:?} {}", trigger.word());
    }
    for from in states {
        for trigger in Trigger::ALL.iter().filter(|trigger| !columns.contains(trigger)) {
            assert_eq!(ours(*from, *trigger), Cell::Stay, "{from:?} {}", trigger.word());
        }
    }
}

fn states(numbers: impl IntoIterator<Item = u8>) -> Vec<Option<State>> {
    numbers.into_iter().map(|number| Some(State::from_number(number).unwrap())).collect()
}

/// LIC-210 (next states; outputs and counters are in `machine::tests::cells`).
#[test]
fn slot_l_is_the_table_of_the_reference() {
    compare(
        include_str!("../../tests/data/license.txt"),
        &states(0..17),
        &LICENSE_COLUMNS,
        |s, t| license(s.unwrap(), t),
    );
}

/// LIC-230.
#[test]
fn slots_r_and_n_are_the_tables_of_the_reference() {
    let mut r = states(6..14);
    r.push(None);
    compare(include_str!("../../tests/data/current.txt"), &r, &CURRENT_COLUMNS, current);
    let mut n = states(17..19);
    n.push(None);
    compare(include_str!("../../tests/data/next.txt"), &n, &NEXT_COLUMNS, next);
}

#[test]
fn slot_s_is_the_table_of_the_reference() {
    let reference = include_str!("../../tests/data/switch.txt");
    let mut s = states([3, 4, 5, 6, 7, 8, 10, 11, 13]);
    s.push(None);
    // The reference leaves a failed read to the sentence below its table.
    let columns: Vec<Trigger> =
        SWITCH_COLUMNS.iter().copied().filter(|column| *column != Trigger::GetErr).collect();
    let without = |from, trigger| match trigger {
        Trigger::GetErr => Cell::Stay,
        other => switch(from, other),
    };
    compare(reference, &s, &columns, without);
    for from in states([7, 9, 10, 13]) {
        assert_eq!(switch(from, Trigger::GetErr), Cell::To(State::DownloadFailed));
    }
    for column in SWITCH_COLUMNS {
        let (nine, seven) = (Some(State::DownloadFailed), Some(State::ReadyToDownload));
        assert_eq!(switch(nine, column), switch(seven, column), "9 behaves as 7");
    }
}
