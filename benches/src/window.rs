//! Short windows of measurement, and which of them count.
//!
//! A polling pair with part of its cores collapses, so a window in which either thread had less
//! than 95 % of its core is discarded (testbed.md, "Timing on busy cores"). When nearly all are,
//! the best of them are taken and the report says so.

use serde::Serialize;

/// One window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Cycles a packet.
    pub cycles: f64,
    /// Packets a second, in millions.
    pub mpps: f64,
    /// Smaller share that one of the threads had of its core.
    pub share: f64,
}

/// Share below which a window does not count.
pub const LEAST_SHARE: f64 = 0.95;
/// Windows that must count.
const LEAST: usize = 3;

/// Windows of one variant, sifted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sifted {
    /// Median of cycles a packet.
    pub cycles: f64,
    /// Median of millions of packets a second.
    pub mpps: f64,
    /// Cycles a packet of each window that counts.
    pub runs: Vec<f64>,
    /// Windows that do not.
    pub discarded: usize,
    /// Whether too few windows had their cores, so that the best of the rest were taken.
    pub is_disturbed: bool,
}

/// Sifts the windows of one variant; none if there are none.
#[must_use]
pub fn sift(windows: &[Window]) -> Option<Sifted> {
    let mut taken: Vec<Window> =
        windows.iter().copied().filter(|window| window.share >= LEAST_SHARE).collect();
    let is_disturbed = taken.len() < LEAST;
    if is_disturbed {
        taken = windows.to_vec();
        taken.sort_by(|a, b| b.share.total_cmp(&a.share));
        taken.truncate(LEAST);
    }
    let runs: Vec<f64> = taken.iter().map(|window| window.cycles).collect();
    Some(Sifted {
        cycles: median(&runs)?,
        mpps: median(&taken.iter().map(|window| window.mpps).collect::<Vec<_>>())?,
        discarded: windows.len() - taken.len(),
        runs,
        is_disturbed,
    })
}

/// The middle value; of an even number the mean of both. None of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some((sorted[middle - 1] + upper) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::{Window, median, sift};

    fn window(cycles: f64, share: f64) -> Window {
        Window { cycles, mpps: 1.0, share }
    }

    #[test]
    fn windows_without_their_core_are_discarded_and_the_median_taken() {
        let windows =
            [window(10.0, 0.99), window(99.0, 0.5), window(12.0, 0.96), window(11.0, 1.0)];
        let sifted = sift(&windows).unwrap();
        assert_eq!((sifted.cycles, sifted.discarded, sifted.is_disturbed), (11.0, 1, false));
        assert_eq!(median(&[1.0, 4.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn on_a_busy_machine_the_best_windows_are_taken_and_marked() {
        let windows = [0.2, 0.9, 0.5, 0.8].map(|share| window(share * 100.0, share));
        let sifted = sift(&windows).unwrap();
        assert_eq!(sifted.runs, [90.0, 80.0, 50.0]);
        assert!(sifted.is_disturbed);
        assert_eq!(sift(&[]), None);
    }
}
