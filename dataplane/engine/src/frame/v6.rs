//! The IPv6 header and its extension headers (RFC 8200 §3, §4).

use std::net::{IpAddr, Ipv6Addr};

use super::{Fragment, IpFrame, is_destination, is_source};
use crate::drop_reason::DropReason;

pub(super) fn parse(data: &[u8], packet_len: usize, l3: usize) -> Result<IpFrame, DropReason> {
    let ip = data.get(l3..).unwrap_or_default();
    let Some((fixed, rest)) = ip.split_first_chunk::<40>() else {
        return Err(DropReason::FrameTooShort);
    };
    let payload = u16::from_be_bytes([fixed[4], fixed[5]]);
    let ip_len = payload.checked_add(40).ok_or(DropReason::BadIpv6Header)?;
    if fixed[0] >> 4 != 6 || l3 + usize::from(ip_len) > packet_len {
        return Err(DropReason::BadIpv6Header);
    }
    let (src, dst) = (address(fixed, 8), address(fixed, 24));
    if !is_source(src) || !is_destination(dst) {
        return Err(DropReason::BadAddress);
    }
    let mut frame = IpFrame::between(src, dst);
    frame.ip_len = ip_len;
    frame.ttl = fixed[7];
    frame.dont_fragment = true;
    let upper = walk(fixed[6], rest, usize::from(payload))?;
    frame.protocol = upper.protocol;
    frame.fragment = upper.fragment;
    frame.l3 = u16::try_from(l3).map_err(|_| DropReason::BadIpv6Header)?;
    frame.l4 = u16::try_from(l3 + 40 + upper.offset).map_err(|_| DropReason::BadIpv6Header)?;
    Ok(frame)
}

struct Upper {
    protocol: u8,
    offset: usize,
    fragment: Fragment,
}

/// Walks the chain of extension headers in `bytes`, the packet's `len` bytes of payload as far as
/// they lie in the first segment.
fn walk(first: u8, bytes: &[u8], len: usize) -> Result<Upper, DropReason> {
    let mut upper = Upper { protocol: first, offset: 0, fragment: Fragment::None };
    for place in 0..MAX_EXTENSIONS {
        let is_fragment = upper.protocol == FRAGMENT;
        match upper.protocol {
            // Hop-by-hop options stand right behind the fixed header or nowhere (RFC 8200 §4.1).
            HOP_BY_HOP if place > 0 => return Err(DropReason::BadIpv6Header),
            HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION => {}
            _ => return Ok(upper),
        }
        if upper.offset + 8 > len {
            return Err(DropReason::BadIpv6Header);
        }
        let header = bytes.get(upper.offset..).and_then(|b| b.first_chunk::<8>());
        let header = header.ok_or(DropReason::HeadersSplit)?;
        // Segments left of a type 0 routing header (RFC 5095 §3) or of any type we do not know.
        if upper.protocol == ROUTING && header[3] != 0 {
            return Err(DropReason::BadIpv6Header);
        }
        let size = if is_fragment { 8 } else { (usize::from(header[1]) + 1) * 8 };
        upper.protocol = header[0];
        upper.offset += size;
        if upper.offset > len {
            return Err(DropReason::BadIpv6Header);
        }
        if is_fragment {
            let field = u16::from_be_bytes([header[2], header[3]]);
            // An atomic fragment (RFC 6946) is whole, yet needs its header kept: it goes as one.
            upper.fragment = if field >> 3 == 0 { Fragment::First } else { Fragment::Later };
            if upper.fragment == Fragment::Later {
                return Ok(upper);
            }
        }
    }
    Err(DropReason::BadIpv6Header)
}

fn address(fixed: &[u8; 40], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&fixed[at..at + 16]);
    IpAddr::V6(Ipv6Addr::from(octets))
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
const MAX_EXTENSIONS: usize = 8;
