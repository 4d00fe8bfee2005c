//! Packets that flows make themselves: TCP resets and SCTP aborts.
//!
//! Sources: RFC 9293 §3.5.2, §3.10.7; RFC 9260 §3.3.7, §8.4, §8.5.1; crds.md §5.3, §5.4, §6.

use std::net::IpAddr;

use tmm_wire::PacketPool;
use tmm_wire::build::{self, Envelope, SctpEnds};
use tmm_wire::tcp::TcpFlags;

use super::sctp;
use super::session::{Addresses, Cold, Hot};
use super::tcp::{self, Segment, bits};
use crate::adjacency::AdjacencyId;
use crate::ctx::Ctx;
use crate::frame::{IpFrame, protocol};

/// Who a packet goes to and who it says it is from.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    /// Source address and port.
    pub from: (IpAddr, u16),
    /// Destination address and port.
    pub to: (IpAddr, u16),
    /// The way out.
    pub way: AdjacencyId,
}

impl Between {
    /// The way back to the sender of `frame`, from the address it asked; none if there is no way.
    pub fn back<P: PacketPool>(frame: &IpFrame, ctx: &mut Ctx<'_, P>) -> Option<Self> {
        let way = ctx.adjacency_back(frame).ok()?;
        Some(Self { from: (frame.dst, frame.dst_port), to: (frame.src, frame.src_port), way })
    }

    /// Towards one end of a session: the one that opened it (0) or the other (1).
    fn towards<A: Addresses>(hot: &Hot<A>, side: usize) -> Self {
        let key = hot.key(side == 1);
        Self {
            from: (key.addresses.destination(), key.destination_port()),
            to: (key.addresses.source(), key.source_port()),
            way: AdjacencyId(hot.next_hop[1 - side]),
        }
    }
}

/// Sends a reset with `seq`, which acknowledges up to `ack` if there is one.
pub fn reset<P: PacketPool>(between: &Between, seq: u32, ack: Option<u32>, ctx: &mut Ctx<'_, P>) {
    let flags = if ack.is_some() { TcpFlags::RST.with(TcpFlags::ACK) } else { TcpFlags::RST };
    let segment = build::Segment {
        source_port: between.from.1,
        destination_port: between.to.1,
        sequence: seq,
        acknowledgement: ack.unwrap_or(0),
        flags,
        window: 0,
        mss: None,
    };
    let envelope = Envelope::new(between.from.0, between.to.0);
    let made =
        ctx.originate_ip(between.to.0.is_ipv6(), ROOM, |out| build::tcp(out, &envelope, &segment));
    if let Some(made) = made {
        ctx.transmit(made, between.way);
    }
}

/// Answers a segment that belongs to no connection (RFC 9293 §3.10.7.1).
pub fn refuse_segment<P: PacketPool>(between: &Between, segment: &Segment, ctx: &mut Ctx<'_, P>) {
    if segment.has(bits::ACK) {
        reset(between, segment.ack, None, ctx);
    } else {
        reset(between, 0, Some(segment.next_seq()), ctx);
    }
}

/// Sends ABORT with `tag`; `reflected` if it is the tag of our own side (RFC 9260 §8.5.1 (B)).
pub fn abort<P: PacketPool>(between: &Between, tag: u32, reflected: bool, ctx: &mut Ctx<'_, P>) {
    let ends = SctpEnds { source_port: between.from.1, destination_port: between.to.1, tag };
    let envelope = Envelope::new(between.from.0, between.to.0);
    let made = ctx.originate_ip(between.to.0.is_ipv6(), ROOM, |out| {
        build::sctp_abort(out, &envelope, &ends, reflected)
    });
    if let Some(made) = made {
        ctx.transmit(made, between.way);
    }
}

/// Tells both ends of a session that it is over: TCP by a reset that each end accepts, SCTP by
/// ABORT, UDP and ICMP not at all.
pub fn tell_both<A: Addresses, P: PacketPool>(hot: &Hot<A>, cold: &Cold, ctx: &mut Ctx<'_, P>) {
    for side in [0, 1] {
        let between = Between::towards(hot, side);
        let vlan = ctx.config.vlan(ctx.net.adjacency(between.way).vlan);
        if vlan.is_some_and(|vlan| vlan.since > cold.epoch) {
            // Its VLAN went and another has the slot: whoever is there is not that end.
            continue;
        }
        match hot.protocol {
            protocol::TCP => {
                let acks = tcp::Track::load(hot, cold).acks;
                reset(&between, acks[side], Some(acks[1 - side]), ctx);
            }
            protocol::SCTP => {
                if let Some(tag) = sctp::Track::load(hot, cold).tag_towards(side) {
                    abort(&between, tag, false, ctx);
                }
            }
            _ => {}
        }
    }
}

/// Room for any packet made here: IPv6 header and 20 bytes.
const ROOM: usize = 60;
