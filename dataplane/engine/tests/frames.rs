//! What the engine reads of an IP packet, beside an independent parser.

mod rig;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use proptest::prelude::*;
use rig::craft::{CLIENT, Ip};
use tmm_config::config::VlanSlot;
use tmm_engine::frame::Fragment;
use tmm_engine::{DropReason, IpFrame};
use tmm_wire::{LinkLayer, PortId};

fn read(frame: &[u8]) -> Result<IpFrame, DropReason> {
    let ether = LinkLayer::parse(frame, None).expect("an Ethernet header");
    IpFrame::parse(frame, frame.len(), &ether, PortId(0), VlanSlot(0))
}

/// An IPv4 frame with `words` words of no-operation options.
fn with_options(words: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = rig::craft::ip_packet(
        Ip::default(),
        "10.1.0.100".parse().expect("an address"),
        "192.0.2.10".parse().expect("an address"),
        17,
        payload,
    )
    .1;
    let options = vec![1; usize::from(words) * 4];
    packet.splice(20..20, options);
    packet[0] = 0x45 + words;
    let total = u16::try_from(packet.len()).expect("fits").to_be_bytes();
    packet[2..4].copy_from_slice(&total);
    packet[10..12].fill(0);
    let sum = rig::craft::checksum(&[&packet[..20 + usize::from(words) * 4]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    CLIENT.frame(0x0800, &packet)
}

/// An IPv6 frame with extension headers of these kinds in front of UDP.
fn with_extensions(kinds: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (at, _) in kinds.iter().enumerate() {
        let next = kinds.get(at + 1).copied().unwrap_or(17);
        // One unit of padding: PadN of four.
        body.extend([next, 0, 1, 4, 0, 0, 0, 0]);
    }
    body.extend(payload);
    let first = kinds.first().copied().unwrap_or(17);
    CLIENT.ip(Ip::default(), "2001:db8:1::100", "2001:db8:f::10", first, &body)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn addresses_ports_and_offsets_are_what_an_independent_parser_finds(
        v6 in any::<bool>(),
        options in 0u8..=10,
        extensions in prop::collection::vec(prop::sample::select(vec![60u8]), 0..4),
        hop_by_hop in any::<bool>(),
        ports in any::<(u16, u16)>(),
        data in prop::collection::vec(any::<u8>(), 0..40),
        padding in 0usize..20,
    ) {
        let mut udp = [ports.0, ports.1, 8 + data.len() as u16, 0].map(u16::to_be_bytes).concat();
        udp.extend(&data);
        let mut kinds = extensions;
        if hop_by_hop {
            kinds.insert(0, 0);
        }
        let mut frame = if v6 { with_extensions(&kinds, &udp) } else { with_options(options, &udp) };
        let len = frame.len();
        frame.resize(len + padding, 0);
        let ours = read(&frame).expect("a right packet");
        let theirs = LaxSlicedPacket::from_ethernet(&frame).expect("a right packet");
        let (source, destination) = match theirs.net.as_ref().expect("an IP header") {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                (header.source_addr().into(), header.destination_addr().into())
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                (header.source_addr().into(), header.destination_addr().into())
            }
            LaxNetSlice::Arp(_) => panic!("no ARP"),
        };
        let Some(TransportSlice::Udp(theirs)) = theirs.transport else { panic!("no UDP") };
        prop_assert_eq!((ours.src, ours.dst), (source, destination));
        prop_assert_eq!((ours.src_port, ours.dst_port), (theirs.source_port(), theirs.destination_port()));
        prop_assert_eq!(ours.payload(&frame), theirs.slice());
        prop_assert_eq!(ours.payload_len(), udp.len());
        prop_assert_eq!(usize::from(ours.l3) + usize::from(ours.ip_len), len);
        prop_assert_eq!((ours.protocol, ours.fragment), (17, Fragment::None));
    }

    #[test]
    fn no_bytes_make_it_panic_and_offsets_stay_inside(
        mut frame in prop::collection::vec(any::<u8>(), 18..120),
        v6 in any::<bool>(),
        first in any::<bool>(),
    ) {
        frame[12..14].copy_from_slice(&if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        if first {
            frame[14] = if v6 { 0x60 } else { 0x45 };
        }
        if let Ok(ours) = read(&frame) {
            prop_assert!(usize::from(ours.l3) + usize::from(ours.ip_len) <= frame.len());
            prop_assert!(ours.l3 <= ours.l4 && usize::from(ours.l4) <= frame.len());
        }
    }
}

#[test]
fn extension_headers_out_of_place_or_with_a_route_left_are_refused() {
    let udp = [0, 1, 0, 2, 0, 8, 0, 0];
    assert!(read(&with_extensions(&[0, 60, 60], &udp)).is_ok());
    assert_eq!(read(&with_extensions(&[60, 0], &udp)), Err(DropReason::BadIpv6Header));
    let mut routed = with_extensions(&[43], &udp);
    routed[18 + 40 + 3] = 1;
    assert_eq!(read(&routed), Err(DropReason::BadIpv6Header));
    routed[18 + 40 + 3] = 0;
    assert!(read(&routed).is_ok());
    assert_eq!(read(&with_extensions(&[60; 9], &udp)), Err(DropReason::BadIpv6Header));
}

#[test]
fn fragments_are_told_apart() {
    let udp = [0, 1, 0, 2, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let v4 = |flags| {
        let ip = Ip { dont_fragment: false, fragment: Some(flags), ..Ip::default() };
        read(&CLIENT.ip(ip, "10.1.0.100", "192.0.2.10", 17, &udp)).expect("a packet").fragment
    };
    assert_eq!(
        [v4(0), v4(0x2000), v4(0x2001), v4(1)],
        [Fragment::None, Fragment::First, Fragment::Later, Fragment::Later]
    );
    let v6 = |offset: u16| {
        let ip = Ip { fragment: Some(offset), ..Ip::default() };
        read(&CLIENT.ip(ip, "2001:db8:1::1", "2001:db8:f::10", 17, &udp)).expect("one").fragment
    };
    assert_eq!(
        [v6(0), v6(1), v6(8), v6(9)],
        [Fragment::First, Fragment::First, Fragment::Later, Fragment::Later]
    );
}

#[test]
fn addresses_that_may_not_be_on_the_wire_are_refused() {
    let udp = [0, 1, 0, 2, 0, 8, 0, 0];
    for (src, dst) in [
        ("127.0.0.1", "192.0.2.10"),
        ("0.0.0.0", "192.0.2.10"),
        ("224.0.0.1", "192.0.2.10"),
        ("255.255.255.255", "192.0.2.10"),
        ("10.1.0.1", "127.0.0.1"),
        ("10.1.0.1", "0.0.0.0"),
        ("::1", "2001:db8:f::10"),
        ("ff02::1", "2001:db8:f::10"),
        ("2001:db8:1::1", "::1"),
        ("2001:db8:1::1", "::"),
    ] {
        let frame = CLIENT.ip(Ip::default(), src, dst, 17, &udp);
        assert_eq!(read(&frame), Err(DropReason::BadAddress), "{src} to {dst}");
    }
}
