//! TCP headers and options.
//!
//! Source: RFC 9293 §3.1, §3.2; RFC 7323 §2, §3; RFC 2018 §2.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ParseError;
use crate::header::Header;

/// Control bits.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    Hash,
    PartialEq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);

    /// Whether all bits of `flags` are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Whether it opens a connection: SYN without ACK, RST and FIN.
    #[must_use]
    pub const fn is_open(self) -> bool {
        self.0 & 0x17 == Self::SYN.0
    }
}

/// The fixed 20 bytes.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct TcpHeader {
    /// Port of the sender.
    pub source_port: U16,
    /// Port of the receiver.
    pub destination_port: U16,
    /// Number of the first byte, or of the SYN.
    pub sequence: U32,
    /// Number of the next byte that is awaited.
    pub acknowledgement: U32,
    data_offset: u8,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: U16,
    /// Over pseudo header and segment.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl Header for TcpHeader {
    const TRUNCATED: ParseError = ParseError::TcpTruncated;
}

impl TcpHeader {
    /// Length with options, in bytes: 0 to 60 as the field says.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }

    /// Sets the length with options, a multiple of 4 from 20 to 60 bytes.
    pub(crate) const fn set_header_len(&mut self, bytes: usize) {
        self.data_offset = ((bytes / 4) as u8) << 4;
    }
}

/// A checked segment.
#[derive(Clone, Copy, Debug)]
pub struct TcpSegment<'a> {
    /// The fixed header.
    pub header: &'a TcpHeader,
    /// Bytes of the options, a multiple of 4, 0 to 40.
    pub options: &'a [u8],
    /// Data.
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// The segment that fills `bytes`. Verifies no checksum.
    ///
    /// # Errors
    ///
    /// [`ParseError::TcpTruncated`], [`ParseError::TcpDataOffset`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, _) = TcpHeader::split(bytes)?;
        let header_len = header.header_len();
        let options = bytes.get(TcpHeader::LEN..header_len).ok_or(ParseError::TcpDataOffset)?;
        Ok(Self { header, options, payload: &bytes[header_len..] })
    }

    /// Sequence numbers that it takes: data, SYN and FIN.
    #[must_use]
    pub const fn sequence_len(&self) -> u32 {
        // A segment is at most 65,535 bytes.
        let data = self.payload.len() as u32;
        data + self.header.flags.contains(TcpFlags::SYN) as u32
            + self.header.flags.contains(TcpFlags::FIN) as u32
    }

    /// Walks the options.
    #[must_use]
    pub const fn options(&self) -> TcpOptions<'a> {
        TcpOptions { rest: self.options }
    }
}

/// One TCP option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TcpOption<'a> {
    /// Largest segment the sender takes, in bytes of data.
    MaximumSegmentSize(u16),
    /// Shift of the window.
    WindowScale(u8),
    /// Selective acknowledgement may be used.
    SackPermitted,
    /// The sender's clock and the last one it saw.
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The last one it saw.
        echo: u32,
    },
    /// Another kind, or one of these with a length that is not its own.
    Other {
        /// Kind.
        kind: u8,
        /// What follows kind and length.
        data: &'a [u8],
    },
}

/// Walks options up to the end of the list; stops after an error. At most 40 steps.
#[derive(Clone, Debug)]
pub struct TcpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = Result<TcpOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.rest {
                [] | [0, ..] => return None,
                [1, ref rest @ ..] => self.rest = rest,
                [kind, len, ..] if (2..=self.rest.len()).contains(&usize::from(len)) => {
                    let (option, rest) = self.rest.split_at(usize::from(len));
                    self.rest = rest;
                    return Some(Ok(match (kind, &option[2..]) {
                        (2, &[a, b]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([a, b])),
                        (3, &[shift]) => TcpOption::WindowScale(shift),
                        (4, &[]) => TcpOption::SackPermitted,
                        (8, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps {
                            value: u32::from_be_bytes([a, b, c, d]),
                            echo: u32::from_be_bytes([e, f, g, h]),
                        },
                        (kind, data) => TcpOption::Other { kind, data },
                    }));
                }
                _ => {
                    self.rest = &[];
                    return Some(Err(ParseError::TcpOption));
                }
            }
        }
    }
}
