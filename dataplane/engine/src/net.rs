//! What a worker knows of its neighbourhood: adjacencies, neighbours, waiting packets, budgets.
//!
//! State only; what is sent is decided in `ctx`, `arp` and `nd`. Bounded in every part.
//!
//! Invariant: neighbour and hold list of an adjacency are those of its id.
//! Sources: architecture.md §3.1, crds.md §14, §17.

use std::net::IpAddr;

use tmm_config::config::{NextHop, VlanSlot};
use tmm_config::{Config, Nanos};
use tmm_wire::{MacAddr, PortId};

use crate::adjacency::{Adjacencies, Adjacency, AdjacencyId, AdjacencyKey};
use crate::announce::Announcements;
use crate::budget::Budget;
use crate::counters::Counters;
use crate::drop_reason::DropReason;
use crate::hold::Hold;
use crate::neighbour::{Neighbour, State};
use crate::out::Told;
use crate::random::Random;

/// How large the neighbourhood may become, per worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NetSizes {
    /// Adjacencies, 1 to 65,535.
    pub adjacencies: u16,
    /// Packets that may wait for next hops, all together.
    pub hold: u16,
    /// Packets that may wait for one next hop.
    pub hold_per_neighbour: u16,
}

impl Default for NetSizes {
    /// 16,384 adjacencies; 512 waiting packets, 16 of them for one neighbour.
    fn default() -> Self {
        Self { adjacencies: 16_384, hold: 512, hold_per_neighbour: 16 }
    }
}

/// The neighbourhood of one worker.
#[derive(Debug)]
pub struct Net<B> {
    adjacencies: Adjacencies,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) hold: Hold<B>,
    pub(crate) icmp_errors: Budget,
    pub(crate) random: Random,
    macs: Vec<MacAddr>,
    pub(crate) announcements: Announcements,
    /// The adjacency that was asked for last: its holder may not have retained it yet.
    last: Option<AdjacencyId>,
    /// Generations of VLANs and routes that the table was written for.
    epochs: Option<(u32, u32)>,
    /// Generation that the table was last compared with.
    generation: u32,
    /// Where the next pass over the neighbours goes on.
    pub(crate) hand: usize,
    pub(crate) last_pass: Nanos,
}

impl<B> Net<B> {
    /// An empty neighbourhood of ports with these MACs.
    #[must_use]
    pub fn new(sizes: NetSizes, macs: &[MacAddr], seed: u64, now: Nanos) -> Self {
        let adjacencies = Adjacencies::new(sizes.adjacencies, seed);
        Self {
            neighbours: vec![Neighbour::new(); adjacencies.capacity()],
            hold: Hold::new(sizes.hold, sizes.hold_per_neighbour, sizes.adjacencies.max(1)),
            icmp_errors: Budget::new(ICMP_ERRORS_PER_SECOND, ICMP_ERROR_BURST, now),
            random: Random::new(seed),
            macs: macs.to_vec(),
            adjacencies,
            announcements: Announcements::default(),
            last: None,
            epochs: None,
            generation: 0,
            hand: 0,
            last_pass: now,
        }
    }

    /// The adjacency `id`: one array access.
    #[inline]
    #[must_use]
    pub fn adjacency(&self, id: AdjacencyId) -> &Adjacency {
        self.adjacencies.get(id)
    }

    /// All adjacencies.
    #[must_use]
    pub const fn adjacencies(&self) -> &Adjacencies {
        &self.adjacencies
    }

    /// MAC of `port`; zero if there is no such port.
    #[must_use]
    pub fn mac(&self, port: PortId) -> MacAddr {
        self.macs.get(usize::from(port.0)).copied().unwrap_or_default()
    }

    /// The adjacency of the neighbour `address` on `vlan`, made unresolved if it is new. Nothing is
    /// asked before a packet needs it.
    ///
    /// # Errors
    ///
    /// [`DropReason::AdjacencyTableFull`], or [`DropReason::PortGone`] if there is no such VLAN.
    pub fn adjacency_for_next_hop(
        &mut self,
        config: &Config,
        vlan: VlanSlot,
        address: IpAddr,
    ) -> Result<AdjacencyId, DropReason> {
        self.entry(config, AdjacencyKey::NextHop(vlan, address), None)
    }

