//! Anything may go at any time: VLANs, self IPs, listeners, members, routes, the gate.
//!
//! Random histories of configurations and traffic, with ends that answer. After every call each
//! packet has one verdict (the rig checks the accounting identity); after the last one, with all
//! objects gone, nothing is left: no flow, no reference to a next hop, no held packet, no open
//! connection in a counter.

mod rig;

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, FIN, RST, SERVER, SYN, Tcp};
use rig::{Rig, Seen, Station, spec};
use tmm_config::config::{ListenerSlot, MemberSlot};
use tmm_config::spec::{Method, MonitorKind, NextHopSpec, ServiceDown, Snat, VlanSet};
use tmm_config::{GateWord, Spec};
use tmm_engine::flows::FlowState;
use tmm_wire::Protocol;

/// A configuration drawn from 32 bits; every object may be there or not, in two forms.
fn drawn(bits: u32) -> Spec {
    let bit = |at: u32| bits >> at & 1 == 1;
    let mut spec = spec::vlans();
    let outside =
        if bit(0) { spec::vlan(spec::OUTSIDE, 11, "1.1", 3) } else { spec.vlans[0].clone() };
    let inside = spec.vlans[1].clone();
    spec.vlans = [(bit(1) && bit(2), outside), (bit(3) && bit(4), inside)]
        .into_iter()
        .filter_map(|(gone, vlan)| (!gone).then_some(vlan))
        .collect();
    let down = [ServiceDown::None, ServiceDown::Reject, ServiceDown::Drop, ServiceDown::Reselect];
    for (nth, (protocol, vip)) in (0..).zip([
        (Protocol::Tcp, "192.0.2.10:80"),
        (Protocol::Udp, "192.0.2.10:53"),
        (Protocol::Sctp, "192.0.2.10:38412"),
        (Protocol::Tcp, "[2001:db8:f::10]:80"),
    ]) {
        if bit(5 + nth) && bit(9 + nth) {
            continue;
        }
        let v6 = vip.starts_with('[');
        let all = if v6 {
            ["[2001:db8:2::11]:8080"; 1].to_vec()
        } else {
            vec!["10.2.0.11:8080", "10.2.0.12:8080"]
        };
        let skip = usize::from(bit(13 + nth));
        let at =
            spec::listen(&mut spec, protocol, vip, &all[skip.min(all.len() - usize::from(!v6))..]);
        let listener = &mut spec.listeners[at];
        listener.name = format!("listener-{nth}");
        listener.pool = format!("pool-{nth}");
        listener.snat = if bit(17 + nth) { Snat::Automap } else { Snat::None };
        listener.service_down = down[(bits >> 21 & 3) as usize];
        listener.idle_timeout = if bit(23) { 2 } else { 300 };
        listener.reset_on_idle = bit(24);
        listener.vlans =
            if bit(25) { VlanSet::Only(vec![spec::OUTSIDE.to_owned()]) } else { VlanSet::All };
        spec.pools[at].name = format!("pool-{nth}");
        spec.pools[at].method =
            [Method::RoundRobin, Method::LeastConnections, Method::RatioMember, Method::MaglevHash]
                [(bits >> 26 & 3) as usize];
        spec.pools[at].monitors =
            bit(28).then(|| spec::monitor(MonitorKind::Tcp)).into_iter().collect();
    }
    if bit(29) {
        spec::egress(&mut spec);
    }
    match bits >> 30 {
        0 if !spec.vlans.is_empty() => spec::route(&mut spec, "0.0.0.0/0", "10.2.0.254"),
        1 => spec::route_by(&mut spec, "0.0.0.0/0", NextHopSpec::Blackhole),
        _ => {}
    }
    spec
}

#[derive(Clone, Debug)]
enum Step {
    Configure(u32),
    Traffic { kind: u8, port: u16, count: u8 },
    Pass(u16),
    Gate(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u32>().prop_map(Step::Configure),
        8 => (any::<u8>(), 0..12_u16, 1..20_u8)
            .prop_map(|(kind, port, count)| Step::Traffic { kind, port, count }),
        2 => (0..4000_u16).prop_map(Step::Pass),
        1 => prop::bool::weighted(0.8).prop_map(Step::Gate),
    ]
}

