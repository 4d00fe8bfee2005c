//! Health monitors: probes members, learns their state, tells the control thread.
//!
//! Lives on worker 0; each replica probes for itself. Owns when and what is probed; how a monitor
//! judges is `probe`'s, how packets look is `send`'s and `answer`'s. Members' states reach flows by
//! the next configuration, which the control thread compiles from the events. Nothing is sent and
//! nothing is judged while the gate is closed (LIC-802).
//!
//! Invariant: each probe on its way has exactly one entry in the table of keys.
//! Source: crds.md §3.4.3 rules 2 to 4 (CHK-037, CHK-038, CHK-133).

use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use tmm_config::config::{MemberSlot, MemberState, Pool};
use tmm_config::spec::{MonitorKind, MonitorSpec};
use tmm_config::{Config, Nanos};
use tmm_wire::{PacketBuf, PacketPool, sctp};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::flows::{Ends, Flows, owner};
use crate::frame::{IpFrame, protocol};
use crate::icmp::is_checksum_right;
use crate::out::{Event, MemberEvent, MemberReason};

mod answer;
mod probe;
mod send;

use answer::{ANY_TOKEN, Answer, ProbeKey};
use probe::{Due, Pending, Probe, Verdict};

/// All monitors of this replica; none by default, as they come with the configuration.
#[derive(Debug, Default)]
pub struct Monitors {
    checks: Vec<Option<Check>>,
    pools: Vec<Arc<Pool>>,
    generation: u32,
    hand: usize,
    last: Nanos,
    is_paused: bool,
}

/// The probes on their way, by the key of their answers.
#[derive(Debug)]
pub struct Probes(HashMap<ProbeKey, (MemberSlot, usize), RandomState>);

impl Probes {
    /// None yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(HashMap::with_hasher(RandomState::with_seeds(seed, !seed, seed >> 7, 1)))
    }

    /// Whether a packet with these ends would be taken for the answer to a probe: who sends from an
    /// own address must not take such a port.
    pub(crate) fn is_taken(&self, ends: &Ends) -> bool {
        let kind = match ends.protocol {
            _ if self.0.is_empty() => return false,
            protocol::TCP => MonitorKind::Tcp,
            protocol::UDP => MonitorKind::Udp,
            protocol::SCTP => MonitorKind::Sctp,
            _ => MonitorKind::Icmp,
        };
        let ((member, member_port), (_, port)) = (ends.source, ends.destination);
        self.0.contains_key(&ProbeKey { kind, member, member_port, port })
    }
}

/// One monitored member.
#[derive(Debug)]
struct Check {
    pool: Arc<Pool>,
    since: u32,
    address: IpAddr,
    port: u16,
    probes: Vec<Probe>,
    told: Option<MemberState>,
}

impl Monitors {
    /// Runs what is due: follows the configuration, judges, sends. Bounded per call.
    pub(crate) fn tick<P: PacketPool>(&mut self, open: bool, flows: &Flows, ctx: &mut Ctx<'_, P>) {
        if ctx.worker != 0 {
            return;
        }
        if self.generation != ctx.config.generation() {
            self.follow(ctx);
        }
        if !open {
            self.is_paused = true;
            return;
        }
        if self.is_paused {
            self.resume(ctx);
        }
        let elapsed = ctx.now.since(self.last);
        if elapsed < STEP || self.checks.is_empty() {
            return;
        }
        self.last = ctx.now;
        let total = self.checks.len();
        for _ in 0..total.min(LEAST_PER_STEP.max(total / STEPS_PER_PASS)) {
            let at = self.hand;
            self.hand = if at + 1 >= total { 0 } else { at + 1 };
            self.visit(at, flows, ctx);
        }
    }

    /// Takes `buf` if it answers a probe on its way; else gives it back.
    ///
    /// # Errors
    ///
    /// The packet.
    pub(crate) fn receive<P: PacketPool>(
        &mut self,
        buf: P::Buf,
        frame: &IpFrame,
        ctx: &mut Ctx<'_, P>,
    ) -> Result<(), P::Buf> {
        if ctx.probes.0.is_empty() {
            return Err(buf);
        }
        let Some((key, token, said)) = answer::read(frame, buf.data()) else { return Err(buf) };
        let Some(&(slot, index)) = ctx.probes.0.get(&key) else { return Err(buf) };
        let check = self.checks.get_mut(slot.0 as usize).and_then(Option::as_mut);
        let Some(probe) = check.and_then(|check| check.probes.get_mut(index)) else {
            return Err(buf);
        };
        let is_expected = probe
            .pending()
            .is_some_and(|p| p.port == key.port && (p.token == token || token == ANY_TOKEN));
        if !is_expected {
            return Err(buf);
        }
        if frame.protocol == protocol::SCTP {
            if !sctp::checksum_is_right(frame.payload(buf.data())) {
                ctx.drop(buf, DropReason::SctpBadCrc);
                return Ok(());
            }
        } else if !is_checksum_right(&buf, frame) {
            ctx.drop(buf, DropReason::BadL4Checksum);
            return Ok(());
        }
        match said {
            Answer::Accepted { sequence } => {
                probe.succeeded();
                send::close_tcp(ctx, frame, token, sequence);
            }
            Answer::InitAck { tag } => {
                probe.succeeded();
                send::close_sctp(ctx, frame, tag);
            }
            Answer::Answered if send::contains(&buf, frame, &probe.spec.receive) => {
                probe.succeeded();
            }
            Answer::Answered => probe.failed(MemberReason::WrongAnswer),
            Answer::Refused => probe.failed(MemberReason::Refused),
        }
        ctx.probes.0.remove(&key);
        ctx.consume(buf);
        self.tell(slot.0 as usize, ctx);
        Ok(())
    }

