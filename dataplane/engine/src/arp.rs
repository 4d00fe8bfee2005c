//! ARP for IPv4 over Ethernet: answers for our addresses, asks for others', learns.
//!
//! Answers for the self IP of this replica on the VLAN and for VIPs that this replica owns there.
//! Learns from requests to us and from answers; an entry of another address is refreshed, never
//! made. Who claims an address of ours is dropped and counted.
//!
//! Sources: RFC 826, RFC 5227 §2.4 (defence), crds.md §5.9, §14 rule 1 (CHK-500).

use std::net::{IpAddr, Ipv4Addr};

use tmm_config::Config;
use tmm_config::config::{Vlan, VlanSlot};
use tmm_wire::{MacAddr, PacketBuf, PacketPool};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::frame::EtherFrame;
use crate::frame::ethertype;
use crate::out::NeighbourFact;

/// Whether this replica answers for `address` on `vlan`.
pub(crate) fn is_ours(config: &Config, address: IpAddr, vlan: VlanSlot) -> bool {
    config.self_ip(address) == Some(vlan) || config.owns_vip(address, vlan)
}

/// Takes one ARP frame that came from `vlan`.
pub(crate) fn receive<P: PacketPool>(
    ctx: &mut Ctx<'_, P>,
    buf: P::Buf,
    ether: &EtherFrame,
    vlan: &Vlan,
) {
    let Some(message) = Message::parse(buf.data().get(ether.len..).unwrap_or_default()) else {
        return ctx.drop(buf, DropReason::ArpInvalid);
    };
    let (sender, target) = (IpAddr::V4(message.sender), IpAddr::V4(message.target));
    if message.sender_mac != ether.src || message.sender_mac.is_group() {
        return ctx.drop(buf, DropReason::ArpInvalid);
    }
    if is_ours(ctx.config, sender, vlan.slot) {
        return ctx.drop(buf, DropReason::ArpInvalid);
    }
    let for_us = is_ours(ctx.config, target, vlan.slot);
    // A probe (RFC 5227 §1.1) has no sender address to learn.
    if message.sender != Ipv4Addr::UNSPECIFIED {
        let fact = NeighbourFact { vlan: vlan.slot, address: sender, mac: message.sender_mac };
        ctx.neighbour_told(fact, for_us && is_connected(vlan, message.sender));
    }
    ctx.consume(buf);
    if message.operation == REQUEST && for_us {
        let answer = Message {
            operation: REPLY,
            sender_mac: ctx.net.mac(vlan.port),
            sender: message.target,
            target_mac: message.sender_mac,
            target: message.sender,
        };
        send(ctx, vlan, &answer, message.sender_mac);
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
    let request = Message {
        operation: REQUEST,
        sender_mac: ctx.net.mac(vlan.port),
        sender,
        target_mac: MacAddr::default(),
        target: address,
    };
    send(ctx, vlan, &request, mac.unwrap_or(MacAddr::BROADCAST));
}

/// Tells everyone on `vlan` that `address` is here (gratuitous ARP, RFC 5227 §3).
pub(crate) fn announce<P: PacketPool>(ctx: &mut Ctx<'_, P>, vlan: &Vlan, address: Ipv4Addr) {
    let announcement = Message {
        operation: REQUEST,
        sender_mac: ctx.net.mac(vlan.port),
        sender: address,
        target_mac: MacAddr::default(),
        target: address,
    };
    send(ctx, vlan, &announcement, MacAddr::BROADCAST);
}

fn send<P: PacketPool>(ctx: &mut Ctx<'_, P>, vlan: &Vlan, message: &Message, to: MacAddr) {
    let Some(mut buf) = ctx.originate() else { return };
    if buf.grow_back(ETHERNET + MESSAGE).is_err() {
        return ctx.drop(buf, DropReason::BufferRoom);
    }
    let data = buf.data_mut();
    data.fill(0);
    if let Some((ether, arp)) = data.split_at_mut_checked(ETHERNET) {
        ether[12..].copy_from_slice(&ethertype::ARP.to_be_bytes());
        message.write(arp);
    }
    ctx.emit_to(buf, vlan, to);
}

/// Whether `address` is in the VLAN's own subnet.
fn is_connected(vlan: &Vlan, address: Ipv4Addr) -> bool {
    vlan.self_v4.is_some_and(|(own, prefix)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        own.to_bits() & mask == address.to_bits() & mask
    })
}

/// The fields of an ARP message that differ from one to the next.
#[derive(Clone, Copy, Debug)]
struct Message {
    operation: u16,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
}

impl Message {
    /// None if it is not ARP for IPv4 over Ethernet or an unknown operation.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<6>()?;
        if *head != HEAD {
            return None;
        }
        let (operation, rest) = rest.split_first_chunk::<2>()?;
        let (sender_mac, rest) = rest.split_first_chunk::<6>()?;
        let (sender, rest) = rest.split_first_chunk::<4>()?;
        let (target_mac, rest) = rest.split_first_chunk::<6>()?;
        let (target, _) = rest.split_first_chunk::<4>()?;
        let operation = u16::from_be_bytes(*operation);
        matches!(operation, REQUEST | REPLY).then_some(Self {
            operation,
            sender_mac: MacAddr(*sender_mac),
            sender: Ipv4Addr::from(*sender),
            target_mac: MacAddr(*target_mac),
            target: Ipv4Addr::from(*target),
        })
    }

    /// Writes the message into [`MESSAGE`] bytes.
    fn write(&self, bytes: &mut [u8]) {
        let parts: [&[u8]; 6] = [
            &HEAD,
            &self.operation.to_be_bytes(),
            &self.sender_mac.0,
            &self.sender.octets(),
            &self.target_mac.0,
            &self.target.octets(),
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
    }
}

/// Hardware Ethernet, protocol IPv4, lengths 6 and 4.
const HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const ETHERNET: usize = 14;
const MESSAGE: usize = 28;
