//! From settings to running packet threads.
//!
//! Order: gate closed, memory, environment, ports, engines, threads (LIC-800: nothing polls before
//! the closed gate exists). Every failure is one error that names its fix.

use std::fs;
use std::sync::Arc;

use capsule::{
    CpuId, Eal, EalError, Lcore, LcoreError, Mbuf, Memory, Pool, PoolError, PoolSpec, Port,
    RxQueue, TxQueue, cycles_per_second,
};
use tmm_config::Config;
use tmm_engine::flows::{FlowSetup, Flows, HashKeys};
use tmm_engine::net::NetSizes;
use tmm_engine::{Event, Handed, SetupError, Worker, WorkerSetup};
use tmm_wire::{MacAddr, PortId};

use crate::clock;
use crate::control::lister::FlowLine;
use crate::packet_thread::{BURST, Neighbour, PacketThread};
use crate::ports::{self, OpenError, OpenPort};
use crate::random::{RandomError, random, random_bytes};
use crate::sample::{SampleSink, samples};
use crate::settings::Settings;
use crate::shared::{Life, Shared};
use crate::sizing::{self, Demand, SizingError};
use crate::transmit::{Relay, Transmit, Way, relay};

/// Why the data plane cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Memory does not suffice.
    #[error(transparent)]
    Sizing(#[from] SizingError),
    /// DPDK does not start.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// No packet buffers.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A port cannot be opened.
    #[error(transparent)]
    Port(#[from] OpenError),
    /// An engine cannot be made.
    #[error(transparent)]
    Engine(#[from] SetupError),
    /// A packet thread cannot be started.
    #[error(transparent)]
    Thread(#[from] LcoreError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl StartError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Sizing(error) => error.code(),
            Self::Eal(error) => error.code(),
            Self::Pool(error) => error.code(),
            Self::Port(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::Thread(error) => error.code(),
            Self::Random(error) => error.code(),
        }
    }
}

/// The running data plane, as the control side holds it.
#[derive(Debug)]
pub struct DataPlane {
    /// The shared words.
    pub shared: Arc<Shared>,
    /// The ports, by index.
    pub ports: Vec<(PortId, Port, MacAddr)>,
    /// Counters of each thread.
    pub samples: Vec<SampleSink>,
    /// Facts of each thread.
    pub events: Vec<rtrb::Consumer<Event>>,
    /// Listings of each thread's flows.
    pub listings: Vec<FlowLine>,
    /// The threads.
    pub threads: Vec<Lcore<()>>,
    /// Places for ports, one more than the highest index.
    pub port_places: usize,
    /// The environment.
    pub eal: Eal,
}

/// Starts everything that `settings` name.
///
/// # Errors
///
/// [`StartError`].
pub fn start(settings: &Settings) -> Result<DataPlane, StartError> {
    let workers = settings.cores.data.len();
    let shared = Arc::new(Shared::new(workers));
    let file = &settings.file;
    let mut kinds = Vec::new();
    for entry in &file.ports {
        kinds.push(ports::kind(entry)?);
    }
    let flows = flow_setup(settings, workers)?;
    let demand = Demand {
        memory_mib: file.memory,
        workers: narrow(workers),
        ports: narrow(kinds.len()),
        queue_pairs: narrow(kinds.len() * workers),
        frame_room: ports::frame_room(&kinds),
        hugepages: file.hugepages,
        flows: file.flows,
        flow_bytes: Flows::bytes_for(&flows) as u64 * workers as u64,
        available: available_memory(),
    };
    let plan = sizing::plan(&demand)?;

    let cores: Vec<CpuId> = settings.cores.data.iter().copied().map(CpuId).collect();
    let memory = if file.hugepages { Memory::InMemory } else { Memory::NoHuge };
    let builder = Eal::builder().cores(&cores).memory(memory).memory_mib(plan.eal_mib);
    let eal = kinds.iter().fold(builder, |builder, kind| builder.port(kind)).init()?;
    let mut spec = PoolSpec::new("frames", plan.packets);
    spec.frame_room = demand.frame_room;
    let pool = Pool::new(&eal, &spec)?;

    let mut open = Vec::new();
    for (entry, kind) in file.ports.iter().zip(&kinds) {
        // Names are checked with the settings.
        let Some(id) = entry.id() else { continue };
        let workers = u16::try_from(workers).unwrap_or(u16::MAX);
        open.push(ports::open(&eal, &pool, entry, id, kind, workers, settings)?);
    }
    let mut parts = divide(&mut open, workers);
    let port_places = open.iter().map(|port| usize::from(port.id.0) + 1).max().unwrap_or(0);
    let mut macs = vec![MacAddr::default(); port_places];
    for port in &open {
        macs[usize::from(port.id.0)] = port.mac;
    }

    let (mut threads, mut sinks, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let mut listings = Vec::new();
    for (index, part) in parts.drain(..).enumerate() {
        let setup = WorkerSetup {
            worker: u16::try_from(index).unwrap_or(u16::MAX),
            workers: u16::try_from(workers).unwrap_or(u16::MAX),
            macs: macs.clone(),
            burst: BURST,
            net: NetSizes::default(),
            flows: FlowSetup {
                seed: random()?,
                worker: u16::try_from(index).unwrap_or(u16::MAX),
                ..flows
            },
            seed: random()?,
        };
        let config = Arc::new(Config::default());
        let worker = Worker::new(&setup, config, pool.clone(), clock::boot())?;
        let (source, sink) = samples(port_places, 3);
        let (give_event, take_event) = rtrb::RingBuffer::new(EVENTS);
        let (ask, asked) = rtrb::RingBuffer::new(LISTINGS);
        // Besides those that wait, the thread may have one in hand.
        let (listed, answer) = rtrb::RingBuffer::new(LISTINGS + 1);
        let thread = PacketThread {
            index: setup.worker,
            worker,
            receive: part.receive,
            transmit: part.transmit,
            relays: part.relays,
            neighbours: part.neighbours,
            events: give_event,
            listings: asked,
            listed,
            samples: source,
            shared: Arc::clone(&shared),
            cycles_per_second: cycles_per_second(),
            ports: port_places,
        };
        sinks.push(sink);
        events.push(take_event);
        listings.push(FlowLine { ask, answer });
        threads.push(thread);
    }
    let mut running = Vec::new();
    for (thread, cpu) in threads.into_iter().zip(cores) {
        match Lcore::spawn(&eal, cpu, move || thread.run()) {
            Ok(thread) => running.push(thread),
            Err(error) => {
                // Those that run already use what is freed at the end of this function.
                shared.set_life(Life::Ending);
                for thread in running {
                    // The first failure is the one to tell.
                    let _ = thread.join();
                }
                return Err(error.into());
            }
        }
    }
    let ports = open.into_iter().map(|port| (port.id, port.port, port.mac)).collect();
    Ok(DataPlane {
        shared,
        ports,
        samples: sinks,
        events,
        listings,
        threads: running,
        port_places,
        eal,
    })
}

/// What one thread polls and sends by.
#[derive(Debug, Default)]
struct Part {
    receive: Vec<(PortId, RxQueue)>,
    transmit: Vec<Transmit>,
    relays: Vec<Relay>,
    neighbours: Vec<Neighbour>,
}

/// Gives queues and rings to threads: queue i of a port to thread i; a port's only queue to the
/// threads in turn.
fn divide(open: &mut [OpenPort], workers: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = (0..workers).map(|_| Part::default()).collect();
    for (place, port) in open.iter_mut().enumerate() {
        let id = port.id;
        for (queue, receive) in port.queues.rx.drain(..).enumerate() {
            parts[(place + queue) % workers].receive.push((id, receive));
        }
        let mut queues: Vec<Option<TxQueue>> = port.queues.tx.drain(..).map(Some).collect();
        let owner = place % workers;
        let has_all = queues.len() >= workers;
        for (index, part) in parts.iter_mut().enumerate() {
            let own = if has_all { index } else { 0 };
            let takes = has_all || index == owner;
            if let Some(queue) = queues.get_mut(own).filter(|_| takes).and_then(Option::take) {
                part.transmit.push(Transmit::new(id, Way::Queue(queue)));
            }
        }
        if has_all {
            continue;
        }
        for index in (0..workers).filter(|index| *index != owner) {
            let (way, end) = relay(place);
            parts[index].transmit.push(Transmit::new(id, way));
            parts[owner].relays.push(end);
        }
    }
    for from in 0..workers {
        for to in from + 1..workers {
            let (one, other) = neighbours(from, to);
            parts[from].neighbours.push(one);
            parts[to].neighbours.push(other);
        }
    }
    parts
}

/// The rings between two threads.
fn neighbours(from: usize, to: usize) -> (Neighbour, Neighbour) {
    let (there, there_end) = rtrb::RingBuffer::<Handed<Mbuf>>::new(HAND_OVER);
    let (back, back_end) = rtrb::RingBuffer::<Handed<Mbuf>>::new(HAND_OVER);
    let number = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
    (
        Neighbour { to: there, from: back_end, worker: number(to) },
        Neighbour { to: back, from: there_end, worker: number(from) },
    )
}

fn flow_setup(settings: &Settings, workers: usize) -> Result<FlowSetup, StartError> {
    let key = || random_bytes().map(u128::from_ne_bytes);
    let each = settings.file.flows.div_ceil(narrow(workers));
    Ok(FlowSetup {
        sessions_v4: each,
        sessions_v6: each,
        keys: HashKeys([key()?, key()?, key()?, key()?, key()?]),
        seed: 0,
        limit_bytes: None,
        worker: 0,
        workers: u16::try_from(workers).unwrap_or(u16::MAX),
    })
}

/// Bytes that ordinary memory has left: of the machine, and of the container if it has a limit.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    Some(limit.map_or(machine, |limit| machine.min(limit.saturating_sub(used))))
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Facts that may wait for the control side.
const EVENTS: usize = 1024;
/// Listings that may wait for a thread.
const LISTINGS: usize = 4;
/// Frames that may wait between two threads.
const HAND_OVER: usize = 2048;
