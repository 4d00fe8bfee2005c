//! Tags, MACs, lengths and MTU.

mod rig;

use rig::craft::{CLIENT, Ip, SERVER};
use rig::{Rig, Station, our_mac, spec};
use tmm_config::Spec;
use tmm_engine::DropReason;
use tmm_wire::buffer::HeapBuf;
use tmm_wire::{MacAddr, Protocol};

fn listening() -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec::listen(&mut spec, Protocol::Udp, "[2001:db8:f::10]:53", &["[2001:db8:2::11]:5353"]);
    spec
}

fn ready(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    let inside = Station { tag: (spec.vlans[1].tag != 0).then_some(spec.vlans[1].tag), ..SERVER };
    rig.introduce(&inside, "10.2.0.11");
    rig.introduce(&inside, "2001:db8:2::11");
    rig
}

fn datagram(station: &Station) -> Vec<u8> {
    station.udp("10.1.0.100:1", "192.0.2.10:53", b"query")
}

#[test]
fn a_tag_in_the_descriptor_counts_like_one_in_the_frame() {
    let mut rig = ready(&listening());
    let stripped = Station { tag: None, ..CLIENT };
    let buf = HeapBuf::new(&datagram(&stripped)).with_stripped_vlan(10);
    let seen = rig.burst_of(0, vec![buf]);
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].tag, seen[0].port), (Some(20), 1));
    let priority = HeapBuf::new(&datagram(&stripped)).with_stripped_vlan(0xe00a);
    assert_eq!(rig.burst_of(0, vec![priority]).len(), 1, "priority bits are no part of the tag");
}

#[test]
fn frames_of_foreign_tags_are_ignored_and_counted() {
    let mut rig = ready(&listening());
    for tag in [None, Some(0), Some(11), Some(20), Some(4095)] {
        let foreign = Station { tag, ..CLIENT };
        rig.must_drop(&foreign, datagram(&foreign), DropReason::VlanUnknown);
        let arp = foreign.arp_request([10, 1, 0, 100].into(), [10, 1, 0, 2].into());
        rig.must_drop(&foreign, arp, DropReason::VlanUnknown);
    }
    let outer = Station { tag: Some(10), ..CLIENT };
    let inner = &datagram(&CLIENT)[12..];
    let nested = outer.frame(0x8100, &inner[2..]);
    rig.must_drop(&outer, nested, DropReason::VlanUnknown);
}

#[test]
fn an_untagged_vlan_takes_and_sends_untagged_and_priority_tagged_frames() {
    let mut spec = listening();
    spec.vlans[0].tag = 0;
    spec.vlans[1].tag = 0;
    let mut rig = ready(&spec);
    for tag in [None, Some(0)] {
        let seen = rig.send(&CLIENT, datagram(&Station { tag, ..CLIENT }));
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].tag, None);
        assert_eq!(seen[0].to(), "10.2.0.11:5353");
    }
    let tagged = Station { tag: Some(10), ..CLIENT };
    rig.must_drop(&tagged, datagram(&tagged), DropReason::VlanUnknown);
}

#[test]
fn frames_for_another_station_or_group_are_dropped() {
    let mut rig = ready(&listening());
    let payload = datagram(&CLIENT).split_off(18);
    let to = |mac| CLIENT.frame_to(MacAddr(mac), 0x0800, &payload);
    rig.must_drop(&CLIENT, to([2, 0, 0, 0, 9, 9]), DropReason::NotForUsMac);
    rig.must_drop(&CLIENT, to(our_mac(1).0), DropReason::NotForUsMac);
    rig.must_drop(&CLIENT, to([1, 0, 0x5e, 0, 0, 5]), DropReason::MulticastIgnored);
    rig.must_drop(&CLIENT, to([0xff; 6]), DropReason::MulticastIgnored);
    let loud = Station { mac: MacAddr([1, 0, 0x5e, 0, 0, 5]), ..CLIENT };
    rig.must_drop(&loud, datagram(&loud), DropReason::BadSourceMac);
    rig.must_drop(&CLIENT, CLIENT.frame(0x88cc, &[0; 50]), DropReason::EthertypeUnknown);
}

#[test]
fn frames_that_end_early_are_dropped_at_every_length() {
    let mut rig = ready(&listening());
    let whole = datagram(&CLIENT);
    for len in 0..whole.len() {
        let before = rig.worker.counters().dropped();
        assert_eq!(rig.send(&CLIENT, whole[..len].to_vec()), [], "length {len}");
        assert_eq!(rig.worker.counters().dropped(), before + 1, "length {len}");
    }
    assert_eq!(rig.send(&CLIENT, whole).len(), 1);
}

