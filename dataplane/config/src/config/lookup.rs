//! The look-ups that the engine makes in a configuration.
//!
//! All are O(1) but [`Config::route`], which is bounded by the prefix length; none allocates. The
//! contents are made by `compile` alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use tmm_wire::{PortId, Protocol, VlanId};

use super::{
    Egress, EgressSlot, Listener, ListenerSlot, Member, MemberSlot, NextHop, NoListener, Pool,
    Routes, Vlan, VlanSlot, VlanSlots,
};
use crate::slots::{MemberKey, Slots};

/// A checked configuration. Built only by compiling a [`crate::Spec`]; the default is empty.
#[derive(Clone, Debug, Default)]
pub struct Config {
    parts: Parts,
    index: Index,
}

/// What a configuration consists of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub generation: u32,
    pub spec_generation: u64,
    pub replica: u16,
    pub hash_key: u64,
    pub vlans_epoch: u32,
    pub routes_epoch: u32,
    pub vlans: Vec<Option<Arc<Vlan>>>,
    pub listeners: Vec<Option<Arc<Listener>>>,
    pub egresses: Vec<Option<Arc<Egress>>>,
    pub pools: Vec<Arc<Pool>>,
    pub routes: Arc<Routes>,
    pub vlan_slots: Slots<String>,
    pub listener_slots: Slots<String>,
    pub egress_slots: Slots<String>,
    pub member_slots: Slots<MemberKey>,
    /// By listener name, oldest first: members that left it or its lack of translation while it
    /// lives. Their flows may go on, and their replies must reach the worker that has them.
    pub departed: BTreeMap<String, Vec<ListenerKey>>,
}

/// Tables over [`Parts`], rebuilt with each compilation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// VLAN slot by port and tag (0: untagged); [`NO_VLAN`] is none.
    pub tags: Vec<Option<Box<[u16]>>>,
    pub self_ips: HashMap<IpAddr, VlanSlot, Seeded>,
    pub vips: HashMap<IpAddr, Vip, Seeded>,
    pub listeners: HashMap<ListenerKey, Vec<ListenerSlot>, Seeded>,
    /// First egress by VLAN slot, for IPv4 and IPv6.
    pub egress: Vec<[Option<EgressSlot>; 2]>,
    /// Place in `pools` and in its members by member slot.
    pub members: Vec<Option<(u32, u32)>>,
    pub snat_none: HashSet<ListenerKey, Seeded>,
}

/// A virtual address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vip {
    pub vlans: VlanSlots,
    /// Whether this replica answers ARP and ND for it.
    pub owned: bool,
}

/// Protocol, address and port.
pub(crate) type ListenerKey = (Protocol, IpAddr, u16);

/// A hasher with fixed seeds: keys come from the configuration, never from packets.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(RandomState);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::with_seeds(1, 2, 3, 4))
    }
}

impl core::hash::BuildHasher for Seeded {
    type Hasher = <RandomState as core::hash::BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// No VLAN in [`Index::tags`].
pub(crate) const NO_VLAN: u16 = u16::MAX;

impl Config {
    pub(crate) const fn new(parts: Parts, index: Index) -> Self {
        Self { parts, index }
    }

    pub(crate) const fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Counts compilations; a flow stores it. 0 is the empty configuration.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.parts.generation
    }

    /// Generation of the [`crate::Spec`] this was compiled from.
    #[must_use]
    pub const fn spec_generation(&self) -> u64 {
        self.parts.spec_generation
    }

    /// Index of this replica.
    #[must_use]
    pub const fn replica(&self) -> u16 {
        self.parts.replica
    }

    /// Key of the cluster's hashes.
    #[must_use]
    pub const fn hash_key(&self) -> u64 {
        self.parts.hash_key
    }

    /// Generation in which a VLAN last went or changed in a way that flows must look at.
    #[must_use]
    pub const fn vlans_epoch(&self) -> u32 {
        self.parts.vlans_epoch
    }

