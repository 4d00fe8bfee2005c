//! What self IPs and VIPs answer themselves, and what they refuse.

mod rig;

use rig::craft::{CLIENT, Ip, SERVER, SYN, Tcp};
use rig::{Rig, spec};
use tmm_config::GateWord;
use tmm_config::Spec;
use tmm_config::spec::{AllowedService, ServiceProtocol, VlanSet};
use tmm_engine::DropReason;
use tmm_wire::Protocol;
use tmm_wire::buffer::HeapBuf;

const PEER: &str = "10.1.0.100";
const SELF: &str = "10.1.0.2";
const PEER_6: &str = "2001:db8:1::100";
const SELF_6: &str = "2001:db8:1::2";

fn allow(services: &[(ServiceProtocol, u16)]) -> Spec {
    let mut spec = spec::vlans();
    spec.vlans[0].allowed_services =
        services.iter().map(|&(protocol, port)| AllowedService { protocol, port }).collect();
    spec
}

fn syn(port: u16) -> Vec<u8> {
    let segment = Tcp { flags: SYN, seq: 7, ..Tcp::default() };
    CLIENT.tcp(&format!("{PEER}:1000"), &format!("{SELF}:{port}"), segment)
}

fn datagram(port: u16) -> Vec<u8> {
    CLIENT.udp(&format!("{PEER}:1000"), &format!("{SELF}:{port}"), b"x")
}

fn init(port: u16) -> Vec<u8> {
    let chunk = [&[1, 0, 0, 20, 0, 0, 0, 9][..], &[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5]].concat();
    CLIENT.sctp(&format!("{PEER}:1000"), &format!("{SELF}:{port}"), 0, &chunk)
}

#[test]
fn echo_to_a_self_ip_is_answered_whether_the_gate_is_open_or_closed() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    for gate in [GateWord::LATCHED, GateWord::CLOSED] {
        rig.gate = gate;
        let seen = rig.send(&CLIENT, CLIENT.echo(PEER, SELF, 77, b"are you there?"));
        let [reply] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((reply.icmp(), reply.ttl(), reply.dst_mac), ((0, 0), 64, CLIENT.mac));
        assert_eq!((reply.src().to_string(), reply.dst().to_string()), (SELF.into(), PEER.into()));
        assert_eq!(reply.upper()[4..], [&[0, 77, 0, 1], &b"are you there?"[..]].concat());
        assert!(reply.checksums_are_right());
        let seen = rig.send(&CLIENT, CLIENT.echo(PEER_6, SELF_6, 77, b"are you there?"));
        let [reply] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((reply.icmp(), reply.ttl(), reply.tag), ((129, 0), 64, Some(10)));
        assert_eq!(
            (reply.src().to_string(), reply.dst().to_string()),
            (SELF_6.into(), PEER_6.into())
        );
        assert!(reply.checksums_are_right());
    }
    assert_eq!(rig.worker.counters().dropped(), 0);
}

#[test]
fn a_wrong_checksum_is_not_echoed() {
    let mut rig = Rig::new(&spec::vlans());
    for (from, to) in [(PEER, SELF), (PEER_6, SELF_6)] {
        let mut frame = CLIENT.echo(from, to, 1, b"data");
        *frame.last_mut().expect("bytes") ^= 1;
        rig.must_drop(&CLIENT, frame, DropReason::BadL4Checksum);
    }
}

#[test]
fn ethernet_padding_is_no_part_of_an_echo() {
    let mut rig = Rig::new(&spec::vlans());
    let mut frame = CLIENT.echo(PEER, SELF, 1, b"x");
    frame.resize(68, 0x55);
    let seen = rig.send(&CLIENT, frame);
    assert_eq!(seen[0].packet.len(), 20 + 8 + 1);
    assert!(seen[0].checksums_are_right());
}

