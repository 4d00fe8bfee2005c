//! Sends a packet along its session: the way out, what hinders it, the translation, the counts.
//!
//! Every path gives one verdict. Decides nothing about who may use a session.
//!
//! Sources: architecture.md §3; crds.md §5.7, §14 rules 3 and 6, §17.

use tmm_wire::build::IcmpError;
use tmm_wire::{PacketBuf, PacketPool};

use super::fast::{count, spill};
use super::rewrite::{self, WriteNetwork};
use super::session::{Hot, Ticks, flag};
use super::table::Table;
use super::{Shared, end, revise, sctp};
use crate::adjacency::{AdjacencyId, AdjacencyKey};
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{IpFrame, protocol};

/// Lets answers go to the MAC that requests come from now, if they go by the last hop (CHK-505).
pub fn follow_last_hop<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    session: u32,
    frame: &IpFrame,
    ctx: &mut Ctx<'_, P>,
) {
    let back = AdjacencyId(table.hot(session).next_hop[1]);
    if ctx.net.adjacency(back).is_left_by(frame.src_mac)
        && let Ok(new) = ctx.adjacency_back(frame)
    {
        revise::take_way(table, session, 1, new, ctx);
    }
}

/// Rewrites a packet as its session says and sends it; false if the session had to end instead.
#[expect(clippy::too_many_arguments, reason = "the parts of a flow and of a packet")]
pub fn forward<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    session: u32,
    reply: bool,
    mut buf: P::Buf,
    frame: &IpFrame,
    alive: bool,
    ctx: &mut Ctx<'_, P>,
) -> bool {
    if frame.ttl <= 1 {
        ctx.icmp_error(&buf, frame, IcmpError::TimeExceeded);
        ctx.drop(buf, DropReason::TtlExpired);
        return true;
    }
    let side = usize::from(reply);
    let mut way = AdjacencyId(table.hot(session).next_hop[side]);
    if !ctx.net.adjacency(way).resolved
        && !matches!(ctx.net.adjacencies().key(way), Some(AdjacencyKey::Mac(..)))
    {
        // A gateway that does not answer leaves its flows to the others.
        if !revise::reroute(table, shared, session, ctx) {
            let tells = table.hot(session).has(flag::TELLS);
            end::end(table, shared, session, tells, ctx);
            ctx.drop(buf, DropReason::ServiceDown);
            return false;
        }
        way = AdjacencyId(table.hot(session).next_hop[side]);
    }
    if let Some((reason, error)) = obstacle(table.hot(session), reply, frame, way, ctx) {
        if let Some(error) = error {
            ctx.icmp_error(&buf, frame, error);
        }
        ctx.drop(buf, reason);
        return true;
    }
    let (l3, l4) = (usize::from(frame.l3), usize::from(frame.l4));
    let (hot, cold) = table.lines_mut(session);
    if rewrite::write(buf.data_mut(), l3, l4, hot, reply).is_none() {
        ctx.drop(buf, DropReason::BadL4Header);
        return true;
    }
    if frame.protocol == protocol::SCTP {
        let source = hot.rewrite(reply).0.source();
        let end = l3 + usize::from(frame.ip_len);
        let data = buf.data_mut();
        let until = end.min(data.len());
        let hidden =
            data.get_mut(l4..until).is_some_and(|packet| sctp::hide_addresses(packet, source));
        let moved = hot.ports[0] != hot.ports[1].rotate_left(16);
        if hidden || moved {
            let crc = crc_of(&buf, frame);
            if let Some(field) = buf.data_mut().get_mut(l4 + 8..l4 + 12) {
                field.copy_from_slice(&crc);
            }
        }
    }
    if alive {
        hot.last_seen = Ticks::at(ctx.now);
    }
    if !count(hot, reply, frame.ip_len) {
        spill(hot, cold);
        count(hot, reply, frame.ip_len);
    }
    ctx.transmit(buf, way);
    true
}

/// Why the packet cannot leave by `way`, and what its sender is told.
fn obstacle<A: WriteNetwork, P: PacketPool>(
    hot: &Hot<A>,
    reply: bool,
    frame: &IpFrame,
    way: AdjacencyId,
    ctx: &Ctx<'_, P>,
) -> Option<(DropReason, Option<IcmpError>)> {
    if way == revise::NO_WAY {
        let destination = hot.key(!reply).addresses.source();
        let route = ctx.net.route(ctx.config, destination, 0);
        return Some(match route.err().unwrap_or(DropReason::AdjacencyTableFull) {
            DropReason::NoRoute => (DropReason::NoRoute, Some(IcmpError::NetUnreachable)),
            reason => (reason, None),
        });
    }
    if ctx.is_dead(way) {
        return Some((DropReason::NeighbourUnresolved, Some(IcmpError::HostUnreachable)));
    }
    if ctx.fits(frame.ip_len, way) {
        return None;
    }
    if !frame.dont_fragment {
        return Some((DropReason::FragmentationUnsupported, None));
    }
    let mtu = ctx.net.adjacency(way).mtu;
    Some((DropReason::TooBig, Some(IcmpError::TooBig { mtu })))
}

/// The bytes that the checksum field of an SCTP packet must have, over all segments of `buf`.
pub fn crc_of<B: PacketBuf>(buf: &B, frame: &IpFrame) -> [u8; 4] {
    let mut crc = tmm_wire::sctp::Crc::default();
    let mut skip = usize::from(frame.l4);
    let mut left = frame.payload_len();
    buf.for_each_segment(&mut |segment| {
        let from = skip.min(segment.len());
        skip -= from;
        let part = &segment[from..];
        let part = &part[..part.len().min(left)];
        left -= part.len();
        crc.add(part);
    });
    crc.field()
}
