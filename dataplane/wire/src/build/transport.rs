//! TCP segments without data and UDP datagrams.
//!
//! Sources: RFC 9293 §3.10.7.1 (reset for a closed port), §3.7.1 (MSS); RFC 768.

use super::{BuildError, Envelope, lay};
use crate::header::Header;
use crate::ip::{self, IpPacket};
use crate::tcp::{TcpFlags, TcpHeader, TcpSegment};
use crate::udp::UdpHeader;

/// A TCP segment without data.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Segment {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number; counts with [`TcpFlags::ACK`].
    pub acknowledgement: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
    /// Maximum segment size option, for a SYN.
    pub mss: Option<u16>,
}

/// Writes `segment`.
///
/// # Errors
///
/// A [`BuildError`].
pub fn tcp(out: &mut [u8], envelope: &Envelope, segment: &Segment) -> Result<usize, BuildError> {
    let options = if segment.mss.is_some() { 4 } else { 0 };
    let len = TcpHeader::LEN + options;
    envelope.fill(out, ip::TCP, len, |payload, mut sum| {
        if let Ok((header, rest)) = TcpHeader::split_mut(payload) {
            header.source_port = segment.source_port.into();
            header.destination_port = segment.destination_port.into();
            header.sequence = segment.sequence.into();
            header.acknowledgement = segment.acknowledgement.into();
            header.set_header_len(len);
            header.flags = segment.flags;
            header.window = segment.window.into();
            if let (Some(mss), [kind, option_len, value @ ..]) = (segment.mss, rest) {
                *kind = 2;
                *option_len = 4;
                value.copy_from_slice(&mss.to_be_bytes());
            }
        }
        sum.add(payload);
        payload[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
    })
}

/// Writes the RST that a closed port answers to `segment` of `packet`; nothing (length 0) to a RST.
///
/// # Errors
///
/// [`BuildError::NoRoom`].
pub fn tcp_reset_for(
    out: &mut [u8],
    packet: &IpPacket<'_>,
    segment: &TcpSegment<'_>,
) -> Result<usize, BuildError> {
    let header = segment.header;
    if header.flags.contains(TcpFlags::RST) {
        return Ok(0);
    }
    let mut reset = Segment {
        source_port: header.destination_port.get(),
        destination_port: header.source_port.get(),
        flags: TcpFlags::RST,
        ..Segment::default()
    };
    if header.flags.contains(TcpFlags::ACK) {
        reset.sequence = header.acknowledgement.get();
    } else {
        reset.acknowledgement = header.sequence.get().wrapping_add(segment.sequence_len());
        reset.flags = TcpFlags::RST.with(TcpFlags::ACK);
    }
    tcp(out, &Envelope::answer_to(packet), &reset)
}

/// Writes a datagram; ports are (source, destination).
///
/// # Errors
///
/// A [`BuildError`].
pub fn udp(
    out: &mut [u8],
    envelope: &Envelope,
    ports: (u16, u16),
    data: &[u8],
) -> Result<usize, BuildError> {
    let bytes = UdpHeader::LEN + data.len();
    let len = u16::try_from(bytes).map_err(|_| BuildError::TooLong)?;
    let header = UdpHeader {
        source_port: ports.0.into(),
        destination_port: ports.1.into(),
        len: len.into(),
        checksum: 0.into(),
    };
    envelope.fill(out, ip::UDP, bytes, |payload, mut sum| {
        lay(payload, &header);
        payload[UdpHeader::LEN..].copy_from_slice(data);
        sum.add(payload);
        payload[6..8].copy_from_slice(&sum.udp_checksum().to_be_bytes());
    })
}
