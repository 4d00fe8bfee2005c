//! The hit path: bursts of frames whose whole treatment their sessions hold.
//!
//! In stages over the burst, so that the cache misses of its frames overlap: (1) touch all frames;
//! (2) parse and hash, touch the buckets; (3) compare tags, touch the hot lines; (4) compare keys,
//! rewrite, count. A stage touches what the next one needs, by plain loads whose sum is kept from
//! the optimiser. Takes TCP and UDP over IPv4 without options and IPv6 without extensions, unicast
//! to our MAC, whole, TTL above 1, fitting the next hop's MTU, of a session that is marked fast and
//! was checked against this generation of the configuration, towards a resolved next hop.
//! Everything else is left for the closer look, in order.
//!
//! Invariant: a frame that is left over is unchanged. Source: performance.md §5 (Stages).

use core::hint::black_box;

use tmm_config::Config;
use tmm_config::config::VlanSlot;
use tmm_wire::{PacketBuf, PacketPool, PortId, VlanId};

use super::hash::{Hash, Hasher};
use super::index::Entry;
use super::rewrite::{Rewrite, WriteNetwork, write_tcp, write_udp};
use super::session::{Addresses, Hot, Key, Ticks, flag};
use super::table::Table;
use super::tcp;
use super::{Flows, revise};
use crate::adjacency::AdjacencyId;
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::protocol;

/// Frames that go through the stages together.
const BURST: usize = 64;

/// What stage 2 knows of a frame.
#[derive(Clone, Copy, Debug)]
struct Item<A> {
    key: Key<A>,
    hash: Hash,
    entry: Entry,
    ip_len: u16,
    /// Place in the burst.
    at: u8,
    /// Offset of the IP header.
    l3: u8,
}

/// The frames of one family in a burst.
#[derive(Debug)]
struct Lane<A> {
    items: Box<[Item<A>; BURST]>,
    len: usize,
}

impl<A: Addresses> Lane<A> {
    fn new() -> Self {
        let none = Item {
            key: Key::default(),
            hash: Hash::default(),
            entry: NOWHERE,
            ip_len: 0,
            at: 0,
            l3: 0,
        };
        Self { items: Box::new([none; BURST]), len: 0 }
    }

    #[inline(always)]
    fn push(&mut self, item: Item<A>) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }

    #[inline(always)]
    fn items(&mut self) -> &mut [Item<A>] {
        let len = self.len.min(BURST);
        &mut self.items[..len]
    }
}

/// Memory of the stages, kept between bursts.
#[derive(Debug)]
pub struct Scratch {
    v4: Lane<u64>,
    v6: Lane<[u64; 4]>,
    fates: Box<[Fate; BURST]>,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// To the closer look.
    Rest,
    /// Out.
    Send { port: PortId, vlan: VlanSlot },
}

impl Scratch {
    /// Empty stages.
    pub fn new() -> Self {
        Self { v4: Lane::new(), v6: Lane::new(), fates: Box::new([Fate::Rest; BURST]) }
    }
}

impl Flows {
    /// Sends each frame of `frames`, which came by `port`, whose session says all; the others go to
    /// `rest`, in order. Leaves `frames` empty. The gate was asked before.
    pub fn fast<P: PacketPool>(
        &mut self,
        port: PortId,
        frames: &mut Vec<P::Buf>,
        rest: &mut Vec<P::Buf>,
        ctx: &mut Ctx<'_, P>,
    ) {
        self.shared.follow(ctx.config, ctx.now);
        while !frames.is_empty() {
            let count = frames.len().min(BURST);
            self.decide(port, &mut frames[..count], ctx);
            for (buf, fate) in frames.drain(..count).zip(self.scratch.fates.iter()) {
                match *fate {
                    Fate::Rest => rest.push(buf),
                    Fate::Send { port, vlan } => {
                        let bytes = buf.packet_len();
                        match ctx.out.push(port, buf) {
                            Ok(()) => ctx.counters.sent_on(port, vlan, bytes),
                            Err(buf) => ctx.drop(buf, DropReason::TxFull),
                        }
                    }
                }
            }
        }
    }

    fn decide<P: PacketPool>(&mut self, port: PortId, frames: &mut [P::Buf], ctx: &mut Ctx<'_, P>) {
        let touched = frames.iter().fold(0_u8, |sum, buf| sum ^ buf.data().first().unwrap_or(&0));
        black_box(touched);
        let Scratch { v4, v6, fates } = &mut self.scratch;
        (v4.len, v6.len) = (0, 0);
        let mut touched = 0;
        let mut place = Place::new(port, ctx);
        for (at, (buf, fate)) in frames.iter().zip(fates.iter_mut()).enumerate() {
            *fate = Fate::Rest;
            match place.parse(buf, at as u8, ctx, &self.shared.hasher) {
                Some(Parsed::V4(item)) => {
                    touched ^= self.v4.index().home(item.hash).touch();
                    v4.push(item);
                }
                Some(Parsed::V6(item)) => {
                    touched ^= self.v6.index().home(item.hash).touch();
                    v6.push(item);
                }
                None => {}
            }
        }
        black_box(touched);
        serve(&mut self.v4, v4.items(), frames, fates, ctx);
        serve(&mut self.v6, v6.items(), frames, fates, ctx);
    }
}

