//! One pinned thread that moves packets: polls, asks the engine, sends, and sleeps when idle.
//!
//! Owns the order of one turn: one clock read, one look at the configuration, one load of the gate;
//! then ports, rings, timers, and what goes out. Decides nothing about a packet, logs nothing.
//! Invariant: nothing is shared with another packet thread but rings of which each has one end.
//! Sources: architecture.md §3; performance.md P14; licensing.md LIC-801, LIC-805.

use std::sync::Arc;

use arc_swap::Cache;
use capsule::{Mbuf, Pool, RxQueue, cycles};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use tmm_config::{Config, GateWord, Nanos};
use tmm_engine::{Event, Handed, Outbox, Worker};
use tmm_wire::PortId;

use crate::clock::BurstClock;
use crate::flow_listing::FlowPage;
use crate::sample::{LoopCounters, SampleSource};
use crate::shared::{Life, Shared};
use crate::transmit::{Relay, Transmit};

/// Rings to and from another packet thread.
#[derive(Debug)]
pub struct Neighbour {
    /// Frames for it.
    pub to: rtrb::Producer<Handed<Mbuf>>,
    /// Frames from it.
    pub from: rtrb::Consumer<Handed<Mbuf>>,
    /// Its index.
    pub worker: u16,
}

/// Everything one packet thread owns.
#[derive(Debug)]
pub struct PacketThread {
    /// Index of the thread.
    pub index: u16,
    /// The engine.
    pub worker: Worker<Pool>,
    /// Receive queues that it polls.
    pub receive: Vec<(PortId, RxQueue)>,
    /// Ways out, one a port.
    pub transmit: Vec<Transmit>,
    /// Frames of threads that have no queue of a port.
    pub relays: Vec<Relay>,
    /// The other packet threads.
    pub neighbours: Vec<Neighbour>,
    /// Facts for the control side.
    pub events: rtrb::Producer<Event>,
    /// Listings of flows that are asked for.
    pub listings: rtrb::Consumer<Box<FlowPage>>,
    /// Listings that are done.
    pub listed: rtrb::Producer<Box<FlowPage>>,
    /// Copies of counters for the control side.
    pub samples: SampleSource,
    /// The shared words.
    pub shared: Arc<Shared>,
    /// Cycles a second.
    pub cycles_per_second: u64,
    /// Ports of the process, for the outbox.
    pub ports: usize,
}

/// What the loop keeps from turn to turn.
struct Turn {
    out: Outbox<Mbuf>,
    frames: Vec<Mbuf>,
    handed: Vec<Handed<Mbuf>>,
    polls: LoopCounters,
    empty_in_a_row: u32,
    next_sample: Nanos,
    next_volumes: Nanos,
    listing: Option<Box<FlowPage>>,
}

