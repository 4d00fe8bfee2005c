//! Changes of the configuration under traffic, on ring ports: flows that they do not concern lose no
//! packet (crds.md §5.6 rule 1; the engine section asks for it on ring or memif).
//!
//! Stations sit at the other ends of two ring pairs. Each round they send bursts in both directions
//! of every flow and take what came out; between bursts configurations are swapped. Nothing may be
//! missing, double or out of order within a flow.
#![allow(dead_code, reason = "the crafting is shared with the engine's tests")]

#[path = "../../../engine/tests/rig/craft.rs"]
mod craft;
#[path = "../../../engine/tests/rig/spec.rs"]
mod spec;

use std::net::Ipv4Addr;
use std::sync::Arc;

use capsule::{Eal, Mbuf, Memory, Pool, PoolSpec, Port, PortKind, PortSpec, Queues, RingEnd};
use craft::{CLIENT, ROUTER, SERVER, Station};
use tmm_config::spec::{NextHopSpec, Snat};
use tmm_config::{Config, Facts, GateWord, Nanos, PortFacts, Spec};
use tmm_engine::flows::{FlowSetup, HashKeys};
use tmm_engine::net::NetSizes;
use tmm_engine::{Outbox, Worker, WorkerSetup};
use tmm_wire::{MacAddr, PacketBuf, PacketPool, PortId, Protocol};

/// MAC of our port `1.(n + 1)`.
pub const fn our_mac(port: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, port + 1])
}

/// Rounds of traffic; a swap before each.
const ROUNDS: u32 = 400;
/// Packets of each flow and direction in a round.
const EACH: u32 = 8;
const VIP: &str = "192.0.2.10:53";
const MEMBER: &str = "10.2.0.11:5353";

/// One direction of a flow: who sends, from where, to where, and at which port it comes out.
struct Direction {
    station: Station,
    from: String,
    to: String,
    out: usize,
    sent: u32,
    received: u32,
}

/// The worker and the stations, with rings between.
struct World {
    worker: Worker<Pool>,
    outbox: Outbox<Mbuf>,
    pool: Pool,
    ours: Vec<Queues>,
    theirs: Vec<Queues>,
    facts: Facts,
    now: Nanos,
}

impl World {
    /// Sends `frames` from the stations of `port`, runs the worker, and gives what came out by port.
    fn burst(&mut self, port: usize, frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
        let mut burst: Vec<Mbuf> = frames
            .iter()
            .map(|frame| {
                let mut buf = self.pool.alloc().expect("a buffer");
                buf.grow_back(frame.len()).expect("it fits");
                buf.data_mut().copy_from_slice(frame);
                buf
            })
            .collect();
        self.theirs[port].tx[0].tx_burst(&mut burst);
        assert!(burst.is_empty(), "the ring takes a round");
        loop {
            self.ours[port].rx[0].rx_burst(&mut burst);
            if burst.is_empty() {
                break;
            }
            let id = PortId(u8::try_from(port).expect("two ports"));
            self.worker.burst(id, &mut burst, GateWord::LATCHED, self.now, &mut self.outbox);
            self.give_out();
        }
        self.now = self.now.plus(Nanos::from_millis(1));
        self.worker.tick(GateWord::LATCHED, self.now, &mut self.outbox);
        self.give_out();
        [0, 1].map(|port| {
            let mut out = Vec::new();
            let mut burst: Vec<Mbuf> = Vec::with_capacity(32);
            while self.theirs[port].rx[0].rx_burst(&mut burst) > 0 {
                out.extend(burst.drain(..).map(|buf| buf.data().to_vec()));
            }
            out
        })
    }

    fn give_out(&mut self) {
        for (queues, port) in self.ours.iter_mut().zip(0..) {
            let frames = self.outbox.port(PortId(port));
            queues.tx[0].tx_burst(frames);
            assert!(frames.is_empty(), "the ring takes what comes out");
        }
        self.outbox.events().clear();
    }

