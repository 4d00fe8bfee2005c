//! What leaves a worker in a burst: frames per port, frames for other workers, facts.
//!
//! The shell drains it after each call into the engine and gives back what a device or a ring
//! refused (`Worker::tx_refused`, `Worker::hand_refused`). Decides nothing.
//!
//! Invariant: no vector ever grows past the capacity it was made with.

use std::net::IpAddr;

use tmm_config::config::{MemberState, VlanSlot};
use tmm_wire::{MacAddr, PortId};

/// Something for another worker's ring.
#[derive(Debug)]
pub enum Handed<B> {
    /// A frame as it came from `port`, whose owner is the other worker.
    Frame {
        /// The frame.
        buf: B,
        /// The port it came from.
        port: PortId,
    },
    /// A neighbour told its MAC; every worker keeps its own table.
    Neighbour(NeighbourFact),
}

/// How a neighbour came to tell its MAC: what it may change (RFC 826, RFC 4861 §7.2.3, §7.2.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// It asked us, from our subnet: it is made known, and believed.
    Asked,
    /// It answered us, which confirms it.
    Answered {
        /// Whether it may replace another MAC.
        overrides: bool,
    },
    /// It told everyone unasked, which proves nothing.
    Announced {
        /// Whether it may replace another MAC.
        overrides: bool,
    },
    /// It asked for somebody else.
    Mentioned,
}

impl Told {
    /// Whether it makes an entry where there is none.
    pub(crate) const fn creates(self) -> bool {
        matches!(self, Self::Asked)
    }

    /// Whether the entry is known to be right from now on.
    pub(crate) const fn confirms(self) -> bool {
        matches!(self, Self::Asked | Self::Answered { .. })
    }

    /// Whether it may replace another MAC.
    pub(crate) const fn overrides(self) -> bool {
        match self {
            Self::Answered { overrides } | Self::Announced { overrides } => overrides,
            Self::Asked | Self::Mentioned => true,
        }
    }
}

/// A neighbour's MAC as it told it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NeighbourFact {
    /// VLAN it is on.
    pub vlan: VlanSlot,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: MacAddr,
    /// How it told.
    pub told: Told,
}

/// A state change that the control thread must know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A member went up or down (log 01010057).
    Member(MemberEvent),
    /// A gateway of a route stopped or began to answer.
    Gateway {
        /// VLAN it is on.
        vlan: VlanSlot,
        /// Its address.
        address: IpAddr,
        /// Whether it answers.
        alive: bool,
    },
}

/// A member's new state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberEvent {
    /// Pool by name.
    pub pool: String,
    /// Member address.
    pub address: IpAddr,
    /// Member port as configured; 0 is the client's.
    pub port: u16,
    /// [`MemberState::Up`] or [`MemberState::Down`].
    pub state: MemberState,
    /// Why.
    pub reason: MemberReason,
}

/// Why a member changed state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberReason {
    /// Every monitor succeeds.
    Answered,
    /// No answer at all within the timeout.
    NoAnswer,
    /// Probes were refused for the timeout (RST, ABORT, ICMP unreachable).
    Refused,
    /// Answers did not contain what they must.
    WrongAnswer,
    /// No route, no self IP towards the member, or its neighbour does not answer.
    Unreachable,
}

impl MemberReason {
    /// Stable label for logs, conditions and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoAnswer => "no_answer",
            Self::Refused => "refused",
            Self::WrongAnswer => "wrong_answer",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Output of one worker. Made once; every vector has a fixed capacity.
#[derive(Debug)]
pub struct Outbox<B> {
    ports: Vec<Vec<B>>,
    workers: Vec<Vec<Handed<B>>>,
    events: Vec<Event>,
    capacity: usize,
}

impl<B> Outbox<B> {
    /// Room for `capacity` frames towards each of `ports` ports and each of `workers` workers, and
    /// for as many events.
    #[must_use]
    pub fn new(ports: usize, workers: usize, capacity: usize) -> Self {
        Self {
            ports: (0..ports).map(|_| Vec::with_capacity(capacity)).collect(),
            workers: (0..workers).map(|_| Vec::with_capacity(capacity)).collect(),
            events: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Frames to transmit by `port`, to be drained by the shell.
    ///
    /// # Panics
    ///
    /// If there is no such port: the shell made the outbox.
    #[must_use]
    pub fn port(&mut self, port: PortId) -> &mut Vec<B> {
        &mut self.ports[usize::from(port.0)]
    }

    /// What goes to `worker`'s ring, to be drained by the shell.
    ///
    /// # Panics
    ///
    /// If there is no such worker: the shell made the outbox.
    #[must_use]
    pub fn worker(&mut self, worker: u16) -> &mut Vec<Handed<B>> {
        &mut self.workers[usize::from(worker)]
    }

    /// State changes for the control thread, to be drained by the shell.
    #[must_use]
    pub const fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    /// How many ports there are.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> u16 {
        u16::try_from(self.workers.len()).unwrap_or(u16::MAX)
    }

    /// Whether nothing waits to be drained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.iter().all(Vec::is_empty)
            && self.workers.iter().all(Vec::is_empty)
            && self.events.is_empty()
    }

    /// Queues a frame, or gives it back if the queue is full or the port does not exist.
    #[inline]
    pub(crate) fn push(&mut self, port: PortId, buf: B) -> Result<(), B> {
        match self.ports.get_mut(usize::from(port.0)) {
            Some(queue) if queue.len() < self.capacity => {
                queue.push(buf);
                Ok(())
            }
            _ => Err(buf),
        }
    }

    /// Queues all of `bufs`, or leaves them all if they do not fit or the port does not exist.
    #[inline]
    pub(crate) fn append(&mut self, port: PortId, bufs: &mut Vec<B>) -> bool {
        match self.ports.get_mut(usize::from(port.0)) {
            Some(queue) if queue.len() + bufs.len() <= self.capacity => {
                queue.append(bufs);
                true
            }
            _ => false,
        }
    }

    /// Queues something for a worker, or gives it back if the queue is full.
    pub(crate) fn hand(&mut self, worker: u16, handed: Handed<B>) -> Result<(), Handed<B>> {
        match self.workers.get_mut(usize::from(worker)) {
            Some(queue) if queue.len() < self.capacity => {
                queue.push(handed);
                Ok(())
            }
            _ => Err(handed),
        }
    }

    /// Queues an event; false if there is no room now.
    pub(crate) fn event(&mut self, event: Event) -> bool {
        let room = self.events.len() < self.capacity;
        if room {
            self.events.push(event);
        }
        room
    }

    /// Whether another event fits.
    pub(crate) const fn has_event_room(&self) -> bool {
        self.events.len() < self.capacity
    }
}
