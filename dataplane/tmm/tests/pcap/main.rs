//! One capture in and one out per port and feature: engine and capsule together, without a process.
//!
//! Each test writes what stations send into a capture file per port, lets a worker take the frames
//! through DPDK's pcap ports in the order of the test, and reads the files that it wrote with
//! `etherparse`, an independent parser. What comes out is compared field by field, checksums
//! included, with what went in and the changes that the feature makes. A test is a process of its
//! own under nextest, as the environment starts once a process.
#![allow(dead_code, reason = "the crafting is shared with the engine's tests")]

mod bench;
#[path = "../../../engine/tests/rig/craft.rs"]
mod craft;
mod reading;
#[path = "../../../engine/tests/rig/spec.rs"]
mod spec;

use std::net::{Ipv4Addr, Ipv6Addr};

use bench::exchange;
use craft::{ACK, CLIENT, Ip, SERVER, SYN, Tcp};
use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type};
use reading::{Station, read};
use tmm_config::Spec;
use tmm_config::spec::NextHopSpec;
use tmm_wire::{MacAddr, Protocol};

/// MAC of our port `1.(n + 1)`.
pub const fn our_mac(port: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, port + 1])
}

/// Where a frame to the client goes.
const TO_CLIENT: Station = Station { from: our_mac(0), to: CLIENT.mac, tag: 10 };
/// Where a frame to the member goes.
const TO_SERVER: Station = Station { from: our_mac(1), to: SERVER.mac, tag: 20 };

/// The member makes itself known: every feature's first frame from inside.
fn hello() -> (u8, Vec<u8>) {
    (1, SERVER.arp_request(Ipv4Addr::new(10, 2, 0, 11), Ipv4Addr::new(10, 2, 0, 2)))
}

fn hello_v6() -> (u8, Vec<u8>) {
    let member = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11);
    (1, SERVER.solicit(member, Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2)))
}

fn listening(protocol: Protocol, vip: &str, member: &str) -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, protocol, vip, &[member]);
    spec
}

#[test]
fn tcp_vip_translates_the_handshake_and_data_both_ways() {
    let (client, vip, member) = ("10.1.0.100:40000", "192.0.2.10:80", "10.2.0.11:8080");
    let segment = |flags, seq, ack, payload| Tcp { flags, seq, ack, payload };
    let from_client = [
        CLIENT.tcp(client, vip, segment(SYN, 1000, 0, b"")),
        CLIENT.tcp(client, vip, segment(ACK, 1001, 5001, b"")),
        CLIENT.tcp(client, vip, segment(ACK, 1001, 5001, b"GET / HTTP/1.1\r\n\r\n")),
    ];
    let from_member = [
        SERVER.tcp(member, client, segment(SYN | ACK, 5000, 1001, b"")),
        SERVER.tcp(member, client, segment(ACK, 5001, 1019, b"HTTP/1.1 204 No Content\r\n\r\n")),
    ];
    let out = exchange(
        "tcp",
        &listening(Protocol::Tcp, vip, member),
        &[
            hello(),
            (0, from_client[0].clone()),
            (1, from_member[0].clone()),
            (0, from_client[1].clone()),
            (0, from_client[2].clone()),
            (1, from_member[1].clone()),
        ],
    );
    let to_member = from_client.map(|frame| read(&frame).forwarded(TO_SERVER, client, member));
    let to_client = from_member.map(|frame| read(&frame).forwarded(TO_CLIENT, vip, client));
    assert_eq!(out.without_arp(0), to_client);
    assert_eq!(out.without_arp(1), to_member);
}

#[test]
fn udp_vip_translates_request_and_answer() {
    let (client, vip, member) = ("10.1.0.100:40000", "192.0.2.10:53", "10.2.0.11:5353");
    let asked = CLIENT.udp(client, vip, b"query");
    let answered = SERVER.udp(member, client, b"answer");
    let steps = [hello(), (0, asked.clone()), (1, answered.clone()), (0, asked.clone())];
    let out = exchange("udp", &listening(Protocol::Udp, vip, member), &steps);
    assert_eq!(out.without_arp(0), [read(&answered).forwarded(TO_CLIENT, vip, client)]);
    let to_member = read(&asked).forwarded(TO_SERVER, client, member);
    assert_eq!(out.without_arp(1), [to_member.clone(), to_member], "closer look and hit path");
}

