//! The traffic of the hit path: 64-byte frames of UDP flows to one virtual address, both ways.
//!
//! Flow `i` is one client address and port. Its forward frame goes to the virtual address on the
//! outside VLAN, its reply comes from the only member on the inside VLAN; both VLANs are tags on
//! port 1.1. What the engine must make of either is known, so receivers check it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tmm_config::spec::{
    ListenerSpec, MemberSpec, Method, ObjectRef, PoolSpec, ServiceDown, Snat, VlanSet, VlanSpec,
};
use tmm_config::{Config, Facts, PortFacts, Spec};
use tmm_wire::{MacAddr, PortId, Protocol};

/// Bytes of a frame, without FCS.
pub const FRAME: usize = 64;
/// Bytes of an IPv6 frame, without FCS.
pub const FRAME_V6: usize = FRAME + 20;
/// The port that all frames cross.
pub const PORT: PortId = PortId(0);
/// Its address.
pub const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The clients' router.
pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
/// The member.
pub const MEMBER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 2, 1]);

const OUTSIDE: u16 = 100;
const INSIDE: u16 = 200;
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1);
const VIP_PORT: u16 = 5000;
const MEMBER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 9);
const MEMBER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
const MEMBER_PORT: u16 = 6000;
const SELF_INSIDE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
const SELF_INSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);
const FIRST_CLIENT_PORT: u16 = 2000;

/// The configuration: two VLANs, one UDP listener of each family, no source translation.
#[must_use]
pub fn spec() -> Spec {
    let mut spec = Spec {
        generation: 1,
        hash_key: 42,
        vlans: vec![vlan("external", OUTSIDE, 1), vlan("internal", INSIDE, 2)],
        ..Spec::default()
    };
    for (vip, member) in
        [(IpAddr::V4(VIP), IpAddr::V4(MEMBER)), (IpAddr::V6(VIP_V6), IpAddr::V6(MEMBER_V6))]
    {
        let family = if vip.is_ipv6() { "v6" } else { "v4" };
        let object = ObjectRef {
            kind: "F5SPKIngressUDP".to_owned(),
            namespace: "bench".to_owned(),
            name: "udp".to_owned(),
        };
        let pool = format!("bench-udp-{family}");
        spec.pools.push(PoolSpec {
            name: pool.clone(),
            object: object.clone(),
            method: Method::RoundRobin,
            members: vec![MemberSpec {
                address: member,
                port: MEMBER_PORT,
                weight: 1,
                draining: false,
            }],
            monitors: Vec::new(),
        });
        spec.listeners.push(ListenerSpec {
            name: format!("bench-udp-udp-{family}"),
            object,
            protocol: Protocol::Udp,
            vip,
            port: VIP_PORT,
            vlans: VlanSet::All,
            pool,
            snat: Snat::None,
            idle_timeout: 3600,
            handshake_timeout: 5,
            reset_on_idle: false,
            service_down: ServiceDown::None,
        });
    }
    spec
}

fn vlan(name: &str, tag: u16, net: u8) -> VlanSpec {
    VlanSpec {
        id: format!("vlan-{name}"),
        name: name.to_owned(),
        tag,
        interfaces: vec!["1.1".to_owned()],
        mtu: 1500,
        self_v4: vec![Ipv4Addr::new(10, net, 0, 2)],
        prefix_v4: 24,
        self_v6: vec![Ipv6Addr::new(0x2001, 0xdb8, u16::from(net), 0, 0, 0, 0, 2)],
        prefix_v6: 64,
        auto_lasthop: true,
        allowed_services: Vec::new(),
    }
}

/// The compiled configuration.
///
/// # Errors
///
/// If the contract's checks refuse it, which is a defect here.
pub fn config() -> anyhow::Result<Config> {
    let mut facts = Facts::default();
    facts.ports.insert(PORT, PortFacts { max_mtu: 2000, link_up: true });
    let compiled = Config::compile(None, &spec(), &facts)
        .map_err(|errors| anyhow::anyhow!("the configuration is refused: {errors:?}"))?;
    anyhow::ensure!(compiled.problems.is_empty(), "left out: {:?}", compiled.problems);
    Ok(compiled.config)
}

/// One direction of one flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leg {
    /// Number of the flow.
    pub flow: u32,
    /// From the member to the client.
    pub is_reply: bool,
}

/// Address of flow `flow`'s client: 65,536 addresses, then the next port of each.
fn client(flow: u32) -> (Ipv4Addr, u16) {
    let [_, _, a, b] = flow.to_be_bytes();
    (Ipv4Addr::new(10, 9, a, b), FIRST_CLIENT_PORT + (flow >> 16) as u16)
}

