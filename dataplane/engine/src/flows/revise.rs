//! What a new configuration means for a session that began under an older one.
//!
//! A session remembers the generation it was last checked against. The first packet after a change,
//! or the sweep, compares the epochs of its listener or egress, of VLANs and of routes, and acts
//! only if one of them is newer. New values hold for new flows; a flow keeps its translation and
//! member, and ends if what it uses went.
//!
//! A session is bound to the VLANs that its packets arrive on. Replies of one without translation
//! arrive on the VLAN that its packets leave by, so their key moves with the route. Replies to an own
//! address keep the key of that address's VLAN, whatever the route: those that come by another VLAN
//! are found by the closer look.
//!
//! Invariant: a slot that the session holds was given before it was last checked; of a member that
//! went nothing is held.
//! Sources: architecture.md §3.1 (Configuration), crds.md §5.4, §5.6 rules 2 to 4.

use std::net::IpAddr;

use tmm_config::Config;
use tmm_config::config::{EgressSlot, Listener, ListenerSlot, MemberSlot, MemberState, VlanSlot};
use tmm_config::spec::ServiceDown;
use tmm_wire::PacketPool;

use super::Shared;
use super::session::{Addresses, Cold, Hot, Kind, flag};
use super::table::Table;
use super::tcp;
use crate::adjacency::{AdjacencyId, AdjacencyKey};
use crate::ctx::Ctx;
use crate::frame::protocol;

/// What becomes of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It goes on.
    Keep,
    /// Its packets are dropped until it is idle.
    Block,
    /// What it uses went: it ends, and its ends are told if its flag says so.
    Removed,
    /// Its member went: it ends and both ends are told.
    Reject,
    /// Its member went: it ends and its next packet begins anew.
    Reselect,
}

/// Takes `config` over if nothing of it concerns the session; false if a closer look is needed.
#[inline]
pub fn is_unconcerned(cold: &mut Cold, config: &Config) -> bool {
    let epoch = match cold.kind {
        Kind::Listener => config.listener(ListenerSlot(cold.owner)).map(|l| l.epoch.max(l.since)),
        Kind::Egress => config.egress(EgressSlot(cold.owner)).map(|e| e.epoch.max(e.since)),
    };
    let newest = config.vlans_epoch().max(config.routes_epoch());
    let unconcerned = epoch.is_some_and(|epoch| epoch.max(newest) <= cold.epoch);
    if unconcerned {
        cold.epoch = config.generation();
    }
    unconcerned
}

/// Decides what becomes of `session` and takes the generation over if it is kept.
pub fn revise<A: Addresses, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    session: u32,
    ctx: &mut Ctx<'_, P>,
) -> Fate {
    let config = ctx.config;
    let (hot, cold) = table.lines_mut(session);
    shared.forget_departed(cold, config);
    let fate = match cold.kind {
        Kind::Listener => of_listener(hot, cold, config),
        Kind::Egress => of_egress(hot, cold, config),
    };
    if !matches!(fate, Fate::Keep | Fate::Block) {
        return fate;
    }
    let blocked = fate == Fate::Block;
    hot.set(flag::BLOCKED, blocked);
    hot.set(flag::FAST, !blocked && is_steady(hot));
    let moved = config.routes_epoch().max(config.vlans_epoch()) > cold.epoch;
    hot.generation = config.generation() as u16;
    cold.epoch = config.generation();
    if moved && !reroute(table, shared, session, ctx) {
        return Fate::Removed;
    }
    fate
}

fn of_listener<A: Addresses>(hot: &mut Hot<A>, cold: &Cold, config: &Config) -> Fate {
    let listener = config.listener(ListenerSlot(cold.owner));
    let Some(listener) = listener.filter(|listener| listener.since <= cold.epoch) else {
        return Fate::Removed;
    };
    let key = hot.key(false);
    let serves = listener.protocol.number() == key.protocol
        && listener.vip == key.addresses.destination()
        && (listener.port == 0 || listener.port == key.destination_port())
        && listener.vlans.contains(VlanSlot(key.zone));
    if !serves || !has_source(hot, cold, config) {
        return Fate::Removed;
    }
    hot.set(flag::TELLS, tells(hot.protocol, listener));
    // Also none for one that went (NO_MEMBER), whoever has its slot now.
    let member = config.member(MemberSlot(cold.member));
    let is_up = member.is_some_and(|member| member.state != MemberState::Down);
    match listener.service_down {
        _ if is_up => Fate::Keep,
        ServiceDown::None => Fate::Keep,
        ServiceDown::Drop => Fate::Block,
        ServiceDown::Reject => Fate::Reject,
        ServiceDown::Reselect => Fate::Reselect,
    }
}

