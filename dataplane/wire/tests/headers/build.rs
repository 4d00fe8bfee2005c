//! Packets the engine originates, read back by `etherparse` and by our own views.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::{Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use tmm_wire::MacAddr;
use tmm_wire::build::{self, BuildError, Envelope, IcmpError, NdAnswer, Segment};
use tmm_wire::checksum::Sum;
use tmm_wire::icmp::Echo;
use tmm_wire::ip::IpPacket;
use tmm_wire::nd::{NdKind, NdMessage};
use tmm_wire::tcp::{TcpFlags, TcpOption, TcpSegment};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn envelope(v6: bool) -> Envelope {
    if v6 {
        Envelope::new([0xfd; 16].into(), [0xfc; 16].into())
    } else {
        Envelope::new([192, 0, 2, 1].into(), [198, 51, 100, 2].into())
    }
}

/// Whether the transport checksum of a packet is right.
fn right(packet: &[u8]) -> bool {
    let packet = IpPacket::parse(packet).unwrap();
    let mut sum =
        if packet.protocol == tmm_wire::ip::ICMP { Sum::default() } else { packet.pseudo_header() };
    sum.add(packet.payload());
    sum.is_right()
}

proptest! {
    #[test]
    fn tcp_segment_reads_back(
        v6 in any::<bool>(), ports in any::<(u16, u16)>(), numbers in any::<(u32, u32)>(),
        flags in 0..64_u8, window in any::<u16>(), mss in prop::option::of(any::<u16>()),
    ) {
        let segment = Segment {
            source_port: ports.0,
            destination_port: ports.1,
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags: TcpFlags(flags),
            window,
            mss,
        };
        let mut out = [0xaa; 128];
        let len = build::tcp(&mut out, &envelope(v6), &segment).unwrap();
        prop_assert!(right(&out[..len]));
        let read = SlicedPacket::from_ip(&out[..len]).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = read.transport else { panic!("TCP") };
        let tcp = tcp.to_header();
        prop_assert_eq!((tcp.source_port, tcp.destination_port), ports);
        prop_assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), numbers);
        let theirs = [tcp.fin, tcp.syn, tcp.rst, tcp.psh, tcp.ack, tcp.urg];
        let ours: Vec<bool> = (0..6).map(|bit| flags >> bit & 1 == 1).collect();
        prop_assert_eq!(&theirs[..], &ours[..]);
        prop_assert_eq!(tcp.window_size, window);
        let ip = IpPacket::parse(&out[..len]).unwrap();
        let options: Vec<_> =
            TcpSegment::parse(ip.payload()).unwrap().options().map(Result::unwrap).collect();
        let expected: Vec<_> = mss.into_iter().map(TcpOption::MaximumSegmentSize).collect();
        prop_assert_eq!(options, expected);
    }

    #[test]
    fn udp_datagram_reads_back_and_never_has_checksum_zero(
        v6 in any::<bool>(), ports in any::<(u16, u16)>(), data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut out = [0xaa; 160];
        let len = build::udp(&mut out, &envelope(v6), ports, &data).unwrap();
        let read = SlicedPacket::from_ip(&out[..len]).unwrap();
        let Some(TransportSlice::Udp(udp)) = read.transport else { panic!("UDP") };
        prop_assert_eq!((udp.source_port(), udp.destination_port()), ports);
        prop_assert_eq!(udp.payload(), &data[..]);
        prop_assert_ne!(udp.checksum(), 0);
        prop_assert!(right(&out[..len]));
    }

    #[test]
    fn echo_request_turns_into_its_reply(
        v6 in any::<bool>(), id in any::<u16>(), sequence in any::<u16>(),
        data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut out = [0xaa; 160];
        let asked = Envelope { hop_limit: 3, ..envelope(v6) };
        let len = build::echo(&mut out, &asked, Echo::Request, id, sequence, &data).unwrap();
        prop_assert!(right(&out[..len]));
        build::echo_reply_in_place(&mut out[..len]).unwrap();
        prop_assert!(right(&out[..len]));
        let back = Envelope::new(asked.destination, asked.source);
        let mut written = [0xaa; 160];
        let len = build::echo(&mut written, &back, Echo::Reply, id, sequence, &data).unwrap();
        prop_assert_eq!(&out[..len], &written[..len]);
        // A reply is not answered again.
        prop_assert!(build::echo_reply_in_place(&mut out[..len]).is_err());
    }

    /// RFC 1812 §4.3.2.3 and RFC 4443 §2.4 (c): as much of the packet as fits 576 and 1,280 bytes.
    #[test]
    fn error_quotes_as_much_as_the_limit_allows(v6 in any::<bool>(), size in 0..2000_usize) {
        let mut about = vec![0xaa; 2100];
        let len = build::udp(&mut about, &envelope(v6), (1, 2), &vec![7; size]).unwrap();
        let about = IpPacket::parse(&about[..len]).unwrap();
        let router = if v6 { IpAddr::from([0xfe; 16]) } else { IpAddr::from([203, 0, 113, 1]) };
        let mut out = [0xaa; build::MOST_ERROR_BYTES];
        let error = IcmpError::PortUnreachable;
        let written = build::icmp_error(&mut out, router, &about, error).unwrap();
        let (head, most) = if v6 { (48, 1280) } else { (28, 576) };
        prop_assert_eq!(written, (head + about.bytes.len()).min(most));
        prop_assert_eq!(&out[head..written], &about.bytes[..written - head]);
        prop_assert!(right(&out[..written]));
    }
}