#[test]
fn sctp_vip_translates_an_association_with_a_right_crc() {
    let (client, vip, member) = ("10.1.0.100:38412", "192.0.2.50:38412", "10.2.0.11:38413");
    let init = |kind: u8, tag: u32| {
        let tail = [0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
        [&[kind, 0, 0, 20][..], &tag.to_be_bytes(), &tail].concat()
    };
    let from_client = [
        CLIENT.sctp(client, vip, 0, &init(1, 100)),
        CLIENT.sctp(client, vip, 200, &[10, 0, 0, 8, 1, 2, 3, 4]),
    ];
    let from_member = [
        SERVER.sctp(member, client, 100, &init(2, 200)),
        SERVER.sctp(member, client, 100, &[11, 0, 0, 4]),
    ];
    let out = exchange(
        "sctp",
        &listening(Protocol::Sctp, vip, member),
        &[
            hello(),
            (0, from_client[0].clone()),
            (1, from_member[0].clone()),
            (0, from_client[1].clone()),
            (1, from_member[1].clone()),
        ],
    );
    let to_member = from_client.map(|frame| read(&frame).forwarded(TO_SERVER, client, member));
    let to_client = from_member.map(|frame| read(&frame).forwarded(TO_CLIENT, vip, client));
    assert_eq!(out.without_arp(0), to_client);
    assert_eq!(out.without_arp(1), to_member);
}

#[test]
fn egress_leaves_with_the_self_ip_and_its_answer_comes_back() {
    let (pod, far, own) = ("10.2.0.11:7000", "203.0.113.9:443", "10.1.0.2:7000");
    let mut spec = spec::vlans();
    spec::egress(&mut spec);
    let gateway = "10.1.0.100".parse().expect("an address");
    spec::route_by(&mut spec, "203.0.113.0/24", NextHopSpec::Gateway(gateway));
    let known = CLIENT.arp_request(Ipv4Addr::new(10, 1, 0, 100), Ipv4Addr::new(10, 1, 0, 2));
    let asked = SERVER.udp(pod, far, b"out");
    let answered = CLIENT.udp(far, own, b"back");
    let steps = [hello(), (0, known), (1, asked.clone()), (0, answered.clone())];
    let out = exchange("egress", &spec, &steps);
    assert_eq!(out.without_arp(0), [read(&asked).forwarded(TO_CLIENT, own, far)]);
    assert_eq!(out.without_arp(1), [read(&answered).forwarded(TO_SERVER, far, pod)]);
}

#[test]
fn ipv6_vip_translates_request_and_answer() {
    let (client, vip, member) =
        ("[2001:db8:1::100]:40000", "[2001:db8:f::10]:53", "[2001:db8:2::11]:5353");
    let asked = CLIENT.udp(client, vip, b"query");
    let answered = SERVER.udp(member, client, b"answer");
    let steps = [hello_v6(), (0, asked.clone()), (1, answered.clone()), (0, asked.clone())];
    let out = exchange("ipv6", &listening(Protocol::Udp, vip, member), &steps);
    assert_eq!(out.all(0), [read(&answered).forwarded(TO_CLIENT, vip, client)]);
    let to_member = read(&asked).forwarded(TO_SERVER, client, member);
    assert_eq!(out.all(1)[1..], [to_member.clone(), to_member]);
}

#[test]
fn arp_and_nd_are_answered_with_our_mac_and_ask_for_unknown_members() {
    let vip = "192.0.2.10:53";
    let request = CLIENT.udp("10.1.0.100:40000", vip, b"query");
    let (peer, own) = (Ipv4Addr::new(10, 1, 0, 100), Ipv4Addr::new(10, 1, 0, 2));
    let (member, inner) = (Ipv4Addr::new(10, 2, 0, 11), Ipv4Addr::new(10, 2, 0, 2));
    let steps = [
        (0, CLIENT.arp_request(peer, own)),
        (0, request.clone()),
        (1, SERVER.arp_reply(member, inner)),
        hello_v6(),
    ];
    let out = exchange("arp-nd", &listening(Protocol::Udp, vip, "10.2.0.11:5353"), &steps);
    let outside = out.all(0);
    let [answer] = &outside[..] else { panic!("{outside:?}") };
    assert_eq!(answer.station(), TO_CLIENT);
    assert_eq!(answer.arp(), (2, our_mac(0), own, CLIENT.mac, peer));

    let inside = out.all(1);
    let [asking, released, advertisement] = &inside[..] else { panic!("{inside:?}") };
    assert_eq!(asking.station(), Station { to: MacAddr::BROADCAST, ..TO_SERVER });
    assert_eq!(asking.arp(), (1, our_mac(1), inner, MacAddr::default(), member));
    let expected = read(&request).forwarded(TO_SERVER, "10.1.0.100:40000", "10.2.0.11:5353");
    assert_eq!(*released, expected);
    assert_eq!(advertisement.station(), TO_SERVER);
    let (target, mac) = advertisement.advertised();
    assert_eq!((target, mac), (Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2), our_mac(1)));
    assert_eq!(advertisement.ends(), ("2001:db8:2::2".into(), "2001:db8:2::11".into(), 255));
    assert!(advertisement.checksums_are_right());
}

