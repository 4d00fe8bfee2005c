//! What a stage can do with a packet: give it exactly one verdict, or make a new one.
//!
//! Every method that takes a buffer by value is a verdict and counts it, so the accounting identity
//! holds by construction. Frames that are transmitted begin with an Ethernet header of 14 or 18
//! bytes, whose ethertype alone counts: the adjacency gives MACs and tag.
//!
//! Sources: architecture.md §3.1 (Verdicts), operations.md §7.1 (OPS-701).

use std::net::IpAddr;

use tmm_config::config::{Vlan, VlanSlot};
use tmm_config::{Config, Nanos};
use tmm_wire::{MacAddr, PacketBuf, PacketPool, PortId};

use crate::adjacency::{AdjacencyId, AdjacencyKey};
use crate::counters::Counters;
use crate::drop_reason::DropReason;
use crate::frame::IpFrame;
use crate::monitor::Probes;
use crate::neighbour::{Action, Fate};
use crate::net::Net;
use crate::out::{Event, Handed, NeighbourFact, Outbox, Told};

/// Everything a stage of one burst needs besides the packet.
#[derive(Debug)]
pub struct Ctx<'a, P: PacketPool> {
    /// The configuration of this burst.
    pub config: &'a Config,
    /// The clock of this burst.
    pub now: Nanos,
    /// The neighbourhood.
    pub net: &'a mut Net<P::Buf>,
    /// Counters of this worker.
    pub counters: &'a mut Counters,
    /// Probes of members that are on their way.
    pub(crate) probes: &'a mut Probes,
    /// Where output goes.
    pub out: &'a mut Outbox<P::Buf>,
    /// Where new packets come from.
    pub pool: &'a mut P,
    /// Index of this worker.
    pub worker: u16,
    /// How many workers there are.
    pub workers: u16,
    /// Whether another worker handed the packet at hand here: it was received there.
    pub is_handed: bool,
}