#[test]
fn each_error_has_the_type_and_code_that_an_independent_parser_names() {
    use etherparse::icmpv4::DestUnreachableHeader as V4;
    use etherparse::icmpv6::{DestUnreachableCode as V6, TimeExceededCode};
    let read = |v6: bool, error: IcmpError| {
        let mut about = [0; 128];
        let len = build::udp(&mut about, &envelope(v6), (1, 2), b"data").unwrap();
        let about = IpPacket::parse(&about[..len]).unwrap();
        let router = if v6 { IpAddr::from([0xfe; 16]) } else { IpAddr::from([203, 0, 113, 1]) };
        let mut out = [0; 256];
        let len = build::icmp_error(&mut out, router, &about, error).unwrap();
        IpPacket::parse(&out[..len]).unwrap().payload().to_vec()
    };
    let v4 = |error| Icmpv4Slice::from_slice(&read(false, error)).unwrap().icmp_type();
    let v6 = |error| Icmpv6Slice::from_slice(&read(true, error)).unwrap().icmp_type();
    let unreachable = Icmpv4Type::DestinationUnreachable;
    assert_eq!(v4(IcmpError::NetUnreachable), unreachable(V4::Network));
    assert_eq!(v4(IcmpError::HostUnreachable), unreachable(V4::Host));
    assert_eq!(v4(IcmpError::PortUnreachable), unreachable(V4::Port));
    assert_eq!(
        v4(IcmpError::TooBig { mtu: 1400 }),
        unreachable(V4::FragmentationNeeded { next_hop_mtu: 1400 })
    );
    assert_eq!(v4(IcmpError::Prohibited), unreachable(V4::FilterProhibited));
    assert_eq!(
        v4(IcmpError::TimeExceeded),
        Icmpv4Type::TimeExceeded(etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit)
    );
    let unreachable = Icmpv6Type::DestinationUnreachable;
    assert_eq!(v6(IcmpError::NetUnreachable), unreachable(V6::NoRoute));
    assert_eq!(v6(IcmpError::HostUnreachable), unreachable(V6::Address));
    assert_eq!(v6(IcmpError::PortUnreachable), unreachable(V6::Port));
    assert_eq!(v6(IcmpError::Prohibited), unreachable(V6::Prohibited));
    assert_eq!(v6(IcmpError::TooBig { mtu: 1400 }), Icmpv6Type::PacketTooBig { mtu: 1400 });
    assert_eq!(
        v6(IcmpError::TimeExceeded),
        Icmpv6Type::TimeExceeded(TimeExceededCode::HopLimitExceeded)
    );
}

