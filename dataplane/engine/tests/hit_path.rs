//! The hit path and the closer look say the same of a frame of a known flow.
//!
//! Twins know the same flows; one takes a frame as a burst, so that the hit path sees it first, the
//! other as a frame that was handed to it, which takes the closer look alone. The three differences
//! that are meant (`fast`, module doc) are taken out of the frames or the comparison by name.

mod rig;

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, Ip, SERVER, SYN, Tcp, checksum};
use rig::{Rig, Seen, spec};
use tmm_engine::{DropReason, Handed};
use tmm_wire::buffer::HeapBuf;
use tmm_wire::{MacAddr, PortId, Protocol};

const V4: [&str; 3] = ["10.1.0.100:1000", "192.0.2.10:53", "10.2.0.11:5353"];
const V6: [&str; 3] = ["[2001:db8:1::100]:1000", "[2001:db8:f::10]:53", "[2001:db8:2::11]:5353"];

/// A worker that knows a UDP flow and an established TCP connection of each family.
fn knowing(outside_tag: u16) -> Rig {
    let mut spec = spec::vlans();
    spec.vlans[0].tag = outside_tag;
    for [_, vip, member] in [V4, V6] {
        spec::listen(&mut spec, Protocol::Udp, vip, &[member]);
        spec::listen(&mut spec, Protocol::Tcp, vip, &[member]);
    }
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig.introduce(&SERVER, "2001:db8:2::11");
    let client = outside(outside_tag);
    for [from, vip, member] in [V4, V6] {
        let syn = Tcp { flags: SYN, seq: 1000, ..Tcp::default() };
        let answer = Tcp { flags: SYN | ACK, seq: 5000, ack: 1001, payload: &[] };
        let opened = [
            rig.send(&client, client.udp(from, vip, b"query")),
            rig.send(&client, client.tcp(from, vip, syn)),
            rig.send(&SERVER, SERVER.tcp(member, from, answer)),
            rig.send(&client, client.tcp(from, vip, steady(&[]))),
        ];
        assert!(opened.iter().all(|seen| seen.len() == 1));
    }
    rig
}

fn outside(tag: u16) -> rig::Station {
    rig::Station { tag: (tag != 0).then_some(tag), ..CLIENT }
}

fn steady(payload: &[u8]) -> Tcp<'_> {
    Tcp { flags: ACK, seq: 1001, ack: 5001, payload }
}

/// One right frame of each flow and direction, with the port it comes to.
fn known(tag: u16) -> Vec<(u8, Vec<u8>)> {
    let client = outside(tag);
    let answer = Tcp { flags: ACK, seq: 5001, ack: 1001, payload: b"a page" };
    let mut frames = Vec::new();
    for [from, vip, member] in [V4, V6] {
        frames.extend([
            (0, client.udp(from, vip, b"query")),
            (1, SERVER.udp(member, from, b"answer")),
            (0, client.tcp(from, vip, steady(b"GET /"))),
            (1, SERVER.tcp(member, from, answer)),
        ]);
    }
    frames
}

/// What becomes of a frame.
#[derive(Debug, Eq, PartialEq)]
struct Verdict {
    out: Vec<Seen>,
    drops: Vec<(DropReason, u64)>,
    flows: String,
    vlans: Vec<String>,
}

fn verdict(rig: &mut Rig, port: u8, buf: HeapBuf, by_hit_path: bool) -> Verdict {
    let out = if by_hit_path {
        rig.burst_of(port, vec![buf])
    } else {
        rig.take_handed(vec![Handed::Frame { buf, port: PortId(port) }])
    };
    let counters = rig.worker.counters();
    Verdict {
        out,
        drops: counters.drop_rows().filter(|row| row.1 > 0).collect(),
        flows: format!("{:?}", rig.worker.flows().rows(rig.now).collect::<Vec<_>>()),
        vlans: rig
            .config
            .vlans()
            .map(|vlan| format!("{:?}", counters.vlan(vlan.slot).queued))
            .collect(),
    }
}

