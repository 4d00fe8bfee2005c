//! The table of layer 2 headers that flows point at.
//!
//! An adjacency is what a frame needs to leave: MACs, tag, port, VLAN, MTU. It is found by index,
//! so the fast path pays one array access, and a neighbour that changes its MAC touches no session.
//! Resolving addresses is `neighbour`'s.
//!
//! Invariant: an id that is retained keeps naming the same (VLAN, next hop) until released.
//! Sources: architecture.md §3.1, performance.md §5 (next hop).

use std::net::IpAddr;

use tmm_config::config::{Vlan, VlanSlot};
use tmm_wire::buffer::NoRoom;
use tmm_wire::{MacAddr, PacketBuf, PortId};

use crate::table::Table;

/// Index of an adjacency. Sessions hold it as a `u16`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AdjacencyId(pub u16);

/// What an adjacency leads to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AdjacencyKey {
    /// The neighbour with this address; its MAC comes from ARP or ND.
    NextHop(VlanSlot, IpAddr),
    /// The station with this MAC (auto-lasthop).
    Mac(VlanSlot, MacAddr),
}

impl AdjacencyKey {
    /// The VLAN to leave by.
    #[must_use]
    pub const fn vlan(&self) -> VlanSlot {
        match self {
            Self::NextHop(vlan, _) | Self::Mac(vlan, _) => *vlan,
        }
    }
}

/// The way to one next hop.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Adjacency {
    /// Destination MAC, source MAC and, if `tagged`, the 802.1Q tag. The ethertype behind it stays
    /// in the frame.
    pub header: [u8; 16],
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Largest IP packet that may leave now: `mtu`, but 0 while unresolved. The hit path's one check.
    pub limit: u16,
    /// The port to leave by.
    pub port: PortId,
    /// The VLAN to leave by.
    pub vlan: VlanSlot,
    /// Both as the upper half of a word whose lower half is 0: the hit path takes them at once.
    exit: u32,
    /// Whether frames carry a tag.
    pub tagged: bool,
    /// Whether the destination MAC is known. Frames for an unresolved adjacency are held.
    pub resolved: bool,
    /// Whether it leads to a station because requests came from there (auto-lasthop).
    pub is_last_hop: bool,
}

impl Adjacency {
    /// The way out of `vlan` to `mac`, unresolved if it is not known, from the port's MAC `source`.
    #[must_use]
    pub fn new(vlan: &Vlan, source: MacAddr, mac: Option<MacAddr>) -> Self {
        let mut header = [0; 16];
        header[..6].copy_from_slice(&mac.unwrap_or_default().0);
        header[6..12].copy_from_slice(&source.0);
        if let Some(tag) = vlan.tag {
            header[12..14].copy_from_slice(&[0x81, 0x00]);
            header[14..].copy_from_slice(&tag.get().to_be_bytes());
        }
        Self {
            header,
            mtu: vlan.mtu,
            limit: if mac.is_some() { vlan.mtu } else { 0 },
            port: vlan.port,
            vlan: vlan.slot,
            exit: u32::from_le_bytes([0, 0, vlan.slot.0, vlan.port.0]),
            tagged: vlan.tag.is_some(),
            resolved: mac.is_some(),
            is_last_hop: false,
        }
    }

    /// Whether it is the last hop of requests that come from `mac` now.
    #[inline]
    #[must_use]
    pub(crate) fn is_left_by(&self, mac: MacAddr) -> bool {
        self.is_last_hop && self.destination() != mac
    }

    /// Whether frames leave by the port and with the tag of `vlan`.
    #[must_use]
    pub(crate) fn leaves_as(&self, vlan: &Vlan) -> bool {
        let like = Self::new(vlan, MacAddr::default(), None);
        (self.port, &self.header[12..]) == (like.port, &like.header[12..])
    }

    /// VLAN, then port, in the upper half of a word whose lower half is 0.
    #[inline]
    pub(crate) const fn exit(&self) -> u32 {
        self.exit
    }

    /// Length of the Ethernet header of frames that leave: 14 or 18 bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        if self.tagged { TAGGED_LEN } else { UNTAGGED_LEN }
    }

    /// The destination MAC; zero while unresolved and never asked.
    #[must_use]
    pub const fn destination(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = self.header;
        MacAddr([a, b, c, d, e, f])
    }

    /// Replaces the Ethernet header of `buf` (14 or 18 bytes, told apart by its ethertype) by this
    /// one, keeping the inner ethertype.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the tag does not fit in front or the frame has no Ethernet header.
    #[inline]
    pub fn write<B: PacketBuf>(&self, buf: &mut B) -> Result<(), NoRoom> {
        let had_tag = buf.data().get(12..14) == Some(&[0x81, 0x00]);
        match (had_tag, self.tagged) {
            (false, true) => buf.grow_front(4)?,
            (true, false) => buf.trim_front(4)?,
            _ => {}
        }
        if buf.stripped_vlan().is_some() {
            buf.clear_stripped_vlan();
        }
        let data = buf.data_mut();
        if self.tagged {
            data.first_chunk_mut::<16>().ok_or(NoRoom { bytes: 16 })?.copy_from_slice(&self.header);
        } else {
            let header: &[u8; 12] = self.header.first_chunk().ok_or(NoRoom { bytes: 12 })?;
            *data.first_chunk_mut::<12>().ok_or(NoRoom { bytes: 12 })? = *header;
        }
        Ok(())
    }
}

