//! IPv4 headers and options.
//!
//! Sources: RFC 791 §3.1; RFC 2474 and RFC 3168 (the traffic class byte); RFC 1624.

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{self, Delta, Sum};
use crate::error::ParseError;
use crate::header::Header;
use crate::ip::Fragment;

/// The fixed 20 bytes.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Ipv4Header {
    version_ihl: u8,
    /// DSCP (6 bits) and ECN (2).
    pub traffic_class: u8,
    /// Header and payload, in bytes.
    pub total_len: U16,
    /// Names the datagram that fragments belong to.
    pub id: U16,
    flags_offset: U16,
    /// Hops it may still take.
    pub ttl: u8,
    /// What the payload is (`ip::TCP` and so on).
    pub protocol: u8,
    /// Over the header with its options.
    pub checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

impl Header for Ipv4Header {
    const TRUNCATED: ParseError = ParseError::Ipv4Truncated;
}

impl Ipv4Header {
    /// A header without options, its checksum filled in, for a payload of `payload_len` bytes that
    /// may not be fragmented; none if the total goes beyond 65,535 bytes.
    #[must_use]
    pub fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        ttl: u8,
        traffic_class: u8,
        payload_len: usize,
    ) -> Option<Self> {
        let total_len = u16::try_from(payload_len.checked_add(Self::LEN)?).ok()?;
        let mut header = Self {
            version_ihl: 0x45,
            traffic_class,
            total_len: total_len.into(),
            id: 0.into(),
            flags_offset: DONT_FRAGMENT.into(),
            ttl,
            protocol,
            checksum: 0.into(),
            source: source.octets(),
            destination: destination.octets(),
        };
        header.checksum = checksum::of(header.as_bytes()).into();
        Some(header)
    }

    /// Length with options, in bytes: 0 to 60 as the field says.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.version_ihl & 0x0f) as usize * 4
    }

    /// 4 in a valid header.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        self.source.into()
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        self.destination.into()
    }

    /// Whether routers must not fragment it.
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.flags_offset.get() & DONT_FRAGMENT != 0
    }

    /// Which part of a datagram this is; none if it is whole.
    #[must_use]
    pub fn fragment(&self) -> Option<Fragment> {
        let field = self.flags_offset.get();
        let offset = (field & 0x1fff) << 3;
        let more = field & MORE_FRAGMENTS != 0;
        (offset != 0 || more).then(|| Fragment { offset, more, id: u32::from(self.id.get()) })
    }

    /// Writes another source and mends the header's checksum. The payload's is the caller's.
    pub fn set_source(&mut self, source: Ipv4Addr) {
        let delta = Delta::NONE.u32(self.source().to_bits(), source.to_bits());
        self.source = source.octets();
        self.checksum = delta.apply(self.checksum.get()).into();
    }

    /// Writes another destination and mends the header's checksum. The payload's is the caller's.
    pub fn set_destination(&mut self, destination: Ipv4Addr) {
        let delta = Delta::NONE.u32(self.destination().to_bits(), destination.to_bits());
        self.destination = destination.octets();
        self.checksum = delta.apply(self.checksum.get()).into();
    }

    /// Lowers the TTL by 1 and mends the checksum; whether there was one to lower.
    pub fn decrement_ttl(&mut self) -> bool {
        let Some(ttl) = self.ttl.checked_sub(1) else { return false };
        self.set_ttl(ttl);
        true
    }

    /// Writes another TTL and mends the checksum.
    pub fn set_ttl(&mut self, ttl: u8) {
        let low = u16::from(self.protocol);
        let delta = Delta::NONE.u16(u16::from(self.ttl) << 8 | low, u16::from(ttl) << 8 | low);
        self.ttl = ttl;
        self.checksum = delta.apply(self.checksum.get()).into();
    }
}

/// A checked IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Packet<'a> {
    /// The fixed header.
    pub header: &'a Ipv4Header,
    /// Bytes of the options, a multiple of 4, 0 to 40.
    pub options: &'a [u8],
    /// What follows, up to the total length; Ethernet padding is not in it.
    pub payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// The packet at the start of `bytes`. Verifies no checksum.
    ///
    /// # Errors
    ///
    /// A [`ParseError`] of IPv4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, _) = Ipv4Header::split(bytes)?;
        if header.version() != 4 {
            return Err(ParseError::Ipv4Version);
        }
        let header_len = header.header_len();
        let total_len = usize::from(header.total_len.get());
        if header_len < Ipv4Header::LEN || header_len > bytes.len() {
            return Err(ParseError::Ipv4HeaderLength);
        }
        if total_len < header_len {
            return Err(ParseError::Ipv4TotalLength);
        }
        let payload = bytes.get(header_len..total_len).ok_or(ParseError::Ipv4TotalLength)?;
        Ok(Self { header, options: &bytes[Ipv4Header::LEN..header_len], payload })
    }

    /// Whether the header's checksum is right.
    #[must_use]
    pub fn checksum_is_right(&self) -> bool {
        let mut sum = Sum::default();
        sum.add(self.header.as_bytes());
        sum.add(self.options);
        sum.is_right()
    }

    /// Walks the options.
    #[must_use]
    pub const fn options(&self) -> Ipv4Options<'a> {
        Ipv4Options { rest: self.options }
    }
}

/// One IPv4 option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv4Option<'a> {
    /// Its type, with the copied flag and class.
    pub kind: u8,
    /// What follows type and length.
    pub data: &'a [u8],
}

impl Ipv4Option<'_> {
    /// Whether it is a loose or strict source route, which this product does not forward.
    #[must_use]
    pub const fn is_source_route(&self) -> bool {
        matches!(self.kind, 131 | 137)
    }
}

/// Walks options up to the end of the list; stops after an error. At most 40 steps.
#[derive(Clone, Debug)]
pub struct Ipv4Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ipv4Options<'a> {
    type Item = Result<Ipv4Option<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.rest {
                [] | [0, ..] => return None,
                [1, ref rest @ ..] => self.rest = rest,
                [kind, len, ..] if (2..=self.rest.len()).contains(&usize::from(len)) => {
                    let (option, rest) = self.rest.split_at(usize::from(len));
                    self.rest = rest;
                    return Some(Ok(Ipv4Option { kind, data: &option[2..] }));
                }
                _ => {
                    self.rest = &[];
                    return Some(Err(ParseError::Ipv4Option));
                }
            }
        }
    }
}
