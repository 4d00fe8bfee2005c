//! Where packets go: routes, next hops that live and die, and the way back.

mod rig;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rig::craft::{ACK, CLIENT, ROUTER, SERVER, SYN, Tcp};
use rig::{Rig, Seen, Station, spec};
use tmm_config::Spec;
use tmm_config::spec::NextHopSpec;
use tmm_engine::{DropReason, Event};
use tmm_wire::{MacAddr, Protocol};

const OUTER_SELF: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const MEMBER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
/// Gateways outside.
const GATEWAYS: [(Station, Ipv4Addr); 2] = [
    (Station { mac: MacAddr([2, 0, 0, 0, 1, 0xa]), ..ROUTER }, Ipv4Addr::new(10, 1, 0, 201)),
    (Station { mac: MacAddr([2, 0, 0, 0, 1, 0xb]), ..ROUTER }, Ipv4Addr::new(10, 1, 0, 202)),
];

/// Egress from inside, so that any destination is reached by route.
fn out(routes: impl FnOnce(&mut Spec)) -> Rig {
    let mut spec = spec::vlans();
    spec::egress(&mut spec);
    routes(&mut spec);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    for (station, address) in GATEWAYS {
        rig.introduce(&station, &address.to_string());
    }
    rig
}

/// A first datagram of a member to `destination`.
fn leave(rig: &mut Rig, port: u16, destination: &str) -> Vec<Seen> {
    rig.send(&SERVER, SERVER.udp(&format!("{MEMBER}:{port}"), destination, b"out"))
}

/// Lets the gateways whose mask bit is set answer what they are asked for `millis`.
fn answer(rig: &mut Rig, millis: u64, alive: u8) {
    for _ in 0..millis / 100 {
        let asked = rig.advance(100);
        for (at, (station, address)) in GATEWAYS.iter().enumerate() {
            let is_asked = asked
                .iter()
                .any(|frame| frame.ethertype == 0x0806 && frame.packet[24..28] == address.octets());
            if is_asked && alive >> at & 1 == 1 {
                rig.send(station, station.arp_reply(*address, OUTER_SELF));
            }
        }
    }
}

/// CHK-560 (types and prefixes): the longest prefix wins; `gateway` goes to the gateway's MAC,
/// `interface` resolves the destination itself, `blackhole` drops and counts.
#[test]
fn longest_prefix_wins_and_the_three_types_do_as_named() {
    let mut rig = out(|spec| {
        spec::route(spec, "0.0.0.0/0", "10.1.0.201");
        spec::route(spec, "10.80.0.0/13", "10.1.0.202");
        spec::route_by(spec, "10.80.7.0/24", NextHopSpec::Blackhole);
        spec::route_by(spec, "10.80.7.8/32", NextHopSpec::Interface(spec::OUTSIDE.to_owned()));
    });
    assert_eq!(leave(&mut rig, 1, "203.0.113.1:9")[0].dst_mac, GATEWAYS[0].0.mac);
    assert_eq!(leave(&mut rig, 1, "10.81.2.3:9")[0].dst_mac, GATEWAYS[1].0.mac);
    assert_eq!(leave(&mut rig, 1, "10.80.7.9:9"), []);
    assert_eq!(rig.drops(DropReason::Blackhole), 1);
    let asking = leave(&mut rig, 1, "10.80.7.8:9");
    assert_eq!(asking[0].packet[24..28], [10, 80, 7, 8], "asked for on the VLAN itself");
    assert_eq!(asking[0].tag, Some(10));
    let found = rig.send(&CLIENT, CLIENT.arp_reply([10, 80, 7, 8].into(), OUTER_SELF));
    assert_eq!((found.len(), found[0].dst_mac), (1, CLIENT.mac));
}

#[test]
fn without_a_route_the_sender_is_told_and_the_packet_dropped_and_counted() {
    let mut rig = out(|_| {});
    let seen = leave(&mut rig, 1, "203.0.113.1:9");
    assert_eq!((seen.len(), seen[0].icmp(), seen[0].dst_mac), (1, (3, 0), SERVER.mac));
    assert_eq!(seen[0].src().to_string(), "10.2.0.2");
    assert_eq!(rig.drops(DropReason::NoRoute), 1);
}

