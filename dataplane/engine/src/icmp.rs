//! ICMP and ICMPv6: echo answered, errors made.
//!
//! Translating errors about flows comes with `engine`. Errors are rate-limited and never made about
//! errors, groups, later fragments or sources that are no single host.
//!
//! Sources: RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3.2, RFC 4443 §2.4, RFC 1191 §4.

use std::net::IpAddr;

use tmm_wire::checksum::{self, Delta, Sum};
use tmm_wire::{PacketBuf, PacketPool};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{Fragment, IpFrame, protocol};
use crate::originate::IpHeader;

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
    let Some((kind, _)) = frame.icmp_type(data) else {
        return Kind::NoIcmp;
    };
    match (frame.is_v6(), kind) {
        (false, 8) | (true, 128) => Kind::EchoRequest,
        (false, 0) | (true, 129) => Kind::EchoReply,
        // Unreachable, source quench, redirect, time exceeded, parameter problem; types below 128.
        (false, 3 | 4 | 5 | 11 | 12) | (true, 0..=127) => Kind::Error,
        _ => Kind::Other,
    }
}

/// An error to tell the sender of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IcmpError {
    /// TTL or hop limit ran out here.
    TimeExceeded,
    /// The packet is larger than this MTU, in bytes.
    TooBig(u16),
    /// Nobody listens at the port; comes from the address that was asked.
    PortUnreachable,
    /// The next hop does not answer.
    HostUnreachable,
    /// There is no route.
    NetUnreachable,
}

impl IcmpError {
    /// Type, code and the last four bytes of the header.
    const fn header(self, is_v6: bool) -> (u8, u8, u32) {
        match (self, is_v6) {
            (Self::TimeExceeded, false) => (11, 0, 0),
            (Self::TimeExceeded, true) => (3, 0, 0),
            (Self::TooBig(mtu), false) => (3, 4, mtu as u32),
            (Self::TooBig(mtu), true) => (2, 0, mtu as u32),
            (Self::PortUnreachable, false) => (3, 3, 0),
            (Self::PortUnreachable, true) => (1, 4, 0),
            (Self::HostUnreachable, false) => (3, 1, 0),
            (Self::HostUnreachable, true) => (1, 3, 0),
            (Self::NetUnreachable, false) => (3, 0, 0),
            (Self::NetUnreachable, true) => (1, 0, 0),
        }
    }
}

impl<P: PacketPool> Ctx<'_, P> {
    /// Tells the sender of `buf` an error, if the rules and the rate allow it. `buf` must still be
    /// as it came: the error carries its beginning. Gives no verdict on `buf`.
    pub fn icmp_error(&mut self, buf: &P::Buf, frame: &IpFrame, error: IcmpError) {
        if !may_be_answered(frame, buf.data()) {
            return;
        }
        let is_v6 = frame.is_v6();
        let own = self.self_ip(frame.vlan, is_v6);
        let from = match error {
            IcmpError::PortUnreachable => Some(frame.dst),
            _ => own.or_else(|| self.config.is_any_vip(frame.dst).then_some(frame.dst)),
        };
        let (Some(src), Ok(adjacency)) = (from, self.adjacency_back(frame)) else { return };
        if !self.net.icmp_errors.take(self.now) {
            self.counters.icmp_limited += 1;
            return;
        }
        let start = usize::from(frame.l3);
        let end = start + usize::from(frame.ip_len).min(if is_v6 { MOST_V6 } else { MOST_V4 });
        let data = buf.data();
        let Some(quoted) = data.get(start..end.min(data.len())) else { return };
        let protocol = if is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
        let header = IpHeader { src, dst: frame.src, protocol, ttl: TTL };
        let (kind, code, rest) = error.header(is_v6);
        let made = self.originate_ip(&header, 8 + quoted.len(), |message| {
            message[0] = kind;
            message[1] = code;
            message[4..8].copy_from_slice(&rest.to_be_bytes());
            message[8..].copy_from_slice(quoted);
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
    turn_around(buf.data_mut(), frame);
    ctx.transmit(buf, adjacency);
}

/// Makes an echo request its reply in place.
fn turn_around(data: &mut [u8], frame: &IpFrame) {
    let (l3, l4) = (usize::from(frame.l3), usize::from(frame.l4));
    let (first, size, ttl) = if frame.is_v6() { (8, 16, 7) } else { (12, 4, 8) };
    let Some((ip, message)) = data.split_at_mut_checked(l4) else { return };
    let ip = &mut ip[l3..];
    let (before, after) = ip.split_at_mut(first + size);
    before[first..].swap_with_slice(&mut after[..size]);
    ip[ttl] = TTL;
    if !frame.is_v6() {
        ip[10..12].fill(0);
        let sum = checksum::of(ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    if let Some([kind, code, high, low]) = message.first_chunk_mut::<4>() {
        let reply = if frame.is_v6() { 129 } else { 0 };
        let (old, new) = ([*kind, *code], [reply, *code]);
        let delta = Delta::NONE.u16(u16::from_be_bytes(old), u16::from_be_bytes(new));
        [*high, *low] = delta.apply(u16::from_be_bytes([*high, *low])).to_be_bytes();
        *kind = reply;
    }
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

/// Whether an error may be made about `frame` (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
fn may_be_answered(frame: &IpFrame, data: &[u8]) -> bool {
    let is_single = match frame.src {
        IpAddr::V4(a) => !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast(),
        IpAddr::V6(a) => !a.is_unspecified() && !a.is_multicast(),
    };
    is_single
        && frame.unicast
        && !frame.dst.is_multicast()
        && frame.fragment != Fragment::Later
        && matches!(kind(frame, data), Kind::NoIcmp | Kind::EchoRequest | Kind::EchoReply)
}

/// TTL of what we send.
const TTL: u8 = 64;
/// The most of a packet that an error quotes: the whole error stays within 576 bytes (RFC 1812
/// §4.3.2.3) or 1,280 (RFC 4443 §2.4 (c)).
const MOST_V4: usize = 576 - 28;
const MOST_V6: usize = 1280 - 48;
