//! SCTP: common header, chunks, and what tracking an association needs of them.
//!
//! Sources: RFC 9260 §3; §6.8 and appendix A (CRC32c).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ParseError;
use crate::header::Header;

mod crc;
mod init;

pub use crc::{Crc, checksum, checksum_is_right};
pub use init::{Init, Parameter, Parameters};

/// The 12 bytes before the chunks.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct SctpHeader {
    /// Port of the sender.
    pub source_port: U16,
    /// Port of the receiver.
    pub destination_port: U16,
    /// The tag that the receiver chose.
    pub verification_tag: U32,
    /// CRC32c over the packet with this field zero, as four bytes in the order of the wire.
    pub checksum: [u8; 4],
}

impl Header for SctpHeader {
    const TRUNCATED: ParseError = ParseError::SctpTruncated;
}

/// Type of a chunk (RFC 9260 §3.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ChunkKind {
    /// User data (also I-DATA, RFC 8260).
    Data,
    /// Opens an association.
    Init,
    /// Answers INIT with a cookie.
    InitAck,
    /// Acknowledges data.
    Sack,
    /// Asks whether a path lives.
    Heartbeat,
    /// It does.
    HeartbeatAck,
    /// Ends the association at once.
    Abort,
    /// Ends it when all data is acknowledged.
    Shutdown,
    /// Answers SHUTDOWN.
    ShutdownAck,
    /// Reports an error.
    Error,
    /// Brings the cookie back.
    CookieEcho,
    /// The association is up.
    CookieAck,
    /// Ends the shutdown.
    ShutdownComplete,
    /// Any other.
    Other(u8),
}

impl ChunkKind {
    /// The chunk with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 | 64 => Self::Data,
            1 => Self::Init,
            2 => Self::InitAck,
            3 => Self::Sack,
            4 => Self::Heartbeat,
            5 => Self::HeartbeatAck,
            6 => Self::Abort,
            7 => Self::Shutdown,
            8 => Self::ShutdownAck,
            9 => Self::Error,
            10 => Self::CookieEcho,
            11 => Self::CookieAck,
            14 => Self::ShutdownComplete,
            other => Self::Other(other),
        }
    }
}

/// One chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk<'a> {
    /// Type.
    pub kind: ChunkKind,
    /// Flags, whose meaning depends on the type.
    pub flags: u8,
    /// What follows the 4-byte chunk header, without padding.
    pub value: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Whether the T bit of ABORT and SHUTDOWN COMPLETE is set: the packet carries the tag of the
    /// sender's side instead of the receiver's (RFC 9260 §8.5.1).
    #[must_use]
    pub const fn reflects_tag(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The fixed fields and parameters of INIT or INIT ACK.
    ///
    /// # Errors
    ///
    /// [`ParseError::SctpChunk`] if it is neither, or too short.
    pub fn init(&self) -> Result<Init<'a>, ParseError> {
        match self.kind {
            ChunkKind::Init | ChunkKind::InitAck => Init::parse(self.value),
            _ => Err(ParseError::SctpChunk),
        }
    }
}

/// A packet whose chunks all have sound lengths.
#[derive(Clone, Copy, Debug)]
pub struct SctpPacket<'a> {
    /// The common header.
    pub header: &'a SctpHeader,
    chunks: &'a [u8],
}

impl<'a> SctpPacket<'a> {
    /// The packet that fills `bytes`. Walks all its chunks once, and looks at no checksum.
    ///
    /// # Errors
    ///
    /// [`ParseError::SctpTruncated`]; [`ParseError::SctpChunk`] also without any chunk;
    /// [`ParseError::SctpBundled`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, chunks) = SctpHeader::split(bytes)?;
        let packet = Self { header, chunks };
        let mut count = 0_u32;
        let mut alone = false;
        for chunk in packet.chunks() {
            count += 1;
            alone |= matches!(
                chunk?.kind,
                ChunkKind::Init | ChunkKind::InitAck | ChunkKind::ShutdownComplete
            );
        }
        match (count, alone) {
            (0, _) => Err(ParseError::SctpChunk),
            (2.., true) => Err(ParseError::SctpBundled),
            _ => Ok(packet),
        }
    }

    /// Walks the chunks.
    #[must_use]
    pub const fn chunks(&self) -> Chunks<'a> {
        Chunks { rest: self.chunks }
    }

    /// The first chunk, which decides what the packet is to the association.
    ///
    /// # Errors
    ///
    /// [`ParseError::SctpChunk`]; never after [`SctpPacket::parse`].
    pub fn first(&self) -> Result<Chunk<'a>, ParseError> {
        self.chunks().next().unwrap_or(Err(ParseError::SctpChunk))
    }
}

/// Walks chunks; stops after an error.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    /// Walks `bytes`, which start after the common header.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = take_padded(&mut self.rest).map(|(head, value)| Chunk {
            kind: ChunkKind::from_number(head[0]),
            flags: head[1],
            value,
        });
        if item.is_none() {
            self.rest = &[];
        }
        Some(item.ok_or(ParseError::SctpChunk))
    }
}

/// Takes one chunk or parameter off `rest`: its first two bytes and its value. The length at bytes 2
/// and 3 counts the 4-byte header and no padding; the last one may lack its padding.
fn take_padded<'a>(rest: &mut &'a [u8]) -> Option<([u8; 2], &'a [u8])> {
    let &[a, b, c, d, ..] = *rest else { return None };
    let len = usize::from(u16::from_be_bytes([c, d]));
    let value = rest.get(4..len)?;
    *rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    Some(([a, b], value))
}
