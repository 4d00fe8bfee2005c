//! What time drives in the neighbourhood: requests, failures, announcements.
//!
//! A clock hand passes all neighbours; each call does a bounded piece.

use tmm_config::Nanos;
use tmm_wire::PacketPool;

use crate::adjacency::AdjacencyId;
use crate::announce;
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::neighbour::State;

/// Runs what is due.
pub(crate) fn run<P: PacketPool>(ctx: &mut Ctx<'_, P>) {
    let elapsed = ctx.now.since(ctx.net.last_pass);
    if elapsed >= PASS_EVERY || ctx.net.announcements.is_due {
        announce::run(ctx);
    }
    if elapsed < PASS_EVERY {
        return;
    }
    ctx.net.last_pass = ctx.now;
    let total = ctx.net.neighbours.len();
    let due = (elapsed.0 / PASS_EVERY.0).saturating_mul(PER_PASS);
    let steps = usize::try_from(due).unwrap_or(usize::MAX).min(MOST_PER_CALL).min(total);
    let prober = ctx.worker == 0;
    for _ in 0..steps {
        let at = ctx.net.hand;
        ctx.net.hand = if at + 1 == total { 0 } else { at + 1 };
        let Ok(index) = u16::try_from(at) else { continue };
        let id = AdjacencyId(index);
        if ctx.net.neighbours[at].state == State::Gone {
            ctx.release_held(id, DropReason::PortGone);
            continue;
        }
        let in_use = ctx.net.is_in_use(id);
        let action = ctx.net.neighbours[at].tick(ctx.now, in_use, prober);
        ctx.act(id, action);
    }
}

const PASS_EVERY: Nanos = Nanos::from_millis(1);
/// Neighbours looked at per millisecond: all 65,535 within a quarter of a second.
const PER_PASS: u64 = 256;
const MOST_PER_CALL: usize = 1024;