#[test]
fn ethernet_padding_is_not_forwarded_into_a_new_flow() {
    let mut rig = ready(&listening());
    let mut frame = datagram(&CLIENT);
    frame.resize(64, 0xaa);
    let seen = rig.send(&CLIENT, frame);
    assert_eq!(seen[0].packet.len(), 20 + 8 + 5);
}

/// CHK-502: a DF packet (and any IPv6 packet) of mtu bytes passes, of mtu + 1 bytes is answered by
/// ICMP too big with the mtu, with and without tag.
#[test]
fn a_packet_of_mtu_passes_and_one_byte_more_is_answered_too_big() {
    for tag in [20, 0] {
        let mut spec = listening();
        spec.vlans[1].tag = tag;
        spec.vlans[0].mtu = 9000;
        spec.vlans[1].mtu = 1600;
        let mut rig = ready(&spec);
        let mut send = |from: &str, to: &str, ip_header: usize, extra: usize, df: bool| {
            let payload = vec![7; 1600 - ip_header - 8 + extra];
            let ip = Ip { dont_fragment: df, ..Ip::default() };
            let seen = rig.send(&CLIENT, CLIENT.udp_with(ip, from, to, &payload));
            (seen, rig.drops(DropReason::TooBig), rig.drops(DropReason::FragmentationUnsupported))
        };
        let (client, vip) = ("10.1.0.100:1", "192.0.2.10:53");
        // First packet of the flow, then the hit path, then one byte more.
        for _ in 0..2 {
            let (seen, ..) = send(client, vip, 20, 0, true);
            assert_eq!((seen.len(), seen[0].packet.len()), (1, 1600));
        }
        let (seen, dropped, _) = send(client, vip, 20, 1, true);
        assert_eq!((seen.len(), dropped), (1, 1));
        assert_eq!((seen[0].icmp(), seen[0].tag, seen[0].dst_mac), ((3, 4), Some(10), CLIENT.mac));
        assert_eq!(
            (seen[0].src().to_string(), seen[0].dst().to_string()),
            ("10.1.0.2".into(), "10.1.0.100".into())
        );
        assert_eq!(seen[0].upper()[6..8], 1600u16.to_be_bytes());
        assert_eq!(seen[0].upper()[8 + 16..8 + 20], [192, 0, 2, 10], "quotes what the client sent");
        assert!(seen[0].checksums_are_right());
        let (seen, _, unsupported) = send(client, vip, 20, 1, false);
        assert_eq!((seen, unsupported), (vec![], 1), "without DF it would be cut, with `engine`");

        let (client, vip) = ("[2001:db8:1::100]:1", "[2001:db8:f::10]:53");
        for _ in 0..2 {
            let (seen, ..) = send(client, vip, 40, 0, true);
            assert_eq!((seen.len(), seen[0].packet.len()), (1, 1600));
        }
        let (seen, dropped, _) = send(client, vip, 40, 1, true);
        assert_eq!((seen.len(), dropped, seen[0].icmp()), (1, 2, (2, 0)));
        assert_eq!(seen[0].upper()[4..8], 1600u32.to_be_bytes());
        assert!(seen[0].checksums_are_right() && seen[0].packet.len() <= 1280);
    }
}

/// Behind another tag may be other stations with the same addresses.
#[test]
fn a_vlan_with_another_tag_asks_its_neighbours_anew_and_sends_what_waited() {
    let spec = listening();
    let mut rig = ready(&spec);
    assert_eq!(rig.send(&CLIENT, datagram(&CLIENT))[0].tag, Some(20));
    let mut moved = spec.clone();
    moved.vlans[1].tag = 21;
    rig.configure(&moved);
    let seen = rig.send(&CLIENT, CLIENT.udp("10.1.0.100:2", "192.0.2.10:53", b"query"));
    assert_eq!((seen.len(), seen[0].tag, seen[0].asks_for().is_some()), (1, Some(21), true));
    let other = rig::Station { tag: Some(21), mac: MacAddr([2, 0, 0, 0, 2, 9]), ..SERVER };
    let seen = rig.send(&other, other.arp_reply([10, 2, 0, 11].into(), [10, 2, 0, 2].into()));
    assert_eq!((seen.len(), seen[0].tag, seen[0].dst_mac), (1, Some(21), other.mac));
}
