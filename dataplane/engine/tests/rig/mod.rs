//! A worker on a bench: two VLANs, a clock that tests move, frames in, frames out.
//!
//! The accounting identity (OPS-701) is checked after every call. Stations (clients, members,
//! gateways) are crafted by `craft`, what comes out is read by `seen`.
#![allow(dead_code, reason = "each suite uses a part of the rig")]

pub mod craft;
pub mod seen;
pub mod spec;

use std::net::IpAddr;
use std::sync::Arc;

use tmm_config::config::VlanSlot;
use tmm_config::{Config, Facts, GateWord, Nanos, PortFacts, Spec};
use tmm_engine::flows::{FlowSetup, HashKeys};
use tmm_engine::net::NetSizes;
use tmm_engine::{DropReason, Event, Handed, Outbox, Worker, WorkerSetup};
use tmm_wire::buffer::{HeapBuf, HeapPool};
use tmm_wire::{MacAddr, PortId};

pub use craft::Station;
pub use seen::Seen;

/// MAC of our port `1.(n + 1)`.
pub const fn our_mac(port: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, port + 1])
}

/// A small flow table of a worker alone.
pub const fn flow_setup() -> FlowSetup {
    FlowSetup {
        sessions_v4: 4096,
        sessions_v6: 4096,
        keys: HashKeys([3, 1, 4, 1, 5]),
        seed: 9,
        limit_bytes: None,
        worker: 0,
        workers: 1,
    }
}

/// One worker with everything around it.
pub struct Rig {
    pub worker: Worker<HeapPool>,
    pub out: Outbox<HeapBuf>,
    pub now: Nanos,
    pub gate: GateWord,
    pub facts: Facts,
    pub config: Arc<Config>,
    pub events: Vec<Event>,
    /// What went to other workers.
    pub handed: Vec<(u16, Handed<HeapBuf>)>,
}

impl Rig {
    /// A worker alone with an open gate.
    pub fn new(spec: &Spec) -> Self {
        Self::with(spec, |_| {})
    }

    /// The same with a changed setup.
    pub fn with(spec: &Spec, change: impl FnOnce(&mut WorkerSetup)) -> Self {
        Self::with_pool(spec, HeapPool::default(), change)
    }

    /// The same over a pool of the test's.
    pub fn with_pool(spec: &Spec, pool: HeapPool, change: impl FnOnce(&mut WorkerSetup)) -> Self {
        let mut facts = Facts::default();
        for port in 0..2 {
            facts.ports.insert(PortId(port), PortFacts { max_mtu: 9100, link_up: true });
        }
        let compiled = Config::compile(None, spec, &facts).expect("the spec is right");
        assert_eq!(compiled.problems, []);
        let config = Arc::new(compiled.config);
        let mut setup = WorkerSetup {
            worker: 0,
            workers: 1,
            macs: vec![our_mac(0), our_mac(1)],
            burst: 64,
            net: NetSizes { adjacencies: 256, hold: 64, hold_per_neighbour: 8 },
            flows: flow_setup(),
            seed: 7,
        };
        change(&mut setup);
        setup.flows.worker = setup.worker;
        setup.flows.workers = setup.workers;
        let now = Nanos::from_secs(1000);
        let worker = Worker::new(&setup, config.clone(), pool, now).expect("the setup is right");
        Self {
            worker,
            out: Outbox::new(2, usize::from(setup.workers), 1024),
            now,
            gate: GateWord::LATCHED,
            facts,
            config,
            events: Vec::new(),
            handed: Vec::new(),
        }
    }

    /// Sends `frame` into `station`'s port and gives what comes out, in order of ports.
    pub fn send(&mut self, station: &Station, frame: Vec<u8>) -> Vec<Seen> {
        self.burst(station.port, vec![frame])
    }

    /// Sends frames in one burst into `port`.
    pub fn burst(&mut self, port: u8, frames: Vec<Vec<u8>>) -> Vec<Seen> {
        self.burst_of(port, frames.iter().map(|frame| HeapBuf::new(frame)).collect())
    }

    /// The same with buffers of the test's.
    pub fn burst_of(&mut self, port: u8, mut bufs: Vec<HeapBuf>) -> Vec<Seen> {
        self.worker.burst(PortId(port), &mut bufs, self.gate, self.now, &mut self.out);
        assert!(bufs.is_empty(), "a burst is drained");
        self.drain()
    }

