//! The telemetry calendar: windows, roll-up periods, and how dates print.
//!
//! Owns when a window starts and ends. Knows no state and reads no clock; all instants are seconds
//! since 1970 in UTC, so zones and daylight saving have no effect (K12). Usage is in [`samples`].
//!
//! Source: licensing.md §4.3 (texts), §6.

pub mod samples;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// A stretch of time that one report covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Seconds since 1970.
    pub start: u64,
    /// Seconds since 1970; at this instant the window is closed.
    pub end: u64,
}

/// What ended when a window's end was reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RollOver {
    /// From the start of the open window to the end of the last window that ended.
    pub closed: Window,
    /// How many windows ended; more than one if the CWC was down over an end (LIC-459).
    pub windows: u32,
    /// The window that is open now.
    pub next: Window,
}

impl Window {
    /// The first window, of a licence activated at `activated`.
    ///
    /// It ends on the last day of that month at the same time of day; activated on that day itself,
    /// on the last day of the next month (LIC-451).
    #[must_use]
    pub fn first(activated: u64) -> Self {
        let at = instant(activated).to_zoned(TimeZone::UTC).datetime();
        let last = last_day(at.date());
        let day = if at.date() == last { last_day(month_after(last)) } else { last };
        Self { start: activated, end: seconds_of(day) + activated % DAY }
    }

    /// The window after this one: the whole next month, up to its last day at 00:00:00 (LIC-452).
    #[must_use]
    pub fn following(self) -> Self {
        let first = month_after(instant(self.end).to_zoned(TimeZone::UTC).date());
        Self { start: seconds_of(first), end: seconds_of(last_day(first)) }
    }

    /// Closes this window, and all further ones that ended by `now`, into one period (LIC-453,
    /// LIC-459); none if it is still open.
    #[must_use]
    pub fn roll_over(self, now: u64) -> Option<RollOver> {
        let mut closed = self;
        let mut windows = 0;
        let mut next = self;
        while next.end <= now {
            closed.end = next.end;
            windows += 1;
            let after = next.following();
            // The calendar ends with the year 9999; a clock there closes its last window for good.
            if after.end <= next.end {
                break;
            }
            next = after;
        }
        (windows > 0).then_some(RollOver { closed, windows, next })
    }

    /// The period of a report that also covers the unacknowledged `earlier` one (LIC-456).
    #[must_use]
    pub fn joined(self, earlier: Self) -> Self {
        Self { start: self.start.min(earlier.start), end: self.end.max(earlier.end) }
    }
}

/// Names an instant; one after the year 9999 is the end of that year.
#[must_use]
pub fn instant(seconds: u64) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(LAST)
}

/// Seconds since 1970 of `at`, rounded down; an instant before 1970 is 1970.
#[must_use]
pub fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

/// The date form of `/status`: `2023-01-31 00:00:00 +0000 UTC` (LIC-332).
#[must_use]
pub fn status_date(seconds: u64) -> String {
    instant(seconds).strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// Reads a date of `/status` in our form, with a fraction and an `m=` suffix as the original also
/// prints it, or in RFC 3339 (LIC-332). The fraction is dropped.
#[must_use]
pub fn parse_status_date(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.parse().ok().or_else(|| {
        let text = text.split_once(" m=").map_or(text, |(date, _)| date);
        Timestamp::strptime("%Y-%m-%d %H:%M:%S%.f %z", text.strip_suffix(" UTC")?).ok()
    })?;
    Some(seconds(at))
}

/// Whole days left until `end`, rounded down: 0 on the last day, negative after it (LIC-330).
#[must_use]
pub fn days_left(end: u64, now: u64) -> i64 {
    let day = |seconds: u64| i128::from(seconds);
    let days = (day(end) - day(now)).div_euclid(i128::from(DAY));
    i64::try_from(days).unwrap_or(i64::MAX)
}

/// A number from 0 to 1, whatever `jitter` is; not-a-number is 0.
pub(crate) fn fraction(jitter: f64) -> f64 {
    if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) }
}

fn last_day(date: Date) -> Date {
    date.last_of_month()
}

/// The first day of the month after that of `date`.
fn month_after(date: Date) -> Date {
    date.first_of_month().checked_add(1.month()).unwrap_or(Date::MAX)
}

fn seconds_of(date: Date) -> u64 {
    date.to_zoned(TimeZone::UTC).map_or(seconds(LAST), |midnight| seconds(midnight.timestamp()))
}

/// How long a month may wait for its receipt before people are warned, in seconds: 7 days
/// (licensing.md §6, code `telemetry_overdue`).
pub const OVERDUE: u64 = 7 * DAY;

/// Seconds of a day.
const DAY: u64 = 86_400;
/// The last second that dates are printed of: 9999-12-30T22:00:00Z, jiff's own bound.
const LAST: Timestamp = Timestamp::MAX;

#[cfg(test)]
mod tests;
