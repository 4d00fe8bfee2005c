//! What time and new configurations do to sessions that no packet looks at.
//!
//! A clock hand passes the used part of the deadline array twice a second; when a deadline is due,
//! last-seen is read and the deadline armed anew, or the session ends. Time-outs are read from the
//! listener or egress. After a change of configuration a second hand passes all sessions once, ends
//! those whose objects went and arms deadlines by the new time-outs. A third one folds volumes when
//! statistics are asked for. Work per call is bounded and grows with the time since the last call.
//!
//! Sources: architecture.md §3.1 (Sweep), crds.md §5.4, §5.6, §6 (3, 4, 5), §7 (2).

use tmm_config::config::{EgressSlot, ListenerSlot};
use tmm_config::{Config, Nanos};
use tmm_wire::PacketPool;

use super::rewrite::WriteNetwork;
use super::session::{Addresses, Cold, Hot, Kind, Ticks, flag};
use super::table::Table;
use super::usage::Volume;
use super::{Flows, Shared, end, revise, sctp, tcp};
use crate::ctx::Ctx;
use crate::frame::protocol;

/// Where the hands stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hands {
    last: Nanos,
    /// Time that the deadline hand has not used yet.
    credit: u64,
    deadlines: Hand,
    revision: Option<Hand>,
    /// Generation that the last revision began with.
    revised: u32,
    pub(super) volumes: Option<Hand>,
}

/// A place in both tables, IPv4 first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hand {
    is_v6: bool,
    slot: u32,
}

impl Hand {
    /// Whether it has passed the slot.
    pub const fn has_passed(&self, is_v6: bool, slot: u32) -> bool {
        if self.is_v6 == is_v6 { slot < self.slot } else { self.is_v6 }
    }

    /// Goes on to the other table; false if it was the last.
    const fn turn(&mut self) -> bool {
        let more = !self.is_v6;
        *self = Self { is_v6: true, slot: 0 };
        more
    }
}

impl Flows {
    /// Does a bounded piece of what is due. To be called once a loop, whether packets come or not.
    pub fn sweep<P: PacketPool>(&mut self, ctx: &mut Ctx<'_, P>) {
        self.shared.follow(ctx.config, ctx.now);
        let hands = &mut self.shared.hands;
        let elapsed = ctx.now.since(hands.last).0;
        if elapsed < STEP {
            return;
        }
        hands.last = ctx.now;
        let budget = (elapsed / NANOS_PER_VISIT).clamp(LEAST_VISITS, MOST_VISITS) as u32;
        self.sweep_deadlines(elapsed, budget, ctx);
        self.sweep_revision(budget, ctx);
        self.sweep_volumes(budget);
    }

    /// Asks for the volumes of open sessions; [`Flows::usages`] has them after some sweeps.
    pub const fn ask_volumes(&mut self) {
        if self.shared.hands.volumes.is_none() {
            self.shared.hands.volumes = Some(Hand { is_v6: false, slot: 0 });
        }
    }

    fn sweep_deadlines<P: PacketPool>(
        &mut self,
        elapsed: u64,
        mut budget: u32,
        ctx: &mut Ctx<'_, P>,
    ) {
        let Self { v4, v6, shared, .. } = self;
        let used = u64::from(v4.used() + v6.used());
        // A whole pass in PASS; more would find nothing new.
        let share = shared.hands.credit + used * elapsed.min(PASS);
        let mut left = ((share / PASS).min(used) as u32).min(MOST_SLOTS);
        shared.hands.credit = share % PASS;
        let mut hand = shared.hands.deadlines;
        while left > 0 && budget > 0 {
            let before = hand.slot;
            if hand.is_v6 {
                hand.slot = pass_deadlines(v6, shared, before, left, &mut budget, ctx);
                left = left.saturating_sub((hand.slot - before).max(1));
                if hand.slot >= v6.used() {
                    hand = Hand::default();
                }
            } else {
                hand.slot = pass_deadlines(v4, shared, before, left, &mut budget, ctx);
                left = left.saturating_sub((hand.slot - before).max(1));
                if hand.slot >= v4.used() {
                    hand.turn();
                }
            }
        }
        shared.hands.deadlines = hand;
    }

