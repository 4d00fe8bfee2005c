//! IPv6 headers and the walk over extension headers.
//!
//! Source: RFC 8200 §3, §4.

use std::net::Ipv6Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ParseError;
use crate::header::Header;
use crate::ip::{self, Fragment};

/// The fixed 40 bytes.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Ipv6Header {
    version_class_flow: [u8; 4],
    /// What follows the header, in bytes.
    pub payload_len: U16,
    /// What the payload starts with.
    pub next_header: u8,
    /// Hops it may still take.
    pub hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

impl Header for Ipv6Header {
    const TRUNCATED: ParseError = ParseError::Ipv6Truncated;
}

impl Ipv6Header {
    /// A header for a payload of `payload_len` bytes with flow label 0; none beyond 65,535 bytes.
    #[must_use]
    pub fn new(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: u8,
        hop_limit: u8,
        traffic_class: u8,
        payload_len: usize,
    ) -> Option<Self> {
        Some(Self {
            version_class_flow: [0x60 | traffic_class >> 4, traffic_class << 4, 0, 0],
            payload_len: u16::try_from(payload_len).ok()?.into(),
            next_header,
            hop_limit,
            source: source.octets(),
            destination: destination.octets(),
        })
    }

    /// 6 in a valid header.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_class_flow[0] >> 4
    }

    /// DSCP (6 bits) and ECN (2).
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        self.version_class_flow[0] << 4 | self.version_class_flow[1] >> 4
    }

    /// The 20-bit flow label.
    #[must_use]
    pub const fn flow_label(&self) -> u32 {
        u32::from_be_bytes(self.version_class_flow) & 0x000f_ffff
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> Ipv6Addr {
        self.source.into()
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> Ipv6Addr {
        self.destination.into()
    }

    /// Writes another source. The payload's checksum is the caller's.
    pub const fn set_source(&mut self, source: Ipv6Addr) {
        self.source = source.octets();
    }

    /// Writes another destination. The payload's checksum is the caller's.
    pub const fn set_destination(&mut self, destination: Ipv6Addr) {
        self.destination = destination.octets();
    }

    /// Lowers the hop limit by 1; whether there was one to lower.
    pub const fn decrement_hop_limit(&mut self) -> bool {
        let lowered = self.hop_limit.checked_sub(1);
        if let Some(hop_limit) = lowered {
            self.hop_limit = hop_limit;
        }
        lowered.is_some()
    }
}

/// A checked IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Packet<'a> {
    /// The fixed header.
    pub header: &'a Ipv6Header,
    /// What follows, up to the payload length; Ethernet padding is not in it.
    pub payload: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// The packet at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// A [`ParseError`] of IPv6. A jumbogram (payload length 0 with a hop-by-hop option) is taken
    /// as an empty packet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, rest) = Ipv6Header::split(bytes)?;
        if header.version() != 6 {
            return Err(ParseError::Ipv6Version);
        }
        let payload = rest
            .get(..usize::from(header.payload_len.get()))
            .ok_or(ParseError::Ipv6PayloadLength)?;
        Ok(Self { header, payload })
    }

    /// Walks the extension headers.
    ///
    /// # Errors
    ///
    /// As [`walk`].
    pub fn upper_layer(&self) -> Result<UpperLayer, ParseError> {
        walk(self.header.next_header, self.payload)
    }
}

/// Where the extension headers of a packet end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UpperLayer {
    /// What follows them: an upper-layer protocol, ESP, or [`ip::NO_NEXT_HEADER`].
    pub protocol: u8,
    /// Where that starts in the payload, in bytes. In a later fragment it is the fragment's data.
    pub offset: usize,
    /// The fragment header, if there is one.
    pub fragment: Option<Fragment>,
    /// Where the byte that holds `protocol` lies in the payload; none: in the fixed header.
    pub protocol_at: Option<usize>,
    /// Whether there is a routing header with segments left, which only its destination processes.
    pub routed: bool,
}

/// Most extension headers that are walked. RFC 8200 §4.1 recommends an order with at most seven.
pub const MOST_EXTENSIONS: usize = 8;

/// Walks the extension headers of `payload`, the first of which is `next_header`. At most
/// [`MOST_EXTENSIONS`] steps. Behind a fragment header with an offset nothing is walked, as it is
/// the middle of the datagram.
///
/// # Errors
///
/// [`ParseError::Ipv6ExtensionTruncated`], [`ParseError::Ipv6ExtensionLimit`], the latter also for a
/// hop-by-hop header that is not the first and for a second fragment header.
pub fn walk(next_header: u8, payload: &[u8]) -> Result<UpperLayer, ParseError> {
    let mut upper = UpperLayer {
        protocol: next_header,
        offset: 0,
        fragment: None,
        protocol_at: None,
        routed: false,
    };
    for step in 0..=MOST_EXTENSIONS {
        let is_extension = matches!(
            upper.protocol,
            ip::HOP_BY_HOP | ip::ROUTING | ip::FRAGMENT | ip::DESTINATION_OPTIONS | ip::AH
        );
        if !is_extension {
            return Ok(upper);
        }
        if step == MOST_EXTENSIONS || (upper.protocol == ip::HOP_BY_HOP && step > 0) {
            return Err(ParseError::Ipv6ExtensionLimit);
        }
        let rest = &payload[upper.offset..];
        let &[next, len, _, segments_left, ..] = rest else {
            return Err(ParseError::Ipv6ExtensionTruncated);
        };
        let len = match upper.protocol {
            ip::FRAGMENT => 8,
            // RFC 4302 §2.2: in 4-byte units, minus 2.
            ip::AH => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        if rest.len() < len {
            return Err(ParseError::Ipv6ExtensionTruncated);
        }
        upper.routed |= upper.protocol == ip::ROUTING && segments_left > 0;
        let is_fragment = upper.protocol == ip::FRAGMENT;
        upper.protocol_at = Some(upper.offset);
        upper.offset += len;
        upper.protocol = next;
        if !is_fragment {
            continue;
        }
        if upper.fragment.is_some() {
            return Err(ParseError::Ipv6ExtensionLimit);
        }
        let field = u16::from_be_bytes([rest[2], rest[3]]);
        let id = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]);
        let fragment = Fragment { offset: field & 0xfff8, more: field & 1 == 1, id };
        upper.fragment = Some(fragment);
        if fragment.offset > 0 {
            return Ok(upper);
        }
    }
    Err(ParseError::Ipv6ExtensionLimit)
}
