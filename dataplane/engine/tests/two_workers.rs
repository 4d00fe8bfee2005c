//! Two workers: packets reach their owner once, and both know every neighbour.

mod rig;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rig::craft::{CLIENT, SERVER};
use rig::{Rig, spec};
use tmm_config::Spec;
use tmm_config::spec::{Method, MonitorKind};
use tmm_engine::{DropReason, Handed};
use tmm_wire::Protocol;
use tmm_wire::buffer::HeapBuf;

fn config() -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec
}

fn pair(spec: &Spec) -> [Rig; 2] {
    [0, 1].map(|worker| {
        Rig::with(spec, |setup| {
            setup.worker = worker;
            setup.workers = 2;
        })
    })
}

/// Moves what `from` handed over into `to`; gives what comes out there.
fn pass(rigs: &mut [Rig; 2], from: usize) -> Vec<rig::Seen> {
    let handed: Vec<_> = rigs[from].handed.drain(..).map(|(_, item)| item).collect();
    rigs[1 - from].take_handed(handed)
}

#[test]
fn each_flow_is_served_by_its_owner_wherever_its_packets_arrive() {
    let mut rigs = pair(&config());
    for from in [0, 1] {
        rigs[from].tick();
        pass(&mut rigs, from);
    }
    rigs[0].introduce(&SERVER, "10.2.0.11");
    pass(&mut rigs, 0);
    let mut here = 0;
    for port in 1000..1100 {
        let frame = CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query");
        let direct = rigs[0].send(&CLIENT, frame).len();
        let moved = pass(&mut rigs, 0).len();
        assert_eq!(direct + moved, 1, "port {port}");
        here += direct;
    }
    assert!((20..80).contains(&here), "{here} of 100 on worker 0");
    let counters = rigs.each_ref().map(|rig| rig.worker.counters().clone());
    assert_eq!(counters[0].handed_out, counters[1].handed_in);
    assert_eq!(rigs[0].worker.flows().len() + rigs[1].worker.flows().len(), 100);
}