    fn sweep_revision<P: PacketPool>(&mut self, budget: u32, ctx: &mut Ctx<'_, P>) {
        let Self { v4, v6, shared, .. } = self;
        let generation = ctx.config.generation();
        if shared.hands.revision.is_none() {
            if shared.hands.revised == generation {
                return;
            }
            shared.hands.revised = generation;
            shared.hands.revision = Some(Hand::default());
        }
        let Some(mut hand) = shared.hands.revision else { return };
        for _ in 0..budget {
            let used = if hand.is_v6 { v6.used() } else { v4.used() };
            if hand.slot >= used {
                if hand.turn() {
                    continue;
                }
                shared.hands.revision = None;
                return;
            }
            if hand.is_v6 {
                review(v6, shared, hand.slot, ctx);
            } else {
                review(v4, shared, hand.slot, ctx);
            }
            hand.slot += 1;
        }
        shared.hands.revision = Some(hand);
    }

    fn sweep_volumes(&mut self, budget: u32) {
        let Self { v4, v6, shared, .. } = self;
        let Some(mut hand) = shared.hands.volumes else { return };
        for _ in 0..budget {
            let used = if hand.is_v6 { v6.used() } else { v4.used() };
            if hand.slot >= used {
                if hand.turn() {
                    continue;
                }
                shared.hands.volumes = None;
                shared.usages.publish();
                return;
            }
            let open = if hand.is_v6 { volume(v6, hand.slot) } else { volume(v4, hand.slot) };
            if let Some((cold, volume)) = open {
                shared.count_pass(&cold, &volume);
            }
            hand.slot += 1;
        }
        shared.hands.volumes = Some(hand);
    }
}

/// Passes up to `left` deadlines from `from` on and gives where it stopped.
fn pass_deadlines<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    from: u32,
    left: u32,
    budget: &mut u32,
    ctx: &mut Ctx<'_, P>,
) -> u32 {
    let now = Ticks::at(ctx.now);
    let to = table.used().min(from.saturating_add(left));
    let mut at = from;
    while *budget > 0 {
        let Some(session) = table.due(at, to, now.0) else { return to };
        *budget -= 1;
        at = session + 1;
        expire(table, shared, session, now, ctx);
    }
    at
}

/// Ends a session whose time is over, or arms its deadline anew.
fn expire<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    session: u32,
    now: Ticks,
    ctx: &mut Ctx<'_, P>,
) {
    let hot = table.hot(session);
    let life = Life::of(hot, table.cold(session), ctx.config);
    if life.is_over(now) {
        let tells = life.tells && hot.protocol == protocol::TCP && hot.has(flag::TELLS);
        end::end(table, shared, session, tells, ctx);
    } else {
        arm(table, session, ctx.config, now);
    }
}

/// Looks at a session after a change of configuration.
fn review<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    session: u32,
    ctx: &mut Ctx<'_, P>,
) {
    if !table.is_used(session) {
        return;
    }
    let (hot, cold) = table.lines_mut(session);
    if hot.generation != ctx.config.generation() as u16 {
        let number = hot.protocol;
        if revise::is_unconcerned(cold, ctx.config) {
            hot.generation = ctx.config.generation() as u16;
        } else {
            match revise::revise(table, shared, session, ctx) {
                revise::Fate::Keep | revise::Fate::Block => {}
                revise::Fate::Removed => {
                    let tells = table.hot(session).has(flag::TELLS);
                    return end::end(table, shared, session, tells, ctx);
                }
                revise::Fate::Reject if matches!(number, protocol::TCP | protocol::SCTP) => {
                    return end::end(table, shared, session, true, ctx);
                }
                revise::Fate::Reselect if number == protocol::SCTP => {
                    return end::end(table, shared, session, true, ctx);
                }
                // The next packet decides: it is answered, or goes to another member.
                revise::Fate::Reject | revise::Fate::Reselect => {}
            }
        }
    }
    arm(table, session, ctx.config, Ticks::at(ctx.now));
}

