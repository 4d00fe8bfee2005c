//! The resource directory, the state directory, and what a TMM gets as files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::rig::{A_WHILE, Rig, SOON, VLAN, condition, output, tmm_program, until};

/// OPS-170, here without packets: each change within the bound of a busy machine; the strict proof of
/// 1 s is the median in `five_changes_take_less_than_a_second_each_by_the_median`.
#[test]
fn changed_file_is_applied_within_a_second_and_a_wrong_one_changes_nothing() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let programmed =
        |rig: &Rig, file: &str| condition(&rig.status_of(file)["objects"][0], "Programmed");
    until("first status", SOON, || programmed(&rig, "vlan.yaml") == "True");
    let generation = |rig: &Rig| rig.try_status().unwrap().controller.replicas[0].acknowledged;
    let before = generation(&rig);

    let changed = Instant::now();
    rig.put("vlan.yaml", &VLAN.replace("tag: 100", "tag: 101"));
    until("the TMM runs the change", SOON, || generation(&rig) > before);
    until("the status speaks of it", SOON, || {
        let status = rig.status_of("vlan.yaml");
        status["objects"][0]["status"]["observedGeneration"] == 2
            && programmed(&rig, "vlan.yaml") == "True"
    });
    assert!(changed.elapsed() < SOON);

    let before = generation(&rig);
    rig.put("vlan.yaml", &VLAN.replace("tag: 100", "tag: 5000"));
    until("a bad object is refused", SOON, || {
        condition(&rig.status_of("vlan.yaml")["objects"][0], "Accepted") == "False"
    });
    rig.put("vlan.yaml", &format!("{VLAN}broken: [\n"));
    until("broken YAML is refused", SOON, || rig.status_of("vlan.yaml")["broken"].is_string());
    let broken = rig.status_of("vlan.yaml")["broken"].to_string();
    assert!(broken.contains("line 7,"), "{broken}");
    assert_eq!(generation(&rig), before, "the running configuration was disturbed");
    rig.remove("vlan.yaml");
    until("the object goes with its file", SOON, || generation(&rig) > before);
    let status = rig.path("resources/vlan.yaml.status.yaml");
    until("and so does its status", SOON, || !status.exists());
}

/// OPS-170 (applied within 1 s, status written): the median of five changes, which one pause of a
/// busy machine cannot spoil.
#[test]
fn five_changes_take_less_than_a_second_each_by_the_median() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let mut took = Vec::new();
    for round in 1..=5 {
        let before = rig.try_status().unwrap().controller.generation;
        let changed = Instant::now();
        rig.put("vlan.yaml", &VLAN.replace("tag: 100", &format!("tag: {}", 100 + round)));
        until("applied and told", A_WHILE, || {
            let view = rig.try_status().unwrap().controller;
            let object = &rig.status_of("vlan.yaml")["objects"][0];
            view.replicas[0].acknowledged.is_some_and(|running| running > before)
                && object["status"]["observedGeneration"] == 1 + round
                && condition(object, "Programmed") == "True"
        });
        took.push(changed.elapsed());
        // Status files are written once a second at most; the next change begins its own second.
        until("a second passes", A_WHILE, || changed.elapsed() > Duration::from_millis(1100));
    }
    took.sort();
    assert!(took[2] < Duration::from_secs(1), "{took:?}");
}

#[test]
fn status_of_a_file_that_changes_all_the_time_is_written_once_a_second() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let path = rig.path("resources/vlan.yaml.status.yaml");
    let inode = || fs::metadata(&path).map(|metadata| metadata.ino()).ok();
    let (mut written, mut last) = (Vec::new(), inode());
    let begin = Instant::now();
    let mut tag = 100;
    while begin.elapsed() < Duration::from_secs(4) {
        // A new tag every 100 ms; the file is replaced by each writing.
        if begin.elapsed() > Duration::from_millis(100) * (tag - 100) {
            tag += 1;
            rig.put("vlan.yaml", &VLAN.replace("tag: 100", &format!("tag: {tag}")));
        }
        let now = inode();
        if now != last {
            written.push(begin.elapsed());
            last = now;
        }
        std::thread::yield_now();
    }
    assert!((3..=5).contains(&written.len()), "{written:?}");
    let early = |pair: &[Duration]| pair[1] - pair[0] < Duration::from_millis(900);
    assert!(!written.windows(2).any(early), "{written:?}");
}

