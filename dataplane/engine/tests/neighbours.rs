//! ARP and ND both ways, hold queues, and who we are on the wire.

mod rig;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rig::craft::{CLIENT, ROUTER, SERVER};
use rig::{Rig, Seen, our_mac, spec};
use tmm_engine::DropReason;
use tmm_wire::{MacAddr, Protocol};

const SELF_4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const OTHER_REPLICA_4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);
const PEER_4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const VIP_4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SELF_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
const PEER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100);
const MEMBER_4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
const INNER_SELF_4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

/// A UDP listener with one member that nobody has heard of yet.
fn with_listener() -> Rig {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec::listen(&mut spec, Protocol::Udp, "[2001:db8:f::10]:53", &["[2001:db8:2::11]:5353"]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig
}

fn datagram(port: u16) -> Vec<u8> {
    CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query")
}

/// The (sender, target) of ARP requests.
fn asked(seen: &[Seen]) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let four = |bytes: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(bytes).expect("four bytes"));
    seen.iter()
        .filter(|frame| frame.ethertype == 0x0806 && frame.packet[6..8] == [0, 1])
        .map(|frame| (four(&frame.packet[14..18]), four(&frame.packet[24..28])))
        .collect()
}

#[test]
fn arp_is_answered_for_this_replicas_self_ip_alone_with_the_vlans_tag() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    let seen = rig.send(&CLIENT, CLIENT.arp_request(PEER_4, SELF_4));
    let [answer] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((answer.port, answer.tag, answer.ethertype), (0, Some(10), 0x0806));
    assert_eq!((answer.dst_mac, answer.src_mac), (CLIENT.mac, our_mac(0)));
    assert_eq!(answer.packet[6..8], [0, 2]);
    assert_eq!(answer.packet[8..14], our_mac(0).0);
    assert_eq!(answer.packet[14..18], SELF_4.octets());
    assert_eq!(answer.packet[18..28], [&CLIENT.mac.0[..], &PEER_4.octets()].concat());
    assert_eq!(rig.send(&CLIENT, CLIENT.arp_request(PEER_4, OTHER_REPLICA_4)), []);
    assert_eq!(rig.worker.counters().consumed, 2);
}

#[test]
fn replica_one_answers_for_the_second_address_of_each_list() {
    let mut rig = Rig::new(&tmm_config::Spec { replica: 1, ..spec::vlans() });
    rig.tick();
    assert_eq!(rig.send(&CLIENT, CLIENT.arp_request(PEER_4, SELF_4)), []);
    let seen = rig.send(&CLIENT, CLIENT.arp_request(PEER_4, OTHER_REPLICA_4));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].packet[14..18], OTHER_REPLICA_4.octets());
}

#[test]
fn an_arp_probe_for_our_address_is_answered_and_teaches_nothing() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    let seen = rig.send(&CLIENT, CLIENT.arp_request(Ipv4Addr::UNSPECIFIED, SELF_4));
    assert_eq!(seen.len(), 1);
    assert_eq!(rig.worker.net().adjacencies().iter().count(), 0);
}

#[test]
fn a_vip_is_answered_for_by_the_replica_that_owns_it_and_no_other() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec.ready_replicas = vec![0, 1];
    let answers = [0, 1].map(|replica| {
        let mut rig = Rig::new(&tmm_config::Spec { replica, ..spec.clone() });
        rig.tick();
        rig.send(&CLIENT, CLIENT.arp_request(PEER_4, VIP_4)).len()
    });
    assert_eq!(answers.iter().sum::<usize>(), 1, "{answers:?}");
}