impl<P: PacketPool> Ctx<'_, P> {
    /// Verdict Send: writes the header of adjacency `id` and queues the frame; holds it while the
    /// neighbour is being resolved. A frame above the MTU is dropped here without an answer: who
    /// forwards checks with [`Ctx::fits`] first, on the packet as its sender knows it.
    #[inline]
    pub fn transmit(&mut self, mut buf: P::Buf, id: AdjacencyId) {
        let adjacency = self.net.adjacency(id);
        if !adjacency.resolved {
            return self.hold(buf, id);
        }
        let (port, vlan, mtu, header) =
            (adjacency.port, adjacency.vlan, adjacency.mtu, adjacency.header_len());
        if adjacency.write(&mut buf).is_err() {
            return self.drop(buf, DropReason::BufferRoom);
        }
        if buf.packet_len() > usize::from(mtu) + header {
            return self.drop(buf, DropReason::TooBig);
        }
        self.queue(buf, port, vlan);
    }

    /// Verdict Drop.
    #[inline]
    pub fn drop(&mut self, buf: P::Buf, reason: DropReason) {
        self.counters.drop(reason);
        drop(buf);
    }

    /// Verdict Consume: the packet did its work here.
    #[inline]
    pub fn consume(&mut self, buf: P::Buf) {
        self.counters.consumed += 1;
        drop(buf);
    }

    /// Verdict Hand: the frame, unchanged as it came from `port`, goes to the ring of its owner.
    pub fn hand(&mut self, buf: P::Buf, port: PortId, worker: u16) {
        match self.out.hand(worker, Handed::Frame { buf, port }) {
            Ok(()) => self.counters.handed_out += 1,
            Err(Handed::Frame { buf, .. }) => self.drop(buf, DropReason::HandOverFull),
            Err(Handed::Neighbour(_)) => {}
        }
    }

    /// An empty buffer for a packet of our own, counted as originated; it needs a verdict like any
    /// other. None if the pool is exhausted, which is counted.
    pub fn originate(&mut self) -> Option<P::Buf> {
        let buf = self.pool.alloc();
        match buf {
            Some(_) => self.counters.originated += 1,
            None => self.counters.pool_empty += 1,
        }
        buf
    }

    /// Whether the packet at hand may go to its owner: one that was handed here is there.
    #[inline]
    #[must_use]
    pub const fn may_hand(&self) -> bool {
        self.workers > 1 && !self.is_handed
    }

    /// Whether a packet of `ip_len` bytes may leave by adjacency `id`.
    #[inline]
    #[must_use]
    pub fn fits(&self, ip_len: u16, id: AdjacencyId) -> bool {
        ip_len <= self.net.adjacency(id).mtu
    }

    /// Whether the neighbour of `id` failed within the last second: a frame for it would be dropped.
    #[must_use]
    pub fn is_dead(&self, id: AdjacencyId) -> bool {
        let neighbour = self.net.neighbours.get(usize::from(id.0));
        !self.net.adjacency(id).resolved && neighbour.is_some_and(|it| it.has_failed(self.now))
    }

    /// The way back to the sender of `frame`: the MAC it came from if its VLAN has auto-lasthop,
    /// else by route (CHK-505).
    ///
    /// # Errors
    ///
    /// The reason that there is none.
    pub fn adjacency_back(&mut self, frame: &IpFrame) -> Result<AdjacencyId, DropReason> {
        let vlan = self.config.vlan(frame.vlan).ok_or(DropReason::PortGone)?;
        if vlan.auto_lasthop {
            return self.net.adjacency_for_mac(self.config, frame.vlan, frame.src_mac);
        }
        self.adjacency_towards(frame.src, address_hash(frame.src))
    }

    /// The way to `destination` by route, for a new flow; `hash` shares flows over equal routes. An
    /// old neighbour entry is confirmed along the way.
    ///
    /// # Errors
    ///
    /// The reason that there is none.
    pub fn adjacency_towards(
        &mut self,
        destination: IpAddr,
        hash: u32,
    ) -> Result<AdjacencyId, DropReason> {
        let id = self.net.adjacency_towards(self.config, destination, hash)?;
        let action = self.net.neighbours[usize::from(id.0)].chosen(self.now);
        self.act(id, action);
        Ok(id)
    }

    /// This replica's self IP on `vlan` of the family, the source of automap and of ICMP errors.
    #[must_use]
    pub fn self_ip(&self, vlan: VlanSlot, is_v6: bool) -> Option<IpAddr> {
        let vlan = self.config.vlan(vlan)?;
        if is_v6 {
            vlan.self_v6.map(|(address, _)| IpAddr::V6(address))
        } else {
            vlan.self_v4.map(|(address, _)| IpAddr::V4(address))
        }
    }

    /// Sends a frame of our own to `mac` on `vlan`, without an adjacency: ARP and ND.
    pub(crate) fn emit_to(&mut self, mut buf: P::Buf, vlan: &Vlan, mac: MacAddr) {
        let header = crate::adjacency::Adjacency::new(vlan, self.net.mac(vlan.port), Some(mac));
        match header.write(&mut buf) {
            Ok(()) => self.queue(buf, vlan.port, vlan.slot),
            Err(_) => self.drop(buf, DropReason::BufferRoom),
        }
    }

    /// A neighbour told its MAC: what waits for it goes out, and other workers learn what may be
    /// news to them.
    pub(crate) fn neighbour_told(&mut self, fact: NeighbourFact) {
        if self.workers > 1 && self.is_news(&fact) {
            for worker in (0..self.workers).filter(|&worker| worker != self.worker) {
                if self.out.hand(worker, Handed::Neighbour(fact)).is_err() {
                    self.counters.facts_lost += 1;
                }
            }
        }
        self.learn(fact);
    }

    /// Whether other workers may need `fact`: any answer, as one of them may have asked; else a
    /// station or a MAC that is new here. Who asks for others is told of only if its MAC changed.
    fn is_news(&self, fact: &NeighbourFact) -> bool {
        let id = self.net.adjacencies().find(&AdjacencyKey::NextHop(fact.vlan, fact.address));
        let known = id.map(|id| self.net.adjacency(id)).filter(|known| known.resolved);
        match (fact.told, known) {
            (Told::Answered { .. }, _) => true,
            (_, Some(known)) => known.destination() != fact.mac,
            (Told::Asked | Told::Announced { .. }, None) => true,
            (Told::Mentioned, None) => false,
        }
    }

    /// Takes a neighbour's MAC over into this worker's table.
    pub(crate) fn learn(&mut self, fact: NeighbourFact) {
        let NeighbourFact { vlan, address, mac, told } = fact;
        let key = AdjacencyKey::NextHop(vlan, address);
        let known = self.net.adjacencies().find(&key);
        let id = match known {
            Some(id) => id,
            None if told.creates() => {
                match self.net.adjacency_for_next_hop(self.config, vlan, address) {
                    Ok(id) => id,
                    Err(_) => return,
                }
            }
            None => return,
        };
        let was_alive = self.net.neighbours[usize::from(id.0)].is_alive();
        if !self.net.resolve(self.config, id, mac, told, self.now) {
            return;
        }
        if self.net.neighbours[usize::from(id.0)].is_gateway && !was_alive {
            self.fact(Event::Gateway { vlan, address, alive: true });
        }
        while let Some(buf) = self.net.hold.pop(id) {
            self.counters.held -= 1;
            self.transmit(buf, id);
        }
    }

    /// Does what the state of a neighbour asks for.
    pub(crate) fn act(&mut self, id: AdjacencyId, action: Action) {
        let Some(AdjacencyKey::NextHop(vlan, address)) = self.net.adjacencies().key(id) else {
            return;
        };
        match action {
            Action::Wait => {}
            Action::Ask => self.ask(vlan, address, None),
            Action::AskUnicast => {
                let mac = self.net.adjacency(id).destination();
                self.ask(vlan, address, Some(mac));
            }
            Action::GiveUp => {
                self.net.unresolve(id);
                self.release_held(id, DropReason::NeighbourUnresolved);
                if self.net.neighbours[usize::from(id.0)].is_gateway {
                    self.fact(Event::Gateway { vlan, address, alive: false });
                }
            }
        }
    }

    /// Drops everything that waits for `id`.
    pub(crate) fn release_held(&mut self, id: AdjacencyId, reason: DropReason) {
        while let Some(buf) = self.net.hold.pop(id) {
            self.counters.held -= 1;
            self.drop(buf, reason);
        }
    }

    /// Drops everything that waits for any next hop.
    pub(crate) fn release_all(&mut self, reason: DropReason) {
        for id in 0..=u16::MAX {
            if self.net.hold.is_empty() {
                return;
            }
            self.release_held(AdjacencyId(id), reason);
        }
    }

    /// Tells the control thread; a full queue is counted.
    pub(crate) fn fact(&mut self, event: Event) {
        if !self.out.event(event) {
            self.counters.facts_lost += 1;
        }
    }

    /// Verdict Hold(neighbour), or a drop if it will not come to anything.
    fn hold(&mut self, buf: P::Buf, id: AdjacencyId) {
        let Some(neighbour) = self.net.neighbours.get_mut(usize::from(id.0)) else {
            return self.drop(buf, DropReason::PortGone);
        };
        let fate = neighbour.wanted(self.now);
        match fate {
            Fate::Gone => return self.drop(buf, DropReason::PortGone),
            Fate::Fail => return self.drop(buf, DropReason::NeighbourUnresolved),
            Fate::Hold | Fate::HoldAndAsk => {}
        }
        match self.net.hold.push(id, buf) {
            Ok(()) => {
                self.counters.held += 1;
                self.counters.held_total += 1;
            }
            Err(buf) => self.drop(buf, DropReason::HoldFull),
        }
        if fate == Fate::HoldAndAsk {
            self.act(id, Action::Ask);
        }
    }

    #[inline]
    fn queue(&mut self, buf: P::Buf, port: PortId, vlan: VlanSlot) {
        let bytes = buf.packet_len();
        match self.out.push(port, buf) {
            Ok(()) => self.counters.sent_on(port, vlan, bytes),
            Err(buf) => self.drop(buf, DropReason::TxFull),
        }
    }

    /// Asks for the MAC of `address`, all stations or the one it had.
    fn ask(&mut self, vlan: VlanSlot, address: IpAddr, mac: Option<MacAddr>) {
        match address {
            IpAddr::V4(address) => crate::arp::ask(self, vlan, address, mac),
            IpAddr::V6(address) => crate::nd::ask(self, vlan, address, mac),
        }
    }
}

/// Shares the flows of answers without a flow over equal routes, by address.
fn address_hash(address: IpAddr) -> u32 {
    let bits = match address {
        IpAddr::V4(a) => u64::from(a.to_bits()),
        IpAddr::V6(a) => {
            let bits = a.to_bits();
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
