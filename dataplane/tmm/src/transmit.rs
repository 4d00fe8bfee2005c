//! How frames leave: by an own transmit queue, or by the thread that has one.
//!
//! Frames that a device does not take at once wait in the outbox for the next turn, which smooths
//! bursts; a port that takes nothing for 1 ms loses what waits, and all of it is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use capsule::{Mbuf, Pool, TxQueue};
use tmm_config::Nanos;
use tmm_engine::{Outbox, Worker};
use tmm_wire::{PacketBuf, PortId};

use crate::packet_thread::BURST;

/// Where one thread's frames for one port go.
#[derive(Debug)]
pub enum Way {
    /// The device.
    Queue(TxQueue),
    /// The thread that has the port's only queue.
    Thread {
        /// The ring to it.
        ring: rtrb::Producer<Mbuf>,
        /// Frames of this ring that the device did not take, so far.
        refused: Arc<AtomicU64>,
        /// How many of them are counted.
        counted: u64,
    },
}

/// The end of another thread's [`Way::Thread`], at the thread that has the queue.
#[derive(Debug)]
pub struct Relay {
    /// Place of the port's own way in the thread's list.
    pub place: usize,
    ring: rtrb::Consumer<Mbuf>,
    refused: Arc<AtomicU64>,
    waiting: Vec<Mbuf>,
    stalled: Option<Nanos>,
}

/// Both ends of a way through another thread, whose own way is at `place` of its list.
#[must_use]
pub fn relay(place: usize) -> (Way, Relay) {
    let (ring, end) = rtrb::RingBuffer::new(RELAY);
    let refused = Arc::new(AtomicU64::new(0));
    let way = Way::Thread { ring, refused: Arc::clone(&refused), counted: 0 };
    let waiting = Vec::with_capacity(BURST);
    (way, Relay { place, ring: end, refused, waiting, stalled: None })
}

impl Relay {
    /// Sends what came by the ring to `queue`. Returns whether there was anything.
    pub fn flush(&mut self, queue: &mut TxQueue, now: Nanos) -> bool {
        while self.waiting.len() < BURST {
            let Ok(frame) = self.ring.pop() else { break };
            self.waiting.push(frame);
        }
        if self.waiting.is_empty() {
            return false;
        }
        let before = queue.refused();
        let sent = queue.tx_burst(&mut self.waiting);
        let mut refused = queue.refused() - before;
        if self.waiting.is_empty() || sent > 0 {
            self.stalled = None;
        } else if self.stalled.is_some_and(|since| now.since(since) >= PATIENCE) {
            refused += self.waiting.len() as u64;
            self.waiting.clear();
            self.stalled = None;
        } else {
            self.stalled = self.stalled.or(Some(now));
        }
        if refused > 0 {
            self.refused.fetch_add(refused, Ordering::Relaxed);
        }
        sent > 0
    }
}

/// One thread's way out by one port.
#[derive(Debug)]
pub struct Transmit {
    port: PortId,
    way: Way,
    /// Since when the device takes nothing.
    stalled: Option<Nanos>,
}

impl Transmit {
    /// Frames for `port` leave by `way`.
    #[must_use]
    pub const fn new(port: PortId, way: Way) -> Self {
        Self { port, way, stalled: None }
    }

    /// The device's queue, if this thread has it.
    pub fn queue(&mut self) -> Option<&mut TxQueue> {
        match &mut self.way {
            Way::Queue(queue) => Some(queue),
            Way::Thread { .. } => None,
        }
    }

    /// Sends what waits for the port. Returns whether anything left.
    pub fn flush(&mut self, worker: &mut Worker<Pool>, out: &mut Outbox<Mbuf>, now: Nanos) -> bool {
        if let Way::Thread { refused, counted, .. } = &mut self.way {
            let refused = refused.load(Ordering::Relaxed);
            if refused > *counted {
                worker.tx_refused(self.port, refused - *counted, 0);
                *counted = refused;
            }
        }
        let frames = out.port(self.port);
        if frames.is_empty() {
            return false;
        }
        let sent = match &mut self.way {
            Way::Queue(queue) => {
                let before = queue.refused();
                let left = queue.tx_burst(frames);
                let refused = queue.refused() - before;
                if refused > 0 {
                    worker.tx_refused(self.port, refused, 0);
                }
                left
            }
            Way::Thread { ring, .. } => {
                let room = ring.slots().min(frames.len());
                for frame in frames.drain(..room) {
                    // The ring has room; only this thread fills it.
                    let _ = ring.push(frame);
                }
                room
            }
        };
        if sent > 0 || frames.is_empty() {
            self.stalled = None;
            return sent > 0;
        }
        match self.stalled {
            None => self.stalled = Some(now),
            Some(since) if now.since(since) < PATIENCE => {}
            Some(_) => {
                let bytes: usize = frames.iter().map(PacketBuf::packet_len).sum();
                worker.tx_refused(self.port, frames.len() as u64, bytes as u64);
                frames.clear();
            }
        }
        false
    }
}

/// Time after which frames for a port that takes none are dropped.
const PATIENCE: Nanos = Nanos::from_millis(1);
/// Frames that may wait between two threads.
const RELAY: usize = 1024;
