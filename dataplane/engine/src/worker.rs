//! One worker: the fate of each packet of a burst, in stages.
//!
//! Owns everything a worker has and the order of stages: flows' hit path, then one by one layer 2,
//! ARP and ND, local services, gate, flows' closer look. When the gate is closed every frame takes
//! the second way, so that housekeeping lives and all else is counted `license_closed`. Reads no
//! clock and shares nothing but the configuration.
//!
//! Invariant: between calls [`Counters::identity`] holds.
//! Sources: architecture.md §3, §3.1; licensing.md §12.1 (LIC-800 to LIC-803).

use std::sync::Arc;

use tmm_config::{Config, GateWord, Nanos};
use tmm_wire::{MacAddr, PacketBuf, PacketPool, PortId};

use crate::counters::Counters;
use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::flows::{FlowSetup, FlowSetupError, Flows};
use crate::monitor::{Monitors, Probes};
use crate::net::{Net, NetSizes};
use crate::out::{Handed, Outbox};
use crate::stages;

/// What a worker is made with.
#[derive(Clone, Debug)]
pub struct WorkerSetup {
    /// Index of this worker, below `workers`. Worker 0 probes members and gateways.
    pub worker: u16,
    /// How many workers there are, 1 or more.
    pub workers: u16,
    /// MAC of each port, by port index.
    pub macs: Vec<MacAddr>,
    /// Frames of one burst; a larger one makes a vector grow once.
    pub burst: usize,
    /// Sizes of the neighbourhood.
    pub net: NetSizes,
    /// Sizes and keys of the flow table.
    pub flows: FlowSetup,
    /// Random seed of this worker, for source ports, identifiers and table hashes.
    pub seed: u64,
}

/// Why a worker could not be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The flow table does not fit.
    #[error(transparent)]
    Flows(#[from] FlowSetupError),
    /// A worker that is not one of the workers, or no worker at all.
    #[error("worker {worker} of {workers}: the index must be below the number of workers")]
    Index {
        /// The index.
        worker: u16,
        /// The number of workers.
        workers: u16,
    },
}

impl SetupError {
    /// Stable label for metrics and logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Flows(error) => error.code(),
            Self::Index { .. } => "worker_index",
        }
    }
}

/// One worker over packets of the pool `P`.
#[derive(Debug)]
pub struct Worker<P: PacketPool> {
    config: Arc<Config>,
    net: Net<P::Buf>,
    flows: Flows,
    monitors: Monitors,
    probes: Probes,
    counters: Counters,
    pool: P,
    /// What the hit path leaves over; empty between calls.
    rest: Vec<P::Buf>,
    /// Whether the gate passed at the last call.
    was_open: bool,
    worker: u16,
    workers: u16,
}

