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

use super::index::{Entry, Place};
use super::rewrite::{Rewrite, WriteNetwork, write_tcp, write_udp};
use super::session::{Addresses, Hot, Key, Ticks, flag};
use super::table::Table;
use super::tcp;
use super::{Flows, revise};
use crate::adjacency::{Adjacency, AdjacencyId};
use crate::counters::{Counters, Traffic};
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::protocol;

/// Frames that go through the stages together.
const BURST: usize = 64;

/// Tags that a burst remembers, a power of two.
const TAGS: usize = 8;
/// The tag has a VLAN.
const KNOWN: u32 = 1 << 8;

/// Rows of a burst's counts, a power of two.
const TALLIES: usize = 4;

/// What stage 2 knows of a frame.
#[derive(Clone, Copy, Debug)]
struct Item<A> {
    key: Key<A>,
    place: Place,
    entry: Entry,
    ip_len: u16,
    /// Bytes of the frame.
    len: u16,
    /// Place in the burst.
    at: u8,
    /// Offset of the IP header.
    l3: u8,
}

/// The frames of one family in a burst.
type Lane<A> = Box<[Item<A>; BURST]>;

fn lane<A: Addresses>() -> Lane<A> {
    let none = Item {
        key: Key::default(),
        place: Place::default(),
        entry: NOWHERE,
        ip_len: 0,
        len: 0,
        at: 0,
        l3: 0,
    };
    Box::new([none; BURST])
}

/// Memory of the stages, kept between bursts.
#[derive(Debug)]
pub struct Scratch {
    v4: Lane<u64>,
    v6: Lane<[u64; 4]>,
    fates: Box<[Fate; BURST]>,
}

/// What becomes of a frame: it goes to the closer look, or from a VLAN out by a port on another,
/// some bytes longer or shorter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Fate(u32);

impl Fate {
    const REST: Self = Self(u32::MAX);

    #[inline(always)]
    const fn send(zone: u8, adjacency: &Adjacency, grown: i8) -> Self {
        let grown = grown as u8;
        Self(u32::from_le_bytes([grown, zone, adjacency.vlan.0, adjacency.port.0]))
    }

    const fn port(self) -> PortId {
        PortId((self.0 >> 24) as u8)
    }

    const fn vlan(self) -> VlanSlot {
        VlanSlot((self.0 >> 16) as u8)
    }

    const fn zone(self) -> VlanSlot {
        VlanSlot((self.0 >> 8) as u8)
    }

    const fn grown(self) -> i8 {
        self.0 as u8 as i8
    }
}

impl Scratch {
    /// Empty stages.
    pub fn new() -> Self {
        Self { v4: lane(), v6: lane(), fates: Box::new([Fate::REST; BURST]) }
    }
}

/// What a burst has counted for a few fates at a time; told when others come, and at its end.
struct Tallies {
    rows: [Tally; TALLIES],
    /// The port of all frames so far that go out; none if they differ.
    port: Option<PortId>,
    /// Frames told so far.
    served: u64,
}

#[derive(Clone, Copy)]
struct Tally {
    fate: Fate,
    packets: u64,
    bytes: u64,
}

impl Tallies {
    const fn new() -> Self {
        let none = Tally { fate: Fate::REST, packets: 0, bytes: 0 };
        Self { rows: [none; TALLIES], port: None, served: 0 }
    }

    /// Counts a frame that came with `len` bytes.
    #[inline(always)]
    fn add(&mut self, fate: Fate, len: u16, counters: &mut Counters) {
        // Traffic between two VLANs keeps two rows.
        let row = usize::from(fate.zone().0) & (TALLIES - 1);
        if fate != self.rows[row].fate {
            self.turn(row, fate, counters);
        }
        let row = &mut self.rows[row];
        row.packets += 1;
        row.bytes += u64::from(len);
    }

    #[cold]
    fn turn(&mut self, row: usize, fate: Fate, counters: &mut Counters) {
        self.tell(row, counters);
        let is_first = self.served == 0 && self.rows.iter().all(|row| row.packets == 0);
        if is_first {
            self.port = Some(fate.port());
        }
        self.port = self.port.filter(|port| *port == fate.port());
        self.rows[row].fate = fate;
    }

