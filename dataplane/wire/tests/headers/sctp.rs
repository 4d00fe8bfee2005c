//! SCTP: chunks, INIT's parameters, and CRC32c against its definition.

use std::net::IpAddr;

use proptest::prelude::*;
use tmm_wire::ParseError;
use tmm_wire::build::{self, Envelope, SctpEnds, SctpInit};
use tmm_wire::ip::IpPacket;
use tmm_wire::sctp::{self, ChunkKind, Crc, Parameter, SctpPacket};

/// CRC32c bit by bit (RFC 9260 appendix A: polynomial 1edc6f41, reflected).
fn slow_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

fn ends() -> (Envelope, SctpEnds) {
    let envelope = Envelope::new([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
    (envelope, SctpEnds { source_port: 38_412, destination_port: 38_413, tag: 0x1234_5678 })
}

/// The check value of CRC32c ("123456789" gives e3069283).
#[test]
fn slow_crc_is_the_published_one() {
    assert_eq!(slow_crc(b"123456789"), 0xe306_9283);
}

proptest! {
    #[test]
    fn checksum_is_the_crc_with_a_zero_field_however_it_is_cut(
        bytes in prop::collection::vec(any::<u8>(), 12..90),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let mut zeroed = bytes.clone();
        zeroed[8..12].fill(0);
        let expected = slow_crc(&zeroed).to_le_bytes();
        prop_assert_eq!(sctp::checksum(&bytes), expected);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut crc = Crc::default();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            crc.add(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(crc.field(), expected);
        prop_assert_eq!(sctp::checksum_is_right(&bytes), bytes[8..12] == expected);
        let mut right = bytes.clone();
        right[8..12].copy_from_slice(&expected);
        prop_assert!(sctp::checksum_is_right(&right));
    }

    #[test]
    fn chunk_that_was_written_reads_the_same(
        kind in any::<u8>(), flags in any::<u8>(), value in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (envelope, ends) = ends();
        let mut out = [0xaa; 128];
        let len = build::sctp_packet(&mut out, &envelope, &ends, kind, flags, &value).unwrap();
        let ip = IpPacket::parse(&out[..len]).unwrap();
        prop_assert!(sctp::checksum_is_right(ip.payload()));
        prop_assert_eq!(ip.payload().len() % 4, 0);
        let packet = SctpPacket::parse(ip.payload()).unwrap();
        prop_assert_eq!(packet.header.verification_tag.get(), 0x1234_5678);
        let chunk = packet.first().unwrap();
        prop_assert_eq!(chunk.kind, ChunkKind::from_number(kind));
        prop_assert_eq!((chunk.flags, chunk.value), (flags, &value[..]));
        prop_assert_eq!(packet.chunks().count(), 1);
    }
}

/// An INIT with both kinds of address, a cookie, a host name and an unknown parameter.
#[test]
fn parameters_of_init_are_read_in_order() {
    let mut value = [0, 0, 0, 9, 0, 1, 0, 0, 0, 16, 0, 17, 0, 0, 0, 1].to_vec();
    value.extend([0, 5, 0, 8, 192, 0, 2, 7]);
    value.extend([0, 6, 0, 20, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    value.extend([0, 7, 0, 6, 1, 2, 0, 0]);
    value.extend([0, 11, 0, 6, b'a', 0, 0, 0]);
    value.extend([0x80, 8, 0, 6, 1, 2]);
    let (envelope, ends) = ends();
    let mut out = [0; 256];
    let len = build::sctp_packet(&mut out, &envelope, &ends, 1, 0, &value).unwrap();
    let packet = SctpPacket::parse(&out[20..len]).unwrap();
    let init = packet.first().unwrap().init().unwrap();
    assert_eq!((init.initiate_tag, init.receiver_window), (9, 65_536));
    assert_eq!((init.outbound_streams, init.inbound_streams, init.initial_tsn), (16, 17, 1));
    let (v4, v6): (IpAddr, IpAddr) =
        ([192, 0, 2, 7].into(), "2001:db8::7".parse::<IpAddr>().unwrap());
    let parameters: Vec<_> = init.parameters().map(Result::unwrap).collect();
    assert_eq!(
        parameters,
        [
            Parameter::Address(v4),
            Parameter::Address(v6),
            Parameter::Cookie(&[1, 2]),
            Parameter::HostName,
            Parameter::Other { kind: 0x8008, value: &[1, 2] },
        ]
    );
    assert_eq!(init.addresses().collect::<Vec<_>>(), [v4, v6]);
}

#[test]
fn init_beside_another_chunk_is_refused() {
    let (envelope, ends) = ends();
    let mut out = [0; 128];
    let init = SctpInit { initiate_tag: 1, receiver_window: 1500, streams: 1, initial_tsn: 1 };
    let len = build::sctp_init(&mut out, &envelope, &ends, &init).unwrap();
    let mut bytes = out[20..len].to_vec();
    assert!(SctpPacket::parse(&bytes).is_ok());
    bytes.extend([11, 0, 0, 4]);
    assert!(matches!(SctpPacket::parse(&bytes), Err(ParseError::SctpBundled)));
}

#[test]
fn packet_without_a_chunk_is_refused() {
    assert!(matches!(SctpPacket::parse(&[0; 12]), Err(ParseError::SctpChunk)));
}

/// RFC 9260 §8.4: what answers a packet that belongs to no association.
#[test]
fn abort_out_of_the_blue_carries_the_tag_that_its_receiver_takes() {
    let answer = |tag: u32, kind: u8, value: &[u8]| {
        let (envelope, mut ends) = ends();
        ends.tag = tag;
        let mut asked = [0; 128];
        let len = build::sctp_packet(&mut asked, &envelope, &ends, kind, 0, value).unwrap();
        let ip = IpPacket::parse(&asked[..len]).unwrap();
        let packet = SctpPacket::parse(ip.payload()).unwrap();
        let mut out = [0; 128];
        let len = build::sctp_abort_for(&mut out, &ip, &packet).unwrap();
        (len > 0).then(|| {
            let ip = IpPacket::parse(&out[..len]).unwrap();
            assert_eq!(ip.source, IpAddr::from([198, 51, 100, 2]));
            let packet = SctpPacket::parse(ip.payload()).unwrap();
            let chunk = packet.first().unwrap();
            assert_eq!(chunk.kind, ChunkKind::Abort);
            assert_eq!(packet.header.source_port.get(), 38_413);
            (packet.header.verification_tag.get(), chunk.reflects_tag())
        })
    };
    let init = [0, 0, 0, 9, 0, 1, 0, 0, 0, 16, 0, 16, 0, 0, 0, 1];
    assert_eq!(answer(0, 1, &init), Some((9, false)), "INIT: its initiate tag");
    assert_eq!(answer(5, 1, &init), None, "INIT with a tag is malformed");
    assert_eq!(answer(0, 1, &[0; 16]), None, "initiate tag 0 is malformed");
    assert_eq!(answer(5, 0, &[0; 13]), Some((5, true)), "DATA: its own tag, reflected");
    for silent in [6, 14, 9, 11] {
        assert_eq!(answer(5, silent, &[]), None, "chunk {silent}");
    }
}
