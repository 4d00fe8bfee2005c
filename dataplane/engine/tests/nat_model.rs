//! Translation against a slow and obvious model of it (crds.md §3.4.1, §3.4.7, §5.7 rules 3, 4).
//!
//! The model writes the packet it expects from scratch: addresses and ports of the flow, one less
//! TTL, checksums summed anew. What a flow may choose (member, source port) the model learns from
//! its first packet and checks; every other packet must then be equal byte by byte.

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, Ip, SERVER, SYN, checksum, ip_packet, pseudo_checksum};
use rig::{Rig, Seen, Station, spec};
use tmm_config::Spec;
use tmm_config::spec::Snat;
use tmm_wire::Protocol;

const MEMBERS_V4: [&str; 2] = ["10.2.0.11:8080", "10.2.0.12:8081"];
const MEMBERS_V6: [&str; 2] = ["[2001:db8:2::11]:8080", "[2001:db8:2::12]:8081"];

/// VIP, protocol, whether behind automap, whether members are asked on the client's port.
const VIPS: [(&str, Protocol, bool, bool); 7] = [
    ("192.0.2.10:80", Protocol::Tcp, false, false),
    ("192.0.2.10:53", Protocol::Udp, false, false),
    ("192.0.2.11:80", Protocol::Tcp, true, false),
    ("192.0.2.11:53", Protocol::Udp, true, false),
    ("[2001:db8:f::10]:80", Protocol::Tcp, true, false),
    ("[2001:db8:f::10]:53", Protocol::Udp, false, false),
    ("192.0.2.12:0", Protocol::Udp, true, true),
];

fn config() -> Spec {
    let mut spec = spec::vlans();
    for (vip, protocol, automap, any_port) in VIPS {
        let is_v6 = vip.starts_with('[');
        let mut members = if is_v6 { MEMBERS_V6 } else { MEMBERS_V4 };
        if any_port {
            members = ["10.2.0.11:0", "10.2.0.12:0"];
        }
        let at = spec::listen(&mut spec, protocol, vip, &members);
        spec.listeners[at].snat = if automap { Snat::Automap } else { Snat::None };
    }
    spec
}

fn ready(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    for address in ["10.2.0.11", "10.2.0.12", "2001:db8:2::11", "2001:db8:2::12"] {
        rig.introduce(&SERVER, address);
    }
    rig
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("address and port")
}

/// What is wrong with a packet before it comes to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// The transport checksum is off by this.
    Transport(u16),
    /// UDP over IPv4 without a checksum.
    NoSum,
}

/// One packet, in the terms of a reader.
#[derive(Clone, Debug)]
struct Packet {
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
    ip: Ip,
    id: u16,
    flags: u8,
    numbers: (u32, u32),
    payload: Vec<u8>,
    flaw: Flaw,
}