#[test]
fn last_accepted_objects_are_in_force_after_a_restart_with_a_broken_file() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    assert_eq!(rig.end(Signal::SIGTERM), Some(0));
    rig.put("vlan.yaml", "broken: [\n");
    rig.start_ready();
    let view = rig.try_status().unwrap().controller;
    assert_eq!(view.objects.len(), 1);
    assert_eq!(view.replicas[0].acknowledged, Some(view.generation));
    let programmed = view.objects[0].status.conditions.iter().find(|c| c.type_ == "Programmed");
    assert_eq!(programmed.unwrap().status, "True");
}

/// OPS-174 (the chart's pod itself is compared in step `kubernetes`)
#[test]
fn part_gets_the_files_and_environment_of_its_pod_and_starts_on_a_pods_mounts_too() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let home = rig.path("state/tmm-0");
    let files: BTreeSet<String> = output(
        std::process::Command::new("find").arg(&home).args(["-type", "f", "-printf", "%P\n"]),
    )
    .lines()
    .map(str::to_owned)
    .collect();
    let expected = [
        "certs/ca_root.crt",
        "certs/grpc-svc.crt",
        "keys/grpc-svc.key",
        "license/jwks.json",
        "podinfo/annotations",
        "podinfo/name",
        "podinfo/namespace",
        "podinfo/uid",
        "tmm.yaml",
    ];
    assert_eq!(files, expected.map(str::to_owned).into());
    let key = fs::metadata(home.join("keys/grpc-svc.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let annotations = fs::read_to_string(home.join("podinfo/annotations")).unwrap();
    assert_eq!(annotations, "k8s.f5net.com/replica-index=\"0\"\n");

    let pid = rig.tmm(0);
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let arguments = read("cmdline");
    let arguments: Vec<&str> = arguments.trim_end_matches('\0').split('\0').collect();
    assert_eq!(arguments[1..], ["--config", home.to_str().unwrap()]);
    let environ = read("environ");
    let environment: BTreeMap<&str, &str> =
        environ.split_terminator('\0').filter_map(|entry| entry.split_once('=')).collect();
    let uid = fs::read_to_string(home.join("podinfo/uid")).unwrap();
    let expected = BTreeMap::from([
        ("PAL_CPU_SET", "0"),
        ("PATH", environment["PATH"]),
        ("POD_NAME", "f5-tmm-0"),
        ("POD_NAMESPACE", "spk-core"),
        ("POD_UID", uid.as_str()),
        ("TMM_LOG_LEVEL", "Notice"),
    ]);
    assert_eq!(environment, expected);
    rig.end(Signal::SIGTERM);

    let pod = rig.path("pod");
    mount_as_kubelet_does(&home, &pod);
    let mut tmm = rig
        .namespace
        .command(tmm_program())
        .arg("--config")
        .arg(&pod)
        .env_clear()
        .envs(expected.iter().map(|(name, value)| (*name, *value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut up = false;
    let deadline = Instant::now() + A_WHILE;
    while !up && Instant::now() < deadline && tmm.try_wait().unwrap().is_none() {
        up = rig.get("127.0.0.4:8081", "/healthz").starts_with("HTTP/1.1 200");
    }
    tmm.kill().unwrap();
    tmm.wait().unwrap();
    assert!(up, "tmm does not start on a pod's mounts");
}

/// Secrets, ConfigMaps and the downward API are links into a dated folder.
fn mount_as_kubelet_does(from: &Path, to: &Path) {
    let volumes =
        ["certs", "keys", "license", "podinfo"].map(|name| (from.join(name), to.join(name)));
    for (source, mount) in volumes.into_iter().chain([(from.to_owned(), to.to_owned())]) {
        let dated = mount.join("..2026_11_24");
        fs::create_dir_all(&dated).unwrap();
        symlink("..2026_11_24", mount.join("..data")).unwrap();
        for entry in fs::read_dir(source).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), dated.join(entry.file_name())).unwrap();
                let target = Path::new("..data").join(entry.file_name());
                symlink(target, mount.join(entry.file_name())).unwrap();
            }
        }
    }
}

