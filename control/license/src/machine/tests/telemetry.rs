//! Windows, samples and roll-up, as the machine drives them.

use serde_json::Value;
use spk_entitlement::{Reason, Verdict};

use super::super::turn::Turn;
use crate::calendar::{Window, instant};
use crate::codes::Code;
use crate::context::Place;
use crate::event::Event;
use crate::fixture::{NOW, signed, with};
use crate::report;
use crate::rig::{Rig, USAGE};
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::{Effect, Notice, Output, Storing};
use crate::table::tests::cells;
use crate::trigger::Trigger;

const DAY: u64 = 86_400;

fn at(text: &str) -> u64 {
    crate::calendar::seconds(text.parse().unwrap())
}

/// Active since this instant.
fn active_since(order: &str, text: &str) -> Rig {
    let mut rig = Rig::with_jwt(
        &with(
            with(crate::fixture::claims(), "f5_order_type", order.into()),
            "f5_sat",
            Value::from(at("2040-01-01T00:00:00Z")),
        ),
        Mode::Disconnected,
    );
    rig.now = crate::rig::at(at(text));
    rig.objects.jwt = Some(signed(&with(
        with(
            with(crate::fixture::claims(), "f5_order_type", order.into()),
            "f5_sat",
            Value::from(at("2040-01-01T00:00:00Z")),
        ),
        "iat",
        Value::from(at(text)),
    )));
    rig.boot();
    rig.settle();
    acknowledge(&mut rig);
    assert!(rig.machine.is_active());
    rig
}

/// Downloads what waits and brings its receipt.
fn acknowledge(rig: &mut Rig) {
    let slot = rig.machine.offering(None).unwrap();
    rig.download();
    let receipt = rig.receipt(slot);
    rig.feed(Event::Receipt(receipt)).unwrap();
}

fn go_to(rig: &mut Rig, text: &str) {
    rig.pass(at(text) - rig.trusted());
}

fn read(rig: &Rig) -> report::ProductTelemetry {
    let text = &rig.machine.context().reports.current.as_ref().unwrap().text;
    report::read(text).unwrap().telemetry
}

/// LIC-230: every cell of slots R and N: next state, counter, and what entering a state raises.
#[test]
fn every_cell_of_slots_r_and_n_has_its_next_state_and_counter() {
    let rig = Rig::active("paid");
    let both = [
        (Slot::Current, include_str!("../../../tests/data/current.txt")),
        (Slot::Next, include_str!("../../../tests/data/next.txt")),
    ];
    for (slot, text) in both {
        for (from, trigger, expected) in cells(text) {
            let mut machine = rig.machine.clone();
            let place = from.map(|state| Place::new(state, NOW));
            match slot {
                Slot::Current => machine.context.current = place,
                _ => machine.context.next = place,
            }
            let mut numbers = rig.numbers.clone();
            let mut turn = Turn::new(machine, rig.now, &mut numbers);
            turn.fire(slot, trigger, None);
            let to = turn.machine.context.state(slot);
            let (next, outcome) = match expected {
                "-" => (from, Effect::Ignored),
                "405" | "409" => (from, Effect::Refused),
                number => (State::from_number(number.parse().unwrap()), Effect::Taken),
            };
            assert_eq!(to, next, "{from:?} {}", trigger.word());
            assert!(turn.outputs.contains(&Output::Count { trigger, state: from, outcome }));
            let moved = turn.outputs.iter().any(|o| matches!(o, Output::Moved { .. }));
            assert_eq!(moved, from != to);
            assert_eq!(turn.storing == Storing::First, from != to);
            let ready = Output::Event { notice: Notice::LicenseReportReady, code: None };
            assert_eq!(turn.outputs.contains(&ready), moved && to == State::from_number(7));
        }
    }
}

/// LIC-231: at a window's end N and R move in one stored step, or not at all.
#[test]
fn n_and_r_move_together_or_not_at_all() {
    let mut rig = Rig::active("paid");
    rig.counts = false;
    let end = rig.machine.context().window.unwrap().end;
    rig.now.boot += std::time::Duration::from_secs(end - NOW);
    rig.shift_wall(i64::try_from(end - NOW).unwrap());
    rig.broken = true;
    let _ = rig.feed(Event::Timer);
    assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
    rig.broken = false;
    rig.feed(Event::Timer).unwrap();
    assert_eq!(rig.states(), [Some(12), Some(6), Some(18), None]);
    rig.feed(Event::Usage(Some(USAGE))).unwrap();
    assert_eq!(rig.states(), [Some(12), Some(7), Some(17), None]);
}

