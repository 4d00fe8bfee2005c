//! The first packet of a flow: who takes it, where it goes, and the session that remembers it.
//!
//! Lookup order: listener of the port, listener of all ports, egress (crds.md §5.5). Both directions
//! are inserted at once. A packet that may not open a flow, and one for which no member is eligible
//! or no source port free, gets the protocol's answer, a bounded number of them a second.
//!
//! Sources: crds.md §3.4.1, §3.4.4, §3.4.7, §5.3, §5.5, §6, §7, §10, §13; RFC 9260 §8.4.

use std::net::IpAddr;

use tmm_config::Maglev;
use tmm_config::config::{Egress, Listener, MemberSlot, NoListener};
use tmm_config::spec::Snat;
use tmm_wire::build::IcmpError;
use tmm_wire::sctp::ChunkKind;
use tmm_wire::{PacketBuf, PacketPool, Protocol};

use super::admit::{Miss, Upper, key_of};
use super::answer::{Between, abort, refuse_segment};
use super::forward::forward;
use super::owner::Ends;
use super::rewrite::WriteNetwork;
use super::session::{Cold, Hot, Key, Kind, Ticks, flag, join_ports};
use super::table::{InsertError, Table};
use super::tcp::{self, bits};
use super::{Shared, revise, sctp, snat, sweep};
use crate::adjacency::AdjacencyId;
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{IpFrame, protocol};

/// Who takes a new flow.
enum Taker<'a> {
    Listener(&'a Listener),
    Egress(&'a Egress),
}

/// Where a new flow goes.
struct Course {
    destination: IpAddr,
    port: u16,
    way: AdjacencyId,
    member: u32,
}

/// Opens a flow for `buf` and forwards it, or answers and drops it.
pub fn open<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    buf: P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    miss: Miss,
    ctx: &mut Ctx<'_, P>,
) {
    if shared.is_draining {
        return ctx.drop(buf, DropReason::Draining);
    }
    let taker = match find_taker(frame, ctx) {
        Ok(taker) => taker,
        Err(reason) => return ctx.drop(buf, reason),
    };
    if miss == Miss::Unknown
        && let Some(reason) = refuse(shared, &taker, frame, upper, ctx)
    {
        return ctx.drop(buf, reason);
    }
    match begin(table, shared, &taker, &buf, frame, upper, ctx) {
        Ok(session) => {
            forward(table, shared, session, false, buf, frame, true, ctx);
        }
        Err(DropReason::NoMember) => {
            let reason = no_member(shared, &taker, &buf, frame, upper, ctx);
            ctx.drop(buf, reason);
        }
        Err(DropReason::SnatExhausted) => {
            answer(shared, &taker, &buf, frame, upper, ctx);
            ctx.drop(buf, DropReason::SnatExhausted);
        }
        Err(DropReason::NoRoute) => {
            ctx.icmp_error(&buf, frame, IcmpError::NetUnreachable);
            ctx.drop(buf, DropReason::NoRoute);
        }
        Err(reason) => ctx.drop(buf, reason),
    }
}

fn find_taker<'a, P: PacketPool>(
    frame: &IpFrame,
    ctx: &Ctx<'a, P>,
) -> Result<Taker<'a>, DropReason> {
    let config = ctx.config;
    let listener = match Protocol::from_number(frame.protocol) {
        Some(protocol) => config.match_listener(protocol, frame.dst, frame.dst_port, frame.vlan),
        None => Err(NoListener::NoMatch),
    };
    let error = match listener {
        Ok(listener) => return Ok(Taker::Listener(listener)),
        Err(error) => error,
    };
    if let Some(egress) = config.match_egress(frame.vlan, frame.is_v6()) {
        return Ok(Taker::Egress(egress));
    }
    Err(match error {
        NoListener::VlanDenied => DropReason::VlanDeny,
        NoListener::NoMatch
            if frame.is_v6() && config.match_egress(frame.vlan, false).is_some() =>
        {
            DropReason::FamilyDeny
        }
        NoListener::NoMatch => DropReason::NoListener,
    })
}

