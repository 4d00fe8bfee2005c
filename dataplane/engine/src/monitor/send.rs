//! Sends probes and what closes them.
//!
//! From the self IP of the VLAN towards the member, which the route decides.

use std::net::IpAddr;

use tmm_config::spec::{MonitorKind, MonitorSpec};
use tmm_wire::build::{self, Envelope, SctpEnds, SctpInit, Segment};
use tmm_wire::icmp::Echo;
use tmm_wire::tcp::TcpFlags;
use tmm_wire::{PacketBuf, PacketPool};

use super::answer::ProbeKey;
use super::probe::Pending;
use crate::adjacency::AdjacencyId;
use crate::ctx::Ctx;
use crate::frame::IpFrame;

/// The way to a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Our address there.
    pub source: IpAddr,
    /// How to leave.
    pub adjacency: AdjacencyId,
}

/// The way to `member` by route, or none.
pub(crate) fn way<P: PacketPool>(ctx: &mut Ctx<'_, P>, member: IpAddr) -> Option<Way> {
    let adjacency = ctx.adjacency_towards(member, 0).ok()?;
    let vlan = ctx.net.adjacencies().key(adjacency)?.vlan();
    let source = ctx.self_ip(vlan, member.is_ipv6())?;
    Some(Way { source, adjacency })
}

/// Sends one probe; whether a packet was made.
pub(crate) fn probe<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    way: Way,
    key: &ProbeKey,
    pending: &Pending,
    spec: &MonitorSpec,
) -> bool {
    let envelope = Envelope::new(way.source, key.member);
    let ends = (pending.port, key.member_port);
    let token = pending.token;
    let made =
        ctx.originate_ip(key.member.is_ipv6(), ROOM + spec.send.len(), |out| match spec.kind {
            MonitorKind::Icmp => {
                let sequence = (token & 0xffff) as u16;
                build::echo(out, &envelope, Echo::Request, pending.port, sequence, ECHO_DATA)
            }
            MonitorKind::Tcp => {
                let syn = Segment {
                    source_port: ends.0,
                    destination_port: ends.1,
                    sequence: token,
                    flags: TcpFlags::SYN,
                    window: WINDOW,
                    mss: Some(MSS),
                    ..Segment::default()
                };
                build::tcp(out, &envelope, &syn)
            }
            MonitorKind::Udp => build::udp(out, &envelope, ends, &spec.send),
            MonitorKind::Sctp => {
                let ends = SctpEnds { source_port: ends.0, destination_port: ends.1, tag: 0 };
                let init = SctpInit {
                    initiate_tag: token,
                    receiver_window: SCTP_WINDOW,
                    streams: 1,
                    initial_tsn: token,
                };
                build::sctp_init(out, &envelope, &ends, &init)
            }
        });
    let is_made = made.is_some();
    if let Some(buf) = made {
        ctx.transmit(buf, way.adjacency);
    }
    is_made
}

/// Completes the handshake that `frame` accepted and ends the connection: ACK, then RST.
pub(crate) fn close_tcp<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    frame: &IpFrame,
    token: u32,
    sequence: u32,
) {
    let Ok(adjacency) = ctx.adjacency_back(frame) else { return };
    let envelope = Envelope::new(frame.dst, frame.src);
    for flags in [TcpFlags::ACK, TcpFlags::RST.with(TcpFlags::ACK)] {
        let segment = Segment {
            source_port: frame.dst_port,
            destination_port: frame.src_port,
            sequence: token.wrapping_add(1),
            acknowledgement: sequence.wrapping_add(1),
            flags,
            window: WINDOW,
            mss: None,
        };
        let made =
            ctx.originate_ip(frame.is_v6(), ROOM, |out| build::tcp(out, &envelope, &segment));
        if let Some(buf) = made {
            ctx.transmit(buf, adjacency);
        }
    }
}

/// Aborts the association whose INIT ACK is `frame`.
pub(crate) fn close_sctp<P: PacketPool>(ctx: &mut Ctx<'_, P>, frame: &IpFrame, tag: u32) {
    let Ok(adjacency) = ctx.adjacency_back(frame) else { return };
    let envelope = Envelope::new(frame.dst, frame.src);
    let ends = SctpEnds { source_port: frame.dst_port, destination_port: frame.src_port, tag };
    let made = ctx
        .originate_ip(frame.is_v6(), ROOM, |out| build::sctp_abort(out, &envelope, &ends, false));
    if let Some(buf) = made {
        ctx.transmit(buf, adjacency);
    }
}

/// Whether the UDP answer in `buf` contains `wanted`.
pub(crate) fn contains<B: PacketBuf>(buf: &B, frame: &IpFrame, wanted: &[u8]) -> bool {
    let payload = frame.payload(buf.data()).get(UDP_HEADER..).unwrap_or_default();
    wanted.is_empty() || payload.windows(wanted.len()).any(|part| part == wanted)
}

const UDP_HEADER: usize = 8;
/// Headers of the longest probe: IPv6, SCTP with INIT.
const ROOM: usize = 40 + 12 + 20 + 16;
const WINDOW: u16 = 1460;
const MSS: u16 = 1220;
const SCTP_WINDOW: u32 = 65_536;
const ECHO_DATA: &[u8] = b"spk health probe";
