//! Tells VLANs of the addresses that this replica answers for.
//!
//! Gratuitous ARP and unsolicited advertisements at the start and whenever an address comes, a few
//! per millisecond, by worker 0. An address that goes and comes back, or whose VLAN moves to another
//! port or tag, is told of again.
//!
//! Sources: RFC 5227 §3, RFC 4861 §7.2.6, crds.md §5.9 rule 1.

use std::net::IpAddr;

use tmm_config::Config;
use tmm_config::config::VlanSlot;
use tmm_wire::{PacketPool, PortId, VlanId};

use crate::ctx::Ctx;
use crate::{arp, nd};

/// What was told, and what is still to be told.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// Whether the configuration changed since the last look.
    pub(crate) is_due: bool,
    /// Sorted.
    ours: Vec<Place>,
    waiting: Vec<Place>,
}

/// An address of ours on a wire: a VLAN that moves to another port or tag has other listeners.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    slot: VlanSlot,
    port: PortId,
    tag: Option<VlanId>,
    address: IpAddr,
}

impl Announcements {
    /// Finds out what is new. Costs a sort of our addresses.
    fn look(&mut self, config: &Config) {
        let mut ours = Vec::new();
        for vlan in config.vlans() {
            let (slot, port, tag) = (vlan.slot, vlan.port, vlan.tag);
            let place = |address| Place { slot, port, tag, address };
            ours.extend(vlan.self_v4.map(|(own, _)| place(IpAddr::V4(own))));
            ours.extend(vlan.self_v6.map(|(own, _)| place(IpAddr::V6(own))));
            let vips = config.owned_vips().filter(|(_, vlans)| vlans.contains(slot));
            ours.extend(vips.map(|(vip, _)| place(vip)));
        }
        ours.sort_unstable();
        ours.dedup();
        self.waiting.retain(|it| ours.binary_search(it).is_ok());
        let new = ours.iter().filter(|it| self.ours.binary_search(it).is_err());
        self.waiting.extend(new);
        self.ours = ours;
    }
}

/// Tells of a few addresses that wait for it.
pub(crate) fn run<P: PacketPool>(ctx: &mut Ctx<'_, P>) {
    if ctx.worker != 0 {
        return;
    }
    let config = ctx.config;
    if core::mem::take(&mut ctx.net.announcements.is_due) {
        ctx.net.announcements.look(config);
    }
    for _ in 0..PER_CALL {
        let Some(Place { slot, address, .. }) = ctx.net.announcements.waiting.pop() else { return };
        let Some(vlan) = config.vlan(slot) else { continue };
        match address {
            IpAddr::V4(address) => arp::announce(ctx, vlan, address),
            IpAddr::V6(address) => nd::announce(ctx, vlan, address),
        }
    }
}

/// Told of per call, which comes at most every millisecond: 1,000 addresses take a tenth of a
/// second and no transmit queue overflows.
const PER_CALL: usize = 16;