/// Why the packet may not open a flow, if it may not; the sender is answered where the protocol
/// says so.
fn refuse<P: PacketPool>(
    shared: &mut Shared,
    taker: &Taker<'_>,
    frame: &IpFrame,
    upper: &Upper,
    ctx: &mut Ctx<'_, P>,
) -> Option<DropReason> {
    match upper {
        Upper::Tcp(segment) if !segment.is_opening() => {
            if segment.has(bits::RST) {
                return Some(DropReason::TcpStray);
            }
            if !shared.may_answer(taker.listener_slot(), ctx.now) {
                return Some(DropReason::AnswerRate);
            }
            if let Some(between) = Between::back(frame, ctx) {
                refuse_segment(&between, segment, ctx);
            }
            Some(DropReason::TcpStray)
        }
        Upper::Sctp(packet) if !packet.is_opening() => {
            let silent = matches!(
                packet.kind,
                ChunkKind::Abort
                    | ChunkKind::ShutdownComplete
                    | ChunkKind::CookieAck
                    | ChunkKind::Error
            );
            if silent {
                return Some(DropReason::SctpStray);
            }
            if !shared.may_answer(taker.listener_slot(), ctx.now) {
                return Some(DropReason::AnswerRate);
            }
            if let Some(between) = Between::back(frame, ctx) {
                // Out of the blue: the tag comes back with the T bit (RFC 9260 §8.4 rule 8).
                abort(&between, packet.tag, true, ctx);
            }
            Some(DropReason::SctpStray)
        }
        Upper::Sctp(_) if !shared.half_open.has_room(taker.kind(), taker.slot()) => {
            Some(DropReason::HalfOpenFull)
        }
        Upper::EchoReply => Some(DropReason::NoListener),
        Upper::Tcp(_) | Upper::Sctp(_) | Upper::Udp | Upper::EchoRequest => None,
    }
}

/// Answers that nobody serves and says what to count.
fn no_member<P: PacketPool>(
    shared: &mut Shared,
    taker: &Taker<'_>,
    buf: &P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    ctx: &mut Ctx<'_, P>,
) -> DropReason {
    let slot = taker.listener_slot();
    if let Some(usage) = slot.and_then(|slot| shared.usages.listeners.get_mut(slot)) {
        usage.no_member += 1;
    }
    if answer(shared, taker, buf, frame, upper, ctx) {
        DropReason::NoMember
    } else {
        DropReason::AnswerRate
    }
}

/// Refuses the first packet of a flow (crds.md §5.3, §13 behaviour 4); false if no more answers may
/// be sent now.
fn answer<P: PacketPool>(
    shared: &mut Shared,
    taker: &Taker<'_>,
    buf: &P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    ctx: &mut Ctx<'_, P>,
) -> bool {
    if !shared.may_answer(taker.listener_slot(), ctx.now) {
        return false;
    }
    match upper {
        Upper::Tcp(segment) => {
            if let Some(between) = Between::back(frame, ctx) {
                refuse_segment(&between, segment, ctx);
            }
        }
        Upper::Sctp(packet) => {
            if let Some(between) = Between::back(frame, ctx) {
                abort(&between, packet.initiate, false, ctx);
            }
        }
        Upper::Udp => ctx.icmp_error(buf, frame, IcmpError::PortUnreachable),
        // No port was asked for.
        Upper::EchoRequest | Upper::EchoReply => {}
    }
    true
}

