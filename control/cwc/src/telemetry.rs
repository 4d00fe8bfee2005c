//! `GET /v1/telemetry`: usage of the open window, windows closed and to come.
//!
//! Owns members and their order. Source: licensing.md §4.2, §6.

use jiff::Timestamp;
use serde::Serialize;
use spk_license::calendar::samples::{Aggregate, DayUsage, Usage, WindowUsage};
use spk_license::calendar::{Window, instant};
use spk_license::context::Context;

/// The answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Telemetry {
    /// The open window; null before activation.
    pub window: Option<Span>,
    /// What was counted in it so far.
    pub usage: Counted,
    /// The maximum of each of its days.
    pub days: Vec<Day>,
    /// The windows that are closed, oldest first.
    pub history: Vec<Closed>,
    /// The next windows; empty before activation.
    pub upcoming: Vec<Span>,
}

/// A window.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Span {
    /// Its start.
    pub start: Timestamp,
    /// Its end: from then on its report can be downloaded.
    pub end: Timestamp,
}

/// Several samples.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Counted {
    /// Virtual CPUs, at most.
    pub cpu_count: u64,
    /// Custom resource definitions with an object, at most.
    pub unique_crds: u64,
    /// Objects of them, at most.
    pub total_crds: u64,
    /// Samples taken.
    pub samples: u64,
    /// Hours without a sample.
    pub missed: u64,
}

/// A day of the open window.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Day {
    /// Its start, UTC.
    pub day: Timestamp,
    /// Virtual CPUs, at most.
    pub cpu_count: u64,
    /// Custom resource definitions with an object, at most.
    pub unique_crds: u64,
    /// Objects of them, at most.
    pub total_crds: u64,
}

/// A closed window.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Closed {
    /// The window.
    pub window: Span,
    /// What was counted in it.
    pub usage: Counted,
}

impl Telemetry {
    /// The answer that shows `context`.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        let samples = &context.samples;
        let next = std::iter::successors(context.window, |window| Some(window.following()));
        Self {
            window: context.window.map(Span::from),
            usage: samples.open().into(),
            days: samples.days().map(Day::from).collect(),
            history: samples.history().map(Closed::from).collect(),
            upcoming: next.skip(1).take(UPCOMING).map(Span::from).collect(),
        }
    }
}

impl From<Window> for Span {
    fn from(window: Window) -> Self {
        Self { start: instant(window.start), end: instant(window.end) }
    }
}

impl From<Aggregate> for Counted {
    fn from(aggregate: Aggregate) -> Self {
        let Usage { cpu_count, unique_crds, total_crds } = aggregate.maximum;
        let Aggregate { samples, missed, .. } = aggregate;
        Self { cpu_count, unique_crds, total_crds, samples, missed }
    }
}

impl From<&DayUsage> for Day {
    fn from(usage: &DayUsage) -> Self {
        let Usage { cpu_count, unique_crds, total_crds } = usage.maximum;
        Self { day: instant(usage.day), cpu_count, unique_crds, total_crds }
    }
}

impl From<&WindowUsage> for Closed {
    fn from(usage: &WindowUsage) -> Self {
        Self { window: usage.window.into(), usage: usage.usage.into() }
    }
}

/// How many windows to come are shown: a year.
const UPCOMING: usize = 12;