#[test]
fn a_self_ip_without_icmp_among_its_services_does_not_echo() {
    let mut rig = Rig::new(&allow(&[]));
    rig.must_drop(&CLIENT, CLIENT.echo(PEER, SELF, 1, b""), DropReason::PortLockdown);
    let seen = rig.send(&SERVER, SERVER.echo("10.2.0.11", "10.2.0.2", 1, b""));
    assert_eq!(seen.len(), 1, "each VLAN has its own list");
}

/// CHK-504: tcp/179 open and others closed; a string port is the same number by the time it gets
/// here (the planner reads both). Neither is answered, as nothing serves the port yet.
#[test]
fn an_allowed_service_without_a_consumer_and_a_closed_one_are_told_apart_and_not_answered() {
    let mut rig = Rig::new(&allow(&[
        (ServiceProtocol::Tcp, 179),
        (ServiceProtocol::Udp, 3784),
        (ServiceProtocol::Sctp, 0),
    ]));
    rig.must_drop(&CLIENT, syn(179), DropReason::NoLocalService);
    rig.must_drop(&CLIENT, syn(180), DropReason::PortLockdown);
    rig.must_drop(&CLIENT, datagram(3784), DropReason::NoLocalService);
    rig.must_drop(&CLIENT, datagram(179), DropReason::PortLockdown);
    rig.must_drop(&CLIENT, init(1), DropReason::NoLocalService);
    rig.must_drop(&CLIENT, init(65_535), DropReason::NoLocalService);
    rig.must_drop(&CLIENT, CLIENT.echo(PEER, SELF, 1, b""), DropReason::PortLockdown);
    let gre = CLIENT.ip(Ip::default(), PEER, SELF, 47, &[0; 8]);
    rig.must_drop(&CLIENT, gre, DropReason::ProtocolUnsupported);
}

#[test]
fn while_the_gate_is_closed_an_allowed_service_is_still_told_apart() {
    let mut rig = Rig::new(&allow(&[(ServiceProtocol::Tcp, 179)]));
    rig.gate = GateWord::CLOSED;
    rig.must_drop(&CLIENT, syn(179), DropReason::NoLocalService);
    rig.must_drop(&CLIENT, syn(180), DropReason::LicenseClosed);
}

#[test]
fn a_vip_echoes_on_the_listeners_vlans_only_and_behind_an_open_gate_only() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:80"]);
    spec::listen(&mut spec, Protocol::Tcp, "[2001:db8:f::10]:80", &["[2001:db8:2::11]:80"]);
    for listener in &mut spec.listeners {
        listener.vlans = VlanSet::Only(vec![spec::OUTSIDE.to_owned()]);
    }
    let mut rig = Rig::new(&spec);
    rig.tick();
    for (peer, vip) in [(PEER, "192.0.2.10"), (PEER_6, "2001:db8:f::10")] {
        let seen = rig.send(&CLIENT, CLIENT.echo(peer, vip, 5, b"vip"));
        assert_eq!((seen.len(), seen[0].src().to_string()), (1, vip.to_owned()));
        assert!(seen[0].checksums_are_right());
    }
    let inside = SERVER.echo("10.2.0.11", "192.0.2.10", 5, b"vip");
    rig.must_drop(&SERVER, inside, DropReason::VlanDeny);
    rig.gate = GateWord::CLOSED;
    rig.must_drop(&CLIENT, CLIENT.echo(PEER, "192.0.2.10", 5, b"vip"), DropReason::LicenseClosed);
}

