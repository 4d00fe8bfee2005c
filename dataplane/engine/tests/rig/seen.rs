//! A frame that came out, taken apart without the code under test.

use std::net::IpAddr;

use tmm_wire::buffer::HeapBuf;
use tmm_wire::{MacAddr, PacketBuf};

use super::craft::{checksum, crc32c, pseudo_checksum};

/// A frame that left by a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Our port that it left by.
    pub port: u8,
    /// Its tag.
    pub tag: Option<u16>,
    pub dst_mac: MacAddr,
    pub src_mac: MacAddr,
    pub ethertype: u16,
    /// What follows the Ethernet header.
    pub packet: Vec<u8>,
}

impl Seen {
    pub fn new(port: u8, buf: &HeapBuf) -> Self {
        assert_eq!(buf.stripped_vlan(), None, "tags leave in the frame");
        let bytes = buf.data();
        let mac = |at: usize| MacAddr(bytes[at..at + 6].try_into().expect("six bytes"));
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (tag, at) = if word(12) == 0x8100 { (Some(word(14) & 0xfff), 16) } else { (None, 12) };
        Self {
            port,
            tag,
            dst_mac: mac(0),
            src_mac: mac(6),
            ethertype: word(at),
            packet: bytes[at + 2..].to_vec(),
        }
    }

    pub fn is_v6(&self) -> bool {
        self.ethertype == 0x86dd
    }

    pub fn is_ip(&self) -> bool {
        matches!(self.ethertype, 0x0800 | 0x86dd)
    }

    pub fn src(&self) -> IpAddr {
        if self.is_v6() { self.v6_at(8) } else { self.v4_at(12) }
    }

    pub fn dst(&self) -> IpAddr {
        if self.is_v6() { self.v6_at(24) } else { self.v4_at(16) }
    }

    pub fn protocol(&self) -> u8 {
        self.packet[if self.is_v6() { 6 } else { 9 }]
    }

    pub fn ttl(&self) -> u8 {
        self.packet[if self.is_v6() { 7 } else { 8 }]
    }

    /// DSCP and ECN.
    pub fn traffic_class(&self) -> u8 {
        if self.is_v6() { self.packet[0] << 4 | self.packet[1] >> 4 } else { self.packet[1] }
    }

    /// The address that an ARP request or a neighbour solicitation asks for, and who asks.
    pub fn asks_for(&self) -> Option<(IpAddr, IpAddr)> {
        match self.ethertype {
            0x0806 if self.packet[6..8] == [0, 1] => Some((self.v4_at(24), self.v4_at(14))),
            0x86dd if self.packet[6] == 58 && self.packet[40] == 135 => {
                Some((self.v6_at(48), self.v6_at(8)))
            }
            _ => None,
        }
    }

    /// The upper header and payload, by the lengths of the headers.
    pub fn upper(&self) -> &[u8] {
        if self.is_v6() {
            let len = usize::from(u16::from_be_bytes([self.packet[4], self.packet[5]]));
            &self.packet[40..40 + len]
        } else {
            let len = usize::from(u16::from_be_bytes([self.packet[2], self.packet[3]]));
            &self.packet[usize::from(self.packet[0] & 15) * 4..len]
        }
    }

    pub fn sport(&self) -> u16 {
        u16::from_be_bytes([self.upper()[0], self.upper()[1]])
    }

    pub fn dport(&self) -> u16 {
        u16::from_be_bytes([self.upper()[2], self.upper()[3]])
    }

    /// `address:port` of the source.
    pub fn from(&self) -> String {
        std::net::SocketAddr::new(self.src(), self.sport()).to_string()
    }

    /// `address:port` of the destination.
    pub fn to(&self) -> String {
        std::net::SocketAddr::new(self.dst(), self.dport()).to_string()
    }

    pub fn tcp_flags(&self) -> u8 {
        assert_eq!(self.protocol(), 6);
        self.upper()[13]
    }

    pub fn tcp_seq(&self) -> u32 {
        u32::from_be_bytes(self.upper()[4..8].try_into().expect("four bytes"))
    }

    pub fn tcp_ack(&self) -> u32 {
        u32::from_be_bytes(self.upper()[8..12].try_into().expect("four bytes"))
    }

    /// Payload behind the TCP, UDP or SCTP common header.
    pub fn payload(&self) -> &[u8] {
        let upper = self.upper();
        match self.protocol() {
            6 => &upper[usize::from(upper[12] >> 4) * 4..],
            132 => &upper[12..],
            _ => &upper[8..],
        }
    }

    /// Type and code of an ICMP or ICMPv6 message.
    pub fn icmp(&self) -> (u8, u8) {
        assert!(matches!(self.protocol(), 1 | 58), "protocol {}", self.protocol());
        (self.upper()[0], self.upper()[1])
    }

    /// Whether every checksum of the packet is right.
    pub fn checksums_are_right(&self) -> bool {
        let header =
            self.is_v6() || checksum(&[&self.packet[..usize::from(self.packet[0] & 15) * 4]]) == 0;
        let upper = self.upper();
        let (src, dst) = (self.src(), self.dst());
        header
            && match self.protocol() {
                1 => checksum(&[upper]) == 0,
                17 if upper[6..8] == [0, 0] => !self.is_v6(),
                number @ (6 | 17 | 58) => pseudo_checksum(src, dst, number, upper) == 0,
                132 => {
                    let mut zeroed = upper.to_vec();
                    zeroed[8..12].fill(0);
                    upper[8..12] == crc32c(&zeroed).to_le_bytes()
                }
                _ => true,
            }
    }

    fn v4_at(&self, at: usize) -> IpAddr {
        let octets: [u8; 4] = self.packet[at..at + 4].try_into().expect("four bytes");
        IpAddr::from(octets)
    }

    fn v6_at(&self, at: usize) -> IpAddr {
        let octets: [u8; 16] = self.packet[at..at + 16].try_into().expect("sixteen bytes");
        IpAddr::from(octets)
    }
}