impl<P: PacketPool> Worker<P> {
    /// Makes a worker and reserves all its memory.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn new(
        setup: &WorkerSetup,
        config: Arc<Config>,
        pool: P,
        now: Nanos,
    ) -> Result<Self, SetupError> {
        if setup.worker >= setup.workers {
            return Err(SetupError::Index { worker: setup.worker, workers: setup.workers });
        }
        let mut net = Net::new(setup.net, &setup.macs, setup.seed, now);
        let mut counters = Counters::new(setup.macs.len());
        net.reconfigure(&config, &mut counters);
        Ok(Self {
            flows: Flows::new(&setup.flows)?,
            monitors: Monitors::default(),
            probes: Probes::new(setup.seed),
            counters,
            rest: Vec::with_capacity(setup.burst),
            was_open: false,
            worker: setup.worker,
            workers: setup.workers,
            config,
            net,
            pool,
        })
    }

    /// Takes `config` from the next burst on and gives the former one back, to be freed by the
    /// control thread.
    pub fn set_config(&mut self, config: Arc<Config>) -> Arc<Config> {
        self.net.reconfigure(&config, &mut self.counters);
        core::mem::replace(&mut self.config, config)
    }

    /// Decides every frame of `frames`, which came by `port`, and leaves `frames` empty.
    pub fn burst(
        &mut self,
        port: PortId,
        frames: &mut Vec<P::Buf>,
        gate: GateWord,
        now: Nanos,
        out: &mut Outbox<P::Buf>,
    ) {
        if frames.is_empty() {
            return;
        }
        self.count_received(port, frames);
        let open = self.look_at_gate(gate, now, out);
        let mut rest = core::mem::take(&mut self.rest);
        let (flows, monitors, mut ctx) = self.parts(now, out);
        if open {
            flows.fast(port, frames, &mut rest, &mut ctx);
        } else {
            rest.append(frames);
        }
        for buf in rest.drain(..) {
            stages::decide(buf, port, open, flows, monitors, &mut ctx);
        }
        self.rest = rest;
    }

    /// Decides what other workers handed to this one: their frames, which at most go on to the one
    /// other worker that may have their flow (`flows::owner`), and their neighbours. Leaves `frames` empty.
    pub fn handed(
        &mut self,
        frames: &mut Vec<Handed<P::Buf>>,
        gate: GateWord,
        now: Nanos,
        out: &mut Outbox<P::Buf>,
    ) {
        let open = self.look_at_gate(gate, now, out);
        let (flows, monitors, mut ctx) = self.parts(now, out);
        ctx.is_handed = true;
        for handed in frames.drain(..) {
            match handed {
                Handed::Frame { buf, port } => {
                    ctx.counters.handed_in += 1;
                    stages::decide(buf, port, open, flows, monitors, &mut ctx);
                }
                Handed::Neighbour(fact) => ctx.learn(fact),
            }
        }
    }

    /// Runs everything that time drives, a bounded piece of it. To be called once a loop of the
    /// shell, also when no packet came.
    pub fn tick(&mut self, gate: GateWord, now: Nanos, out: &mut Outbox<P::Buf>) {
        let open = self.look_at_gate(gate, now, out);
        let (flows, monitors, mut ctx) = self.parts(now, out);
        flows.sweep(&mut ctx);
        crate::timers::run(&mut ctx);
        monitors.tick(open, flows, &mut ctx);
    }

    /// From now on opens no flow; those there are go on (OPS-161).
    pub const fn refuse_new_flows(&mut self) {
        self.flows.refuse_new();
    }

    /// Counts `frames` frames of `bytes` bytes that the device of `port` did not take.
    pub fn tx_refused(&mut self, port: PortId, frames: u64, bytes: u64) {
        self.counters.tx_refused(port, frames, bytes);
    }

    /// Counts `frames` frames that another worker's full ring did not take.
    pub fn hand_refused(&mut self, frames: u64) {
        self.counters.hand_refused(frames);
    }

    /// Counters of this worker.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Flows of this worker.
    #[must_use]
    pub const fn flows(&self) -> &Flows {
        &self.flows
    }

    /// Asks for the volumes of open flows; the next ticks gather them into [`Flows::usages`].
    pub const fn ask_volumes(&mut self) {
        self.flows.ask_volumes();
    }

    /// The neighbourhood of this worker.
    #[must_use]
    pub const fn net(&self) -> &Net<P::Buf> {
        &self.net
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Whether the gate passes at `now`. When it closed since the last call, what waits for next hops
    /// is dropped: it would leave behind a closed gate.
    fn look_at_gate(&mut self, gate: GateWord, now: Nanos, out: &mut Outbox<P::Buf>) -> bool {
        let open = gate.passes(now);
        if core::mem::replace(&mut self.was_open, open) && !open {
            let (.., mut ctx) = self.parts(now, out);
            ctx.release_all(DropReason::LicenseClosed);
        }
        open
    }

    fn count_received(&mut self, port: PortId, frames: &[P::Buf]) {
        let bytes: usize = frames.iter().map(PacketBuf::packet_len).sum();
        self.counters.received(port, frames.len(), bytes);
    }

    fn parts<'a>(
        &'a mut self,
        now: Nanos,
        out: &'a mut Outbox<P::Buf>,
    ) -> (&'a mut Flows, &'a mut Monitors, Ctx<'a, P>) {
        let ctx = Ctx {
            config: &self.config,
            now,
            net: &mut self.net,
            counters: &mut self.counters,
            probes: &mut self.probes,
            out,
            pool: &mut self.pool,
            worker: self.worker,
            workers: self.workers,
            is_handed: false,
        };
        (&mut self.flows, &mut self.monitors, ctx)
    }
}
