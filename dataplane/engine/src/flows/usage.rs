//! What listeners, egresses and members served: connections, picks, packets and bytes by slot.
//!
//! Connections are counted as they begin and end. Packets and bytes live in the sessions: they are
//! folded here when a session ends, and those of sessions still open by a pass over the table that
//! [`Usages`] is asked for and that runs in pieces. A session that ends while the pass is on, after
//! the pass saw it, waits for the end of the pass, so that what is published never falls.
//!
//! Source: operations.md §7.1.

use tmm_config::Config;
use tmm_config::config::{EgressSlot, ListenerSlot, MemberSlot};

/// Packets and bytes of IP packets: from the opening side, then towards it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Volume {
    /// Packets by direction.
    pub packets: [u64; 2],
    /// Bytes by direction.
    pub bytes: [u64; 2],
}

impl Volume {
    /// Adds another volume.
    pub fn add(&mut self, other: &Self) {
        for side in 0..2 {
            self.packets[side] += other.packets[side];
            self.bytes[side] += other.bytes[side];
        }
    }
}

/// What one listener, egress or member served.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Open flows.
    pub current: u32,
    /// The most there were at once.
    pub highest: u32,
    /// Flows ever opened; for a pool's members the picks.
    pub total: u64,
    /// New flows that found no eligible member.
    pub no_member: u64,
    /// Volume as of the last pass.
    pub volume: Volume,
    ended: Volume,
    waiting: Volume,
    passing: Volume,
}

impl Usage {
    pub(super) fn begin(&mut self) {
        self.current += 1;
        self.highest = self.highest.max(self.current);
        self.total += 1;
    }

    /// A session with `volume` ended; `seen` if the pass that is on saw it.
    pub(super) fn end(&mut self, volume: &Volume, seen: bool) {
        self.current = self.current.saturating_sub(1);
        if seen { self.waiting.add(volume) } else { self.ended.add(volume) }
    }

    /// A session goes on without it.
    pub(super) const fn leave(&mut self) {
        self.current = self.current.saturating_sub(1);
    }

    pub(super) fn pass(&mut self, volume: &Volume) {
        self.passing.add(volume);
    }

    fn publish(&mut self) {
        self.volume = self.ended;
        self.volume.add(&core::mem::take(&mut self.passing));
        self.ended.add(&core::mem::take(&mut self.waiting));
    }
}

/// Usage by slot.
#[derive(Clone, Debug, Default)]
pub struct Usages {
    pub(super) listeners: Vec<Usage>,
    pub(super) egresses: Vec<Usage>,
    pub(super) members: Vec<Usage>,
    /// How many passes were published.
    pub(super) passes: u64,
}

impl Usages {
    /// Of the listener in `slot`; zero if there is none.
    #[must_use]
    pub fn listener(&self, slot: ListenerSlot) -> Usage {
        self.listeners.get(slot.0 as usize).copied().unwrap_or_default()
    }

    /// Of the egress in `slot`.
    #[must_use]
    pub fn egress(&self, slot: EgressSlot) -> Usage {
        self.egresses.get(slot.0 as usize).copied().unwrap_or_default()
    }

    /// Of the member in `slot`.
    #[must_use]
    pub fn member(&self, slot: MemberSlot) -> Usage {
        self.members.get(slot.0 as usize).copied().unwrap_or_default()
    }

    /// How many times volumes were published, from 0.
    #[must_use]
    pub const fn passes(&self) -> u64 {
        self.passes
    }

    /// Makes room for the slots of `config`, and begins anew those that were given to other names
    /// after generation `last`. Allocates; to be called when the configuration changed.
    pub(super) fn follow(&mut self, config: &Config, last: u32) {
        grow(&mut self.listeners, config.listener_slots());
        grow(&mut self.members, config.member_slots());
        let egresses = config.egresses().map(|egress| egress.slot.0 as usize + 1).max();
        grow(&mut self.egresses, egresses.unwrap_or(0));
        for listener in config.listeners().filter(|listener| listener.since > last) {
            reset(&mut self.listeners, listener.slot.0);
        }
        for egress in config.egresses().filter(|egress| egress.since > last) {
            reset(&mut self.egresses, egress.slot.0);
        }
        for member in config.pools().flat_map(|pool| &pool.members).filter(|m| m.since > last) {
            reset(&mut self.members, member.slot.0);
        }
    }

    /// Ends a pass: what it saw is public now.
    pub(super) fn publish(&mut self) {
        let all = self.listeners.iter_mut().chain(&mut self.egresses).chain(&mut self.members);
        all.for_each(Usage::publish);
        self.passes += 1;
    }
}

fn grow(rows: &mut Vec<Usage>, slots: usize) {
    if rows.len() < slots {
        rows.resize(slots, Usage::default());
    }
}

fn reset(rows: &mut [Usage], slot: u32) {
    if let Some(row) = rows.get_mut(slot as usize) {
        *row = Usage::default();
    }
}
