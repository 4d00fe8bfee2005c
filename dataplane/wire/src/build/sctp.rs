//! SCTP packets of one chunk: INIT, ABORT, and any other.
//!
//! Source: RFC 9260 §3.3.2, §3.3.7, §8.4 (packets out of the blue).

use super::{BuildError, Envelope, lay};
use crate::header::Header;
use crate::ip::{self, IpPacket};
use crate::sctp::{self, ChunkKind, SctpHeader, SctpPacket};

/// Ports and tag of a packet to be built.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SctpEnds {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Verification tag: the one that the receiver chose, 0 with INIT.
    pub tag: u32,
}

/// Fields of an INIT.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SctpInit {
    /// Tag that answers must carry; not 0.
    pub initiate_tag: u32,
    /// Receiver window in bytes, at least 1,500.
    pub receiver_window: u32,
    /// Streams each way, at least 1.
    pub streams: u16,
    /// Initial transmission sequence number.
    pub initial_tsn: u32,
}

const CHUNK_HEADER: usize = 4;
const ABORT: u8 = 6;

/// Writes a packet of one chunk with the number `kind`.
///
/// # Errors
///
/// A [`BuildError`].
pub fn sctp_packet(
    out: &mut [u8],
    envelope: &Envelope,
    ends: &SctpEnds,
    kind: u8,
    flags: u8,
    value: &[u8],
) -> Result<usize, BuildError> {
    let len = u16::try_from(CHUNK_HEADER + value.len()).map_err(|_| BuildError::TooLong)?;
    let header = SctpHeader {
        source_port: ends.source_port.into(),
        destination_port: ends.destination_port.into(),
        verification_tag: ends.tag.into(),
        checksum: [0; 4],
    };
    let bytes = SctpHeader::LEN + usize::from(len).next_multiple_of(4);
    envelope.fill(out, ip::SCTP, bytes, |payload, _| {
        lay(payload, &header);
        let chunk = &mut payload[SctpHeader::LEN..];
        let [high, low] = len.to_be_bytes();
        chunk[..CHUNK_HEADER].copy_from_slice(&[kind, flags, high, low]);
        chunk[CHUNK_HEADER..CHUNK_HEADER + value.len()].copy_from_slice(value);
        let checksum = sctp::checksum(payload);
        payload[8..12].copy_from_slice(&checksum);
    })
}

/// Writes an INIT without parameters; `ends.tag` should be 0.
///
/// # Errors
///
/// A [`BuildError`].
pub fn sctp_init(
    out: &mut [u8],
    envelope: &Envelope,
    ends: &SctpEnds,
    init: &SctpInit,
) -> Result<usize, BuildError> {
    let mut value = [0; 16];
    value[..4].copy_from_slice(&init.initiate_tag.to_be_bytes());
    value[4..8].copy_from_slice(&init.receiver_window.to_be_bytes());
    value[8..10].copy_from_slice(&init.streams.to_be_bytes());
    value[10..12].copy_from_slice(&init.streams.to_be_bytes());
    value[12..].copy_from_slice(&init.initial_tsn.to_be_bytes());
    sctp_packet(out, envelope, ends, 1, 0, &value)
}

/// Writes an ABORT without causes. `reflected` sets the T bit: the tag is the one that the
/// receiver itself sends with.
///
/// # Errors
///
/// A [`BuildError`].
pub fn sctp_abort(
    out: &mut [u8],
    envelope: &Envelope,
    ends: &SctpEnds,
    reflected: bool,
) -> Result<usize, BuildError> {
    sctp_packet(out, envelope, ends, ABORT, u8::from(reflected), &[])
}

/// Writes the ABORT that answers `packet` where no association is: to an INIT with its initiate
/// tag, else with its own tag and the T bit. Nothing (length 0) to ABORT, SHUTDOWN COMPLETE, ERROR
/// and COOKIE ACK, and to an INIT whose tags are not sound (RFC 9260 §8.4, §8.5.1).
///
/// # Errors
///
/// [`BuildError::NoRoom`].
pub fn sctp_abort_for(
    out: &mut [u8],
    ip: &IpPacket<'_>,
    packet: &SctpPacket<'_>,
) -> Result<usize, BuildError> {
    let header = packet.header;
    let mut ends = SctpEnds {
        source_port: header.destination_port.get(),
        destination_port: header.source_port.get(),
        tag: header.verification_tag.get(),
    };
    let mut reflected = true;
    for chunk in packet.chunks() {
        let Ok(chunk) = chunk else { return Ok(0) };
        match chunk.kind {
            ChunkKind::Abort
            | ChunkKind::ShutdownComplete
            | ChunkKind::Error
            | ChunkKind::CookieAck => return Ok(0),
            ChunkKind::Init => match chunk.init() {
                Ok(init) if init.initiate_tag != 0 && ends.tag == 0 => {
                    ends.tag = init.initiate_tag;
                    reflected = false;
                }
                _ => return Ok(0),
            },
            _ => {}
        }
    }
    sctp_abort(out, &Envelope::answer_to(ip), &ends, reflected)
}
