//! The closer look at one packet: of a known flow, or the first of one.
//!
//! Known flows advance their trackers here; what they need of the configuration is compared first.
//! A packet without a flow goes to `open`. Every path gives one verdict.
//!
//! Sources: architecture.md §3; crds.md §5.4, §5.7, §6, §7, §10.

use tmm_config::config::VlanSlot;
use tmm_wire::build::IcmpError;
use tmm_wire::{PacketBuf, PacketPool, Protocol};

use super::forward::{crc_of, follow_last_hop, forward};
use super::index::Entry;
use super::owner::{Ends, is_plain_member, owner, second_owner};
use super::rewrite::WriteNetwork;
use super::sctp;
use super::session::{Key, Ticks, flag, join_ports};
use super::table::Table;
use super::tcp::{self, Segment};
use super::{Flows, Shared, end, open, revise, sweep};
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{IpFrame, protocol};
use crate::icmp;

/// What the trackers need of a packet; read once.
#[derive(Clone, Copy, Debug)]
pub enum Upper {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp,
    /// An SCTP packet whose CRC32c is right.
    Sctp(sctp::Packet),
    /// An ICMP or ICMPv6 echo request.
    EchoRequest,
    /// An ICMP or ICMPv6 echo reply.
    EchoReply,
}

/// Why a packet has no flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Miss {
    /// There is none.
    Unknown,
    /// Its flow just gave its member up and the packet goes to another one.
    Reselect,
}

impl Upper {
    /// Whether the packet may begin a flow.
    fn opens(&self) -> bool {
        match self {
            Self::Tcp(segment) => segment.is_opening(),
            Self::Sctp(packet) => packet.is_opening(),
            Self::Udp | Self::EchoRequest => true,
            Self::EchoReply => false,
        }
    }
}

impl Flows {
    /// Decides one packet that no local service takes: forwards it along its flow, opens a flow for
    /// it, answers or drops it. The gate was asked, TTL checked, and fragments sorted out before.
    pub fn admit<P: PacketPool>(&mut self, buf: P::Buf, frame: &IpFrame, ctx: &mut Ctx<'_, P>) {
        self.shared.follow(ctx.config, ctx.now);
        let upper = match read(&buf, frame) {
            Ok(upper) => upper,
            Err(reason) => return ctx.drop(buf, reason),
        };
        let known = if frame.is_v6() {
            known(&mut self.v6, &mut self.shared, buf, frame, &upper, None, ctx)
        } else {
            known(&mut self.v4, &mut self.shared, buf, frame, &upper, None, ctx)
        };
        let Err((buf, miss)) = known else { return };
        let Err(buf) = hand(buf, frame, &upper, ctx) else { return };
        let strays = if frame.is_v6() {
            strays(&self.v6, &self.shared, &buf, frame, &upper, ctx)
        } else {
            strays(&self.v4, &self.shared, &buf, frame, &upper, ctx)
        };
        if strays {
            return ctx.drop(buf, DropReason::ReplyVlan);
        }
        let Err(buf) = hand_on(buf, frame, &upper, miss, ctx) else { return };
        if frame.is_v6() {
            open::open(&mut self.v6, &mut self.shared, buf, frame, &upper, miss, ctx);
        } else {
            open::open(&mut self.v4, &mut self.shared, buf, frame, &upper, miss, ctx);
        }
    }

    /// Forwards a packet to a self IP along the flow it belongs to, hands it to its owner, drops it
    /// if no flow may carry it, or gives it back. A reply may come by any VLAN: who is asked from an
    /// own address may have another way to it.
    ///
    /// # Errors
    ///
    /// The packet, unchanged, if no flow has it.
    pub fn admit_known<P: PacketPool>(
        &mut self,
        buf: P::Buf,
        frame: &IpFrame,
        ctx: &mut Ctx<'_, P>,
    ) -> Result<(), P::Buf> {
        self.shared.follow(ctx.config, ctx.now);
        let upper = match read(&buf, frame) {
            Ok(upper) => upper,
            Err(reason) => {
                ctx.drop(buf, reason);
                return Ok(());
            }
        };
        let own = ctx.config.self_ip(frame.dst).filter(|own| *own != frame.vlan);
        let known = if frame.is_v6() {
            known(&mut self.v6, &mut self.shared, buf, frame, &upper, own, ctx)
        } else {
            known(&mut self.v4, &mut self.shared, buf, frame, &upper, own, ctx)
        };
        known.or_else(|(buf, _)| hand(buf, frame, &upper, ctx))
    }
}

/// Hands a packet without a flow to the worker that owns it, or gives it back if that is this one.
fn hand<P: PacketPool>(
    buf: P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    ctx: &mut Ctx<'_, P>,
) -> Result<(), P::Buf> {
    if !ctx.may_hand() {
        return Err(buf);
    }
    let owner = owner(ctx.config, &ends_of(frame, upper, buf.data()), ctx.workers);
    hand_to(buf, frame, owner, ctx)
}

