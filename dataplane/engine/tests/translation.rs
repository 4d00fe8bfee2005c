//! What a translated packet keeps: checksum validity, TTL less one, DSCP and ECN, payload.

mod rig;

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, Ip, SERVER, SYN, Tcp};
use rig::{Rig, Station, spec};
use tmm_config::Spec;
use tmm_config::spec::Snat;
use tmm_wire::Protocol;

/// TCP, UDP and SCTP listeners of both families with and without SNAT, and an egress.
fn config(snat: Snat) -> Spec {
    let mut spec = spec::vlans();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        for (vip, member) in
            [("192.0.2.10:80", "10.2.0.11:8080"), ("[2001:db8:f::10]:80", "[2001:db8:2::11]:8080")]
        {
            let at = spec::listen(&mut spec, protocol, vip, &[member]);
            spec.listeners[at].snat = snat;
        }
    }
    spec::egress(&mut spec);
    spec
}

/// One packet of `protocol` from `src` to `dst`.
fn packet(
    station: &Station,
    protocol: Protocol,
    ip: Ip,
    (src, dst): (&str, &str),
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => {
            let ack = u32::from(flags & ACK != 0) * 2;
            station.tcp_with(ip, src, dst, Tcp { flags, seq: 1, ack, payload })
        }
        Protocol::Udp => station.udp_with(ip, src, dst, payload),
        Protocol::Sctp => unreachable!("SCTP has its own suite"),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sum {
    Right,
    Wrong,
    Zero,
}

/// Offset of the checksum in the upper header.
const fn field(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp => 6,
        Protocol::Sctp => 8,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// CHK-067: through every translation and both directions a right checksum stays right, a
    /// wrong one wrong, a zero UDP checksum over IPv4 zero; TTL falls by 1, DSCP and ECN stay.
    #[test]
    fn translation_preserves_checksum_validity_and_lowers_the_ttl(
        tcp in any::<bool>(),
        v6 in any::<bool>(),
        automap in any::<bool>(),
        outward in any::<bool>(),
        hit in any::<bool>(),
        answer in any::<bool>(),
        ttl in 2u8..=255,
        traffic_class in any::<u8>(),
        sum in prop_oneof![Just(Sum::Right), Just(Sum::Wrong), Just(Sum::Zero)],
        flip in 1u16..,
        port in 1024u16..,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
        let mut rig = Rig::new(&config(if automap { Snat::Automap } else { Snat::None }));
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
        rig.introduce(&SERVER, "2001:db8:2::11");
        rig.introduce(&CLIENT, "10.1.0.100");
        rig.introduce(&CLIENT, "2001:db8:1::100");
        // Inwards through a listener, or outwards through the egress.
        let (from, to, asker, other) = match (outward, v6) {
            (false, false) => (format!("10.1.0.100:{port}"), "192.0.2.10:80", CLIENT, SERVER),
            (false, true) => {
                (format!("[2001:db8:1::100]:{port}"), "[2001:db8:f::10]:80", CLIENT, SERVER)
            }
            (true, false) => (format!("10.2.0.11:{port}"), "10.1.0.100:53", SERVER, CLIENT),
            (true, true) => {
                (format!("[2001:db8:2::11]:{port}"), "[2001:db8:1::100]:53", SERVER, CLIENT)
            }
        };
        let ip = Ip { ttl, traffic_class, ..Ip::default() };
        let first = packet(&asker, protocol, Ip::default(), (&from, to), SYN, b"");
        let mut last = None;
        if hit || answer {
            let seen = rig.send(&asker, first);
            prop_assert_eq!(seen.len(), 1);
            last = seen.into_iter().next();
        }
        let (station, mut frame) = match &last {
            Some(seen) if answer => {
                let ends = (seen.to(), seen.from());
                let flags = SYN | ACK;
                let frame = packet(&other, protocol, ip, (&ends.0, &ends.1), flags, &payload);
                (other, frame)
            }
            _ => (asker, packet(&asker, protocol, ip, (&from, to), SYN, &payload)),
        };
        let at = 18 + if v6 { 40 } else { 20 } + field(protocol);
        let right = u16::from_be_bytes([frame[at], frame[at + 1]]);
        let set = match sum {
            Sum::Right => right,
            // 0 and 0xffff are the same sum, and 0 would be "none" for UDP.
            Sum::Wrong => [right ^ flip, 0x1234, 0x4321]
                .into_iter()
                .find(|wrong| ![0, 0xffff, right].contains(wrong))
                .expect("one of three is wrong"),
            Sum::Zero if protocol == Protocol::Udp && !v6 => 0,
            Sum::Zero => right,
        };
        frame[at..at + 2].copy_from_slice(&set.to_be_bytes());
        let seen = rig.send(&station, frame);
        prop_assert_eq!(seen.len(), 1, "{:?}", rig.worker.counters());
        let seen = &seen[0];
        prop_assert_eq!(seen.ttl(), ttl - 1);
        prop_assert_eq!(seen.traffic_class(), traffic_class);
        prop_assert_eq!(seen.payload(), &payload[..]);
        let after = &seen.upper()[field(protocol)..field(protocol) + 2];
        if sum == Sum::Zero && protocol == Protocol::Udp && !v6 {
            prop_assert_eq!(after, [0u8, 0]);
            prop_assert!(seen.checksums_are_right(), "the IP header's");
        } else if sum == Sum::Wrong {
            prop_assert!(!seen.checksums_are_right());
        } else {
            prop_assert!(seen.checksums_are_right());
        }
    }
}

/// CHK-067 for SCTP: the CRC32c is right after every translation; a wrong one is dropped, so it is
/// never made right.
#[test]
fn sctp_packets_keep_a_right_crc_and_a_wrong_one_is_dropped() {
    let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
    for snat in [Snat::None, Snat::Automap] {
        let mut rig = Rig::new(&config(snat));
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
        rig.introduce(&SERVER, "2001:db8:2::11");
        for (from, to) in
            [("10.1.0.100:5", "192.0.2.10:80"), ("[2001:db8:1::100]:5", "[2001:db8:f::10]:80")]
        {
            let mut wrong = CLIENT.sctp(from, to, 0, &init);
            *wrong.last_mut().expect("bytes") ^= 1;
            rig.must_drop(&CLIENT, wrong, tmm_engine::DropReason::SctpBadCrc);
            let seen = rig.send(&CLIENT, CLIENT.sctp(from, to, 0, &init));
            assert!(seen.len() == 1 && seen[0].checksums_are_right());
            let answer = [&[2, 0, 0, 20, 0, 0, 0, 8][..], &init[8..]].concat();
            let (from, to) = (seen[0].to(), seen[0].from());
            let back = rig.send(&SERVER, SERVER.sctp(&from, &to, 9, &answer));
            assert!(back.len() == 1 && back[0].checksums_are_right());
            assert_eq!(back[0].ttl(), 63);
        }
    }
}
