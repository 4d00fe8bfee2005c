//! Steps that change something under load.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netlab::{Process, ProcessBuilder};

use super::{Outcome, folder, stage::Stage};
use crate::{
    lab::monotonic,
    peers,
    plan::{self, Family},
    poll,
    samples::Sample,
};

/// Time for a change of endpoints to reach the TMM (OPS-130 allows one second).
const SETTLE: Duration = Duration::from_secs(3);
/// The least that a gate is watched after its last frame before it counts as silent.
const QUIET: Duration = Duration::from_millis(500);

/// Starts a command in the client's namespace that runs on while the step acts.
fn background(stage: &Stage, name: &str, program: &str, arguments: &[&str]) -> Result<Process> {
    let mut command = stage.client().command(program);
    command.args(arguments);
    Ok(ProcessBuilder::new(name, command).spawn(&folder().join("log"))?)
}

/// Server 3 drains, goes, and comes back, while new connections and keep-alive ones go on.
///
/// # Errors
///
/// If a request fails, server 3 still answers when it is gone, or does not come back.
pub fn churn(stage: &mut Stage) -> Result<Outcome> {
    let url = format!("http://{}/", plan::web(Family::V4));
    let mut kept = background(stage, "wrk-keepalive", "wrk", &["-t1", "-c8", "-d8s", &url])?;
    let close = "Connection: close";
    let mut fresh =
        background(stage, "wrk-close", "wrk", &["-t1", "-c2", "-d8s", "-H", close, &url])?;

    let full = Sample::holding("F5SPKIngressTCP", "web")?;
    let slices = Sample::holding("EndpointSlice", "web-ipv4")?;
    let mut without = slices.clone();
    without.drain_endpoints(&Stage::addresses(3));
    stage.node.write(&slices.name, &without.text())?;
    stage.await_members("demo-web-v4", plan::SERVERS - 1).context("server 3 drains")?;
    without.remove_endpoints(&Stage::addresses(3));
    stage.node.write(&slices.name, &without.text())?;
    let gone = Instant::now();
    let answers = |stage: &Stage| -> Result<Vec<String>> {
        (0..6).map(|_| Ok(peers::http_get(stage.client(), plan::web(Family::V4), 80)?.0)).collect()
    };
    poll::hold("server 3 gets no new connection", SETTLE, || {
        answers(stage).is_ok_and(|names| !names.contains(&"server-3".to_owned()))
    })?;
    let away = gone.elapsed();
    stage.node.write(&slices.name, &slices.text())?;
    let back = Instant::now();
    poll::hold("server 3 is back", SETTLE, || {
        answers(stage).is_ok_and(|names| names.contains(&"server-3".to_owned()))
    })?;
    let back = back.elapsed();

    let mut loads = Vec::new();
    for process in [&mut kept, &mut fresh] {
        process.wait(Duration::from_secs(15))?;
        loads.push(peers::load(&process.log())?);
    }
    let requests: u64 = loads.iter().map(|load| load.requests).sum();
    let failed: u64 = loads.iter().map(|load| load.failed).sum();
    ensure!(failed == 0, "{failed} of {requests} requests failed");
    Ok(Outcome::new(format!(
        "{requests} requests of {} while server 3 left ({:.1} s) and came back ({:.1} s): 0 failed",
        full.name,
        away.as_secs_f64(),
        back.as_secs_f64()
    ))
    .figure("requests", requests)
    .figure("failed", failed)
    .figure("seconds_until_away", away.as_secs_f64())
    .figure("seconds_until_back", back.as_secs_f64()))
}

/// A trial is blocked under UDP load; the last frame's stamp tells when traffic stopped.
///
/// The authority's keys are taken away from the CWC, which restarts: it cannot verify the licence any
/// more. The block closes the gate and stops the data plane; with the keys all of it comes back.
///
/// # Errors
///
/// If traffic goes on, or does not come back.
pub fn blocked(stage: &mut Stage) -> Result<Outcome> {
    let vip = plan::iperf(Family::V4).to_string();
    let port = plan::IPERF_PORT.to_string();
    let arguments = ["-c", &vip, "-p", &port, "-u", "-b", "50M", "-l", "1200", "-t", "20"];
    let load = background(stage, "iperf-blocked", "iperf3", &arguments)?;
    let before = stage.delivered()?.frames;
    poll::hold("load arrives", Duration::from_secs(5), || {
        stage.delivered().is_ok_and(|stamp| stamp.frames > before + 1000)
    })?;
    let told = stage.node.event("LicenseBlocked");
    stage.node.block_trial(&stage.topology.node)?;
    let verdict = poll::until("the licence blocks", Duration::from_secs(15), || {
        stage.node.event("LicenseBlocked").filter(|event| Some(*event) != told)
    })?;
    // The verdict's instant by the clock of the stamps.
    let verdict = monotonic().saturating_sub(verdict.elapsed().unwrap_or_default());
    let mut last = stage.delivered()?;
    let deadline = Instant::now() + Duration::from_secs(5);
    // Silence is a state: the newest stamp lies QUIET in the past.
    while monotonic().saturating_sub(last.last) < QUIET {
        ensure!(Instant::now() < deadline, "frames still arrive 5 s after the verdict");
        thread::sleep(Duration::from_millis(20));
        last = stage.delivered()?;
    }
    let stopped = last.last.saturating_sub(verdict);
    ensure!(peers::http_get(stage.client(), plan::web(Family::V4), 80).is_err(), "HTTP passed");
    poll::hold("the data plane is stopped", Duration::from_secs(15), || {
        stage.node.tmm_pid(0).is_err()
    })?;
    drop(load);

    let mended = Instant::now();
    stage.node.licence().mend()?;
    poll::hold("traffic is back", Duration::from_secs(30), || {
        peers::http_get(stage.client(), plan::web(Family::V4), 80).is_ok()
    })
    .context("after the keys came back")?;
    let back = mended.elapsed();
    Ok(Outcome::new(format!(
        "last frame {:.1} ms after the verdict, back {:.2} s after the keys",
        stopped.as_secs_f64() * 1e3,
        back.as_secs_f64()
    ))
    .note("Why it stopped: the CWC could not verify the trial any more and said so in a signed statement.")
    .note("The gate closed at once; then the TMM was stopped. A paid licence would only have been warned.")
    .note("Why it came back by itself: the keys verify again; the CWC signed a lease for the new TMM.")
    .figure("stop_ms", stopped.as_secs_f64() * 1e3)
    .figure("back_seconds", back.as_secs_f64()))
}
