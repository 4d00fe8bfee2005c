//! The IPv6 header and its extension headers (RFC 8200 §3, §4).

use std::net::IpAddr;

use tmm_wire::ipv6::{self, Ipv6Header};
use tmm_wire::{Header, ParseError};

use super::{Fragment, IpFrame, is_destination, is_source};
use crate::drop_reason::DropReason;

pub(super) fn parse(data: &[u8], packet_len: usize, l3: usize) -> Result<IpFrame, DropReason> {
    let bytes = data.get(l3..).unwrap_or_default();
    let (header, rest) = Ipv6Header::split(bytes).map_err(|_| DropReason::FrameTooShort)?;
    let payload = usize::from(header.payload_len.get());
    let total = Ipv6Header::LEN + payload;
    if header.version() != 6 || l3 + total > packet_len {
        return Err(DropReason::BadIpv6Header);
    }
    let (src, dst) = (IpAddr::V6(header.source()), IpAddr::V6(header.destination()));
    if !is_source(src) || !is_destination(dst) {
        return Err(DropReason::BadAddress);
    }
    let here = &rest[..rest.len().min(payload)];
    let upper = ipv6::walk(header.next_header, here).map_err(|error| match error {
        ParseError::Ipv6ExtensionTruncated if here.len() < payload => DropReason::HeadersSplit,
        _ => DropReason::BadIpv6Header,
    })?;
    if upper.routed {
        // Segments are left of a route that we do not follow (RFC 5095 §3).
        return Err(DropReason::BadIpv6Header);
    }
    let mut frame = IpFrame::between(src, dst);
    frame.l3 = u16::try_from(l3).map_err(|_| DropReason::BadIpv6Header)?;
    frame.l4 = u16::try_from(l3 + Ipv6Header::LEN + upper.offset)
        .map_err(|_| DropReason::BadIpv6Header)?;
    frame.ip_len = u16::try_from(total).map_err(|_| DropReason::BadIpv6Header)?;
    frame.protocol = upper.protocol;
    frame.ttl = header.hop_limit;
    frame.dont_fragment = true;
    frame.fragment = Fragment::of(upper.fragment);
    Ok(frame)
}