/// LIC-450, LIC-455: one sample an hour and one per report, numbered without a gap over 24 months,
/// and each in exactly one report.
#[test]
fn samples_are_numbered_without_a_gap_over_24_reports() {
    let mut rig = active_since("paid", "2027-01-15T08:00:00Z");
    let mut expected = 2;
    for _ in 0..24 {
        for _ in 0..40 {
            let due = rig.machine.context().sample_time.unwrap();
            rig.pass(due.at - rig.trusted());
        }
        let end = rig.machine.context().window.unwrap().end;
        rig.pass(end - rig.trusted());
        assert_eq!(rig.state(Slot::Current), Some(7));
        let usage = rig.machine.context().reports.current.as_ref().unwrap().usage;
        assert_eq!(usage.first, expected);
        assert_eq!(usage.last, expected + usage.samples - 1);
        assert!(usage.samples >= 40, "{}", usage.samples);
        expected = usage.last + 1;
        acknowledge(&mut rig);
    }
}

/// LIC-450: hourly at minute 0, 60 s earlier or later at most.
#[test]
fn a_sample_is_taken_at_every_full_hour() {
    let mut rig = active_since("paid", "2027-01-15T08:20:00Z");
    rig.outputs.clear();
    for _ in 0..20 {
        let before = rig.outputs.iter().filter(|o| **o == Output::CountUsage).count();
        let due = rig.machine.context().sample_time.unwrap();
        assert!(due.at.abs_diff(due.hour) <= 60 && due.hour.is_multiple_of(3_600));
        rig.run(due.at - rig.trusted() - 1);
        assert_eq!(rig.outputs.iter().filter(|o| **o == Output::CountUsage).count(), before);
        rig.run(1);
        assert_eq!(rig.outputs.iter().filter(|o| **o == Output::CountUsage).count(), before + 1);
        assert_eq!(rig.machine.context().sample_time.unwrap().hour, due.hour + 3_600);
    }
}

/// LIC-451, LIC-452, LIC-453 (the machine's side): the first window, and then month by month.
#[test]
fn windows_follow_the_calendar() {
    for (start, first, second) in [
        ("2027-01-05T10:00:00Z", "2027-01-31T10:00:00Z", "2027-02-28T00:00:00Z"),
        ("2027-01-31T10:00:00Z", "2027-02-28T10:00:00Z", "2027-03-31T00:00:00Z"),
        ("2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z", "2028-04-30T00:00:00Z"),
    ] {
        let mut rig = active_since("paid", start);
        let window = rig.machine.context().window.unwrap();
        assert_eq!(window, Window { start: at(start), end: at(first) });
        rig.pass(window.end - rig.trusted() - 1);
        assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
        rig.run(1);
        assert_eq!(rig.states(), [Some(12), Some(7), Some(17), None]);
        assert_eq!(rig.machine.context().window.unwrap().end, at(second));
        let telemetry = read(&rig);
        assert_eq!(telemetry.period.start, instant(at(start)));
        assert_eq!(telemetry.period.end, instant(at(first)));
    }
}

/// LIC-326, LIC-454 (the machine's side): before the date no report, and when it will be there.
#[test]
fn before_the_end_of_the_window_no_report_is_ready() {
    let mut rig = Rig::active("paid");
    let end = rig.machine.context().window.unwrap().end;
    rig.pass(3_600);
    let refusal = rig.feed(Event::Get { slot: None }).unwrap_err();
    assert_eq!(refusal.code, Code::ReportNotReady);
    assert_eq!(refusal.not_before, Some(end));
    assert_eq!(refusal.retry_after.unwrap().as_secs(), end - rig.trusted());
}

/// LIC-456: 1, 2 and 11 months without a receipt give one report over all of them.
#[test]
fn unacknowledged_months_roll_up_into_one_report() {
    for months in [1, 2, 11] {
        let mut rig = active_since("paid", "2027-01-15T08:00:00Z");
        let start = rig.machine.context().window.unwrap().start;
        let mut replaced = Vec::new();
        for month in 0..=months {
            let end = rig.machine.context().window.unwrap().end;
            rig.pass(end - rig.trusted());
            let report = rig.machine.context().reports.current.as_ref().unwrap();
            assert_eq!(report.period, Window { start, end });
            if month < months {
                replaced.push(report.id);
            }
        }
        let telemetry = read(&rig);
        let listed: Vec<_> = telemetry.supersedes.iter().map(|old| old.report_id).collect();
        assert_eq!(listed, replaced);
        let context = rig.machine.context();
        assert_eq!(context.superseded.len(), replaced.len());
        let new = context.reports.current.as_ref().unwrap().id;
        assert!(context.superseded.iter().all(|old| old.by == new));
        let samples = context.reports.current.as_ref().unwrap().usage;
        assert_eq!(samples.last - samples.first + 1, samples.samples);
        acknowledge(&mut rig);
        assert_eq!(rig.state(Slot::Current), Some(12));
    }
}

