//! P8: iperf3 over TCP through the shipped `tmm` beside testpmd io, on ports of the same kind.
//!
//! Both stand between two AF_XDP ports in network namespaces with tagged VLANs; they take turns in
//! short runs, so that a slow spell of the machine meets both. The kernel's copies are the limit of
//! either. Uses the lab of the tests.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use spk_tests::floor::{self, Floor};
use spk_tests::lab::{Lab, LabOptions};
use spk_tests::peers;
use spk_tests::plan::{self, Family};

use crate::window::median;

/// Runs of each.
const RUNS: usize = 5;
/// Seconds of each run.
const SECONDS: u32 = 3;
/// Core of testpmd's poller; the lab's TMM has the same.
const CORE: u16 = 1;

/// Both, in Mbit/s, and run by run.
#[derive(Clone, Debug, Serialize)]
pub struct Throughput {
    /// Through the virtual address, median.
    pub ours_mbps: f64,
    /// Through testpmd io, median.
    pub floor_mbps: f64,
    /// Ratio of the medians.
    pub ratio: f64,
    /// Ratios of neighbouring runs.
    pub runs: Vec<f64>,
}

/// Runs both in turn; none on a machine that cannot make network namespaces.
///
/// # Errors
///
/// If the programs are not built or something does not start.
pub fn run(folder: &Path) -> Result<Option<Throughput>> {
    let Some(mut lab) = Lab::start(&LabOptions::default())? else { return Ok(None) };
    let server = peers::iperf_server(lab.server(1), "server-1", lab.folder())?;
    lab.peers.push(server);
    let prefix = format!("bench{}", std::process::id());
    let vip = plan::iperf(Family::V4).to_string();
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        // It polls the TMM's core also when nothing comes, so it must be gone when ours runs.
        let testpmd = Floor::testpmd(&prefix, folder, CORE)?;
        floors.push(testpmd.run(SECONDS, None)?.mbps);
        drop(testpmd);
        ours.push(floor::iperf(lab.client(), &vip, SECONDS, None)?.mbps);
    }
    lab.finish()?;
    let (ours_mbps, floor_mbps) =
        (median(&ours).context("runs")?, median(&floors).context("runs")?);
    let runs = ours.iter().zip(&floors).map(|(ours, floor)| ours / floor).collect();
    Ok(Some(Throughput { ours_mbps, floor_mbps, ratio: ours_mbps / floor_mbps, runs }))
}