/// Hands a packet that its owner has no flow of to the worker that may have it, or gives it back if
/// that is this one. Who gets it there is not its owner, so it goes no further.
fn hand_on<P: PacketPool>(
    buf: P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    miss: Miss,
    ctx: &mut Ctx<'_, P>,
) -> Result<(), P::Buf> {
    if ctx.workers <= 1 || miss == Miss::Reselect {
        return Err(buf);
    }
    let ends = ends_of(frame, upper, buf.data());
    let opens = upper.opens() && is_listened_to(frame, ctx);
    let second = second_owner(ctx.config, &ends, ctx.workers, opens);
    match second.filter(|_| owner(ctx.config, &ends, ctx.workers) == ctx.worker) {
        Some(second) => hand_to(buf, frame, second, ctx),
        None => Err(buf),
    }
}

fn hand_to<P: PacketPool>(
    buf: P::Buf,
    frame: &IpFrame,
    worker: u16,
    ctx: &mut Ctx<'_, P>,
) -> Result<(), P::Buf> {
    if worker == ctx.worker {
        return Err(buf);
    }
    ctx.hand(buf, frame.port, worker);
    Ok(())
}

/// Whether a listener takes packets like `frame`.
fn is_listened_to<P: PacketPool>(frame: &IpFrame, ctx: &Ctx<'_, P>) -> bool {
    Protocol::from_number(frame.protocol).is_some_and(|protocol| {
        ctx.config.match_listener(protocol, frame.dst, frame.dst_port, frame.vlan).is_ok()
    })
}

fn ends_of(frame: &IpFrame, upper: &Upper, data: &[u8]) -> Ends {
    let (source_port, destination_port) = ports_of(frame, upper, data);
    Ends {
        protocol: frame.protocol,
        source: (frame.src, source_port),
        destination: (frame.dst, destination_port),
    }
}

/// Whether a packet without a flow is the reply of a flow without translation and came by another
/// VLAN than that one's: it may neither open a flow of its own nor be answered in its receiver's name.
fn strays<A: WriteNetwork, P: PacketPool>(
    table: &Table<A>,
    shared: &Shared,
    buf: &P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    ctx: &Ctx<'_, P>,
) -> bool {
    let ends = ends_of(frame, upper, buf.data());
    if !is_plain_member(ctx.config, ends.protocol, ends.source) {
        return false;
    }
    let Ok((vlan, _)) = ctx.net.route(ctx.config, frame.src, 0) else { return false };
    let Some(key) = key_of::<A>(frame, upper, buf.data()) else { return false };
    let key = Key { zone: vlan.0, ..key };
    vlan != frame.vlan && table.find(&shared.hasher, &key).is_some_and(Entry::is_reply)
}

/// Reads what trackers need, and refuses what no flow may carry.
fn read<B: PacketBuf>(buf: &B, frame: &IpFrame) -> Result<Upper, DropReason> {
    let payload = frame.payload(buf.data());
    match frame.protocol {
        protocol::TCP => {
            let segment =
                Segment::read(payload, frame.payload_len()).ok_or(DropReason::BadL4Header)?;
            if segment.is_nonsense() {
                return Err(DropReason::TcpBadFlags);
            }
            Ok(Upper::Tcp(segment))
        }
        protocol::UDP => match *payload {
            [_, _, _, _, _, _, 0, 0, ..] if frame.is_v6() => Err(DropReason::UdpZeroChecksum),
            _ => Ok(Upper::Udp),
        },
        protocol::SCTP => {
            if crc_of(buf, frame).as_ref() != payload.get(8..12).unwrap_or_default() {
                return Err(DropReason::SctpBadCrc);
            }
            sctp::Packet::read(payload).map(Upper::Sctp).ok_or(DropReason::BadL4Header)
        }
        protocol::ICMP | protocol::ICMPV6 => match icmp::kind(frame, buf.data()) {
            icmp::Kind::EchoRequest => Ok(Upper::EchoRequest),
            icmp::Kind::EchoReply => Ok(Upper::EchoReply),
            icmp::Kind::Error => Err(DropReason::IcmpErrorUnsupported),
            icmp::Kind::NoIcmp | icmp::Kind::Other => Err(DropReason::IcmpUnsupported),
        },
        _ => Err(DropReason::ProtocolUnsupported),
    }
}

