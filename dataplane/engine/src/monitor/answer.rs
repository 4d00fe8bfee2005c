//! What a packet says to a probe: which probe, and whether it is success.
//!
//! Source: crds.md §3.4.3 rule 2; RFC 9293 §3.5, RFC 9260 §5.1, RFC 792, RFC 4443.

use std::net::IpAddr;

use tmm_config::spec::MonitorKind;
use tmm_wire::icmp::IcmpHeader;
use tmm_wire::ipv4::Ipv4Header;
use tmm_wire::ipv6::{self, Ipv6Header};
use tmm_wire::sctp::{ChunkKind, SctpPacket};
use tmm_wire::tcp::{TcpFlags, TcpHeader};
use tmm_wire::{Header, ip};

use crate::frame::{IpFrame, protocol};

/// The probe that an answer belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ProbeKey {
    /// How it was sent.
    pub kind: MonitorKind,
    /// The member's address.
    pub member: IpAddr,
    /// Its probed port; 0 for icmp.
    pub member_port: u16,
    /// Our port or echo identifier.
    pub port: u16,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// SYN ACK: its sequence number, to be acknowledged and reset.
    Accepted {
        /// Sequence number of the member.
        sequence: u32,
    },
    /// INIT ACK: the member's tag, to be aborted.
    InitAck {
        /// Tag that the member chose.
        tag: u32,
    },
    /// An echo reply or a datagram.
    Answered,
    /// RST, ABORT or unreachable.
    Refused,
}

/// Reads the answer in `frame`, whose first segment is `data`: the probe it would belong to, the
/// token it shows and what it says. None if it can be no answer to a probe.
pub(crate) fn read(frame: &IpFrame, data: &[u8]) -> Option<(ProbeKey, u32, Answer)> {
    let payload = frame.payload(data);
    let key = |kind, member_port, port| ProbeKey { kind, member: frame.src, member_port, port };
    match frame.protocol {
        protocol::TCP => {
            let (tcp, _) = TcpHeader::split(payload).ok()?;
            let key = key(MonitorKind::Tcp, frame.src_port, frame.dst_port);
            let token = tcp.acknowledgement.get().wrapping_sub(1);
            if tcp.flags.contains(TcpFlags::RST) {
                return Some((key, token, Answer::Refused));
            }
            let is_accepting = tcp.flags.contains(TcpFlags::SYN.with(TcpFlags::ACK));
            let sequence = tcp.sequence.get();
            is_accepting.then_some((key, token, Answer::Accepted { sequence }))
        }
        protocol::UDP => {
            Some((key(MonitorKind::Udp, frame.src_port, frame.dst_port), 0, Answer::Answered))
        }
        protocol::SCTP => {
            let packet = SctpPacket::parse(payload).ok()?;
            let chunk = packet.first().ok()?;
            let key = key(MonitorKind::Sctp, frame.src_port, frame.dst_port);
            let token = packet.header.verification_tag.get();
            match chunk.kind {
                ChunkKind::InitAck => {
                    let tag = chunk.init().ok()?.initiate_tag;
                    Some((key, token, Answer::InitAck { tag }))
                }
                ChunkKind::Abort => Some((key, token, Answer::Refused)),
                _ => None,
            }
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let (message, rest) = IcmpHeader::split(payload).ok()?;
            match crate::icmp::kind(frame, data) {
                crate::icmp::Kind::EchoReply => {
                    let key = key(MonitorKind::Icmp, 0, message.id.get());
                    Some((key, u32::from(message.sequence.get()), Answer::Answered))
                }
                crate::icmp::Kind::Error => refused(rest, frame.is_v6()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The probe that an ICMP error quotes.
fn refused(quoted: &[u8], is_v6: bool) -> Option<(ProbeKey, u32, Answer)> {
    let (number, member, upper) = if is_v6 {
        let (header, rest) = Ipv6Header::split(quoted).ok()?;
        let upper = ipv6::walk(header.next_header, rest).ok()?;
        (upper.protocol, IpAddr::V6(header.destination()), rest.get(upper.offset..)?)
    } else {
        let (header, _) = Ipv4Header::split(quoted).ok()?;
        let upper = quoted.get(header.header_len()..)?;
        (header.protocol, IpAddr::V4(header.destination()), upper)
    };
    let [a, b, c, d, e, f, g, h] = *upper.first_chunk::<8>()?;
    let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (third, fourth) = (u16::from_be_bytes([e, f]), u16::from_be_bytes([g, h]));
    let long = u32::from_be_bytes([e, f, g, h]);
    // The eight bytes that every error quotes hold our port, and for TCP the sequence number. An
    // INIT has no tag of its own, so its ports must do.
    let (kind, member_port, port, token) = match number {
        ip::TCP => (MonitorKind::Tcp, second, first, long),
        ip::UDP => (MonitorKind::Udp, second, first, 0),
        ip::SCTP => (MonitorKind::Sctp, second, first, ANY_TOKEN),
        ip::ICMP | ip::ICMPV6 => (MonitorKind::Icmp, 0, third, u32::from(fourth)),
        _ => return None,
    };
    Some((ProbeKey { kind, member, member_port, port }, token, Answer::Refused))
}

/// An answer that cannot show the token.
pub(crate) const ANY_TOKEN: u32 = 0;
