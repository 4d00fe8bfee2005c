//! Traffic of real programs through the shipped TMM (suite `lab`).

use std::collections::BTreeMap;

use spk_tests::{
    floor,
    lab::{Lab, LabOptions},
    peers,
    plan::{self, Family},
    samples::Sample,
    tmm::Tables,
};

/// Answers to `requests` connections, by member; each must have come from `source`.
fn spread(lab: &Lab, family: Family, requests: u32, source: &str) -> BTreeMap<String, u32> {
    let mut answers = BTreeMap::new();
    for _ in 0..requests {
        let (name, seen) = peers::http_get(lab.client(), plan::web(family), 80).unwrap();
        assert_eq!(seen, source, "{name} saw another source");
        *answers.entry(name).or_default() += 1;
    }
    answers
}

fn every_protocol_passes(lab: &mut Lab) {
    lab.start_web().unwrap();
    lab.start_echo().unwrap();
    lab.start_sctp().unwrap();
    lab.start_world().unwrap();
    for family in Family::BOTH {
        lab.await_member("demo-web", family).unwrap();
        lab.await_member("demo-amf", family).unwrap();
        let answers = spread(lab, family, 9, &plan::client(family).to_string());
        assert_eq!(answers.len(), plan::SERVERS, "{family:?}: {answers:?}");
        let said = peers::udp_ask(lab.client(), plan::echo(family), plan::ECHO_PORT, "ping me");
        assert!(said.unwrap().ends_with(" ping me"));
        let lines = ["one", "two"];
        let amf = plan::amf(family);
        let echoed = peers::sctp_echo(lab.client(), amf, plan::NGAP_PORT, &lines).unwrap();
        assert_eq!(echoed, lines);
        let (_, source) =
            peers::http_get(lab.server(1), plan::world(family), plan::WORLD_PORT).unwrap();
        assert_eq!(source, plan::external_self(0, family).to_string());
    }
    // Nothing is left open here, and what flows carried stays in the tables.
    lab.within_t_cfg("volumes are counted", |lab| {
        let Ok(tables) = lab.tables() else { return false };
        [("virtual_server_stat", "clientside"), ("pool_member_stat", "serverside")]
            .iter()
            .flat_map(|at| ["pkts_in", "bytes_in", "pkts_out", "bytes_out"].map(|what| (at, what)))
            .all(|((table, side), what)| tables.sum(table, &format!("{side}.{what}")) > 0)
    })
    .unwrap();
}

#[test]
fn tcp_udp_sctp_and_egress_pass_on_af_xdp_ports_in_both_families() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    every_protocol_passes(&mut lab);
    lab.finish().unwrap();
}

#[test]
fn tcp_udp_sctp_and_egress_pass_on_af_packet_ports_in_both_families() {
    let mut options = LabOptions::default();
    options.node.port_kind = "afPacket";
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    every_protocol_passes(&mut lab);
    lab.finish().unwrap();
}

#[test]
fn round_robin_gives_every_member_the_same_number_of_connections() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    for family in Family::BOTH {
        lab.await_member("demo-web", family).unwrap();
        let answers = spread(&lab, family, 30, &plan::client(family).to_string());
        assert!(answers.values().all(|number| (9..=11).contains(number)), "{answers:?}");
    }
    lab.finish().unwrap();
}