impl Packet {
    fn new(protocol: Protocol, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Self {
        Self {
            protocol,
            from,
            to,
            ip: Ip::default(),
            id: 0x1234,
            flags: ACK,
            numbers: (0, 0),
            payload: payload.to_vec(),
            flaw: Flaw::None,
        }
    }

    /// The IP packet, every checksum summed over what is written, then spoilt by the flaw.
    fn write(&self) -> (u16, Vec<u8>) {
        let number = self.protocol.number();
        let mut upper = [self.from.port().to_be_bytes(), self.to.port().to_be_bytes()].concat();
        let at = if self.protocol == Protocol::Tcp {
            upper.extend(self.numbers.0.to_be_bytes());
            upper.extend(self.numbers.1.to_be_bytes());
            upper.extend([0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
            16
        } else {
            let len = u16::try_from(8 + self.payload.len()).expect("fits");
            upper.extend(len.to_be_bytes());
            upper.extend([0, 0]);
            6
        };
        upper.extend(&self.payload);
        let mut sum = pseudo_checksum(self.from.ip(), self.to.ip(), number, &upper);
        match self.flaw {
            Flaw::None => {}
            // In one's complement, so that the model's flaw is the same after any translation.
            Flaw::Transport(off) => {
                let wide = u32::from(sum) + u32::from(off);
                sum = (wide as u16).wrapping_add((wide >> 16) as u16);
            }
            Flaw::NoSum => {}
        }
        // Zero has two forms: UDP writes the other one, as 0 is no checksum (RFC 768).
        sum = match (self.protocol, self.flaw, sum) {
            (_, Flaw::NoSum, _) | (Protocol::Tcp, _, 0xffff) => 0,
            (Protocol::Udp, _, 0) => 0xffff,
            (.., sum) => sum,
        };
        upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        let (kind, mut packet) = ip_packet(self.ip, self.from.ip(), self.to.ip(), number, &upper);
        if self.from.is_ipv4() {
            packet[4..6].copy_from_slice(&self.id.to_be_bytes());
            packet[10..12].fill(0);
            let sum = checksum(&[&packet[..20]]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (kind, packet)
    }

    /// The same packet behind a translation and one hop.
    fn translated(&self, from: SocketAddr, to: SocketAddr) -> Self {
        let ip = Ip { ttl: self.ip.ttl - 1, ..self.ip };
        Self { from, to, ip, ..self.clone() }
    }
}

/// A flow as the model knows it: what the member's side sees.
#[derive(Clone, Copy, Debug)]
struct Flow {
    source: SocketAddr,
    member: SocketAddr,
    /// Bytes that client and member have sent, TCP.
    sent: [u32; 2],
}

/// Every flow so far, by protocol, client and VIP.
#[derive(Default)]
struct Model {
    flows: BTreeMap<(u8, SocketAddr, SocketAddr), Flow>,
    /// Reply keys in use: no two flows may share one.
    replies: BTreeSet<(u8, SocketAddr, SocketAddr)>,
    next_member: BTreeMap<SocketAddr, usize>,
}

impl Model {
    /// Checks what a flow chose with its first packet and remembers it.
    fn learn(&mut self, at: usize, client: SocketAddr, vip: SocketAddr, seen: &Seen) -> Flow {
        let (_, protocol, automap, any_port) = VIPS[at];
        let members = if vip.is_ipv6() { MEMBERS_V6 } else { MEMBERS_V4 };
        let (source, member) = (socket(&seen.from()), socket(&seen.to()));
        // Round robin: each member in turn, per listener.
        let turn = self.next_member.entry(socket(VIPS[at].0)).or_default();
        let mut expected = socket(members[*turn % 2]);
        *turn += 1;
        if any_port {
            expected.set_port(vip.port());
        }
        assert_eq!(member, expected);
        if automap {
            let own: IpAddr =
                if vip.is_ipv6() { "2001:db8:2::2" } else { "10.2.0.2" }.parse().unwrap();
            assert_eq!(source.ip(), own);
            let kept = !self.replies.contains(&(
                protocol.number(),
                member,
                SocketAddr::new(own, client.port()),
            ));
            assert_eq!(source.port() == client.port(), kept, "a free port is kept, another is not");
            assert!(kept || source.port() >= 1024);
        } else {
            assert_eq!(source, client);
        }
        assert!(
            self.replies.insert((protocol.number(), member, source)),
            "a reply key is used twice"
        );
        let flow = Flow { source, member, sent: [0; 2] };
        self.flows.insert((protocol.number(), client, vip), flow);
        flow
    }
}

/// Sends a packet and checks that exactly the translated one comes out.
fn must_translate(
    rig: &mut Rig,
    station: &Station,
    packet: &Packet,
    from: SocketAddr,
    to: SocketAddr,
) {
    let (kind, bytes) = packet.write();
    let seen = rig.send(station, station.frame(kind, &bytes));
    let [out] = &seen[..] else { panic!("{packet:?} gave {seen:?}") };
    must_be(out, station, &packet.translated(from, to));
}

fn must_be(out: &Seen, came_from: &Station, expected: &Packet) {
    let (kind, bytes) = expected.write();
    assert_eq!((out.ethertype, &out.packet), (kind, &bytes), "{expected:?}");
    assert_eq!(out.checksums_are_right(), expected.flaw_is_harmless());
    let to = if came_from.port == 0 { SERVER } else { CLIENT };
    assert_eq!((out.port, out.tag, out.dst_mac), (to.port, to.tag, to.mac));
}

impl Packet {
    /// Whether a receiver takes the packet.
    fn flaw_is_harmless(&self) -> bool {
        match self.flaw {
            Flaw::None | Flaw::NoSum => true,
            Flaw::Transport(_) => false,
        }
    }
}

/// One step of a test.
#[derive(Clone, Debug)]
struct Step {
    vip: usize,
    client: u8,
    port: usize,
    reply: bool,
    ttl: u8,
    class: u8,
    id: u16,
    flaw: Flaw,
    payload: Vec<u8>,
}

fn step() -> impl Strategy<Value = Step> {
    let flaw = prop_oneof![
        4 => Just(Flaw::None),
        1 => (1..0xffff_u16).prop_map(Flaw::Transport),
        1 => Just(Flaw::NoSum),
    ];
    let payload = prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff)], 0..40);
    let who = (0..VIPS.len(), 1..4_u8, 0..3_usize, any::<bool>());
    (who, 2..=255_u8, any::<u8>(), any::<u16>(), flaw, payload).prop_map(
        |((vip, client, port, reply), ttl, class, id, flaw, payload)| Step {
            vip,
            client,
            port,
            reply,
            ttl,
            class,
            id,
            flaw,
            payload,
        },
    )
}

fn run(rig: &mut Rig, model: &mut Model, step: &Step) {
    let (text, protocol, _, any_port) = VIPS[step.vip];
    let mut vip = socket(text);
    if any_port {
        vip.set_port(7000 + step.port as u16);
    }
    // Clients share ports, so that automap meets taken ones.
    let port = [33_000, 33_001, 80][step.port];
    let client = if vip.is_ipv6() {
        SocketAddr::new([0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100 | u16::from(step.client)].into(), port)
    } else {
        SocketAddr::new([10, 1, 0, 100 + step.client].into(), port)
    };
    let known = model.flows.get(&(protocol.number(), client, vip)).copied();
    let Some(mut flow) = known else {
        open(rig, model, step.vip, client, vip);
        return;
    };
    let (from, to, station, side) =
        if step.reply { (flow.member, flow.source, SERVER, 1) } else { (client, vip, CLIENT, 0) };
    let mut packet = Packet::new(protocol, from, to, &step.payload);
    packet.ip = Ip { ttl: step.ttl, traffic_class: step.class, ..Ip::default() };
    packet.id = step.id;
    packet.flaw = match step.flaw {
        Flaw::NoSum if protocol == Protocol::Tcp || vip.is_ipv6() => Flaw::None,
        flaw => flaw,
    };
    packet.numbers = (flow.sent[side], flow.sent[1 - side]);
    let (new_from, new_to) = if step.reply { (vip, client) } else { (flow.source, flow.member) };
    must_translate(rig, &station, &packet, new_from, new_to);
    flow.sent[side] = flow.sent[side].wrapping_add(step.payload.len() as u32);
    model.flows.insert((protocol.number(), client, vip), flow);
}

/// The first packet of a flow; for TCP its handshake.
fn open(rig: &mut Rig, model: &mut Model, at: usize, client: SocketAddr, vip: SocketAddr) {
    let protocol = VIPS[at].1;
    let mut first = Packet::new(protocol, client, vip, b"");
    first.flags = SYN;
    first.numbers = (999, 0);
    let (kind, bytes) = first.write();
    let seen = rig.send(&CLIENT, CLIENT.frame(kind, &bytes));
    let [out] = &seen[..] else { panic!("{first:?} gave {seen:?}") };
    let mut flow = model.learn(at, client, vip, out);
    must_be(out, &CLIENT, &first.translated(flow.source, flow.member));
    if protocol == Protocol::Tcp {
        let mut second = Packet::new(protocol, flow.member, flow.source, b"");
        second.flags = SYN | ACK;
        second.numbers = (4999, 1000);
        must_translate(rig, &SERVER, &second, vip, client);
        let mut third = Packet::new(protocol, client, vip, b"");
        third.numbers = (1000, 5000);
        must_translate(rig, &CLIENT, &third, flow.source, flow.member);
        flow.sent = [1000, 5000];
        model.flows.insert((protocol.number(), client, vip), flow);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// CHK-067: over random packets of many flows, both families, TCP and UDP, with and without
    /// source translation: a checksum is right behind us exactly if it was before, a zero UDP
    /// checksum stays zero, TTL falls by one, DSCP and ECN stay, and nothing else changes.
    #[test]
    fn every_packet_leaves_as_the_model_writes_it(steps in prop::collection::vec(step(), 1..120)) {
        let mut rig = ready(&config());
        let mut model = Model::default();
        for step in &steps {
            run(&mut rig, &mut model, step);
        }
        prop_assert_eq!(rig.worker.flows().len() as usize, model.flows.len());
        prop_assert_eq!(rig.worker.counters().dropped(), 0);
    }
}

/// Sends `packets` in bursts and gives what comes out.
fn bursts(rig: &mut Rig, packets: impl Iterator<Item = Vec<u8>>) -> Vec<Seen> {
    let frames: Vec<Vec<u8>> = packets.map(|packet| CLIENT.frame(0x0800, &packet)).collect();
    frames.chunks(64).flat_map(|burst| rig.burst(CLIENT.port, burst.to_vec())).collect()
}

/// Opens one UDP flow and gives its ends.
fn udp_flow(rig: &mut Rig, vip: usize) -> (SocketAddr, SocketAddr, Flow) {
    let (client, vip_at) = (socket("10.1.0.101:33000"), socket(VIPS[vip].0));
    let mut model = Model::default();
    open(rig, &mut model, vip, client, vip_at);
    (client, vip_at, model.flows[&(17, client, vip_at)])
}

/// CHK-067: the header checksum takes every value once, on the hit path and on the closer look (a
/// packet with an IPv4 option), with and without source translation.
#[test]
fn header_checksum_is_right_for_each_of_its_values() {
    let mut rig = ready(&config());
    for vip in [1, 3] {
        let (client, vip, flow) = udp_flow(&mut rig, vip);
        for options in [false, true] {
            let packets = (0..=u16::MAX).map(|id| {
                let mut packet = Packet::new(Protocol::Udp, client, vip, b"x");
                packet.id = id;
                let (_, mut bytes) = packet.write();
                if options {
                    bytes[0] = 0x46;
                    bytes[3] += 4;
                    bytes.splice(20..20, [1, 1, 1, 0]);
                    bytes[10..12].fill(0);
                    let sum = checksum(&[&bytes[..24]]);
                    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
                }
                bytes
            });
            let seen = bursts(&mut rig, packets);
            assert_eq!(seen.len(), 0x1_0000);
            let wrong: Vec<u16> = seen
                .iter()
                .filter(|out| !out.checksums_are_right() || out.to() != flow.member.to_string())
                .map(|out| u16::from_be_bytes([out.packet[4], out.packet[5]]))
                .collect();
            assert_eq!(wrong, [0; 0], "ids, options {options}");
        }
    }
}

/// CHK-067: so does the UDP checksum, of which 0 stays 0 and no other becomes 0.
#[test]
fn udp_checksum_is_right_for_each_of_its_values() {
    let mut rig = ready(&config());
    for vip in [1, 3] {
        let (client, vip, _) = udp_flow(&mut rig, vip);
        let packets = (0..=u16::MAX)
            .map(|word| Packet::new(Protocol::Udp, client, vip, &word.to_be_bytes()).write().1);
        let seen = bursts(&mut rig, packets);
        assert_eq!(seen.len(), 0x1_0000);
        for out in &seen {
            assert!(out.checksums_are_right(), "payload {:02x?}", out.payload());
            assert_ne!(out.upper()[6..8], [0, 0], "payload {:02x?}", out.payload());
        }
        // And each wrong one stays wrong: the same datagrams with every other checksum.
        let packets = (1..=u16::MAX).map(|off| {
            let mut packet = Packet::new(Protocol::Udp, client, vip, b"spoilt");
            packet.flaw = Flaw::Transport(off);
            packet.write().1
        });
        let right =
            bursts(&mut rig, packets).iter().filter(|out| out.checksums_are_right()).count();
        assert_eq!(right, 1, "off by 0xffff alone is off by nothing in one's complement");
    }
}
