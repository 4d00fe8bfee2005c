//! The flow table and what it does to packets.
//!
//! A flow is found by one lookup per direction and holds all that forwarding needs. [`Flows::fast`]
//! serves bursts of frames whose whole treatment is known; [`Flows::admit`] takes one packet that
//! needs a closer look: it opens a flow, advances a tracker, answers or drops. [`Flows::sweep`]
//! ends idle flows and those whose configuration went. Knows no licence gate, no ARP, no local
//! services: the worker asks those first.
//!
//! All memory is reserved by [`Flows::new`]; a packet never allocates. IPv4 and IPv6 sessions have
//! a table each. Associations of SCTP are found by addresses and ports like other flows, and the
//! verification tag is then compared (RFC 9260 §8.5): clients with equal ports stay apart, because
//! the source translation gives each another port towards a member.
//!
//! Sources: architecture.md §3, §3.1; performance.md §5; crds.md §3.4.4, §3.4.7, §5.3 to §5.7, §6,
//! §7, §10, §13.

use std::net::IpAddr;

use tmm_config::config::{MemberSlot, VlanSlot};
use tmm_config::{Config, Nanos};

mod admit;
mod answer;
mod end;
mod fast;
mod forward;
mod half_open;
mod hash;
mod index;
mod listing;
mod open;
mod owner;
mod revise;
mod rewrite;
mod sctp;
mod session;
mod snat;
mod sweep;
mod table;
mod tcp;
mod usage;

pub use hash::HashKeys;
pub use listing::{FlowRow, FlowState};
pub use owner::{Ends, owner};
pub use snat::PortUse;
pub use usage::{Usage, Usages, Volume};

use crate::balance::Picker;
use crate::budget::Budget;
use crate::random::Random;
use half_open::HalfOpen;
use hash::Hasher;
use open::NO_MEMBER;
use session::{Addresses, Cold, Key, Kind, join_ports};
use table::Table;

/// What the flow table is made with.
#[derive(Clone, Copy, Debug)]
pub struct FlowSetup {
    /// IPv4 sessions that fit.
    pub sessions_v4: u32,
    /// IPv6 sessions that fit.
    pub sessions_v6: u32,
    /// Random keys of the session hash.
    pub keys: HashKeys,
    /// Random seed for source ports and initial values.
    pub seed: u64,
    /// Bytes that the tables may take at most; none is no limit. The caller knows the machine.
    pub limit_bytes: Option<usize>,
    /// Index of this worker, below `workers`.
    pub worker: u16,
    /// How many workers there are, 1 or more.
    pub workers: u16,
}

/// Why the flow table could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowSetupError {
    /// The tables need more than there is (OPS-426).
    #[error(
        "flow table needs {sessions_v4} IPv4 sessions x {bytes_v4} B + {sessions_v6} IPv6 sessions \
         x {bytes_v6} B = {needed} B, but there are {available} B: lower the flow-table size or \
         give more memory"
    )]
    TooLittleMemory {
        /// IPv4 sessions asked for.
        sessions_v4: u32,
        /// Bytes of one IPv4 session, all included.
        bytes_v4: usize,
        /// IPv6 sessions asked for.
        sessions_v6: u32,
        /// Bytes of one IPv6 session, all included.
        bytes_v6: usize,
        /// Bytes of both tables.
        needed: usize,
        /// Bytes that may be taken.
        available: usize,
    },
    /// More sessions than a session's number can name.
    #[error("flow table of {sessions} sessions: at most {limit} of one family")]
    TooManySessions {
        /// Sessions asked for.
        sessions: u32,
        /// The most of one family.
        limit: u32,
    },
}

impl FlowSetupError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLittleMemory { .. } => "flow_table_memory",
            Self::TooManySessions { .. } => "flow_table_size",
        }
    }
}

/// The most sessions of one family: a number and a direction share 32 bits.
const MOST_SESSIONS: u32 = 1 << 30;