/// Difference 1: makes the IPv4 header checksum of `frame` right, wherever its IP header begins.
fn mend_checksum(frame: &mut [u8], l3: usize) {
    if let Some(header) = frame.get_mut(l3..l3 + 20).filter(|header| header[0] == 0x45) {
        header[10..12].fill(0);
        let sum = checksum(&[header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Difference 2: cuts what lies behind the IP packet.
fn cut_padding(frame: &mut Vec<u8>, l3: usize) {
    let word = |at: usize| {
        frame.get(at..at + 2).map(|word| usize::from(u16::from_be_bytes([word[0], word[1]])))
    };
    let len = match frame.get(l3).map(|byte| byte >> 4) {
        Some(4) => word(l3 + 2),
        Some(6) => word(l3 + 4).map(|len| len + 40),
        _ => None,
    };
    if let Some(len) = len.filter(|len| *len >= 20) {
        frame.truncate(l3 + len);
    }
}

fn untag(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &frame[16..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_of_a_known_flow_has_one_verdict_on_both_ways(
        tag in prop::sample::select(vec![0u16, 10]),
        pick in 0usize..8,
        changes in prop::collection::vec((0usize..90, any::<u8>()), 0..3),
        length in prop::option::weighted(0.2, 0usize..120),
        strip in any::<bool>(),
        stripped in prop::option::weighted(0.3, prop::sample::select(
            vec![0u16, 10, 20, 11, 999, 4095, 0xe00a, 0xf000],
        )),
    ) {
        let (port, mut frame) = known(tag).swap_remove(pick);
        let had_tag = frame[12..14] == [0x81, 0];
        let tci = u16::from_be_bytes([frame[14], frame[15]]);
        if had_tag && strip {
            frame = untag(&frame);
        }
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        if let Some(length) = length {
            frame.resize(length, 0xaa);
        }
        let l3 = if frame.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
        mend_checksum(&mut frame, l3);
        cut_padding(&mut frame, l3);
        // Difference 3.
        prop_assume!(frame.get(6..12) != Some(&[0; 6]));
        let mut buf = HeapBuf::new(&frame);
        if let Some(tci) = stripped.or((had_tag && strip).then_some(tci)) {
            buf = buf.with_stripped_vlan(tci);
        }
        let (mut fast, mut close) = (knowing(tag), knowing(tag));
        let said = verdict(&mut fast, port, buf.clone(), true);
        prop_assert_eq!(&said, &verdict(&mut close, port, buf, false));
        // What the trackers keep shows in what they do next.
        let reset = Tcp { flags: rig::craft::RST, seq: 5001, ..Tcp::default() };
        for [from, _, member] in [V4, V6] {
            let reset = HeapBuf::new(&SERVER.tcp(member, from, reset));
            let said = verdict(&mut fast, 1, reset.clone(), true);
            prop_assert_eq!(&said, &verdict(&mut close, 1, reset, false));
        }
    }
}

#[test]
fn a_frame_with_two_tags_is_dropped_on_a_known_flow_too() {
    for (port, frame) in known(10) {
        let mut rig = knowing(10);
        let before = rig.drops(DropReason::VlanUnknown);
        let buf = HeapBuf::new(&frame).with_stripped_vlan(999);
        assert_eq!(rig.burst_of(port, vec![buf]), []);
        assert_eq!(rig.drops(DropReason::VlanUnknown), before + 1);
    }
}

#[test]
fn a_frame_from_a_group_is_dropped_on_a_known_flow_too() {
    for (port, mut frame) in known(10) {
        frame[6] |= 1;
        let station = if port == 0 { CLIENT } else { SERVER };
        knowing(10).must_drop(&station, frame, DropReason::BadSourceMac);
    }
}

#[test]
fn a_tcp_header_longer_than_its_segment_is_dropped_on_a_known_flow_too() {
    for offset in [0x40, 0xf0] {
        for (port, mut frame) in known(10).into_iter().filter(|(_, frame)| is_tcp(frame)) {
            let l4 = if frame[16..18] == [8, 0] { 18 + 20 } else { 18 + 40 };
            frame[l4 + 12] = offset;
            let station = if port == 0 { CLIENT } else { SERVER };
            knowing(10).must_drop(&station, frame, DropReason::BadL4Header);
        }
    }
}

fn is_tcp(frame: &[u8]) -> bool {
    if frame[16..18] == [8, 0] { frame[18 + 9] == 6 } else { frame[18 + 6] == 6 }
}

/// The differences that are meant, and proof that the twins take different ways.
#[test]
fn the_hit_path_leaves_a_wrong_ipv4_checksum_wrong_and_keeps_padding() {
    let (mut fast, mut close) = (knowing(10), knowing(10));
    for (port, frame) in known(10) {
        let mut padded = frame.clone();
        padded.extend([0xaa; 7]);
        let by_hit = verdict(&mut fast, port, HeapBuf::new(&padded), true);
        let by_look = verdict(&mut close, port, HeapBuf::new(&padded), false);
        let [(hit, look)] = &by_hit.out.iter().zip(&by_look.out).collect::<Vec<_>>()[..] else {
            panic!("{by_hit:?} {by_look:?}")
        };
        assert_eq!(hit.packet.len(), look.packet.len() + 7, "the hit path took it");
        assert_eq!(hit.packet[..look.packet.len()], look.packet);

        if frame[16..18] == [8, 0] {
            let mut wrong = frame;
            wrong[18 + 10] ^= 1;
            let by_hit = verdict(&mut fast, port, HeapBuf::new(&wrong), true);
            assert_eq!(by_hit.out.len(), 1);
            assert!(!by_hit.out[0].checksums_are_right(), "still wrong for its receiver");
            let dropped = close.drops(DropReason::BadIpv4Checksum);
            assert_eq!(verdict(&mut close, port, HeapBuf::new(&wrong), false).out, []);
            assert_eq!(close.drops(DropReason::BadIpv4Checksum), dropped + 1);
        }
    }
    let [from, vip, member] = V4;
    let nobody = rig::Station { mac: MacAddr::default(), ..SERVER };
    assert_eq!(fast.send(&nobody, nobody.udp(member, from, b"answer")).len(), 1);
    // A request's is compared with the last hop that the answers go to.
    let nobody = rig::Station { mac: MacAddr::default(), ..CLIENT };
    fast.must_drop(&nobody, nobody.udp(from, vip, b"query"), DropReason::BadSourceMac);
    let plain = Ip { ttl: 1, ..Ip::default() };
    let seen = fast.send(&CLIENT, CLIENT.udp_with(plain, from, vip, b"query"));
    assert_eq!(seen[0].icmp(), (11, 0), "what is not plain takes the closer look");
}
