//! ARP for IPv4 over Ethernet: answers for our addresses, asks for others', learns.
//!
//! Answers for the self IP of this replica on the VLAN and for VIPs that this replica owns there.
//! Learns from requests to us; what else an ARP frame says refreshes an entry and never makes one,
//! and only requests and answers to us confirm one.
//! Who claims an address of ours is dropped and counted.
//!
//! Sources: RFC 826, RFC 5227 §2.4 (defence), crds.md §5.9, §14 rule 1 (CHK-500).

use std::net::{IpAddr, Ipv4Addr};

use tmm_config::Config;
use tmm_config::config::{Vlan, VlanSlot};
use tmm_wire::arp::{ArpOperation, ArpPacket};
use tmm_wire::buffer::NoRoom;
use tmm_wire::build::BuildError;
use tmm_wire::{Header, LinkLayer, MacAddr, PacketBuf, PacketPool, ethernet};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::out::{NeighbourFact, Told};

/// Whether this replica answers for `address` on `vlan`.
pub(crate) fn is_ours(config: &Config, address: IpAddr, vlan: VlanSlot) -> bool {
    config.self_ip(address) == Some(vlan) || config.owns_vip(address, vlan)
}

/// Takes one ARP frame that came from `vlan`.
pub(crate) fn receive<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    ether: &LinkLayer,
    vlan: &Vlan,
) {
    let Ok(&message) = ArpPacket::parse(buf.data().get(ether.payload..).unwrap_or_default()) else {
        return ctx.drop(buf, DropReason::ArpInvalid);
    };
    let (sender, target) = (IpAddr::V4(message.sender_ip()), IpAddr::V4(message.target_ip()));
    if message.sender_mac() != ether.source || is_ours(ctx.config, sender, vlan.slot) {
        return ctx.drop(buf, DropReason::ArpInvalid);
    }
    let asks_us =
        message.operation() == ArpOperation::Request && is_ours(ctx.config, target, vlan.slot);
    // A probe (RFC 5227 §1.1) has no sender address to learn.
    if !message.sender_ip().is_unspecified() {
        let told = match message.operation() {
            _ if sender == target => Told::Announced { overrides: true },
            ArpOperation::Reply if is_ours(ctx.config, target, vlan.slot) => {
                Told::Answered { overrides: true }
            }
            ArpOperation::Reply => Told::Announced { overrides: true },
            ArpOperation::Request if asks_us && is_connected(vlan, message.sender_ip()) => {
                Told::Asked
            }
            ArpOperation::Request => Told::Mentioned,
        };
        let mac = message.sender_mac();
        ctx.neighbour_told(NeighbourFact { vlan: vlan.slot, address: sender, mac, told });
    }
    ctx.consume(buf);
    if asks_us {
        let us = (ctx.net.mac(vlan.port), message.target_ip());
        let asker = (message.sender_mac(), message.sender_ip());
        let answer = ArpPacket::new(ArpOperation::Reply, us, asker);
        send(ctx, vlan, &answer, message.sender_mac());
    }
}

/// Asks for the MAC of `address` on `vlan`, everyone or the station that had it.
pub(crate) fn ask<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    vlan: VlanSlot,
    address: Ipv4Addr,
    mac: Option<MacAddr>,
) {
    let config = ctx.config;
    let Some(vlan) = config.vlan(vlan) else { return };
    let Some((sender, _)) = vlan.self_v4 else { return };
    let request = ArpPacket::request((ctx.net.mac(vlan.port), sender), address);
    send(ctx, vlan, &request, mac.unwrap_or(MacAddr::BROADCAST));
}

/// Tells everyone on `vlan` that `address` is here (gratuitous ARP, RFC 5227 §3).
pub(crate) fn announce<P: PacketPool>(ctx: &mut Ctx<'_, P>, vlan: &Vlan, address: Ipv4Addr) {
    let announcement = ArpPacket::request((ctx.net.mac(vlan.port), address), address);
    send(ctx, vlan, &announcement, MacAddr::BROADCAST);
}

fn send<P: PacketPool>(ctx: &mut Ctx<'_, P>, vlan: &Vlan, packet: &ArpPacket, to: MacAddr) {
    let made = ctx.originate_frame(ethernet::ARP, ArpPacket::LEN, |out| {
        packet.write(out).map_err(|NoRoom { bytes }| BuildError::NoRoom { bytes })
    });
    if let Some(buf) = made {
        ctx.emit_to(buf, vlan, to);
    }
}

/// Whether `address` is in the VLAN's own subnet.
fn is_connected(vlan: &Vlan, address: Ipv4Addr) -> bool {
    vlan.self_v4.is_some_and(|(own, prefix)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        own.to_bits() & mask == address.to_bits() & mask
    })
}
