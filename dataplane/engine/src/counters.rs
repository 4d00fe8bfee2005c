//! What a worker counts: plain words of its own, read by copy.
//!
//! Owns the packet account of one worker, per port, per VLAN and per drop reason. Object counters
//! (virtual servers, members) are the flow table's.
//!
//! Invariant: [`Counters::identity`] holds between bursts (OPS-701).
//! Sources: operations.md §7.1, architecture.md §3.1 (Verdicts).

use tmm_config::config::VlanSlot;
use tmm_wire::PortId;

use crate::drop_reason::DropReason;

/// Packets and bytes of one direction. Bytes are those of the frames without FCS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Traffic {
    /// Adds another sum.
    #[inline]
    pub const fn merge(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }

    /// Counts one frame of `bytes`.
    #[inline]
    pub const fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// One port or one VLAN, as this worker saw it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InterfaceCounters {
    /// Received.
    pub received: Traffic,
    /// Put into the port's transmit queue.
    pub queued: Traffic,
    /// Of `queued`, what the device then refused (also counted [`DropReason::TxFull`]). Always zero
    /// for a VLAN.
    pub refused: Traffic,
}

impl InterfaceCounters {
    /// What went out.
    #[must_use]
    pub const fn sent(&self) -> Traffic {
        Traffic {
            packets: self.queued.packets - self.refused.packets,
            bytes: self.queued.bytes - self.refused.bytes,
        }
    }
}

/// The two sides of the accounting identity (OPS-701), in packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Received from ports and other workers, and originated.
    pub into: u64,
    /// Sent, dropped, consumed, punted, handed over and held.
    pub out_of: u64,
}

impl Identity {
    /// Whether both sides are equal.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.into == self.out_of
    }
}

/// Everything one worker counts. All but `held` only rise.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Frames from ports.
    pub received: u64,
    /// Frames from other workers.
    pub handed_in: u64,
    /// Packets made here: ARP, ND, echo replies, ICMP errors, resets, probes.
    pub originated: u64,
    /// Frames put into ports' transmit queues.
    pub queued: u64,
    /// Of `queued`, what devices refused.
    pub tx_refused: u64,
    /// Frames taken by ourselves: ARP, ND, echo requests, answers to probes.
    pub consumed: u64,
    /// Frames given to a consumer outside the engine.
    pub punted: u64,
    /// Frames put into other workers' rings.
    pub handed_out: u64,
    /// Of `handed_out`, what full rings refused.
    pub hand_refused: u64,
    /// Packets that wait for a next hop now.
    pub held: u64,
    /// Packets that ever waited for a next hop.
    pub held_total: u64,
    /// Packets that were due to be made but found no buffer.
    pub pool_empty: u64,
    /// ICMP errors not made because of their rate limit.
    pub icmp_limited: u64,
    /// Calls of `burst` with at least one frame.
    pub bursts: u64,
    /// Facts for the control thread or other workers that found their queue full.
    pub facts_lost: u64,
    drops: [u64; DropReason::COUNT],
    ports: Vec<InterfaceCounters>,
    vlans: Vec<InterfaceCounters>,
}

impl Counters {
    /// Zero everywhere, for `ports` ports. Allocates here only.
    #[must_use]
    pub fn new(ports: usize) -> Self {
        Self {
            received: 0,
            handed_in: 0,
            originated: 0,
            queued: 0,
            tx_refused: 0,
            consumed: 0,
            punted: 0,
            handed_out: 0,
            hand_refused: 0,
            held: 0,
            held_total: 0,
            pool_empty: 0,
            icmp_limited: 0,
            bursts: 0,
            facts_lost: 0,
            drops: [0; DropReason::COUNT],
            ports: vec![InterfaceCounters::default(); ports],
            vlans: vec![InterfaceCounters::default(); 256],
        }
    }

    /// Takes the values of `other`, which has as many ports, without allocating.
    pub fn copy_from(&mut self, other: &Self) {
        let (mut ports, mut vlans) =
            (core::mem::take(&mut self.ports), core::mem::take(&mut self.vlans));
        ports.clone_from(&other.ports);
        vlans.clone_from(&other.vlans);
        *self = Self { ports, vlans, ..*other };
    }

