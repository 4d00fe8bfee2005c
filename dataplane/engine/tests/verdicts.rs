//! Every frame has exactly one verdict, whatever its bytes, and no bytes make the engine panic.
//!
//! The rig checks the accounting identity after every call (OPS-701 proves it with real ports).

mod rig;

use std::net::Ipv4Addr;

use proptest::prelude::*;
use rig::craft::{CLIENT, Ip, SERVER, SYN, Tcp};
use rig::{Rig, spec};
use tmm_config::{GateWord, Spec};
use tmm_wire::Protocol;
use tmm_wire::buffer::{HeapBuf, HeapPool};

fn config() -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:8080"]);
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec::listen(&mut spec, Protocol::Sctp, "192.0.2.10:38412", &["10.2.0.11:38412"]);
    spec::egress(&mut spec);
    spec
}

/// One right frame of each sort.
fn right() -> Vec<(u8, Vec<u8>)> {
    let syn = Tcp { flags: SYN, seq: 1, ..Tcp::default() };
    let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
    let fragment = Ip { dont_fragment: false, fragment: Some(0x2000), ..Ip::default() };
    let (peer, own) = ("2001:db8:1::100".parse(), "2001:db8:1::2".parse());
    let (peer, own) = (peer.expect("an address"), own.expect("an address"));
    vec![
        (0, CLIENT.tcp("10.1.0.100:1", "192.0.2.10:80", syn)),
        (0, CLIENT.udp("10.1.0.100:1", "192.0.2.10:53", b"query")),
        (0, CLIENT.sctp("10.1.0.100:1", "192.0.2.10:38412", 0, &init)),
        (0, CLIENT.udp("[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"query")),
        (0, CLIENT.udp_with(fragment, "10.1.0.100:1", "192.0.2.10:53", b"first of it")),
        (0, CLIENT.echo("10.1.0.100", "10.1.0.2", 1, b"ping")),
        (0, CLIENT.echo("2001:db8:1::100", "2001:db8:1::2", 1, b"ping")),
        (0, CLIENT.icmp("10.1.0.100", "10.1.0.2", 3, 3, vec![0; 4], &[0x45; 28])),
        (0, CLIENT.arp_request(Ipv4Addr::new(10, 1, 0, 100), Ipv4Addr::new(10, 1, 0, 2))),
        (0, CLIENT.solicit(peer, own)),
        (0, CLIENT.advertise(peer, own)),
        (1, SERVER.tcp("10.2.0.11:9", "203.0.113.9:443", syn)),
        (1, SERVER.udp("10.2.0.11:8080", "10.1.0.100:1", b"answer")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_frames_have_one_verdict_each(
        picks in prop::collection::vec((0usize..13, any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..24),
        open in any::<bool>(),
        introduced in any::<bool>(),
    ) {
        let mut rig = Rig::new(&config());
        if introduced {
            rig.introduce(&SERVER, "10.2.0.11");
        }
        rig.gate = if open { GateWord::LATCHED } else { GateWord::CLOSED };
        for (pick, at, byte, how) in picks {
            let (port, mut frame) = right().swap_remove(pick);
            let at = at.index(frame.len());
            match how {
                0 => frame[at] = byte,
                1 => frame.truncate(at),
                2 => frame.extend(vec![byte; at]),
                _ => {}
            }
            rig.burst(port, vec![frame]);
            rig.advance(u64::from(byte));
        }
        let counters = rig.worker.counters();
        prop_assert!(counters.identity().holds());
    }

    #[test]
    fn any_bytes_have_one_verdict(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..16),
        stripped in prop::option::of(any::<u16>()),
        port in 0u8..2,
    ) {
        let mut rig = Rig::new(&config());
        rig.tick();
        let count = frames.len() as u64;
        let bufs = frames.iter().map(|frame| {
            let buf = HeapBuf::new(frame);
            match stripped {
                Some(tci) => buf.with_stripped_vlan(tci),
                None => buf,
            }
        });
        rig.burst_of(port, bufs.collect());
        prop_assert_eq!(rig.worker.counters().received, count);
    }
}

#[test]
fn an_exhausted_pool_is_counted_and_costs_only_what_we_would_have_said() {
    let mut rig = Rig::with_pool(&config(), HeapPool { left: Some(0) }, |_| {});
    for (port, frame) in right() {
        rig.burst(port, vec![frame]);
    }
    rig.advance(10_000);
    assert!(rig.worker.counters().pool_empty > 0);
    assert_eq!(rig.worker.counters().originated, 0);
    let echo = rig.send(&CLIENT, CLIENT.echo("10.1.0.100", "10.1.0.2", 1, b"ping"));
    assert_eq!(echo.len(), 1, "an echo is turned around in its own buffer");
}

#[test]
fn what_a_device_or_a_ring_refuses_is_taken_from_sent_and_counted_as_dropped() {
    let mut rig = Rig::new(&config());
    rig.introduce(&SERVER, "10.2.0.11");
    for port in 1..=4 {
        rig.send(&CLIENT, CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query"));
    }
    let inside = tmm_wire::PortId(1);
    let sent = rig.worker.counters().port(inside).sent();
    rig.worker.tx_refused(inside, 2, 2 * 51);
    let counters = rig.worker.counters();
    assert_eq!(counters.port(inside).sent().packets, sent.packets - 2);
    assert_eq!(counters.port(inside).sent().bytes, sent.bytes - 2 * 51);
    assert_eq!(counters.drops(tmm_engine::DropReason::TxFull), 2);
    assert!(counters.identity().holds());
}
