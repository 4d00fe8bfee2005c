//! Neighbour discovery for IPv6: answers for our addresses, asks for others', learns.
//!
//! As `arp`, with the checks of RFC 4861 §7.1. Router messages and redirects are ignored and
//! counted: routes come from the configuration alone.
//!
//! Sources: RFC 4861 §4.3, §4.4, §7; RFC 4862 §5.4.3; RFC 4291 §2.7.1; crds.md §5.9, §14 rule 1.

use std::net::{IpAddr, Ipv6Addr};

use tmm_config::config::{Vlan, VlanSlot};
use tmm_wire::{MacAddr, PacketBuf, PacketPool};

use crate::arp::is_ours;
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::{Fragment, IpFrame, protocol};
use crate::icmp::is_checksum_right;
use crate::originate::IpHeader;
use crate::out::NeighbourFact;

/// Whether `frame` is a message of neighbour discovery or a redirect.
pub(crate) fn is_nd(frame: &IpFrame, data: &[u8]) -> bool {
    frame.is_v6()
        && frame.icmp_type(data).is_some_and(|(kind, _)| matches!(kind, ROUTER_SOLICIT..=REDIRECT))
}

/// Takes one message of neighbour discovery that came from `vlan`.
pub(crate) fn receive<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
) {
    let Some(message) = Message::parse(&buf, frame) else {
        return ctx.drop(buf, DropReason::NdInvalid);
    };
    match message.kind {
        SOLICIT => solicited(ctx, buf, frame, vlan, &message),
        ADVERTISE => advertised(ctx, buf, frame, vlan, &message),
        _ => ctx.drop(buf, DropReason::MulticastIgnored),
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
    let group = solicited_node(address);
    let (dst, to) = mac.map_or((group, group_mac(group)), |mac| (address, mac));
    let solicitation = Outgoing { kind: SOLICIT, flags: 0, target: address, option: SOURCE_MAC };
    send(ctx, vlan, &solicitation, (own, dst), to);
}

/// Tells everyone on `vlan` that `address` is here (RFC 4861 §7.2.6).
pub(crate) fn announce<P: PacketPool>(ctx: &mut Ctx<'_, P>, vlan: &Vlan, address: Ipv6Addr) {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let flags = ROUTER | OVERRIDE;
    let advertisement = Outgoing { kind: ADVERTISE, flags, target: address, option: TARGET_MAC };
    send(ctx, vlan, &advertisement, (address, all), group_mac(all));
}

fn solicited<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
    message: &Message,
) {
    let is_probe = frame.src == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let to_group = frame.dst == IpAddr::V6(solicited_node(message.target));
    if is_probe && (message.source_mac.is_some() || !to_group)
        || is_ours(ctx.config, frame.src, vlan.slot)
    {
        return ctx.drop(buf, DropReason::NdInvalid);
    }
    let for_us = is_ours(ctx.config, IpAddr::V6(message.target), vlan.slot);
    let sender = message.source_mac.unwrap_or(frame.src_mac);
    if !is_probe && message.source_mac.is_some() {
        let fact = NeighbourFact { vlan: vlan.slot, address: frame.src, mac: sender };
        ctx.neighbour_told(fact, for_us && is_connected(vlan, frame.src));
    }
    ctx.consume(buf);
    if !for_us {
        return;
    }
    if is_probe {
        return announce(ctx, vlan, message.target);
    }
    let IpAddr::V6(asker) = frame.src else { return };
    let flags = ROUTER | SOLICITED | OVERRIDE;
    let target = message.target;
    let answer = Outgoing { kind: ADVERTISE, flags, target, option: TARGET_MAC };
    send(ctx, vlan, &answer, (target, asker), sender);
}

fn advertised<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    frame: &IpFrame,
    vlan: &Vlan,
    message: &Message,
) {
    let target = IpAddr::V6(message.target);
    let to_group = frame.dst.is_multicast();
    if is_ours(ctx.config, target, vlan.slot) || to_group && message.flags & SOLICITED != 0 {
        return ctx.drop(buf, DropReason::NdInvalid);
    }
    // An answer to a unicast solicitation may leave the option out (RFC 4861 §4.4).
    if let Some(mac) = message.target_mac.or((!to_group).then_some(frame.src_mac)) {
        ctx.neighbour_told(NeighbourFact { vlan: vlan.slot, address: target, mac }, false);
    }
    ctx.consume(buf);
}

/// What a message of ours says.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    option: u8,
}

fn send<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    vlan: &Vlan,
    message: &Outgoing,
    (src, dst): (Ipv6Addr, Ipv6Addr),
    to: MacAddr,
) {
    let mac = ctx.net.mac(vlan.port);
    let header =
        IpHeader { src: src.into(), dst: dst.into(), protocol: protocol::ICMPV6, ttl: HOPS };
    let made = ctx.originate_ip(&header, FIXED + 8, |bytes| {
        bytes[0] = message.kind;
        bytes[4] = message.flags;
        bytes[8..FIXED].copy_from_slice(&message.target.octets());
        bytes[FIXED] = message.option;
        bytes[FIXED + 1] = 1;
        bytes[FIXED + 2..].copy_from_slice(&mac.0);
    });
    if let Some(buf) = made {
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

/// The group that an address's solicitations go to (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const GROUP: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(GROUP | address.to_bits() & 0x00ff_ffff)
}

/// RFC 2464 §7.
const fn group_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

/// A received message that passed the checks of RFC 4861 §7.1.
#[derive(Clone, Copy, Debug)]
struct Message {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    source_mac: Option<MacAddr>,
    target_mac: Option<MacAddr>,
}

impl Message {
    fn parse<B: PacketBuf>(buf: &B, frame: &IpFrame) -> Option<Self> {
        let bytes = frame.payload(buf.data());
        if frame.ttl != HOPS
            || frame.fragment != Fragment::None
            || bytes.len() != frame.payload_len()
            || !is_checksum_right(buf, frame)
        {
            return None;
        }
        let [kind, code, _, _, flags, ..] = *bytes else { return None };
        if code != 0 {
            return None;
        }
        if !matches!(kind, SOLICIT | ADVERTISE) {
            let target = Ipv6Addr::UNSPECIFIED;
            return Some(Self { kind, flags, target, source_mac: None, target_mac: None });
        }
        let (fixed, mut options) = bytes.split_at_checked(FIXED)?;
        let target = Ipv6Addr::from(*fixed.last_chunk::<16>()?);
        let mut message = Self { kind, flags, target, source_mac: None, target_mac: None };
        while let [option, units, ..] = *options {
            let (body, rest) = options.split_at_checked(usize::from(units) * 8)?;
            let mac = body.get(2..8).and_then(|b| b.first_chunk()).map(|mac| MacAddr(*mac));
            // Of length 0 there is no option (§4.6).
            let mac = mac?;
            match option {
                SOURCE_MAC => message.source_mac = Some(mac),
                TARGET_MAC => message.target_mac = Some(mac),
                _ => {}
            }
            options = rest;
        }
        let group = [message.source_mac, message.target_mac].into_iter().flatten();
        let ok = options.is_empty()
            && !target.is_multicast()
            && !group.into_iter().any(|m| m.is_group());
        ok.then_some(message)
    }
}

const ROUTER_SOLICIT: u8 = 133;
const SOLICIT: u8 = 135;
const ADVERTISE: u8 = 136;
const REDIRECT: u8 = 137;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// Type, code, checksum, flags, target.
const FIXED: usize = 24;
/// Only a neighbour's message has it (RFC 4861 §7.1).
const HOPS: u8 = 255;