    /// Gives the worker what another one handed to it.
    pub fn take_handed(&mut self, mut handed: Vec<Handed<HeapBuf>>) -> Vec<Seen> {
        self.worker.handed(&mut handed, self.gate, self.now, &mut self.out);
        self.drain()
    }

    /// Runs what is due now.
    pub fn tick(&mut self) -> Vec<Seen> {
        self.worker.tick(self.gate, self.now, &mut self.out);
        self.drain()
    }

    /// Moves the clock by `millis` in steps of 10 ms, running what is due at each.
    pub fn advance(&mut self, millis: u64) -> Vec<Seen> {
        let end = self.now.plus(Nanos::from_millis(millis));
        let mut seen = Vec::new();
        while self.now < end {
            self.now = self.now.plus(Nanos::from_millis(10)).min(end);
            seen.extend(self.tick());
        }
        seen
    }

    /// Moves the clock as [`Rig::advance`] does, while `SERVER` answers for every neighbour inside
    /// and the client outside; gives what else comes out. Longer times take longer steps.
    pub fn pass(&mut self, millis: u64) -> Vec<Seen> {
        let end = self.now.plus(Nanos::from_millis(millis));
        let step = Nanos::from_millis((millis / 1000).clamp(10, 500));
        let mut others = Vec::new();
        while self.now < end {
            self.now = self.now.plus(step).min(end);
            for seen in self.tick() {
                let station = if seen.port == 0 { craft::CLIENT } else { craft::SERVER };
                match seen.asks_for() {
                    Some((IpAddr::V4(target), IpAddr::V4(asker))) => {
                        self.send(&station, station.arp_reply(target, asker));
                    }
                    Some((IpAddr::V6(target), IpAddr::V6(asker))) => {
                        self.send(&station, station.advertise(target, asker));
                    }
                    _ => others.push(seen),
                }
            }
        }
        others
    }

    /// Compiles `spec` as the next configuration and puts it in force.
    pub fn configure(&mut self, spec: &Spec) {
        let compiled =
            Config::compile(Some(&self.config), spec, &self.facts).expect("the spec is right");
        self.config = Arc::new(compiled.config);
        self.worker.set_config(self.config.clone());
    }

    /// Makes `station` known on its VLAN at `address`, as if it had asked for our self IP.
    pub fn introduce(&mut self, station: &Station, address: &str) {
        let address: IpAddr = address.parse().expect("an address");
        let vlan = self.vlan(station);
        let vlan = self.config.vlan(vlan).expect("the VLAN").clone();
        let frame = match address {
            IpAddr::V4(address) => station.arp_request(address, vlan.self_v4.expect("a self IP").0),
            IpAddr::V6(address) => station.solicit(address, vlan.self_v6.expect("a self IP").0),
        };
        let answer = self.send(station, frame);
        assert_eq!(answer.len(), 1, "our address is answered for");
    }

    /// The VLAN of `station`.
    pub fn vlan(&self, station: &Station) -> VlanSlot {
        let tag = station.tag.map(|tag| tmm_wire::VlanId::new(tag).expect("a tag"));
        self.config.vlan_at(PortId(station.port), tag).expect("the station's VLAN").slot
    }

    /// Packets dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.worker.counters().drops(reason)
    }

    /// Sends one frame that must be dropped for `reason`, and nothing else may happen.
    pub fn must_drop(&mut self, station: &Station, frame: Vec<u8>, reason: DropReason) {
        let before = self.drops(reason);
        let all = self.worker.counters().dropped();
        let seen = self.send(station, frame);
        let rows: Vec<_> = self.worker.counters().drop_rows().filter(|row| row.1 > 0).collect();
        assert_eq!(self.drops(reason), before + 1, "{reason:?}, but: {rows:?}");
        assert_eq!(self.worker.counters().dropped(), all + 1, "{rows:?}");
        assert_eq!(seen, [], "nothing goes out");
    }

    fn drain(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for port in 0..2 {
            seen.extend(self.out.port(PortId(port)).drain(..).map(|buf| Seen::new(port, &buf)));
        }
        let workers = self.worker_count();
        for worker in 0..workers {
            self.handed.extend(self.out.worker(worker).drain(..).map(|item| (worker, item)));
        }
        self.events.append(self.out.events());
        let identity = self.worker.counters().identity();
        assert!(identity.holds(), "{identity:?} {:?}", self.worker.counters());
        seen
    }

    fn worker_count(&self) -> u16 {
        self.out.workers()
    }
}
