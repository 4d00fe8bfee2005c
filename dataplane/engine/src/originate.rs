//! Makes IP packets of our own: Ethernet header, IP header, payload with its checksum.
//!
//! The MACs stay zero; the adjacency writes them. IPv4 packets are atomic (DF, identification 0).
//!
//! Sources: RFC 6864 §4.1, RFC 8200 §3, RFC 9260 §6.8.

use std::net::IpAddr;

use tmm_wire::checksum::{self, Sum};
use tmm_wire::{PacketBuf, PacketPool};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{ethertype, protocol};

/// The header of a packet of our own. Both addresses have the same family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpHeader {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Upper protocol.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// Bytes of the Ethernet header in front of a packet made here.
pub const ETHERNET_LEN: usize = 14;

impl<P: PacketPool> Ctx<'_, P> {
    /// A new packet with `len` zero bytes of payload, which `write` fills and whose checksum is
    /// then set (ICMP, ICMPv6, TCP, UDP, SCTP). Counted as originated; it needs a verdict. None if
    /// there is no buffer or no room in it.
    pub fn originate_ip(
        &mut self,
        header: &IpHeader,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Option<P::Buf> {
        let mut buf = self.originate()?;
        let (ip_len, kind) = match header.dst {
            IpAddr::V4(_) => (V4_LEN, ethertype::IPV4),
            IpAddr::V6(_) => (V6_LEN, ethertype::IPV6),
        };
        let total = u16::try_from(ip_len + len).ok();
        let (Some(total), Ok(())) = (total, buf.grow_back(ETHERNET_LEN + ip_len + len)) else {
            self.drop(buf, DropReason::BufferRoom);
            return None;
        };
        let data = buf.data_mut();
        data.fill(0);
        data[12..ETHERNET_LEN].copy_from_slice(&kind.to_be_bytes());
        let (ip, payload) = data[ETHERNET_LEN..].split_at_mut(ip_len);
        write_header(ip, header, total);
        write(payload);
        seal(header, payload);
        Some(buf)
    }
}

fn write_header(ip: &mut [u8], header: &IpHeader, total: u16) {
    match (header.src, header.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            ip[0] = 0x45;
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[6] = 0x40;
            ip[8] = header.ttl;
            ip[9] = header.protocol;
            ip[12..16].copy_from_slice(&src.octets());
            ip[16..20].copy_from_slice(&dst.octets());
            let sum = checksum::of(ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            ip[0] = 0x60;
            ip[4..6].copy_from_slice(&(total - 40).to_be_bytes());
            ip[6] = header.protocol;
            ip[7] = header.ttl;
            ip[8..24].copy_from_slice(&src.octets());
            ip[24..40].copy_from_slice(&dst.octets());
        }
        // The families of one packet never differ; an empty header is dropped by its receiver.
        _ => {}
    }
}

/// Writes the checksum of a payload whose checksum field is zero.
fn seal(header: &IpHeader, payload: &mut [u8]) {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let pseudo = || {
        let mut sum = Sum::pseudo(header.src, header.dst, header.protocol, len);
        sum.add(payload);
        sum
    };
    let (at, sum) = match header.protocol {
        protocol::ICMP => (2, checksum::of(payload)),
        protocol::ICMPV6 => (2, pseudo().checksum()),
        protocol::TCP => (16, pseudo().checksum()),
        protocol::UDP => (6, pseudo().udp_checksum()),
        protocol::SCTP => {
            let crc = crc32c::crc32c(payload);
            if let Some(field) = payload.get_mut(8..12) {
                field.copy_from_slice(&crc.to_le_bytes());
            }
            return;
        }
        _ => return,
    };
    if let Some(field) = payload.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

const V4_LEN: usize = 20;
const V6_LEN: usize = 40;
