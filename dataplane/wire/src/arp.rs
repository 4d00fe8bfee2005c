//! ARP for IPv4 over Ethernet.
//!
//! Sources: RFC 826; RFC 5227 (probes and announcements).

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::buffer::NoRoom;
use crate::error::ParseError;
use crate::ethernet;
use crate::header::Header;
use crate::id::MacAddr;

/// The 28 bytes of an ARP packet.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ArpPacket {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender_ip: [u8; 4],
    target_mac: MacAddr,
    target_ip: [u8; 4],
}

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

impl Header for ArpPacket {
    const TRUNCATED: ParseError = ParseError::ArpTruncated;
}

impl ArpPacket {
    /// A packet ready to be written.
    #[must_use]
    pub fn new(
        operation: ArpOperation,
        sender: (MacAddr, Ipv4Addr),
        target: (MacAddr, Ipv4Addr),
    ) -> Self {
        let operation = match operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        Self {
            hardware: 1.into(),
            protocol: ethernet::IPV4.into(),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(operation),
            sender_mac: sender.0,
            sender_ip: sender.1.octets(),
            target_mac: target.0,
            target_ip: target.1.octets(),
        }
    }

    /// A request for the MAC of `target`; the target MAC is zero. With `sender.1 == target` it
    /// announces the sender (gratuitous ARP).
    #[must_use]
    pub fn request(sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self::new(ArpOperation::Request, sender, (MacAddr::default(), target))
    }

    /// The packet at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// [`ParseError::ArpTruncated`], [`ParseError::ArpUnsupported`].
    pub fn parse(bytes: &[u8]) -> Result<&Self, ParseError> {
        let (packet, _) = Self::split(bytes)?;
        let for_ipv4 = packet.hardware.get() == 1
            && packet.protocol.get() == ethernet::IPV4
            && packet.hardware_len == 6
            && packet.protocol_len == 4;
        if for_ipv4 && matches!(packet.operation.get(), 1 | 2) {
            Ok(packet)
        } else {
            Err(ParseError::ArpUnsupported)
        }
    }

    /// Writes the packet to the front of `out`; gives its length.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if `out` is shorter than 28 bytes.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        self.write_to_prefix(out).map_err(|_| NoRoom { bytes: Self::LEN })?;
        Ok(Self::LEN)
    }

    /// What it wants.
    #[must_use]
    pub fn operation(&self) -> ArpOperation {
        if self.operation.get() == 1 { ArpOperation::Request } else { ArpOperation::Reply }
    }

    /// Who says so.
    #[must_use]
    pub const fn sender_mac(&self) -> MacAddr {
        self.sender_mac
    }

    /// Address of who says so; 0.0.0.0 in a probe (RFC 5227 §1.1).
    #[must_use]
    pub fn sender_ip(&self) -> Ipv4Addr {
        self.sender_ip.into()
    }

    /// Whom a reply is for.
    #[must_use]
    pub const fn target_mac(&self) -> MacAddr {
        self.target_mac
    }

    /// The address that is asked for.
    #[must_use]
    pub fn target_ip(&self) -> Ipv4Addr {
        self.target_ip.into()
    }
}