/// One frame of some sort from a client outside or a pod inside, tagged as the VLAN now is.
fn frame(kind: u8, port: u16, outside: Station) -> (Station, Vec<u8>) {
    const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
    let client = format!("10.1.0.100:{}", 4000 + port);
    let client_6 = format!("[2001:db8:1::100]:{}", 4000 + port);
    let pod = format!("10.2.0.50:{}", 4000 + port);
    let flags = [SYN, SYN, SYN, ACK, ACK, FIN | ACK, RST, SYN | FIN][usize::from(kind >> 5)];
    let tcp = Tcp { flags, seq: u32::from(kind >> 5), ack: 1, payload: b"data" };
    match kind % 9 {
        0 | 1 => (outside, outside.tcp(&client, "192.0.2.10:80", tcp)),
        2 => (outside, outside.udp(&client, "192.0.2.10:53", b"query")),
        3 => (outside, outside.sctp(&client, "192.0.2.10:38412", 0, &INIT)),
        4 => (outside, outside.tcp(&client_6, "[2001:db8:f::10]:80", tcp)),
        5 => (SERVER, SERVER.tcp(&pod, "203.0.113.9:443", tcp)),
        6 => (SERVER, SERVER.udp(&pod, "203.0.113.9:53", b"query")),
        7 => (SERVER, SERVER.echo("10.2.0.50", "203.0.113.9", port, b"ping")),
        _ => (outside, outside.echo("10.1.0.100", "192.0.2.10", port, b"ping")),
    }
}

/// What the far end answers, if anything.
fn answer(seen: &Seen) -> Option<(Station, Vec<u8>)> {
    let mac = if seen.port == 0 { CLIENT.mac } else { SERVER.mac };
    let station = Station { port: seen.port, tag: seen.tag, mac };
    if let Some((target, asker)) = seen.asks_for() {
        return match (target, asker) {
            (std::net::IpAddr::V4(target), std::net::IpAddr::V4(asker)) => {
                Some((station, station.arp_reply(target, asker)))
            }
            (std::net::IpAddr::V6(target), std::net::IpAddr::V6(asker)) => {
                Some((station, station.advertise(target, asker)))
            }
            _ => None,
        };
    }
    if !seen.is_ip() {
        return None;
    }
    let frame = match seen.protocol() {
        6 => {
            let next = seen.tcp_seq().wrapping_add(seen.payload().len() as u32);
            let (flags, seq, ack) = match seen.tcp_flags() {
                SYN => (SYN | ACK, 9000, next.wrapping_add(1)),
                flags if flags & FIN != 0 => (FIN | ACK, seen.tcp_ack(), next.wrapping_add(1)),
                flags if flags & SYN != 0 => (ACK, seen.tcp_ack(), next.wrapping_add(1)),
                _ => return None,
            };
            station.tcp(&seen.to(), &seen.from(), Tcp { flags, seq, ack, payload: b"" })
        }
        17 => (seen.payload() == b"query")
            .then(|| station.udp(&seen.to(), &seen.from(), b"answer"))?,
        132 => {
            let tag = u32::from_be_bytes(seen.payload().get(4..8)?.try_into().ok()?);
            let reply: &[u8] = match seen.payload().first()? {
                1 => &[2, 0, 0, 20, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5],
                2 => &[10, 0, 0, 8, 1, 2, 3, 4],
                10 => &[11, 0, 0, 4],
                _ => return None,
            };
            station.sctp(&seen.to(), &seen.from(), tag, reply)
        }
        1 if seen.icmp() == (8, 0) => {
            let id = u16::from_be_bytes([seen.upper()[4], seen.upper()[5]]);
            station.echo_reply(&seen.dst().to_string(), &seen.src().to_string(), id, b"ping")
        }
        _ => return None,
    };
    Some((station, frame))
}

/// One or two workers behind one device.
struct World {
    rigs: Vec<Rig>,
    spec: Spec,
    turn: usize,
}

