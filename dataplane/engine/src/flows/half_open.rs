//! Associations of SCTP that wait for the end of their first handshake, and how many may.
//!
//! An INIT costs its sender nothing and takes a session for the handshake's time-out. So a listener
//! or egress has a share of what all may have: who floods one leaves room to the others.
//!
//! Invariant: a session is counted from its INIT until it is established or ends, for the owner that
//! it began with. Source: crds.md §10 (Behaviour 5).

use tmm_config::Config;

use super::session::{Cold, Kind};

/// The associations of one worker that wait.
#[derive(Debug, Default)]
pub struct HalfOpen {
    all: u32,
    listeners: Vec<u32>,
    egresses: Vec<u32>,
}

impl HalfOpen {
    /// Makes room for the slots of `config`. Allocates; to be called when the configuration changed.
    pub fn follow(&mut self, config: &Config) {
        grow(&mut self.listeners, config.listener_slots());
        let egresses = config.egresses().map(|egress| egress.slot.0 as usize + 1).max();
        grow(&mut self.egresses, egresses.unwrap_or(0));
    }

    /// Whether the listener or egress in `slot` may open another one.
    pub fn has_room(&self, kind: Kind, slot: u32) -> bool {
        let rows = match kind {
            Kind::Listener => &self.listeners,
            Kind::Egress => &self.egresses,
        };
        let own = rows.get(slot as usize).copied().unwrap_or(0);
        self.all < MOST && own < MOST_OF_ONE
    }

    /// Counts a session that an INIT opened.
    pub fn begin(&mut self, cold: &Cold) {
        self.all += 1;
        if let Some(own) = self.own(cold) {
            *own += 1;
        }
    }

    /// Counts a session that waits no more.
    pub fn end(&mut self, cold: &Cold) {
        self.all = self.all.saturating_sub(1);
        if let Some(own) = self.own(cold) {
            *own = own.saturating_sub(1);
        }
    }

    fn own(&mut self, cold: &Cold) -> Option<&mut u32> {
        let rows = match cold.kind {
            Kind::Listener => &mut self.listeners,
            Kind::Egress => &mut self.egresses,
        };
        rows.get_mut(cold.owner as usize)
    }
}

fn grow(rows: &mut Vec<u32>, slots: usize) {
    if rows.len() < slots {
        rows.resize(slots, 0);
    }
}

/// Of all listeners and egresses.
const MOST: u32 = 4096;
/// Of one.
const MOST_OF_ONE: u32 = 1024;