#[test]
fn neighbour_solicitations_are_answered_by_unicast_and_probes_to_all() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    let seen = rig.send(&CLIENT, CLIENT.solicit(PEER_6, SELF_6));
    let [answer] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((answer.port, answer.tag, answer.dst_mac), (0, Some(10), CLIENT.mac));
    assert_eq!((answer.icmp(), answer.ttl()), ((136, 0), 255));
    assert_eq!((answer.src(), answer.dst()), (IpAddr::V6(SELF_6), IpAddr::V6(PEER_6)));
    // Router, solicited, override; the target and its MAC.
    assert_eq!(answer.upper()[4], 0xe0);
    assert_eq!(answer.upper()[8..24], SELF_6.octets());
    assert_eq!(answer.upper()[24..32], [&[2, 1][..], &our_mac(0).0].concat());
    assert!(answer.checksums_are_right());

    let mut probe = CLIENT.solicit(Ipv6Addr::UNSPECIFIED, SELF_6);
    probe.truncate(18 + 40 + 24);
    probe[18 + 5] = 24;
    let message = probe.split_off(18 + 40);
    let sum = {
        let mut zeroed = message.clone();
        zeroed[2..4].fill(0);
        let [.., a, b, c] = SELF_6.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
        rig::craft::pseudo_checksum(Ipv6Addr::UNSPECIFIED.into(), group.into(), 58, &zeroed)
    };
    probe.extend([message[0], message[1]]);
    probe.extend(sum.to_be_bytes());
    probe.extend(&message[4..]);
    let seen = rig.send(&CLIENT, probe);
    let [defence] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(defence.dst_mac, MacAddr([0x33, 0x33, 0, 0, 0, 1]));
    assert_eq!(defence.dst(), "ff02::1".parse::<IpAddr>().expect("an address"));
}

#[test]
fn who_claims_an_address_of_ours_is_dropped_and_counted() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    rig.must_drop(&CLIENT, CLIENT.arp_request(SELF_4, SELF_4), DropReason::ArpInvalid);
    rig.must_drop(&CLIENT, CLIENT.advertise(SELF_6, SELF_6), DropReason::NdInvalid);
    let other = ROUTER.frame_to(our_mac(0), 0x0806, &CLIENT.arp_reply(PEER_4, SELF_4)[18..]);
    rig.must_drop(&ROUTER, other, DropReason::ArpInvalid);
}

#[test]
fn nd_from_beyond_the_link_or_with_a_wrong_checksum_is_dropped() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    let far = CLIENT.nd(135, 0, PEER_6, SELF_6, SELF_6, 1, 254);
    rig.must_drop(&CLIENT, CLIENT.frame(0x86dd, &far), DropReason::NdInvalid);
    let mut wrong = CLIENT.solicit(PEER_6, SELF_6);
    *wrong.last_mut().expect("bytes") ^= 1;
    rig.must_drop(&CLIENT, wrong, DropReason::NdInvalid);
    let redirect = CLIENT.nd(137, 0, PEER_6, SELF_6, SELF_6, 1, 255);
    rig.must_drop(&CLIENT, CLIENT.frame(0x86dd, &redirect), DropReason::MulticastIgnored);
}

#[test]
fn a_start_announces_self_ips_and_owned_vips_once_and_a_change_only_what_is_new() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    let mut rig = Rig::new(&spec);
    let seen = rig.advance(10);
    let arps = asked(&seen);
    assert!(arps.iter().all(|(sender, target)| sender == target));
    let mut own: Vec<_> = arps.iter().map(|arp| arp.0).collect();
    own.sort();
    assert_eq!(own, [SELF_4, INNER_SELF_4, VIP_4, VIP_4]);
    assert_eq!(seen.iter().filter(|frame| frame.is_v6() && frame.icmp() == (136, 0)).count(), 2);
    assert_eq!(rig.advance(5000), []);

    spec::listen(&mut spec, Protocol::Udp, "192.0.2.11:53", &["10.2.0.12:5353"]);
    rig.configure(&spec);
    let new = Ipv4Addr::new(192, 0, 2, 11);
    assert_eq!(asked(&rig.advance(10)), [(new, new), (new, new)]);
}

#[test]
fn a_vlan_that_moves_to_another_tag_or_port_is_told_of_its_addresses_again() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec.listeners[0].vlans =
        tmm_config::spec::VlanSet::Only(vec![spec::OUTSIDE.to_owned(), spec::INSIDE.to_owned()]);
    let mut rig = Rig::new(&spec);
    rig.advance(100);
    spec.vlans[0].mtu = 1600;
    rig.configure(&spec);
    assert_eq!(rig.advance(100), [], "the same wire knows them");
    for (tag, interface, port) in [(77, "1.1", 0), (77, "1.2", 1)] {
        spec.vlans[0].tag = tag;
        spec.vlans[0].interfaces = vec![interface.to_owned()];
        rig.configure(&spec);
        let seen = rig.advance(100);
        let mut own: Vec<_> = asked(&seen).iter().map(|arp| arp.0).collect();
        own.sort();
        assert_eq!(own, [SELF_4, VIP_4]);
        assert_eq!(seen.len(), 3, "and the IPv6 self IP");
        assert!(seen.iter().all(|frame| (frame.tag, frame.port) == (Some(tag), port)));
    }
}