/// The flows of one worker.
#[derive(Debug)]
pub struct Flows {
    v4: Table<u64>,
    v6: Table<[u64; 4]>,
    shared: Shared,
    scratch: fast::Scratch,
}

/// What both tables need.
#[derive(Debug)]
struct Shared {
    hasher: Hasher,
    random: Random,
    pickers: Vec<Picker>,
    answers: Vec<Budget>,
    other_answers: Budget,
    usages: Usages,
    ports: PortUse,
    hands: sweep::Hands,
    half_open: HalfOpen,
    /// Whether no flow may be opened any more.
    is_draining: bool,
    /// Generation that the vectors by slot were made for.
    generation: u32,
    worker: u16,
    workers: u16,
}

impl Flows {
    /// Bytes that the tables of `setup` take.
    #[must_use]
    pub const fn bytes_for(setup: &FlowSetup) -> usize {
        Table::<u64>::bytes_for(setup.sessions_v4) + Table::<[u64; 4]>::bytes_for(setup.sessions_v6)
    }

    /// Reserves and touches everything that flows will ever need.
    ///
    /// # Errors
    ///
    /// [`FlowSetupError`] with the sum if the memory is not there, or if a table is too large.
    pub fn new(setup: &FlowSetup) -> Result<Self, FlowSetupError> {
        for sessions in [setup.sessions_v4, setup.sessions_v6] {
            if sessions > MOST_SESSIONS {
                return Err(FlowSetupError::TooManySessions { sessions, limit: MOST_SESSIONS });
            }
        }
        let needed = Self::bytes_for(setup);
        let too_little = FlowSetupError::TooLittleMemory {
            sessions_v4: setup.sessions_v4,
            bytes_v4: Table::<u64>::bytes_for(1 << 20) >> 20,
            sessions_v6: setup.sessions_v6,
            bytes_v6: Table::<[u64; 4]>::bytes_for(1 << 20) >> 20,
            needed,
            available: setup.limit_bytes.unwrap_or(0),
        };
        if setup.limit_bytes.is_some_and(|limit| needed > limit) {
            return Err(too_little);
        }
        Ok(Self {
            v4: Table::new(setup.sessions_v4).ok_or(too_little)?,
            v6: Table::new(setup.sessions_v6).ok_or(too_little)?,
            shared: Shared {
                hasher: Hasher::new(&setup.keys),
                random: Random::new(setup.seed),
                pickers: Vec::new(),
                answers: Vec::new(),
                other_answers: answer_budget(setup.workers, Nanos::default()),
                usages: Usages::default(),
                ports: PortUse::default(),
                hands: sweep::Hands::default(),
                half_open: HalfOpen::default(),
                is_draining: false,
                generation: 0,
                worker: setup.worker,
                workers: setup.workers,
            },
            scratch: fast::Scratch::new(),
        })
    }

    /// From now on opens no flow; those there are go on (OPS-161).
    pub const fn refuse_new(&mut self) {
        self.shared.is_draining = true;
    }

    /// What listeners, egresses and members served.
    #[must_use]
    pub const fn usages(&self) -> &Usages {
        &self.shared.usages
    }

    /// How hard source ports are to find.
    #[must_use]
    pub const fn port_use(&self) -> PortUse {
        self.shared.ports
    }

    /// Whether a flow has the key of a packet that would arrive on `vlan` with these ends: who sends
    /// from an own address must not take such a port.
    #[must_use]
    pub fn is_taken(&self, vlan: VlanSlot, ends: &Ends) -> bool {
        fn has<A: Addresses>(table: &Table<A>, hasher: &Hasher, zone: u8, ends: &Ends) -> bool {
            A::from_ips(ends.source.0, ends.destination.0).is_some_and(|addresses| {
                let ports = join_ports(ends.source.1, ends.destination.1);
                let key = Key { addresses, ports, zone, protocol: ends.protocol };
                table.find(hasher, &key).is_some()
            })
        }
        let hasher = &self.shared.hasher;
        match ends.source.0 {
            IpAddr::V4(_) => has(&self.v4, hasher, vlan.0, ends),
            IpAddr::V6(_) => has(&self.v6, hasher, vlan.0, ends),
        }
    }

