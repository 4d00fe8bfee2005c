//! What each parser must hold for any bytes, as functions over bytes.
//!
//! A target panics if the property is broken. The random tester, the corpus replay and a coverage
//! fuzzer call the same functions.

use tmm_wire::arp::ArpPacket;
use tmm_wire::buffer::HeapBuf;
use tmm_wire::build::{self, IcmpError};
use tmm_wire::checksum::{self, Delta, Sum};
use tmm_wire::icmp::IcmpHeader;
use tmm_wire::ipv4::{Ipv4Header, Ipv4Packet};
use tmm_wire::ipv6::{Ipv6Header, Ipv6Packet};
use tmm_wire::nd::{NdMessage, NdOptions};
use tmm_wire::sctp::{self, Chunks, SctpPacket};
use tmm_wire::tcp::TcpSegment;
use tmm_wire::udp::UdpDatagram;
use tmm_wire::{Header, IpPacket, LinkLayer, PacketBuf, VlanId, vlan};

/// A property over any bytes.
pub type Target = fn(&[u8]);

/// Every target by name; its corpus is the folder of that name.
pub const TARGETS: &[(&str, Target)] = &[
    ("link", link),
    ("arp", arp),
    ("ipv4", ipv4),
    ("ipv6", ipv6),
    ("ip", ip),
    ("icmp", icmp),
    ("nd", nd),
    ("tcp", tcp),
    ("udp", udp),
    ("sctp", sctp),
    ("checksum", checksum),
    ("errors", errors),
    ("echo", echo),
];

/// The link layer reads the same whether the tag is in the frame or in the descriptor.
pub fn link(bytes: &[u8]) {
    let Ok(read) = LinkLayer::parse(bytes, None) else { return };
    assert!(read.payload <= bytes.len());
    let mut buf = HeapBuf::new(bytes);
    let popped = vlan::pop(&mut buf).expect("a frame that parses has whole headers");
    let stripped = LinkLayer::parse(buf.data(), popped).expect("the same frame");
    assert_eq!((stripped.vlan, stripped.ethertype), (read.vlan, read.ethertype));
    assert_eq!(&buf.data()[stripped.payload..], &bytes[read.payload..]);
    if let Ok(tag) = VlanId::new(7) {
        vlan::push(&mut buf, tag).expect("headroom");
        let tagged = LinkLayer::parse(buf.data(), None).expect("one tag");
        assert_eq!((tagged.vlan, tagged.ethertype), (Some(tag), read.ethertype));
    }
}

/// An ARP packet that is taken is written back unchanged.
pub fn arp(bytes: &[u8]) {
    let Ok(packet) = ArpPacket::parse(bytes) else { return };
    let mut out = [0; 28];
    let copy = ArpPacket::new(
        packet.operation(),
        (packet.sender_mac(), packet.sender_ip()),
        (packet.target_mac(), packet.target_ip()),
    );
    assert_eq!(copy.write(&mut out), Ok(28));
    assert_eq!(out, bytes[..28]);
}

/// Header, options and payload are consecutive and end at the total length.
pub fn ipv4(bytes: &[u8]) {
    let Ok(packet) = Ipv4Packet::parse(bytes) else { return };
    let total = usize::from(packet.header.total_len.get());
    assert_eq!(Ipv4Header::LEN + packet.options.len() + packet.payload.len(), total);
    assert!(packet.options().count() <= 40);
    let mut copy = bytes[..total].to_vec();
    let right = packet.checksum_is_right();
    let (header, _) = Ipv4Header::split_mut(&mut copy).expect("parsed");
    header.set_source([192, 0, 2, 1].into());
    header.set_destination([198, 51, 100, 1].into());
    header.decrement_ttl();
    let after = Ipv4Packet::parse(&copy).expect("lengths are unchanged");
    assert_eq!(after.checksum_is_right(), right, "a rewrite keeps right right and wrong wrong");
}

/// The walk ends inside the payload.
pub fn ipv6(bytes: &[u8]) {
    let Ok(packet) = Ipv6Packet::parse(bytes) else { return };
    assert!(Ipv6Header::LEN + packet.payload.len() <= bytes.len());
    let Ok(upper) = packet.upper_layer() else { return };
    assert!(upper.offset <= packet.payload.len());
    if let Some(at) = upper.protocol_at {
        assert_eq!(packet.payload[at], upper.protocol);
    } else {
        assert_eq!(packet.header.next_header, upper.protocol);
    }
}

/// One view of both families agrees with itself; parsing what it kept gives the same.
pub fn ip(bytes: &[u8]) {
    let Ok(packet) = IpPacket::parse(bytes) else { return };
    let again = IpPacket::parse(packet.bytes).expect("the packet without padding");
    assert_eq!(again.bytes, packet.bytes);
    assert_eq!((again.protocol, again.header_len), (packet.protocol, packet.header_len));
    assert_eq!(packet.header_len + packet.payload().len(), packet.bytes.len());
}

/// Changing type and identifier keeps the checksum's rightness.
pub fn icmp(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    let mut before = Sum::default();
    before.add(bytes);
    let Ok((header, _)) = IcmpHeader::split_mut(&mut copy) else { return };
    header.set_kind(header.kind ^ 8);
    header.set_id(0x1234);
    let mut after = Sum::default();
    after.add(&copy);
    if !copy.iter().all(|byte| *byte == 0) && !bytes.iter().all(|byte| *byte == 0) {
        assert_eq!(before.is_right(), after.is_right());
    }
}

/// Options fill the message.
pub fn nd(bytes: &[u8]) {
    let _ = NdMessage::parse(bytes, 255);
    let options: Result<Vec<_>, _> = NdOptions::new(bytes).collect();
    if let Ok(options) = options {
        let len: usize = options.iter().map(|option| option.data.len() + 2).sum();
        assert_eq!(len, bytes.len());
    }
}

