//! Ways that change under flows: routes to other VLANs, routes that go, gateways of IPv6, replies by
//! a VLAN that nobody expects them on, last hops that move.

mod rig;

use std::collections::BTreeMap;
use std::net::IpAddr;

use rig::craft::{ACK, CLIENT, ROUTER, SERVER, SYN, Tcp};
use rig::{Rig, Seen, Station, spec};
use tmm_config::Spec;
use tmm_config::spec::{Snat, VlanSet};
use tmm_engine::DropReason;
use tmm_wire::{MacAddr, Protocol};

const THIRD: &str = "vlan-third";
/// A router on the outside VLAN, one on the third.
const NEAR: Station = Station { mac: MacAddr([2, 0, 0, 0, 1, 0xa]), ..ROUTER };
const FAR: Station = Station { tag: Some(30), mac: MacAddr([2, 0, 0, 0, 3, 0xa]), ..ROUTER };

/// Both VLANs, a third one beside the outside one, and an egress.
fn three_vlans() -> Spec {
    let mut spec = spec::vlans();
    spec.vlans.push(spec::vlan(THIRD, 30, "1.1", 3));
    spec::egress(&mut spec);
    spec
}

fn ready(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    for member in ["10.2.0.11", "2001:db8:2::11"] {
        rig.introduce(&SERVER, member);
    }
    for (station, address) in [
        (NEAR, "10.1.0.201"),
        (NEAR, "2001:db8:1::201"),
        (FAR, "10.3.0.201"),
        (FAR, "2001:db8:3::201"),
    ] {
        rig.introduce(&station, address);
    }
    rig
}

fn one(seen: Vec<Seen>) -> Seen {
    let mut ip: Vec<_> = seen.into_iter().filter(Seen::is_ip).collect();
    assert_eq!(ip.len(), 1, "{ip:?}");
    ip.remove(0)
}

/// Lets the routers that `alive` names answer what they are asked for `millis`.
fn answer(rig: &mut Rig, millis: u64, alive: &[(Station, &str)]) {
    for _ in 0..millis / 100 {
        for seen in rig.advance(100) {
            let Some((target, asker)) = seen.asks_for() else { continue };
            let is_it = |one: &&(Station, &str)| one.1.parse() == Ok(target);
            let Some((station, _)) = alive.iter().find(is_it) else { continue };
            match (target, asker) {
                (IpAddr::V4(target), IpAddr::V4(asker)) => {
                    rig.send(station, station.arp_reply(target, asker));
                }
                (IpAddr::V6(target), IpAddr::V6(asker)) => {
                    rig.send(station, station.advertise(target, asker));
                }
                _ => panic!("{target} asked by {asker}"),
            }
        }
    }
}

/// CHK-560 (change): a route that moves to another VLAN takes its flows along and leaves them their
/// address; replies to that are taken from either VLAN.
#[test]
fn translated_flow_keeps_its_address_when_its_route_moves_to_another_vlan() {
    for (pod, out, prefix, near, far) in [
        ("10.2.0.11:1", "203.0.113.1:9", "203.0.113.0/24", "10.1.0.201", "10.3.0.201"),
        (
            "[2001:db8:2::11]:1",
            "[2001:db8:99::1]:9",
            "2001:db8:99::/48",
            "2001:db8:1::201",
            "2001:db8:3::201",
        ),
    ] {
        let mut spec = three_vlans();
        spec::route(&mut spec, prefix, near);
        let mut rig = ready(&spec);
        let before = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
        assert_eq!((before.tag, before.dst_mac), (Some(10), NEAR.mac));
        spec.routes.clear();
        spec::route(&mut spec, prefix, far);
        rig.configure(&spec);
        for _ in 0..2 {
            let after = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
            assert_eq!((after.tag, after.dst_mac), (Some(30), FAR.mac));
            assert_eq!(after.from(), before.from());
            for router in [NEAR, FAR] {
                let back = one(rig.send(&router, router.udp(out, &before.from(), b"a")));
                assert_eq!((back.from().as_str(), back.to().as_str()), (out, pod));
            }
        }
        assert_eq!(rig.worker.flows().len(), 1);
        assert_eq!(rig.drops(DropReason::PortLockdown), 0);
    }
}