    /// Sessions now, IPv4 and IPv6.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.v4.len() + self.v6.len()
    }

    /// The most sessions there ever were at once, IPv4 and IPv6 added.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.v4.highest() + self.v6.highest()
    }

    /// Whether there is no session.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sessions that fit, IPv4 and IPv6.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.v4.capacity() + self.v6.capacity()
    }

    /// Bytes of the tables.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes() + self.v6.memory_bytes()
    }
}

impl Shared {
    /// Follows a change of configuration: vectors by slot grow. Costs a compare otherwise.
    #[inline]
    fn follow(&mut self, config: &Config, now: Nanos) {
        if self.generation != config.generation() {
            self.take(config, now);
        }
    }

    #[cold]
    fn take(&mut self, config: &Config, now: Nanos) {
        self.usages.follow(config, self.generation);
        self.half_open.follow(config);
        let slots = config.listener_slots();
        if self.pickers.len() < slots {
            self.pickers.resize(slots, Picker::default());
            self.answers.resize(slots, answer_budget(self.workers, now));
        }
        for listener in config.listeners() {
            if let Some(picker) = self.pickers.get_mut(listener.slot.0 as usize) {
                picker.reserve(listener.pool.members.len());
            }
        }
        self.generation = config.generation();
    }

    /// Whether another answer to a packet without a flow may be sent, for a listener or for all
    /// that have none.
    fn may_answer(&mut self, listener: Option<usize>, now: Nanos) -> bool {
        listener
            .and_then(|slot| self.answers.get_mut(slot))
            .unwrap_or(&mut self.other_answers)
            .take(now)
    }

    fn count_begin(&mut self, cold: &Cold) {
        if let Some(usage) = self.owner_usage(cold) {
            usage.begin();
        }
        if let Some(usage) = self.member_usage(cold) {
            usage.begin();
        }
    }

    fn count_end(&mut self, cold: &Cold, volume: &Volume, is_v6: bool, session: u32) {
        let seen = self.hands.volumes.is_some_and(|hand| hand.has_passed(is_v6, session));
        if let Some(usage) = self.owner_usage(cold) {
            usage.end(volume, seen);
        }
        if let Some(usage) = self.member_usage(cold) {
            usage.end(volume, seen);
        }
    }

    /// Lets a session's member go if that went: its slot is, or will be, another's.
    fn forget_departed(&mut self, cold: &mut Cold, config: &Config) {
        if cold.member == NO_MEMBER {
            return;
        }
        let heir = config.member(MemberSlot(cold.member));
        if heir.is_some_and(|heir| heir.since <= cold.epoch) {
            return;
        }
        // An heir's usage began anew with it.
        if heir.is_none()
            && let Some(usage) = self.member_usage(cold)
        {
            usage.leave();
        }
        cold.member = NO_MEMBER;
    }

    fn count_pass(&mut self, cold: &Cold, volume: &Volume) {
        if let Some(usage) = self.owner_usage(cold) {
            usage.pass(volume);
        }
        if let Some(usage) = self.member_usage(cold) {
            usage.pass(volume);
        }
    }

    fn owner_usage(&mut self, cold: &Cold) -> Option<&mut Usage> {
        let rows = match cold.kind {
            Kind::Listener => &mut self.usages.listeners,
            Kind::Egress => &mut self.usages.egresses,
        };
        rows.get_mut(cold.owner as usize)
    }

    fn member_usage(&mut self, cold: &Cold) -> Option<&mut Usage> {
        self.usages.members.get_mut(cold.member as usize)
    }
}

/// This worker's share of at most 1,000 answers in any second (crds.md §5.3): of up to 100 workers,
/// as each may send one at once.
fn answer_budget(workers: u16, now: Nanos) -> Budget {
    let share = |all: u32| (all / u32::from(workers.max(1))).max(1);
    Budget::new(share(900), share(100), now)
}

#[cfg(test)]
mod tests;
