//! Reading the frames that the hit path takes.
//!
//! One look at each frame: MAC, tag, ethertype and IP header as a few masked words. What is not
//! plain (see `fast`) is left to the closer look. Invariant: an item's headers lie in the first
//! segment of its frame.

use tmm_wire::{PacketBuf, PacketPool, PortId, VlanId};

use crate::ctx::Ctx;
use crate::flows::hash::Hash;
use crate::flows::index::Entry;
use crate::flows::session::{Addresses, Rest};
use crate::flows::tcp;
use crate::frame::protocol;

/// What stages 2 and 3 know of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Item<A> {
    pub seen: Seen<A>,
    pub hash: Hash,
    /// Number of the home bucket.
    pub home: u32,
    /// Set by stage 3.
    pub entry: Entry,
}

/// What stage 2 reads in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Seen<A> {
    pub addresses: A,
    pub rest: Rest,
    /// Length of the IP packet; both in 32 bits, as padding between stores costs masks.
    pub ip_len: u32,
    /// Offset of the IP header; [`TAGGED_LEN`] only if the one tag stands in the frame.
    pub l3: u32,
}

impl<A: Addresses> Item<A> {
    /// That of a frame which the lane does not serve: its tag is in no bucket.
    pub fn none() -> Self {
        let (addresses, rest) = (A::default(), Rest::of(0, 0, 0));
        let seen = Seen { addresses, rest, ip_len: 0, l3: 0 };
        Self { seen, hash: Hash::NONE, home: 0, entry: NOWHERE }
    }
}

/// A frame that is not [`Common::plain`].
pub enum Other {
    V4(Seen<u64>),
    V6(Seen<[u64; 4]>),
    Rest,
}

/// What frames of one burst have in common.
pub struct Common {
    port: PortId,
    /// Our MAC as its bytes stand in a word of the frame.
    mac: u64,
    /// VLANs of the tags seen last (0 is none), by the tags' low bits: the tag in the low half, the
    /// slot in the high half, where [`Rest`] has it.
    memo: [u64; TAGS],
}

impl Common {
    pub fn new<P: PacketPool>(port: PortId, ctx: &Ctx<'_, P>) -> Self {
        let [a, b, c, d, e, f] = ctx.net.mac(port).0;
        let mac = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
        Self { port, mac, memo: [u64::MAX; TAGS] }
    }

    /// The VLAN of `tag`, which is below 4096, where [`Rest`] has it.
    #[inline(always)]
    fn zone<P: PacketPool>(&mut self, tag: u16, ctx: &Ctx<'_, P>) -> Option<u64> {
        // One XOR both compares the tag and takes it out.
        let found = self.memo[usize::from(tag) % TAGS] ^ u64::from(tag);
        if found as u32 == 0 { Some(found) } else { self.look_up(tag, ctx) }
    }

    #[cold]
    fn look_up<P: PacketPool>(&mut self, tag: u16, ctx: &Ctx<'_, P>) -> Option<u64> {
        let id = VlanId::new(tag).ok();
        if id.is_none() && tag != 0 {
            return None;
        }
        let zone = u64::from(ctx.config.vlan_at(self.port, id)?.slot.0) << 32;
        self.memo[usize::from(tag) % TAGS] = zone | u64::from(tag);
        Some(zone)
    }

    /// Reads a frame of the commonest shape: one tag, in the frame, and IPv4 without options.
    /// All lies at constant places then, behind one check of the length.
    #[inline(always)]
    pub fn plain<P: PacketPool>(&mut self, buf: &P::Buf, ctx: &Ctx<'_, P>) -> Option<Seen<u64>> {
        let data = buf.data();
        let head = data.first_chunk::<{ TAGGED_LEN + 28 }>()?;
        let word = ne_word::<12, _>(head);
        let is_plain = ne_word::<0, _>(head) & MAC_MASK == self.mac
            && word & PLAIN_MASK == PLAIN
            && buf.stripped_vlan().is_none();
        if !is_plain {
            return None;
        }
        let zone = self.zone((u64::from_be(word) >> 32) as u16 & 0xfff, ctx)?;
        read_v4(data, TAGGED_LEN, buf.packet_len(), zone)
    }

    /// Reads a frame of any shape that the hit path takes.
    #[inline(never)]
    pub fn other<P: PacketPool>(&mut self, buf: &P::Buf, ctx: &Ctx<'_, P>) -> Other {
        self.try_other(buf, ctx).unwrap_or(Other::Rest)
    }

