//! The end of a session: ends told, counts folded, slot freed.

use tmm_wire::PacketPool;

use super::Shared;
use super::answer::tell_both;
use super::fast::spill;
use super::rewrite::WriteNetwork;
use super::sctp;
use super::table::Table;
use super::usage::Volume;
use crate::adjacency::AdjacencyId;
use crate::ctx::Ctx;
use crate::frame::protocol;

/// Ends `session`; both its ends are told first if `tells`.
pub fn end<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    session: u32,
    tells: bool,
    ctx: &mut Ctx<'_, P>,
) {
    if tells {
        tell_both(table.hot(session), table.cold(session), ctx);
    }
    let (hot, cold) = table.lines_mut(session);
    spill(hot, cold);
    let is_half_open =
        hot.protocol == protocol::SCTP && sctp::State::from_raw(hot.state) == sctp::State::Opening;
    if is_half_open {
        shared.half_open.end(cold);
    }
    let volume = Volume { packets: cold.packets, bytes: cold.bytes };
    shared.count_end(cold, &volume, A::IS_V6, session);
    for way in hot.next_hop {
        ctx.net.release(AdjacencyId(way));
    }
    table.remove(&shared.hasher, session);
}
