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
//! are filled up, stay; (3) a source MAC of zero is not looked for where the last hop is not
//! compared: no way back is learnt here.
//!
//! Invariant: a frame that is left over is unchanged. Source: performance.md §5 (Stages).

use core::hint::black_box;

use tmm_config::Config;
use tmm_wire::{PacketBuf, PacketPool, PortId};

mod parse;
mod tally;

use parse::{Common, Item, NOWHERE, Other, Seen, TAGGED_LEN};
use tally::{Fate, TALLIES, Tallies};

use super::hash::Hasher;
use super::index::Index;
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

/// The frames of a burst, those of one family as they are, others as none.
type Lane<A> = Box<[Item<A>; BURST]>;

fn lane<A: Addresses>() -> Lane<A> {
    Box::new([Item::none(); BURST])
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
        fates.fill(Fate::REST);
        let (mut not_v4, mut has_v6) = (0, false);
        let mut common = Common::new(port, ctx);
        let lane = v4.get_mut(..frames.len())?;
        let (hasher, index) = (&self.shared.hasher, self.v4.index());
        for at in 0..frames.len() {
            let (buf, item) = (&frames[at], &mut lane[at]);
            if let Some(seen) = common.plain::<P>(buf, ctx) {
                enter(item, seen, hasher, index);
                continue;
            }
            *item = Item::none();
            match common.other::<P>(buf, ctx) {
                Other::V4(seen) => {
                    enter(item, seen, hasher, index);
                    continue;
                }
                Other::V6(seen) => {
                    if !has_v6 {
                        v6.fill(Item::none());
                        has_v6 = true;
                    }
                    if let Some(item) = v6.get_mut(at) {
                        enter(item, seen, hasher, self.v6.index());
                    }
                }
                Other::Rest => {}
            }
            not_v4 += 1;
        }
        let mut tally = Tallies::new();
        if not_v4 < frames.len() {
            serve(&mut self.v4, &mut v4[..], frames, fates, &mut tally, ctx);
        }
        if has_v6 {
            serve(&mut self.v6, &mut v6[..], frames, fates, &mut tally, ctx);
        }
        for row in 0..TALLIES {
            tally.tell(row, ctx.counters);
        }
        tally.port.filter(|_| tally.served == frames.len() as u64)
    }
}

/// Notes a frame in its lane.
#[inline(always)]
fn enter<A: Addresses>(item: &mut Item<A>, seen: Seen<A>, hasher: &Hasher, index: &Index) {
    let hash = seen.addresses.hash(hasher, seen.rest);
    let home = index.home(hash);
    item.seen = seen;
    item.hash = hash;
    item.home = home;
}