    /// Counts one drop.
    #[inline]
    pub const fn drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Packets dropped for `reason`.
    #[must_use]
    pub const fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Every reason with its count: the rows of `drop_stat`, always all of them.
    pub fn drop_rows(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(self.drops)
    }

    /// All drops.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Frames that left by ports.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.queued - self.tx_refused
    }

    /// The counters of `port`; zero for a port that does not exist.
    #[must_use]
    pub fn port(&self, port: PortId) -> InterfaceCounters {
        self.ports.get(usize::from(port.0)).copied().unwrap_or_default()
    }

    /// The counters of the VLAN in `slot`.
    #[must_use]
    pub fn vlan(&self, slot: VlanSlot) -> InterfaceCounters {
        self.vlans.get(usize::from(slot.0)).copied().unwrap_or_default()
    }

    /// Counts a burst of `frames` frames with `bytes` bytes from `port`.
    pub(crate) fn received(&mut self, port: PortId, frames: usize, bytes: usize) {
        self.bursts += 1;
        self.received += frames as u64;
        if let Some(port) = self.ports.get_mut(usize::from(port.0)) {
            port.received.packets += frames as u64;
            port.received.bytes += bytes as u64;
        }
    }

    /// Counts `frames` queued frames of `bytes` bytes that the device of `port` refused.
    pub(crate) fn tx_refused(&mut self, port: PortId, frames: u64, bytes: u64) {
        self.tx_refused += frames;
        self.drops[DropReason::TxFull as usize] += frames;
        if let Some(port) = self.ports.get_mut(usize::from(port.0)) {
            port.refused.packets += frames;
            port.refused.bytes += bytes;
        }
    }

    /// Counts `frames` handed frames that a full ring refused.
    pub(crate) fn hand_refused(&mut self, frames: u64) {
        self.hand_refused += frames;
        self.drops[DropReason::HandOverFull as usize] += frames;
    }

    /// Counts a frame received on `vlan`.
    #[inline]
    pub fn vlan_received(&mut self, vlan: VlanSlot, bytes: usize) {
        if let Some(vlan) = self.vlans.get_mut(usize::from(vlan.0)) {
            vlan.received.add(bytes);
        }
    }

    /// Counts a frame put into the transmit queue of `port` on `vlan`.
    #[inline]
    pub fn sent_on(&mut self, port: PortId, vlan: VlanSlot, bytes: usize) {
        self.queued += 1;
        if let Some(port) = self.ports.get_mut(usize::from(port.0)) {
            port.queued.add(bytes);
        }
        if let Some(vlan) = self.vlans.get_mut(usize::from(vlan.0)) {
            vlan.queued.add(bytes);
        }
    }

    /// Counts `traffic` received on `vlan`.
    #[inline]
    pub(crate) fn vlan_received_all(&mut self, vlan: VlanSlot, traffic: Traffic) {
        if let Some(vlan) = self.vlans.get_mut(usize::from(vlan.0)) {
            vlan.received.merge(traffic);
        }
    }

    /// Counts `traffic` put into the transmit queue of `port` on `vlan`.
    #[inline]
    pub(crate) fn sent_all(&mut self, port: PortId, vlan: VlanSlot, traffic: Traffic) {
        self.queued += traffic.packets;
        if let Some(port) = self.ports.get_mut(usize::from(port.0)) {
            port.queued.merge(traffic);
        }
        if let Some(vlan) = self.vlans.get_mut(usize::from(vlan.0)) {
            vlan.queued.merge(traffic);
        }
    }

    /// Takes back what [`Counters::sent_all`] counted of a frame that found its queue full.
    pub(crate) fn not_queued(&mut self, port: PortId, vlan: VlanSlot, bytes: usize) {
        self.queued -= 1;
        let port = self.ports.get_mut(usize::from(port.0));
        for row in port.into_iter().chain(self.vlans.get_mut(usize::from(vlan.0))) {
            row.queued.packets -= 1;
            row.queued.bytes -= bytes as u64;
        }
    }

    /// Both sides of the accounting identity, to be equal between bursts (OPS-701).
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            into: self.received + self.handed_in + self.originated,
            out_of: self.sent()
                + self.dropped()
                + self.consumed
                + self.punted
                + (self.handed_out - self.hand_refused)
                + self.held,
        }
    }
}
