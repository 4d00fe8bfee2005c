use proptest::prelude::*;

use super::{Aggregate, SampleTime, Samples, Usage};
use crate::calendar::Window;
use crate::fixture::NOW;

fn usage(number: u64) -> Usage {
    Usage { cpu_count: number, unique_crds: number % 7, total_crds: number % 13 }
}

/// LIC-450, the times: one sample for each full hour, up to a minute early or late.
#[test]
fn one_sample_is_due_for_each_full_hour() {
    let start = NOW + 17;
    let mut time = SampleTime::after(start, 0.5);
    let mut at = Vec::new();
    for hour in 1..=1_000_u64 {
        let full = (start / 3_600 + hour) * 3_600;
        assert_eq!(time.hour, full);
        assert!(time.at >= full - 60 && time.at <= full + 60);
        at.push(time.at);
        // The next one is asked for with what the last one stood for, however late it was taken.
        let jitter = (hour % 11) as f64 / 10.0;
        time = SampleTime::after(time.hour, jitter);
    }
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 3_600 - 120));
    assert_eq!(SampleTime::after(0, 0.0).at, 3_540);
    assert_eq!(SampleTime::after(0, 1.0).at, 3_660);
    assert_eq!(SampleTime::after(0, f64::NAN).at, 3_540);
    assert_eq!(SampleTime::after(0, 0.0).missed_by(3_600), 0);
    assert_eq!(SampleTime::after(0, 0.0).missed_by(3 * 3_600 + 59), 2);
}

/// LIC-450, LIC-455: 24 months of hourly samples, some months unacknowledged.
#[test]
fn each_sample_is_in_exactly_one_acknowledged_report() {
    let mut samples = Samples::default();
    let mut window = Window::first(NOW);
    let mut now = NOW;
    let (mut taken, mut reported, mut reports) = (0, 0, 0);
    for month in 0..24 {
        while now < window.end {
            samples.take(usage(now), now);
            (taken, now) = (taken + 1, now + 3_600);
        }
        samples.close(window);
        samples.take_for_report(usage(now));
        taken += 1;
        let waiting = samples.waiting().unwrap();
        // Numbers follow on from the last acknowledged report, without a gap.
        assert_eq!(waiting.first, reported + 1);
        assert_eq!(waiting.last - waiting.first + 1, waiting.samples);
        assert_eq!(waiting.last, taken);
        if month % 3 != 1 {
            samples.acknowledged();
            (reported, reports) = (waiting.last, reports + 1);
        }
        window = window.following();
    }
    assert_eq!(reports, 16);
    assert_eq!(samples.waiting(), None);
    assert_eq!(reported, taken);
}

/// LIC-456: the report after unacknowledged ones holds the maximum of all of them.
#[test]
fn a_roll_up_covers_what_was_not_acknowledged() {
    let mut samples = Samples::default();
    let window = Window::first(NOW);
    samples.take(Usage { cpu_count: 64, unique_crds: 1, total_crds: 2 }, NOW);
    samples.close(window);
    samples.miss(5);
    samples.take(Usage { cpu_count: 8, unique_crds: 3, total_crds: 1 }, NOW);
    samples.close(window.following());
    let expected = Aggregate {
        first: 1,
        last: 2,
        samples: 2,
        missed: 5,
        maximum: Usage { cpu_count: 64, unique_crds: 3, total_crds: 2 },
    };
    assert_eq!(samples.waiting(), Some(expected));
    assert_eq!(samples.history().count(), 2);
}

/// LIC-460, the pure part: process tests stop the API server.
#[test]
fn a_window_without_a_sample_reports_what_was_known_last() {
    let mut samples = Samples::default();
    let window = Window::first(NOW);
    samples.take(usage(16), NOW);
    samples.close(window);
    samples.acknowledged();
    samples.miss(700);
    samples.close(window.following());
    let waiting = samples.waiting().unwrap();
    assert_eq!((waiting.samples, waiting.missed), (0, 700));
    assert_eq!(waiting.maximum, usage(16));
}

#[test]
fn the_sample_of_a_switch_stands_alone() {
    let mut samples = Samples::default();
    samples.take(usage(4), NOW);
    let alone = samples.take_alone(usage(99));
    assert_eq!((alone.first, alone.last, alone.samples, alone.maximum), (2, 2, 1, usage(99)));
    samples.take(usage(5), NOW);
    samples.close(Window::first(NOW));
    let waiting = samples.waiting().unwrap();
    assert_eq!((waiting.samples, waiting.last, waiting.maximum.cpu_count), (2, 3, 5));
}

#[test]
fn days_of_the_open_window_have_their_own_maximum() {
    let mut samples = Samples::default();
    let day = NOW - NOW % 86_400;
    for (hour, cpus) in [(0, 4), (23, 8), (24, 2), (25, 3), (72, 1)] {
        samples.take(usage(cpus), day + hour * 3_600);
    }
    let days: Vec<_> = samples.days().map(|day| (day.day, day.maximum.cpu_count)).collect();
    assert_eq!(days, [(day, 8), (day + 86_400, 3), (day + 3 * 86_400, 1)]);
    samples.close(Window::first(NOW));
    assert_eq!(samples.days().count(), 0);
}

/// LIC-461: ten years of hourly samples, with the largest numbers there are.
#[test]
fn ten_years_of_samples_stay_within_64_kib() {
    let mut samples = Samples::default();
    let mut window = Window::first(NOW);
    let mut now = NOW;
    let largest = Usage { cpu_count: u64::MAX, unique_crds: u64::MAX, total_crds: u64::MAX };
    for _ in 0..120 {
        while now < window.end {
            samples.take(largest, now);
            samples.miss(1);
            now += 3_600;
        }
        samples.close(window);
        window = window.following();
    }
    while now < window.end - 3_600 {
        samples.take(largest, now);
        now += 3_600;
    }
    assert_eq!(samples.history().count(), 120);
    let size = serde_json::to_string(&samples).unwrap().len();
    assert!(size <= 65_536, "{size}");
    // Nor does it grow beyond, ever.
    for _ in 0..1_000 {
        samples.take(largest, now);
        samples.close(window);
        now += 86_400;
    }
    for day in 0..100 {
        samples.take(largest, now + day * 86_400);
    }
    let size = serde_json::to_string(&samples).unwrap().len();
    assert!(size <= 65_536, "{size}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is taken, closed and acknowledged in whatever order: no number is lost or doubled.
    #[test]
    fn numbers_are_never_lost_or_doubled(steps in proptest::collection::vec(0_u8..6, 0..200)) {
        let mut samples = Samples::default();
        let (mut taken, mut reported, mut alone) = (0_u64, 0_u64, 0_u64);
        for step in steps {
            match step {
                0 | 1 => {
                    taken += 1;
                    prop_assert_eq!(samples.take(usage(taken), NOW), taken);
                }
                2 => {
                    taken += 1;
                    prop_assert_eq!(samples.take_for_report(usage(taken)), taken);
                }
                3 => {
                    taken += 1;
                    prop_assert_eq!(samples.take_alone(usage(taken)).first, taken);
                    alone += 1;
                }
                4 => samples.close(Window::first(NOW)),
                _ => {
                    reported += samples.waiting().map_or(0, |waiting| waiting.samples);
                    samples.acknowledged();
                }
            }
        }
        let waiting = samples.waiting().map_or(0, |waiting| waiting.samples);
        prop_assert_eq!(reported + alone + waiting + samples.open().samples, taken);
        let stored = serde_json::to_string(&samples).unwrap();
        prop_assert_eq!(serde_json::from_str::<Samples>(&stored).unwrap(), samples);
    }
}