/// RFC 4861 §7.2.5: what an unsolicited advertisement may change.
mod advertisements {
    use super::*;

    const MEMBER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11);
    const OWN_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);
    const OTHER: rig::Station = rig::Station { mac: MacAddr([2, 0, 0, 0, 2, 0xee]), ..SERVER };
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;

    /// An advertisement of the member's address by `station`: to all, or to us if solicited.
    fn advertise(rig: &mut Rig, station: &rig::Station, flags: u8) -> Vec<Seen> {
        let all = "ff02::1".parse().expect("an address");
        let (to, mac) = if flags & SOLICITED != 0 {
            (OWN_6, our_mac(1))
        } else {
            (all, MacAddr([0x33, 0x33, 0, 0, 0, 1]))
        };
        let message = station.nd(136, flags, MEMBER_6, to, MEMBER_6, 2, 255);
        rig.send(station, station.frame_to(mac, 0x86dd, &message))
    }

    fn next_hop(rig: &mut Rig) -> MacAddr {
        let frame = CLIENT.udp("[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"query");
        let seen = rig.send(&CLIENT, frame);
        assert_eq!(seen.len(), 1);
        seen[0].dst_mac
    }

    /// MACs that the member's address is asked for at.
    fn asks(seen: &[Seen]) -> Vec<MacAddr> {
        let ours = |it: &&Seen| it.asks_for().is_some_and(|(target, _)| target == MEMBER_6);
        seen.iter().filter(ours).map(|it| it.dst_mac).collect()
    }

    fn reachable() -> Rig {
        let mut rig = with_listener();
        rig.introduce(&SERVER, &MEMBER_6.to_string());
        assert_eq!(next_hop(&mut rig), SERVER.mac);
        rig
    }

    #[test]
    fn without_override_another_mac_changes_nothing_but_is_looked_into() {
        for flags in [0, SOLICITED] {
            let mut rig = reachable();
            assert_eq!(advertise(&mut rig, &OTHER, flags), []);
            assert_eq!(next_hop(&mut rig), SERVER.mac);
            assert_eq!(asks(&rig.advance(500)), [SERVER.mac], "the known one is asked");
            rig.send(&SERVER, SERVER.advertise(MEMBER_6, OWN_6));
            assert_eq!(asks(&rig.advance(5000)), []);
            assert_eq!(next_hop(&mut rig), SERVER.mac);
        }
    }

    #[test]
    fn with_override_another_mac_is_used_and_confirmed_only_if_solicited() {
        let mut rig = reachable();
        advertise(&mut rig, &OTHER, OVERRIDE);
        assert_eq!(next_hop(&mut rig), OTHER.mac);
        assert_eq!(asks(&rig.advance(500)), [OTHER.mac], "it must answer for itself");
        let mut rig = reachable();
        advertise(&mut rig, &OTHER, OVERRIDE | SOLICITED);
        assert_eq!(next_hop(&mut rig), OTHER.mac);
        assert_eq!(asks(&rig.advance(5000)), []);
    }

    #[test]
    fn unsolicited_the_known_mac_is_not_confirmed_anew() {
        let mut rig = reachable();
        rig.advance(20_000);
        advertise(&mut rig, &SERVER, OVERRIDE);
        advertise(&mut rig, &SERVER, 0);
        assert_eq!(asks(&rig.advance(10_400)), [SERVER.mac], "30 s after the last proof");
    }

    #[test]
    fn what_waits_goes_to_an_unsolicited_mac_which_is_then_asked() {
        let mut rig = with_listener();
        let frame = CLIENT.udp("[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"query");
        assert_eq!(asks(&rig.send(&CLIENT, frame)).len(), 1);
        let released = advertise(&mut rig, &SERVER, 0);
        assert_eq!((released.len(), released[0].dst_mac), (1, SERVER.mac));
        assert_eq!(asks(&rig.advance(500)), [SERVER.mac]);
    }

    #[test]
    fn a_gateway_is_not_alive_by_what_nobody_asked_for() {
        let mut spec = spec::vlans();
        spec::route(&mut spec, "2001:db8:9::/48", &MEMBER_6.to_string());
        let mut rig = Rig::new(&spec);
        rig.advance(3500);
        let gateway = |alive| tmm_engine::Event::Gateway {
            vlan: rig::Rig::vlan(&Rig::new(&spec), &SERVER),
            address: MEMBER_6.into(),
            alive,
        };
        assert_eq!(rig.events, [gateway(false)]);
        advertise(&mut rig, &SERVER, OVERRIDE);
        assert_eq!(rig.events, [gateway(false)]);
        advertise(&mut rig, &SERVER, OVERRIDE | SOLICITED);
        assert_eq!(rig.events, [gateway(false), gateway(true)]);
    }
}

#[test]
fn packets_wait_in_order_while_the_neighbour_is_asked_and_go_when_it_answers() {
    let mut rig = with_listener();
    let asking = rig.send(&CLIENT, datagram(1));
    assert_eq!(asked(&asking), [(INNER_SELF_4, MEMBER_4)]);
    assert_eq!(
        (asking[0].port, asking[0].tag, asking[0].dst_mac),
        (1, Some(20), MacAddr::BROADCAST)
    );
    assert_eq!(rig.send(&CLIENT, datagram(2)), []);
    assert_eq!(rig.worker.counters().held, 2);
    let released = rig.send(&SERVER, SERVER.arp_reply(MEMBER_4, INNER_SELF_4));
    assert_eq!(released.iter().map(Seen::sport).collect::<Vec<_>>(), [1, 2]);
    assert!(released.iter().all(|frame| frame.dst_mac == SERVER.mac && frame.tag == Some(20)));
    assert_eq!((rig.worker.counters().held, rig.worker.counters().held_total), (0, 2));
}

#[test]
fn the_same_holds_for_ipv6() {
    let mut rig = with_listener();
    let frame = CLIENT.udp("[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"query");
    let asking = rig.send(&CLIENT, frame);
    let [solicitation] = &asking[..] else { panic!("{asking:?}") };
    assert_eq!((solicitation.icmp(), solicitation.ttl()), ((135, 0), 255));
    assert_eq!(solicitation.dst_mac, MacAddr([0x33, 0x33, 0xff, 0, 0, 0x11]));
    assert!(solicitation.checksums_are_right());
    let member = "2001:db8:2::11".parse().expect("an address");
    let own = "2001:db8:2::2".parse().expect("an address");
    let released = rig.send(&SERVER, SERVER.advertise(member, own));
    assert_eq!(released.len(), 1);
    assert_eq!(released[0].dst_mac, SERVER.mac);
    assert!(released[0].checksums_are_right());
}

#[test]
fn three_requests_a_second_apart_then_what_waits_is_dropped() {
    let mut rig = with_listener();
    assert_eq!(asked(&rig.send(&CLIENT, datagram(1))).len(), 1);
    assert_eq!(asked(&rig.advance(990)).len(), 0);
    assert_eq!(asked(&rig.advance(20)).len(), 1);
    assert_eq!(asked(&rig.advance(1000)).len(), 1);
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 0);
    assert_eq!(rig.advance(1100), []);
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 1);
    assert_eq!(rig.worker.counters().held, 0);
    let told = rig.send(&CLIENT, datagram(1));
    assert_eq!((told.len(), told[0].icmp()), (1, (3, 1)), "host unreachable");
    assert_eq!((told[0].src(), told[0].dst()), (SELF_4.into(), PEER_4.into()));
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 2);
    rig.advance(1000);
    assert_eq!(asked(&rig.send(&CLIENT, datagram(1))).len(), 1, "asked anew a second later");
}

