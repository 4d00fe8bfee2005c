//! What IPv4 and IPv6 have in common: protocol numbers, fragments, and one view of both.

use std::net::IpAddr;

use crate::checksum::Sum;
use crate::error::ParseError;
use crate::header::Header;
use crate::icmp;
use crate::ipv4::Ipv4Packet;
use crate::ipv6::{Ipv6Header, Ipv6Packet};

/// IPv6 hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// IPv6 routing header.
pub const ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
/// Encapsulating security payload.
pub const ESP: u8 = 50;
/// Authentication header.
pub const AH: u8 = 51;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// Nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;
/// IPv6 destination options.
pub const DESTINATION_OPTIONS: u8 = 60;
/// SCTP.
pub const SCTP: u8 = 132;

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fragment {
    /// Where it starts in the datagram's payload, in bytes; a multiple of 8.
    pub offset: u16,
    /// Whether more follow.
    pub more: bool,
    /// Names the datagram together with the addresses (16 bits in IPv4).
    pub id: u32,
}

impl Fragment {
    /// Whether it is the first part, which has the upper-layer header.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether it is all of the datagram nonetheless (RFC 6946).
    #[must_use]
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// One view of a checked packet of either family.
#[derive(Clone, Copy, Debug)]
pub struct IpPacket<'a> {
    /// The packet without Ethernet padding.
    pub bytes: &'a [u8],
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Upper-layer protocol, behind IPv6 extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP (6 bits) and ECN (2).
    pub traffic_class: u8,
    /// Where the upper layer starts in `bytes`.
    pub header_len: usize,
    /// Which part of a datagram it is; none if whole.
    pub fragment: Option<Fragment>,
    /// Whether it must not be fragmented: the flag of IPv4, always in IPv6.
    pub dont_fragment: bool,
    /// Whether it has IPv4 options or IPv6 extension headers.
    pub has_options: bool,
    /// Whether IPv4 options or an IPv6 routing header prescribe its route.
    pub is_source_routed: bool,
}

impl<'a> IpPacket<'a> {
    /// The packet at the start of `bytes`, by its version. Verifies no checksum.
    ///
    /// # Errors
    ///
    /// A [`ParseError`] of IPv4, its options, IPv6 or its extension headers;
    /// [`ParseError::IpVersion`] for another version, and for no byte at all.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            _ => Err(ParseError::IpVersion),
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let packet = Ipv4Packet::parse(bytes)?;
        let header = packet.header;
        let mut is_source_routed = false;
        for option in packet.options() {
            is_source_routed |= option?.is_source_route();
        }
        let header_len = header.header_len();
        Ok(Self {
            bytes: &bytes[..header_len + packet.payload.len()],
            source: header.source().into(),
            destination: header.destination().into(),
            protocol: header.protocol,
            hop_limit: header.ttl,
            traffic_class: header.traffic_class,
            header_len,
            fragment: header.fragment(),
            dont_fragment: header.dont_fragment(),
            has_options: !packet.options.is_empty(),
            is_source_routed,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let packet = Ipv6Packet::parse(bytes)?;
        let upper = packet.upper_layer()?;
        let header = packet.header;
        Ok(Self {
            bytes: &bytes[..Ipv6Header::LEN + packet.payload.len()],
            source: header.source().into(),
            destination: header.destination().into(),
            protocol: upper.protocol,
            hop_limit: header.hop_limit,
            traffic_class: header.traffic_class(),
            header_len: Ipv6Header::LEN + upper.offset,
            fragment: upper.fragment,
            dont_fragment: true,
            has_options: upper.offset > 0,
            is_source_routed: upper.routed,
        })
    }

    /// The upper layer.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header_len..]
    }

    /// Whether it is IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        matches!(self.source, IpAddr::V6(_))
    }

    /// The pseudo header of its upper layer.
    #[must_use]
    pub fn pseudo_header(&self) -> Sum {
        // The payload of one IP packet is at most 65,535 bytes.
        let len = self.payload().len() as u16;
        Sum::pseudo(self.source, self.destination, self.protocol, len)
    }

    /// Whether a router or host may answer it with an ICMP error (RFC 1122 §3.2.2, RFC 4443 §2.4
    /// (e)): not a later fragment, not from or to an address that is no single host's, not another
    /// ICMP error, and in ICMPv6 not a redirect. Link-layer broadcasts are the caller's to refuse.
    #[must_use]
    pub fn may_cause_error(&self) -> bool {
        let one_host = |address: IpAddr| match address {
            IpAddr::V4(address) => {
                !(address.is_unspecified()
                    || address.is_multicast()
                    || address.is_broadcast()
                    || address.is_loopback())
            }
            IpAddr::V6(address) => !(address.is_unspecified() || address.is_multicast()),
        };
        let first = self.fragment.is_none_or(|fragment| fragment.is_first());
        let kind = self.payload().first().copied();
        let query = match self.protocol {
            ICMP => kind.is_some_and(|kind| !icmp::is_error_v4(kind)),
            ICMPV6 => kind.is_some_and(|kind| kind >= 128 && kind != icmp::V6_REDIRECT),
            _ => true,
        };
        first && query && one_host(self.source) && one_host(self.destination)
    }
}