/// Makes the session and gives its slot.
fn begin<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    taker: &Taker<'_>,
    buf: &P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    ctx: &mut Ctx<'_, P>,
) -> Result<u32, DropReason> {
    let forward = key_of::<A>(frame, upper, buf.data()).ok_or(DropReason::BadAddress)?;
    let hash = forward.hash(&shared.hasher).home();
    let course = match taker {
        Taker::Listener(listener) => to_member(shared, listener, frame, hash, ctx)?,
        Taker::Egress(_) => Course {
            destination: frame.dst,
            port: forward.destination_port(),
            way: ctx.adjacency_towards(frame.dst, hash)?,
            member: NO_MEMBER,
        },
    };
    let back = ctx.adjacency_back(frame)?;
    let zone = ctx.net.adjacency(course.way).vlan;
    let source = match taker.snat() {
        Snat::None => frame.src,
        Snat::Automap => ctx.self_ip(zone, A::IS_V6).ok_or(DropReason::NoSelfIp)?,
    };
    let addresses = A::from_ips(course.destination, source).ok_or(DropReason::NoMember)?;
    let reply = Key {
        addresses,
        ports: join_ports(course.port, forward.source_port()),
        zone: zone.0,
        protocol: frame.protocol,
    };
    let wanted = forward.source_port();
    let is_reserved = |ends: &Ends| ctx.probes.is_taken(ends);
    let reply = snat::choose(table, shared, ctx.config, reply, wanted, course.port, is_reserved)
        .ok_or(DropReason::SnatExhausted)?;
    let now = Ticks::at(ctx.now);
    let mut hot = Hot {
        forward: forward.addresses,
        reply: reply.addresses,
        ports: [forward.ports, reply.ports],
        zone: [forward.zone, reply.zone],
        protocol: frame.protocol,
        last_seen: now,
        next_hop: [course.way.0, back.0],
        generation: ctx.config.generation() as u16,
        ..Hot::default()
    };
    hot.compute_deltas();
    hot.set(flag::NO_PSEUDO, frame.protocol == protocol::ICMP);
    let mut cold = Cold {
        owner: taker.slot(),
        member: course.member,
        kind: taker.kind(),
        epoch: ctx.config.generation(),
        since: now,
        ..Cold::default()
    };
    match upper {
        Upper::Tcp(segment) => tcp::Track::open(segment).store(&mut hot, &mut cold),
        Upper::Sctp(packet) => sctp::Track::open(packet).store(&mut hot, &mut cold),
        Upper::Udp => hot.set(flag::FAST, true),
        Upper::EchoRequest | Upper::EchoReply => {}
    }
    hot.set(flag::TELLS, taker.tells(frame.protocol));
    let session = table.insert(&shared.hasher, hot, cold).map_err(|error| match error {
        InsertError::Full => DropReason::FlowTableFull,
        // The forward key was just missed and the reply key just found free: they are one key, a
        // packet to its own sender.
        InsertError::Taken => DropReason::BadAddress,
    })?;
    if matches!(upper, Upper::Sctp(_)) {
        shared.half_open.begin(&cold);
    }
    ctx.net.retain(course.way);
    ctx.net.retain(back);
    shared.count_begin(&cold);
    sweep::arm(table, session, ctx.config, now);
    Ok(session)
}

fn to_member<P: PacketPool>(
    shared: &mut Shared,
    listener: &Listener,
    frame: &IpFrame,
    hash: u32,
    ctx: &mut Ctx<'_, P>,
) -> Result<Course, DropReason> {
    let pool = &*listener.pool;
    let picker = shared.pickers.get_mut(listener.slot.0 as usize).ok_or(DropReason::NoMember)?;
    let members = &shared.usages.members;
    let open = |slot: MemberSlot| members.get(slot.0 as usize).map_or(0, |usage| usage.current);
    let tuple = || {
        Maglev::hash_tuple(
            pool.hash_key,
            frame.src,
            frame.dst,
            frame.src_port,
            frame.dst_port,
            frame.protocol,
        )
    };
    let index = picker.pick(pool, tuple, open).ok_or(DropReason::NoMember)?;
    let member = pool.members.get(index).ok_or(DropReason::NoMember)?;
    Ok(Course {
        destination: member.address,
        port: if member.port == 0 { frame.dst_port } else { member.port },
        way: ctx.adjacency_towards(member.address, hash)?,
        member: member.slot.0,
    })
}

impl Taker<'_> {
    const fn slot(&self) -> u32 {
        match self {
            Self::Listener(listener) => listener.slot.0,
            Self::Egress(egress) => egress.slot.0,
        }
    }

    const fn listener_slot(&self) -> Option<usize> {
        match self {
            Self::Listener(listener) => Some(listener.slot.0 as usize),
            Self::Egress(_) => None,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Listener(_) => Kind::Listener,
            Self::Egress(_) => Kind::Egress,
        }
    }

    const fn snat(&self) -> Snat {
        match self {
            Self::Listener(listener) => listener.snat,
            Self::Egress(egress) => egress.snat,
        }
    }

    fn tells(&self, number: u8) -> bool {
        match self {
            Self::Listener(listener) => revise::tells(number, listener),
            // An egress has no tcpResetOnIdle.
            Self::Egress(_) => number == protocol::SCTP,
        }
    }
}

/// A flow of an egress has no member, and neither has one whose member went.
pub const NO_MEMBER: u32 = u32::MAX;