fn volume<A: Addresses>(table: &Table<A>, session: u32) -> Option<(Cold, Volume)> {
    if !table.is_used(session) {
        return None;
    }
    let (hot, cold) = (table.hot(session), table.cold(session));
    let mut volume = Volume { packets: cold.packets, bytes: cold.bytes };
    for side in 0..2 {
        volume.packets[side] += u64::from(hot.packets[side]);
        volume.bytes[side] += u64::from(hot.bytes[side]);
    }
    Some((*cold, volume))
}

/// Arms the deadline of `session` by its state and the time-outs in force.
pub fn arm<A: Addresses>(table: &mut Table<A>, session: u32, config: &Config, now: Ticks) {
    let life = Life::of(table.hot(session), table.cold(session), config);
    let left = u64::from(life.seconds) * u64::from(Ticks::PER_SECOND) + 1;
    let left = left.saturating_sub(u64::from(now.since(life.from)));
    table.arm(session, now.0.wrapping_add(left.min(FARTHEST) as u32));
}

/// How long a session may live.
#[derive(Clone, Copy, Debug)]
struct Life {
    from: Ticks,
    seconds: u32,
    /// Whether its ends are told, if its listener says so.
    tells: bool,
}

impl Life {
    fn of<A: Addresses>(hot: &Hot<A>, cold: &Cold, config: &Config) -> Self {
        let (idle, handshake) = match cold.kind {
            Kind::Listener => config
                .listener(ListenerSlot(cold.owner))
                .map_or((0, 0), |l| (l.idle_timeout, l.handshake_timeout)),
            Kind::Egress => config.egress(EgressSlot(cold.owner)).map_or((0, 0), |egress| {
                let idle = match hot.protocol {
                    protocol::TCP => egress.tcp_idle_timeout,
                    protocol::UDP | protocol::SCTP => egress.udp_idle_timeout,
                    _ => egress.icmp_idle_timeout,
                };
                (idle, EGRESS_HANDSHAKE)
            }),
        };
        let idle = Self { from: hot.last_seen, seconds: idle, tells: true };
        let half_open = Self { from: cold.since, seconds: handshake, tells: false };
        match hot.protocol {
            protocol::TCP => match tcp::State::from_raw(hot.state) {
                tcp::State::SynSent | tcp::State::SynReceived => half_open,
                tcp::State::Established | tcp::State::Closing => idle,
                tcp::State::Closed => {
                    Self { from: cold.since, seconds: tcp::CLOSED_SECONDS, tells: false }
                }
            },
            protocol::SCTP => match sctp::State::from_raw(hot.state) {
                sctp::State::Opening => half_open,
                sctp::State::Established => idle,
            },
            _ => idle,
        }
    }

    fn is_over(&self, now: Ticks) -> bool {
        self.seconds != NEVER
            && u64::from(now.since(self.from))
                > u64::from(self.seconds) * u64::from(Ticks::PER_SECOND)
    }
}

/// A time-out that never ends.
const NEVER: u32 = u32::MAX;
/// The farthest a deadline may lie ahead, in ticks; farther ones are looked at then. Below half of
/// the deadline circle.
const FARTHEST: u64 = 3600 * Ticks::PER_SECOND as u64;
/// Seconds that a TCP or SCTP flow through an egress may stay without a completed handshake.
const EGRESS_HANDSHAKE: u32 = 30;
/// The least time between two pieces.
const STEP: u64 = 100_000;
/// Time in which the deadline hand passes everything.
const PASS: u64 = 500_000_000;
/// Deadlines that one call passes at most.
const MOST_SLOTS: u32 = 1 << 18;
/// Sessions that one call ends, arms or reviews: by the time since the last call.
const NANOS_PER_VISIT: u64 = 1000;
const LEAST_VISITS: u64 = 64;
const MOST_VISITS: u64 = 1024;