/// Header, options and data are consecutive.
pub fn tcp(bytes: &[u8]) {
    let Ok(segment) = TcpSegment::parse(bytes) else { return };
    assert_eq!(20 + segment.options.len() + segment.payload.len(), bytes.len());
    assert!(segment.options().count() <= 40);
}

/// Data ends at the header's length.
pub fn udp(bytes: &[u8]) {
    let Ok(datagram) = UdpDatagram::parse(bytes) else { return };
    assert_eq!(8 + datagram.payload.len(), usize::from(datagram.header.len.get()));
}

/// Chunks and parameters end, and the checksum is the same in one piece and in many.
pub fn sctp(bytes: &[u8]) {
    let mut steps = 0;
    for chunk in Chunks::new(bytes) {
        steps += 1;
        let Ok(chunk) = chunk else { break };
        if let Ok(init) = chunk.init() {
            assert!(init.parameters().count() <= chunk.value.len() / 4 + 1);
            assert!(init.addresses().count() <= chunk.value.len() / 8);
        }
    }
    assert!(steps <= bytes.len() / 4 + 1);
    if let Ok(packet) = SctpPacket::parse(bytes) {
        assert!(packet.first().is_ok());
        assert!(packet.chunks().all(|chunk| chunk.is_ok()));
    }
    let mut pieces = sctp::Crc::default();
    for piece in bytes.chunks(5) {
        pieces.add(piece);
    }
    assert_eq!(pieces.field(), sctp::checksum(bytes));
}

/// A changed field changes the checksum as summing anew does, for any split of the bytes.
pub fn checksum(bytes: &[u8]) {
    let [split, at, new_high, new_low, data @ ..] = bytes else { return };
    let (first, second) = data.split_at(usize::from(*split).min(data.len()));
    let mut sum = Sum::default();
    sum.add(first);
    sum.add(second);
    assert_eq!(sum.checksum(), checksum::of(data));
    let at = usize::from(*at) * 2;
    let Some(&[old_high, old_low]) = data.get(at..at + 2) else { return };
    let mut changed = data.to_vec();
    changed[at..at + 2].copy_from_slice(&[*new_high, *new_low]);
    let all_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if all_zero(data) || all_zero(&changed) {
        return; // has two representations of its sum
    }
    let old = u16::from_be_bytes([old_high, old_low]);
    let new = u16::from_be_bytes([*new_high, *new_low]);
    let delta = Delta::NONE.u16(old, new);
    let after = delta.apply(checksum::of(data));
    assert_eq!(after, checksum::of(&changed));
    assert_eq!(delta.reversed().apply(after), checksum::of(data));
    assert_eq!(delta.apply_udp(0), 0);
}

/// An error about any packet is a packet of its family with a right checksum within the limit.
pub fn errors(bytes: &[u8]) {
    let Ok(about) = IpPacket::parse(bytes) else { return };
    let source = if about.is_v6() { [0xfd; 16].into() } else { [192, 0, 2, 1].into() };
    let mut out = [0xaa; build::MOST_ERROR_BYTES];
    for error in [IcmpError::TimeExceeded, IcmpError::TooBig { mtu: 1400 }] {
        let len = build::icmp_error(&mut out, source, &about, error).expect("room for the most");
        assert!(len <= if about.is_v6() { 1280 } else { 576 });
        let written = IpPacket::parse(&out[..len]).expect("a whole packet");
        assert_eq!((written.bytes.len(), written.destination), (len, about.source));
        let mut sum = if about.is_v6() { written.pseudo_header() } else { Sum::default() };
        sum.add(written.payload());
        assert!(sum.is_right());
        assert!(about.bytes.starts_with(&written.payload()[8..]));
        assert!(!written.may_cause_error());
    }
    if let Ok(segment) = TcpSegment::parse(about.payload()) {
        let len = build::tcp_reset_for(&mut out, &about, &segment).expect("room");
        if len > 0 {
            let written = IpPacket::parse(&out[..len]).expect("a whole packet");
            let mut sum = written.pseudo_header();
            sum.add(written.payload());
            assert!(sum.is_right());
        }
    }
    if let Ok(packet) = SctpPacket::parse(about.payload()) {
        let len = build::sctp_abort_for(&mut out, &about, &packet).expect("room");
        if len > 0 {
            let written = IpPacket::parse(&out[..len]).expect("a whole packet");
            assert!(sctp::checksum_is_right(written.payload()));
            // Two peers that answer each other's answers would never end.
            let abort = SctpPacket::parse(written.payload()).expect("a whole packet");
            assert_eq!(build::sctp_abort_for(&mut [0; 128], &written, &abort), Ok(0));
        }
    }
}

/// A request is turned into a reply that is right exactly if the request was; anything else is left
/// as it was.
pub fn echo(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    if build::echo_reply_in_place(&mut copy).is_err() {
        assert_eq!(copy, bytes);
        return;
    }
    let right = |bytes: &[u8]| {
        let packet = IpPacket::parse(bytes).expect("lengths are unchanged");
        let mut sum = if packet.is_v6() { packet.pseudo_header() } else { Sum::default() };
        sum.add(packet.payload());
        sum.is_right()
    };
    assert_eq!(right(&copy), right(bytes));
    let (before, after) = (IpPacket::parse(bytes), IpPacket::parse(&copy));
    let (before, after) = (before.expect("parsed"), after.expect("parsed"));
    assert_eq!((before.source, before.destination), (after.destination, after.source));
    assert_eq!(&copy[after.header_len + 4..], &bytes[before.header_len + 4..]);
}
