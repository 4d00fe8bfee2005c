//! UDP headers.
//!
//! Source: RFC 768; RFC 8200 §8.1 (no zero checksum over IPv6).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ParseError;
use crate::header::Header;

/// The 8 bytes.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct UdpHeader {
    /// Port of the sender.
    pub source_port: U16,
    /// Port of the receiver.
    pub destination_port: U16,
    /// Header and data, in bytes.
    pub len: U16,
    /// Over pseudo header and datagram; 0 is none.
    pub checksum: U16,
}

impl Header for UdpHeader {
    const TRUNCATED: ParseError = ParseError::UdpTruncated;
}

/// A checked datagram.
#[derive(Clone, Copy, Debug)]
pub struct UdpDatagram<'a> {
    /// The header.
    pub header: &'a UdpHeader,
    /// Data, up to the header's length.
    pub payload: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// The datagram at the start of `bytes`, the payload of its packet. Verifies no checksum.
    ///
    /// # Errors
    ///
    /// [`ParseError::UdpTruncated`], [`ParseError::UdpLength`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, _) = UdpHeader::split(bytes)?;
        let len = usize::from(header.len.get());
        let payload = bytes.get(UdpHeader::LEN..len).ok_or(ParseError::UdpLength)?;
        Ok(Self { header, payload })
    }
}
