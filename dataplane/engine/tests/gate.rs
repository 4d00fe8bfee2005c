//! The gate stage: nothing proxied passes without an open gate, and housekeeping lives.
//!
//! The pure halves of LIC-800, LIC-801, LIC-802 and LIC-803; the process tests prove the rest.

mod rig;

use std::net::Ipv4Addr;

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, SERVER, SYN, Tcp};
use rig::{Rig, spec};
use tmm_config::spec::MonitorKind;
use tmm_config::{GateWord, Nanos, Spec};
use tmm_engine::DropReason;
use tmm_wire::Protocol;

const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];

/// Every kind of traffic: three listeners, an egress, a route, a monitor.
fn everything() -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:8080"]);
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec::listen(&mut spec, Protocol::Sctp, "192.0.2.10:38412", &["10.2.0.11:38412"]);
    spec::listen(&mut spec, Protocol::Tcp, "[2001:db8:f::10]:80", &["[2001:db8:2::11]:8080"]);
    spec::egress(&mut spec);
    spec::route(&mut spec, "0.0.0.0/0", "10.1.0.201");
    spec.pools[0].monitors = vec![spec::monitor(MonitorKind::Tcp)];
    spec
}

fn ready() -> Rig {
    let mut rig = Rig::new(&everything());
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig.introduce(&SERVER, "2001:db8:2::11");
    rig.introduce(&CLIENT, "10.1.0.201");
    rig
}

/// One frame of each kind of proxied traffic, by number, with a client port.
fn proxied(kind: u8, port: u16) -> (rig::Station, Vec<u8>) {
    let client = format!("10.1.0.100:{port}");
    let client_6 = format!("[2001:db8:1::100]:{port}");
    let member = format!("10.2.0.11:{port}");
    let syn = Tcp { flags: SYN, seq: 1, ..Tcp::default() };
    match kind % 8 {
        0 => (CLIENT, CLIENT.tcp(&client, "192.0.2.10:80", syn)),
        1 => (CLIENT, CLIENT.udp(&client, "192.0.2.10:53", b"query")),
        2 => (CLIENT, CLIENT.sctp(&client, "192.0.2.10:38412", 0, &INIT)),
        3 => (CLIENT, CLIENT.tcp(&client_6, "[2001:db8:f::10]:80", syn)),
        4 => (SERVER, SERVER.tcp(&member, "203.0.113.9:443", syn)),
        5 => (SERVER, SERVER.udp(&member, "203.0.113.9:53", b"query")),
        6 => (SERVER, SERVER.echo("10.2.0.11", "203.0.113.9", port, b"ping")),
        _ => (CLIENT, CLIENT.echo("10.1.0.100", "192.0.2.10", port, b"ping")),
    }
}

const KINDS: u8 = 8;

#[test]
fn a_fresh_worker_behind_a_closed_gate_lets_nothing_out_and_counts_what_came_in() {
    let mut rig = ready();
    rig.gate = GateWord::CLOSED;
    for kind in 0..KINDS {
        let (station, frame) = proxied(kind, 1000);
        rig.must_drop(&station, frame, DropReason::LicenseClosed);
    }
    assert_eq!(rig.drops(DropReason::LicenseClosed), u64::from(KINDS), "counter = in");
    assert_eq!(rig.worker.flows().len(), 0, "no mapping is made");
    assert_eq!(rig.advance(20_000).iter().filter(|frame| frame.is_ip()).count(), 0, "no probe");
    rig.gate = GateWord::LATCHED;
    rig.introduce(&CLIENT, "10.1.0.201");
    for kind in 0..KINDS {
        let (station, frame) = proxied(kind, 1000);
        let seen = rig.send(&station, frame);
        assert_eq!(seen.len(), 1, "the same frame {kind} passes an open gate");
    }
}

#[test]
fn closing_stops_established_flows_of_both_directions_at_the_next_burst() {
    let mut rig = ready();
    rig.send(&CLIENT, proxied(0, 1000).1);
    let reply = Tcp { flags: SYN | ACK, seq: 5, ack: 2, ..Tcp::default() };
    let reply = SERVER.tcp("10.2.0.11:8080", "10.1.0.100:1000", reply);
    assert_eq!(rig.send(&SERVER, reply.clone()).len(), 1);
    let out = rig.send(&SERVER, proxied(5, 2000).1);
    let back = CLIENT.udp(&out[0].to(), &out[0].from(), b"answer");
    assert_eq!(rig.send(&CLIENT, back.clone()).len(), 1);
    rig.gate = GateWord::CLOSED;
    for (station, frame) in [(CLIENT, proxied(0, 1000).1), (SERVER, reply), (CLIENT, back)] {
        rig.must_drop(&station, frame, DropReason::LicenseClosed);
    }
}

#[test]
fn the_gate_closes_at_its_deadline_though_nobody_writes_the_word_again() {
    let mut rig = ready();
    rig.gate = GateWord::open_until(rig.now.plus(Nanos::from_secs(5)));
    rig.advance(4999);
    assert_eq!(rig.send(&CLIENT, proxied(1, 1000).1).len(), 1);
    rig.advance(1);
    rig.must_drop(&CLIENT, proxied(1, 1000).1, DropReason::LicenseClosed);
}