/// What frames of one burst have in common.
struct Place {
    port: PortId,
    mac: u64,
    /// The tag seen last (0 is none) and its VLAN.
    tag: u16,
    zone: Option<VlanSlot>,
}

enum Parsed {
    V4(Item<u64>),
    V6(Item<[u64; 4]>),
}

impl Place {
    fn new<P: PacketPool>(port: PortId, ctx: &Ctx<'_, P>) -> Self {
        let [a, b, c, d, e, f] = ctx.net.mac(port).0;
        let zone = ctx.config.vlan_at(port, None).map(|vlan| vlan.slot);
        Self { port, mac: u64::from_be_bytes([a, b, c, d, e, f, 0, 0]), tag: 0, zone }
    }

    #[inline(always)]
    fn parse<P: PacketPool>(
        &mut self,
        buf: &P::Buf,
        at: u8,
        ctx: &Ctx<'_, P>,
        hasher: &Hasher,
    ) -> Option<Parsed> {
        let data = buf.data();
        let ether = data.first_chunk::<20>()?;
        if be_word::<0>(ether) & MAC_MASK != self.mac {
            return None;
        }
        // Ethertype, tag, ethertype, version and header length in one word.
        let word = be_word::<12>(ether);
        let (l3, kind, tag) = if word & TAG_MASK == TAGGED {
            (18, word as u32 >> 8, (word >> 32) as u16 & 0xfff)
        } else {
            (14, (word >> 40) as u32, buf.stripped_vlan().unwrap_or(0) & 0xfff)
        };
        if tag != self.tag {
            self.tag = tag;
            let id = VlanId::new(tag).ok();
            let is_tag = id.is_some() || tag == 0;
            self.zone = ctx.config.vlan_at(self.port, id).filter(|_| is_tag).map(|vlan| vlan.slot);
        }
        let zone = self.zone?.0;
        let packet = data.get(l3..)?;
        let length = buf.packet_len() - l3;
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
            let hash = key.hash(hasher);
            Some(Parsed::V4(Item { key, hash, entry: NOWHERE, ip_len, at, l3: l3 as u8 }))
        } else if kind & 0xffff_f0 == IPV6 {
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
            let hash = key.hash(hasher);
            Some(Parsed::V6(Item { key, hash, entry: NOWHERE, ip_len, at, l3: l3 as u8 }))
        } else {
            None
        }
    }
}

/// Whether the upper header is a UDP header, or a TCP header with ACK and neither SYN, FIN nor RST.
#[inline(always)]
fn is_plain_upper(protocol: u8, packet: &[u8], l4: usize, ip_len: u16) -> bool {
    match protocol {
        protocol::UDP => usize::from(ip_len) >= l4 + 8,
        protocol::TCP => {
            usize::from(ip_len) >= l4 + 20
                && packet.len() >= l4 + 20
                && packet[l4 + 13] & tcp::bits::STEADY_MASK == tcp::bits::ACK
        }
        _ => false,
    }
}

