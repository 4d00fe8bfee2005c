//! Steps that only send traffic.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context, Result, ensure};

use super::{Outcome, stage::Stage};
use crate::{
    floor::{self, Floor, Throughput},
    peers::{self, family_name},
    plan::{self, Family},
};

/// Seconds of each iperf3 run.
const IPERF_SECONDS: u32 = 3;
/// What iperf3 offers over UDP, Mbit/s.
const UDP_MBPS: u32 = 100;
/// Percent of datagrams that may be lost on busy cores before the step fails.
const UDP_LOST_PERCENT: f64 = 50.0;
const WRK_SECONDS: u32 = 3;

/// Nine requests, each a connection of its own.
///
/// # Errors
///
/// If one fails, or not all members answer.
pub fn tcp_spread(stage: &mut Stage) -> Result<Outcome> {
    spread(stage, Family::V4)
}

/// As [`tcp_spread`], over IPv6.
///
/// # Errors
///
/// As [`tcp_spread`].
pub fn ipv6_tcp(stage: &mut Stage) -> Result<Outcome> {
    spread(stage, Family::V6)
}

fn spread(stage: &Stage, family: Family) -> Result<Outcome> {
    let vip = plan::web(family);
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..9 {
        let (name, source) = peers::http_get(stage.client(), vip, 80)?;
        let client = plan::client(family).to_string();
        ensure!(source == client, "{name} saw source {source} instead of {client}");
        *answers.entry(name).or_default() += 1;
    }
    let told = counts(&answers);
    ensure!(answers.len() == plan::SERVERS, "not all members answered: {told}");
    let url = format!("curl http://{}/", plan::url_host(vip));
    let mut outcome = Outcome::new(format!("{url}: {told}; members see the client's address"));
    for (name, number) in answers {
        outcome = outcome.figure(&name, number);
    }
    Ok(outcome)
}

fn counts(answers: &BTreeMap<String, u32>) -> String {
    answers.iter().map(|(name, number)| format!("{name} {number}x")).collect::<Vec<_>>().join(", ")
}

/// Keep-alive load by wrk.
///
/// # Errors
///
/// If a request fails.
pub fn tcp_keepalive(stage: &mut Stage) -> Result<Outcome> {
    let url = format!("http://{}/", plan::web(Family::V4));
    let seconds = format!("{WRK_SECONDS}s");
    let report = stage.client().run("wrk", ["-t1", "-c24", "-d", &seconds, &url])?;
    let load = peers::load(&report)?;
    ensure!(load.failed == 0, "{} of {} requests failed", load.failed, load.requests);
    let tables = stage.tables()?;
    let members: BTreeMap<String, u32> = tables
        .rows("pool_member_stat")
        .into_iter()
        .filter(|row| row.get("pool_name").is_some_and(|name| name == "demo-web-v4"))
        .filter_map(|row| {
            Some((row.get("addr")?.clone(), row.get("serverside.tot_conns")?.parse().ok()?))
        })
        .collect();
    Ok(Outcome::new(format!(
        "{} requests, 0 failed, {:.0} a second; connections by member: {}",
        load.requests,
        load.per_second,
        counts(&members)
    ))
    .figure("requests", load.requests)
    .figure("requests_per_second", load.per_second)
    .figure("failed", load.failed))
}

/// What iperf3 reaches without the proxy, or why that is not known: on a machine whose cores are
/// taken away testpmd starves, which is no fault of what is shown.
fn compared(floor: Result<Floor>, udp_mbps: Option<u32>) -> Result<Throughput, String> {
    floor
        .and_then(|floor| floor.run(IPERF_SECONDS, udp_mbps))
        .map_err(|error| format!("not measured ({error:#})"))
}

/// A rate in words.
fn rate(measured: &Result<Throughput, String>) -> String {
    match measured {
        Ok(measured) => format!("{:.0} Mbit/s", measured.mbps),
        Err(why) => why.clone(),
    }
}

/// iperf3 TCP: through the VIP, through testpmd, over a bare link.
///
/// # Errors
///
/// If it does not run through the VIP.
pub fn tcp_iperf(stage: &mut Stage) -> Result<Outcome> {
    let vip = plan::iperf(Family::V4).to_string();
    let ours =
        floor::iperf(stage.client(), &vip, IPERF_SECONDS, None).context("through the VIP")?;
    let testpmd = compared(stage.testpmd(), None);
    let bare = compared(stage.bare(), None);
    let mut outcome = Outcome::new(format!(
        "VIP {:.0} Mbit/s; testpmd io {}; bare veth {}",
        ours.mbps,
        rate(&testpmd),
        rate(&bare)
    ))
    .note("All three on this machine with offloads off: veth frames cross the kernel twice by copy,")
    .note("which is the limit here. On an SR-IOV port the frames come and go by DMA, without the kernel.")
    .figure("vip_mbps", ours.mbps)
    .figure("retransmits", ours.retransmits);
    if let Ok(testpmd) = testpmd {
        let ratio = ours.mbps / testpmd.mbps;
        outcome.text = format!("{} (ratio to testpmd {ratio:.2})", outcome.text);
        outcome = outcome.figure("testpmd_mbps", testpmd.mbps).figure("ratio", ratio);
    }
    if let Ok(bare) = bare {
        outcome = outcome.figure("bare_mbps", bare.mbps);
    }
    Ok(outcome)
}