#[test]
fn hold_queues_are_bounded_for_one_neighbour_and_in_all() {
    let mut spec = spec::vlans();
    let members: Vec<String> = (11..40).map(|host| format!("10.2.0.{host}:5353")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &members);
    let mut rig = Rig::new(&spec);
    rig.tick();
    // 29 members in turn, 8 packets each at most, 64 in all.
    for port in 0..29 * 8 {
        rig.send(&CLIENT, datagram(1000 + port));
    }
    assert_eq!(rig.worker.counters().held, 64);
    assert_eq!(rig.drops(DropReason::HoldFull), 29 * 8 - 64);

    let mut rig = with_listener();
    for port in 0..9 {
        rig.send(&CLIENT, datagram(1000 + port));
    }
    assert_eq!((rig.worker.counters().held, rig.drops(DropReason::HoldFull)), (8, 1));
}

#[test]
fn a_neighbour_that_changes_its_mac_is_followed_by_flows_that_exist() {
    let mut rig = with_listener();
    rig.introduce(&SERVER, "10.2.0.11");
    assert_eq!(rig.send(&CLIENT, datagram(1))[0].dst_mac, SERVER.mac);
    let moved = rig::Station { mac: MacAddr([2, 0, 0, 0, 2, 0x77]), ..SERVER };
    rig.send(&moved, moved.arp_request(MEMBER_4, MEMBER_4));
    assert_eq!(rig.send(&CLIENT, datagram(1))[0].dst_mac, moved.mac);
}

