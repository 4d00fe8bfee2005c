//! Memory, small machines and logs of the shipped TMM (suite `lab`).

use std::{collections::BTreeMap, fs, net::UdpSocket, time::Duration};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use spk_tests::{
    grammar,
    lab::{Lab, LabOptions, log_lines},
    peers,
    plan::{self, Family},
    poll,
};

/// Fields of `/proc/<pid>/status` in kB.
fn memory(pid: i32) -> BTreeMap<String, u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().strip_suffix(" kB")?.trim().parse().ok()?))
    };
    status.lines().filter_map(field).collect()
}

/// Sends `number` small datagrams of 64 flows to the echo VIP as fast as the client can.
fn flood(lab: &Lab, number: u32) {
    let echo = (plan::echo(Family::V4), plan::ECHO_PORT);
    lab.client()
        .enter(|| {
            let sockets: Vec<UdpSocket> =
                (0..64).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect();
            for place in 0..number as usize {
                // A full queue of the link is a loss like any other.
                let _ = sockets[place % sockets.len()].send_to(b"0123456789", echo);
            }
        })
        .unwrap();
}

/// OPS-425
#[test]
fn memory_stays_as_reserved_at_start_under_full_load() {
    let mut options = LabOptions::default();
    options.node.flows = 4096;
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let pid = lab.node.tmm_pid(0).unwrap();
    peers::http_get(lab.client(), plan::web(Family::V4), 80).unwrap();
    let before = memory(pid);
    let load = lab.background("wrk", &["-t1", "-c64", "-d4s", "http://192.0.2.10/"]).unwrap();
    lab.client()
        .enter(|| {
            for _ in 0..6000 {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(b"fill", (plan::echo(Family::V4), plan::ECHO_PORT)).unwrap();
            }
        })
        .unwrap();
    drop(load);
    let after = memory(pid);
    assert_eq!(after["HugetlbPages"], before["HugetlbPages"], "huge pages are flat");
    // Threads of the control side may touch their stacks and arenas; a table would be megabytes.
    let grown = after["VmRSS"].saturating_sub(before["VmRSS"]);
    assert!(grown < 4096, "RSS grew by {grown} kB: {before:?} {after:?}");
    lab.finish().unwrap();
}

/// OPS-425
#[test]
fn a_tmm_runs_without_huge_pages_and_says_so() {
    let mut options = LabOptions::default();
    options.node.hugepages = false;
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    assert!(peers::http_get(lab.client(), plan::web(Family::V4), 80).is_ok());
    assert_eq!(memory(lab.node.tmm_pid(0).unwrap())["HugetlbPages"], 0);
    let log = lab.node.tmm_log(0);
    assert!(
        log.lines().any(|line| line.contains("\"warning\"") && line.contains("uge")),
        "a warning about pages: {log}"
    );
    lab.finish().unwrap();
}

/// OPS-427
#[test]
fn one_cpu_and_512_mib_run_every_protocol() {
    let mut options = LabOptions::default();
    options.node.memory = 128;
    options.node.flows = 8192;
    // Children inherit the affinity of the thread that starts them.
    let mut one = CpuSet::new();
    one.set(1).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    lab.start_web().unwrap();
    lab.start_echo().unwrap();
    lab.start_sctp().unwrap();
    lab.start_world().unwrap();
    for family in Family::BOTH {
        lab.await_member("demo-web", family).unwrap();
        lab.await_member("demo-amf", family).unwrap();
        assert!(peers::http_get(lab.client(), plan::web(family), 80).is_ok());
        let echo = plan::echo(family);
        assert!(peers::udp_ask(lab.client(), echo, plan::ECHO_PORT, "small").is_ok());
        let echoed = peers::sctp_echo(lab.client(), plan::amf(family), plan::NGAP_PORT, &["a"]);
        assert_eq!(echoed.unwrap(), ["a"]);
        assert!(peers::http_get(lab.server(1), plan::world(family), plan::WORLD_PORT).is_ok());
    }
    let used = memory(lab.node.tmm_pid(0).unwrap());
    let mib = (used["VmRSS"] + used["HugetlbPages"]) / 1024;
    println!("the TMM uses {mib} MiB");
    assert!(mib <= 512, "{used:?}");
    lab.finish().unwrap();
}

/// OPS-720
///
/// Every other test of the lab checks its TMMs' lines too, when it finishes.
#[test]
fn every_line_that_a_tmm_logs_follows_the_grammar() {
    let mut options = LabOptions::default();
    options.node.log_level = "Debug";
    let options = options.trial();
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    lab.peers.clear();
    // Within the monitor's timeout (4 s) and interval (1 s), and T_st until it is told.
    poll::hold("members go down", Duration::from_secs(7), || {
        lab.members_up("demo-web-v4").is_ok_and(|n| n == 0)
    })
    .unwrap();
    lab.close().unwrap();
    lab.open().unwrap();
    lab.node.write("99-new.yaml", "{}").unwrap();
    lab.within_t_cfg("the gate is logged", |lab| {
        lab.node.tmm_log(0).contains("License gate closed")
    })
    .unwrap();
    let log = lab.node.tmm_log(0);
    log_lines(&log).unwrap();
    for begins in [
        "License gate opened",
        "License gate closed: ",
        "Configuration ",
        "Pool Member Status Change: demo-web-v4 10.20.0.21:8080 is down",
    ] {
        let said = format!("\"m\"=\"{begins}");
        assert!(log.lines().any(|line| line.contains(&said)), "{begins}: {log}");
    }
    assert!(log.lines().all(|line| grammar::problem(line).is_none()));
    lab.finish().unwrap();
}

/// OPS-723
#[test]
fn a_million_packets_at_debug_level_log_next_to_nothing() {
    let mut options = LabOptions::default();
    options.node.log_level = "Debug";
    let Some(lab) = Lab::start(&options).unwrap() else { return };
    let received = |lab: &Lab| lab.tables().unwrap().number("packet_stat", "received", "packets");
    let (packets, lines) = (received(&lab), lab.node.tmm_log(0).lines().count());
    // Rounds, as busy cores lose datagrams before the TMM sees them.
    for _ in 0..20 {
        flood(&lab, 200_000);
        if received(&lab) - packets >= 1_000_000 {
            break;
        }
    }
    let passed = received(&lab) - packets;
    assert!(passed >= 1_000_000, "{passed} packets arrived");
    lab.within_t_cfg("logs are written", |lab| lab.tables().is_ok()).unwrap();
    let logged = lab.node.tmm_log(0).lines().count() - lines;
    println!("{passed} packets, {logged} lines");
    assert!(logged < 200, "{logged} lines: {}", lab.node.tmm_log(0));
    lab.finish().unwrap();
}
