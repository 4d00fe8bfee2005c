//! What becomes of the frames of a burst, and what they count.
//!
//! Counters are told once for each run of frames of one way, not at each packet. Invariant: every
//! frame that was added is told by the end of the burst.

use tmm_config::config::VlanSlot;
use tmm_wire::PortId;

use crate::adjacency::Adjacency;
use crate::counters::{Counters, Traffic};

/// What becomes of a frame: it goes to the closer look, or from a VLAN, with an IP header at an
/// offset, out by a port on another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fate(u32);

impl Fate {
    pub const REST: Self = Self(u32::MAX);

    #[inline(always)]
    pub const fn send(zone: u8, l3: u8, adjacency: &Adjacency) -> Self {
        Self(adjacency.exit() | (l3 as u32) << 8 | zone as u32)
    }

    pub const fn port(self) -> PortId {
        PortId((self.0 >> 24) as u8)
    }

    pub const fn vlan(self) -> VlanSlot {
        VlanSlot((self.0 >> 16) as u8)
    }

    pub const fn zone(self) -> VlanSlot {
        VlanSlot(self.0 as u8)
    }

    const fn l3(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

/// What a burst has counted for a few fates at a time; told when others come, and at its end.
pub struct Tallies {
    rows: [Tally; TALLIES],
    /// The port of all frames so far that go out; none if they differ.
    pub port: Option<PortId>,
    /// Frames told so far.
    pub served: u64,
}

#[derive(Clone, Copy)]
struct Tally {
    fate: Fate,
    /// Bytes that a frame grows by.
    grown: i8,
    /// Packets in units of [`PACKET`], and bytes below.
    sum: u64,
}

impl Tallies {
    pub const fn new() -> Self {
        let none = Tally { fate: Fate::REST, grown: 0, sum: 0 };
        Self { rows: [none; TALLIES], port: None, served: 0 }
    }

    /// Counts a frame of `len` bytes that leaves by `adjacency`.
    #[inline(always)]
    pub fn add(&mut self, fate: Fate, adjacency: &Adjacency, len: usize, counters: &mut Counters) {
        // Traffic between two VLANs keeps two rows.
        let row = usize::from(fate.zone().0) & (TALLIES - 1);
        if fate != self.rows[row].fate {
            self.turn(row, fate, adjacency, counters);
        }
        self.rows[row].sum += PACKET | len as u64;
    }

    #[cold]
    fn turn(&mut self, row: usize, fate: Fate, adjacency: &Adjacency, counters: &mut Counters) {
        self.tell(row, counters);
        let is_first = self.served == 0 && self.rows.iter().all(|row| row.sum == 0);
        if is_first {
            self.port = Some(fate.port());
        }
        self.port = self.port.filter(|port| *port == fate.port());
        self.rows[row].fate = fate;
        self.rows[row].grown = adjacency.header_len() as i8 - fate.l3() as i8;
    }

    /// Puts what a row has counted into `counters`.
    pub fn tell(&mut self, row: usize, counters: &mut Counters) {
        let Tally { fate, grown, sum } = self.rows[row];
        let (packets, bytes) = (sum / PACKET, sum % PACKET);
        if packets > 0 {
            let grown = i64::from(grown).wrapping_mul(packets as i64);
            let sent = bytes.wrapping_add_signed(grown);
            counters.vlan_received_all(fate.zone(), Traffic { packets, bytes });
            counters.sent_all(fate.port(), fate.vlan(), Traffic { packets, bytes: sent });
        }
        self.served += packets;
        self.rows[row].sum = 0;
    }
}

/// One packet in a sum; one addition counts it with its bytes. A burst's bytes stay below: they are
/// 64 lengths of 32 bits at most.
const PACKET: u64 = 1 << 40;

/// Rows of a burst's counts, a power of two.
pub const TALLIES: usize = 4;