    fn configure(&mut self, spec: &Spec) {
        let before = Arc::clone(self.worker.config());
        let compiled = Config::compile(Some(&before), spec, &self.facts).expect("a right spec");
        self.worker.set_config(Arc::new(compiled.config));
    }
}

/// The flows' own listeners, an egress and its route.
fn base() -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &[MEMBER]);
    let at = spec::listen(&mut spec, Protocol::Udp, "192.0.2.11:53", &[MEMBER]);
    spec.listeners[at].snat = Snat::Automap;
    spec::egress(&mut spec);
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    spec
}

/// The `round`th configuration: everything but what the flows use comes, changes and goes.
fn edited(round: u32) -> Spec {
    let mut spec = base();
    let bit = |at: u32| round >> at & 1 == 1;
    if bit(0) {
        let at = spec::listen(&mut spec, Protocol::Tcp, "192.0.2.20:80", &["10.2.0.12:80"]);
        spec.listeners[at].idle_timeout = 60 + round;
    }
    if bit(1) {
        spec::route(&mut spec, "198.51.100.0/24", "10.1.0.202");
        spec::route_by(&mut spec, "0.0.0.0/0", NextHopSpec::Blackhole);
    }
    if bit(2) {
        spec.vlans.push(spec::vlan("vlan-other", 30 + (round % 3) as u16, "1.1", 3));
    }
    if bit(3) {
        spec.pools[0].members.push(spec::member("10.2.0.12:5353"));
        spec.listeners[1].idle_timeout = 100;
    }
    spec.egresses[0].tcp_idle_timeout = 300 + round;
    spec
}

/// The UDP payload of an Ethernet frame with a tag, if it is a flow's: its direction and number.
fn read(frame: &[u8]) -> Option<(usize, u32)> {
    let payload = frame.get(18 + 28..)?;
    let is_udp = frame[16..18] == [8, 0] && frame[18 + 9] == 17;
    let (number, rest) = payload.split_first_chunk::<4>()?;
    let direction = rest.first()?;
    is_udp.then_some((usize::from(*direction), u32::from_be_bytes(*number)))
}

/// The flows' directions: two through listeners, without and with translation, and one through the
/// egress; the other direction of each is learnt from its first packet.
fn open(world: &mut World) -> Vec<Direction> {
    let mut directions = Vec::new();
    for (station, from, to, out) in [
        (CLIENT, "10.1.0.100:1000", VIP, 1),
        (CLIENT, "10.1.0.100:1001", "192.0.2.11:53", 1),
        (SERVER, "10.2.0.50:1002", "203.0.113.9:53", 0),
    ] {
        let at = usize::from(station.port);
        let seen = world.burst(at, &[station.udp(from, to, b"first")]);
        let [frame] = &seen[out][..] else { panic!("{from} to {to}: {seen:?}") };
        let end = |at: usize, port: usize| {
            let [a, b, c, d] = *frame[at..].first_chunk().expect("an address");
            let port = u16::from_be_bytes([frame[port], frame[port + 1]]);
            format!("{}:{port}", Ipv4Addr::new(a, b, c, d))
        };
        let (source, member) = (end(30, 38), end(34, 40));
        let far = if out == 1 { SERVER } else { CLIENT };
        let (from, to) = (from.to_owned(), to.to_owned());
        directions.push(Direction { station, from, to, out, sent: 0, received: 0 });
        let (from, to) = (member, source);
        directions.push(Direction { station: far, from, to, out: at, sent: 0, received: 0 });
    }
    directions
}

