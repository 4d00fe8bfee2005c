//! The plot of the open window's usage: one bar a day, as SVG shapes.
//!
//! Owns places and sizes only; the template draws them. All in units of a view box of
//! [`WIDTH`] × [`HEIGHT`].

use crate::telemetry::Telemetry;

/// The bars and what stands beside them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plot {
    /// One for each day, oldest first.
    pub bars: Vec<Bar>,
    /// The greatest value.
    pub top: u64,
    /// The first day.
    pub first: String,
    /// The last day of the window.
    pub last: String,
}

/// One bar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bar {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// What it says.
    pub title: String,
}

impl Plot {
    /// The plot; none before activation or the first sample.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> Option<Self> {
        let window = telemetry.window?;
        let top = telemetry.days.iter().map(|day| day.cpu_count).max().filter(|top| *top > 0)?;
        let days = window.end.duration_since(window.start).as_hours().div_euclid(24) + 1;
        let days = u32::try_from(days).unwrap_or(DAYS).clamp(1, DAYS);
        let step = WIDTH / days;
        let first = window.start.as_second().div_euclid(DAY);
        let bars = telemetry.days.iter().filter_map(|day| {
            let place = u32::try_from(day.day.as_second().div_euclid(DAY) - first).ok()?;
            let share = u128::from(day.cpu_count) * u128::from(HEIGHT) / u128::from(top);
            // A day that was counted is seen, however little it used.
            let height = u32::try_from(share).unwrap_or(HEIGHT).clamp(2, HEIGHT);
            let date = day.day.strftime("%Y-%m-%d");
            let title = format!("{date}: {} vCPUs, {} resources", day.cpu_count, day.total_crds);
            let (x, y) = (place * step, HEIGHT - height);
            Some(Bar { x, y, width: step.saturating_sub(GAP).max(1), height, title })
        });
        let date = |at: jiff::Timestamp| at.strftime("%Y-%m-%d").to_string();
        Some(Self { bars: bars.collect(), top, first: date(window.start), last: date(window.end) })
    }
}

/// Units from left to right.
pub const WIDTH: u32 = 640;
/// Units from top to bottom.
pub const HEIGHT: u32 = 120;
/// Units between two bars.
const GAP: u32 = 4;
/// Most days of a window.
const DAYS: u32 = 64;
/// Seconds of a day.
const DAY: i64 = 86_400;