/// Source and destination port as flows are looked up by; an echo has its identifier on the side
/// that asks, and 0.
fn ports_of(frame: &IpFrame, upper: &Upper, data: &[u8]) -> (u16, u16) {
    let identifier = || match *frame.payload(data) {
        [_, _, _, _, high, low, ..] => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    match upper {
        Upper::EchoRequest => (identifier(), 0),
        Upper::EchoReply => (0, identifier()),
        Upper::Tcp(_) | Upper::Udp | Upper::Sctp(_) => (frame.src_port, frame.dst_port),
    }
}

/// The key that `frame` is looked up by.
pub fn key_of<A: WriteNetwork>(frame: &IpFrame, upper: &Upper, data: &[u8]) -> Option<Key<A>> {
    let (source_port, destination_port) = ports_of(frame, upper, data);
    Some(Key {
        addresses: A::from_ips(frame.src, frame.dst)?,
        ports: join_ports(source_port, destination_port),
        zone: frame.vlan.0,
        protocol: frame.protocol,
    })
}

/// Forwards a packet along its flow, or gives it back if it has none. `own`: the VLAN of its
/// destination, if that is an own address and it came by another.
fn known<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    buf: P::Buf,
    frame: &IpFrame,
    upper: &Upper,
    own: Option<VlanSlot>,
    ctx: &mut Ctx<'_, P>,
) -> Result<(), (P::Buf, Miss)> {
    let Some(key) = key_of::<A>(frame, upper, buf.data()) else {
        return Err((buf, Miss::Unknown));
    };
    let by_own = || {
        let key = Key { zone: own?.0, ..key };
        table.find(&shared.hasher, &key).filter(|entry| entry.is_reply())
    };
    let Some(entry) = table.find(&shared.hasher, &key).or_else(by_own) else {
        return Err((buf, Miss::Unknown));
    };
    let (session, reply) = (entry.session(), entry.is_reply());
    if table.hot(session).generation != ctx.config.generation() as u16 {
        match revise::revise(table, shared, session, ctx) {
            revise::Fate::Keep | revise::Fate::Block => {}
            revise::Fate::Removed => {
                let tells = table.hot(session).has(flag::TELLS);
                end::end(table, shared, session, tells, ctx);
                ctx.drop(buf, DropReason::ServiceDown);
                return Ok(());
            }
            revise::Fate::Reject => {
                end::end(table, shared, session, true, ctx);
                if matches!(upper, Upper::Udp) && !reply {
                    ctx.icmp_error(&buf, frame, IcmpError::PortUnreachable);
                }
                ctx.drop(buf, DropReason::ServiceDown);
                return Ok(());
            }
            revise::Fate::Reselect => {
                let opens = match upper {
                    Upper::Sctp(packet) => packet.is_opening(),
                    _ => true,
                };
                if reply {
                    ctx.drop(buf, DropReason::ServiceDown);
                    return Ok(());
                }
                end::end(table, shared, session, frame.protocol == protocol::SCTP, ctx);
                if opens {
                    return Err((buf, Miss::Reselect));
                }
                ctx.drop(buf, DropReason::ServiceDown);
                return Ok(());
            }
        }
    }
    if table.hot(session).has(flag::BLOCKED) {
        ctx.drop(buf, DropReason::ServiceDown);
        return Ok(());
    }
    match track(table, shared, session, reply, upper, ctx) {
        Tracked::Forward { alive, ends } => {
            if !reply {
                follow_last_hop(table, session, frame, ctx);
            }
            let stays = forward(table, shared, session, reply, buf, frame, alive, ctx);
            if stays && ends {
                end::end(table, shared, session, false, ctx);
            }
            Ok(())
        }
        Tracked::Reopen => {
            end::end(table, shared, session, false, ctx);
            Err((buf, Miss::Unknown))
        }
        Tracked::Drop(reason) => {
            ctx.drop(buf, reason);
            Ok(())
        }
    }
}

enum Tracked {
    Forward { alive: bool, ends: bool },
    Reopen,
    Drop(DropReason),
}

/// Advances the session's tracker.
fn track<A: WriteNetwork, P: PacketPool>(
    table: &mut Table<A>,
    shared: &mut Shared,
    session: u32,
    reply: bool,
    upper: &Upper,
    ctx: &Ctx<'_, P>,
) -> Tracked {
    let now = Ticks::at(ctx.now);
    let (hot, cold) = table.lines_mut(session);
    match upper {
        Upper::Tcp(segment) => {
            let mut track = tcp::Track::load(hot, cold);
            let step = track.step(usize::from(reply), segment);
            track.store(hot, cold);
            match step {
                tcp::Step::Stay => Tracked::Forward { alive: true, ends: false },
                tcp::Step::Changed => {
                    if track.state == tcp::State::Closed {
                        cold.since = now;
                    }
                    // What follows forward() sets last-seen; the new deadline counts from now.
                    hot.last_seen = now;
                    sweep::arm(table, session, ctx.config, now);
                    Tracked::Forward { alive: true, ends: false }
                }
                tcp::Step::End => Tracked::Forward { alive: true, ends: true },
                tcp::Step::Reopen => Tracked::Reopen,
            }
        }
        Upper::Sctp(packet) => {
            let mut track = sctp::Track::load(hot, cold);
            let step = track.step(usize::from(reply), packet);
            track.store(hot, cold);
            match step {
                sctp::Step::Forward { alive } => Tracked::Forward { alive, ends: false },
                sctp::Step::Established => {
                    shared.half_open.end(cold);
                    hot.last_seen = now;
                    sweep::arm(table, session, ctx.config, now);
                    Tracked::Forward { alive: true, ends: false }
                }
                sctp::Step::End => Tracked::Forward { alive: true, ends: true },
                sctp::Step::BadTag => Tracked::Drop(DropReason::SctpBadTag),
            }
        }
        Upper::Udp | Upper::EchoRequest | Upper::EchoReply => {
            Tracked::Forward { alive: true, ends: false }
        }
    }
}
