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

mod hash;
mod index;
mod session;
mod table;

pub use hash::HashKeys;
use hash::Hasher;
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
    hasher: Hasher,
    v4: Table<u64>,
    v6: Table<[u64; 4]>,
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
            hasher: Hasher::new(&setup.keys),
            v4: Table::new(setup.sessions_v4).ok_or(too_little)?,
            v6: Table::new(setup.sessions_v6).ok_or(too_little)?,
        })
    }

    /// Sessions now, IPv4 and IPv6.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.v4.len() + self.v6.len()
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