#[test]
fn a_neighbour_in_use_is_confirmed_by_unicast_every_half_minute() {
    let mut rig = with_listener();
    rig.introduce(&SERVER, "10.2.0.11");
    rig.send(&CLIENT, datagram(1));
    assert_eq!(asked(&rig.advance(29_900)), []);
    let seen = rig.advance(200);
    assert_eq!(asked(&seen), [(INNER_SELF_4, MEMBER_4)]);
    assert_eq!(seen[0].dst_mac, SERVER.mac);
    rig.send(&SERVER, SERVER.arp_reply(MEMBER_4, INNER_SELF_4));
    assert_eq!(asked(&rig.advance(5000)), []);
    assert_eq!(rig.send(&CLIENT, datagram(1)).len(), 1, "the flow goes on meanwhile");
}

#[test]
fn answers_teach_only_what_was_asked() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    rig.send(&CLIENT, CLIENT.arp_reply(PEER_4, SELF_4));
    let stranger = Ipv4Addr::new(10, 1, 0, 77);
    rig.send(&ROUTER, ROUTER.arp_request(stranger, Ipv4Addr::new(10, 1, 0, 78)));
    let known: Vec<_> = rig.worker.net().adjacencies().iter().map(|(_, key)| key).collect();
    assert_eq!(known, []);
}

#[test]
fn a_flood_of_stations_stays_within_the_table_and_hurts_no_flow_and_no_gateway() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig.introduce(&ROUTER, "10.1.0.201");
    assert_eq!(rig.send(&CLIENT, datagram(1)).len(), 1);
    for host in 0..5000u16 {
        let [a, b] = host.to_be_bytes();
        let loud = rig::Station { mac: MacAddr([2, 9, 9, 9, a, b]), ..CLIENT };
        let address = Ipv4Addr::new(10, 1, 0, b);
        if address != SELF_4 && address != Ipv4Addr::new(10, 1, 0, 201) {
            rig.send(&loud, loud.arp_request(address, SELF_4));
        }
        rig.send(&loud, loud.echo("10.1.0.100", "10.1.0.2", 1, b""));
    }
    let rows = rig.worker.net().adjacencies().iter().count();
    assert_eq!(rows, rig.worker.net().adjacencies().capacity(), "full, and not beyond");
    let seen = rig.send(&CLIENT, datagram(1));
    assert_eq!((seen.len(), seen[0].dst_mac), (1, SERVER.mac), "the flow goes on at once");
    let back = SERVER.udp("10.2.0.11:5353", "10.1.0.100:1", b"answer");
    assert_eq!(rig.send(&SERVER, back)[0].dst_mac, CLIENT.mac);
    let gateway = tmm_engine::adjacency::AdjacencyKey::NextHop(
        rig.vlan(&ROUTER),
        Ipv4Addr::new(10, 1, 0, 201).into(),
    );
    let id = rig.worker.net().adjacencies().find(&gateway).expect("the gateway is known");
    assert!(rig.worker.net().adjacency(id).resolved);
}
