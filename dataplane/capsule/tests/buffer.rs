//! DPDK's packet buffer obeys the laws of the plain one that the engine is tested with.

mod rig;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tmm_wire::buffer::HeapBuf;
use tmm_wire::{PacketBuf, PacketPool};

use capsule::{Pool, PoolSpec};

#[derive(Clone, Copy, Debug)]
enum Step {
    GrowFront(usize),
    GrowBack(usize),
    TrimFront(usize),
    TrimBack(usize),
    Write(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 0_usize..64, 1 => 0_usize..5000, 1 => Just(usize::MAX)];
    (0..5, bytes, any::<u8>()).prop_map(|(kind, bytes, fill)| match kind {
        0 => Step::GrowFront(bytes),
        1 => Step::GrowBack(bytes),
        2 => Step::TrimFront(bytes),
        3 => Step::TrimBack(bytes),
        _ => Step::Write(fill),
    })
}

/// The same steps on both buffers give the same answers, lengths and bytes, whatever the steps; and
/// every buffer comes back.
#[test]
fn mbuf_and_heap_buffer_answer_every_sequence_of_steps_alike() {
    let eal = rig::start_without_hugepages(&[]);
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 63)).unwrap();
    let mut runner =
        TestRunner::new(Config { cases: 512, failure_persistence: None, ..Config::default() });
    let steps = prop::collection::vec(step(), 1..60);
    runner
        .run(&(prop::collection::vec(any::<u8>(), 0..200), steps), |(frame, steps)| {
            let mut mbuf = pool.clone().alloc().unwrap();
            prop_assert_eq!((mbuf.headroom(), mbuf.tailroom(), mbuf.segments()), (128, 2048, 1));
            let mut heap = HeapBuf::new(&[]);
            for buffer in [&mut mbuf as &mut dyn PacketBuf, &mut heap] {
                buffer.grow_back(frame.len()).unwrap();
                buffer.data_mut().copy_from_slice(&frame);
            }
            for step in steps {
                let before = (mbuf.data().len(), heap.data().len());
                let answers =
                    [&mut mbuf as &mut dyn PacketBuf, &mut heap].map(|buffer| match step {
                        Step::GrowFront(bytes) => {
                            // New room has unspecified contents; give it some.
                            let answer = buffer.grow_front(bytes);
                            if answer.is_ok() {
                                buffer.data_mut()[..bytes].fill(0xf0);
                            }
                            answer
                        }
                        Step::GrowBack(bytes) => {
                            let answer = buffer.grow_back(bytes);
                            if answer.is_ok() {
                                let length = buffer.data().len();
                                buffer.data_mut()[length - bytes..].fill(0x0b);
                            }
                            answer
                        }
                        Step::TrimFront(bytes) => buffer.trim_front(bytes),
                        Step::TrimBack(bytes) => buffer.trim_back(bytes),
                        Step::Write(fill) => {
                            buffer.data_mut().fill(fill);
                            Ok(())
                        }
                    });
                prop_assert_eq!(answers[0], answers[1], "{:?} at {:?}", step, before);
                prop_assert_eq!(mbuf.data(), heap.data());
                prop_assert_eq!(mbuf.packet_len(), heap.packet_len());
                prop_assert!(!mbuf.is_chained());
                let mut segments = Vec::new();
                mbuf.for_each_segment(&mut |bytes| segments.extend_from_slice(bytes));
                prop_assert_eq!(&segments, mbuf.data());
                prop_assert_eq!(mbuf.stripped_vlan(), None);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(pool.in_use(), 0);
}