/// The same when a gateway dies whose sibling is on another VLAN.
#[test]
fn translated_flow_survives_a_gateway_whose_sibling_is_on_another_vlan() {
    let mut spec = three_vlans();
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    spec::route(&mut spec, "203.0.113.0/24", "10.3.0.201");
    let mut rig = ready(&spec);
    let all = [(NEAR, "10.1.0.201"), (FAR, "10.3.0.201")];
    answer(&mut rig, 3000, &all);
    let out = "203.0.113.1:9";
    let flows: Vec<_> = (1000..1040)
        .map(|port| {
            let pod = format!("10.2.0.11:{port}");
            let seen = one(rig.send(&SERVER, SERVER.udp(&pod, out, b"q")));
            (pod, seen.from(), seen.tag)
        })
        .collect();
    assert!((5..35).contains(&flows.iter().filter(|flow| flow.2 == Some(10)).count()));
    answer(&mut rig, 3000, &all[1..]);
    for (pod, source, _) in &flows {
        let seen = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
        assert_eq!((seen.tag, &seen.from()), (Some(30), source));
        for router in [NEAR, FAR] {
            assert_eq!(&one(rig.send(&router, router.udp(out, source, b"a"))).to(), pod);
        }
    }
}

/// An own address that moves to another VLAN takes its flows along.
#[test]
fn translated_flow_follows_its_address_to_another_vlan() {
    let mut spec = three_vlans();
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    let mut rig = ready(&spec);
    let (pod, out) = ("10.2.0.11:1", "203.0.113.1:9");
    let source = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q"))).from();
    let (outside, third) = (spec.vlans[0].self_v4.clone(), spec.vlans[2].self_v4.clone());
    spec.vlans[0].self_v4 = third;
    spec.vlans[2].self_v4 = outside;
    rig.configure(&spec);
    rig.introduce(&FAR, "10.1.0.201");
    let after = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
    assert_eq!((after.tag, after.from()), (Some(30), source.clone()));
    assert_eq!(one(rig.send(&FAR, FAR.udp(out, &source, b"a"))).to(), pod);
}

/// CHK-560 (delete): flows under a prefix whose last route went are without one, and go on when it
/// is there again.
#[test]
fn flows_of_a_deleted_route_are_told_so_until_there_is_one_again() {
    let mut spec = three_vlans();
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    spec::route(&mut spec, "198.51.100.0/24", "10.1.0.201");
    let mut rig = ready(&spec);
    let (pod, out, other) = ("10.2.0.11:1", "203.0.113.1:9", "198.51.100.1:9");
    let source = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q"))).from();
    one(rig.send(&SERVER, SERVER.udp(pod, other, b"q")));
    let with = spec.clone();
    spec.routes.retain(|route| route.prefix.to_string() != "203.0.113.0/24");
    rig.configure(&spec);
    for dropped in 1..4 {
        let told = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
        assert_eq!((told.icmp(), told.dst_mac), ((3, 0), SERVER.mac));
        assert_eq!(rig.drops(DropReason::NoRoute), dropped);
        assert_eq!(one(rig.send(&SERVER, SERVER.udp(pod, other, b"q"))).dst_mac, NEAR.mac);
    }
    rig.configure(&with);
    let again = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
    assert_eq!((again.from(), again.dst_mac), (source, NEAR.mac));
}

/// CHK-560 (sharing), IPv6: two gateways share flows; one that stops answering is left out within
/// 3 s.
#[test]
fn two_ipv6_gateways_share_and_a_dead_one_is_left_out_within_three_seconds() {
    let mut spec = three_vlans();
    let other = Station { mac: MacAddr([2, 0, 0, 0, 1, 0xb]), ..ROUTER };
    let all = [(NEAR, "2001:db8:1::201"), (other, "2001:db8:1::202")];
    for (_, gateway) in all {
        spec::route(&mut spec, "2001:db8:99::/48", gateway);
    }
    let mut rig = ready(&spec);
    rig.introduce(&other, "2001:db8:1::202");
    answer(&mut rig, 3000, &all);
    let leave = |rig: &mut Rig, port: u16| {
        let pod = format!("[2001:db8:2::11]:{port}");
        one(rig.send(&SERVER, SERVER.udp(&pod, "[2001:db8:99::1]:9", b"q"))).dst_mac
    };
    let chosen: BTreeMap<u16, MacAddr> =
        (1000..1200).map(|port| (port, leave(&mut rig, port))).collect();
    let first = chosen.values().filter(|mac| **mac == NEAR.mac).count();
    assert!((60..140).contains(&first), "{first} of 200");
    answer(&mut rig, 3000, &all[..1]);
    for port in chosen.keys() {
        assert_eq!(leave(&mut rig, *port), NEAR.mac);
    }
}

