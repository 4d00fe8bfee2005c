//! Making the flow table: what it needs, and what it says when that is not there.

use super::*;

fn setup(limit_bytes: Option<usize>) -> FlowSetup {
    FlowSetup {
        sessions_v4: 100_000,
        sessions_v6: 50_000,
        keys: HashKeys([1, 2, 3, 4, 5]),
        seed: 1,
        limit_bytes,
        worker: 0,
        workers: 1,
    }
}

/// OPS-426: too little memory is refused with the arithmetic, from bytes a session to the sum.
#[test]
fn too_little_memory_is_refused_with_the_sum() {
    let needed = Flows::bytes_for(&setup(None));
    assert_eq!(needed, 100_000 * 146 + 50_000 * 210);
    assert!(Flows::new(&setup(Some(needed))).is_ok());
    let error = Flows::new(&setup(Some(needed - 1))).expect_err("one byte is missing");
    assert_eq!(error.code(), "flow_table_memory");
    assert_eq!(
        error.to_string(),
        "flow table needs 100000 IPv4 sessions x 146 B + 50000 IPv6 sessions x 210 B = 25100000 B, \
         but there are 25099999 B: lower the flow-table size or give more memory"
    );
}

#[test]
fn table_takes_exactly_the_bytes_it_announces() {
    let flows = Flows::new(&setup(None)).expect("memory for 25 MB");
    assert_eq!(flows.memory_bytes(), Flows::bytes_for(&setup(None)));
    assert_eq!((flows.capacity(), flows.len()), (150_000, 0));
}

#[test]
fn more_sessions_than_numbers_are_refused() {
    let error = Flows::new(&FlowSetup { sessions_v4: (1 << 30) + 1, ..setup(Some(0)) });
    assert_eq!(error.expect_err("too many").code(), "flow_table_size");
}