    /// Puts what a row has counted into `counters`.
    fn tell(&mut self, row: usize, counters: &mut Counters) {
        let Tally { fate, packets, bytes } = self.rows[row];
        if packets > 0 {
            let grown = i64::from(fate.grown()).wrapping_mul(packets as i64);
            let sent = bytes.wrapping_add_signed(grown);
            counters.vlan_received_all(fate.zone(), Traffic { packets, bytes });
            counters.sent_all(fate.port(), fate.vlan(), Traffic { packets, bytes: sent });
        }
        self.served += packets;
        (self.rows[row].packets, self.rows[row].bytes) = (0, 0);
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
            let way = self.decide(port, &mut frames[..count], ctx);
            // Mostly all frames of a burst leave by one port.
            if let Some(way) = way.filter(|_| count == frames.len())
                && ctx.out.append(way, frames)
            {
                return;
            }
            for (buf, fate) in frames.drain(..count).zip(self.scratch.fates.iter()) {
                if *fate == Fate::REST {
                    rest.push(buf);
                } else if let Err(buf) = ctx.out.push(fate.port(), buf) {
                    ctx.counters.not_queued(fate.port(), fate.vlan(), buf.packet_len());
                    ctx.drop(buf, DropReason::TxFull);
                }
            }
        }
    }

    /// Runs the stages and gives the port of all frames if they leave by one.
    #[inline(always)]
    fn decide<P: PacketPool>(
        &mut self,
        port: PortId,
        frames: &mut [P::Buf],
        ctx: &mut Ctx<'_, P>,
    ) -> Option<PortId> {
        let touched = frames.iter().fold(0_u8, |sum, buf| sum ^ buf.data().first().unwrap_or(&0));
        black_box(touched);
        let Scratch { v4, v6, fates } = &mut self.scratch;
        fates.fill(Fate::REST);
        let (mut free_v4, mut free_v6) = (v4.iter_mut(), v6.iter_mut());
        let (mut touched, mut touched_v6) = (0, 0);
        let mut common = Common::new(port, ctx);
        for (at, buf) in frames.iter().enumerate() {
            common.parse(
                buf,
                at as u8,
                ctx,
                |mut item| {
                    item.place = self.v4.index().locate(item.key.hash(&self.shared.hasher));
                    touched ^= self.v4.index().home(item.place).touch();
                    if let Some(free) = free_v4.next() {
                        *free = item;
                    }
                },
                |mut item| {
                    item.place = self.v6.index().locate(item.key.hash(&self.shared.hasher));
                    touched_v6 ^= self.v6.index().home(item.place).touch();
                    if let Some(free) = free_v6.next() {
                        *free = item;
                    }
                },
            );
        }
        black_box(touched ^ touched_v6);
        let (of_v4, of_v6) = (BURST - free_v4.len(), BURST - free_v6.len());
        let mut tally = Tallies::new();
        if of_v4 > 0 {
            serve(&mut self.v4, &mut v4[..of_v4], frames, fates, &mut tally, ctx);
        }
        if of_v6 > 0 {
            serve(&mut self.v6, &mut v6[..of_v6], frames, fates, &mut tally, ctx);
        }
        for row in 0..TALLIES {
            tally.tell(row, ctx.counters);
        }
        tally.port.filter(|_| tally.served == frames.len() as u64)
    }
}

/// What frames of one burst have in common.
struct Common {
    port: PortId,
    mac: u64,
    /// VLANs of the tags seen last, by their low bits.
    memo: [Tag; TAGS],
}

/// A tag (0 is none) and its VLAN: the tag in the high half, then [`KNOWN`] and the slot.
#[derive(Clone, Copy)]
struct Tag(u32);

