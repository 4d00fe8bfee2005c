//! What a new configuration means for a session that began under an older one.
//!
//! A session remembers the generation it was last checked against. The first packet after a change,
//! or the sweep, compares the epochs of its listener or egress, of VLANs and of routes, and acts
//! only if one of them is newer. New values hold for new flows; a flow keeps its translation and
//! member, and ends if what it uses went.
//!
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
    shared: &Shared,
    session: u32,
    ctx: &mut Ctx<'_, P>,
) -> Fate {
    let config = ctx.config;
    let (hot, cold) = table.lines_mut(session);
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
    if moved {
        reroute(table, shared, session, ctx);
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
    if !serves || !has_source(hot, config) {
        return Fate::Removed;
    }
    hot.set(flag::TELLS, tells(hot.protocol, listener));
    let member = config.member(MemberSlot(cold.member));
    let is_up = member.is_some_and(|m| m.since <= cold.epoch && m.state != MemberState::Down);
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
            && has_source(hot, config)
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
fn has_source<A: Addresses>(hot: &Hot<A>, config: &Config) -> bool {
    let source = hot.reply.destination();
    let is_translated = source != hot.forward.source();
    hot.zone.iter().all(|zone| config.vlan(VlanSlot(*zone)).is_some())
        && (!is_translated || config.self_ip(source).is_some())
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
pub fn reroute<A: Addresses, P: PacketPool>(
    table: &mut Table<A>,
    shared: &Shared,
    session: u32,
    ctx: &mut Ctx<'_, P>,
) {
    let hash = table.hot(session).key(false).hash(&shared.hasher).home;
    for side in [0, 1] {
        let hot = table.hot(session);
        let destination: IpAddr = hot.key(side == 0).addresses.source();
        let old = AdjacencyId(hot.next_hop[side]);
        if matches!(ctx.net.adjacencies().key(old), Some(AdjacencyKey::Mac(..))) {
            continue;
        }
        let Ok(new) = ctx.adjacency_towards(destination, hash) else { continue };
        if new != old {
            ctx.net.retain(new);
            ctx.net.release(old);
            table.hot_mut(session).next_hop[side] = new.0;
        }
        let zone = ctx.net.adjacency(new).vlan.0;
        if side == 0 && zone != table.hot(session).zone[1] {
            // Replies will come from there; if another session has that key, they still come here
            // only while the other VLAN sends them.
            table.move_reply(&shared.hasher, session, zone);
        }
    }
}