    /// Generation in which a route last changed, connected subnets included.
    #[must_use]
    pub const fn routes_epoch(&self) -> u32 {
        self.parts.routes_epoch
    }

    /// The VLAN in `slot`.
    #[must_use]
    pub fn vlan(&self, slot: VlanSlot) -> Option<&Arc<Vlan>> {
        self.parts.vlans.get(usize::from(slot.0))?.as_ref()
    }

    /// All VLANs by slot.
    pub fn vlans(&self) -> impl Iterator<Item = &Arc<Vlan>> {
        self.parts.vlans.iter().flatten()
    }

    /// The VLAN that takes frames with `tag` (none: untagged) on `port`.
    #[must_use]
    pub fn vlan_at(&self, port: PortId, tag: Option<VlanId>) -> Option<&Arc<Vlan>> {
        let tags = self.index.tags.get(usize::from(port.0))?.as_ref()?;
        let slot = *tags.get(usize::from(tag.map_or(0, VlanId::get)))?;
        self.parts.vlans.get(usize::from(slot))?.as_ref()
    }

    /// The VLAN whose self IP of this replica is `address`.
    #[must_use]
    pub fn self_ip(&self, address: IpAddr) -> Option<VlanSlot> {
        self.index.self_ips.get(&address).copied()
    }

    /// The listener in `slot`.
    #[must_use]
    pub fn listener(&self, slot: ListenerSlot) -> Option<&Arc<Listener>> {
        self.parts.listeners.get(slot.0 as usize)?.as_ref()
    }