/// What the frames of a direction have in common.
#[derive(Clone, Debug)]
pub struct Templates {
    forward: [u8; FRAME],
    reply: [u8; FRAME],
    /// Checksum sums without the client's address and port: IPv4 header, UDP.
    sums: [(u32, u32); 2],
}

impl Default for Templates {
    fn default() -> Self {
        let forward = template(ROUTER_MAC, OUTSIDE, [0; 4], 0, VIP.octets(), VIP_PORT);
        let reply = template(MEMBER_MAC, INSIDE, MEMBER.octets(), MEMBER_PORT, [0; 4], 0);
        Self { sums: [sums(&forward), sums(&reply)], forward, reply }
    }
}

impl Templates {
    /// Writes the frame of `leg` over the first [`FRAME`] bytes of `frame`; nothing if it is
    /// shorter.
    #[inline]
    pub fn write(&self, leg: Leg, frame: &mut [u8]) {
        let Some(frame) = frame.first_chunk_mut::<FRAME>() else { return };
        let (address, port) = client(leg.flow);
        let (address, port) = (address.octets(), port.to_be_bytes());
        let (at, port_at) = if leg.is_reply {
            *frame = self.reply;
            (34, 40)
        } else {
            *frame = self.forward;
            (30, 38)
        };
        frame[at..at + 4].copy_from_slice(&address);
        frame[port_at..port_at + 2].copy_from_slice(&port);
        let [a, b, c, d] = address;
        let words = u32::from(u16::from_be_bytes([a, b])) + u32::from(u16::from_be_bytes([c, d]));
        let (ip, udp) = self.sums[usize::from(leg.is_reply)];
        let udp = finish(udp + words + u32::from(u16::from_be_bytes(port)));
        frame[28..30].copy_from_slice(&finish(ip + words).to_be_bytes());
        frame[44..46].copy_from_slice(&some(udp).to_be_bytes());
    }
}

/// Where the client stands in a forward frame is the source, in a reply the destination; both at
/// the offsets of a tagged frame without options.
fn template(
    from: MacAddr,
    tag: u16,
    source: [u8; 4],
    source_port: u16,
    destination: [u8; 4],
    destination_port: u16,
) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&OUR_MAC.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&[0x81, 0]);
    frame[14..16].copy_from_slice(&tag.to_be_bytes());
    frame[16..18].copy_from_slice(&[8, 0]);
    let ip_len = (FRAME - 18) as u16;
    frame[18] = 0x45;
    frame[20..22].copy_from_slice(&ip_len.to_be_bytes());
    frame[24] = 0x40;
    frame[26] = 64;
    frame[27] = 17;
    frame[30..34].copy_from_slice(&source);
    frame[34..38].copy_from_slice(&destination);
    frame[38..40].copy_from_slice(&source_port.to_be_bytes());
    frame[40..42].copy_from_slice(&destination_port.to_be_bytes());
    frame[42..44].copy_from_slice(&(ip_len - 20).to_be_bytes());
    frame
}

/// Sums of a frame whose checksum fields are 0.
fn sums(frame: &[u8; FRAME]) -> (u32, u32) {
    let ip = words(&frame[18..38]);
    // The pseudo header: addresses, protocol, length.
    let udp = words(&frame[30..38]) + 17 + (FRAME - 38) as u32 + words(&frame[38..]);
    (ip, udp)
}

fn words(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum()
}

