//! The slow way of one frame, in order: layer 2, ARP and ND, local services, gate, flows.
//!
//! Takes frames one by one; every path ends in one verdict. The hit path of flows treats only
//! frames for which none of these stages would decide otherwise, but for the three differences that
//! `flows::fast` lists.
//!
//! Sources: architecture.md §3; licensing.md §12.1 (LIC-802, LIC-803); crds.md §14, §5.9.

use std::net::{IpAddr, Ipv6Addr};

use tmm_config::config::Vlan;
use tmm_wire::build::IcmpError;
use tmm_wire::{LinkLayer, MacAddr, PacketBuf, PacketPool, ParseError, PortId, ethernet};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::flows::Flows;
use crate::frame::{Fragment, IpFrame, protocol};
use crate::monitor::Monitors;
use crate::{arp, icmp, local, nd};

/// Decides one frame that came by `port`.
pub(crate) fn decide<P: PacketPool>(
    buf: P::Buf,
    port: PortId,
    open: bool,
    flows: &mut Flows,
    monitors: &mut Monitors,
    ctx: &mut Ctx<'_, P>,
) {
    let ether = match LinkLayer::parse(buf.data(), buf.stripped_vlan()) {
        Ok(ether) => ether,
        // Two tags, or the reserved one.
        Err(ParseError::VlanNested) => return ctx.drop(buf, DropReason::VlanUnknown),
        Err(_) => return ctx.drop(buf, DropReason::FrameTooShort),
    };
    if ether.source.is_group() || ether.source == MacAddr::default() {
        return ctx.drop(buf, DropReason::BadSourceMac);
    }
    let config = ctx.config;
    let Some(vlan) = config.vlan_at(port, ether.vlan) else {
        return ctx.drop(buf, DropReason::VlanUnknown);
    };
    // A handed frame was counted by the worker that received it.
    if !ctx.is_handed {
        ctx.counters.vlan_received(vlan.slot, buf.packet_len());
    }
    if let Err(reason) = is_for_us(ctx, vlan, ether.destination) {
        return ctx.drop(buf, reason);
    }
    match ether.ethertype {
        ethernet::ARP => arp::receive(ctx, buf, &ether, vlan),
        ethernet::IPV4 | ethernet::IPV6 => {
            match IpFrame::parse(buf.data(), buf.packet_len(), &ether, port, vlan.slot) {
                Ok(frame) => decide_ip(buf, &frame, vlan, open, flows, monitors, ctx),
                Err(reason) => ctx.drop(buf, reason),
            }
        }
        _ => ctx.drop(buf, DropReason::EthertypeUnknown),
    }
}

fn decide_ip<P: PacketPool>(
    mut buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
    open: bool,
    flows: &mut Flows,
    monitors: &mut Monitors,
    ctx: &mut Ctx<'_, P>,
) {
    cut_padding(&mut buf, frame);
    if nd::is_nd(frame, buf.data()) {
        return nd::receive(ctx, buf, frame, vlan);
    }
    if is_group(frame.dst, vlan) || !frame.unicast {
        return ctx.drop(buf, DropReason::MulticastIgnored);
    }
    // What says to come from ourselves does not (RFC 1812 §5.3.8).
    let is_nobody = frame.src == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    if is_nobody || ctx.config.self_ip(frame.src).is_some() {
        return ctx.drop(buf, DropReason::BadAddress);
    }
    if ctx.config.self_ip(frame.dst).is_some() {
        return local::receive(buf, frame, open, flows, monitors, ctx);
    }
    let kind = icmp::kind(frame, buf.data());
    if !open {
        return ctx.drop(buf, DropReason::LicenseClosed);
    }
    if frame.fragment != Fragment::None {
        return ctx.drop(buf, DropReason::FragmentUnsupported);
    }
    if kind == icmp::Kind::EchoRequest && ctx.config.is_any_vip(frame.dst) {
        if ctx.config.is_vip(frame.dst, frame.vlan) {
            return icmp::answer_echo(buf, frame, ctx);
        }
        return ctx.drop(buf, DropReason::VlanDeny);
    }
    match kind {
        icmp::Kind::Error => return ctx.drop(buf, DropReason::IcmpErrorUnsupported),
        icmp::Kind::Other => return ctx.drop(buf, DropReason::IcmpUnsupported),
        icmp::Kind::NoIcmp if !is_forwarded(frame.protocol) => {
            return ctx.drop(buf, DropReason::ProtocolUnsupported);
        }
        icmp::Kind::NoIcmp | icmp::Kind::EchoRequest | icmp::Kind::EchoReply => {}
    }
    if frame.ttl <= 1 {
        ctx.icmp_error(&buf, frame, IcmpError::TimeExceeded);
        return ctx.drop(buf, DropReason::TtlExpired);
    }
    flows.admit(buf, frame, ctx);
}

/// Whether the protocol is one that flows balance or translate.
const fn is_forwarded(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP)
}

/// Checks the destination MAC: the port's own, broadcast, or an IPv6 group that we listen to.
fn is_for_us<P: PacketPool>(ctx: &Ctx<'_, P>, vlan: &Vlan, mac: MacAddr) -> Result<(), DropReason> {
    if mac == ctx.net.mac(vlan.port) || mac == MacAddr::BROADCAST {
        return Ok(());
    }
    match mac.0 {
        // All nodes, and solicited-node groups (RFC 2464 §7); ND compares the address itself.
        [0x33, 0x33, 0, 0, 0, 1] | [0x33, 0x33, 0xff, ..] => Ok(()),
        _ if mac.is_group() => Err(DropReason::MulticastIgnored),
        _ => Err(DropReason::NotForUsMac),
    }
}

/// Whether `address` is a group or the broadcast of the VLAN's subnet.
fn is_group(address: IpAddr, vlan: &Vlan) -> bool {
    match address {
        IpAddr::V6(address) => address.is_multicast(),
        IpAddr::V4(address) => {
            let of_subnet = vlan.self_v4.is_some_and(|(own, prefix)| {
                let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                prefix < 31 && own.to_bits() | host == address.to_bits()
            });
            address.is_multicast() || address.is_broadcast() || of_subnet
        }
    }
}

/// Removes what short frames are filled up with behind the IP packet.
fn cut_padding<B: PacketBuf>(buf: &mut B, frame: &IpFrame) {
    let end = usize::from(frame.l3) + usize::from(frame.ip_len);
    if let Some(padding) = buf.packet_len().checked_sub(end).filter(|n| *n > 0) {
        // A chained packet keeps its padding; no header lies behind it.
        let _ = buf.trim_back(padding);
    }
}