fn of_egress<A: Addresses>(hot: &Hot<A>, cold: &Cold, config: &Config) -> Fate {
    let egress = config.egress(EgressSlot(cold.owner));
    let stays = egress.is_some_and(|egress| {
        egress.since <= cold.epoch
            && egress.vlans.contains(VlanSlot(hot.zone[0]))
            && (egress.dual_stack || !A::IS_V6)
            && has_source(hot, cold, config)
    });
    if stays { Fate::Keep } else { Fate::Removed }
}

/// Whether the session's state lets its packets take the hit path.
fn is_steady<A>(hot: &Hot<A>) -> bool {
    match hot.protocol {
        protocol::TCP => tcp::State::from_raw(hot.state) == tcp::State::Established,
        protocol::UDP => true,
        _ => false,
    }
}

/// Whether the session's VLANs and, if it has one, its translated source still exist.
fn has_source<A: Addresses>(hot: &Hot<A>, cold: &Cold, config: &Config) -> bool {
    let is_there =
        |zone: &u8| config.vlan(VlanSlot(*zone)).is_some_and(|vlan| vlan.since <= cold.epoch);
    hot.zone.iter().all(is_there)
        && (!is_translated(hot) || config.self_ip(hot.reply.destination()).is_some())
}

/// Whether the far end sees an address of ours.
fn is_translated<A: Addresses>(hot: &Hot<A>) -> bool {
    hot.reply.destination() != hot.forward.source()
}

/// Whether both ends of a flow of `listener` are told that it is over (crds.md §5.6 rule 4).
pub fn tells(number: u8, listener: &Listener) -> bool {
    match number {
        protocol::TCP => listener.reset_on_idle,
        protocol::SCTP => true,
        _ => false,
    }
}

/// Looks the ways of both directions up again; a way that is learned from the last hop stays.
/// Without a route the session has no way until there is one again. False if its replies would now
/// have the key of another session: it cannot go on.
#[must_use]
pub fn reroute<A: Addresses, P: PacketPool>(
    table: &mut Table<A>,
    shared: &Shared,
    session: u32,
    ctx: &mut Ctx<'_, P>,
) -> bool {
    let hash = table.hot(session).key(false).hash(&shared.hasher).home();
    for side in [0, 1] {
        let hot = table.hot(session);
        let destination: IpAddr = hot.key(side == 0).addresses.source();
        let old = AdjacencyId(hot.next_hop[side]);
        if matches!(ctx.net.adjacencies().key(old), Some(AdjacencyKey::Mac(..))) {
            continue;
        }
        let new = ctx.adjacency_towards(destination, hash);
        take_way(table, session, side, new.unwrap_or(NO_WAY), ctx);
        let hot = table.hot(session);
        let zone = if is_translated(hot) {
            ctx.config.self_ip(hot.reply.destination())
        } else {
            new.ok().map(|new| ctx.net.adjacency(new).vlan)
        };
        let moved = zone.filter(|zone| side == 0 && zone.0 != hot.zone[1]);
        if moved.is_some_and(|zone| !table.move_reply(&shared.hasher, session, zone.0)) {
            return false;
        }
    }
    true
}

/// Makes `new` the way of packets of a direction.
pub fn take_way<A: Addresses, P: PacketPool>(
    table: &mut Table<A>,
    session: u32,
    side: usize,
    new: AdjacencyId,
    ctx: &mut Ctx<'_, P>,
) {
    let way = &mut table.hot_mut(session).next_hop[side];
    let old = AdjacencyId(*way);
    if new != old {
        *way = new.0;
        ctx.net.retain(new);
        ctx.net.release(old);
    }
}

/// The way of a session whose destination has no route: an id that no table has.
pub const NO_WAY: AdjacencyId = AdjacencyId(u16::MAX);