/// CHK-054
#[test]
fn a_hairpin_pair_serves_a_client_outside_and_a_pod_inside_at_one_name() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    let object = |name: &str, vlan: &str, snat: &str| {
        format!(
            "apiVersion: ingresstcp.k8s.f5net.com/v1
kind: F5SPKIngressTCP
metadata: {{name: {name}, namespace: demo}}
service: {{name: web, port: 80}}
spec:
  destinationAddress: 192.0.2.60
  ipv6destinationAddress: \"2001:db8:10::60\"
  destinationPort: 80
  snat: {snat}
  vlans: {{vlanList: [{vlan}]}}
"
        )
    };
    let outside = object("pair-outside", "vlan-external", "SRC_TRANS_NONE");
    lab.node.write("60-pair-outside.yaml", &outside).unwrap();
    let inside = object("pair-inside", "vlan-internal", "SRC_TRANS_AUTOMAP");
    lab.node.write("60-pair-inside.yaml", &inside).unwrap();
    let programmed = |status: &str| spk_tests::node::is_true(status, "Programmed");
    lab.node.await_status("60-pair-outside.yaml", "programmed", programmed).unwrap();
    lab.node.await_status("60-pair-inside.yaml", "programmed", programmed).unwrap();
    for (address, host) in [("192.0.2.60", "192.0.2.60"), ("2001:db8:10::60", "[2001:db8:10::60]")]
    {
        let name = format!("shop.example:80:{host}");
        let ask = |namespace: &netlab::Namespace| {
            let arguments = ["-sS", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}"];
            let named = ["--resolve", &name, "http://shop.example/"];
            namespace.run("curl", arguments.iter().chain(&named))
        };
        assert_eq!(ask(lab.client()).unwrap(), "200", "outside, {address}");
        for pod in 1..=plan::SERVERS {
            assert_eq!(ask(lab.server(pod)).unwrap(), "200", "pod {pod}, {address}");
        }
    }
    lab.finish().unwrap();
}

/// CHK-400
///
/// The session store and the DNS cache that plain SNAT must do without do not exist in this build.
#[test]
fn pods_leave_only_while_an_egress_exists_and_others_never_notice() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.start_world().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let egress = Sample::holding("F5SPKEgress", "pods-out").unwrap();
    let leaves = |lab: &Lab| {
        peers::http_get(lab.server(1), plan::world(Family::V4), plan::WORLD_PORT).is_ok()
    };
    assert!(leaves(&lab));
    let load = lab.background("wrk", &["-t1", "-c4", "-d6s", "http://192.0.2.10/"]).unwrap();
    lab.node.remove(&egress.name).unwrap();
    lab.within_t_cfg("pods are kept in", |lab| !leaves(lab)).unwrap();
    assert!(lab.tables().unwrap().drops("no_listener") > 0);
    lab.node.write(&egress.name, &egress.text()).unwrap();
    lab.within_t_cfg("pods get out", leaves).unwrap();
    lab.no_failed_request(load).unwrap();
    lab.finish().unwrap();
}

/// CHK-401
///
/// SRC_TRANS_SNATPOOL comes with step `engine`.
#[test]
fn the_source_outside_is_the_self_ip_with_automap_and_the_pod_with_none() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_world().unwrap();
    let mut egress = Sample::holding("F5SPKEgress", "pods-out").unwrap();
    let source = |lab: &Lab, pod: usize, family: Family| {
        peers::http_get(lab.server(pod), plan::world(family), plan::WORLD_PORT)
            .map(|(_, source)| source)
            .unwrap_or_default()
    };
    for family in Family::BOTH {
        let own = plan::external_self(0, family).to_string();
        for pod in 1..=plan::SERVERS {
            for _ in 0..4 {
                assert_eq!(source(&lab, pod, family), own, "stable per pod");
            }
        }
    }
    lab.within_t_cfg("each connection above took a port", |lab| {
        lab.tables().is_ok_and(|tables| tables.sum("snat_stat", "tries") >= 24)
    })
    .unwrap();
    assert_eq!(lab.tables().unwrap().sum("snat_stat", "fails"), 0);
    // Without translation the world must know the way back.
    for family in Family::BOTH {
        let inside = if family == Family::V4 { "10.20.0.0/24" } else { "2001:db8:200::/64" };
        lab.client().route(inside, &plan::external_self(0, family).to_string()).unwrap();
    }
    egress.object("F5SPKEgress", "pods-out").unwrap()["spec"]["snatType"] = "SRC_TRANS_NONE".into();
    lab.node.write(&egress.name, &egress.text()).unwrap();
    for family in Family::BOTH {
        let pod = plan::server(2, family).to_string();
        lab.within_t_cfg("the world sees the pod", |lab| source(lab, 2, family) == pod).unwrap();
    }
    lab.finish().unwrap();
}