/// RFC 1071's end.
#[inline]
fn finish(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// A UDP checksum as it is sent: 0 would say that there is none (RFC 768).
#[inline]
const fn some(checksum: u16) -> u16 {
    if checksum == 0 { u16::MAX } else { checksum }
}

/// Whether `frame` is what the engine must make of a leg of one of `flows` flows.
#[must_use]
pub fn is_right(frame: &[u8], flows: u32) -> bool {
    let Some(frame) = frame.first_chunk::<FRAME>() else { return false };
    if frame[6..12] != OUR_MAC.0 || frame[12..14] != [0x81, 0] || frame[26] != 63 {
        return false;
    }
    let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let (source, destination) = ((address(30), half(38)), (address(34), half(40)));
    let (mac, tag, end) = (
        &frame[..6],
        half(14) & 0xfff,
        match half(14) & 0xfff {
            INSIDE if destination == (MEMBER, MEMBER_PORT) => source,
            OUTSIDE if source == (VIP, VIP_PORT) => destination,
            _ => return false,
        },
    );
    let to = if tag == INSIDE { MEMBER_MAC } else { ROUTER_MAC };
    let [_, _, a, b] = end.0.octets();
    let port = u32::from(end.1.wrapping_sub(FIRST_CLIENT_PORT));
    let flow = port << 16 | u32::from(a) << 8 | u32::from(b);
    let (ip, udp) = sums(frame);
    mac == to.0 && flow < flows && client(flow) == end && finish(ip) == 0 && finish(udp) == 0
}

/// Frames that make the member known, as if it had asked for our self IPs: ARP, then ND.
#[must_use]
pub fn introductions() -> [Vec<u8>; 2] {
    let head = |to: [u8; 6], ethertype: u16| {
        let mut frame = [to, MEMBER_MAC.0].concat();
        frame.extend([0x81, 0]);
        frame.extend(INSIDE.to_be_bytes());
        frame.extend(ethertype.to_be_bytes());
        frame
    };
    let mut arp = head([0xff; 6], 0x0806);
    arp.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(MEMBER_MAC.0);
    arp.extend(MEMBER.octets());
    arp.extend([0; 6]);
    arp.extend(SELF_INSIDE.octets());

    let [.., a, b, c] = SELF_INSIDE_V6.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(SELF_INSIDE_V6.octets());
    message.extend([1, 1]);
    message.extend(MEMBER_MAC.0);
    let pseudo = [&MEMBER_V6.octets()[..], &group.octets()].concat();
    let sum = finish(words(&pseudo) + 58 + message.len() as u32 + words(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut nd = head([0x33, 0x33, 0xff, a, b, c], 0x86dd);
    nd.extend([0x60, 0, 0, 0]);
    nd.extend((message.len() as u16).to_be_bytes());
    nd.extend([58, 255]);
    nd.extend(pseudo);
    nd.extend(message);
    [arp, nd]
}

/// Turns the engine's question for the member's MAC into the answer; false for other frames.
pub fn answer_arp(frame: &mut [u8]) -> bool {
    let Some(arp) = frame.first_chunk_mut::<46>() else { return false };
    if arp[16..18] != [0x08, 0x06] || arp[24..26] != [0, 1] || arp[42..46] != MEMBER.octets() {
        return false;
    }
    let asker: [u8; 10] = std::array::from_fn(|n| arp[26 + n]);
    arp[..6].copy_from_slice(&asker[..6]);
    arp[6..12].copy_from_slice(&MEMBER_MAC.0);
    arp[24..26].copy_from_slice(&[0, 2]);
    arp[26..32].copy_from_slice(&MEMBER_MAC.0);
    arp[32..36].copy_from_slice(&MEMBER.octets());
    arp[36..46].copy_from_slice(&asker);
    true
}

/// Writes the forward frame of flow `flow` over IPv6, with as much payload as an IPv4 frame has.
pub fn forward_v6(flow: u32, frame: &mut [u8; FRAME_V6]) {
    let [a, b, c, d] = flow.to_be_bytes();
    let client = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, a, b, c, d];
    let udp_len = (FRAME_V6 - 58) as u16;
    frame.fill(0);
    frame[..6].copy_from_slice(&OUR_MAC.0);
    frame[6..12].copy_from_slice(&ROUTER_MAC.0);
    frame[12..14].copy_from_slice(&[0x81, 0]);
    frame[14..16].copy_from_slice(&OUTSIDE.to_be_bytes());
    frame[16..19].copy_from_slice(&[0x86, 0xdd, 0x60]);
    frame[22..24].copy_from_slice(&udp_len.to_be_bytes());
    frame[24..26].copy_from_slice(&[17, 64]);
    frame[26..42].copy_from_slice(&client);
    frame[42..58].copy_from_slice(&VIP_V6.octets());
    frame[58..60].copy_from_slice(&FIRST_CLIENT_PORT.to_be_bytes());
    frame[60..62].copy_from_slice(&VIP_PORT.to_be_bytes());
    frame[62..64].copy_from_slice(&udp_len.to_be_bytes());
    let sum = finish(words(&frame[26..58]) + 17 + u32::from(udp_len) + words(&frame[58..]));
    frame[64..66].copy_from_slice(&some(sum).to_be_bytes());
}

/// Legs drawn uniformly from all flows and both directions.
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
    legs: u64,
}

impl Draw {
    /// Over `flows` flows.
    #[must_use]
    pub const fn new(flows: u32, seed: u64) -> Self {
        Self { state: seed | 1, legs: flows as u64 * 2 }
    }

    /// The next leg (xorshift64*; Vigna 2016).
    #[inline]
    pub const fn next_leg(&mut self) -> Leg {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        let leg = (high * self.legs) >> 32;
        Leg { flow: (leg >> 1) as u32, is_reply: leg & 1 == 1 }
    }
}

#[cfg(test)]
mod tests;
