//! Ethernet II headers.
//!
//! Source: IEEE 802.3-2018 §3.1.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ParseError;
use crate::header::Header;
use crate::id::MacAddr;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of an 802.1Q customer tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad service tag.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of slow protocols, LACP among them.
pub const SLOW: u16 = 0x8809;

/// Destination, source and type.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct EthernetHeader {
    /// Who it is for.
    pub destination: MacAddr,
    /// Who sent it.
    pub source: MacAddr,
    /// What follows ([`IPV4`] and so on).
    pub ethertype: U16,
}

impl Header for EthernetHeader {
    const TRUNCATED: ParseError = ParseError::EthernetTruncated;
}

/// The group address of an IPv6 multicast address (RFC 2464 §7).
#[must_use]
pub const fn multicast_mac(group: std::net::Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}