#[test]
fn icmp_echo_of_a_self_ip_and_of_a_vip_comes_back_with_its_payload() {
    let steps = [
        (0, CLIENT.echo("10.1.0.100", "10.1.0.2", 7, b"to the self IP")),
        (0, CLIENT.echo("10.1.0.100", "192.0.2.10", 8, b"to the VIP")),
        (0, CLIENT.echo("2001:db8:1::100", "2001:db8:1::2", 9, b"over IPv6")),
    ];
    let spec = listening(Protocol::Udp, "192.0.2.10:53", "10.2.0.11:5353");
    let out = exchange("echo", &spec, &steps);
    let echo = |id| IcmpEchoHeader { id, seq: 1 };
    let replies = out.all(0);
    for (reply, (from, to, id, payload)) in replies.iter().zip([
        ("10.1.0.2", "10.1.0.100", 7, &b"to the self IP"[..]),
        ("192.0.2.10", "10.1.0.100", 8, b"to the VIP"),
        ("2001:db8:1::2", "2001:db8:1::100", 9, b"over IPv6"),
    ]) {
        assert_eq!(reply.station(), TO_CLIENT);
        assert_eq!(reply.ends(), (from.into(), to.into(), 64));
        match reply.icmp() {
            (Some(kind), None) => assert_eq!(kind, Icmpv4Type::EchoReply(echo(id))),
            (None, Some(kind)) => assert_eq!(kind, Icmpv6Type::EchoReply(echo(id))),
            other => panic!("{other:?}"),
        }
        assert_eq!(reply.payload(), payload);
        assert!(reply.checksums_are_right());
    }
    assert_eq!((replies.len(), out.all(1).len()), (3, 0));
}

#[test]
fn too_big_is_told_to_the_sender_with_the_mtu_and_the_packet_it_sent() {
    let (client, vip) = ("10.1.0.100:40000", "192.0.2.10:53");
    let (client_6, vip_6) = ("[2001:db8:1::100]:40000", "[2001:db8:f::10]:53");
    let mut spec = listening(Protocol::Udp, vip, "10.2.0.11:5353");
    spec::listen(&mut spec, Protocol::Udp, vip_6, &["[2001:db8:2::11]:5353"]);
    spec.vlans[0].mtu = 9000;
    let large = CLIENT.udp_with(Ip::default(), client, vip, &[7; 1500 - 27]);
    let large_6 = CLIENT.udp_with(Ip::default(), client_6, vip_6, &[7; 1500 - 47]);
    let steps = [hello(), hello_v6(), (0, large.clone()), (0, large_6.clone())];
    let out = exchange("too-big", &spec, &steps);
    let told = out.all(0);
    let [told, told_6] = &told[..] else { panic!("{told:?}") };
    for (told, own, peer) in
        [(told, "10.1.0.2", "10.1.0.100"), (told_6, "2001:db8:1::2", "2001:db8:1::100")]
    {
        assert_eq!(told.station(), TO_CLIENT);
        assert_eq!(told.ends(), (own.into(), peer.into(), 64));
        assert!(told.checksums_are_right());
    }
    let cut = etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1500 };
    assert_eq!(told.icmp(), (Some(Icmpv4Type::DestinationUnreachable(cut)), None));
    assert_eq!(told_6.icmp(), (None, Some(Icmpv6Type::PacketTooBig { mtu: 1500 })));
    assert_eq!(told.payload(), &large[18..18 + 576 - 28]);
    assert_eq!(told_6.payload(), &large_6[18..18 + 1280 - 48]);
    assert_eq!(out.without_arp(1).len(), 1, "the advertisement alone");
}
