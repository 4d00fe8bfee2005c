//! The facts of an IP packet that every stage asks for, read once.
//!
//! Parsing only, over the header views of `tmm-wire`; fates are decided elsewhere. The packet may
//! have further segments: only its headers must be in the first. Never panics on any bytes.
//!
//! Invariant: offsets of an [`IpFrame`] lie within the first segment of the frame it came from, and
//! `l3 + ip_len` within the packet.
//! Sources: RFC 791, RFC 8200 §4, RFC 1122 §3.2.1.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tmm_config::config::VlanSlot;
use tmm_wire::{LinkLayer, MacAddr, PortId, ethernet, ip};

use crate::drop_reason::DropReason;

mod v4;
mod v6;

pub use tmm_wire::ip as protocol;

/// Whether a packet is a fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fragment {
    /// It is whole.
    None,
    /// The first one; it has the upper header.
    First,
    /// A later one; there is no upper header.
    Later,
}

impl Fragment {
    /// From what a header says. An atomic fragment (RFC 6946) is whole but keeps its header, so it
    /// counts as a first one.
    fn of(header: Option<ip::Fragment>) -> Self {
        match header {
            None => Self::None,
            Some(fragment) if fragment.is_first() => Self::First,
            Some(_) => Self::Later,
        }
    }
}

/// The facts of one IP packet in an Ethernet frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpFrame {
    /// Port it came from.
    pub port: PortId,
    /// VLAN it came from.
    pub vlan: VlanSlot,
    /// Source MAC, for auto-lasthop.
    pub src_mac: MacAddr,
    /// Whether it was sent to one station's MAC rather than to a group.
    pub unicast: bool,
    /// Offset of the IP header from the start of the frame.
    pub l3: u16,
    /// Offset of the upper header; of the payload for a later fragment.
    pub l4: u16,
    /// Length of the IP packet in bytes, its header included.
    pub ip_len: u16,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper protocol, behind all extension headers.
    pub protocol: u8,
    /// TTL or hop limit as received.
    pub ttl: u8,
    /// IPv4 with DF, and every IPv6 packet.
    pub dont_fragment: bool,
    /// Whether it is a fragment.
    pub fragment: Fragment,
    /// Source port of TCP, UDP, SCTP; else 0.
    pub src_port: u16,
    /// Destination port of TCP, UDP, SCTP; else 0.
    pub dst_port: u16,
}

impl IpFrame {
    /// Reads the IP packet behind `ether` in `data`, the first segment of a packet of `packet_len`
    /// bytes that came by `port` and `vlan`.
    ///
    /// # Errors
    ///
    /// The reason to drop it for.
    pub fn parse(
        data: &[u8],
        packet_len: usize,
        ether: &LinkLayer,
        port: PortId,
        vlan: VlanSlot,
    ) -> Result<Self, DropReason> {
        let mut frame = if ether.ethertype == ethernet::IPV4 {
            v4::parse(data, packet_len, ether.payload)?
        } else {
            v6::parse(data, packet_len, ether.payload)?
        };
        frame.port = port;
        frame.vlan = vlan;
        frame.src_mac = ether.source;
        frame.unicast = !ether.destination.is_group();
        if frame.fragment != Fragment::Later {
            frame.read_ports(data)?;
        }
        Ok(frame)
    }

    /// Whether it is IPv6.
    #[inline]
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }

    /// Bytes behind the IP header and extension headers.
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        (self.ip_len as usize).saturating_sub(self.l4 as usize - self.l3 as usize)
    }

    /// The upper header and what follows, as far as it lies in the first segment `data`.
    #[must_use]
    pub fn payload<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        let end = data.len().min(usize::from(self.l3) + usize::from(self.ip_len));
        data.get(usize::from(self.l4)..end).unwrap_or_default()
    }

    /// Type and code of an ICMP or ICMPv6 message; none for other protocols.
    #[must_use]
    pub fn icmp_type(&self, data: &[u8]) -> Option<(u8, u8)> {
        let is_icmp = self.protocol == if self.is_v6() { protocol::ICMPV6 } else { protocol::ICMP };
        match self.payload(data) {
            [kind, code, ..] if is_icmp && self.fragment != Fragment::Later => Some((*kind, *code)),
            _ => None,
        }
    }

    fn read_ports(&mut self, data: &[u8]) -> Result<(), DropReason> {
        let least = match self.protocol {
            protocol::TCP => 20,
            protocol::UDP => 8,
            protocol::SCTP => 12,
            protocol::ICMP | protocol::ICMPV6 => 8,
            _ => return Ok(()),
        };
        if self.payload_len() < least {
            return Err(DropReason::BadL4Header);
        }
        let payload = self.payload(data);
        if payload.len() < least {
            return Err(DropReason::HeadersSplit);
        }
        if matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
            && let [a, b, c, d, ..] = *payload
        {
            self.src_port = u16::from_be_bytes([a, b]);
            self.dst_port = u16::from_be_bytes([c, d]);
        }
        if self.protocol == protocol::TCP {
            let header = usize::from(payload[12] >> 4) * 4;
            if header < 20 || header > self.payload_len() {
                return Err(DropReason::BadL4Header);
            }
            if header > payload.len() {
                return Err(DropReason::HeadersSplit);
            }
        }
        Ok(())
    }

    /// A frame with everything but its addresses unset.
    const fn between(src: IpAddr, dst: IpAddr) -> Self {
        Self {
            port: PortId(0),
            vlan: VlanSlot(0),
            src_mac: MacAddr([0; 6]),
            unicast: true,
            l3: 0,
            l4: 0,
            ip_len: 0,
            src,
            dst,
            protocol: 0,
            ttl: 0,
            dont_fragment: false,
            fragment: Fragment::None,
            src_port: 0,
            dst_port: 0,
        }
    }
}

/// Whether `address` may be the source of a packet on the wire.
fn is_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            !(a.is_multicast() || a.is_broadcast() || a.is_loopback() || a == Ipv4Addr::UNSPECIFIED)
        }
        // The unspecified address is a source in duplicate address detection (RFC 4862 §5.4).
        IpAddr::V6(a) => !(a.is_multicast() || a == Ipv6Addr::LOCALHOST),
    }
}

/// Whether `address` may be the destination of a packet on the wire.
fn is_destination(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !(a.is_loopback() || a == Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(a) => !(a == Ipv6Addr::LOCALHOST || a == Ipv6Addr::UNSPECIFIED),
    }
}