    /// The adjacency of the station `mac` on `vlan` (auto-lasthop); always resolved.
    ///
    /// # Errors
    ///
    /// As [`Net::adjacency_for_next_hop`].
    pub fn adjacency_for_mac(
        &mut self,
        config: &Config,
        vlan: VlanSlot,
        mac: MacAddr,
    ) -> Result<AdjacencyId, DropReason> {
        self.entry(config, AdjacencyKey::Mac(vlan, mac), Some(mac))
    }

    /// Counts a session that holds `id`. An adjacency that none holds may be given to another key.
    #[inline]
    pub fn retain(&mut self, id: AdjacencyId) {
        self.adjacencies.retain(id);
    }

    /// The session let `id` go.
    #[inline]
    pub fn release(&mut self, id: AdjacencyId) {
        self.adjacencies.release(id);
    }

    /// The next hop towards `destination`: longest prefix, then one of its live next hops by
    /// `hash`. While the hashed gateway is dead its flows alone move.
    ///
    /// # Errors
    ///
    /// [`DropReason::NoRoute`] or [`DropReason::Blackhole`].
    pub fn route(
        &self,
        config: &Config,
        destination: IpAddr,
        hash: u32,
    ) -> Result<(VlanSlot, IpAddr), DropReason> {
        let hops = config.route(destination).ok_or(DropReason::NoRoute)?;
        let pick = |n: usize| ((u64::from(hash) * n as u64) >> 32) as usize;
        let mut hop = hops.get(pick(hops.len())).ok_or(DropReason::NoRoute)?;
        if !self.is_alive(hop) {
            let live = hops.iter().filter(|hop| self.is_alive(hop)).count();
            let other = (u64::from(hash.wrapping_mul(0x9e37_79b1)) * live as u64) >> 32;
            // With none alive the hashed one stays, so that it is asked again.
            let chosen = hops.iter().filter(|hop| self.is_alive(hop)).nth(other as usize);
            hop = chosen.unwrap_or(hop);
        }
        match *hop {
            NextHop::Gateway { address, vlan } => Ok((vlan, address)),
            NextHop::OnLink(vlan) => Ok((vlan, destination)),
            NextHop::Blackhole => Err(DropReason::Blackhole),
        }
    }

    /// The adjacency towards `destination` as [`Net::route`] chooses it.
    ///
    /// # Errors
    ///
    /// Those of [`Net::route`] and [`Net::adjacency_for_next_hop`].
    pub fn adjacency_towards(
        &mut self,
        config: &Config,
        destination: IpAddr,
        hash: u32,
    ) -> Result<AdjacencyId, DropReason> {
        let (vlan, address) = self.route(config, destination, hash)?;
        self.adjacency_for_next_hop(config, vlan, address)
    }

    /// Takes a new configuration over: headers, gateways, VLANs that went or came. Without a change
    /// of VLANs or routes O(1). What waits for a neighbour on a VLAN whose slot is another's now is
    /// dropped.
    pub(crate) fn reconfigure(&mut self, config: &Config, counters: &mut Counters) {
        self.announcements.is_due = true;
        let last = core::mem::replace(&mut self.generation, config.generation());
        let epochs = (config.vlans_epoch(), config.routes_epoch());
        if self.epochs.replace(epochs) == Some(epochs) {
            return;
        }
        for row in &mut self.neighbours {
            row.is_gateway = false;
        }
        let ids: Vec<_> = self.adjacencies.iter().collect();
        for (id, key) in ids {
            self.rewrite(config, id, key, last, counters);
        }
        let routes = config.routes().clone();
        for hop in routes.iter().flat_map(|(_, hops)| hops) {
            if let NextHop::Gateway { address, vlan } = *hop
                && let Ok(id) = self.adjacency_for_next_hop(config, vlan, address)
            {
                self.neighbours[usize::from(id.0)].is_gateway = true;
            }
        }
    }

