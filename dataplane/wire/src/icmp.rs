//! ICMP for IPv4 and IPv6: the 8 bytes all messages start with, and the numbers.
//!
//! Sources: RFC 792; RFC 1191 §4 (next-hop MTU); RFC 4443.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Delta;
use crate::error::ParseError;
use crate::header::Header;

/// Echo reply, IPv4.
pub const V4_ECHO_REPLY: u8 = 0;
/// Destination unreachable, IPv4.
pub const V4_UNREACHABLE: u8 = 3;
/// Redirect, IPv4.
pub const V4_REDIRECT: u8 = 5;
/// Echo request, IPv4.
pub const V4_ECHO_REQUEST: u8 = 8;
/// Time exceeded, IPv4.
pub const V4_TIME_EXCEEDED: u8 = 11;
/// Destination unreachable, IPv6.
pub const V6_UNREACHABLE: u8 = 1;
/// Packet too big, IPv6.
pub const V6_TOO_BIG: u8 = 2;
/// Time exceeded, IPv6.
pub const V6_TIME_EXCEEDED: u8 = 3;
/// Parameter problem, IPv6.
pub const V6_PARAMETER_PROBLEM: u8 = 4;
/// Echo request, IPv6.
pub const V6_ECHO_REQUEST: u8 = 128;
/// Echo reply, IPv6.
pub const V6_ECHO_REPLY: u8 = 129;
/// Router solicitation, IPv6.
pub const V6_ROUTER_SOLICITATION: u8 = 133;
/// Router advertisement, IPv6.
pub const V6_ROUTER_ADVERTISEMENT: u8 = 134;
/// Neighbour solicitation, IPv6.
pub const V6_NEIGHBOUR_SOLICITATION: u8 = 135;
/// Neighbour advertisement, IPv6.
pub const V6_NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Redirect, IPv6.
pub const V6_REDIRECT: u8 = 137;

/// Type, code, checksum and the four bytes whose meaning depends on the type.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct IcmpHeader {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Over the message, in IPv6 with its pseudo header.
    pub checksum: U16,
    /// In echo: identifier. In errors: unused.
    pub id: U16,
    /// In echo: sequence number. In fragmentation needed: next-hop MTU.
    pub sequence: U16,
}

impl Header for IcmpHeader {
    const TRUNCATED: ParseError = ParseError::IcmpTruncated;
}

impl IcmpHeader {
    /// Turns the type into `kind` and mends the checksum.
    pub fn set_kind(&mut self, kind: u8) {
        let low = u16::from(self.code);
        let delta = Delta::NONE.u16(u16::from(self.kind) << 8 | low, u16::from(kind) << 8 | low);
        self.kind = kind;
        self.checksum = delta.apply(self.checksum.get()).into();
    }

    /// Writes another echo identifier and mends the checksum.
    pub fn set_id(&mut self, id: u16) {
        let delta = Delta::NONE.u16(self.id.get(), id);
        self.id = id.into();
        self.checksum = delta.apply(self.checksum.get()).into();
    }
}

/// Whether an IPv4 type is an error about another packet (RFC 1122 §3.2.2).
#[must_use]
pub const fn is_error_v4(kind: u8) -> bool {
    matches!(kind, V4_UNREACHABLE | 4 | V4_REDIRECT | V4_TIME_EXCEEDED | 12)
}

/// Whether an IPv6 type is an error about another packet (RFC 4443 §2.1).
#[must_use]
pub const fn is_error_v6(kind: u8) -> bool {
    kind < 128
}

/// What an echo message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Echo {
    /// Asks.
    Request,
    /// Answers.
    Reply,
}

/// Whether type and code are those of an echo message of the family.
#[must_use]
pub const fn echo(is_v6: bool, header: &IcmpHeader) -> Option<Echo> {
    match (is_v6, header.kind, header.code) {
        (false, V4_ECHO_REQUEST, 0) | (true, V6_ECHO_REQUEST, 0) => Some(Echo::Request),
        (false, V4_ECHO_REPLY, 0) | (true, V6_ECHO_REPLY, 0) => Some(Echo::Reply),
        _ => None,
    }
}
