//! Frames cross rings in one process: bursts, stop and start, leak count, no files left.
//!
//! Each test is a process of its own under nextest: DPDK starts once a process.

mod rig;

use capsule::{Pool, PoolSpec, Port, PortKind, PortSpec, RingEnd, ShutdownError};
use rig::{fill, start};
use tmm_wire::{PacketBuf, PacketPool};

fn pair(end: RingEnd) -> PortKind {
    PortKind::RingPair { pair: "wire".to_owned(), end }
}

/// What one end sends the other receives whole and in order, and every buffer comes back: after all
/// is dropped the environment finds none missing.
#[test]
fn frames_cross_a_ring_pair_in_order_and_no_buffer_leaks() {
    let eal = start(&[pair(RingEnd::A)]);
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 1023)).unwrap();
    let (a, mut at_a) =
        Port::configure(&eal, &PortSpec::new("1.1", pair(RingEnd::A)), &pool).unwrap();
    let (b, mut at_b) =
        Port::configure(&eal, &PortSpec::new("1.2", pair(RingEnd::B)), &pool).unwrap();

    let mut burst = Vec::with_capacity(32);
    for round in 0..100_u8 {
        for index in 0..32_u8 {
            burst.push(fill(&mut pool, &[round, index]));
        }
        assert_eq!(at_a.tx[0].tx_burst(&mut burst), 32);
        assert_eq!(at_b.rx[0].rx_burst(&mut burst), 32);
        for (index, frame) in burst.drain(..).enumerate() {
            assert_eq!(frame.data(), [round, index as u8]);
        }
    }
    assert_eq!(pool.in_use(), 0);
    assert_eq!(a.stats().unwrap().sent, 3200);
    assert_eq!(b.stats().unwrap().received, 3200);

    // Frames that wait in a ring are given back with its port.
    burst.extend((0..32).map(|_| fill(&mut pool, b"waits")));
    at_a.tx[0].tx_burst(&mut burst);
    assert_eq!(pool.in_use(), 32);
    drop((a, at_a, b, at_b));
    assert_eq!(pool.in_use(), 0);

    let kept = pool.alloc().unwrap();
    let (eal, error) = eal.shutdown().unwrap_err();
    assert_eq!(error, ShutdownError::HandlesOut { handles: 1 });
    drop(pool);
    let (eal, error) = eal.shutdown().unwrap_err();
    assert_eq!(error, ShutdownError::PacketsOut { pool: "frames".to_owned(), packets: 1 });
    drop(kept);
    eal.shutdown().map_err(|(_, error)| error).unwrap();
}

/// A burst into a full ring leaves the rest with the caller, in order.
#[test]
fn frames_that_a_full_queue_does_not_take_stay_in_order() {
    let eal = start(&[pair(RingEnd::A)]);
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 1023)).unwrap();
    let mut spec = PortSpec::new("1.1", pair(RingEnd::A));
    spec.tx_descriptors = 64;
    let (port, mut queues) = Port::configure(&eal, &spec, &pool).unwrap();
    let mut burst: Vec<_> = (0..100_u8).map(|index| fill(&mut pool, &[index])).collect();
    // A ring of 64 slots holds 63.
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 63);
    let rest: Vec<u8> = burst.iter().map(|frame| frame.data()[0]).collect();
    assert_eq!(rest, (63..100).collect::<Vec<u8>>());
    assert_eq!(port.stats().unwrap().sent, 63);
}

/// A stopped port gives and takes nothing; started again it carries frames; all queues must be
/// shown to stop it.
#[test]
fn stopped_port_moves_nothing_until_it_is_started_again() {
    let eal = start(&[PortKind::RingLoopback]);
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 255)).unwrap();
    let spec = PortSpec::new("1.1", PortKind::RingLoopback);
    let (port, mut queues) = Port::configure(&eal, &spec, &pool).unwrap();
    assert!(port.link().unwrap().up);

    let taken = queues.rx.pop().unwrap();
    assert_eq!(port.stop(&mut queues).unwrap_err().code(), "port_queues_missing");
    queues.rx.push(taken);
    port.stop(&mut queues).unwrap();
    assert!(!port.is_running());
    assert!(!port.link().unwrap().up);
    let mut burst = vec![fill(&mut pool, b"early")];
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 0);
    assert_eq!(burst.len(), 1);
    port.start(&mut queues).unwrap();
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 1);
    burst.reserve(32);
    assert_eq!(queues.rx[0].rx_burst(&mut burst), 1);
    assert_eq!(burst[0].data(), b"early");
}

/// A port that was stopped gives back what waits in its ring when it is dropped, as one that runs
/// does, so that the environment can end.
#[test]
fn stopped_port_gives_back_what_waits_in_its_ring_when_it_is_dropped() {
    let eal = start(&[PortKind::RingLoopback]);
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 255)).unwrap();
    let loopback = PortSpec::new("1.1", PortKind::RingLoopback);
    // The second round shows that the name is free again.
    for _ in 0..2 {
        let (port, mut queues) = Port::configure(&eal, &loopback, &pool).unwrap();
        let mut burst: Vec<_> = (0..40_u8).map(|mark| fill(&mut pool, &[mark])).collect();
        assert_eq!(queues.tx[0].tx_burst(&mut burst), 40);
        port.stop(&mut queues).unwrap();
        assert_eq!(pool.in_use(), 40);
        drop((port, queues));
        assert_eq!(pool.in_use(), 0);
    }

    let a = PortSpec::new("1.2", pair(RingEnd::A));
    let (a, mut at_a) = Port::configure(&eal, &a, &pool).unwrap();
    let b = PortSpec::new("1.3", pair(RingEnd::B));
    let (b, mut at_b) = Port::configure(&eal, &b, &pool).unwrap();
    let mut burst: Vec<_> = (0..40_u8).map(|mark| fill(&mut pool, &[mark])).collect();
    b.stop(&mut at_b).unwrap();
    // Only B is stopped: A goes on filling B's ring.
    assert_eq!(at_a.tx[0].tx_burst(&mut burst), 40);
    drop((b, at_b));
    assert_eq!(pool.in_use(), 0);
    drop((a, at_a, pool));
    eal.shutdown().map_err(|(_, error)| error).unwrap();
}

/// An empty pool gives none and panics nowhere; a dropped frame can be had again.
#[test]
fn exhausted_pool_gives_none_until_a_frame_is_dropped() {
    let eal = start(&[]);
    let mut pool = Pool::new(&eal, &PoolSpec::new("few", 31)).unwrap();
    let mut held: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(held.len(), 31);
    assert_eq!(pool.available(), 0);
    held.pop();
    assert!(pool.alloc().is_some());
    assert_eq!(Pool::new(&eal, &PoolSpec::new("few", 31)).unwrap_err().code(), "pool_exists");
    let large = Pool::new(&eal, &PoolSpec::new("large", 4_000_000)).unwrap_err();
    assert_eq!(large.code(), "pool_no_memory");
    assert!(large.to_string().contains("give the environment more memory"), "{large}");
}
