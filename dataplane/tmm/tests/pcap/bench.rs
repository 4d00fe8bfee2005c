//! A worker between two pcap ports.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capsule::{Eal, Memory, Pool, PoolSpec, Port, PortKind, PortSpec};
use tmm_config::{Config, Facts, GateWord, Nanos, PortFacts, Spec};
use tmm_engine::flows::{FlowSetup, HashKeys};
use tmm_engine::net::NetSizes;
use tmm_engine::{Outbox, Worker, WorkerSetup};
use tmm_wire::PortId;

use crate::our_mac;
use crate::reading::{Frame, read};

/// What came out, by port.
pub struct Out([Vec<Frame>; 2]);

impl Out {
    /// All frames of a port, in order.
    pub fn all(&self, port: usize) -> Vec<Frame> {
        self.0[port].clone()
    }

    /// The same without ARP.
    pub fn without_arp(&self, port: usize) -> Vec<Frame> {
        self.0[port].iter().filter(|frame| !frame.is_arp()).cloned().collect()
    }
}

/// Lets a worker take `steps`, frames with the port they come to, from a capture file a port, and
/// gives what it wrote into another.
pub fn exchange(name: &str, spec: &Spec, steps: &[(u8, Vec<u8>)]) -> Out {
    let file = |port: u8, way: &str| {
        let name = format!("{}-{name}-{port}-{way}.pcap", std::process::id());
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    };
    let [input, output] = ["in", "out"].map(|way| [file(0, way), file(1, way)]);
    for (port, path) in (0..).zip(&input) {
        let frames = steps.iter().filter(|step| step.0 == port).map(|step| &step.1);
        fs::write(path, capture(frames)).expect("a capture file");
    }
    run(spec, &input, &output, steps.iter().map(|step| usize::from(step.0)));
    let written = output.each_ref().map(|path| {
        let frames = frames(&fs::read(path).expect("a capture file"));
        frames.iter().map(|frame| read(frame)).collect()
    });
    for path in input.iter().chain(&output) {
        fs::remove_file(path).expect("it was there");
    }
    Out(written)
}

fn run(
    spec: &Spec,
    input: &[PathBuf; 2],
    output: &[PathBuf; 2],
    order: impl Iterator<Item = usize>,
) {
    let kinds = [0, 1].map(|port| PortKind::Pcap {
        input: Some(input[port].clone()),
        output: Some(output[port].clone()),
        repeat: false,
    });
    let builder = Eal::builder().memory_mib(64).memory(Memory::NoHuge);
    let eal = kinds.iter().fold(builder, capsule::EalBuilder::port).init().expect("DPDK starts");
    let pool = Pool::new(&eal, &PoolSpec { frame_room: 9216, ..PoolSpec::new("frames", 1023) })
        .expect("a pool");
    let (ports, mut queues): (Vec<_>, Vec<_>) = kinds
        .into_iter()
        .zip(["1.1", "1.2"])
        .map(|(kind, name)| Port::configure(&eal, &PortSpec::new(name, kind), &pool))
        .map(|port| port.expect("a pcap port"))
        .unzip();
    let mut facts = Facts::default();
    for port in 0..2 {
        facts.ports.insert(PortId(port), PortFacts { max_mtu: 9100, link_up: true });
    }
    let config = Config::compile(None, spec, &facts).expect("the spec is right").config;
    let setup = WorkerSetup {
        worker: 0,
        workers: 1,
        macs: vec![our_mac(0), our_mac(1)],
        burst: 32,
        net: NetSizes::default(),
        flows: FlowSetup {
            sessions_v4: 1024,
            sessions_v6: 1024,
            keys: HashKeys([3, 1, 4, 1, 5]),
            seed: 9,
            limit_bytes: None,
            worker: 0,
            workers: 1,
        },
        seed: 7,
    };
    let now = Nanos::from_secs(1000);
    let mut worker =
        Worker::new(&setup, Arc::new(config), pool.clone(), now).expect("the setup is right");
    let mut outbox = Outbox::new(2, 1, 64);
    let mut burst = Vec::with_capacity(1);
    for port in order {
        assert_eq!(queues[port].rx[0].rx_burst(&mut burst), 1, "a frame of the file");
        let id = PortId(u8::try_from(port).expect("two ports"));
        worker.burst(id, &mut burst, GateWord::LATCHED, now, &mut outbox);
        for (queues, port) in queues.iter_mut().zip(0..) {
            let frames = outbox.port(PortId(port));
            queues.tx[0].tx_burst(frames);
            assert!(frames.is_empty());
        }
    }
    let counters = worker.counters();
    assert!(counters.identity().holds(), "{counters:?}");
    drop((worker, outbox, burst, ports, queues));
    assert_eq!(pool.in_use(), 0, "every packet is back");
}

/// A capture file of these frames (pcap, microseconds, Ethernet).
fn capture<'a>(frames: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a frame");
        for word in [0, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The frames of such a file.
fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        frames.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    frames
}
