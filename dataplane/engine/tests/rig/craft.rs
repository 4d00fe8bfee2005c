//! Frames as stations on our VLANs send them, written without the code under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tmm_wire::MacAddr;

use super::our_mac;

/// A station on a VLAN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Station {
    /// Our port that its frames come to.
    pub port: u8,
    /// Tag of its frames.
    pub tag: Option<u16>,
    /// Its MAC.
    pub mac: MacAddr,
}

/// A client or router outside, on VLAN 10 at port 1.1.
pub const CLIENT: Station =
    Station { port: 0, tag: Some(10), mac: MacAddr([0x02, 0, 0, 0, 1, 0x01]) };
/// Another station outside.
pub const ROUTER: Station =
    Station { port: 0, tag: Some(10), mac: MacAddr([0x02, 0, 0, 0, 1, 0x02]) };
/// A member inside, on VLAN 20 at port 1.2.
pub const SERVER: Station =
    Station { port: 1, tag: Some(20), mac: MacAddr([0x02, 0, 0, 0, 2, 0x01]) };

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
pub const FIN: u8 = 0x01;
pub const RST: u8 = 0x04;

/// What an IP packet of a station says besides addresses and payload.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    pub ttl: u8,
    pub traffic_class: u8,
    pub dont_fragment: bool,
    /// IPv4 flags and offset, ORed in; for IPv6 a fragment header with this offset field.
    pub fragment: Option<u16>,
}

impl Default for Ip {
    fn default() -> Self {
        Self { ttl: 64, traffic_class: 0, dont_fragment: true, fragment: None }
    }
}

/// One TCP segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub payload: &'a [u8],
}

impl Station {
    /// A frame to our MAC.
    pub fn frame(&self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        self.frame_to(our_mac(self.port), ethertype, payload)
    }