    /// All listeners by slot.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.parts.listeners.iter().flatten()
    }

    /// One past the highest listener slot in use.
    #[must_use]
    pub fn listener_slots(&self) -> usize {
        self.parts.listeners.len()
    }

    /// The listener that takes a packet to `address` and `port` from `vlan` (crds.md §5.5 rule 1):
    /// the one of that port, else the one of port 0. A listener on an excluded VLAN does not exist.
    ///
    /// # Errors
    ///
    /// [`NoListener::VlanDenied`] if only the VLAN keeps a listener from taking it,
    /// [`NoListener::NoMatch`] if there is none at all; an egress may still take it.
    pub fn match_listener(
        &self,
        protocol: Protocol,
        address: IpAddr,
        port: u16,
        vlan: VlanSlot,
    ) -> Result<&Arc<Listener>, NoListener> {
        let mut error = NoListener::NoMatch;
        for port in [port, 0] {
            let Some(slots) = self.index.listeners.get(&(protocol, address, port)) else {
                continue;
            };
            let listener = slots
                .iter()
                .filter_map(|&slot| self.listener(slot))
                .find(|listener| listener.vlans.contains(vlan));
            if let Some(listener) = listener {
                return Ok(listener);
            }
            error = NoListener::VlanDenied;
        }
        Err(error)
    }

    /// Whether `address` is the VIP of a listener on `vlan`: its echo requests are answered here
    /// (crds.md §5.9 rule 3) whichever replica they reach. For ARP and ND ask
    /// [`Config::owns_vip`].
    #[must_use]
    pub fn is_vip(&self, address: IpAddr, vlan: VlanSlot) -> bool {
        self.index.vips.get(&address).is_some_and(|vip| vip.vlans.contains(vlan))
    }

    /// Whether this replica is the one that answers ARP and ND for the VIP `address` on `vlan`
    /// (crds.md §5.9 rule 1). Exactly one of [`crate::Spec::ready_replicas`] says so; a replica that
    /// is not among them says no, and with an empty list every replica is alone and says yes. Also
    /// on a VLAN whose subnet does not hold the VIP, for peers that route it straight to the link.
    #[must_use]
    pub fn owns_vip(&self, address: IpAddr, vlan: VlanSlot) -> bool {
        self.index.vips.get(&address).is_some_and(|vip| vip.owned && vip.vlans.contains(vlan))
    }

    /// All VIPs that this replica answers ARP and ND for, with their VLANs, in no order.
    pub fn owned_vips(&self) -> impl Iterator<Item = (IpAddr, VlanSlots)> {
        self.index
            .vips
            .iter()
            .filter(|(_, vip)| vip.owned)
            .map(|(&address, vip)| (address, vip.vlans))
    }

    /// Whether `address` is a VIP on any VLAN (owner rule 2 of architecture.md §3.1).
    #[must_use]
    pub fn is_any_vip(&self, address: IpAddr) -> bool {
        self.index.vips.contains_key(&address)
    }

    /// The egress in `slot`.
    #[must_use]
    pub fn egress(&self, slot: EgressSlot) -> Option<&Arc<Egress>> {
        self.parts.egresses.get(slot.0 as usize)?.as_ref()
    }

    /// All egresses by slot.
    pub fn egresses(&self) -> impl Iterator<Item = &Arc<Egress>> {
        self.parts.egresses.iter().flatten()
    }

    /// The egress that takes packets of the family from `vlan`; the first by name if several do.
    #[must_use]
    pub fn match_egress(&self, vlan: VlanSlot, is_v6: bool) -> Option<&Arc<Egress>> {
        let slot = self.index.egress.get(usize::from(vlan.0))?[usize::from(is_v6)]?;
        self.egress(slot)
    }

    /// Next hops of the longest prefix that holds `destination`, in an order that depends on the
    /// routes alone; never empty. Connected subnets are [`NextHop::OnLink`].
    #[must_use]
    pub fn route(&self, destination: IpAddr) -> Option<&[NextHop]> {
        self.parts.routes.lookup(destination)
    }

    /// All routes; the same `Arc` while none changes.
    #[must_use]
    pub const fn routes(&self) -> &Arc<Routes> {
        &self.parts.routes
    }

    /// Whether (`address`, `port`) is a member of a listener of `protocol` with SNAT none (owner
    /// rule 3 of architecture.md §3.1), or was one while the listener lives: its flows stay where
    /// they are when it leaves. Of each listener the last 1,024 that left are remembered.
    #[must_use]
    pub fn is_snat_none_member(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        let members = &self.index.snat_none;
        !members.is_empty()
            && (members.contains(&(protocol, address, port))
                || members.contains(&(protocol, address, 0)))
    }

    /// The member in `slot`.
    #[must_use]
    pub fn member(&self, slot: MemberSlot) -> Option<&Member> {
        let (pool, member) = (*self.index.members.get(slot.0 as usize)?)?;
        self.parts.pools.get(pool as usize)?.members.get(member as usize)
    }

    /// The pool of the member in `slot`.
    #[must_use]
    pub fn pool_of(&self, slot: MemberSlot) -> Option<&Arc<Pool>> {
        let (pool, _) = (*self.index.members.get(slot.0 as usize)?)?;
        self.parts.pools.get(pool as usize)
    }

    /// The slot of a member by its pool's name. Linear in the pool's members.
    #[must_use]
    pub fn member_slot(&self, pool: &str, address: IpAddr, port: u16) -> Option<MemberSlot> {
        let at = self.parts.pools.binary_search_by(|other| other.name.as_str().cmp(pool)).ok()?;
        let pool = self.parts.pools.get(at)?;
        let is_it = |member: &&Member| member.address == address && member.port == port;
        pool.members.iter().find(is_it).map(|member| member.slot)
    }

    /// All pools by name.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.parts.pools.iter()
    }

    /// One past the highest member slot in use.
    #[must_use]
    pub fn member_slots(&self) -> usize {
        self.index.members.len()
    }

    /// The listeners that use `pool`, by slot. O(listeners).
    pub fn listeners_of<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a Arc<Listener>> {
        self.listeners().filter(|listener| listener.pool.name == pool.name)
    }
}
