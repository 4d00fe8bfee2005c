//! Tags, ARP, ND groups and the Ethernet header.

use std::net::Ipv6Addr;

use tmm_wire::arp::{ArpOperation, ArpPacket};
use tmm_wire::buffer::HeapBuf;
use tmm_wire::nd::solicited_node;
use tmm_wire::{LinkLayer, MacAddr, PacketBuf, ParseError, VlanId, ethernet, vlan};

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn frame(tag: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 18];
    let tag = tag.map(|tag| VlanId::new(tag).unwrap());
    let len = LinkLayer::write(&mut out, A, B, tag, ethernet::IPV4).unwrap();
    out.truncate(len);
    out.extend(payload);
    out
}

#[test]
fn tag_is_read_alike_from_frame_and_descriptor() {
    let in_frame = LinkLayer::parse(&frame(Some(310), b"x"), None).unwrap();
    let stripped = LinkLayer::parse(&frame(None, b"x"), Some(0xa000 | 310)).unwrap();
    assert_eq!(in_frame.vlan, VlanId::new(310).ok());
    assert_eq!((in_frame.payload, stripped.payload), (18, 14));
    assert_eq!(LinkLayer { payload: 14, ..in_frame }, stripped);
    assert_eq!((in_frame.destination, in_frame.source), (A, B));
}

#[test]
fn priority_tag_is_no_tag_and_the_reserved_tag_is_refused() {
    let mut priority = frame(Some(1), b"x");
    priority[14..16].copy_from_slice(&[0xe0, 0]);
    assert_eq!(LinkLayer::parse(&priority, None).unwrap().vlan, None);
    assert_eq!(LinkLayer::parse(&frame(None, b""), Some(0xe000)).unwrap().vlan, None);
    priority[14..16].copy_from_slice(&[0x0f, 0xff]);
    assert_eq!(LinkLayer::parse(&priority, None), Err(ParseError::VlanNested));
}

#[test]
fn second_tag_is_refused_wherever_it_is() {
    let tagged = frame(Some(310), b"x");
    assert_eq!(LinkLayer::parse(&tagged, Some(5)), Err(ParseError::VlanNested));
    let mut double = tagged.clone();
    double[16..18].copy_from_slice(&ethernet::VLAN.to_be_bytes());
    assert_eq!(LinkLayer::parse(&double, None), Err(ParseError::VlanNested));
    double[12..14].copy_from_slice(&ethernet::SERVICE_VLAN.to_be_bytes());
    assert_eq!(LinkLayer::parse(&double, None), Err(ParseError::VlanNested));
}

#[test]
fn pushed_tag_is_popped_again_and_the_frame_is_as_before() {
    let plain = frame(None, b"payload");
    let mut buf = HeapBuf::new(&plain);
    vlan::push(&mut buf, VlanId::new(310).unwrap()).unwrap();
    assert_eq!(buf.data(), frame(Some(310), b"payload"));
    assert_eq!(vlan::pop(&mut buf), Ok(Some(310)));
    assert_eq!(buf.data(), plain);
    assert_eq!(vlan::pop(&mut buf), Ok(None));
}

#[test]
fn pop_takes_the_descriptors_tag_first_and_leaves_the_frame() {
    let plain = frame(None, b"payload");
    let mut buf = HeapBuf::new(&plain).with_stripped_vlan(7);
    assert_eq!(vlan::pop(&mut buf), Ok(Some(7)));
    assert_eq!((buf.data(), buf.stripped_vlan()), (&plain[..], None));
}

#[test]
fn arp_for_anything_but_ipv4_over_ethernet_is_refused() {
    let mut bytes = [0; 28];
    let request = ArpPacket::request((A, [192, 0, 2, 1].into()), [192, 0, 2, 2].into());
    request.write(&mut bytes).unwrap();
    let read = ArpPacket::parse(&bytes).unwrap();
    assert_eq!(read.operation(), ArpOperation::Request);
    assert_eq!((read.sender_mac(), read.target_mac()), (A, MacAddr::default()));
    for (at, value) in [(1, 6), (3, 1), (4, 8), (5, 16), (7, 3), (7, 0)] {
        let mut other = bytes;
        other[at] = value;
        assert_eq!(ArpPacket::parse(&other), Err(ParseError::ArpUnsupported), "byte {at}");
    }
    assert_eq!(ArpPacket::parse(&bytes[..27]), Err(ParseError::ArpTruncated));
}

/// The example of RFC 4291 §2.7.1 and its Ethernet group (RFC 2464 §7).
#[test]
fn solicited_node_group_is_as_the_rfc_shows() {
    let address: Ipv6Addr = "4037::1:800:200e:8c6c".parse().unwrap();
    let group: Ipv6Addr = "ff02::1:ff0e:8c6c".parse().unwrap();
    assert_eq!(solicited_node(address), group);
    let mac = ethernet::multicast_mac(group);
    assert_eq!(mac, MacAddr([0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c]));
}
