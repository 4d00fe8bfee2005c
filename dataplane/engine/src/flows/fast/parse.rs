//! Reading the frames that the hit path takes.
//!
//! One look at each frame: MAC, tag, ethertype and IP header as a few masked words. What is not
//! plain (see `fast`) is left to the closer look. Invariant: an item's headers lie in the first
//! segment of its frame.

use tmm_wire::{PacketBuf, PacketPool, PortId, VlanId};

use super::tally::Fate;
use crate::ctx::Ctx;
use crate::flows::index::{Entry, Place};
use crate::flows::session::Key;
use crate::flows::tcp;
use crate::frame::protocol;

/// What stage 2 knows of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Item<A> {
    pub key: Key<A>,
    pub place: Place,
    pub entry: Entry,
    pub fate: Fate,
    pub ip_len: u16,
    /// Bytes of the frame.
    pub len: u16,
    /// Place in the burst.
    pub at: u8,
    /// Offset of the IP header.
    pub l3: u8,
}

/// What frames of one burst have in common.
pub struct Common {
    port: PortId,
    mac: u64,
    /// VLANs of the tags seen last, by their low bits.
    memo: [Tag; TAGS],
}

/// A tag (0 is none) and its VLAN: the tag in the high half, then [`KNOWN`] and the slot.
#[derive(Clone, Copy)]
struct Tag(u32);

impl Common {
    pub fn new<P: PacketPool>(port: PortId, ctx: &Ctx<'_, P>) -> Self {
        let [a, b, c, d, e, f] = ctx.net.mac(port).0;
        let mac = u64::from_be_bytes([a, b, c, d, e, f, 0, 0]);
        Self { port, mac, memo: [Tag(u32::MAX); TAGS] }
    }

    /// The VLAN of `tag`, which is below 4096.
    #[inline(always)]
    fn zone<P: PacketPool>(&mut self, tag: u16, ctx: &Ctx<'_, P>) -> Option<u8> {
        let at = usize::from(tag) % TAGS;
        if (self.memo[at].0 >> 16) as u16 != tag {
            self.memo[at] = look_up(self.port, tag, ctx);
        }
        let Tag(found) = self.memo[at];
        (found & KNOWN != 0).then_some(found as u8)
    }

    /// Reads a frame with one tag and an IPv4 header of 20 bytes, which `head` begins.
    #[inline(always)]
    fn tagged_v4<P: PacketPool>(
        &mut self,
        head: &[u8; 46],
        data: &[u8],
        len: usize,
        at: u8,
        ctx: &Ctx<'_, P>,
    ) -> Option<Item<u64>> {
        let zone = self.zone((be_word::<12, 46>(head) >> 32) as u16 & 0xfff, ctx)?;
        // Version, service, length, identification, flags and offset.
        let word = be_word::<18, 46>(head);
        let (ip_len, whole) = ((word >> 32) as u16, word & 0x3fff == 0);
        let [ttl, protocol] = [head[26], head[27]];
        let (place, entry, fate) = (Place::default(), NOWHERE, Fate::REST);
        let ports = u32::from_ne_bytes([head[38], head[39], head[40], head[41]]);
        let key = Key { addresses: ne_word::<30, 46>(head), ports, zone, protocol };
        // So that sums with `ip_len` below cannot overflow.
        let len = u16::try_from(len).ok()?;
        let is_ours = be_word::<0, 46>(head) & MAC_MASK == self.mac;
        let is_plain = is_ours & whole & (ttl > 1) & (usize::from(ip_len) + 18 <= usize::from(len));
        if !is_plain || !is_plain_upper(protocol, data, 38, ip_len + 18) {
            return None;
        }
        Some(Item { key, place, entry, fate, ip_len, len, at, l3: 18 })
    }

