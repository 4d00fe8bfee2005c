//! Neighbour discovery: solicitations and advertisements.
//!
//! Router solicitations and advertisements and redirects are recognised by type
//! ([`crate::icmp`]) and not read: the routes of this product are configured.
//!
//! Source: RFC 4861 §4.3, §4.4, §4.6, §7.1.

use std::net::Ipv6Addr;

use crate::error::ParseError;
use crate::header::Header;
use crate::icmp::{self, IcmpHeader};
use crate::id::MacAddr;

/// A solicitation or an advertisement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NdMessage {
    /// Which of the two, and its flags.
    pub kind: NdKind,
    /// The address that is asked for or told of.
    pub target: Ipv6Addr,
    /// Source link-layer address of a solicitation, target link-layer address of an advertisement,
    /// if the option is there.
    pub mac: Option<MacAddr>,
}

/// What an ND message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NdKind {
    /// Who has the target?
    Solicitation,
    /// The target is at [`NdMessage::mac`].
    Advertisement {
        /// The sender is a router.
        router: bool,
        /// It answers a solicitation.
        solicited: bool,
        /// It replaces what is cached.
        overriding: bool,
    },
}

impl NdMessage {
    /// Reads the ICMPv6 message `icmp` of a packet whose hop limit is `hop_limit`. Verifies no
    /// checksum.
    ///
    /// # Errors
    ///
    /// [`ParseError::NdMalformed`] for another type, a code, a hop limit other than 255 or a
    /// multicast target (RFC 4861 §7.1); [`ParseError::NdOption`] for a malformed option.
    pub fn parse(icmp: &[u8], hop_limit: u8) -> Result<Self, ParseError> {
        let (header, rest) = IcmpHeader::split(icmp)?;
        let (target, options) = rest.split_first_chunk::<16>().ok_or(ParseError::NdMalformed)?;
        let target = Ipv6Addr::from(*target);
        if header.code != 0 || hop_limit != 255 || target.is_multicast() {
            return Err(ParseError::NdMalformed);
        }
        let flags = header.id.get() >> 8;
        let (kind, wanted) = match header.kind {
            icmp::V6_NEIGHBOUR_SOLICITATION => (NdKind::Solicitation, SOURCE_LINK_LAYER),
            icmp::V6_NEIGHBOUR_ADVERTISEMENT => {
                let kind = NdKind::Advertisement {
                    router: flags & 0x80 != 0,
                    solicited: flags & 0x40 != 0,
                    overriding: flags & 0x20 != 0,
                };
                (kind, TARGET_LINK_LAYER)
            }
            _ => return Err(ParseError::NdMalformed),
        };
        let mut mac = None;
        for option in NdOptions::new(options) {
            let option = option?;
            if option.kind == wanted && mac.is_none() {
                mac = option.data.first_chunk::<6>().copied().map(MacAddr);
            }
        }
        Ok(Self { kind, target, mac })
    }
}

/// Option: the sender's link-layer address.
pub const SOURCE_LINK_LAYER: u8 = 1;
/// Option: the target's link-layer address.
pub const TARGET_LINK_LAYER: u8 = 2;

/// One option of an ND message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NdOption<'a> {
    /// Type.
    pub kind: u8,
    /// What follows type and length.
    pub data: &'a [u8],
}

/// Walks the options of an ND message; stops after an error.
#[derive(Clone, Debug)]
pub struct NdOptions<'a> {
    rest: &'a [u8],
}

impl<'a> NdOptions<'a> {
    /// Walks `options`.
    #[must_use]
    pub const fn new(options: &'a [u8]) -> Self {
        Self { rest: options }
    }
}

impl<'a> Iterator for NdOptions<'a> {
    type Item = Result<NdOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[kind, len, ..] = self.rest else {
            let error = (!self.rest.is_empty()).then_some(Err(ParseError::NdOption));
            self.rest = &[];
            return error;
        };
        // In units of 8 bytes; 0 is malformed (RFC 4861 §4.6).
        let len = usize::from(len) * 8;
        if len == 0 || len > self.rest.len() {
            self.rest = &[];
            return Some(Err(ParseError::NdOption));
        }
        let (option, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(Ok(NdOption { kind, data: &option[2..] }))
    }
}

/// The solicited-node group of an address (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.to_bits() & 0x00ff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}
