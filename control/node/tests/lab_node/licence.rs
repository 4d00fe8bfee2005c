//! The licence from its first report to a block and back, on one machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use spk_controller::view::{LicenceView, ReplicaView};
use spk_tests::licence::{curl, cwc_pid};

use crate::rig::{A_WHILE, Rig, SOON, VLAN, lives, tmm_program, until};

fn licence(rig: &Rig) -> LicenceView {
    rig.try_status().map(|status| status.controller.licence).unwrap_or_default()
}

fn replica(rig: &Rig) -> ReplicaView {
    let replicas = rig.try_status().map(|status| status.controller.replicas).unwrap_or_default();
    replicas.into_iter().next().unwrap_or_default()
}

fn gate(rig: &Rig) -> String {
    replica(rig).gate.map(|gate| gate.state).unwrap_or_default()
}

fn programmed(rig: &Rig) -> (String, String) {
    let status = rig.status_of("vlan.yaml");
    let conditions = status["objects"][0]["status"]["conditions"].as_array().cloned();
    let found = conditions.into_iter().flatten().find(|c| c["type"] == "Programmed");
    let text =
        |name: &str| found.as_ref().and_then(|c| c[name].as_str()).unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// LIC-820, LIC-838 (its first half; the broken bus is in suite `licence`), OPS-172, OPS-174 (the CWC's
/// files): before the first receipt the TMM runs closed and without configuration, and its objects say
/// why; after it all of it is there at once.
#[test]
fn unactivated_node_sends_nothing_to_a_running_tmm_and_everything_after_the_receipt() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start(&[]);
    until("the CWC says why", A_WHILE, || licence(&rig).reason == "not_activated");
    until("the TMM answers", A_WHILE, || replica(&rig).connected);
    until("the object says why", SOON, || {
        let (reason, message) = programmed(&rig);
        reason == "NotLicensed" && message.ends_with("(not_activated)")
    });
    assert_eq!((replica(&rig).acknowledged, gate(&rig).as_str()), (None, "closed"));
    assert!(rig.get("127.0.0.4:8081", "/healthz").starts_with("HTTP/1.1 200"));
    assert!(!rig.get("127.0.0.3:8081", "/readyz").starts_with("HTTP/1.1 200"));
    assert!(!licence(&rig).halted);
    let pid = rig.tmm(0);

    let config = rig.path("state/cwc/config");
    for name in [
        "cpcl-config-cm/jwt",
        "cpcl-config-cm/rest_api_port",
        "cpcl-key-cm/jwt.key",
        "cwc-license-certs/ca_root.crt",
        "cwc-license-certs/server.crt",
        "cwc-license-certs/server.key",
        "cwc-lease-key/private.jwk",
        "cwc-lease-jwks/jwks.json",
    ] {
        let mode = fs::metadata(config.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let trust = fs::read(config.join("cwc-lease-jwks/jwks.json")).unwrap();
    assert_eq!(trust, fs::read(rig.path("state/tmm-0/license/jwks.json")).unwrap());

    rig.activate();
    until("the gate is latched", SOON, || gate(&rig) == "latched");
    until("the configuration runs", SOON, || replica(&rig).not_ready.is_none());
    until("the object is programmed", SOON, || programmed(&rig).0 == "Programmed");
    assert_eq!(rig.tmm(0), pid, "the TMM was restarted");
    let held = licence(&rig);
    assert_eq!((held.class.as_str(), held.verdict.as_str()), ("production", "allow"));
    until("the status file says so", SOON, || {
        let status = rig.status_of("vlan.yaml");
        status["licence"]["class"] == "production" && status["licence"]["verdict"] == "allow"
    });
    for reason in ["LicenseBlocked", "LicenseAllowed", "GateOpened"] {
        assert!(rig.events().iter().any(|event| event["reason"] == reason), "{reason}");
    }
    let pod = rig.status_of("vlan.yaml")["pods"][0].clone();
    let conditions = pod["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| {
        c["type"] == "k8s.f5net.com/LicenseGate"
            && c["status"] == "True"
            && c["reason"] == "verified"
    }));
    // LIC-850 (metrics of this machine).
    let page = rig.get("127.0.0.3:9090", "/metrics");
    for name in [
        "spk_license_verdict{class=\"production\",verdict=\"allow\",reason=\"verified\"} 1",
        "spk_license_gate_open{replica=\"0\"} 1",
        "spk_license_lease_remaining_seconds{",
        "spk_license_latched_ignored_total 0",
        "spk_license_heartbeat_age_seconds ",
        "spk_license_scale_actions_total{action=\"zero\"} 0",
        "spk_license_enforcement_duration_seconds_bucket{",
        "spk_config_withheld 0",
        "spk_bus_connected 1",
    ] {
        assert!(page.contains(name), "{name}: {page}");
    }
}

