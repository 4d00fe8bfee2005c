//! Frames as `etherparse` reads them, and what translation makes of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    Icmpv4Type, Icmpv6Type, LinkHeader, NetHeaders, PacketHeaders, TransportHeader, VlanId,
};
use tmm_wire::MacAddr;

use crate::craft::crc32c;

/// The link layer of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Station {
    pub from: MacAddr,
    pub to: MacAddr,
    pub tag: u16,
}

/// A frame, every field of every header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    station: Station,
    net: NetHeaders,
    transport: Option<TransportHeader>,
    payload: Vec<u8>,
}

/// Reads a frame with exactly one tag.
pub fn read(bytes: &[u8]) -> Frame {
    let headers = PacketHeaders::from_ethernet_slice(bytes).expect("a right frame");
    let Some(LinkHeader::Ethernet2(link)) = &headers.link else { panic!("{headers:?}") };
    let tags: Vec<u16> = headers.vlan_ids().into_iter().map(VlanId::value).collect();
    let [tag] = tags[..] else { panic!("{tags:?}") };
    Frame {
        station: Station { from: MacAddr(link.source), to: MacAddr(link.destination), tag },
        net: headers.net.clone().expect("a network header"),
        transport: headers.transport.clone(),
        payload: headers.payload.slice().to_vec(),
    }
}

impl Frame {
    /// The frame as it leaves to `station` between other ends: TTL less by one, checksums of the new
    /// headers, all else as it came.
    pub fn forwarded(mut self, station: Station, source: &str, destination: &str) -> Self {
        let end = |text: &str| text.parse::<SocketAddr>().expect("an end");
        let (source, destination) = (end(source), end(destination));
        self.station = station;
        match (&mut self.net, source.ip(), destination.ip()) {
            (NetHeaders::Ipv4(header, _), IpAddr::V4(source), IpAddr::V4(destination)) => {
                (header.source, header.destination) = (source.octets(), destination.octets());
                header.time_to_live -= 1;
                header.header_checksum = header.calc_header_checksum();
            }
            (NetHeaders::Ipv6(header, _), IpAddr::V6(source), IpAddr::V6(destination)) => {
                (header.source, header.destination) = (source.octets(), destination.octets());
                header.hop_limit -= 1;
            }
            other => panic!("{other:?}"),
        }
        let ports = (source.port(), destination.port());
        match &mut self.transport {
            Some(TransportHeader::Udp(header)) => {
                (header.source_port, header.destination_port) = ports;
            }
            Some(TransportHeader::Tcp(header)) => {
                (header.source_port, header.destination_port) = ports;
            }
            // etherparse leaves SCTP as payload.
            None => {
                self.payload[..2].copy_from_slice(&ports.0.to_be_bytes());
                self.payload[2..4].copy_from_slice(&ports.1.to_be_bytes());
                self.payload[8..12].fill(0);
                let crc = crc32c(&self.payload);
                self.payload[8..12].copy_from_slice(&crc.to_le_bytes());
            }
            other => panic!("{other:?}"),
        }
        self.transport = self.summed();
        self
    }

    /// Source, destination and TTL of an IP packet.
    pub fn ends(&self) -> (String, String, u8) {
        match &self.net {
            NetHeaders::Ipv4(header, _) => (
                Ipv4Addr::from(header.source).to_string(),
                Ipv4Addr::from(header.destination).to_string(),
                header.time_to_live,
            ),
            NetHeaders::Ipv6(header, _) => (
                Ipv6Addr::from(header.source).to_string(),
                Ipv6Addr::from(header.destination).to_string(),
                header.hop_limit,
            ),
            NetHeaders::Arp(arp) => panic!("{arp:?}"),
        }
    }

    pub const fn station(&self) -> Station {
        self.station
    }

    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub const fn is_arp(&self) -> bool {
        matches!(self.net, NetHeaders::Arp(_))
    }

    /// Operation, sender and target of an ARP packet.
    pub fn arp(&self) -> (u16, MacAddr, Ipv4Addr, MacAddr, Ipv4Addr) {
        let NetHeaders::Arp(arp) = &self.net else { panic!("{self:?}") };
        let four = arp.try_eth_ipv4().expect("Ethernet and IPv4");
        (
            four.operation.0,
            MacAddr(four.sender_mac),
            Ipv4Addr::from(four.sender_ipv4),
            MacAddr(four.target_mac),
            Ipv4Addr::from(four.target_ipv4),
        )
    }

    /// The type of an ICMP message, or of an ICMPv6 message.
    pub fn icmp(&self) -> (Option<Icmpv4Type>, Option<Icmpv6Type>) {
        match &self.transport {
            Some(TransportHeader::Icmpv4(header)) => (Some(header.icmp_type.clone()), None),
            Some(TransportHeader::Icmpv6(header)) => (None, Some(header.icmp_type)),
            _ => (None, None),
        }
    }

    /// Target and MAC of a neighbour advertisement, whatever of its body etherparse takes as header.
    pub fn advertised(&self) -> (Ipv6Addr, MacAddr) {
        let Some(TransportHeader::Icmpv6(header)) = &self.transport else { panic!("{self:?}") };
        assert_eq!(header.icmp_type.type_u8(), 136);
        let body = &self.payload[self.payload.len() - 24..];
        let target: [u8; 16] = body[..16].try_into().expect("an address");
        assert_eq!(body[16..18], [2, 1], "the target's link-layer address");
        (target.into(), MacAddr(body[18..].try_into().expect("a MAC")))
    }

    /// Whether every checksum is the one that etherparse reckons.
    pub fn checksums_are_right(&self) -> bool {
        let header = match &self.net {
            NetHeaders::Ipv4(header, _) => header.header_checksum == header.calc_header_checksum(),
            NetHeaders::Ipv6(..) | NetHeaders::Arp(_) => true,
        };
        header && self.transport == self.summed()
    }

    /// The transport header with its checksum reckoned anew.
    fn summed(&self) -> Option<TransportHeader> {
        let mut header = self.transport.clone()?;
        match &self.net {
            NetHeaders::Ipv4(ip, _) => header.update_checksum_ipv4(ip, &self.payload).ok()?,
            NetHeaders::Ipv6(ip, _) => header.update_checksum_ipv6(ip, &self.payload).ok()?,
            NetHeaders::Arp(_) => return None,
        }
        Some(header)
    }
}