/// OPS-175, OPS-178 (addresses of the CWC), here without packets.
#[test]
fn node_and_two_tmms_listen_on_their_addresses_and_nowhere_else() {
    let mut rig = Rig::new(2);
    rig.put("vlan.yaml", VLAN);
    rig.start_ready();
    let listening = |rig: &mut Rig, second: u16| -> BTreeSet<String> {
        let owners = [
            ("127.0.0.4:", rig.tmm(0)),
            ("127.0.0.5:", rig.tmm(second)),
            ("127.0.0.13:", rig.tmm(second)),
        ];
        let node = rig.node_id();
        let cwc = spk_tests::licence::cwc_pid(&rig.path("state")).unwrap();
        let lines = rig.namespace.run("ss", ["-Hltnp"]).unwrap();
        let of = |line: &str| {
            let address = line.split_whitespace().nth(3).unwrap().to_owned();
            let of_tmm = owners.iter().find(|(prefix, _)| address.starts_with(prefix));
            let of_cwc = ["127.0.0.2:", "0.0.0.0:30881"].iter().any(|own| address.starts_with(own));
            let owner = of_tmm.map_or(if of_cwc { cwc } else { node }, |(_, pid)| *pid);
            assert!(line.contains(&format!(",pid={owner},")), "not process {owner}: {line}");
            address
        };
        lines.lines().map(of).collect()
    };
    let expected = [
        "0.0.0.0:30881",
        "127.0.0.2:8081",
        "127.0.0.2:9090",
        "127.0.0.3:8081",
        "127.0.0.3:9090",
        "127.0.0.4:8081",
        "127.0.0.4:8750",
        "127.0.0.4:9090",
        "127.0.0.5:8081",
        "127.0.0.5:8750",
        "127.0.0.5:9090",
    ];
    assert_eq!(listening(&mut rig, 1), expected.map(str::to_owned).into());
    // The second TMM's connection may come a moment after its sockets.
    until("it is ready", SOON, || rig.get("127.0.0.3:8081", "/readyz").starts_with("HTTP/1.1 200"));
    assert!(rig.get("127.0.0.3:9090", "/metrics").contains("spk_tmm_connected{replica=\"1\"} 1"));
    rig.end(Signal::SIGTERM);

    let settings = rig.path("node.yaml");
    let text = fs::read_to_string(&settings).unwrap().replace("{index: 1,", "{index: 9,");
    fs::write(&settings, format!("probes: 127.0.9.3:18081\nmetrics: '[::1]:19090'\n{text}"))
        .unwrap();
    rig.put("vlan.yaml", &VLAN.replace("[198", &"[198".replace('[', "[198.51.100.20, 198.51.100.21, 198.51.100.22, 198.51.100.23, 198.51.100.24, 198.51.100.25, 198.51.100.26, 198.51.100.27, ")));
    rig.start_ready();
    let moved = [
        "0.0.0.0:30881",
        "127.0.0.2:8081",
        "127.0.0.2:9090",
        "127.0.9.3:18081",
        "[::1]:19090",
        "127.0.0.4:8081",
        "127.0.0.4:8750",
        "127.0.0.4:9090",
        "127.0.0.13:8081",
        "127.0.0.13:8750",
        "127.0.0.13:9090",
    ];
    assert_eq!(listening(&mut rig, 9), moved.map(str::to_owned).into());
}

/// OPS-176
#[test]
fn each_event_is_one_line_and_the_file_turns_over_at_8_mib() {
    let mut rig = Rig::new(1);
    rig.put("vlan.yaml", VLAN);
    let file = rig.path("state/events.jsonl");
    fs::create_dir(rig.path("state")).unwrap();
    // One byte short of its bound: the first event does not fit.
    fs::write(&file, vec![b' '; (8 << 20) - 1]).unwrap();
    rig.start_ready();
    assert_eq!(fs::metadata(rig.path("state/events.jsonl.1")).unwrap().len(), (8 << 20) - 1);
    assert!(fs::metadata(&file).unwrap().len() < 1 << 20);
    rig.put("vlan.yaml", &VLAN.replace("tag: 100", "tag: 101"));
    let named = |rig: &Rig, reason: &str| {
        rig.events().iter().filter(|event| event["reason"] == reason).count()
    };
    until("the edit is told", SOON, || named(&rig, "Updated") == 1);
    rig.remove("vlan.yaml");
    until("the end is told", SOON, || named(&rig, "Deleted") == 1);
    let events = rig.events();
    for event in &events {
        assert!(event["reason"].is_string() && event["text"].is_string(), "{event}");
        assert!(["Normal", "Warning"].contains(&event["type"].as_str().unwrap()), "{event}");
        assert!(
            event["object"]["kind"].is_string() && event["object"]["name"].is_string(),
            "{event}"
        );
    }
    for reason in ["Added", "Updated", "Deleted", "TmmStarted"] {
        assert_eq!(named(&rig, reason), 1, "{reason}: {events:#?}");
    }
    let added = events.iter().find(|event| event["reason"] == "Added").unwrap();
    assert_eq!(added["text"], "F5SPKVlan spk-core/external was added");

    rig.put("vlan.yaml", VLAN);
    until("pods are in the status file", SOON, || {
        let pod = &rig.status_of("vlan.yaml")["pods"][0];
        pod["annotations"]["k8s.f5net.com/replica-index"] == "0"
            && pod["conditions"][0]["type"] == "Ready"
            && pod["conditions"][0]["status"] == "True"
    });
}
