//! Packets that the engine originates, written from the IP header on into bytes of the caller's.
//!
//! Each builder writes to the front of `out` and gives the length it wrote, with all checksums
//! right. The Ethernet header is [`crate::LinkLayer::write`]'s; ARP has no IP header and is
//! [`crate::arp::ArpPacket::write`]'s. Nothing here limits how often packets are sent.

use std::net::IpAddr;

use crate::checksum::Sum;
use crate::header::Header;
use crate::ip::IpPacket;
use crate::ipv4::Ipv4Header;
use crate::ipv6::Ipv6Header;

mod icmp;
mod nd;
mod sctp;
mod transport;

pub use icmp::{IcmpError, MOST_ERROR_BYTES, echo, echo_reply_in_place, icmp_error};
pub use nd::{NdAnswer, neighbour_advertisement, neighbour_solicitation};
pub use sctp::{SctpEnds, SctpInit, sctp_abort, sctp_abort_for, sctp_init, sctp_packet};
pub use transport::{Segment, tcp, tcp_reset_for, udp};

/// Hop limit of packets that the engine originates (RFC 1700's default).
pub const HOP_LIMIT: u8 = 64;

/// A packet could not be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// `out` is too short.
    #[error("no room for {bytes} bytes")]
    NoRoom {
        /// Bytes that are needed.
        bytes: usize,
    },
    /// Source and destination are of different families.
    #[error("source and destination are of different families")]
    Family,
    /// The packet would be longer than 65,535 bytes.
    #[error("packet would be longer than 65,535 bytes")]
    TooLong,
}

impl BuildError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoRoom { .. } => "no_room",
            Self::Family => "family",
            Self::TooLong => "too_long",
        }
    }
}

/// The IP header of a packet to be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP (6 bits) and ECN (2).
    pub traffic_class: u8,
}

impl Envelope {
    /// From `source` to `destination` with [`HOP_LIMIT`] and traffic class 0.
    #[must_use]
    pub const fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self { source, destination, hop_limit: HOP_LIMIT, traffic_class: 0 }
    }

    /// The way back of `packet`.
    #[must_use]
    pub const fn answer_to(packet: &IpPacket<'_>) -> Self {
        Self::new(packet.destination, packet.source)
    }

    /// Writes the IP header for a payload of `payload_len` bytes; gives its length, 20 or 40 bytes.
    ///
    /// # Errors
    ///
    /// A [`BuildError`]; [`BuildError::NoRoom`] unless `out` also has room for the payload.
    pub fn write(
        &self,
        out: &mut [u8],
        protocol: u8,
        payload_len: usize,
    ) -> Result<usize, BuildError> {
        let Self { source, destination, hop_limit, traffic_class } = *self;
        let header_len = if source.is_ipv4() { Ipv4Header::LEN } else { Ipv6Header::LEN };
        let bytes = header_len + payload_len;
        let Some(out) = out.get_mut(..bytes) else { return Err(BuildError::NoRoom { bytes }) };
        let class = traffic_class;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header =
                    Ipv4Header::new(source, destination, protocol, hop_limit, class, payload_len);
                lay(out, &header.ok_or(BuildError::TooLong)?);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header =
                    Ipv6Header::new(source, destination, protocol, hop_limit, class, payload_len);
                lay(out, &header.ok_or(BuildError::TooLong)?);
            }
            _ => return Err(BuildError::Family),
        }
        Ok(header_len)
    }

    /// Writes the IP header and gives the `payload_len` bytes behind it, zeroed, to `fill`, together
    /// with the sum of the pseudo header; gives the packet's length.
    fn fill(
        &self,
        out: &mut [u8],
        protocol: u8,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8], Sum),
    ) -> Result<usize, BuildError> {
        let header_len = self.write(out, protocol, payload_len)?;
        let payload = &mut out[header_len..header_len + payload_len];
        payload.fill(0);
        // `write` has refused payloads that do not fit 16 bits.
        let sum = Sum::pseudo(self.source, self.destination, protocol, payload_len as u16);
        fill(payload, sum);
        Ok(header_len + payload_len)
    }
}

/// Writes `header` to the front of `out`, which is known to be longer.
fn lay<H: Header>(out: &mut [u8], header: &H) {
    let written = header.write_to_prefix(out);
    debug_assert!(written.is_ok(), "builders reserve their headers");
}