    /// A frame to any MAC.
    pub fn frame_to(&self, to: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = [to.0, self.mac.0].concat();
        if let Some(tag) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// An IP packet to our MAC.
    pub fn ip(&self, ip: Ip, src: &str, dst: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (ethertype, packet) = ip_packet(ip, address(src), address(dst), protocol, payload);
        self.frame(ethertype, &packet)
    }

    /// A UDP datagram; ends are `address:port` or `[address]:port`.
    pub fn udp(&self, src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
        self.udp_with(Ip::default(), src, dst, payload)
    }

    /// The same with a header of the test's.
    pub fn udp_with(&self, ip: Ip, src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
        let ((src, sport), (dst, dport)) = (end(src), end(dst));
        let datagram = udp(src, sport, dst, dport, payload);
        let (ethertype, packet) = ip_packet(ip, src, dst, 17, &datagram);
        self.frame(ethertype, &packet)
    }

    /// A TCP segment; ends as for [`Station::udp`].
    pub fn tcp(&self, src: &str, dst: &str, segment: Tcp<'_>) -> Vec<u8> {
        self.tcp_with(Ip::default(), src, dst, segment)
    }

    /// The same with a header of the test's.
    pub fn tcp_with(&self, ip: Ip, src: &str, dst: &str, segment: Tcp<'_>) -> Vec<u8> {
        let ((src, sport), (dst, dport)) = (end(src), end(dst));
        let mut tcp = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
        tcp.extend(segment.seq.to_be_bytes());
        tcp.extend(segment.ack.to_be_bytes());
        tcp.extend([0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(segment.payload);
        let sum = pseudo_checksum(src, dst, 6, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let (ethertype, packet) = ip_packet(ip, src, dst, 6, &tcp);
        self.frame(ethertype, &packet)
    }

    /// An SCTP packet of the given chunks with a right CRC32c; ends as for [`Station::udp`].
    pub fn sctp(&self, src: &str, dst: &str, tag: u32, chunks: &[u8]) -> Vec<u8> {
        let ((src, sport), (dst, dport)) = (end(src), end(dst));
        let mut packet = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
        packet.extend(tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(chunks);
        let crc = crc32c(&packet);
        packet[8..12].copy_from_slice(&crc.to_le_bytes());
        let (ethertype, packet) = ip_packet(Ip::default(), src, dst, 132, &packet);
        self.frame(ethertype, &packet)
    }

    /// An echo request.
    pub fn echo(&self, src: &str, dst: &str, id: u16, payload: &[u8]) -> Vec<u8> {
        let kind = if address(src).is_ipv6() { 128 } else { 8 };
        self.icmp(src, dst, kind, 0, [id.to_be_bytes(), [0, 1]].concat(), payload)
    }

    /// An echo reply.
    pub fn echo_reply(&self, src: &str, dst: &str, id: u16, payload: &[u8]) -> Vec<u8> {
        let kind = if address(src).is_ipv6() { 129 } else { 0 };
        self.icmp(src, dst, kind, 0, [id.to_be_bytes(), [0, 1]].concat(), payload)
    }

    /// An ICMP or ICMPv6 message.
    pub fn icmp(
        &self,
        src: &str,
        dst: &str,
        kind: u8,
        code: u8,
        rest: Vec<u8>,
        payload: &[u8],
    ) -> Vec<u8> {
        let (src, dst) = (address(src), address(dst));
        let (protocol, message) = icmp(src, dst, kind, code, &rest, payload);
        let (ethertype, packet) = ip_packet(Ip::default(), src, dst, protocol, &message);
        self.frame(ethertype, &packet)
    }

    /// "Who has `target`? Tell `sender`", to everyone.
    pub fn arp_request(&self, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        self.frame_to(MacAddr::BROADCAST, 0x0806, &self.arp(1, sender, MacAddr([0; 6]), target))
    }

    /// "`sender` is at my MAC", to us.
    pub fn arp_reply(&self, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        self.frame(0x0806, &self.arp(2, sender, our_mac(self.port), target))
    }

    fn arp(&self, operation: u8, sender: Ipv4Addr, to: MacAddr, target: Ipv4Addr) -> Vec<u8> {
        let mut arp = vec![0, 1, 8, 0, 6, 4, 0, operation];
        arp.extend(self.mac.0);
        arp.extend(sender.octets());
        arp.extend(to.0);
        arp.extend(target.octets());
        arp
    }

    /// A neighbour solicitation for `target` to its group.
    pub fn solicit(&self, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
        let [.., a, b, c] = target.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
        let packet = self.nd(135, 0, sender, group, target, 1, 255);
        self.frame_to(MacAddr([0x33, 0x33, 0xff, a, b, c]), 0x86dd, &packet)
    }

    /// A solicited neighbour advertisement of our own address to us.
    pub fn advertise(&self, sender: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
        self.frame(0x86dd, &self.nd(136, 0x60, sender, to, sender, 2, 255))
    }

    /// The IPv6 packet of an ND message.
    #[expect(clippy::too_many_arguments, reason = "every field of the message is a test's subject")]
    pub fn nd(
        &self,
        kind: u8,
        flags: u8,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        target: Ipv6Addr,
        option: u8,
        hops: u8,
    ) -> Vec<u8> {
        let rest = [flags, 0, 0, 0];
        let mut body = target.octets().to_vec();
        body.extend([option, 1]);
        body.extend(self.mac.0);
        let (src, dst) = (src.into(), dst.into());
        let (protocol, message) = icmp(src, dst, kind, 0, &rest, &body);
        ip_packet(Ip { ttl: hops, ..Ip::default() }, src, dst, protocol, &message).1
    }
}

/// An IP packet and its ethertype.
pub fn ip_packet(ip: Ip, src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> (u16, Vec<u8>) {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let total = u16::try_from(20 + payload.len()).expect("fits");
            let flags = if ip.dont_fragment { 0x4000 } else { 0 } | ip.fragment.unwrap_or(0);
            let mut packet = vec![0x45, ip.traffic_class];
            packet.extend(total.to_be_bytes());
            packet.extend([0x12, 0x34]);
            packet.extend(flags.to_be_bytes());
            packet.extend([ip.ttl, protocol, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend(payload);
            (0x0800, packet)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut body = Vec::new();
            let mut next = protocol;
            if let Some(offset) = ip.fragment {
                body.extend([protocol, 0]);
                body.extend(offset.to_be_bytes());
                body.extend([0, 0, 0, 9]);
                next = 44;
            }
            body.extend(payload);
            let mut packet = vec![0x60 | ip.traffic_class >> 4, ip.traffic_class << 4, 0, 0];
            packet.extend(u16::try_from(body.len()).expect("fits").to_be_bytes());
            packet.extend([next, ip.ttl]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            packet.extend(body);
            (0x86dd, packet)
        }
        _ => panic!("addresses of two families"),
    }
}

/// A UDP header and payload with its checksum.
pub fn udp(src: IpAddr, sport: u16, dst: IpAddr, dport: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("fits");
    let mut udp = [sport, dport, len, 0].map(u16::to_be_bytes).concat();
    udp.extend(payload);
    let sum = match pseudo_checksum(src, dst, 17, &udp) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    udp
}

fn icmp(
    src: IpAddr,
    dst: IpAddr,
    kind: u8,
    code: u8,
    rest: &[u8],
    payload: &[u8],
) -> (u8, Vec<u8>) {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    message.extend(payload);
    let sum = match src {
        IpAddr::V4(_) => checksum(&[&message]),
        IpAddr::V6(_) => pseudo_checksum(src, dst, 58, &message),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    (if src.is_ipv6() { 58 } else { 1 }, message)
}

/// The Internet checksum over a pseudo header and `payload`.
pub fn pseudo_checksum(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let len = u32::try_from(payload.len()).expect("fits").to_be_bytes();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            checksum(&[&src.octets(), &dst.octets(), &[0, protocol], &len[2..], payload])
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            checksum(&[&src.octets(), &dst.octets(), &len, &[0, 0, 0, protocol], payload])
        }
        _ => panic!("addresses of two families"),
    }
}

/// The Internet checksum of parts, all but the last of even length; slow and plain.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// CRC32c bit by bit (RFC 9260 appendix A), to be written little-endian.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// `address:port` or `[address]:port`.
pub fn end(text: &str) -> (IpAddr, u16) {
    let end: std::net::SocketAddr = text.parse().expect("address and port");
    (end.ip(), end.port())
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