#[test]
fn endpoints_come_and_go_under_load_without_a_failed_request() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let full = Sample::holding("EndpointSlice", "web-ipv4").unwrap();
    let url = "http://192.0.2.10/";
    let kept = lab.background("wrk", &["-t1", "-c8", "-d10s", url]).unwrap();
    let close = "Connection: close";
    let fresh = lab.background("wrk", &["-t1", "-c2", "-d10s", "-H", close, url]).unwrap();
    for member in 1..=plan::SERVERS {
        let mut fewer = full.clone();
        fewer.remove_endpoints(&Family::BOTH.map(|family| plan::server(member, family)));
        lab.node.write(&full.name, &fewer.text()).unwrap();
        lab.await_members("demo-web-v4", plan::SERVERS - 1).unwrap();
        lab.node.write(&full.name, &full.text()).unwrap();
        lab.await_members("demo-web-v4", plan::SERVERS).unwrap();
    }
    lab.no_failed_request(kept).unwrap();
    lab.no_failed_request(fresh).unwrap();
    lab.finish().unwrap();
}

#[test]
fn a_full_flow_table_refuses_new_flows_by_name_and_serves_the_old_ones() {
    let mut options = LabOptions::default();
    options.node.flows = 256;
    let Some(mut lab) = Lab::start(&options).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let old = lab.background("wrk", &["-t1", "-c4", "-d5s", "http://192.0.2.10/"]).unwrap();
    lab.within_t_cfg("load runs", |lab| {
        let flows = |t: Tables| t.number("tmm_stat", "0", "client_side_traffic.cur_conns");
        lab.tables().is_ok_and(|tables| flows(tables) >= 4)
    })
    .unwrap();
    let echo = (plan::echo(Family::V4), plan::ECHO_PORT);
    lab.client()
        .enter(|| {
            for _ in 0..2000 {
                let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(b"one flow each", echo).unwrap();
            }
        })
        .unwrap();
    lab.within_t_cfg("the table is full", |lab| {
        lab.tables().is_ok_and(|tables| tables.drops("flow_table_full") > 0)
    })
    .unwrap();
    lab.no_failed_request(old).unwrap();
    lab.finish().unwrap();
}

#[test]
fn iperf3_runs_through_the_vip_over_tcp_and_udp() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    let server = peers::iperf_server(lab.server(1), "server-1", lab.folder()).unwrap();
    lab.peers.push(server);
    for family in Family::BOTH {
        let vip = plan::iperf(family).to_string();
        let tcp = floor::iperf(lab.client(), &vip, 1, None).unwrap();
        let udp = floor::iperf(lab.client(), &vip, 1, Some(20)).unwrap();
        println!("{vip}: TCP {tcp:?}, UDP {udp:?}");
        assert!(tcp.mbps > 0.0 && udp.mbps > 0.0, "{vip}");
    }
    lab.finish().unwrap();
}

#[test]
fn a_second_replica_serves_the_same_vips_from_its_own_self_ips() {
    let Some(mut lab) = Lab::start(&LabOptions::default().replicas(2)).unwrap() else { return };
    lab.start_web().unwrap();
    lab.start_world().unwrap();
    let mut web = Sample::holding("F5SPKIngressTCP", "web").unwrap();
    web.object("F5SPKIngressTCP", "web").unwrap()["spec"]["snat"] = "SRC_TRANS_AUTOMAP".into();
    lab.node.write(&web.name, &web.text()).unwrap();
    for family in Family::BOTH {
        for index in 0..2 {
            let outer = plan::external_self(index, family).to_string();
            lab.client().route(plan::vip_subnet(family), &outer).unwrap();
            let own = plan::internal_self(index, family).to_string();
            lab.within_t_cfg(&format!("members see {own}"), |lab| {
                peers::http_get(lab.client(), plan::web(family), 80)
                    .is_ok_and(|(_, source)| source == own)
            })
            .unwrap();
            // A pod that is sent to the other replica leaves by that one's self IP.
            let inner = plan::internal_self(index, family).to_string();
            lab.server(1).route("default", &inner).unwrap();
            let (_, source) =
                peers::http_get(lab.server(1), plan::world(family), plan::WORLD_PORT).unwrap();
            assert_eq!(source, outer);
        }
    }
    lab.finish().unwrap();
}
