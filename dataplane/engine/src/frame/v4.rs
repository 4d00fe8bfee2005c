//! The IPv4 header (RFC 791).

use std::net::IpAddr;

use tmm_wire::Header;
use tmm_wire::checksum::Sum;
use tmm_wire::ipv4::Ipv4Header;

use super::{Fragment, IpFrame, is_destination, is_source};
use crate::drop_reason::DropReason;

pub(super) fn parse(data: &[u8], packet_len: usize, l3: usize) -> Result<IpFrame, DropReason> {
    let bytes = data.get(l3..).unwrap_or_default();
    let (header, _) = Ipv4Header::split(bytes).map_err(|_| DropReason::FrameTooShort)?;
    let header_len = header.header_len();
    let total = usize::from(header.total_len.get());
    let fits = header_len >= Ipv4Header::LEN && total >= header_len && l3 + total <= packet_len;
    if header.version() != 4 || !fits {
        return Err(DropReason::BadIpv4Header);
    }
    let mut sum = Sum::default();
    sum.add(bytes.get(..header_len).ok_or(DropReason::HeadersSplit)?);
    if !sum.is_right() {
        return Err(DropReason::BadIpv4Checksum);
    }
    let (src, dst) = (IpAddr::V4(header.source()), IpAddr::V4(header.destination()));
    if !is_source(src) || !is_destination(dst) {
        return Err(DropReason::BadAddress);
    }
    let mut frame = IpFrame::between(src, dst);
    frame.l3 = u16::try_from(l3).map_err(|_| DropReason::BadIpv4Header)?;
    frame.l4 = u16::try_from(l3 + header_len).map_err(|_| DropReason::BadIpv4Header)?;
    frame.ip_len = header.total_len.get();
    frame.protocol = header.protocol;
    frame.ttl = header.ttl;
    frame.dont_fragment = header.dont_fragment();
    frame.fragment = Fragment::of(header.fragment());
    Ok(frame)
}