    #[inline(always)]
    pub fn parse<P: PacketPool>(
        &mut self,
        buf: &P::Buf,
        at: u8,
        ctx: &Ctx<'_, P>,
        v4: impl FnOnce(Item<u64>),
        v6: impl FnOnce(Item<[u64; 4]>),
    ) -> Option<()> {
        let data = buf.data();
        // The common case with one length check: one tag and an IPv4 header without options.
        if let Some(head) = data.first_chunk::<46>()
            && be_word::<12, 46>(head) & TAGGED_V4_MASK == TAGGED_V4
        {
            // One tag in the descriptor and one in the frame are two.
            if buf.stripped_vlan().is_none() {
                v4(self.tagged_v4(head, data, buf.packet_len(), at, ctx)?);
                return Some(());
            }
            return None;
        }
        let ether = data.first_chunk::<20>()?;
        if be_word::<0, 20>(ether) & MAC_MASK != self.mac {
            return None;
        }
        // Ethertype, tag, ethertype, version and header length in one word.
        let word = be_word::<12, 20>(ether);
        let (l3, kind, tag) = if word & TAG_MASK == TAGGED {
            // One tag in the descriptor and one in the frame are two.
            if buf.stripped_vlan().is_some() {
                return None;
            }
            (18, word as u32 >> 8, (word >> 32) as u16 & 0xfff)
        } else {
            (14, (word >> 40) as u32, buf.stripped_vlan().unwrap_or(0) & 0xfff)
        };
        let zone = self.zone(tag, ctx)?;
        let packet = data.get(l3..)?;
        let len = buf.packet_len();
        let length = len - l3;
        let len = u16::try_from(len).ok()?;
        if kind == IPV4 {
            let header = packet.first_chunk::<28>()?;
            let ip_len = u16::from_be_bytes([header[2], header[3]]);
            let whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
            let key = Key {
                addresses: ne_word::<12, 28>(header),
                ports: u32::from_ne_bytes([header[20], header[21], header[22], header[23]]),
                zone,
                protocol: header[9],
            };
            let is_plain = whole && header[8] > 1 && usize::from(ip_len) <= length;
            if !is_plain || !is_plain_upper(key.protocol, packet, 20, ip_len) {
                return None;
            }
            let (place, entry, fate) = (Place::default(), NOWHERE, Fate::REST);
            v4(Item { key, place, entry, fate, ip_len, len, at, l3: l3 as u8 });
            Some(())
        } else if kind & VERSION_MASK == IPV6 {
            let header = packet.first_chunk::<48>()?;
            let ip_len = u16::from_be_bytes([header[4], header[5]]).checked_add(40)?;
            let key = Key {
                addresses: [
                    ne_word::<8, 48>(header),
                    ne_word::<16, 48>(header),
                    ne_word::<24, 48>(header),
                    ne_word::<32, 48>(header),
                ],
                ports: u32::from_ne_bytes([header[40], header[41], header[42], header[43]]),
                zone,
                protocol: header[6],
            };
            let is_plain = header[7] > 1 && usize::from(ip_len) <= length;
            // UDP over IPv6 without a checksum is not plain (RFC 8200 §8.1).
            let no_sum = key.protocol == protocol::UDP && header[46] | header[47] == 0;
            if !is_plain || no_sum || !is_plain_upper(key.protocol, packet, 40, ip_len) {
                return None;
            }
            let (place, entry, fate) = (Place::default(), NOWHERE, Fate::REST);
            v6(Item { key, place, entry, fate, ip_len, len, at, l3: l3 as u8 });
            Some(())
        } else {
            None
        }
    }
}

#[cold]
fn look_up<P: PacketPool>(port: PortId, tag: u16, ctx: &Ctx<'_, P>) -> Tag {
    let id = VlanId::new(tag).ok();
    let is_tag = id.is_some() || tag == 0;
    let zone = ctx.config.vlan_at(port, id).filter(|_| is_tag).map(|vlan| vlan.slot.0);
    let known = zone.map_or(0, |zone| KNOWN | u32::from(zone));
    Tag(u32::from(tag) << 16 | known)
}

/// Whether the upper header is a UDP header, or a TCP header that is whole with its options and has
/// ACK and neither SYN, FIN nor RST.
#[inline(always)]
fn is_plain_upper(protocol: u8, packet: &[u8], l4: usize, ip_len: u16) -> bool {
    match protocol {
        protocol::UDP => usize::from(ip_len) >= l4 + 8,
        protocol::TCP => {
            packet.get(l4..).and_then(|rest| rest.first_chunk::<20>()).is_some_and(|header| {
                let end = l4 + usize::from(header[12] >> 4) * 4;
                header[12] >= 0x50
                    && usize::from(ip_len) >= end
                    && packet.len() >= end
                    && header[13] & tcp::bits::STEADY_MASK == tcp::bits::ACK
            })
        }
        _ => false,
    }
}

/// The eight bytes at `AT`, which lie within `bytes`, in one load.
#[inline(always)]
fn be_word<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> u64 {
    const { assert!(AT + 8 <= LEN) };
    bytes[AT..].first_chunk().map_or(0, |word| u64::from_be_bytes(*word))
}

/// The same as they stand.
#[inline(always)]
fn ne_word<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> u64 {
    const { assert!(AT + 8 <= LEN) };
    bytes[AT..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
}

/// No session.
pub const NOWHERE: Entry = Entry(u32::MAX);

/// Tags that a burst remembers, a power of two.
const TAGS: usize = 8;
/// The tag has a VLAN.
const KNOWN: u32 = 1 << 8;

/// The destination MAC, and the group bit of the source MAC behind it.
const MAC_MASK: u64 = !0xffff | 0x0100;
const TAG_MASK: u64 = 0xffff_0000_0000_0000;
const TAGGED: u64 = 0x8100_0000_0000_0000;
/// Ethertype and first byte of the IP header.
const IPV4: u32 = 0x08_0045;
const IPV6: u32 = 0x86_dd60;
/// Both ethertypes and the first byte of the IP header, whatever the tag.
const TAGGED_V4_MASK: u64 = 0xffff_0000_ffff_ff00;
const TAGGED_V4: u64 = 0x8100_0000_0800_4500;
/// All but the low half of the traffic class.
const VERSION_MASK: u32 = !0xf;