#[test]
fn what_one_worker_learns_of_a_neighbour_the_other_knows() {
    let mut rigs = pair(&config());
    // Only worker 1 needs the member; the answer to its question reaches worker 0.
    let mut frames = (1000..1100)
        .map(|port| CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query"));
    while rigs[1].worker.counters().held == 0 {
        let frame = frames.next().expect("a flow of worker 1");
        rigs[1].send(&CLIENT, frame);
        rigs[1].handed.clear();
    }
    let reply = SERVER.arp_reply(Ipv4Addr::new(10, 2, 0, 11), Ipv4Addr::new(10, 2, 0, 2));
    assert_eq!(rigs[0].send(&SERVER, reply).len(), 0);
    let released = pass(&mut rigs, 0);
    assert_eq!((released.len(), released[0].dst_mac), (1, SERVER.mac));
}

/// How many adjacencies each of the two has.
fn known(rigs: &[Rig; 2]) -> [usize; 2] {
    rigs.each_ref().map(|rig| rig.worker.net().adjacencies().iter().count())
}

#[test]
fn who_asks_for_others_makes_no_entry_on_any_worker_and_costs_no_ring_slot() {
    let mut rigs = pair(&spec::vlans());
    let before = known(&rigs);
    for host in 1..=50 {
        let (stranger, other) = (Ipv4Addr::new(172, 16, 9, host), Ipv4Addr::new(10, 1, 0, 77));
        rigs[0].send(&CLIENT, CLIENT.arp_request(stranger, other));
        rigs[0].send(&CLIENT, CLIENT.arp_request(stranger, Ipv4Addr::new(10, 1, 0, 2)));
    }
    assert!(rigs[0].handed.is_empty(), "{:?}", rigs[0].handed);
    assert_eq!(known(&rigs), before);
    // One whose address changed hands tells of it, and makes no entry either.
    rigs[0].send(&CLIENT, CLIENT.arp_request([10, 1, 0, 66].into(), [10, 1, 0, 66].into()));
    pass(&mut rigs, 0);
    assert_eq!(known(&rigs), before);
}

#[test]
fn who_asks_us_is_known_to_both_workers_and_told_of_once() {
    let mut rigs = pair(&spec::vlans());
    for _ in 0..3 {
        rigs[0].introduce(&SERVER, "10.2.0.11");
        rigs[0].introduce(&SERVER, "2001:db8:2::11");
    }
    assert_eq!(rigs[0].handed.len(), 2);
    pass(&mut rigs, 0);
    assert_eq!(known(&rigs), [2, 2]);
    let moved = rig::Station { mac: tmm_wire::MacAddr([2, 0, 0, 0, 2, 7]), ..SERVER };
    rigs[0].introduce(&moved, "10.2.0.11");
    assert_eq!(rigs[0].handed.len(), 1, "another MAC is told of");
}

#[test]
fn a_frame_that_was_handed_over_is_received_on_its_vlan_once() {
    let mut rigs = pair(&config());
    rigs[0].introduce(&SERVER, "10.2.0.11");
    pass(&mut rigs, 0);
    let outside = rigs[0].vlan(&CLIENT);
    let received =
        |rigs: &[Rig; 2]| rigs.each_ref().map(|rig| rig.worker.counters().vlan(outside).received);
    let frames: Vec<_> = (1000..1100)
        .map(|port| CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query"))
        .collect();
    let bytes: usize = frames.iter().map(Vec::len).sum();
    rigs[0].burst(0, frames);
    assert!(rigs[0].worker.counters().handed_out > 0);
    pass(&mut rigs, 0);
    let [here, there] = received(&rigs);
    assert_eq!((here.packets, here.bytes), (100, bytes as u64));
    assert_eq!((there.packets, there.bytes), (0, 0), "the worker that got it counted it");
}

/// CHK-041 (two workers): of 9,000 flows each worker gives three members the same number, and 3:1:0
/// by weight, but for the cycle that it is in.
#[test]
fn each_worker_shares_its_flows_by_itself() {
    let members = ["10.2.0.11:1812", "10.2.0.12:1812", "10.2.0.13:1812"];
    for (method, weights) in [(Method::RoundRobin, [1, 1, 1]), (Method::RatioMember, [3, 1, 0])] {
        let mut spec = spec::vlans();
        spec::listen(&mut spec, Protocol::Udp, "192.0.2.20:1812", &members);
        spec.pools[0].method = method;
        for (member, weight) in spec.pools[0].members.iter_mut().zip(weights) {
            member.weight = weight;
        }
        let mut rigs = [0, 1].map(|worker| {
            Rig::with(&spec, |setup| {
                setup.worker = worker;
                setup.workers = 2;
                setup.flows.sessions_v4 = 10_000;
            })
        });
        for host in 11..14 {
            rigs[0].introduce(&SERVER, &format!("10.2.0.{host}"));
        }
        pass(&mut rigs, 0);
        let mut counts = [BTreeMap::new(), BTreeMap::new()];
        for port in 1000..10_000_u16 {
            let frame = CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.20:1812", b"x");
            let at = usize::from(port % 2);
            let here = rigs[at].send(&CLIENT, frame);
            let there = pass(&mut rigs, at);
            for (worker, seen) in [(at, here), (1 - at, there)] {
                for seen in seen {
                    *counts[worker].entry(seen.to()).or_insert(0_u32) += 1;
                }
            }
        }
        assert_eq!(counts.iter().flat_map(BTreeMap::values).sum::<u32>(), 9000);
        for counts in counts {
            let all: u32 = counts.values().sum();
            assert!(all > 3000, "{counts:?}");
            let cycles = all / weights.iter().map(|weight| u32::from(*weight)).sum::<u32>();
            for (member, share) in members.iter().zip(weights.map(u32::from)) {
                let given = counts.get(*member).copied().unwrap_or(0);
                let low = cycles * share;
                assert!((low..=low + share).contains(&given), "{method:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn a_handed_packet_is_not_handed_again() {
    let mut rigs = pair(&config());
    for port in 1000..1020 {
        let frame = CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query");
        let buf = HeapBuf::new(&frame);
        rigs[0].take_handed(vec![Handed::Frame { buf, port: tmm_wire::PortId(0) }]);
    }
    assert_eq!(rigs[0].worker.counters().handed_in, 20);
    assert_eq!(rigs[0].worker.counters().handed_out, 0);
}

#[test]
fn a_full_ring_drops_and_counts() {
    let mut rigs = pair(&config());
    let frames = (0..4000).map(|n| {
        HeapBuf::new(&CLIENT.udp(&format!("10.1.0.100:{}", 1000 + n), "192.0.2.10:53", b"q"))
    });
    rigs[0].burst_of(0, frames.collect());
    assert!(rigs[0].drops(DropReason::HandOverFull) > 0);
}

#[test]
fn probes_leave_from_worker_zero_alone_and_only_from_ports_whose_answers_it_owns() {
    let mut spec = config();
    spec.pools[0].monitors = vec![spec::monitor(MonitorKind::Tcp)];
    let mut rigs = pair(&spec);
    for rig in &mut rigs {
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
    }
    for _ in 0..20 {
        let probes: Vec<_> = rigs[0].advance(5000).into_iter().filter(rig::Seen::is_ip).collect();
        for probe in probes.iter().filter(|probe| probe.protocol() == 6) {
            let flags = rig::craft::SYN | rig::craft::ACK;
            let answer = rig::craft::Tcp { flags, seq: 1, ack: probe.tcp_seq() + 1, payload: &[] };
            let frame = SERVER.tcp(&probe.to(), &probe.from(), answer);
            // It arrives at the other worker, which hands it to its owner.
            assert_eq!(rigs[1].send(&SERVER, frame), []);
            assert_eq!(pass(&mut rigs, 1).len(), 2, "worker 0 completes the handshake");
        }
        rigs[0].handed.clear();
    }
    assert_eq!(
        rigs[1].advance(20_000).iter().filter(|f| f.is_ip() && f.protocol() == 6).count(),
        0
    );
}

#[test]
fn an_unreachable_about_a_probe_finds_worker_zero_wherever_it_arrives() {
    let mut spec = config();
    spec.pools[0].monitors = vec![spec::monitor(MonitorKind::Udp)];
    let mut rigs = pair(&spec);
    for rig in &mut rigs {
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
    }
    let seen = rigs[0].advance(600);
    let probe = seen.iter().find(|frame| frame.is_ip() && frame.protocol() == 17).expect("a probe");
    let error = SERVER.icmp("10.2.0.11", "10.2.0.2", 3, 3, vec![0; 4], &probe.packet[..28]);
    rigs[0].handed.clear();
    rigs[1].handed.clear();
    assert_eq!(rigs[1].send(&SERVER, error), []);
    let consumed = rigs[0].worker.counters().consumed;
    assert_eq!(pass(&mut rigs, 1), []);
    assert_eq!(rigs[0].worker.counters().consumed, consumed + 1);
    rigs[0].advance(3000);
    assert_eq!(rigs[0].events, [], "silence is no success of a refused probe");
}

/// architecture.md §3.1 (SNAT ports): ports of another worker say nothing of how full an address is.
#[test]
fn ports_of_the_other_worker_do_not_count_as_taken() {
    let mut spec = spec::vlans();
    spec::egress(&mut spec);
    let mut rigs = pair(&spec);
    for port in 1000..1400 {
        rigs[0].send(&SERVER, SERVER.udp(&format!("10.2.0.11:{port}"), "10.1.0.100:9", b"q"));
        pass(&mut rigs, 0);
    }
    let used = rigs.each_ref().map(|rig| rig.worker.flows().port_use());
    let (tries, taken) = (used[0].tries + used[1].tries, used[0].taken + used[1].taken);
    assert!(tries >= 400 && taken < 20, "{used:?}");
}