/// Stages 3 and 4 for one family.
#[inline(always)]
fn serve<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    items: &mut [Item<A>],
    frames: &mut [P::Buf],
    fates: &mut [Fate; BURST],
    ctx: &mut Ctx<'_, P>,
) {
    let mut touched = 0;
    let mut late = 0_u64;
    for (place, item) in items.iter_mut().enumerate() {
        let bucket = table.index().home(item.hash);
        if let Some(found) = bucket.matches(item.hash.tag).next() {
            item.entry = bucket.entry(found);
            touched ^= table.hot(item.entry.session()).last_seen.0;
        } else if bucket.overflow() > 0 {
            touched ^= table.index().second(item.hash).touch() as u32;
            late |= 1 << place;
        }
    }
    while late != 0 {
        let item = &mut items[late.trailing_zeros() as usize & (BURST - 1)];
        late &= late - 1;
        let bucket = table.index().second(item.hash);
        if let Some(found) = bucket.matches(item.hash.tag).next() {
            item.entry = bucket.entry(found);
            touched ^= table.hot(item.entry.session()).last_seen.0;
        }
    }
    black_box(touched);
    let generation = ctx.config.generation() as u16;
    let now = Ticks::at(ctx.now);
    for item in items {
        let mut entry = item.entry;
        if entry == NOWHERE {
            continue;
        }
        if !table.is(entry, &item.key) {
            // Another key under the same tag: one in thousands.
            match table.find_hashed(item.hash, &item.key) {
                Some(found) => entry = found,
                None => continue,
            }
        }
        let session = entry.session();
        let hot = table.hot_mut(session);
        if !hot.has(flag::FAST) {
            continue;
        }
        if hot.generation != generation && !take_over(table, session, ctx.config) {
            continue;
        }
        let hot = table.hot_mut(session);
        let at = usize::from(item.at);
        let (Some(buf), Some(fate)) = (frames.get_mut(at), fates.get_mut(at)) else { continue };
        let reply = entry.is_reply();
        let adjacency = ctx.net.adjacency(AdjacencyId(hot.next_hop[usize::from(reply)]));
        if !adjacency.resolved || item.ip_len > adjacency.mtu {
            continue;
        }
        let l3 = usize::from(item.l3);
        let header_len = adjacency.header_len();
        let in_place = header_len == l3 && buf.stripped_vlan().is_none();
        if !in_place && adjacency.write(buf).is_err() {
            continue;
        }
        let data = buf.data_mut();
        if in_place {
            if header_len == TAGGED_LEN {
                let Some(ether) = data.first_chunk_mut::<16>() else { continue };
                *ether = adjacency.header;
            } else {
                let Some(ether) = data.first_chunk_mut::<12>() else { continue };
                ether.copy_from_slice(&adjacency.header[..12]);
            }
        }
        let to = Rewrite::of(hot, reply);
        let l4 = header_len + A::HEADER;
        let written = if item.key.protocol == protocol::UDP {
            write_udp(data, l4, to.ports, to.l4_delta)
        } else {
            tcp::observe(hot, reply, data, l4);
            write_tcp(data, l4, to.ports, to.l4_delta)
        };
        if written.and_then(|()| A::write_network(data, header_len, &to)).is_none() {
            continue;
        }
        ctx.counters.vlan_received(VlanSlot(item.key.zone), buf.packet_len());
        *fate = Fate::Send { port: adjacency.port, vlan: adjacency.vlan };
        hot.last_seen = now;
        if !count(hot, reply, item.ip_len) {
            let (hot, cold) = table.lines_mut(session);
            spill(hot, cold);
            count(hot, reply, item.ip_len);
        }
    }
}

/// Takes a new generation over if nothing of it concerns the session.
#[cold]
fn take_over<A: Addresses>(table: &mut Table<A>, session: u32, config: &Config) -> bool {
    let (hot, cold) = table.lines_mut(session);
    let unconcerned = revise::is_unconcerned(cold, config);
    if unconcerned {
        hot.generation = config.generation() as u16;
    }
    unconcerned
}

/// Counts a packet in the hot line; false if a counter is full.
#[inline(always)]
pub fn count<A>(hot: &mut Hot<A>, reply: bool, ip_len: u16) -> bool {
    let side = usize::from(reply);
    let (Some(packets), Some(bytes)) =
        (hot.packets[side].checked_add(1), hot.bytes[side].checked_add(u32::from(ip_len)))
    else {
        return false;
    };
    hot.packets[side] = packets;
    hot.bytes[side] = bytes;
    true
}

/// Moves the hot line's counts into the cold line.
pub fn spill<A>(hot: &mut Hot<A>, cold: &mut super::session::Cold) {
    for side in 0..2 {
        cold.packets[side] += u64::from(core::mem::take(&mut hot.packets[side]));
        cold.bytes[side] += u64::from(core::mem::take(&mut hot.bytes[side]));
    }
}

#[inline(always)]
fn be_word<const AT: usize>(bytes: &[u8; 20]) -> u64 {
    u64::from_be_bytes([
        bytes[AT],
        bytes[AT + 1],
        bytes[AT + 2],
        bytes[AT + 3],
        bytes[AT + 4],
        bytes[AT + 5],
        bytes[AT + 6],
        bytes[AT + 7],
    ])
}

#[inline(always)]
fn ne_word<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> u64 {
    u64::from_ne_bytes([
        bytes[AT],
        bytes[AT + 1],
        bytes[AT + 2],
        bytes[AT + 3],
        bytes[AT + 4],
        bytes[AT + 5],
        bytes[AT + 6],
        bytes[AT + 7],
    ])
}

/// No session.
const NOWHERE: Entry = Entry(u32::MAX);

const MAC_MASK: u64 = !0xffff;
const TAG_MASK: u64 = 0xffff_0000_0000_0000;
const TAGGED: u64 = 0x8100_0000_0000_0000;
/// Ethertype and first byte of the IP header.
const IPV4: u32 = 0x08_0045;
const IPV6: u32 = 0x86_dd60;
const TAGGED_LEN: usize = 18;
