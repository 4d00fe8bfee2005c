//! Usage: hourly samples, kept as one aggregate per window.
//!
//! Owns which report a sample belongs to, and its number. Counts nothing itself. Invariant: every
//! sample has its own number, and exactly one report holds it (LIC-450, LIC-455).
//!
//! A sample goes to the open window; one taken to build a report goes to that report
//! ([`Samples::take_for_report`]); one taken for a switch of licences stands alone
//! ([`Samples::take_alone`]).
//!
//! Source: licensing.md §2.3 (`usage`), §6.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY, Window, fraction};

/// What one sample counted; or the greatest of each value over several samples.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Virtual CPUs of the cluster.
    pub cpu_count: u64,
    /// Custom resource definitions of ours with at least one object.
    pub unique_crds: u64,
    /// Objects of those definitions.
    pub total_crds: u64,
}

impl Usage {
    /// The greater of each value.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cpu_count: self.cpu_count.max(other.cpu_count),
            unique_crds: self.unique_crds.max(other.unique_crds),
            total_crds: self.total_crds.max(other.total_crds),
        }
    }
}

/// Several samples in one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Number of the first sample; 0 while there is none.
    pub first: u64,
    /// Number of the last sample; 0 while there is none.
    pub last: u64,
    /// How many samples were taken.
    pub samples: u64,
    /// How many hours went without one.
    pub missed: u64,
    /// The maximum over the samples, or the last known values while there is none (LIC-460).
    pub maximum: Usage,
}

impl Aggregate {
    fn add(&mut self, number: u64, usage: Usage) {
        if self.samples == 0 {
            (self.first, self.maximum) = (number, usage);
        }
        self.last = number;
        self.samples += 1;
        self.maximum = self.maximum.max(usage);
    }

    /// Both in one; `self` is the earlier one.
    fn joined(self, later: Self) -> Self {
        let missed = self.missed + later.missed;
        match (self.samples, later.samples) {
            (0, _) => Self { missed, ..later },
            (_, 0) => Self { missed, ..self },
            (_, _) => Self {
                first: self.first,
                last: later.last,
                samples: self.samples + later.samples,
                missed,
                maximum: self.maximum.max(later.maximum),
            },
        }
    }
}

/// A closed window and what was counted in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct WindowUsage {
    /// The window.
    pub window: Window,
    /// Its samples.
    pub usage: Aggregate,
}

/// The maximum of one day of the open window.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct DayUsage {
    /// Start of the UTC day, seconds since 1970.
    pub day: u64,
    /// The maximum of its samples.
    pub maximum: Usage,
}

/// All samples of one digital asset; at most 64 KiB as JSON (LIC-461).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// How many numbers are given out; the first sample is number 1.
    taken: u64,
    /// The newest sample.
    known: Usage,
    open: Aggregate,
    days: VecDeque<DayUsage>,
    /// What the report at hand covers, until it is acknowledged.
    waiting: Option<Aggregate>,
    history: VecDeque<WindowUsage>,
}

impl Samples {
    /// Adds a sample to the open window at trusted time `now`; returns its number.
    pub fn take(&mut self, usage: Usage, now: u64) -> u64 {
        let number = self.number(usage);
        self.open.add(number, usage);
        let day = now - now % DAY;
        match self.days.back_mut() {
            Some(last) if last.day == day => last.maximum = last.maximum.max(usage),
            Some(_) | None => {
                self.days.push_back(DayUsage { day, maximum: usage });
                shorten(&mut self.days, DAY_LIMIT);
            }
        }
        number
    }

    /// Notes `hours` of the open window without a sample.
    pub fn miss(&mut self, hours: u64) {
        self.open.missed = self.open.missed.saturating_add(hours);
    }

    /// Closes `window`: what it counted now waits in the report at hand, together with what an
    /// unacknowledged report covered (LIC-456).
    pub fn close(&mut self, window: Window) {
        let open = std::mem::take(&mut self.open);
        let open = if open.samples == 0 { Aggregate { maximum: self.known, ..open } } else { open };
        self.days.clear();
        self.history.push_back(WindowUsage { window, usage: open });
        shorten(&mut self.history, WINDOW_LIMIT);
        self.waiting = Some(self.waiting.map_or(open, |earlier| earlier.joined(open)));
    }

    /// Adds a sample to the report at hand, just before it is built; returns its number.
    pub fn take_for_report(&mut self, usage: Usage) -> u64 {
        let number = self.number(usage);
        self.waiting.get_or_insert_default().add(number, usage);
        number
    }

    /// Counts a sample that is a report by itself: that of a switch of licences.
    pub fn take_alone(&mut self, usage: Usage) -> Aggregate {
        let number = self.number(usage);
        Aggregate { first: number, last: number, samples: 1, missed: 0, maximum: usage }
    }

    /// What the report at hand says; none if no window was closed since the last acknowledgement.
    #[must_use]
    pub const fn waiting(&self) -> Option<Aggregate> {
        self.waiting
    }

    /// The report at hand was acknowledged.
    pub fn acknowledged(&mut self) {
        self.waiting = None;
    }

    /// What the open window counted so far.
    #[must_use]
    pub const fn open(&self) -> Aggregate {
        self.open
    }

    /// The open window's days, oldest first, at most 64.
    pub fn days(&self) -> impl Iterator<Item = &DayUsage> {
        self.days.iter()
    }

    /// The closed windows, oldest first, at most 180.
    pub fn history(&self) -> impl Iterator<Item = &WindowUsage> {
        self.history.iter()
    }

    fn number(&mut self, usage: Usage) -> u64 {
        self.known = usage;
        self.taken += 1;
        self.taken
    }
}

/// When the next hourly sample is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SampleTime {
    /// The full hour it stands for, seconds since 1970; pass it to [`SampleTime::after`] again.
    pub hour: u64,
    /// When to take it: that hour, up to 60 s earlier or later.
    pub at: u64,
}

impl SampleTime {
    /// The sample of the first full hour after `seconds`; `jitter` is 0 to 1 (LIC-450).
    #[must_use]
    pub fn after(seconds: u64, jitter: f64) -> Self {
        let hour = (seconds / HOUR + 1) * HOUR;
        let late = Duration::from_secs(2 * JITTER).mul_f64(fraction(jitter)).as_secs();
        Self { hour, at: hour - JITTER + late }
    }

    /// Whether it lies further ahead of `now` than the next full hour ever does.
    #[must_use]
    pub const fn is_beyond(self, now: u64) -> bool {
        self.hour > now.saturating_add(HOUR + 2 * JITTER)
    }

    /// Full hours after this one and up to `now`: samples that a stopped CWC missed.
    #[must_use]
    pub const fn missed_by(self, now: u64) -> u64 {
        now.saturating_sub(self.hour) / HOUR
    }
}

fn shorten<T>(list: &mut VecDeque<T>, limit: usize) {
    while list.len() > limit {
        list.pop_front();
    }
}

/// Closed windows that are kept: 15 years.
const WINDOW_LIMIT: usize = 180;
/// Days of the open window that are kept; a window has at most 32.
const DAY_LIMIT: usize = 64;
/// Seconds of an hour.
const HOUR: u64 = 3_600;
/// Seconds that a sample may be early or late.
const JITTER: u64 = 60;

#[cfg(test)]
mod tests;