/// LIC-458, LIC-616: a month is overdue on the seventh day after its end, a warning in both classes.
#[test]
fn an_unacknowledged_month_is_a_warning_after_seven_days() {
    for order in ["eval", "paid"] {
        let mut rig = active_since(order, "2027-01-15T08:00:00Z");
        go_to(&mut rig, "2027-01-31T08:00:00Z");
        rig.pass(7 * DAY - 1);
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
        rig.run(1);
        assert_eq!(rig.ruling(), (Verdict::Warn, Reason::TelemetryOverdue), "{order}");
        assert_eq!(rig.machine.error(rig.now), None, "7003 is a warning");
        let facts = rig.machine.facts(rig.now, Default::default());
        assert!(facts.warnings.iter().any(|w| w.code == "telemetry_overdue"));
        let code = Some(Code::TelemetryOverdue);
        assert!(rig.outputs.contains(&Output::Event { notice: Notice::LicenseWarning, code }));
        acknowledge(&mut rig);
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    }
}

/// LIC-459 (pure part): down over three ends: one report at the start.
#[test]
fn a_start_three_months_later_gives_one_report() {
    let mut rig = active_since("paid", "2027-01-15T08:00:00Z");
    let seconds = at("2027-04-10T00:00:00Z") - rig.trusted();
    rig.now.boot = std::time::Duration::from_secs(5);
    rig.shift_wall(i64::try_from(seconds).unwrap());
    rig.boot();
    rig.settle();
    assert_eq!(rig.states(), [Some(12), Some(7), Some(17), None]);
    let report = rig.machine.context().reports.current.as_ref().unwrap();
    let period = Window { start: at("2027-01-15T08:00:00Z"), end: at("2027-03-31T00:00:00Z") };
    assert_eq!(report.period, period);
    assert!(report.supersedes.is_empty());
    assert!(report.usage.missed > 2_000, "{}", report.usage.missed);
    let window = Window { start: at("2027-04-01T00:00:00Z"), end: at("2027-04-30T00:00:00Z") };
    assert_eq!(rig.machine.context().window, Some(window));
}

/// LIC-460 (pure part): usage cannot be counted for a whole window: the report says the last known
/// values, and how many samples are missing.
#[test]
fn a_window_without_samples_reports_the_last_known_values() {
    let mut rig = Rig::active("paid");
    rig.usage = None;
    for _ in 0..10 {
        rig.pass(3_600);
    }
    let end = rig.machine.context().window.unwrap().end;
    rig.pass(end - rig.trusted());
    assert_eq!(rig.state(Slot::Current), Some(7));
    let telemetry = read(&rig);
    assert_eq!(telemetry.usage.cpu_count, USAGE.cpu_count);
    assert_eq!(telemetry.usage.samples, 0);
    assert!(telemetry.usage.missed >= 10);
}

/// LIC-610, LIC-611, LIC-653: a report that cannot be built blocks a trial and warns production;
/// built by a later attempt, both recover.
#[test]
fn a_failed_report_blocks_a_trial_until_it_is_built() {
    for (order, verdict) in [("eval", Verdict::Block), ("paid", Verdict::Warn)] {
        let mut rig = Rig::active(order);
        let key = rig.machine.report_key.take();
        rig.pass(17 * DAY);
        assert_eq!(rig.states(), [Some(12), Some(8), Some(18), None]);
        assert_eq!(rig.ruling(), (verdict, Reason::ReportFailed));
        rig.machine.report_key = key;
        rig.pass(30);
        assert_eq!(rig.states(), [Some(12), Some(7), Some(17), None]);
        assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
    }
}

/// LIC-218: a telemetry receipt with a later expiry renews, from 14, 15 and 16; told to all.
#[test]
fn a_renewal_goes_where_the_new_end_says() {
    for (left, from) in [(5 * DAY, 14), (3_600, 15), (0, 16)] {
        for (more, to) in [(60 * DAY, 12), (6 * DAY, 14), (DAY / 2, 15)] {
            let mut rig = active_since("eval", "2027-01-15T08:00:00Z");
            go_to(&mut rig, "2027-01-31T08:00:00Z");
            rig.download();
            let end = rig.trusted() + left;
            rig.machine.context.receipt_expiry = Some(end);
            rig.pass(1);
            assert_eq!(rig.state(Slot::License), Some(from));
            rig.outputs.clear();
            let new = rig.trusted() + more;
            let claims = with(
                rig.receipt_claims(Slot::Current),
                "entitlement",
                serde_json::json!({"orderType": "eval", "expiry": new}),
            );
            rig.feed(Event::Receipt(signed(&claims))).unwrap();
            assert_eq!(rig.state(Slot::License), Some(to), "{from} to {to}");
            // An earlier end is no renewal.
            assert_eq!(rig.told(Notice::LicenseRenewed), usize::from(new > end));
            if from == 16 {
                assert!(rig.outputs.contains(&Output::Broadcast));
                assert!(rig.ruling().0.passes());
            }
            let moved =
                |output: &Output| matches!(output, Output::Count { trigger: Trigger::TRenew, .. });
            assert_eq!(rig.outputs.iter().any(moved), new > end);
        }
    }
}