/// RFC 9293 §3.10.7.1: sequence from the acknowledgement, else zero and all of it acknowledged.
#[test]
fn reset_for_a_closed_port_is_one_its_receiver_accepts() {
    let reset = |flags: TcpFlags, data: usize| {
        let stray = Segment {
            source_port: 40_000,
            destination_port: 80,
            sequence: u32::MAX,
            acknowledgement: 77,
            flags,
            ..Segment::default()
        };
        let mut asked = [0; 128];
        let len = build::tcp(&mut asked, &envelope(false), &stray).unwrap() + data;
        asked[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        let ip = IpPacket::parse(&asked[..len]).unwrap();
        let segment = TcpSegment::parse(ip.payload()).unwrap();
        let mut out = [0; 128];
        let len = build::tcp_reset_for(&mut out, &ip, &segment).unwrap();
        (len > 0).then(|| {
            assert!(right(&out[..len]));
            let ip = IpPacket::parse(&out[..len]).unwrap();
            let header = *TcpSegment::parse(ip.payload()).unwrap().header;
            assert_eq!((header.source_port.get(), header.destination_port.get()), (80, 40_000));
            (header.flags, header.sequence.get(), header.acknowledgement.get())
        })
    };
    let rst_ack = TcpFlags::RST.with(TcpFlags::ACK);
    assert_eq!(reset(TcpFlags::ACK, 0), Some((TcpFlags::RST, 77, 0)));
    assert_eq!(reset(TcpFlags::SYN, 0), Some((rst_ack, 0, 0)));
    assert_eq!(reset(TcpFlags::FIN, 3), Some((rst_ack, 0, 3)));
    assert_eq!(reset(TcpFlags(0), 3), Some((rst_ack, 0, 2)));
    assert_eq!(reset(TcpFlags::RST, 0), None);
    assert_eq!(reset(rst_ack, 0), None);
}

fn nd(packet: &[u8]) -> (IpPacket<'_>, NdMessage) {
    assert!(right(packet));
    let ip = IpPacket::parse(packet).unwrap();
    assert_eq!(ip.hop_limit, 255);
    (ip, NdMessage::parse(ip.payload(), ip.hop_limit).unwrap())
}

#[test]
fn solicitation_goes_to_the_group_of_its_target_or_to_a_known_neighbour() {
    let (own, target): (Ipv6Addr, Ipv6Addr) =
        ("2001:db8::1".parse().unwrap(), "2001:db8::ab:cdef".parse().unwrap());
    let mut out = [0; 72];
    build::neighbour_solicitation(&mut out, (MAC, own), target, None).unwrap();
    let (ip, message) = nd(&out);
    assert_eq!(ip.destination, "ff02::1:ffab:cdef".parse::<IpAddr>().unwrap());
    assert_eq!(message, NdMessage { kind: NdKind::Solicitation, target, mac: Some(MAC) });
    build::neighbour_solicitation(&mut out, (MAC, own), target, Some(target)).unwrap();
    assert_eq!(nd(&out).0.destination, IpAddr::V6(target));
    assert!(matches!(Icmpv6Slice::from_slice(&out[40..]).unwrap().type_u8(), 135));
}

#[test]
fn advertisement_answers_its_asker_or_all_nodes() {
    let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let asker: Ipv6Addr = "2001:db8::2".parse().unwrap();
    let all_nodes: IpAddr = "ff02::1".parse().unwrap();
    let mut out = [0; 72];
    for (answer, destination, solicited) in [
        (NdAnswer::To(asker), IpAddr::V6(asker), true),
        (NdAnswer::To(Ipv6Addr::UNSPECIFIED), all_nodes, false),
        (NdAnswer::Unsolicited, all_nodes, false),
    ] {
        build::neighbour_advertisement(&mut out, target, target, MAC, answer).unwrap();
        let (ip, message) = nd(&out);
        assert_eq!(ip.destination, destination);
        let kind = NdKind::Advertisement { router: true, solicited, overriding: true };
        assert_eq!(message, NdMessage { kind, target, mac: Some(MAC) });
    }
}

#[test]
fn nd_message_from_beyond_a_router_or_with_a_broken_option_is_refused() {
    let own: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let mut out = [0; 72];
    build::neighbour_solicitation(&mut out, (MAC, own), own, None).unwrap();
    assert!(NdMessage::parse(&out[40..], 254).is_err());
    out[40 + 25] = 0;
    assert!(NdMessage::parse(&out[40..], 255).is_err());
}

#[test]
fn what_cannot_be_written_is_told_and_writes_nothing_behind_the_end() {
    let segment = Segment::default();
    assert_eq!(
        build::tcp(&mut [0; 39], &envelope(false), &segment),
        Err(BuildError::NoRoom { bytes: 40 })
    );
    let mixed = Envelope::new([192, 0, 2, 1].into(), [0xfd; 16].into());
    assert_eq!(build::tcp(&mut [0; 128], &mixed, &segment), Err(BuildError::Family));
    let mut out = vec![0; 70_000];
    let long = vec![0; 65_520];
    assert_eq!(build::udp(&mut out, &envelope(false), (1, 2), &long), Err(BuildError::TooLong));
    assert!(build::udp(&mut out, &envelope(true), (1, 2), &long).is_ok());
}

/// Whom an ICMP error may answer (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
#[test]
fn errors_are_not_caused_by_errors_groups_or_later_fragments() {
    let mut bytes = [0; 128];
    let len = build::udp(&mut bytes, &envelope(false), (1, 2), b"data").unwrap();
    let may = |bytes: &[u8]| IpPacket::parse(bytes).unwrap().may_cause_error();
    assert!(may(&bytes[..len]));
    let with = |at: usize, value: &[u8]| {
        let mut other = bytes[..len].to_vec();
        other[at..at + value.len()].copy_from_slice(value);
        may(&other)
    };
    assert!(!with(12, &[0, 0, 0, 0]), "from nobody");
    assert!(!with(12, &[224, 0, 0, 1]), "from a group");
    assert!(!with(16, &[224, 0, 0, 1]), "to a group");
    assert!(!with(16, &[255; 4]), "to all");
    assert!(!with(6, &[0, 1]), "later fragment");
    assert!(with(6, &[0x20, 0]), "first fragment");
    let echo = build::echo(&mut bytes, &envelope(true), Echo::Request, 1, 1, b"").unwrap();
    assert!(may(&bytes[..echo]));
    bytes[40] = 3;
    assert!(!may(&bytes[..echo]), "time exceeded");
    bytes[40] = 137;
    assert!(!may(&bytes[..echo]), "redirect");
}