/// iperf3 UDP through the VIP and through testpmd.
///
/// # Errors
///
/// If far more is lost than busy cores explain.
pub fn udp_iperf(stage: &mut Stage) -> Result<Outcome> {
    let vip = plan::iperf(Family::V4).to_string();
    let ours = floor::iperf(stage.client(), &vip, IPERF_SECONDS, Some(UDP_MBPS))
        .context("through the VIP")?;
    let testpmd = compared(stage.testpmd(), Some(UDP_MBPS));
    let theirs = testpmd.as_ref().map_or(0.0, |testpmd| testpmd.lost_percent);
    ensure!(
        ours.lost_percent <= UDP_LOST_PERCENT.max(2.0 * theirs),
        "{:.1} % lost, testpmd {theirs:.1} %",
        ours.lost_percent
    );
    let mut outcome = Outcome::new(format!(
        "VIP {:.0} Mbit/s with {:.2} % lost; testpmd io {} with {theirs:.2} %",
        ours.mbps,
        ours.lost_percent,
        rate(&testpmd)
    ))
    .figure("vip_mbps", ours.mbps)
    .figure("vip_lost_percent", ours.lost_percent);
    if let Ok(testpmd) = testpmd {
        outcome = outcome
            .figure("testpmd_mbps", testpmd.mbps)
            .figure("testpmd_lost_percent", testpmd.lost_percent);
    }
    Ok(outcome)
}

/// UDP echo over IPv4.
///
/// # Errors
///
/// If a datagram is not echoed.
pub fn udp_echo(stage: &mut Stage) -> Result<Outcome> {
    echo(stage, Family::V4)
}

/// UDP echo over IPv6.
///
/// # Errors
///
/// If a datagram is not echoed.
pub fn ipv6_udp(stage: &mut Stage) -> Result<Outcome> {
    echo(stage, Family::V6)
}

fn echo(stage: &Stage, family: Family) -> Result<Outcome> {
    let vip = plan::echo(family);
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..3 {
        let text = format!("datagram {number}");
        let answer = peers::udp_ask(stage.client(), vip, plan::ECHO_PORT, &text)?;
        let (name, echoed) = answer.split_once(' ').context("answer without a name")?;
        ensure!(echoed == text, "sent {text:?}, got {echoed:?}");
        *answers.entry(name.to_owned()).or_default() += 1;
    }
    Ok(Outcome::new(format!("3 of 3 echoed over {}: {}", family_name(family), counts(&answers)))
        .figure("echoed", 3))
}

/// An SCTP association over IPv4.
///
/// # Errors
///
/// If it does not come up or a line is not echoed.
pub fn sctp(stage: &mut Stage) -> Result<Outcome> {
    association(stage, plan::amf(Family::V4))
}

/// An SCTP association over IPv6.
///
/// # Errors
///
/// If it does not come up or a line is not echoed.
pub fn ipv6_sctp(stage: &mut Stage) -> Result<Outcome> {
    association(stage, plan::amf(Family::V6))
}

fn association(stage: &Stage, vip: IpAddr) -> Result<Outcome> {
    let lines = ["NGSetupRequest", "InitialUEMessage", "bye"];
    let echoed = peers::sctp_echo(stage.client(), vip, plan::NGAP_PORT, &lines)?;
    ensure!(echoed.len() == lines.len(), "only {echoed:?} of {lines:?} echoed");
    Ok(Outcome::new(format!(
        "association with {vip} port {}: up, {} messages echoed, shut down",
        plan::NGAP_PORT,
        echoed.len()
    ))
    .figure("echoed", echoed.len()))
}

/// A server calls the world.
///
/// # Errors
///
/// If the world sees another source than the external self IP.
pub fn egress(stage: &mut Stage) -> Result<Outcome> {
    let server = stage.topology.servers.first().context("server 1")?;
    let mut told = Vec::new();
    for family in Family::BOTH {
        let (_, source) = peers::http_get(server, plan::world(family), plan::WORLD_PORT)?;
        let expected = plan::external_self(0, family).to_string();
        ensure!(source == expected, "the world saw {source} instead of {expected}");
        told.push(format!("{} -> {source}", plan::server(1, family)));
    }
    Ok(Outcome::new(format!("the world sees the self IP: {}", told.join(", ")))
        .figure("sources", told))
}
