//! Writing a session's translation into a packet.
//!
//! Addresses and ports become those of the other direction's key, swapped; checksums move by the
//! precomputed deltas (RFC 1624), so a right one stays right and a wrong one wrong; TTL or hop limit
//! falls by one. SCTP's CRC32c does not cover addresses: who changes its ports computes it anew.
//!
//! Invariant: only header bytes named here change. Sources: crds.md §5.7 rules 3, 4; RFC 1624 §3;
//! RFC 768 (a UDP checksum of 0 is none, and stays none).

use super::session::{Addresses, Hot, flag};
use crate::frame::protocol;

/// What becomes of a packet's headers.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<A> {
    /// New source and destination address.
    pub addresses: A,
    /// New source and destination port, or ICMP echo identifier on either side.
    pub ports: u32,
    /// Delta of the IPv4 header checksum.
    pub ip_delta: u16,
    /// Delta of the transport checksum.
    pub l4_delta: u16,
}

impl<A: Addresses> Rewrite<A> {
    /// What `hot` says for packets of a direction.
    #[inline(always)]
    pub fn of(hot: &Hot<A>, reply: bool) -> Self {
        let (addresses, ports) = hot.rewrite(reply);
        let flip = 0_u16.wrapping_sub(u16::from(reply));
        Self { addresses, ports, ip_delta: hot.ip_delta ^ flip, l4_delta: hot.l4_delta ^ flip }
    }
}

/// Writing network headers, per family.
pub trait WriteNetwork: Addresses {
    /// Length of the header without options or extensions.
    const HEADER: usize;

    /// Writes addresses and header checksum at `l3` and takes one off the TTL. None if the packet is
    /// too short.
    fn write_network(data: &mut [u8], l3: usize, to: &Rewrite<Self>) -> Option<()>;
}

impl WriteNetwork for u64 {
    const HEADER: usize = 20;

    #[inline(always)]
    fn write_network(data: &mut [u8], l3: usize, to: &Rewrite<Self>) -> Option<()> {
        let header = data.get_mut(l3..)?.first_chunk_mut::<20>()?;
        header[8] = header[8].wrapping_sub(1);
        let sum = u32::from(!u16::from_ne_bytes([header[10], header[11]]))
            + u32::from(to.ip_delta)
            + u32::from(TTL_DELTA);
        [header[10], header[11]] = finish(sum).to_ne_bytes();
        header[12..20].copy_from_slice(&to.addresses.to_ne_bytes());
        Some(())
    }
}

impl WriteNetwork for [u64; 4] {
    const HEADER: usize = 40;

    #[inline(always)]
    fn write_network(data: &mut [u8], l3: usize, to: &Rewrite<Self>) -> Option<()> {
        let header = data.get_mut(l3..)?.first_chunk_mut::<40>()?;
        header[7] = header[7].wrapping_sub(1);
        for (place, word) in header[8..40].chunks_exact_mut(8).zip(to.addresses) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Some(())
    }
}

/// Writes ports and checksum of a TCP header at `l4`.
#[inline(always)]
pub fn write_tcp(data: &mut [u8], l4: usize, ports: u32, delta: u16) -> Option<()> {
    let header = data.get_mut(l4..)?.first_chunk_mut::<18>()?;
    header[..4].copy_from_slice(&ports.to_ne_bytes());
    [header[16], header[17]] =
        adjust(u16::from_ne_bytes([header[16], header[17]]), delta).to_ne_bytes();
    Some(())
}

/// Writes ports and checksum of a UDP header at `l4`.
#[inline(always)]
pub fn write_udp(data: &mut [u8], l4: usize, ports: u32, delta: u16) -> Option<()> {
    let header = data.get_mut(l4..)?.first_chunk_mut::<8>()?;
    header[..4].copy_from_slice(&ports.to_ne_bytes());
    let old = u16::from_ne_bytes([header[6], header[7]]);
    if old != 0 {
        // RFC 1624 equation 3 without its outer complements: the same but for a zero, which here
        // comes out as all ones, as UDP wants it (RFC 768).
        let sum = u32::from(old) + u32::from(!delta);
        [header[6], header[7]] = folded(sum).to_ne_bytes();
    }
    Some(())
}

/// Writes a whole translation; `l4` is where the upper header begins. None if the packet is too
/// short, which leaves it half written: the caller checked its length.
pub fn write<A: WriteNetwork>(
    data: &mut [u8],
    l3: usize,
    l4: usize,
    hot: &Hot<A>,
    reply: bool,
) -> Option<()> {
    let to = Rewrite::of(hot, reply);
    A::write_network(data, l3, &to)?;
    match hot.protocol {
        protocol::TCP => write_tcp(data, l4, to.ports, to.l4_delta),
        protocol::UDP => write_udp(data, l4, to.ports, to.l4_delta),
        protocol::SCTP => {
            data.get_mut(l4..)?.first_chunk_mut::<4>()?.copy_from_slice(&to.ports.to_ne_bytes());
            Some(())
        }
        // ICMP echo: the identifier, at 4, is the port of the side that asked.
        _ => {
            let header = data.get_mut(l4..)?.first_chunk_mut::<8>()?;
            let [a, b, c, d] = to.ports.to_ne_bytes();
            [header[4], header[5]] = if reply { [c, d] } else { [a, b] };
            let delta = if hot.has(flag::NO_PSEUDO) {
                // The message checksum of ICMPv4 does not cover the addresses: take them out.
                let sum = u32::from(to.l4_delta) + u32::from(!to.ip_delta);
                !finish(sum)
            } else {
                to.l4_delta
            };
            [header[2], header[3]] =
                adjust(u16::from_ne_bytes([header[2], header[3]]), delta).to_ne_bytes();
            Some(())
        }
    }
}

/// RFC 1624 equation 3.
#[inline(always)]
pub const fn adjust(old: u16, delta: u16) -> u16 {
    finish(!old as u32 + delta as u32)
}

/// Folds a sum of a few words and complements it.
#[inline(always)]
const fn finish(sum: u32) -> u16 {
    !folded(sum)
}

/// Folds a sum of a few words. The lower halves of the two summands carry into the upper ones just
/// when the fold must carry again.
#[inline(always)]
const fn folded(sum: u32) -> u16 {
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// What one off the TTL does to the word of TTL and protocol.
const TTL_DELTA: u16 = !u16::from_ne_bytes([1, 0]);
