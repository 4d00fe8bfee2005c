//! INIT and INIT ACK: fixed fields, parameters and the addresses among them.
//!
//! Source: RFC 9260 §3.3.2, §3.3.3.

use std::net::IpAddr;

use super::take_padded;
use crate::error::ParseError;

/// What INIT and INIT ACK carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Init<'a> {
    /// The tag that packets to its sender must carry; 0 is not allowed.
    pub initiate_tag: u32,
    /// Advertised receiver window, in bytes.
    pub receiver_window: u32,
    /// Outbound streams.
    pub outbound_streams: u16,
    /// Inbound streams.
    pub inbound_streams: u16,
    /// Initial transmission sequence number.
    pub initial_tsn: u32,
    parameters: &'a [u8],
}

impl<'a> Init<'a> {
    /// Reads the value of an INIT or INIT ACK chunk.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, parameters) = value.split_first_chunk::<16>().ok_or(ParseError::SctpChunk)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *fixed;
        Ok(Self {
            initiate_tag: u32::from_be_bytes([a, b, c, d]),
            receiver_window: u32::from_be_bytes([e, f, g, h]),
            outbound_streams: u16::from_be_bytes([i, j]),
            inbound_streams: u16::from_be_bytes([k, l]),
            initial_tsn: u32::from_be_bytes([m, n, o, p]),
            parameters,
        })
    }

    /// Walks the parameters.
    #[must_use]
    pub const fn parameters(&self) -> Parameters<'a> {
        Parameters { rest: self.parameters }
    }

    /// The addresses that its sender offers besides the packet's source.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + 'a {
        self.parameters().filter_map(|parameter| match parameter {
            Ok(Parameter::Address(address)) => Some(address),
            _ => None,
        })
    }
}

/// One parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parameter<'a> {
    /// IPv4 or IPv6 address (types 5 and 6).
    Address(IpAddr),
    /// State cookie (type 7).
    Cookie(&'a [u8]),
    /// Host name address (type 11, deprecated: the receiver must abort).
    HostName,
    /// Any other.
    Other {
        /// Type.
        kind: u16,
        /// What follows type and length.
        value: &'a [u8],
    },
}

/// Walks parameters; stops after an error.
#[derive(Clone, Debug)]
pub struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = take_padded(&mut self.rest).and_then(|(kind, value)| {
            Some(match u16::from_be_bytes(kind) {
                5 => Parameter::Address(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
                6 => Parameter::Address(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
                7 => Parameter::Cookie(value),
                11 => Parameter::HostName,
                kind => Parameter::Other { kind, value },
            })
        });
        if item.is_none() {
            self.rest = &[];
        }
        Some(item.ok_or(ParseError::SctpParameter))
    }
}
