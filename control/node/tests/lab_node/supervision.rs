//! Processes that end, outlive spk-node, or are somebody else's.

use std::fs;
use std::process::Command;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::rig::{A_WHILE, Rig, VLAN, lives, until};

/// The first half of OPS-177; the second is in `traffic`.
#[test]
fn tmm_that_is_killed_again_and_again_is_restarted_after_growing_pauses() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let mut killed = Vec::new();
    for _ in 0..4 {
        let pid = rig.tmm(0);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        killed.push(pid);
        until("another process runs", A_WHILE, || {
            let process = rig.try_status().and_then(|status| status.processes[0].pid);
            process.is_some_and(|now| i32::try_from(now).unwrap() != pid)
        });
    }
    rig.until_ready();
    let times = |reason: &str| -> Vec<Timestamp> {
        let time = |event: &Value| event["time"].as_str().unwrap().parse().unwrap();
        rig.events().iter().filter(|event| event["reason"] == reason).map(time).collect()
    };
    let pauses: Vec<i64> = times("TmmExited")
        .iter()
        .zip(&times("TmmStarted")[1..])
        .map(|(ended, started)| started.as_millisecond() - ended.as_millisecond())
        .collect();
    assert_eq!(pauses.len(), 4);
    for (pause, least) in pauses.iter().zip([100, 200, 400, 800]) {
        assert!((least..least + 1500).contains(pause), "{pauses:?}");
    }
    assert_eq!(rig.try_status().unwrap().processes[0].restarts, 4);
    for pid in killed {
        assert!(!lives(pid));
    }
}

#[test]
fn sigterm_stops_the_tmms_and_leave_running_does_not() {
    let mut rig = Rig::new(2);
    rig.put("vlan.yaml", VLAN);
    rig.start(&["--leave-running"]);
    rig.until_ready();
    let pids = [rig.tmm(0), rig.tmm(1)];
    assert_eq!(rig.end(Signal::SIGTERM), Some(0));
    assert!(pids.iter().all(|pid| lives(*pid)));
    rig.start_ready();
    assert_eq!([rig.tmm(0), rig.tmm(1)], pids);
    assert_eq!(rig.end(Signal::SIGTERM), Some(0));
    until("both TMMs are gone", A_WHILE, || pids.iter().all(|pid| !lives(*pid)));
    assert!(!rig.path("state/run/tmm-0.pid").exists());
}

#[test]
fn process_that_only_has_the_pid_of_a_pid_file_is_left_alone() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let own = rig.tmm(0).to_string();
    rig.end(Signal::SIGTERM);
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    rig.start_ready();
    let text = fs::read_to_string(rig.path("state/run/tmm-0.pid")).unwrap();
    let now = rig.tmm(0);
    rig.end(Signal::SIGKILL);
    kill(Pid::from_raw(now), Signal::SIGKILL).unwrap();
    let forged = text.replace(&now.to_string(), &stranger.id().to_string());
    assert_ne!(forged, text);
    fs::write(rig.path("state/run/tmm-0.pid"), forged).unwrap();
    rig.start_ready();
    let next = rig.tmm(0);
    assert_ne!(next, i32::try_from(stranger.id()).unwrap());
    assert_ne!(next.to_string(), own);
    rig.end(Signal::SIGTERM);
    let untouched = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(untouched, "a stranger was signalled");
}

#[test]
fn changed_settings_restart_an_adopted_tmm() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let before = rig.tmm(0);
    rig.end(Signal::SIGKILL);
    let settings = rig.path("node.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("flows: 1024", "flows: 2048")).unwrap();
    // The old one may answer until it has drained.
    rig.start_ready();
    until("it is gone", A_WHILE, || !lives(before));
    rig.until_ready();
    assert_ne!(rig.tmm(0), before);
}

/// OPS-320: a TMM and its link take files of another CA; the process stays.
#[test]
fn adopted_tmm_takes_a_new_ca_without_a_restart() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let before = rig.tmm(0);
    let path = rig.path("state/certs/ca_root.crt");
    let ca = fs::read(&path).unwrap();
    rig.end(Signal::SIGKILL);
    fs::remove_file(&path).unwrap();
    rig.start_ready();
    assert_ne!(fs::read(&path).unwrap(), ca);
    assert_eq!(rig.tmm(0), before);
}

/// The pid file of a TMM whose spk-node died before it wrote it, and one that is broken.
#[test]
fn tmm_without_a_good_pid_file_is_found_and_restarted() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    type Spoil = fn(&std::path::Path);
    let spoilt: [Spoil; 2] =
        [|file| fs::remove_file(file).unwrap(), |file| fs::write(file, "12\n{").unwrap()];
    for spoil in spoilt {
        let orphan = rig.tmm(0);
        rig.end(Signal::SIGKILL);
        assert!(lives(orphan));
        spoil(&rig.path("state/run/tmm-0.pid"));
        rig.start(&[]);
        until("the orphan is gone", A_WHILE, || !lives(orphan));
        rig.until_ready();
        assert_ne!(rig.tmm(0), orphan);
    }
}

#[test]
fn tmm_that_cannot_start_says_why_in_the_status() {
    let port = |_| String::from("[{name: \"1.1\", kind: afPacket, device: absent0}]");
    let mut rig = Rig::with_ports(1, port);
    rig.start(&[]);
    let mut cause = String::new();
    until("the cause is told", A_WHILE, || {
        let process = rig.try_status().and_then(|status| status.processes.into_iter().next());
        cause = process.and_then(|process| process.cause).unwrap_or_default();
        !cause.is_empty()
    });
    assert!(cause.contains("exit code") && cause.contains("absent0"), "{cause}");
}

#[test]
fn missing_program_is_an_event_with_its_fix_and_no_crash() {
    let mut rig = Rig::new(1);
    let settings = rig.path("node.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    let (head, tail) = text.split_once("tmm: {binary: ").unwrap();
    let (_, tail) = tail.split_once(',').unwrap();
    fs::write(&settings, format!("{head}tmm: {{binary: /nonexistent/tmm,{tail}")).unwrap();
    rig.start(&[]);
    until("the event is told", A_WHILE, || {
        rig.events().iter().any(|event| {
            event["reason"] == "TmmNotStarted"
                && event["text"].as_str().is_some_and(|text| text.contains("tmm.binary"))
        })
    });
    assert_eq!(rig.try_status().unwrap().processes[0].state, "waiting");
    assert_eq!(rig.end(Signal::SIGTERM), Some(0));
}