#[test]
fn what_nothing_here_reassembles_or_translates_yet_has_reasons_of_its_own() {
    let mut rig = Rig::new(&spec::vlans());
    let first = Ip { dont_fragment: false, fragment: Some(0x2000), ..Ip::default() };
    let later = Ip { dont_fragment: false, fragment: Some(3), ..Ip::default() };
    for ip in [first, later] {
        let frame = CLIENT.udp_with(ip, "10.1.0.100:1", "192.0.2.10:53", b"longer than eight");
        rig.must_drop(&CLIENT, frame, DropReason::FragmentUnsupported);
        let frame = CLIENT.udp_with(ip, "10.1.0.100:1", "10.1.0.2:53", b"longer than eight");
        rig.must_drop(&CLIENT, frame, DropReason::FragmentUnsupported);
    }
    let v6 = Ip { fragment: Some(1), ..Ip::default() };
    let frame = CLIENT.udp_with(v6, "[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"eight by");
    rig.must_drop(&CLIENT, frame, DropReason::FragmentUnsupported);
    let quoted = rig::craft::ip_packet(
        Ip::default(),
        "192.0.2.10".parse().expect("an address"),
        "10.1.0.100".parse().expect("an address"),
        17,
        &[0, 53, 0, 1, 0, 8, 0, 0],
    );
    for dst in ["192.0.2.10", SELF] {
        let error = CLIENT.icmp(PEER, dst, 3, 3, vec![0; 4], &quoted.1);
        rig.must_drop(&CLIENT, error, DropReason::IcmpErrorUnsupported);
        let stamp = CLIENT.icmp(PEER, dst, 13, 0, vec![0; 4], &[0; 12]);
        rig.must_drop(&CLIENT, stamp, DropReason::IcmpUnsupported);
    }
}

#[test]
fn an_expired_ttl_is_answered_by_time_exceeded_from_the_self_ip_of_the_vlan() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:53"]);
    let mut rig = Rig::new(&spec);
    let low = Ip { ttl: 1, ..Ip::default() };
    let seen =
        rig.send(&CLIENT, CLIENT.udp_with(low, "10.1.0.100:1", "192.0.2.10:53", b"traceroute"));
    assert_eq!((seen.len(), seen[0].icmp()), (1, (11, 0)));
    assert_eq!(seen[0].src().to_string(), SELF);
    assert!(seen[0].checksums_are_right());
    let frame = CLIENT.udp_with(low, "[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"traceroute");
    let seen = rig.send(&CLIENT, frame);
    assert_eq!((seen.len(), seen[0].icmp()), (1, (3, 0)));
    assert_eq!(seen[0].src().to_string(), SELF_6);
    assert_eq!(rig.drops(DropReason::TtlExpired), 2);
}

#[test]
fn icmp_errors_are_rate_limited_and_flow_again_later() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    let low = Ip { ttl: 1, ..Ip::default() };
    let probe =
        |port: u16| CLIENT.udp_with(low, &format!("10.1.0.100:{port}"), "198.51.100.1:53", b"x");
    let burst: Vec<_> = (0..1500).map(|n| probe(1000 + n)).collect();
    let mut answers = 0;
    for frames in burst.chunks(50) {
        answers += rig.burst(0, frames.to_vec()).len();
    }
    assert_eq!(answers, 100, "the burst of the budget");
    assert_eq!(rig.worker.counters().icmp_limited, 1400);
    assert_eq!(rig.drops(DropReason::TtlExpired), 1500);
    rig.advance(1000);
    let seen = rig.burst(0, vec![probe(1), probe(2)]);
    assert_eq!(seen.len(), 2, "and again later");
}

#[test]
fn the_largest_echo_is_answered_and_a_larger_one_dropped() {
    let mut spec = spec::vlans();
    spec.vlans[0].mtu = 9000;
    let mut rig = Rig::new(&spec);
    let frame = CLIENT.echo(PEER, SELF, 3, &vec![9; 9000 - 28]);
    let seen = rig.burst_of(0, vec![HeapBuf::new(&frame)]);
    assert_eq!(seen[0].packet.len(), 9000);
    assert!(seen[0].checksums_are_right());
    let frame = CLIENT.echo(PEER, SELF, 3, &vec![9; 9001 - 28]);
    rig.must_drop(&CLIENT, frame, DropReason::TooBig);
}

#[test]
fn what_says_to_come_from_a_self_ip_of_ours_is_dropped() {
    let mut rig = Rig::new(&spec::vlans());
    for (from, to) in [(SELF, SELF), ("10.2.0.2", SELF), (SELF_6, SELF_6), ("::", SELF_6)] {
        rig.must_drop(&CLIENT, CLIENT.echo(from, to, 1, b"land"), DropReason::BadAddress);
    }
}