impl Common {
    fn new<P: PacketPool>(port: PortId, ctx: &Ctx<'_, P>) -> Self {
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

    #[inline(always)]
    fn parse<P: PacketPool>(
        &mut self,
        buf: &P::Buf,
        at: u8,
        ctx: &Ctx<'_, P>,
        v4: impl FnOnce(Item<u64>),
        v6: impl FnOnce(Item<[u64; 4]>),
    ) -> Option<()> {
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
            let (place, entry) = (Place::default(), NOWHERE);
            v4(Item { key, place, entry, ip_len, len, at, l3: l3 as u8 });
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
            let (place, entry) = (Place::default(), NOWHERE);
            v6(Item { key, place, entry, ip_len, len, at, l3: l3 as u8 });
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
    tally: &mut Tallies,
    ctx: &mut Ctx<'_, P>,
) {
    let mut touched = 0;
    let mut late = 0_u64;
    for (place, item) in items.iter_mut().enumerate() {
        let bucket = table.index().home(item.place);
        if let Some(found) = bucket.matches(item.place.tag).next() {
            item.entry = bucket.entry(found);
            touched ^= table.hot(item.entry.session()).last_seen.0;
        } else if bucket.overflow() > 0 {
            touched ^= table.index().second(item.place).touch() as u32;
            late |= 1 << place;
        }
    }
    while late != 0 {
        let item = &mut items[late.trailing_zeros() as usize & (BURST - 1)];
        late &= late - 1;
        let bucket = table.index().second(item.place);
        if let Some(found) = bucket.matches(item.place.tag).next() {
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
        let mut hot = table.hot_mut(entry.session());
        if !hot.is(entry.is_reply(), &item.key) {
            // Another key under the same tag: one in thousands.
            let Some(found) = table.find_at(item.place, &item.key) else { continue };
            entry = found;
            hot = table.hot_mut(entry.session());
        }
        if !hot.has(flag::FAST) {
            continue;
        }
        if hot.generation != generation {
            if !take_over(table, entry.session(), ctx.config) {
                continue;
            }
            hot = table.hot_mut(entry.session());
        }
        let at = usize::from(item.at);
        let (Some(buf), Some(fate)) = (frames.get_mut(at), fates.get_mut(at)) else { continue };
        let reply = entry.is_reply();
        let adjacency = ctx.net.adjacency(AdjacencyId(hot.next_hop[usize::from(reply)]));
        if !adjacency.resolved || item.ip_len > adjacency.mtu {
            continue;
        }
        if !send_by(buf, adjacency, hot, reply, item) {
            continue;
        }
        let grown = adjacency.header_len() as i8 - item.l3 as i8;
        *fate = Fate::send(item.key.zone, adjacency, grown);
        tally.add(*fate, item.len, ctx.counters);
        hot.last_seen = now;
        if !count(hot, reply, item.ip_len) {
            let (hot, cold) = table.lines_mut(entry.session());
            spill(hot, cold);
            count(hot, reply, item.ip_len);
        }
    }
}

/// Writes the new headers into a frame; false, and the frame unchanged, if it has no room for them.
#[inline(always)]
fn send_by<A: WriteNetwork, B: PacketBuf>(
    buf: &mut B,
    adjacency: &Adjacency,
    hot: &mut Hot<A>,
    reply: bool,
    item: &Item<A>,
) -> bool {
    let to = Rewrite::of(hot, reply);
    let header_len = adjacency.header_len();
    let in_place = header_len == usize::from(item.l3) && buf.stripped_vlan().is_none();
    let is_udp = item.key.protocol == protocol::UDP;
    // The common case with one length check: tag, IPv4, UDP.
    if in_place && is_udp && header_len == TAGGED_LEN && !A::IS_V6 {
        return buf.data_mut().first_chunk_mut::<46>().is_some_and(|head| {
            head[..16].copy_from_slice(&adjacency.header);
            write_udp(head, 38, to.ports, to.l4_delta);
            A::write_network(head, TAGGED_LEN, &to).is_some()
        });
    }
    if !in_place && adjacency.write(buf).is_err() {
        return false;
    }
    let data = buf.data_mut();
    if in_place {
        let ether = if adjacency.tagged { 16 } else { 12 };
        let Some(place) = data.get_mut(..ether) else { return false };
        place.copy_from_slice(&adjacency.header[..ether]);
    }
    let l4 = header_len + A::HEADER;
    let written = if is_udp {
        write_udp(data, l4, to.ports, to.l4_delta)
    } else {
        tcp::observe(hot, reply, data, l4);
        write_tcp(data, l4, to.ports, to.l4_delta)
    };
    written.and_then(|()| A::write_network(data, header_len, &to)).is_some()
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
/// All but the low half of the traffic class.
const VERSION_MASK: u32 = !0xf;
const TAGGED_LEN: usize = 18;