    /// Visits one member: judges its monitors, sends probes that are due, tells a change.
    fn visit<P: PacketPool>(&mut self, at: usize, flows: &Flows, ctx: &mut Ctx<'_, P>) {
        let Some(Some(check)) = self.checks.get_mut(at) else { return };
        let now = ctx.now;
        let member = check.address;
        for index in 0..check.probes.len() {
            let Some(probe) = check.probes.get_mut(index) else { return };
            let before = probe.pending();
            let reachable = before.is_none() || is_reachable(ctx, member);
            let due = probe.tick(now, reachable);
            if let (Some(old), None) = (before, probe.pending()) {
                ctx.probes.0.remove(&key_of(&probe.spec, member, check.port, old.port));
            }
            if due == Due::Nothing {
                continue;
            }
            let way = send::way(ctx, member);
            let sent = way.and_then(|way| {
                let pending = choose(probe, member, check.port, way, flows, ctx)?;
                let key = key_of(&probe.spec, member, check.port, pending.port);
                send::probe(ctx, way, &key, &pending, &probe.spec).then_some((key, pending))
            });
            probe.sent(now, sent.map(|(_, pending)| pending));
            if let Some((key, _)) = sent {
                // Sized for every probe when the configuration came.
                ctx.probes.0.insert(key, (MemberSlot(at as u32), index));
            }
        }
        self.tell(at, ctx);
    }

    /// Tells the control thread of a member whose state changed.
    fn tell<P: PacketPool>(&mut self, at: usize, ctx: &mut Ctx<'_, P>) {
        let Some(Some(check)) = self.checks.get_mut(at) else { return };
        let verdicts = || check.probes.iter().map(Probe::verdict);
        let state = if verdicts().any(|verdict| verdict == Verdict::Down) {
            MemberState::Down
        } else if verdicts().all(|verdict| verdict == Verdict::Up) {
            MemberState::Up
        } else {
            return;
        };
        if check.told == Some(state) || !ctx.out.has_event_room() {
            return;
        }
        let down = check.probes.iter().find(|probe| probe.verdict() == Verdict::Down);
        let reason = down.map_or(MemberReason::Answered, Probe::reason);
        check.told = Some(state);
        ctx.fact(Event::Member(MemberEvent {
            pool: check.pool.name.clone(),
            address: check.address,
            port: check.port,
            state,
            reason,
        }));
    }

    /// Follows the configuration: pools that did not change cost one comparison.
    fn follow<P: PacketPool>(&mut self, ctx: &mut Ctx<'_, P>) {
        let config = ctx.config;
        self.generation = config.generation();
        let old = core::mem::take(&mut self.pools);
        self.checks.resize_with(config.member_slots(), || None);
        for (at, slot) in self.checks.iter_mut().enumerate() {
            let Some(check) = slot else { continue };
            let is_there = config.member(MemberSlot(at as u32)).is_some_and(|member| {
                member.since == check.since
                    && (member.address, member.port) == (check.address, check.port)
            });
            if !is_there {
                *slot = None;
            }
        }
        for pool in config.pools() {
            let is_same = old
                .binary_search_by(|before| before.name.cmp(&pool.name))
                .is_ok_and(|index| Arc::ptr_eq(&old[index], pool));
            if !is_same {
                self.adopt(pool, ctx);
            }
        }
        self.pools = config.pools().cloned().collect();
        self.pools.sort_by(|a, b| a.name.cmp(&b.name));
        self.drop_stale_keys(ctx.probes, config);
        let probes: usize = self.checks.iter().flatten().map(|check| check.probes.len()).sum();
        // Twice the room, so that the map cleans up in place and never grows in between.
        ctx.probes.0.reserve((probes * 2).saturating_sub(ctx.probes.0.len()));
        self.hand = self.hand.min(self.checks.len().saturating_sub(1));
    }