/// Two flows never share a key: one whose replies would now be taken for another's ends.
#[test]
fn flow_whose_replies_would_be_anothers_after_a_change_of_route_ends() {
    let mut spec = three_vlans();
    spec.egresses[0].snat = Snat::None;
    spec.egresses[0].vlans = VlanSet::All;
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    let mut rig = ready(&spec);
    let (pod, out) = ("10.2.0.11:1", "203.0.113.1:9");
    one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
    // The same ends the other way round, by the VLAN that the route will lead to.
    one(rig.send(&FAR, FAR.udp(out, pod, b"q")));
    assert_eq!(rig.worker.flows().len(), 2);
    spec.routes.clear();
    spec::route(&mut spec, "203.0.113.0/24", "10.3.0.201");
    rig.configure(&spec);
    rig.must_drop(&SERVER, SERVER.udp(pod, out, b"q"), DropReason::ServiceDown);
    assert_eq!(rig.worker.flows().len(), 1);
    let again = one(rig.send(&SERVER, SERVER.udp(pod, out, b"q")));
    assert_eq!(again.dst_mac, FAR.mac);
    let back = one(rig.send(&FAR, FAR.udp(out, &again.from(), b"a")));
    assert_eq!(back.to(), pod);
}

/// Flows without translation are bound to the VLAN that their packets leave by: a reply by another
/// one is dropped, and its sender hears nothing in the client's name.
#[test]
fn reply_by_another_vlan_is_dropped_without_an_answer() {
    let mut spec = three_vlans();
    spec.egresses[0].vlans = VlanSet::All;
    let (client, vip, member) = ("10.1.0.100:1000", "192.0.2.10:80", "10.2.0.11:80");
    spec::listen(&mut spec, Protocol::Tcp, vip, &[member]);
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:53"]);
    let mut rig = ready(&spec);
    let seg = |flags, seq, ack| Tcp { flags, seq, ack, payload: b"" };
    one(rig.send(&CLIENT, CLIENT.tcp(client, vip, seg(SYN, 1000, 0))));
    one(rig.send(&CLIENT, CLIENT.udp(client, "192.0.2.10:53", b"q")));
    let third = Station { mac: SERVER.mac, ..FAR };
    for frame in [
        third.tcp(member, client, seg(SYN | ACK, 5000, 1001)),
        third.udp("10.2.0.11:53", client, b"a"),
    ] {
        rig.must_drop(&third, frame, DropReason::ReplyVlan);
    }
    assert_eq!(rig.worker.flows().len(), 2, "neither opens one of its own");
    let back = rig.send(&SERVER, SERVER.tcp(member, client, seg(SYN | ACK, 5000, 1001)));
    assert_eq!(one(back).from(), vip);
    // What the member starts by that VLAN is its own affair.
    one(rig.send(&third, third.udp("10.2.0.11:53", "10.1.0.201:9", b"q")));
}

/// CHK-505 (a router takes over): answers go to the MAC that requests come from now, at once, also
/// on the hit path; answers' own senders change nothing.
#[test]
fn answers_go_to_the_router_that_requests_come_from_now() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:53"]);
    spec::listen(&mut spec, Protocol::Udp, "[2001:db8:f::10]:53", &["[2001:db8:2::11]:53"]);
    for (client, vip, member) in [
        ("10.1.0.100:1000", "192.0.2.10:53", "10.2.0.11:53"),
        ("[2001:db8:1::100]:1000", "[2001:db8:f::10]:53", "[2001:db8:2::11]:53"),
    ] {
        let mut rig = Rig::new(&spec);
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
        rig.introduce(&SERVER, "2001:db8:2::11");
        let other_server = Station { mac: MacAddr([2, 0, 0, 0, 2, 0x99]), ..SERVER };
        for router in [CLIENT, CLIENT, ROUTER, ROUTER, CLIENT] {
            let seen = one(rig.send(&router, router.udp(client, vip, b"q")));
            assert_eq!((seen.to().as_str(), seen.dst_mac), (member, SERVER.mac));
            for server in [SERVER, other_server] {
                let back = one(rig.send(&server, server.udp(member, client, b"a")));
                assert_eq!((back.to().as_str(), back.dst_mac), (client, router.mac));
            }
        }
        let adjacencies = rig.worker.net().adjacencies();
        let held: u32 = adjacencies.iter().map(|(id, _)| adjacencies.references(id)).sum();
        assert_eq!(held, 2, "one way in each direction");
    }
}

/// Without auto-lasthop a new sender changes nothing: answers go by route (CHK-505).
#[test]
fn answers_by_route_do_not_follow_the_sender() {
    let mut spec = spec::vlans();
    spec.vlans[0].auto_lasthop = false;
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:53"]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig.introduce(&CLIENT, "10.1.0.100");
    for router in [ROUTER, CLIENT, ROUTER] {
        one(rig.send(&router, router.udp("10.1.0.100:1000", "192.0.2.10:53", b"q")));
        let back = one(rig.send(&SERVER, SERVER.udp("10.2.0.11:53", "10.1.0.100:1000", b"a")));
        assert_eq!(back.dst_mac, CLIENT.mac);
    }
}