    /// Writes the MAC that the neighbour told into its adjacency, unless the neighbour may not be
    /// believed; gives whether it was written.
    pub(crate) fn resolve(
        &mut self,
        config: &Config,
        id: AdjacencyId,
        mac: MacAddr,
        told: Told,
        now: Nanos,
    ) -> bool {
        let Some(vlan) = self.adjacencies.key(id).and_then(|key| config.vlan(key.vlan())) else {
            return false;
        };
        let row = self.adjacencies.get(id);
        let known = row.resolved.then(|| row.destination() == mac);
        let neighbour = self.neighbours.get_mut(usize::from(id.0));
        if !neighbour.is_some_and(|neighbour| neighbour.told(told, known, now)) {
            return false;
        }
        let source = self.mac(vlan.port);
        self.adjacencies.set(id, vlan, source, Some(mac));
        true
    }

    /// Marks the adjacency of a neighbour that does not answer.
    pub(crate) fn unresolve(&mut self, id: AdjacencyId) {
        self.adjacencies.set_unresolved(id);
    }

    /// Whether sessions or waiting packets need `id`.
    pub(crate) fn is_in_use(&self, id: AdjacencyId) -> bool {
        self.adjacencies.references(id) > 0 || self.hold.waits_for(id)
    }

    fn is_alive(&self, hop: &NextHop) -> bool {
        let NextHop::Gateway { address, vlan } = *hop else {
            return true;
        };
        let id = self.adjacencies.find(&AdjacencyKey::NextHop(vlan, address));
        id.and_then(|id| self.neighbours.get(usize::from(id.0))).is_none_or(Neighbour::is_alive)
    }

    fn entry(
        &mut self,
        config: &Config,
        key: AdjacencyKey,
        mac: Option<MacAddr>,
    ) -> Result<AdjacencyId, DropReason> {
        if let Some(id) = self.adjacencies.find(&key) {
            self.last = Some(id);
            return Ok(id);
        }
        let vlan = config.vlan(key.vlan()).ok_or(DropReason::PortGone)?;
        let (hold, neighbours, last) = (&self.hold, &self.neighbours, self.last);
        let may_go = |id| {
            !hold.waits_for(id) && last != Some(id) && !neighbours[usize::from(id.0)].is_gateway
        };
        let id = self.adjacencies.insert(key, may_go).ok_or(DropReason::AdjacencyTableFull)?;
        let source = self.mac(vlan.port);
        self.adjacencies.set(id, vlan, source, mac);
        self.neighbours[usize::from(id.0)] = Neighbour::new();
        self.last = Some(id);
        Ok(id)
    }

    /// Writes a row for `config`, the last one being of generation `last`. A neighbour's MAC is
    /// forgotten if the VLAN is another one, or leaves by another port or with another tag.
    fn rewrite(
        &mut self,
        config: &Config,
        id: AdjacencyId,
        key: AdjacencyKey,
        last: u32,
        counters: &mut Counters,
    ) {
        let row = *self.adjacencies.get(id);
        let neighbour = &mut self.neighbours[usize::from(id.0)];
        let Some(vlan) = config.vlan(key.vlan()) else {
            neighbour.state = State::Gone;
            self.adjacencies.set_unresolved(id);
            return;
        };
        let is_other = vlan.since > last;
        let leads_elsewhere = is_other || !row.leaves_as(vlan);
        if neighbour.state == State::Gone || is_other || (row.resolved && leads_elsewhere) {
            *neighbour = Neighbour::new();
        }
        while is_other && self.hold.pop(id).is_some() {
            counters.held -= 1;
            counters.drop(DropReason::PortGone);
        }
        let mac = match key {
            AdjacencyKey::Mac(_, mac) => Some(mac),
            AdjacencyKey::NextHop(..) => {
                (row.resolved && !leads_elsewhere).then(|| row.destination())
            }
        };
        let source = self.mac(vlan.port);
        self.adjacencies.set(id, vlan, source, mac);
    }
}

/// ICMP errors that one worker makes at most (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)).
const ICMP_ERRORS_PER_SECOND: u32 = 1000;
const ICMP_ERROR_BURST: u32 = 100;