/// CHK-560 (sharing): two gateways of one prefix share flows by hash; one that stops answering is
/// left out within 3 s, its flows alone move, and it is taken again when it answers.
#[test]
fn two_gateways_share_and_a_dead_one_is_left_out_within_three_seconds() {
    let mut rig = out(|spec| {
        spec::route(spec, "203.0.113.0/24", "10.1.0.201");
        spec::route(spec, "203.0.113.0/24", "10.1.0.202");
    });
    answer(&mut rig, 5000, 0b11);
    let mut chosen = BTreeMap::new();
    for port in 1000..1400 {
        let seen = leave(&mut rig, port, "203.0.113.1:9");
        chosen.insert(port, seen[0].dst_mac);
    }
    let first = chosen.values().filter(|mac| **mac == GATEWAYS[0].0.mac).count();
    assert!((150..250).contains(&first), "{first} of 400");

    // The second gateway dies right after an answer.
    answer(&mut rig, 3000, 0b01);
    let gone =
        Event::Gateway { vlan: rig.vlan(&ROUTER), address: GATEWAYS[1].1.into(), alive: false };
    assert!(rig.events.contains(&gone), "{:?}", rig.events);
    for (port, before) in &chosen {
        let seen = leave(&mut rig, *port, "203.0.113.1:9");
        assert_eq!((seen.len(), seen[0].dst_mac), (1, GATEWAYS[0].0.mac), "was {before}");
    }
    answer(&mut rig, 2000, 0b11);
    let back = (2000..2100)
        .filter(|port| leave(&mut rig, *port, "203.0.113.1:9")[0].dst_mac == GATEWAYS[1].0.mac);
    assert!(back.count() > 20, "new flows use it again");
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 0);
}

/// CHK-560 (change): changing one route moves the flows under its prefix and no others, and their
/// SNAT address stays.
#[test]
fn a_changed_route_moves_only_the_flows_under_its_prefix() {
    let mut spec = spec::vlans();
    spec::egress(&mut spec);
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    spec::route(&mut spec, "198.51.100.0/24", "10.1.0.201");
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    for (station, address) in GATEWAYS {
        rig.introduce(&station, &address.to_string());
    }
    let moving = leave(&mut rig, 1, "203.0.113.1:9");
    let staying = leave(&mut rig, 1, "198.51.100.1:9");
    assert_eq!([moving[0].dst_mac, staying[0].dst_mac], [GATEWAYS[0].0.mac; 2]);
    let mut changed = spec.clone();
    changed.routes.clear();
    spec::route(&mut changed, "203.0.113.0/24", "10.1.0.202");
    spec::route(&mut changed, "198.51.100.0/24", "10.1.0.201");
    rig.configure(&changed);
    let moved = leave(&mut rig, 1, "203.0.113.1:9");
    assert_eq!(moved[0].dst_mac, GATEWAYS[1].0.mac);
    assert_eq!((moved[0].from(), moved[0].to()), (moving[0].from(), moving[0].to()));
    assert_eq!(leave(&mut rig, 1, "198.51.100.1:9")[0].dst_mac, GATEWAYS[0].0.mac);
}

/// CHK-505: with auto-lasthop the answer goes to the MAC that the request came from, without it by
/// route, here a contrary one.
#[test]
fn answers_go_to_the_last_hop_or_by_route() {
    for auto_lasthop in [true, false] {
        let mut spec = spec::vlans();
        spec.vlans[0].auto_lasthop = auto_lasthop;
        spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:80"]);
        spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
        let mut rig = Rig::new(&spec);
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
        rig.introduce(&GATEWAYS[0].0, "10.1.0.201");
        // The client is reached by the first gateway, but its packets come from the second.
        let (from, _) = GATEWAYS[1];
        let wanted = if auto_lasthop { from.mac } else { GATEWAYS[0].0.mac };
        let syn = Tcp { flags: SYN, seq: 1, ..Tcp::default() };
        let seen = rig.send(&from, from.tcp("203.0.113.5:1000", "192.0.2.10:80", syn));
        assert_eq!(seen[0].to(), "10.2.0.11:80");
        let answer = Tcp { flags: SYN | ACK, seq: 9, ack: 2, ..Tcp::default() };
        for _ in 0..2 {
            let seen = rig.send(&SERVER, SERVER.tcp("10.2.0.11:80", "203.0.113.5:1000", answer));
            assert_eq!((seen[0].from(), seen[0].dst_mac), ("192.0.2.10:80".into(), wanted));
        }
        let echo = rig.send(&from, from.echo("203.0.113.5", "10.1.0.2", 1, b"ping"));
        assert_eq!(echo[0].dst_mac, wanted);
        let echo = rig.send(&from, from.echo("203.0.113.5", "192.0.2.10", 1, b"ping"));
        assert_eq!(echo[0].dst_mac, wanted);
    }
}

#[test]
fn with_every_gateway_dead_packets_are_dropped_and_one_that_answers_again_is_used() {
    let mut rig = out(|spec| spec::route(spec, "203.0.113.0/24", "10.1.0.201"));
    answer(&mut rig, 3000, 0);
    leave(&mut rig, 1, "203.0.113.1:9");
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 1);
    answer(&mut rig, 1500, 0b01);
    assert_eq!(leave(&mut rig, 1, "203.0.113.1:9").len(), 1);
    let alive: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Gateway { alive, .. } => Some(*alive),
            Event::Member(_) => None,
        })
        .collect();
    assert_eq!(alive, [false, true]);
}
