//! VLAN interfaces and self IPs on the wire (suite `lab`).

use netlab::{VlanPort, veth};
use spk_tests::{
    lab::{Lab, LabOptions},
    peers,
    plan::{self, Family},
    samples::Sample,
};

/// CHK-500
#[test]
fn each_replica_alone_answers_for_its_self_ip_in_its_vlan_only() {
    let Some(lab) = Lab::start(&LabOptions::default().replicas(2)).unwrap() else { return };
    let mut macs = Vec::new();
    for index in 0..2 {
        for family in Family::BOTH {
            let own = plan::external_self(index, family);
            assert!(peers::ping(lab.client(), own, 3, &[]).unwrap() >= 2, "{own}");
            macs.push(lab.neighbour(lab.client(), own).unwrap());
        }
        let reported = lab.interface_mac(index, "1.1").unwrap();
        let seen = &macs[usize::from(index) * 2..];
        assert!(seen.iter().all(|mac| *mac == reported), "replica {index}: {seen:?}");
    }
    assert_ne!(macs[0], macs[2], "each replica has its own address");
    let stamps = lab.topology.client_port.stamps().unwrap();
    assert!(stamps.inbound.frames >= 12, "answers carry the tag: {stamps:?}");
    assert_eq!(stamps.foreign.frames, 0, "no answer without the tag: {stamps:?}");

    // The same station in a VLAN that the TMM does not have.
    veth::sub_interface(lab.client(), "v0", "v101").unwrap();
    let foreign = VlanPort::access(lab.client(), "v101", 101).unwrap();
    lab.client().ip(["link", "set", "v101", "up"]).unwrap();
    lab.client().address("v101", "198.51.100.51/32").unwrap();
    let own = plan::external_self(0, Family::V4).to_string();
    lab.client().ip(["route", "add", &own, "dev", "v101", "src", "198.51.100.51"]).unwrap();
    let before = lab.tables().unwrap().drops("vlan_unknown");
    let address = plan::external_self(0, Family::V4);
    assert_eq!(peers::ping(lab.client(), address, 2, &[]).unwrap(), 0);
    let sent = foreign.stamps().unwrap().outbound.frames;
    assert!(sent > 0);
    lab.within_t_cfg("the foreign tag is counted", |lab| {
        lab.tables().is_ok_and(|tables| tables.drops("vlan_unknown") > before)
    })
    .unwrap();
    lab.finish().unwrap();
}

#[test]
fn a_client_in_the_wrong_vlan_gets_no_answer_from_a_vip() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    // The VIP is served on the external VLAN only; server 1 asks from the internal one, where an
    // egress would take the packet otherwise.
    lab.node.remove(&Sample::holding("F5SPKEgress", "pods-out").unwrap().name).unwrap();
    assert!(peers::http_get(lab.client(), plan::web(Family::V4), 80).is_ok());
    lab.within_t_cfg("the other VLAN is refused", |lab| {
        peers::http_get(lab.server(1), plan::web(Family::V4), 80).is_err()
            && lab.tables().is_ok_and(|tables| tables.drops("vlan_deny") > 0)
    })
    .unwrap();
    lab.finish().unwrap();
}

/// CHK-502
///
/// The same without a tag is held by the engine's packet tests.
#[test]
fn a_packet_above_the_vlans_mtu_is_answered_by_too_big_and_the_sender_adapts() {
    let mut options = LabOptions::default();
    options.topology.mtu = 1600;
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    lab.start_web().unwrap();
    for family in Family::BOTH {
        lab.await_member("demo-web", family).unwrap();
        let header = if family == Family::V4 { 28 } else { 48 };
        let vip = plan::web(family);
        let fits = (1500 - header).to_string();
        let fits = ["-M", "do", "-s", fits.as_str()];
        assert!(peers::ping(lab.client(), vip, 3, &fits).unwrap() >= 2, "1500 bytes to {vip}");
        let url = format!("http://{}/big", plan::url_host(vip));
        let got = lab
            .client()
            .run("curl", ["-sS", "-m", "5", "-o", "/dev/null", "-w", "%{size_download}", &url])
            .unwrap();
        assert_eq!(got, peers::BIG_BYTES.to_string(), "path MTU discovery through {vip}");
    }
    assert!(lab.tables().unwrap().drops("too_big") > 0, "segments of 1600 bytes were refused");
    lab.finish().unwrap();
}

/// CHK-504
#[test]
fn only_allowed_services_reach_a_self_ip_by_number_or_text() {
    let Some(lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    let mut vlans = Sample::holding("F5SPKVlan", "vlan-external").unwrap();
    let services = serde_json::json!([
        {"protocol": "tcp", "port": "179"}, {"protocol": "udp", "port": 3784}, {"protocol": "icmp", "port": 0},
    ]);
    vlans.object("F5SPKVlan", "vlan-external").unwrap()["spec"]["allowed_services"] = services;
    lab.node.write(&vlans.name, &vlans.text()).unwrap();
    let own = plan::external_self(0, Family::V4);
    let drops = |reason: &str| lab.tables().unwrap().drops(reason);
    let knock = |flag: &'static str, port: u16| {
        let port = port.to_string();
        let script = format!("echo x | timeout 1 ncat {flag} -w 300ms {own} {port}; true");
        lab.client().run("sh", ["-c", &script]).unwrap();
    };
    // nc that was refused by a RST would say so at once: a closed port must stay silent.
    for (flag, port, reason) in [
        ("", 179, "no_local_service"),
        ("-u", 3784, "no_local_service"),
        ("", 180, "port_lockdown"),
        ("-u", 3785, "port_lockdown"),
    ] {
        lab.within_t_cfg(&format!("port {port} is counted as {reason}"), |_| {
            let before = drops(reason);
            knock(flag, port);
            drops(reason) > before
        })
        .unwrap();
    }
    assert!(peers::ping(lab.client(), own, 3, &[]).unwrap() >= 2, "icmp is allowed");
    lab.finish().unwrap();
}