/// Stages 3 and 4 for one family. Not inlined: alone they keep their values in registers.
#[inline(never)]
fn serve<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    items: &mut [Item<A>],
    frames: &mut [P::Buf],
    fates: &mut [Fate; BURST],
    tally: &mut Tallies,
    ctx: &mut Ctx<'_, P>,
) {
    let Some(items) = items.get_mut(..frames.len()) else { return };
    // Loops of nothing but loads, so that all misses of a burst are under way together.
    let touched = items.iter().fold(0, |sum, item| sum ^ table.index().bucket(item.home).touch());
    black_box(touched);
    let (mut late, mut touched) = (0_u64, 0);
    for (place, item) in items.iter_mut().enumerate() {
        let bucket = table.index().bucket(item.home);
        if let Some(found) = bucket.matches(item.hash.tag()).next() {
            item.entry = bucket.entry(found);
        } else {
            item.entry = NOWHERE;
            if bucket.overflow() > 0 {
                touched ^= table.index().second(item.hash).touch();
                late |= 1 << place;
            }
        }
    }
    black_box(touched);
    while late != 0 {
        let place = late.trailing_zeros() as usize;
        late &= late - 1;
        let Some(item) = items.get_mut(place) else { break };
        let bucket = table.index().second(item.hash);
        if let Some(found) = bucket.matches(item.hash.tag()).next() {
            item.entry = bucket.entry(found);
        }
    }
    let touched = items.iter().fold(0, |sum, item| sum ^ table.touch(item.entry.session()));
    black_box(touched);
    let generation = ctx.config.generation() as u16;
    let now = Ticks::at(ctx.now);
    for ((item, buf), fate) in items.iter().zip(frames).zip(fates) {
        let (mut entry, mut reply) = (item.entry, item.entry.is_reply());
        // No slot has the number of NOWHERE: one check for both.
        let Some(mut hot) = table.try_hot_mut(entry.session()) else { continue };
        let seen = &item.seen;
        if !hot.is_of(reply, seen.addresses, seen.rest) {
            // Another key under the same tag: one in thousands.
            let key = Key::of(seen.addresses, seen.rest);
            let Some(found) = table.find_at(item.hash, &key) else { continue };
            (entry, reply) = (found, found.is_reply());
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
        let adjacency = ctx.net.adjacency(AdjacencyId(hot.next_hop[usize::from(reply)]));
        if seen.ip_len > u32::from(adjacency.limit) {
            continue;
        }
        // Requests that another station sends now: answers are to go there (crds.md §14 rule 6).
        if !reply && is_from_another(buf, ctx.net.adjacency(AdjacencyId(hot.next_hop[1]))) {
            continue;
        }
        let len = buf.packet_len();
        let zone = seen.rest.zone();
        // The commonest case has constant places and one check of the length.
        let is_tagged = seen.l3 as usize == TAGGED_LEN && adjacency.tagged;
        let in_place = is_tagged && hot.protocol == protocol::UDP && !A::IS_V6;
        if in_place {
            let Some(head) = buf.data_mut().first_chunk_mut::<{ TAGGED_LEN + 28 }>() else {
                continue;
            };
            let to = Rewrite::of(hot, reply);
            head[..16].copy_from_slice(&adjacency.header);
            write_udp(head, TAGGED_LEN + 20, to.ports, to.l4_delta);
            A::write_network(head, TAGGED_LEN, &to);
        } else if !send_by(buf, adjacency, hot, reply, seen) {
            continue;
        }
        *fate = Fate::send(zone, seen.l3 as u8, adjacency);
        tally.add(*fate, adjacency, len, ctx.counters);
        hot.last_seen = now;
        if !count(hot, reply, seen.ip_len as u16) {
            let (hot, cold) = table.lines_mut(entry.session());
            spill(hot, cold);
            count(hot, reply, seen.ip_len as u16);
        }
    }
}

/// Whether a request comes from another station than the last hop that answers go to, if they do.
#[inline(always)]
fn is_from_another<B: PacketBuf>(buf: &B, back: &Adjacency) -> bool {
    let Some([.., a, b, c, d, e, f, g, h]) = buf.data().first_chunk::<14>() else { return true };
    let [i, j, k, l, m, n, o, p, ..] = back.header;
    // Source MAC of the frame and destination MAC of the header, each with two bytes behind it.
    let source = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
    let hop = u64::from_le_bytes([i, j, k, l, m, n, o, p]);
    back.is_last_hop & ((source ^ hop) << 16 != 0)
}

/// Writes the new headers into a frame; false, and the frame unchanged, if it has no room. Out of line, to leave the registers to the commonest case.
#[inline(never)]
fn send_by<A: WriteNetwork, B: PacketBuf>(
    buf: &mut B,
    adjacency: &Adjacency,
    hot: &mut Hot<A>,
    reply: bool,
    seen: &Seen<A>,
) -> bool {
    let to = Rewrite::of(hot, reply);
    let (old, new) = (seen.l3 as usize, adjacency.header_len());
    // A tagged frame here has no tag in its descriptor.
    let in_place = new == old && (old == TAGGED_LEN || buf.stripped_vlan().is_none());
    if !in_place && adjacency.write(buf).is_err() {
        return false;
    }
    let data = buf.data_mut();
    if in_place {
        let ether = if adjacency.tagged { 16 } else { 12 };
        let Some(place) = data.get_mut(..ether) else { return false };
        place.copy_from_slice(&adjacency.header[..ether]);
    }
    let l4 = new + A::HEADER;
    let written = if hot.protocol == protocol::UDP {
        write_udp(data, l4, to.ports, to.l4_delta)
    } else {
        tcp::observe(hot, reply, data, l4);
        write_tcp(data, l4, to.ports, to.l4_delta)
    };
    written.and_then(|()| A::write_network(data, new, &to)).is_some()
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
