//! The same bytes read here and by `etherparse`, an independent parser.

use etherparse::{
    IpDscp, IpEcn, IpFragOffset, IpHeaders, Ipv4Header as TheirIpv4, Ipv4HeaderSlice,
    Ipv6Header as TheirIpv6, NetSlice, PacketBuilder, SlicedPacket, TcpHeader as TheirTcp,
    TcpHeaderSlice, TcpOptionElement, TransportSlice, UdpHeader as TheirUdp,
};
use proptest::prelude::*;
use tmm_wire::ip;
use tmm_wire::ipv4::Ipv4Packet;
use tmm_wire::ipv6::Ipv6Packet;
use tmm_wire::tcp::{TcpOption, TcpSegment};
use tmm_wire::udp::UdpDatagram;
use tmm_wire::{IpPacket, LinkLayer};

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

proptest! {
    /// What they write we read with the same fields, and a right checksum.
    #[test]
    fn ipv4_header_they_wrote_reads_the_same(
        source in any::<[u8; 4]>(), destination in any::<[u8; 4]>(), ttl in any::<u8>(),
        dscp in 0..64_u8, ecn in 0..4_u8, id in any::<u16>(), offset in 0..0x2000_u16,
        dont in any::<bool>(), more in any::<bool>(),
        options in prop::collection::vec(any::<u8>(), 0..=10), payload in payload(),
    ) {
        let len = payload.len() as u16;
        let mut theirs = TheirIpv4::new(len, ttl, etherparse::IpNumber(253), source, destination).unwrap();
        theirs.dscp = IpDscp::try_new(dscp).unwrap();
        theirs.ecn = IpEcn::try_new(ecn).unwrap();
        theirs.identification = id;
        theirs.dont_fragment = dont;
        theirs.more_fragments = more;
        theirs.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        let mut padded = options.clone();
        padded.resize(options.len().next_multiple_of(4), 0);
        theirs.options = padded.as_slice().try_into().unwrap();
        theirs.total_len = (theirs.header_len() + payload.len()) as u16;
        theirs.header_checksum = theirs.calc_header_checksum();
        let mut bytes = vec![];
        theirs.write(&mut bytes).unwrap();
        bytes.extend(&payload);
        bytes.extend([0xee; 7]); // Ethernet padding

        let ours = Ipv4Packet::parse(&bytes).unwrap();
        prop_assert!(ours.checksum_is_right());
        prop_assert_eq!(ours.options, &padded[..]);
        prop_assert_eq!(ours.payload, &payload[..]);
        let header = ours.header;
        prop_assert_eq!(header.source().octets(), source);
        prop_assert_eq!(header.destination().octets(), destination);
        prop_assert_eq!((header.ttl, header.protocol, header.id.get()), (ttl, 253, id));
        prop_assert_eq!(header.traffic_class, dscp << 2 | ecn);
        prop_assert_eq!(header.dont_fragment(), dont);
        let fragment = header.fragment();
        prop_assert_eq!(fragment.is_some(), more || offset > 0);
        if let Some(fragment) = fragment {
            prop_assert_eq!((fragment.offset, fragment.more), (offset << 3, more));
        }

        // Our rewrite leaves a header that they read with a right checksum.
        let mut rewritten = bytes.clone();
        let (header, _) = <tmm_wire::ipv4::Ipv4Header as tmm_wire::Header>::split_mut(&mut rewritten).unwrap();
        header.set_source([10, 0, 0, 1].into());
        header.set_destination([10, 0, 0, 2].into());
        prop_assert_eq!(header.decrement_ttl(), ttl > 0);
        let read = Ipv4HeaderSlice::from_slice(&rewritten).unwrap().to_header();
        prop_assert_eq!(read.header_checksum, read.calc_header_checksum());
        prop_assert_eq!((read.source, read.destination), ([10, 0, 0, 1], [10, 0, 0, 2]));
        prop_assert_eq!(read.time_to_live, ttl.saturating_sub(1));
        prop_assert_eq!((read.dscp.value(), read.ecn.value()), (dscp, ecn));
    }

    #[test]
    fn ipv6_header_they_wrote_reads_the_same(
        source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(), hops in any::<u8>(),
        class in any::<u8>(), label in 0..0x10_0000_u32, payload in payload(),
    ) {
        let theirs = TheirIpv6 {
            traffic_class: class,
            flow_label: label.try_into().unwrap(),
            payload_length: payload.len() as u16,
            next_header: etherparse::IpNumber(253),
            hop_limit: hops,
            source,
            destination,
        };
        let mut bytes = vec![];
        theirs.write(&mut bytes).unwrap();
        bytes.extend(&payload);
        bytes.extend([0xee; 7]);
        let ours = Ipv6Packet::parse(&bytes).unwrap();
        let header = ours.header;
        prop_assert_eq!(header.source().octets(), source);
        prop_assert_eq!(header.destination().octets(), destination);
        prop_assert_eq!((header.traffic_class(), header.flow_label()), (class, label));
        prop_assert_eq!((header.hop_limit, header.next_header), (hops, 253));
        prop_assert_eq!(ours.payload, &payload[..]);
        let upper = ours.upper_layer().unwrap();
        prop_assert_eq!((upper.protocol, upper.offset), (253, 0));
    }

    /// Any bytes: where both take the packet as IP, both say the same of it.
    #[test]
    fn whole_frames_they_wrote_read_the_same(
        ports in any::<(u16, u16)>(), sequence in any::<u32>(), window in any::<u16>(),
        tag in prop::option::of(1..4095_u16), v6 in any::<bool>(), tcp in any::<bool>(),
        mss in any::<u16>(), scale in 0..15_u8, stamps in any::<(u32, u32)>(), payload in payload(),
    ) {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = if v6 {
            IpHeaders::Ipv6(TheirIpv6 { hop_limit: 9, source: [1; 16], destination: [3; 16], ..TheirIpv6::default() }, Default::default())
        } else {
            let header = TheirIpv4 { time_to_live: 9, source: [1; 4], destination: [3; 4], ..TheirIpv4::default() };
            IpHeaders::Ipv4(header, Default::default())
        };
        let step = match tag {
            Some(tag) => builder.single_vlan(etherparse::VlanId::try_new(tag).unwrap()).ip(ip),
            None => builder.ip(ip),
        };
        let mut bytes = vec![];
        if tcp {
            let options = [
                TcpOptionElement::MaximumSegmentSize(mss),
                TcpOptionElement::Noop,
                TcpOptionElement::WindowScale(scale),
                TcpOptionElement::SelectiveAcknowledgementPermitted,
                TcpOptionElement::Timestamp(stamps.0, stamps.1),
            ];
            let mut header = TheirTcp::new(ports.0, ports.1, sequence, window);
            header.set_options(&options).unwrap();
            header.psh = true;
            step.tcp_header(header).write(&mut bytes, &payload).unwrap();
        } else {
            step.udp(ports.0, ports.1).write(&mut bytes, &payload).unwrap();
        }

        let link = LinkLayer::parse(&bytes, None).unwrap();
        prop_assert_eq!(link.vlan.map(|vlan| vlan.get()), tag);
        let packet = IpPacket::parse(&bytes[link.payload..]).unwrap();
        prop_assert_eq!((packet.is_v6(), packet.hop_limit), (v6, 9));
        let mut sum = packet.pseudo_header();
        sum.add(packet.payload());
        prop_assert!(sum.is_right(), "their checksum is right by ours");
        if tcp {
            let segment = TcpSegment::parse(packet.payload()).unwrap();
            let header = segment.header;
            prop_assert_eq!((header.source_port.get(), header.destination_port.get()), ports);
            prop_assert_eq!((header.sequence.get(), header.window.get()), (sequence, window));
            prop_assert_eq!(segment.payload, &payload[..]);
            let options: Vec<_> = segment.options().map(Result::unwrap).collect();
            prop_assert_eq!(options, vec![
                TcpOption::MaximumSegmentSize(mss),
                TcpOption::WindowScale(scale),
                TcpOption::SackPermitted,
                TcpOption::Timestamps { value: stamps.0, echo: stamps.1 },
            ]);
        } else {
            let datagram = UdpDatagram::parse(packet.payload()).unwrap();
            let header = datagram.header;
            prop_assert_eq!((header.source_port.get(), header.destination_port.get()), ports);
            prop_assert_eq!(datagram.payload, &payload[..]);
        }
    }

    /// Any bytes behind an IP version: where we take the packet, they take it with the same ends,
    /// protocol and payload; where they refuse it for its lengths, so do we.
    #[test]
    fn any_packet_is_read_alike_or_refused(
        v6 in any::<bool>(), mut bytes in prop::collection::vec(any::<u8>(), 40..120), ihl in 5..8_u8,
        length in 20..120_u16, next in prop_oneof![Just(6_u8), Just(17), Just(0), Just(44), Just(60), any::<u8>()],
    ) {
        if v6 {
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            bytes[6] = next;
        } else {
            bytes[0] = 0x40 | ihl;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[9] = next;
        }
        let Ok(ours) = IpPacket::parse(&bytes) else { return Ok(()) };
        let Ok((theirs, _)) = IpHeaders::from_slice(&bytes) else {
            // They read an authentication header (51) and refuse a broken one; to us it is payload.
            prop_assert_eq!(ours.protocol, 51);
            return Ok(());
        };
        match &theirs {
            IpHeaders::Ipv4(header, _) => {
                prop_assert_eq!(ours.source, std::net::IpAddr::from(header.source));
                prop_assert_eq!(ours.protocol, header.protocol.0);
                prop_assert_eq!(ours.fragment.is_some(), header.is_fragmenting_payload());
            }
            IpHeaders::Ipv6(header, _) => {
                prop_assert_eq!(ours.source, std::net::IpAddr::from(header.source));
                let sliced = SlicedPacket::from_ip(&bytes);
                if let Ok(SlicedPacket { net: Some(NetSlice::Ipv6(slice)), .. }) = sliced {
                    // They read AH and the mobility headers too; we stop at what we do not walk.
                    let walked = !matches!(ours.protocol, 135 | 139 | 140);
                    if walked {
                        prop_assert_eq!(ours.protocol, slice.payload().ip_number.0);
                        prop_assert_eq!(ours.payload(), slice.payload().payload);
                    }
                }
            }
        }
    }

    #[test]
    fn transport_headers_are_refused_alike(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(TcpSegment::parse(&bytes).is_ok(), TcpHeaderSlice::from_slice(&bytes).is_ok());
        prop_assert_eq!(
            tmm_wire::udp::UdpHeader::LEN <= bytes.len(),
            TheirUdp::from_slice(&bytes).is_ok()
        );
    }
}

use tmm_wire::Header as _;

#[test]
fn extension_chain_is_walked_to_the_transport_as_they_do() {
    // Hop-by-hop, routing, destination options, then UDP.
    let mut bytes = vec![];
    let header = TheirIpv6 {
        payload_length: 32,
        next_header: etherparse::IpNumber(0),
        hop_limit: 1,
        ..TheirIpv6::default()
    };
    header.write(&mut bytes).unwrap();
    bytes.extend([43, 0, 1, 4, 0, 0, 0, 0, 60, 0, 4, 1, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]);
    bytes.extend([0, 1, 0, 2, 0, 8, 0, 0]);
    let ours = IpPacket::parse(&bytes).unwrap();
    assert_eq!((ours.protocol, ours.header_len), (ip::UDP, 64));
    assert!(ours.has_options && ours.is_source_routed);
    let theirs = SlicedPacket::from_ip(&bytes).unwrap();
    assert!(matches!(theirs.transport, Some(TransportSlice::Udp(_))));
}
