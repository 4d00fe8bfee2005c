//! The IPv4 header (RFC 791).

use std::net::{IpAddr, Ipv4Addr};

use super::{Fragment, IpFrame, is_destination, is_source};
use crate::drop_reason::DropReason;

pub(super) fn parse(data: &[u8], packet_len: usize, l3: usize) -> Result<IpFrame, DropReason> {
    let ip = data.get(l3..).unwrap_or_default();
    let Some(fixed) = ip.first_chunk::<20>() else {
        return Err(DropReason::FrameTooShort);
    };
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let ip_len = u16::from_be_bytes([fixed[2], fixed[3]]);
    let total = usize::from(ip_len);
    if fixed[0] >> 4 != 4 || header_len < 20 || total < header_len || l3 + total > packet_len {
        return Err(DropReason::BadIpv4Header);
    }
    let header = ip.get(..header_len).ok_or(DropReason::HeadersSplit)?;
    if sum(header) != 0xffff {
        return Err(DropReason::BadIpv4Checksum);
    }
    let src = IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]));
    let dst = IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]));
    if !is_source(src) || !is_destination(dst) {
        return Err(DropReason::BadAddress);
    }
    let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
    let (more, offset) = (flags & 0x2000 != 0, flags & 0x1fff);
    let mut frame = IpFrame::between(src, dst);
    frame.l3 = to_u16(l3);
    frame.l4 = to_u16(l3 + header_len);
    frame.ip_len = ip_len;
    frame.protocol = fixed[9];
    frame.ttl = fixed[8];
    frame.dont_fragment = flags & 0x4000 != 0;
    frame.fragment = match (offset, more) {
        (0, false) => Fragment::None,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    };
    Ok(frame)
}

/// Ones' complement sum of an even number of bytes (RFC 1071).
fn sum(header: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in header.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Offsets within headers are far below 64 KiB.
fn to_u16(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}