    #[inline(always)]
    fn try_other<P: PacketPool>(&mut self, buf: &P::Buf, ctx: &Ctx<'_, P>) -> Option<Other> {
        let data = buf.data();
        let ether = data.first_chunk::<20>()?;
        if ne_word::<0, _>(ether) & MAC_MASK != self.mac {
            return None;
        }
        // Ethertype, tag, ethertype, version and header length in one word.
        let word = u64::from_be(ne_word::<12, _>(ether));
        let (l3, kind, tag) = if word & TAG_MASK == TAGGED {
            // One tag in the descriptor and one in the frame are two.
            if buf.stripped_vlan().is_some() {
                return None;
            }
            (TAGGED_LEN, word as u32 >> 8, (word >> 32) as u16 & 0xfff)
        } else {
            (UNTAGGED_LEN, (word >> 40) as u32, buf.stripped_vlan().unwrap_or(0) & 0xfff)
        };
        let zone = self.zone(tag, ctx)?;
        let len = buf.packet_len();
        if kind == IPV4 {
            read_v4(data, l3, len, zone).map(Other::V4)
        } else if kind & VERSION_MASK == IPV6 {
            read_v6(data, l3, len, zone).map(Other::V6)
        } else {
            None
        }
    }
}

/// Reads the headers of an IPv4 packet without options at `l3` in a frame of `len` bytes.
#[inline(always)]
fn read_v4(data: &[u8], l3: usize, len: usize, zone: u64) -> Option<Seen<u64>> {
    let packet = data.get(l3..)?;
    let header = packet.first_chunk::<28>()?;
    // Length, identification, fragment, TTL and protocol in one word.
    let word = u64::from_be(ne_word::<2, _>(header));
    let (ip_len, protocol) = ((word >> 48) as u16, word as u8);
    let is_whole = word as u32 & FRAGMENT_MASK == 0;
    let lives_on = word as u16 >= 2 << 8;
    let is_plain = is_whole && lives_on && usize::from(ip_len) + l3 <= len;
    if !is_plain || !is_plain_upper(protocol, packet, 20, ip_len) {
        return None;
    }
    let ports = u32::from_ne_bytes([header[20], header[21], header[22], header[23]]);
    let rest = Rest::in_zone(ports, zone, protocol);
    Some(Seen {
        addresses: ne_word::<12, _>(header),
        rest,
        ip_len: u32::from(ip_len),
        l3: l3 as u32,
    })
}

/// Reads the headers of an IPv6 packet without extensions at `l3` in a frame of `len` bytes.
#[inline(always)]
fn read_v6(data: &[u8], l3: usize, len: usize, zone: u64) -> Option<Seen<[u64; 4]>> {
    let packet = data.get(l3..)?;
    let header = packet.first_chunk::<48>()?;
    let ip_len = u16::from_be_bytes([header[4], header[5]]).checked_add(40)?;
    let protocol = header[6];
    let is_plain = header[7] > 1 && usize::from(ip_len) + l3 <= len;
    // UDP over IPv6 without a checksum is not plain (RFC 8200 §8.1).
    let no_sum = protocol == protocol::UDP && header[46] | header[47] == 0;
    if !is_plain || no_sum || !is_plain_upper(protocol, packet, 40, ip_len) {
        return None;
    }
    let addresses = [
        ne_word::<8, _>(header),
        ne_word::<16, _>(header),
        ne_word::<24, _>(header),
        ne_word::<32, _>(header),
    ];
    let ports = u32::from_ne_bytes([header[40], header[41], header[42], header[43]]);
    let rest = Rest::in_zone(ports, zone, protocol);
    Some(Seen { addresses, rest, ip_len: u32::from(ip_len), l3: l3 as u32 })
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

/// Eight bytes at `AT`. Copied as a whole: bytes joined one by one are not merged into one load once
/// a mask makes some of them needless.
#[inline(always)]
fn ne_word<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[AT..AT + 8]);
    u64::from_ne_bytes(word)
}

/// No session.
pub const NOWHERE: Entry = Entry(u32::MAX);

/// Bytes of an Ethernet header with one tag.
pub const TAGGED_LEN: usize = 18;
const UNTAGGED_LEN: usize = 14;

/// Tags that a burst remembers, a power of two.
const TAGS: usize = 8;

/// The destination MAC, and the group bit of the source MAC behind it.
const MAC_MASK: u64 = u64::from_be(!0xffff | 0x0100);
const TAG_MASK: u64 = 0xffff_0000_0000_0000;
const TAGGED: u64 = 0x8100_0000_0000_0000;
/// Ethertype, ethertype behind the tag, version and header length, as they stand in the frame.
const PLAIN_MASK: u64 = u64::from_be(0xffff_0000_ffff_ff00);
const PLAIN: u64 = u64::from_be(0x8100_0000_0800_4500);
/// Ethertype and first byte of the IP header.
const IPV4: u32 = 0x08_0045;
const IPV6: u32 = 0x86_dd60;
/// All but the low half of the traffic class.
const VERSION_MASK: u32 = !0xf;
/// More fragments, and the offset, above TTL and protocol.
const FRAGMENT_MASK: u32 = 0x3fff_0000;
