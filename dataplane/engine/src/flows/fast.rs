//! The hit path: bursts of frames whose whole treatment their sessions hold.
//!
//! In stages over the burst, so that the cache misses of its frames overlap: (1) touch all frames;
//! (2) parse and hash, touch the buckets; (3) compare tags, touch the hot lines; (4) compare keys,
//! rewrite, count. A stage touches what the next one needs, by plain loads whose sum is kept from
//! the optimiser. Takes TCP and UDP over IPv4 without options and IPv6 without extensions, unicast
//! to our MAC, whole, TTL above 1, fitting the next hop's MTU, of a session that is marked fast and
//! was checked against this generation of the configuration, towards a resolved next hop, and for
//! requests whose answers go by the last hop, from there.
//! Everything else is left for the closer look, in order.
//!
//! Three things the closer look does are left out here, for frames of known flows alone:
//! (1) the IPv4 header checksum is not verified: RFC 1624 keeps a wrong one wrong, so its receiver
//! drops the packet (performance.md §5); (2) bytes behind the IP packet, with which short frames
//! are filled up, stay; (3) a source MAC of zero is not looked for: no way back is learnt here.
//!
//! Invariant: a frame that is left over is unchanged. Source: performance.md §5 (Stages).

use core::hint::black_box;

use tmm_config::Config;
use tmm_wire::{PacketBuf, PacketPool, PortId};

mod parse;
mod tally;

use parse::{Common, Item, NOWHERE};
use tally::{Fate, TALLIES, Tallies};

use super::index::Place;
use super::rewrite::{Rewrite, WriteNetwork, write_tcp, write_udp};
use super::session::{Addresses, Hot, Key, Ticks, flag};
use super::table::Table;
use super::tcp;
use super::{Flows, revise};
use crate::adjacency::{Adjacency, AdjacencyId};
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::protocol;

/// Frames that go through the stages together.
const BURST: usize = 64;

/// The frames of one family in a burst.
type Lane<A> = Box<[Item<A>; BURST]>;

fn lane<A: Addresses>() -> Lane<A> {
    let none = Item {
        key: Key::default(),
        place: Place::default(),
        entry: NOWHERE,
        fate: Fate::REST,
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

impl Scratch {
    /// Empty stages.
    pub fn new() -> Self {
        Self { v4: lane(), v6: lane(), fates: Box::new([Fate::REST; BURST]) }
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
        let (mut free_v4, mut free_v6) = (v4.iter_mut(), v6.iter_mut());
        let mut common = Common::new(port, ctx);
        for (at, buf) in frames.iter().enumerate() {
            common.parse(
                buf,
                at as u8,
                ctx,
                |mut item| {
                    item.place = self.v4.index().locate(item.key.hash(&self.shared.hasher));
                    if let Some(free) = free_v4.next() {
                        *free = item;
                    }
                },
                |mut item| {
                    item.place = self.v6.index().locate(item.key.hash(&self.shared.hasher));
                    if let Some(free) = free_v6.next() {
                        *free = item;
                    }
                },
            );
        }
        let (of_v4, of_v6) = (BURST - free_v4.len(), BURST - free_v6.len());
        let mut tally = Tallies::new();
        if of_v4 > 0 {
            serve(&mut self.v4, &mut v4[..of_v4], frames, &mut tally, ctx);
        }
        if of_v6 > 0 {
            serve(&mut self.v6, &mut v6[..of_v6], frames, &mut tally, ctx);
        }
        for row in 0..TALLIES {
            tally.tell(row, ctx.counters);
        }
        let way = tally.port.filter(|_| tally.served == frames.len() as u64);
        if way.is_none() {
            fates.fill(Fate::REST);
            let of_v4 = v4[..of_v4].iter().map(|item| (item.at, item.fate));
            let of_v6 = v6[..of_v6].iter().map(|item| (item.at, item.fate));
            for (at, fate) in of_v4.chain(of_v6) {
                fates[usize::from(at) & (BURST - 1)] = fate;
            }
        }
        way
    }
}

/// Stages 3 and 4 for one family. Not inlined: alone they keep their values in registers.
#[inline(never)]
fn serve<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    items: &mut [Item<A>],
    frames: &mut [P::Buf],
    tally: &mut Tallies,
    ctx: &mut Ctx<'_, P>,
) {
    // Loops of nothing but loads, so that all misses of a burst are under way together.
    let touched = items.iter().fold(0, |sum, item| sum ^ table.index().home(item.place).touch());
    black_box(touched);
    let (mut late, mut touched) = (0_u64, 0);
    for (place, item) in items.iter_mut().enumerate() {
        let bucket = table.index().home(item.place);
        if let Some(found) = bucket.matches(item.place.tag).next() {
            item.entry = bucket.entry(found);
        } else if bucket.overflow() > 0 {
            touched ^= table.index().second(item.place).touch();
            late |= 1 << place;
        }
    }
    black_box(touched);
    while late != 0 {
        let item = &mut items[late.trailing_zeros() as usize & (BURST - 1)];
        late &= late - 1;
        let bucket = table.index().second(item.place);
        if let Some(found) = bucket.matches(item.place.tag).next() {
            item.entry = bucket.entry(found);
        }
    }
    let touched = items.iter().fold(0, |sum, item| sum ^ table.touch(item.entry.session()));
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
        let Some(buf) = frames.get_mut(at) else { continue };
        let reply = entry.is_reply();
        let next_hop = hot.next_hop[usize::from(reply)];
        let adjacency = ctx.net.adjacency(AdjacencyId(next_hop));
        if !adjacency.resolved || item.ip_len > adjacency.mtu {
            continue;
        }
        // Requests that another station sends now: answers are to go there (crds.md §14 rule 6).
        if !reply && is_from_another(buf, ctx.net.adjacency(AdjacencyId(hot.next_hop[1]))) {
            continue;
        }
        if !send_by(buf, adjacency, hot, reply, item) {
            continue;
        }
        item.fate = Fate::send(item.key.zone, item.l3, adjacency);
        tally.add(item.fate, adjacency, item.len, ctx.counters);
        hot.last_seen = now;
        if !count(hot, reply, item.ip_len) {
            let (hot, cold) = table.lines_mut(entry.session());
            spill(hot, cold);
            count(hot, reply, item.ip_len);
        }
    }
}

/// Whether a request comes from another station than the last hop that answers go to, if they do.
#[inline(always)]
fn is_from_another<B: PacketBuf>(buf: &B, back: &Adjacency) -> bool {
    back.is_last_hop && buf.data().get(6..12) != Some(&back.header[..6])
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
    let is_udp = item.key.protocol == protocol::UDP;
    // The common case with one length check: tag, IPv4, UDP. A frame with a tag has no other in the
    // descriptor (`parse`).
    if !A::IS_V6 && adjacency.tagged && is_udp && usize::from(item.l3) == TAGGED_LEN {
        return buf.data_mut().first_chunk_mut::<46>().is_some_and(|head| {
            head[..16].copy_from_slice(&adjacency.header);
            write_udp(head, 38, to.ports, to.l4_delta);
            A::write_network(head, TAGGED_LEN, &to).is_some()
        });
    }
    let header_len = adjacency.header_len();
    let in_place = header_len == usize::from(item.l3) && buf.stripped_vlan().is_none();
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

const TAGGED_LEN: usize = 18;
