//! Neighbour discovery for IPv6: answers for our addresses, asks for others', learns.
//!
//! As `arp`, with the checks of RFC 4861 §7.1. Router messages and redirects are ignored and
//! counted: routes come from the configuration alone.
//!
//! Sources: RFC 4861 §4.3, §4.4, §7; RFC 4862 §5.4.3; RFC 4291 §2.7.1; crds.md §5.9, §14 rule 1.

use std::net::{IpAddr, Ipv6Addr};

use tmm_config::config::{Vlan, VlanSlot};
use tmm_wire::build::{self, BuildError, NdAnswer};
use tmm_wire::nd::{NdKind, NdMessage, solicited_node};
use tmm_wire::{MacAddr, PacketBuf, PacketPool, ethernet, icmp};

use crate::arp::is_ours;
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{Fragment, IpFrame};
use crate::icmp::is_checksum_right;
use crate::out::{NeighbourFact, Told};

/// Whether `frame` is a message of neighbour discovery or a redirect.
pub(crate) fn is_nd(frame: &IpFrame, data: &[u8]) -> bool {
    frame.is_v6()
        && frame.icmp_type(data).is_some_and(|(kind, _)| {
            matches!(kind, icmp::V6_ROUTER_SOLICITATION..=icmp::V6_REDIRECT)
        })
}

/// Takes one message of neighbour discovery that came from `vlan`.
pub(crate) fn receive<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
) {
    let is_router_message = frame.icmp_type(buf.data()).is_some_and(|(kind, _)| {
        !matches!(kind, icmp::V6_NEIGHBOUR_SOLICITATION | icmp::V6_NEIGHBOUR_ADVERTISEMENT)
    });
    if is_router_message {
        return ctx.drop(buf, DropReason::MulticastIgnored);
    }
    let Some(message) = read(&buf, frame) else {
        return ctx.drop(buf, DropReason::NdInvalid);
    };
    match message.kind {
        NdKind::Solicitation => solicited(ctx, buf, frame, vlan, &message),
        NdKind::Advertisement { .. } => advertised(ctx, buf, frame, vlan, &message),
    }
}

/// Asks for the MAC of `address` on `vlan`, its group or the station that had it.
pub(crate) fn ask<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    vlan: VlanSlot,
    address: Ipv6Addr,
    mac: Option<MacAddr>,
) {
    let config = ctx.config;
    let Some(vlan) = config.vlan(vlan) else { return };
    let Some((own, _)) = vlan.self_v6 else { return };
    let us = (ctx.net.mac(vlan.port), own);
    let to = mac.unwrap_or_else(|| ethernet::multicast_mac(solicited_node(address)));
    let asked = mac.map(|_| address);
    send(ctx, vlan, to, |out| build::neighbour_solicitation(out, us, address, asked));
}

/// Tells everyone on `vlan` that `address` is here (RFC 4861 §7.2.6).
pub(crate) fn announce<P: PacketPool>(ctx: &mut Ctx<'_, P>, vlan: &Vlan, address: Ipv6Addr) {
    let mac = ctx.net.mac(vlan.port);
    let to = ethernet::multicast_mac(ALL_NODES);
    send(ctx, vlan, to, |out| {
        build::neighbour_advertisement(out, address, address, mac, NdAnswer::Unsolicited)
    });
}

fn solicited<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
    message: &NdMessage,
) {
    let is_probe = frame.src == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let to_group = frame.dst == IpAddr::V6(solicited_node(message.target));
    if is_probe && (message.mac.is_some() || !to_group) || is_ours(ctx.config, frame.src, vlan.slot)
    {
        return ctx.drop(buf, DropReason::NdInvalid);
    }
    let for_us = is_ours(ctx.config, IpAddr::V6(message.target), vlan.slot);
    let sender = message.mac.unwrap_or(frame.src_mac);
    if !is_probe && message.mac.is_some() {
        let asks_us = for_us && is_connected(vlan, frame.src);
        let told = if asks_us { Told::Asked } else { Told::Mentioned };
        let fact = NeighbourFact { vlan: vlan.slot, address: frame.src, mac: sender, told };
        ctx.neighbour_told(fact);
    }
    ctx.consume(buf);
    let IpAddr::V6(asker) = frame.src else { return };
    if !for_us {
        return;
    }
    let (mac, target) = (ctx.net.mac(vlan.port), message.target);
    let to = if is_probe { ethernet::multicast_mac(ALL_NODES) } else { sender };
    send(ctx, vlan, to, |out| {
        build::neighbour_advertisement(out, target, target, mac, NdAnswer::To(asker))
    });
}

fn advertised<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
    message: &NdMessage,
) {
    let target = IpAddr::V6(message.target);
    let to_group = frame.dst.is_multicast();
    let NdKind::Advertisement { solicited, overriding, .. } = message.kind else {
        return ctx.drop(buf, DropReason::NdInvalid);
    };
    if is_ours(ctx.config, target, vlan.slot) || to_group && solicited {
        return ctx.drop(buf, DropReason::NdInvalid);
    }
    // An answer to a unicast solicitation may leave the option out (RFC 4861 §4.4).
    if let Some(mac) = message.mac.or((!to_group).then_some(frame.src_mac)) {
        let overrides = overriding && message.mac.is_some();
        let told =
            if solicited { Told::Answered { overrides } } else { Told::Announced { overrides } };
        ctx.neighbour_told(NeighbourFact { vlan: vlan.slot, address: target, mac, told });
    }
    ctx.consume(buf);
}

fn send<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    vlan: &Vlan,
    to: MacAddr,
    write: impl FnOnce(&mut [u8]) -> Result<usize, BuildError>,
) {
    if let Some(buf) = ctx.originate_ip(true, MESSAGE, write) {
        ctx.emit_to(buf, vlan, to);
    }
}

/// Whether `address` is in the VLAN's own subnet or link-local.
fn is_connected(vlan: &Vlan, address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let in_subnet = vlan.self_v6.is_some_and(|(own, prefix)| {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        own.to_bits() & mask == address.to_bits() & mask
    });
    in_subnet || address.is_unicast_link_local()
}

/// The message in `buf`, if it passes the checks of RFC 4861 §7.1.
fn read<B: PacketBuf>(buf: &B, frame: &IpFrame) -> Option<NdMessage> {
    let bytes = frame.payload(buf.data());
    let is_whole = frame.fragment == Fragment::None && bytes.len() == frame.payload_len();
    if !is_whole || !is_checksum_right(buf, frame) {
        return None;
    }
    let message = NdMessage::parse(bytes, frame.ttl).ok()?;
    (!message.mac.is_some_and(MacAddr::is_group)).then_some(message)
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// IPv6 header, message, one link-layer option.
const MESSAGE: usize = 40 + 24 + 8;