#[test]
fn arp_nd_and_echo_of_self_ips_are_answered_while_closed() {
    let mut rig = ready();
    rig.gate = GateWord::CLOSED;
    let (peer, own) = (Ipv4Addr::new(10, 1, 0, 100), Ipv4Addr::new(10, 1, 0, 2));
    assert_eq!(rig.send(&CLIENT, CLIENT.arp_request(peer, own)).len(), 1);
    let (peer, own) = ("2001:db8:1::100".parse(), "2001:db8:1::2".parse());
    let solicitation = CLIENT.solicit(peer.expect("an address"), own.expect("an address"));
    assert_eq!(rig.send(&CLIENT, solicitation).len(), 1);
    assert_eq!(rig.send(&CLIENT, CLIENT.echo("10.1.0.100", "10.1.0.2", 1, b"")).len(), 1);
    let echo = CLIENT.echo("2001:db8:1::100", "2001:db8:1::2", 1, b"");
    assert_eq!(rig.send(&CLIENT, echo).len(), 1);
    assert_eq!(rig.drops(DropReason::LicenseClosed), 0);
}

#[test]
fn what_waits_for_a_next_hop_does_not_leave_behind_a_closed_gate() {
    let mut rig = Rig::new(&everything());
    rig.tick();
    rig.send(&CLIENT, proxied(1, 1000).1);
    assert_eq!(rig.worker.counters().held, 1);
    rig.gate = GateWord::CLOSED;
    let reply = SERVER.arp_reply(Ipv4Addr::new(10, 2, 0, 11), Ipv4Addr::new(10, 2, 0, 2));
    assert_eq!(rig.send(&SERVER, reply), []);
    assert_eq!(rig.drops(DropReason::LicenseClosed), 1);
    // What the node itself says is held and sent as ever: here the way back is by route.
    let mut spec = everything();
    spec.vlans[0].auto_lasthop = false;
    rig.configure(&spec);
    let asked = rig.send(&CLIENT, CLIENT.echo("10.1.0.77", "10.1.0.2", 1, b"ping"));
    assert_eq!(asked[0].ethertype, 0x0806);
    let reply = CLIENT.arp_reply(Ipv4Addr::new(10, 1, 0, 77), Ipv4Addr::new(10, 1, 0, 2));
    let seen = rig.send(&CLIENT, reply);
    assert_eq!((seen.len(), seen[0].icmp()), (1, (0, 0)));
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8, u16),
    Reply(u8, u16),
    Wait(u16),
    Gate(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KINDS, 1000u16..1008).prop_map(|(kind, port)| Step::Send(kind, port)),
        4 => (0..KINDS, 1000u16..1008).prop_map(|(kind, port)| Step::Reply(kind, port)),
        2 => (1u16..8000).prop_map(Step::Wait),
        2 => (0u8..4).prop_map(Step::Gate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever came before, no proxied packet leaves in a burst whose clock the gate does not
    /// pass, and every one of them is counted.
    #[test]
    fn no_packet_passes_without_an_open_gate(steps in prop::collection::vec(step(), 1..60)) {
        let mut rig = ready();
        rig.gate = GateWord::CLOSED;
        for step in steps {
            let (station, frame) = match step {
                Step::Wait(millis) => {
                    let before = rig.gate.passes(rig.now);
                    let seen = rig.advance(u64::from(millis));
                    let probes = seen.iter().filter(|f| f.is_ip() && f.protocol() != 58).count();
                    prop_assert!(before || probes == 0);
                    continue;
                }
                Step::Gate(to) => {
                    rig.gate = match to {
                        0 => GateWord::CLOSED,
                        1 => GateWord::LATCHED,
                        _ => GateWord::open_until(rig.now.plus(Nanos::from_secs(u64::from(to)))),
                    };
                    continue;
                }
                Step::Send(kind, port) => proxied(kind, port),
                Step::Reply(0, port) => {
                    let segment = Tcp { flags: ACK, seq: 9, ack: 2, payload: b"data" };
                    let to = format!("10.1.0.100:{port}");
                    (SERVER, SERVER.tcp("10.2.0.11:8080", &to, segment))
                }
                Step::Reply(1, port) => {
                    let to = format!("10.1.0.100:{port}");
                    (SERVER, SERVER.udp("10.2.0.11:5353", &to, b"answer"))
                }
                Step::Reply(_, port) => {
                    (CLIENT, CLIENT.udp("203.0.113.9:53", &format!("10.1.0.2:{port}"), b"answer"))
                }
            };
            // What waits for a next hop goes with the gate.
            let waits = rig.worker.counters().held;
            let closed = rig.drops(DropReason::LicenseClosed) + waits;
            let seen = rig.send(&station, frame);
            if !rig.gate.passes(rig.now) {
                prop_assert_eq!(seen, vec![]);
                prop_assert_eq!(rig.drops(DropReason::LicenseClosed), closed + 1);
            }
        }
    }
}
