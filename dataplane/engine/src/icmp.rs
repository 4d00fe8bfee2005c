//! ICMP and ICMPv6: echo answered, errors made.
//!
//! Translating errors about flows comes with `engine`. Errors are rate-limited and never made about
//! errors, groups, later fragments or sources that are no single host.
//!
//! Sources: RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3.2, RFC 4443 §2.4, RFC 1191 §4.

use std::net::IpAddr;

pub use tmm_wire::build::IcmpError;
use tmm_wire::build::{self, HOP_LIMIT, MOST_ERROR_BYTES};
use tmm_wire::checksum::Sum;
use tmm_wire::icmp::{self, Echo, IcmpHeader};
use tmm_wire::ipv4::Ipv4Header;
use tmm_wire::ipv6::Ipv6Header;
use tmm_wire::{Header, IpPacket, PacketBuf, PacketPool, ParseError};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{Fragment, IpFrame, protocol};

/// What sort of ICMP message a packet is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Another protocol.
    NoIcmp,
    /// Echo request.
    EchoRequest,
    /// Echo reply.
    EchoReply,
    /// An error about another packet.
    Error,
    /// Anything else.
    Other,
}

/// The sort of `frame`, whose first segment is `data`.
#[must_use]
pub fn kind(frame: &IpFrame, data: &[u8]) -> Kind {
    let is_v6 = frame.is_v6();
    let number = if is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
    if frame.protocol != number || frame.fragment == Fragment::Later {
        return Kind::NoIcmp;
    }
    let Ok((header, _)) = IcmpHeader::split(frame.payload(data)) else {
        return Kind::Other;
    };
    let is_error =
        if is_v6 { icmp::is_error_v6(header.kind) } else { icmp::is_error_v4(header.kind) };
    match icmp::echo(is_v6, header) {
        Some(Echo::Request) => Kind::EchoRequest,
        Some(Echo::Reply) => Kind::EchoReply,
        None if is_error => Kind::Error,
        None => Kind::Other,
    }
}

impl<P: PacketPool> Ctx<'_, P> {
    /// Tells the sender of `buf` an error, if the rules and the rate allow it. `buf` must still be
    /// as it came: the error quotes its beginning. Gives no verdict on `buf`.
    ///
    /// Port unreachable comes from the address that was asked, everything else from the self IP of
    /// the VLAN that `buf` came from.
    pub fn icmp_error(&mut self, buf: &P::Buf, frame: &IpFrame, error: IcmpError) {
        let data = buf.data();
        let (start, end) =
            (usize::from(frame.l3), usize::from(frame.l3) + usize::from(frame.ip_len));
        let Some(bytes) = data.get(start..end.min(data.len())) else { return };
        let about = IpPacket {
            bytes,
            source: frame.src,
            destination: frame.dst,
            protocol: frame.protocol,
            hop_limit: frame.ttl,
            traffic_class: 0,
            header_len: usize::from(frame.l4 - frame.l3),
            fragment: None,
            dont_fragment: frame.dont_fragment,
            has_options: false,
            is_source_routed: false,
        };
        if !frame.unicast || frame.fragment == Fragment::Later || !about.may_cause_error() {
            return;
        }
        let is_v6 = frame.is_v6();
        let vip = || self.config.is_any_vip(frame.dst).then_some(frame.dst);
        let from = match error {
            IcmpError::PortUnreachable => Some(frame.dst),
            _ => self.self_ip(frame.vlan, is_v6).or_else(vip),
        };
        let (Some(from), Ok(adjacency)) = (from, self.adjacency_back(frame)) else { return };
        if !self.net.icmp_errors.take(self.now) {
            self.counters.icmp_limited += 1;
            return;
        }
        let made = self.originate_ip(is_v6, MOST_ERROR_BYTES, |out| {
            build::icmp_error(out, from, &about, error)
        });
        if let Some(made) = made {
            self.transmit(made, adjacency);
        }
    }
}

/// Sends the echo request in `buf` back as its reply.
pub(crate) fn answer_echo<P: PacketPool>(mut buf: P::Buf, frame: &IpFrame, ctx: &mut Ctx<'_, P>) {
    if !is_checksum_right(&buf, frame) {
        return ctx.drop(buf, DropReason::BadL4Checksum);
    }
    let adjacency = match ctx.adjacency_back(frame) {
        Ok(adjacency) => adjacency,
        Err(reason) => return ctx.drop(buf, reason),
    };
    // The headers were parsed before, so they are there.
    match turn_around(buf.data_mut(), frame) {
        Ok(()) => ctx.transmit(buf, adjacency),
        Err(_) => ctx.drop(buf, DropReason::HeadersSplit),
    }
}

/// Makes an echo request its reply in place, whatever its length and segments.
fn turn_around(data: &mut [u8], frame: &IpFrame) -> Result<(), ParseError> {
    let (l3, l4) = (usize::from(frame.l3), usize::from(frame.l4));
    let (head, tail) = data.split_at_mut_checked(l4).ok_or(ParseError::IcmpTruncated)?;
    let head = head.get_mut(l3..).ok_or(ParseError::IcmpTruncated)?;
    let (message, _) = IcmpHeader::split_mut(tail)?;
    match (frame.src, frame.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let (header, _) = Ipv4Header::split_mut(head)?;
            header.set_source(dst);
            header.set_destination(src);
            header.set_ttl(HOP_LIMIT);
            message.set_kind(icmp::V4_ECHO_REPLY);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (header, _) = Ipv6Header::split_mut(head)?;
            header.set_source(dst);
            header.set_destination(src);
            header.hop_limit = HOP_LIMIT;
            message.set_kind(icmp::V6_ECHO_REPLY);
        }
        _ => return Err(ParseError::IpVersion),
    }
    Ok(())
}

/// Whether the checksum of an ICMP, ICMPv6, TCP or UDP packet is right, over all its segments.
pub(crate) fn is_checksum_right<B: PacketBuf>(buf: &B, frame: &IpFrame) -> bool {
    let mut sum = if frame.protocol == protocol::ICMP {
        Sum::default()
    } else {
        let len = u16::try_from(frame.payload_len()).unwrap_or(u16::MAX);
        Sum::pseudo(frame.src, frame.dst, frame.protocol, len)
    };
    let mut skip = usize::from(frame.l4);
    let mut left = frame.payload_len();
    buf.for_each_segment(&mut |segment| {
        let from = skip.min(segment.len());
        skip -= from;
        let part = &segment[from..];
        let part = &part[..part.len().min(left)];
        left -= part.len();
        sum.add(part);
    });
    sum.is_right()
}
