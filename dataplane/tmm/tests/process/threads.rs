//! What the threads of the real process cost, where they run and what tells of one that hangs.

use std::time::{Duration, Instant};

use crate::rig::{Setup, Tmm, get, threads, until};
use crate::stopped::StoppedThreads;

/// P14: without packets the packet thread sleeps; its CPU time over a window is far below a core's.
#[test]
fn an_idle_process_uses_well_under_a_core() {
    let tmm = Setup::new().start(None);
    // Start-up work is over once the listeners are asked.
    until("it is healthy", || get(tmm.probes, "/healthz").0 == 200);
    let (begun, before) = (Instant::now(), processor_time(&tmm));
    // The share is measured over time.
    std::thread::sleep(Duration::from_secs(2));
    let used = processor_time(&tmm) - before;
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!(share < 0.5, "{used:?} of processor time, a share of {share:.2}");
}

/// OPS-422: packet threads have their CPU, all others the rest.
#[test]
fn control_threads_stay_off_the_data_cores() {
    let tmm = Setup::new().start(None);
    let (mut packet, mut others) = (0, 0);
    for (thread, name) in threads(&tmm) {
        let path = format!("/proc/{thread}/status");
        let status = std::fs::read_to_string(path).unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let list = list.unwrap().trim();
        if name.starts_with("lcore-") {
            packet += 1;
            assert_eq!(list, "0", "{name}");
        } else {
            others += 1;
            let first = list.split([',', '-']).next().unwrap();
            assert_ne!(first, "0", "{name} may run on {list}");
        }
    }
    assert_eq!(packet, 1);
    assert!(others >= 3, "main and control threads");
}

#[test]
fn a_packet_thread_that_hangs_makes_the_process_unhealthy_and_unready() {
    let tmm = Setup::new().start(None);
    let healthy = |status| until("the probe turns", || get(tmm.probes, "/healthz").0 == status);
    healthy(200);
    let stopped = StoppedThreads::of(&tmm, |name| name.starts_with("lcore-"));
    assert_eq!(stopped.count(), 1);
    healthy(503);
    let text = "a packet thread does not answer\n".to_owned();
    assert_eq!(get(tmm.probes, "/readyz"), (503, text));
    drop(stopped);
    healthy(200);
}

/// User and system time of all threads.
fn processor_time(tmm: &Tmm) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", tmm.process.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = rest.split(' ').skip(11).take(2).map(|it| it.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