    /// Takes over one pool that is new or changed.
    fn adopt<P: PacketPool>(&mut self, pool: &Arc<Pool>, ctx: &mut Ctx<'_, P>) {
        for member in &pool.members {
            let Some(slot) = self.checks.get_mut(member.slot.0 as usize) else { continue };
            if pool.monitors.is_empty() {
                *slot = None;
                continue;
            }
            let first = ctx.now.plus(Nanos(ctx.net.random.next() % SPREAD.0));
            let check = slot.get_or_insert_with(|| Check {
                pool: pool.clone(),
                since: member.since,
                address: member.address,
                port: member.port,
                probes: Vec::new(),
                told: None,
            });
            check.pool = pool.clone();
            check.probes.truncate(pool.monitors.len());
            for (probe, spec) in check.probes.iter_mut().zip(&pool.monitors) {
                probe.update(spec, first);
            }
            let more = pool.monitors.iter().skip(check.probes.len());
            check.probes.extend(more.map(|spec| Probe::new(spec.clone(), first)));
        }
    }

    /// Forgets answers that no probe waits for any more.
    fn drop_stale_keys(&self, probes: &mut Probes, config: &Config) {
        let checks = &self.checks;
        probes.0.retain(|key, (slot, index)| {
            config.member(*slot).is_some()
                && checks
                    .get(slot.0 as usize)
                    .and_then(Option::as_ref)
                    .and_then(|check| check.probes.get(*index))
                    .and_then(Probe::pending)
                    .is_some_and(|pending| pending.port == key.port)
        });
    }

    /// The gate opened: every monitor begins a new cadence within the spread.
    fn resume<P: PacketPool>(&mut self, ctx: &mut Ctx<'_, P>) {
        self.is_paused = false;
        ctx.probes.0.clear();
        for probe in self.checks.iter_mut().flatten().flat_map(|check| &mut check.probes) {
            probe.pause(ctx.now.plus(Nanos(ctx.net.random.next() % SPREAD.0)));
        }
    }
}

/// The key of a probe's answer.
fn key_of(spec: &MonitorSpec, member: IpAddr, member_port: u16, port: u16) -> ProbeKey {
    let member_port = match (spec.kind, spec.port) {
        (MonitorKind::Icmp, _) => 0,
        (_, 0) => member_port,
        (_, own) => own,
    };
    ProbeKey { kind: spec.kind, member, member_port, port }
}

/// Whether the way to `member` is known and its neighbour answers.
fn is_reachable<P: PacketPool>(ctx: &mut Ctx<'_, P>, member: IpAddr) -> bool {
    ctx.net.adjacency_towards(ctx.config, member, 0).is_ok_and(|id| ctx.net.adjacency(id).resolved)
}

/// Our port and token of the next probe: a random port whose answers reach this worker and that no
/// flow and no other probe has towards the member.
fn choose<P: PacketPool>(
    probe: &Probe,
    member: IpAddr,
    member_port: u16,
    way: send::Way,
    flows: &Flows,
    ctx: &mut Ctx<'_, P>,
) -> Option<Pending> {
    let token = (ctx.net.random.next() >> 32) as u32;
    // ICMP shows 16 bits of it, and 0 is no SCTP tag.
    let token = match probe.spec.kind {
        MonitorKind::Icmp => token & 0xffff,
        MonitorKind::Udp => 0,
        MonitorKind::Tcp | MonitorKind::Sctp => token.max(1),
    };
    for _ in 0..PORT_TRIES {
        let port = FIRST_PORT | (ctx.net.random.next() >> 48) as u16;
        let key = key_of(&probe.spec, member, member_port, port);
        if !ctx.probes.0.contains_key(&key) && is_free(&key, way.source, flows, ctx) {
            return Some(Pending { sent: ctx.now, port, token });
        }
    }
    None
}

/// Whether no flow has the reply key, and replies come to this worker.
fn is_free<P: PacketPool>(key: &ProbeKey, source: IpAddr, flows: &Flows, ctx: &Ctx<'_, P>) -> bool {
    let Some(vlan) = ctx.config.self_ip(source) else { return false };
    let number = match key.kind {
        MonitorKind::Tcp => protocol::TCP,
        MonitorKind::Udp => protocol::UDP,
        MonitorKind::Sctp => protocol::SCTP,
        MonitorKind::Icmp if source.is_ipv6() => protocol::ICMPV6,
        MonitorKind::Icmp => protocol::ICMP,
    };
    let ends = Ends {
        protocol: number,
        source: (key.member, key.member_port),
        destination: (source, key.port),
    };
    owner(ctx.config, &ends, ctx.workers) == ctx.worker && !flows.is_taken(vlan, &ends)
}

/// Time between looks at the members.
const STEP: Nanos = Nanos::from_millis(1);
/// Members looked at per step, at least; all within a hundred steps.
const LEAST_PER_STEP: usize = 64;
const STEPS_PER_PASS: usize = 100;
/// First probes are spread over this time; with a pass of 100 ms they leave within 1 s.
const SPREAD: Nanos = Nanos::from_millis(500);
/// Probes leave from ports 32768 to 65535.
const FIRST_PORT: u16 = 0x8000;
const PORT_TRIES: usize = 64;
