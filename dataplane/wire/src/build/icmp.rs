//! ICMP echo and errors.
//!
//! Sources: RFC 792; RFC 1812 §4.3.2.3 (576 bytes); RFC 4443 §2.4 (c) (1,280 bytes), §3, §4.

use std::net::IpAddr;

use super::{BuildError, Envelope, HOP_LIMIT, lay};
use crate::checksum::Sum;
use crate::error::ParseError;
use crate::header::Header;
use crate::icmp::{self, Echo, IcmpHeader};
use crate::ip::{self, IpPacket};
use crate::ipv4::Ipv4Header;
use crate::ipv6::Ipv6Header;

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum IcmpError {
    /// The hop limit ran out here.
    TimeExceeded,
    /// The packet must not be fragmented and the way out takes `mtu` bytes of IP packet.
    TooBig {
        /// Bytes.
        mtu: u16,
    },
    /// No route.
    NetUnreachable,
    /// The next hop does not answer.
    HostUnreachable,
    /// Nobody takes this port.
    PortUnreachable,
    /// Not allowed.
    Prohibited,
}

impl IcmpError {
    /// Type and code of the family.
    #[must_use]
    pub const fn numbers(self, is_v6: bool) -> (u8, u8) {
        match (self, is_v6) {
            (Self::TimeExceeded, false) => (icmp::V4_TIME_EXCEEDED, 0),
            (Self::TooBig { .. }, false) => (icmp::V4_UNREACHABLE, 4),
            (Self::NetUnreachable, false) => (icmp::V4_UNREACHABLE, 0),
            (Self::HostUnreachable, false) => (icmp::V4_UNREACHABLE, 1),
            (Self::PortUnreachable, false) => (icmp::V4_UNREACHABLE, 3),
            (Self::Prohibited, false) => (icmp::V4_UNREACHABLE, 13),
            (Self::TimeExceeded, true) => (icmp::V6_TIME_EXCEEDED, 0),
            (Self::TooBig { .. }, true) => (icmp::V6_TOO_BIG, 0),
            (Self::NetUnreachable, true) => (icmp::V6_UNREACHABLE, 0),
            (Self::HostUnreachable, true) => (icmp::V6_UNREACHABLE, 3),
            (Self::PortUnreachable, true) => (icmp::V6_UNREACHABLE, 4),
            (Self::Prohibited, true) => (icmp::V6_UNREACHABLE, 1),
        }
    }
}

/// Longest packet that [`icmp_error`] writes, in bytes.
pub const MOST_ERROR_BYTES: usize = 1280;

const MOST_V4_ERROR: usize = 576;

/// Traffic class of errors: network control (RFC 1812 §4.3.2.5).
const CONTROL: u8 = 0xc0;

/// Writes an ICMP error from `source` to the sender of `about`, which it quotes as far as the
/// family's limit allows. Whether `about` may cause one is [`IpPacket::may_cause_error`]'s.
///
/// # Errors
///
/// [`BuildError::NoRoom`]; [`BuildError::Family`] if `source` is not of the packet's family.
pub fn icmp_error(
    out: &mut [u8],
    source: IpAddr,
    about: &IpPacket<'_>,
    error: IcmpError,
) -> Result<usize, BuildError> {
    let is_v6 = about.is_v6();
    let most = if is_v6 {
        MOST_ERROR_BYTES - Ipv6Header::LEN - IcmpHeader::LEN
    } else {
        MOST_V4_ERROR - Ipv4Header::LEN - IcmpHeader::LEN
    };
    let quote = &about.bytes[..about.bytes.len().min(most)];
    let (kind, code) = error.numbers(is_v6);
    let mtu = if let IcmpError::TooBig { mtu } = error { mtu } else { 0 };
    // IPv4 has 16 bits of MTU behind 16 unused ones (RFC 1191 §4), IPv6 has 32 (RFC 4443 §3.2).
    let header = IcmpHeader { kind, code, checksum: 0.into(), id: 0.into(), sequence: mtu.into() };
    let envelope = Envelope {
        source,
        destination: about.source,
        hop_limit: HOP_LIMIT,
        traffic_class: CONTROL,
    };
    message(out, &envelope, header, quote)
}

/// Writes an echo request or reply.
///
/// # Errors
///
/// A [`BuildError`].
pub fn echo(
    out: &mut [u8],
    envelope: &Envelope,
    which: Echo,
    id: u16,
    sequence: u16,
    data: &[u8],
) -> Result<usize, BuildError> {
    let kind = match (envelope.source, which) {
        (IpAddr::V4(_), Echo::Request) => icmp::V4_ECHO_REQUEST,
        (IpAddr::V4(_), Echo::Reply) => icmp::V4_ECHO_REPLY,
        (IpAddr::V6(_), Echo::Request) => icmp::V6_ECHO_REQUEST,
        (IpAddr::V6(_), Echo::Reply) => icmp::V6_ECHO_REPLY,
    };
    let header =
        IcmpHeader { kind, code: 0, checksum: 0.into(), id: id.into(), sequence: sequence.into() };
    message(out, envelope, header, data)
}

/// Writes an ICMP message of the envelope's family.
fn message(
    out: &mut [u8],
    envelope: &Envelope,
    header: IcmpHeader,
    data: &[u8],
) -> Result<usize, BuildError> {
    let is_v6 = envelope.source.is_ipv6();
    let protocol = if is_v6 { ip::ICMPV6 } else { ip::ICMP };
    envelope.fill(out, protocol, IcmpHeader::LEN + data.len(), |payload, pseudo| {
        lay(payload, &header);
        payload[IcmpHeader::LEN..].copy_from_slice(data);
        let mut sum = if is_v6 { pseudo } else { Sum::default() };
        sum.add(payload);
        payload[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    })
}

/// Turns the echo request in `packet` (from the IP header on) into its reply: ends swapped, hop
/// limit [`HOP_LIMIT`], checksums mended, so that a wrong one stays wrong.
///
/// # Errors
///
/// [`ParseError`] if it is no whole echo request; it is unchanged.
pub fn echo_reply_in_place(packet: &mut [u8]) -> Result<(), ParseError> {
    let view = IpPacket::parse(packet)?;
    let (source, destination, at) = (view.source, view.destination, view.header_len);
    let is_v6 = view.is_v6();
    let (message, _) = IcmpHeader::split(view.payload())?;
    let protocol = if is_v6 { ip::ICMPV6 } else { ip::ICMP };
    let is_request = icmp::echo(is_v6, message) == Some(Echo::Request);
    if view.protocol != protocol || view.fragment.is_some() || !is_request {
        return Err(ParseError::IcmpTruncated);
    }
    let (head, tail) = packet.split_at_mut(at);
    let (message, _) = IcmpHeader::split_mut(tail)?;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (header, _) = Ipv4Header::split_mut(head)?;
            header.set_source(destination);
            header.set_destination(source);
            header.set_ttl(HOP_LIMIT);
            message.set_kind(icmp::V4_ECHO_REPLY);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            // The pseudo header has both addresses, so swapping them leaves the sum alone.
            let (header, _) = Ipv6Header::split_mut(head)?;
            header.set_source(destination);
            header.set_destination(source);
            header.hop_limit = HOP_LIMIT;
            message.set_kind(icmp::V6_ECHO_REPLY);
        }
        _ => return Err(ParseError::IpVersion),
    }
    Ok(())
}