impl PacketThread {
    /// Polls until the process ends.
    pub fn run(mut self) {
        // Sleeps of 50 us would become 100 us. Without it they only last longer.
        let _ = prctl::set_timerslack(1);
        let workers = self.neighbours.len() + 1;
        let mut turn = Turn {
            out: Outbox::new(self.ports, workers, OUTBOX),
            frames: Vec::with_capacity(BURST),
            handed: Vec::with_capacity(BURST),
            polls: LoopCounters::default(),
            empty_in_a_row: 0,
            next_sample: Nanos(0),
            next_volumes: Nanos(0),
            listing: None,
        };
        let shared = Arc::clone(&self.shared);
        let mut config = Cache::new(&shared.config);
        let started = cycles();
        let mut clock = BurstClock::new(self.cycles_per_second, started);
        loop {
            let begin = cycles();
            let now = clock.read(begin);
            match shared.life() {
                Life::Running => {}
                Life::Draining => self.worker.refuse_new_flows(),
                Life::Ending => break,
            }
            self.look_at(config.load());
            let gate = shared.gate.load();
            let mut is_busy = self.take_in(gate, now, &mut turn);
            self.worker.tick(gate, now, &mut turn.out);
            is_busy |= self.give_out(now, &mut turn);
            is_busy |= self.list(now, &mut turn.listing);
            if is_busy {
                turn.polls.busy_polls += 1;
                turn.polls.busy_cycles += cycles().wrapping_sub(begin);
                turn.empty_in_a_row = 0;
            } else {
                turn.polls.empty_polls += 1;
                turn.empty_in_a_row = turn.empty_in_a_row.saturating_add(1);
            }
            if now >= turn.next_sample {
                turn.polls.total_cycles = begin.wrapping_sub(started);
                turn.next_sample = now.plus(SAMPLE_EVERY);
                self.publish(now, &turn.polls);
            }
            if now >= turn.next_volumes {
                turn.next_volumes = now.plus(VOLUMES_EVERY);
                // Gathered by the next ticks, a bounded piece each.
                self.worker.ask_volumes();
            }
            if turn.empty_in_a_row > EMPTY_POLLS {
                let _ =
                    clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &NAP);
            }
        }
    }

    /// Takes a newer configuration, if there is one.
    #[inline]
    fn look_at(&mut self, config: &Arc<Config>) {
        if Arc::ptr_eq(config, self.worker.config()) {
            return;
        }
        // The control side still holds the former one, so this frees nothing.
        drop(self.worker.set_config(Arc::clone(config)));
        self.shared.take(usize::from(self.index), config.generation());
    }

    /// Frames of the ports, then those of other threads. Returns whether there were any.
    #[inline]
    fn take_in(&mut self, gate: GateWord, now: Nanos, turn: &mut Turn) -> bool {
        let mut is_busy = false;
        for (port, queue) in &mut self.receive {
            if queue.rx_burst(&mut turn.frames) > 0 {
                is_busy = true;
                self.worker.burst(*port, &mut turn.frames, gate, now, &mut turn.out);
            }
        }
        for neighbour in &mut self.neighbours {
            while turn.handed.len() < BURST {
                let Ok(handed) = neighbour.from.pop() else { break };
                turn.handed.push(handed);
            }
            if !turn.handed.is_empty() {
                is_busy = true;
                self.worker.handed(&mut turn.handed, gate, now, &mut turn.out);
            }
        }
        is_busy
    }

    /// Frames to ports and other threads, facts to the control side. Returns whether there were
    /// any.
    #[inline]
    fn give_out(&mut self, now: Nanos, turn: &mut Turn) -> bool {
        let mut is_busy = false;
        for transmit in &mut self.transmit {
            is_busy |= transmit.flush(&mut self.worker, &mut turn.out, now);
        }
        for relay in &mut self.relays {
            let own = self.transmit.get_mut(relay.place).and_then(Transmit::queue);
            is_busy |= own.is_some_and(|queue| relay.flush(queue, now));
        }
        for neighbour in &mut self.neighbours {
            let waiting = turn.out.worker(neighbour.worker);
            if waiting.is_empty() {
                continue;
            }
            is_busy = true;
            let room = neighbour.to.slots().min(waiting.len());
            for handed in waiting.drain(..room) {
                // The ring has room; only this thread fills it.
                let _ = neighbour.to.push(handed);
            }
            let frames =
                waiting.iter().filter(|handed| matches!(handed, Handed::Frame { .. })).count();
            waiting.clear();
            self.worker.hand_refused(frames as u64);
        }
        let events = turn.out.events();
        let room = self.events.slots().min(events.len());
        for event in events.drain(..room) {
            // As above. What has no room waits in the outbox.
            let _ = self.events.push(event);
        }
        is_busy
    }

    /// Goes on with a listing of flows, if one is asked for. Returns whether there is one.
    #[inline]
    fn list(&mut self, now: Nanos, listing: &mut Option<Box<FlowPage>>) -> bool {
        if listing.is_none() {
            *listing = self.listings.pop().ok();
        }
        let Some(page) = listing else { return false };
        let is_done = page.advance(self.worker.flows(), now);
        if let Some(page) = listing.take_if(|_| is_done) {
            // The ring has as much room as pages may be asked for.
            let _ = self.listed.push(page);
        }
        true
    }

    fn publish(&mut self, now: Nanos, polls: &LoopCounters) {
        let worker = &self.worker;
        self.samples.publish(|sample| {
            sample.at = now;
            sample.counters.copy_from(worker.counters());
            sample.polls = *polls;
            sample.flows = worker.flows().len();
            sample.flow_capacity = worker.flows().capacity();
            sample.flow_bytes = worker.flows().memory_bytes() as u64;
            sample.ports = worker.flows().port_use();
            sample.usage.copy(worker.flows().usages(), worker.config());
        });
    }
}

/// Frames of one burst.
pub const BURST: usize = 32;
/// Frames that may wait for one port.
const OUTBOX: usize = 512;
/// Turns without work before the thread sleeps (P14).
const EMPTY_POLLS: u32 = 64;
/// How long it sleeps.
const NAP: TimeSpec = TimeSpec::new(0, 50_000);
/// Time between two copies of the counters.
const SAMPLE_EVERY: Nanos = Nanos::from_millis(100);
/// How often packets and bytes of open flows are gathered, which visits every session.
const VOLUMES_EVERY: Nanos = Nanos::from_secs(1);