#[test]
fn flows_that_no_change_concerns_lose_no_packet_on_ring_ports() {
    let kind = |port: usize, end| PortKind::RingPair { pair: format!("wire{port}"), end };
    let kinds: Vec<_> =
        [RingEnd::A, RingEnd::B].into_iter().flat_map(|end| [kind(0, end), kind(1, end)]).collect();
    let builder = Eal::builder().memory_mib(64).memory(Memory::NoHuge);
    let eal = kinds.iter().fold(builder, capsule::EalBuilder::port).init().expect("DPDK starts");
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 2047)).expect("a pool");
    let (ports, mut queues): (Vec<_>, Vec<_>) = kinds
        .into_iter()
        .zip(["1.1", "1.2", "far-1", "far-2"])
        .map(|(kind, name)| Port::configure(&eal, &PortSpec::new(name, kind), &pool))
        .map(|port| port.expect("a ring port"))
        .unzip();
    let theirs = queues.split_off(2);
    let mut facts = Facts::default();
    for port in 0..2 {
        facts.ports.insert(PortId(port), PortFacts { max_mtu: 9100, link_up: true });
    }
    let config = Config::compile(None, &base(), &facts).expect("the spec is right").config;
    let flows = FlowSetup {
        sessions_v4: 1024,
        sessions_v6: 1024,
        keys: HashKeys([3, 1, 4, 1, 5]),
        seed: 9,
        limit_bytes: None,
        worker: 0,
        workers: 1,
    };
    let setup = WorkerSetup {
        worker: 0,
        workers: 1,
        macs: vec![our_mac(0), our_mac(1)],
        burst: 32,
        net: NetSizes::default(),
        flows,
        seed: 7,
    };
    let now = Nanos::from_secs(1000);
    let worker = Worker::new(&setup, Arc::new(config), pool.clone(), now).expect("a right setup");
    let outbox = Outbox::new(2, 1, 256);
    let mut world = World { worker, outbox, pool, ours: queues, theirs, facts, now };
    for (station, address, own) in [
        (SERVER, [10, 2, 0, 11], [10, 2, 0, 2]),
        (SERVER, [10, 2, 0, 50], [10, 2, 0, 2]),
        (CLIENT, [10, 1, 0, 201], [10, 1, 0, 2]),
        (ROUTER, [10, 1, 0, 202], [10, 1, 0, 2]),
    ] {
        let ask = station.arp_request(address.into(), own.into());
        world.burst(usize::from(station.port), &[ask]);
    }
    let mut directions = open(&mut world);
    for round in 0..ROUNDS {
        world.configure(&edited(round));
        // The gateway answers, as it would.
        let alive = CLIENT.arp_reply(Ipv4Addr::new(10, 1, 0, 201), Ipv4Addr::new(10, 1, 0, 2));
        world.burst(0, &[alive]);
        for port in 0..2 {
            let mut frames = Vec::new();
            for (at, direction) in directions.iter_mut().enumerate() {
                if usize::from(direction.station.port) != port {
                    continue;
                }
                for _ in 0..EACH {
                    let mut payload = direction.sent.to_be_bytes().to_vec();
                    payload.push(u8::try_from(at).expect("few"));
                    direction.sent += 1;
                    let Direction { station, from, to, .. } = direction;
                    frames.push(station.udp(from, to, &payload));
                }
            }
            for (out, frames) in world.burst(port, &frames).iter().enumerate() {
                for (at, number) in frames.iter().filter_map(|frame| read(frame)) {
                    let direction = &mut directions[at];
                    assert_eq!(out, direction.out, "{} to {}", direction.from, direction.to);
                    assert_eq!(number, direction.received, "lost, double or out of order");
                    direction.received += 1;
                }
            }
        }
    }
    for Direction { from, to, sent, received, .. } in &directions {
        assert_eq!((*sent, *received), (ROUNDS * EACH, ROUNDS * EACH), "{from} to {to}");
    }
    assert_eq!(world.worker.config().generation(), ROUNDS + 1);
    let counters = world.worker.counters();
    assert!(counters.identity().holds(), "{counters:?}");
    let World { worker, outbox, pool, ours, theirs, .. } = world;
    drop((worker, outbox, ours, theirs, ports));
    assert_eq!(pool.in_use(), 0, "every packet is back");
}