/// LIC-836, LIC-832: a blocked trial stops the data plane; it stays stopped under another spk-node, a
/// process started by hand stays closed, and recovery brings it back open.
#[test]
fn blocked_trial_stops_the_tmm_until_the_licence_allows_again() {
    let mut rig = Rig::trial(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    assert_eq!(gate(&rig), "open");
    let first = rig.tmm(0);
    rig.licence.spoil(&rig.path("state")).unwrap();
    until("the CWC is gone", A_WHILE, || !licence(&rig).bus_connected);
    until("the CWC is back", A_WHILE, || licence(&rig).bus_connected);
    rig.licence.speak(&rig.namespace, &rig.path("state")).unwrap();
    until("the trial is blocked", A_WHILE, || licence(&rig).verdict == "block");
    until("the TMM is stopped", A_WHILE, || !lives(first));
    assert!(licence(&rig).halted);
    until("the object says why", SOON, || programmed(&rig).0 == "NotLicensed");
    let told = |rig: &Rig, reason: &str| {
        rig.events().iter().filter(|event| event["reason"] == reason).count()
    };
    assert_eq!(told(&rig, "TmmScaledToZero"), 1);

    rig.end(Signal::SIGKILL);
    rig.start(&[]);
    until("the block is known again", A_WHILE, || licence(&rig).verdict == "block");
    let status = rig.try_status().unwrap();
    assert_eq!(status.processes[0].state, "stopped");

    // The controller is down, and somebody starts the data plane by hand.
    rig.end(Signal::SIGKILL);
    let mut by_hand = rig
        .namespace
        .command(tmm_program())
        .arg("--config")
        .arg(rig.path("state/tmm-0"))
        .env("PAL_CPU_SET", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("it runs", A_WHILE, || rig.get("127.0.0.4:8081", "/healthz").starts_with("HTTP/1.1 200"));
    let page = rig.get("127.0.0.4:9090", "/metrics");
    kill(Pid::from_raw(i32::try_from(by_hand.id()).unwrap()), Signal::SIGKILL).unwrap();
    by_hand.wait().unwrap();
    assert!(page.contains("spk_license_gate_open 0"), "{page}");

    rig.start(&[]);
    rig.licence.mend().unwrap();
    rig.until_ready();
    assert_eq!(gate(&rig), "open");
    assert_ne!(rig.tmm(0), first);
    assert!(!licence(&rig).halted);
    until("the object is programmed", SOON, || programmed(&rig).0 == "Programmed");
    assert_eq!(told(&rig, "TmmScaleRestored"), 1);
    assert!(!rig.path("state/vault/license-previous-replicas").exists());
}

/// LIC-904 (a later latch replaces it in `spk_entitlement`), LIC-818 without packets, LIC-623: the latch
/// is stored, opens a restarted TMM without a CWC, and a forged one opens nothing.
#[test]
fn stored_latch_opens_a_restarted_tmm_without_a_cwc_and_a_forged_one_does_not() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let latch = rig.path("state/vault/spk-license-latch/latch.jws");
    until("the latch is stored", SOON, || latch.exists());
    assert_eq!(fs::metadata(&latch).unwrap().permissions().mode() & 0o777, 0o600);
    until("the newest statement is stored", A_WHILE, || {
        rig.path("state/vault/spk-license-last/last.jws").exists()
    });
    // All three die, and the CWC does not come back.
    let settings = rig.path("node.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    let binary = crate::rig::program("spk-cwc").display().to_string();
    fs::write(&settings, text.replace(&binary, "/nonexistent/spk-cwc")).unwrap();
    let kill_all = |rig: &mut Rig| {
        let tmm = rig.tmm(0);
        let cwc = cwc_pid(&rig.path("state"));
        rig.end(Signal::SIGKILL);
        for pid in [Some(tmm), cwc.ok()].into_iter().flatten().filter(|pid| lives(*pid)) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        fs::remove_dir_all(rig.path("state/cache")).unwrap();
    };
    kill_all(&mut rig);
    rig.start(&[]);
    until("the latch opens the gate", A_WHILE, || gate(&rig) == "latched");
    until("the configuration runs", SOON, || replica(&rig).not_ready.is_none());
    assert!(curl(&rig.namespace, &rig.path("state"), &["/status"]).is_err(), "a CWC runs");

    kill_all(&mut rig);
    let good = fs::read_to_string(&latch).unwrap();
    // Another subject under the old signature.
    let (head, rest) = good.split_once('.').unwrap();
    fs::write(&latch, format!("{head}.e30.{}", rest.split_once('.').unwrap().1)).unwrap();
    rig.start(&[]);
    until("the TMM answers", A_WHILE, || replica(&rig).connected);
    until("the forged latch is refused", SOON, || rig.log().contains("does not count"));
    assert_eq!((licence(&rig).verdict.as_str(), gate(&rig).as_str()), ("unknown", "closed"));
}
