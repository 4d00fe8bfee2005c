//! Namespaces, ports and processes on the real kernel (suite `lab`).

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use netlab::{Error, Namespace, ProcessBuilder, VlanPort, machine, registry, veth};

/// A name that no other test uses, in this process or another.
fn unique(label: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("nl{}-{}-{label}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Says why the test cannot run here; with SPK_NO_SKIP that is a failure.
fn possible() -> bool {
    match machine::check() {
        Ok(()) => true,
        Err(error) if std::env::var_os("SPK_NO_SKIP").is_none() => {
            println!("skipped: {error}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

/// Two namespaces with one link; each end in its VLAN, one address each.
fn linked(left_tag: u16, right_tag: u16) -> (Namespace, VlanPort, Namespace, VlanPort) {
    let left = Namespace::create(&unique("left")).unwrap();
    let right = Namespace::create(&unique("right")).unwrap();
    veth::pair(&left, "v0", 1500, &right, "v0", 1500).unwrap();
    let left_port = VlanPort::access(&left, "v0", left_tag).unwrap();
    let right_port = VlanPort::access(&right, "v0", right_tag).unwrap();
    for (namespace, last) in [(&left, 1), (&right, 2)] {
        namespace.address("v0", &format!("10.99.0.{last}/24")).unwrap();
        namespace.address("v0", &format!("fd00:99::{last}/64")).unwrap();
    }
    (left, left_port, right, right_port)
}

#[test]
fn ports_of_one_vlan_reach_each_other_and_count_what_passed() {
    if !possible() {
        return;
    }
    let (left, left_port, _right, right_port) = linked(100, 100);
    left.run("ping", ["-c", "3", "-i", "0.01", "-W", "1", "10.99.0.2"]).unwrap();
    left.run("ping", ["-c", "3", "-i", "0.01", "-W", "1", "fd00:99::2"]).unwrap();
    let (sent, got) = (left_port.stamps().unwrap(), right_port.stamps().unwrap());
    assert!(sent.outbound.frames >= 6, "{sent:?}");
    assert!(got.inbound.frames >= 6, "{got:?}");
    assert_eq!(got.inbound_traffic.frames, 0, "ping is no traffic: {got:?}");
    assert!(got.inbound.last > Duration::ZERO);
}

#[test]
fn ports_of_different_vlans_never_reach_each_other() {
    if !possible() {
        return;
    }
    let (left, _left_port, _right, right_port) = linked(100, 101);
    let pinged = left.run("ping", ["-c", "2", "-i", "0.01", "-W", "0.2", "10.99.0.2"]);
    assert!(matches!(pinged, Err(Error::Command { .. })), "{pinged:?}");
    let got = right_port.stamps().unwrap();
    assert_eq!(got.inbound.frames, 0, "{got:?}");
    assert!(got.foreign.frames >= 1, "{got:?}");
}

#[test]
fn a_frame_leaves_an_access_port_with_its_tag_inside_the_frame() {
    if !possible() {
        return;
    }
    let (left, _left_port, right, _right_port) = linked(100, 0);
    let folder = tempfile_folder("tag");
    let mut tcpdump = ProcessBuilder::new("tcpdump", {
        let mut command = right.command("tcpdump");
        command.args(["-i", "v0", "-e", "-n", "-l", "--immediate-mode", "arp or vlan 100"]);
        command
    })
    .spawn(&folder)
    .unwrap();
    tcpdump.wait_for(Duration::from_secs(5), |log| log.contains("listening on")).unwrap();
    let _ = left.run("ping", ["-c", "1", "-W", "0.1", "10.99.0.2"]);
    tcpdump.wait_for(Duration::from_secs(5), |log| log.contains("vlan 100")).unwrap();
    drop(tcpdump);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_switch_carries_two_vlans_and_a_trunk_port_passes_only_those_listed() {
    if !possible() {
        return;
    }
    let switch = Namespace::create(&unique("switch")).unwrap();
    veth::switch(&switch, "sw", 1504).unwrap();
    let mut hosts = Vec::new();
    for (number, tag) in [(1, 10), (2, 10), (3, 20), (4, 20)] {
        let host = Namespace::create(&unique(&format!("host{number}"))).unwrap();
        let plug = format!("p{number}");
        veth::pair(&host, "v0", 1500, &switch, &plug, 1504).unwrap();
        let port = VlanPort::access(&host, "v0", tag).unwrap();
        host.address("v0", &format!("10.98.0.{number}/24")).unwrap();
        veth::plug(&switch, &plug, "sw").unwrap();
        hosts.push((host, port));
    }
    let _trunk = VlanPort::trunk(&switch, "p2", &[10, 11]).unwrap();
    let _other = VlanPort::trunk(&switch, "p4", &[10, 11]).unwrap();
    let ping = |from: usize, to: usize| {
        let address = format!("10.98.0.{to}");
        let host = &hosts[from - 1].0;
        host.run("ping", ["-c", "1", "-W", "0.3", address.as_str()]).is_ok()
    };
    assert!(ping(1, 2), "VLAN 10 passes the trunk that lists it");
    assert!(!ping(3, 4), "VLAN 20 is not on the trunk of host 4");
    assert!(!ping(1, 3), "VLANs are apart");
}

#[test]
fn one_link_carries_a_second_vlan_on_a_sub_interface() {
    if !possible() {
        return;
    }
    let left = Namespace::create(&unique("multi")).unwrap();
    let right = Namespace::create(&unique("peer")).unwrap();
    veth::pair(&left, "v0", 1500, &right, "v0", 1500).unwrap();
    veth::sub_interface(&left, "v0", "v20").unwrap();
    let _tagged = VlanPort::access(&left, "v20", 20).unwrap();
    let _peer = VlanPort::access(&right, "v0", 20).unwrap();
    left.address("v20", "10.97.0.1/24").unwrap();
    right.address("v0", "10.97.0.2/24").unwrap();
    left.run("ping", ["-c", "1", "-W", "1", "10.97.0.2"]).unwrap();
}

#[test]
fn a_port_carries_a_full_frame_of_its_mtu_with_the_tag() {
    if !possible() {
        return;
    }
    let (left, _left_port, _right, _right_port) = linked(100, 100);
    left.run("ping", ["-c", "1", "-W", "1", "-M", "do", "-s", "1472", "10.99.0.2"]).unwrap();
}

#[test]
fn tags_out_of_range_are_refused_by_name() {
    if !possible() {
        return;
    }
    let lone = Namespace::create(&unique("tags")).unwrap();
    for tags in [&[][..], &[4095][..], &[1; 9][..]] {
        let refused = VlanPort::trunk(&lone, "lo", tags).unwrap_err();
        assert_eq!(refused.code(), "bad_tags");
    }
    let absent = VlanPort::access(&lone, "none", 1).unwrap_err();
    assert_eq!(absent.code(), "command_failed", "{absent}");
}

#[test]
fn a_dropped_namespace_takes_its_processes_and_links_with_it() {
    if !possible() {
        return;
    }
    let name = unique("gone");
    let namespace = Namespace::create(&name).unwrap();
    let mut sleeper = namespace.command("sleep").arg("60").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    while registry_pids(&name).is_empty() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    drop(namespace);
    assert!(!exists(&name));
    assert!(!sleeper.wait().unwrap().success(), "killed, not ended");
}

#[test]
fn a_panic_leaves_no_namespace() {
    if !possible() {
        return;
    }
    let name = unique("panic");
    let caught = std::panic::catch_unwind(|| {
        let _namespace = Namespace::create(&name).unwrap();
        panic!("on purpose");
    });
    assert!(caught.is_err());
    assert!(!exists(&name));
}

#[test]
fn a_namespace_of_a_killed_owner_is_stale_and_one_of_a_living_owner_is_not() {
    if !possible() {
        return;
    }
    let living = Namespace::create(&unique("living")).unwrap();
    // An owner that is gone: its process id cannot be running with start time 1.
    let stale = unique("stale");
    assert!(Command::new("ip").args(["netns", "add", &stale]).status().unwrap().success());
    fs::write(format!("/run/netlab/{stale}"), "999999 1").unwrap();
    let removed = registry::remove_stale();
    assert!(removed.contains(&stale), "{removed:?}");
    assert!(!exists(&stale));
    assert!(exists(living.name()));
    let taken = Namespace::create(living.name()).unwrap_err();
    assert_eq!(taken.code(), "namespace_taken");
}

#[test]
fn a_kept_namespace_stays_until_it_is_named() {
    if !possible() {
        return;
    }
    let name = unique("kept");
    let mut namespace = Namespace::create(&name).unwrap();
    namespace.keep().unwrap();
    drop(namespace);
    assert!(!registry::remove_stale().contains(&name));
    assert!(exists(&name));
    assert_eq!(registry::remove_kept(&name), std::slice::from_ref(&name));
    assert!(!exists(&name));
}

#[test]
fn a_process_that_ends_early_is_reported_with_its_last_words() {
    if !possible() {
        return;
    }
    let folder = tempfile_folder("words");
    let mut command = Command::new("sh");
    command.args(["-c", "echo last words; exit 3"]);
    let mut process = ProcessBuilder::new("early", command).spawn(&folder).unwrap();
    let error = process.wait_for(Duration::from_secs(5), |_| false).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("last words") && said.contains('3'), "{said}");
    fs::remove_dir_all(folder).unwrap();
}

fn registry_pids(name: &str) -> String {
    let output = Command::new("ip").args(["netns", "pids", name]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tempfile_folder(label: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(unique(label))
}
