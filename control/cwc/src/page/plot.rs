//! The plot of the open window's usage: one bar a day over the whole window, as SVG shapes.
//!
//! Owns places, sizes and labels; the template draws them. All in units of a view box of [`WIDTH`] ×
//! [`HEIGHT`].

use jiff::Timestamp;

use crate::telemetry::Telemetry;

/// The bars and the axes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plot {
    /// One for each day that was counted, oldest first.
    pub bars: Vec<Bar>,
    /// The lines of the vertical axis: place and vCPUs.
    pub levels: Vec<(u32, u64)>,
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
    /// The plot; none before activation and before the first sample.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> Option<Self> {
        let window = telemetry.window?;
        let top = telemetry.days.iter().map(|day| day.cpu_count).max()?;
        let first = number(window.start);
        let days = u32::try_from(number(window.end) - first + 1).ok()?.clamp(1, DAYS);
        let step = (WIDTH - LEFT) / days;
        let height = |count: u64| {
            let share = u128::from(count) * u128::from(BOTTOM - TOP) / u128::from(top.max(1));
            u32::try_from(share).unwrap_or(BOTTOM - TOP)
        };
        let bars = telemetry.days.iter().filter_map(|day| {
            let place =
                u32::try_from(number(day.day) - first).ok().filter(|place| *place < days)?;
            // A day that was counted is seen, however little it used.
            let height = height(day.cpu_count).max(1);
            let (x, y) = (LEFT + place * step, BOTTOM - height);
            let width = step.saturating_sub(GAP).max(1);
            let title =
                format!("{}: {} vCPUs, {} resources", date(day.day), day.cpu_count, day.total_crds);
            Some(Bar { x, y, width, height, title })
        });
        let mut levels = vec![(BOTTOM, 0), (BOTTOM - height(top), top)];
        levels.dedup();
        let (first, last) = (date(window.start), date(window.end));
        Some(Self { bars: bars.collect(), levels, top, first, last })
    }
}

/// Days since 1970.
fn number(at: Timestamp) -> i64 {
    at.as_second().div_euclid(86_400)
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Units from left to right.
pub const WIDTH: u32 = 320;
/// Units from top to bottom.
pub const HEIGHT: u32 = 170;
/// Where the bars begin; left of it are the numbers of the vertical axis.
pub const LEFT: u32 = 40;
/// The highest place of a bar.
pub const TOP: u32 = 28;
/// Where the bars stand.
pub const BOTTOM: u32 = 140;
/// Units between two bars.
const GAP: u32 = 2;
/// Most days of a window.
const DAYS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Counted, Day, Span};

    fn telemetry(counts: &[(&str, u64)]) -> Telemetry {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let day = |(date, cpu_count): &(&str, u64)| Day {
            day: at(&format!("{date}T00:00:00Z")),
            cpu_count: *cpu_count,
            unique_crds: 2,
            total_crds: 9,
        };
        Telemetry {
            window: Some(Span {
                start: at("2023-01-01T00:00:00Z"),
                end: at("2023-01-31T00:00:00Z"),
            }),
            usage: Counted { cpu_count: 0, unique_crds: 0, total_crds: 0, samples: 0, missed: 0 },
            days: counts.iter().map(day).collect(),
            history: Vec::new(),
            upcoming: Vec::new(),
        }
    }

    #[test]
    fn a_bar_stands_at_its_day_and_is_as_high_as_its_count() {
        let counts = [("2023-01-01", 8), ("2023-01-02", 4), ("2023-01-31", 0)];
        let plot = Plot::new(&telemetry(&counts)).unwrap();
        let places: Vec<_> = plot.bars.iter().map(|bar| (bar.x, bar.height)).collect();
        let full = BOTTOM - TOP;
        assert_eq!(places, [(LEFT, full), (LEFT + 9, full / 2), (LEFT + 270, 1)]);
        assert!(plot.bars.iter().all(|bar| bar.y + bar.height == BOTTOM));
        assert!(plot.bars.iter().all(|bar| bar.x + bar.width <= WIDTH));
        assert_eq!(plot.levels, [(BOTTOM, 0), (TOP, 8)]);
        assert_eq!(plot.bars[1].title, "2023-01-02: 4 vCPUs, 9 resources");
        assert_eq!((plot.first.as_str(), plot.last.as_str()), ("2023-01-01", "2023-01-31"));
    }

    #[test]
    fn there_is_no_plot_of_nothing_and_one_of_zeros() {
        assert_eq!(Plot::new(&telemetry(&[])), None);
        let zeros = Plot::new(&telemetry(&[("2023-01-05", 0)])).unwrap();
        assert_eq!((zeros.levels, zeros.bars.len()), (vec![(BOTTOM, 0)], 1));
        let unopened = Telemetry { window: None, ..telemetry(&[("2023-01-05", 1)]) };
        assert_eq!(Plot::new(&unopened), None);
    }
}
