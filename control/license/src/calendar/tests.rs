use proptest::prelude::*;

use super::{RollOver, Window, days_left, instant, parse_status_date, seconds, status_date};

fn at(text: &str) -> u64 {
    seconds(text.parse().unwrap())
}

fn window(start: &str, end: &str) -> Window {
    Window { start: at(start), end: at(end) }
}

/// LIC-451
#[test]
fn the_first_window_ends_on_the_last_day_of_the_month_at_the_same_time() {
    for (activated, end) in [
        ("2022-12-05T14:22:33Z", "2022-12-31T14:22:33Z"),
        ("2027-01-30T23:59:59Z", "2027-01-31T23:59:59Z"),
        ("2027-04-30T10:00:00Z", "2027-05-31T10:00:00Z"),
        ("2027-01-31T10:00:00Z", "2027-02-28T10:00:00Z"),
        ("2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ("2028-02-28T10:00:00Z", "2028-02-29T10:00:00Z"),
        ("2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z"),
        ("2027-06-01T00:00:00Z", "2027-06-30T00:00:00Z"),
    ] {
        let first = Window::first(at(activated));
        assert_eq!(first, window(activated, end), "{activated}");
    }
}

/// LIC-452, and the dates of LIC-457: 24 months from a leap year on.
#[test]
fn later_windows_are_whole_months_up_to_their_last_day() {
    let days = [
        31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
        31,
    ];
    let mut window = Window::first(at("2027-12-13T09:30:00Z"));
    for (index, last) in days.into_iter().enumerate() {
        window = window.following();
        let (year, month) = (2028 + index / 12, index % 12 + 1);
        let expected = (
            format!("{year}-{month:02}-01 00:00:00 +0000 UTC"),
            format!("{year}-{month:02}-{last} 00:00:00 +0000 UTC"),
        );
        assert_eq!((status_date(window.start), status_date(window.end)), expected);
    }
}

/// LIC-453, the dates: the machine moves slots and dates in one step.
#[test]
fn a_window_closes_at_its_end_and_not_before() {
    let january = window("2027-01-01T00:00:00Z", "2027-01-31T00:00:00Z");
    assert_eq!(january.roll_over(january.end - 1), None);
    let rolled = january.roll_over(january.end).unwrap();
    let february = window("2027-02-01T00:00:00Z", "2027-02-28T00:00:00Z");
    assert_eq!(rolled, RollOver { closed: january, windows: 1, next: february });
    assert_eq!(february.roll_over(january.end), None);
}

/// LIC-456: unacknowledged months become one period.
#[test]
fn a_period_reaches_back_to_the_oldest_unacknowledged_one() {
    for skipped in [1, 2, 11] {
        let mut open = Window::first(at("2027-03-05T12:00:00Z"));
        let mut period = open;
        for _ in 0..skipped {
            let rolled = open.roll_over(open.end).unwrap();
            period = rolled.closed.joined(period);
            open = rolled.next;
        }
        let rolled = open.roll_over(open.end).unwrap();
        period = rolled.closed.joined(period);
        assert_eq!(period.start, at("2027-03-05T12:00:00Z"));
        assert_eq!(period.end, open.end);
    }
}

/// LIC-459
#[test]
fn several_windows_that_ended_meanwhile_are_one_period() {
    let january = window("2027-01-01T00:00:00Z", "2027-01-31T00:00:00Z");
    let rolled = january.roll_over(at("2027-04-30T00:00:01Z")).unwrap();
    assert_eq!(rolled.windows, 4);
    assert_eq!(rolled.closed, window("2027-01-01T00:00:00Z", "2027-04-30T00:00:00Z"));
    assert_eq!(rolled.next, window("2027-05-01T00:00:00Z", "2027-05-31T00:00:00Z"));
    // Three months later, in the middle of one.
    let rolled = january.roll_over(at("2027-04-15T00:00:00Z")).unwrap();
    assert_eq!((rolled.windows, rolled.closed.end), (3, at("2027-03-31T00:00:00Z")));
    assert_eq!(rolled.next, window("2027-04-01T00:00:00Z", "2027-04-30T00:00:00Z"));
}

/// LIC-330
#[test]
fn days_left_are_rounded_down() {
    const DAY: u64 = 86_400;
    let now = at("2027-01-01T00:00:00Z");
    assert_eq!(days_left(now + 334 * DAY + 1, now), 334);
    assert_eq!(days_left(now + 334 * DAY - 1, now), 333);
    assert_eq!(days_left(now + DAY, now), 1);
    assert_eq!(days_left(now + DAY - 1, now), 0);
    assert_eq!(days_left(now, now), 0);
    assert_eq!(days_left(now, now + 1), -1);
    assert_eq!(days_left(now, now + 3 * DAY), -3);
    assert_eq!(days_left(u64::MAX, 0), 213_503_982_334_601);
}

/// LIC-332: our form, the original's longer one, and RFC 3339.
#[test]
fn dates_of_status_print_and_are_read_in_both_forms() {
    let text = "2022-12-05 14:22:33 +0000 UTC";
    assert_eq!(status_date(at("2022-12-05T14:22:33Z")), text);
    for form in
        [text, "2022-12-05 14:22:33.325423427 +0000 UTC m=+17151.693042043", "2022-12-05T14:22:33Z"]
    {
        assert_eq!(parse_status_date(form), Some(at("2022-12-05T14:22:33Z")), "{form}");
    }
    assert_eq!(parse_status_date("2023-01-31 00:00:00 +0000 UTC"), Some(1_675_123_200));
    for wrong in ["", "2022-12-05", "2022-12-05 14:22:33", "2022-13-05 14:22:33 +0000 UTC"] {
        assert_eq!(parse_status_date(wrong), None, "{wrong}");
    }
}

#[test]
fn instants_beyond_the_calendar_are_its_last_one() {
    assert_eq!(instant(u64::MAX).to_string(), "9999-12-30T22:00:00.999999999Z");
    let last = Window::first(u64::MAX);
    assert!(last.roll_over(u64::MAX).is_none_or(|rolled| rolled.windows == 1));
    let rolled = window("2027-01-01T00:00:00Z", "2027-01-31T00:00:00Z").roll_over(u64::MAX);
    assert!(rolled.unwrap().windows > 95_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Windows follow each other without overlap, one a month, whenever a licence is activated.
    #[test]
    fn windows_never_overlap(activated in 0_u64..250_000_000_000) {
        let mut window = Window::first(activated);
        prop_assert!(window.end > window.start);
        prop_assert!(window.end - window.start <= 32 * 86_400);
        for _ in 0..3 {
            let next = window.following();
            prop_assert!(next.start >= window.end || next.start + 86_400 > window.end);
            prop_assert!(next.end > window.end);
            let days = (next.end - next.start) / 86_400;
            prop_assert!((27..=30).contains(&days));
            window = next;
        }
    }

    /// What is printed is what is read.
    #[test]
    fn a_printed_date_reads_back(second in 0_u64..250_000_000_000) {
        prop_assert_eq!(parse_status_date(&status_date(second)), Some(second));
        prop_assert_eq!(parse_status_date(&instant(second).to_string()), Some(second));
    }
}