/// All adjacencies of a worker. Its size is fixed.
#[derive(Debug)]
pub struct Adjacencies {
    /// The array that the fast path reads.
    rows: Vec<Adjacency>,
    index: Table<AdjacencyKey>,
    references: Vec<u32>,
}

impl Adjacencies {
    /// Room for `capacity` adjacencies, 1 to 65,535.
    #[must_use]
    pub fn new(capacity: u16, seed: u64) -> Self {
        let capacity = capacity.max(1);
        Self {
            rows: vec![NOWHERE; usize::from(capacity)],
            index: Table::new(capacity, seed),
            references: vec![0; usize::from(capacity)],
        }
    }

    /// The adjacency `id`. O(1), one array access; an id outside the table is never resolved.
    #[inline]
    #[must_use]
    pub fn get(&self, id: AdjacencyId) -> &Adjacency {
        self.rows.get(usize::from(id.0)).unwrap_or(&NOWHERE)
    }

    /// What `id` leads to, if it is in use.
    #[must_use]
    pub fn key(&self, id: AdjacencyId) -> Option<AdjacencyKey> {
        self.index.key(id.0).copied()
    }

    /// The id for `key`, if the table has it.
    #[must_use]
    pub fn find(&self, key: &AdjacencyKey) -> Option<AdjacencyId> {
        self.index.find(key).map(AdjacencyId)
    }

    /// Gives a key that is not in the table a slot, unresolved and without a header. An adjacency
    /// that nothing retains and that `may_go` makes room; none if there is no such.
    pub(crate) fn insert(
        &mut self,
        key: AdjacencyKey,
        may_go: impl Fn(AdjacencyId) -> bool,
    ) -> Option<AdjacencyId> {
        let references = &self.references;
        let unused = |id: u16| references[usize::from(id)] == 0 && may_go(AdjacencyId(id));
        let id = self.index.insert(key, unused)?;
        self.rows[usize::from(id)] = NOWHERE;
        Some(AdjacencyId(id))
    }

    /// Sets where `id` leads: out of `vlan` with the port's MAC as source, to `mac` if known.
    pub(crate) fn set(
        &mut self,
        id: AdjacencyId,
        vlan: &Vlan,
        source: MacAddr,
        mac: Option<MacAddr>,
    ) {
        if let Some(row) = self.rows.get_mut(usize::from(id.0)) {
            *row = Adjacency::new(vlan, source, mac);
            row.is_last_hop = matches!(self.index.key(id.0), Some(AdjacencyKey::Mac(..)));
        }
    }

    /// Marks `id` unresolved: its frames are held or dropped from now on.
    pub(crate) fn set_unresolved(&mut self, id: AdjacencyId) {
        if let Some(row) = self.rows.get_mut(usize::from(id.0)) {
            row.resolved = false;
            row.limit = 0;
        }
    }

    /// Counts one more holder of `id`.
    #[inline]
    pub fn retain(&mut self, id: AdjacencyId) {
        if let Some(count) = self.references.get_mut(usize::from(id.0)) {
            *count += 1;
        }
    }

    /// Counts one holder of `id` less. At zero it stays findable until its slot is needed.
    #[inline]
    pub fn release(&mut self, id: AdjacencyId) {
        if let Some(count) = self.references.get_mut(usize::from(id.0)) {
            *count = count.saturating_sub(1);
        }
    }

    /// How many sessions and queues hold `id`.
    #[must_use]
    pub fn references(&self, id: AdjacencyId) -> u32 {
        self.references.get(usize::from(id.0)).copied().unwrap_or(0)
    }

    /// Every id in use with its key.
    pub fn iter(&self) -> impl Iterator<Item = (AdjacencyId, AdjacencyKey)> + '_ {
        self.index.iter().map(|(id, key)| (AdjacencyId(id), *key))
    }

    /// How many there may be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.rows.len()
    }
}

const UNTAGGED_LEN: usize = 14;
const TAGGED_LEN: usize = 18;

const NOWHERE: Adjacency = Adjacency {
    header: [0; 16],
    mtu: 0,
    limit: 0,
    port: PortId(0),
    vlan: VlanSlot(0),
    exit: 0,
    tagged: false,
    resolved: false,
    is_last_hop: false,
};