impl World {
    fn new(workers: u16) -> Self {
        let spec = drawn(0);
        let rig = |worker| {
            Rig::with(&spec, |setup| {
                setup.worker = worker;
                setup.workers = workers;
                // Small enough to be full now and then.
                setup.flows.sessions_v4 = 64;
                setup.flows.sessions_v6 = 64;
            })
        };
        Self { rigs: (0..workers).map(rig).collect(), spec, turn: 0 }
    }

    /// Lets the ends answer what comes out, and the workers each other, until it is quiet; a bound
    /// stands for the patience of ends that would talk for ever.
    fn settle(&mut self, mut seen: Vec<Seen>) {
        for _ in 0..12 {
            seen.extend(self.exchange());
            let frames: Vec<_> = seen.drain(..).filter_map(|seen| answer(&seen)).collect();
            if frames.is_empty() {
                return;
            }
            for (station, frame) in frames {
                seen.extend(self.send(&station, vec![frame]));
            }
        }
        self.exchange();
    }

    /// The device spreads frames over the workers without knowing flows.
    fn send(&mut self, station: &Station, frames: Vec<Vec<u8>>) -> Vec<Seen> {
        self.turn += 1;
        let at = self.turn % self.rigs.len();
        self.rigs[at].burst(station.port, frames)
    }

    fn exchange(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for from in 0..self.rigs.len() {
            for (to, handed) in std::mem::take(&mut self.rigs[from].handed) {
                seen.extend(self.rigs[usize::from(to)].take_handed(vec![handed]));
            }
        }
        seen
    }

    fn configure(&mut self, spec: Spec) {
        for rig in &mut self.rigs {
            rig.configure(&spec);
        }
        self.spec = spec;
    }

    fn pass(&mut self, millis: u64) {
        let mut left = millis;
        while left > 0 {
            let step = left.min(250);
            left -= step;
            let seen = self.rigs.iter_mut().flat_map(|rig| rig.advance(step)).collect();
            self.settle(seen);
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Configure(bits) => self.configure(drawn(bits)),
            Step::Traffic { kind, port, count } => {
                let tag = self.spec.vlans.first().map_or(Some(10), |vlan| Some(vlan.tag));
                let outside = Station { tag, ..CLIENT };
                for nth in 0..u16::from(count) {
                    let (station, one) = frame(kind, port + nth, outside);
                    let seen = self.send(&station, vec![one.clone(), one]);
                    self.settle(seen);
                }
            }
            Step::Pass(millis) => self.pass(millis.into()),
            Step::Gate(open) => {
                for rig in &mut self.rigs {
                    rig.gate = if open { GateWord::LATCHED } else { GateWord::CLOSED };
                }
            }
        }
    }

    /// Takes everything away and checks that nothing is left.
    fn end(mut self) {
        let mut empty = spec::vlans();
        empty.vlans.clear();
        self.configure(empty);
        self.pass(10_000);
        for rig in &self.rigs {
            let flows = rig.worker.flows();
            let states: Vec<FlowState> = flows.rows(rig.now).map(|row| row.state).collect();
            assert_eq!(states, [], "no flow outlives its object");
            for slot in 0..64 {
                assert_eq!(flows.usages().listener(ListenerSlot(slot)).current, 0);
                assert_eq!(flows.usages().member(MemberSlot(slot)).current, 0);
            }
            let adjacencies = rig.worker.net().adjacencies();
            let held: Vec<_> =
                adjacencies.iter().filter(|(id, _)| adjacencies.references(*id) > 0).collect();
            assert_eq!(held, [], "no next hop is still referred to");
            assert_eq!(rig.worker.counters().held, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn one_worker_accounts_for_every_packet_and_keeps_nothing(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(1);
        steps.iter().for_each(|step| world.run(step));
        world.end();
    }

    #[test]
    fn two_workers_account_for_every_packet_and_keep_nothing(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut world = World::new(2);
        steps.iter().for_each(|step| world.run(step));
        world.end();
    }
}
