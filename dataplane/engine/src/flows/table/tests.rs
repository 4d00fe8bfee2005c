//! Sizes, insertion, removal and deadlines of the session table.

use super::*;
use crate::flows::hash::HashKeys;
use crate::flows::session::join_ports;

fn hasher() -> Hasher {
    Hasher::new(&HashKeys([1, 2, 3, 4, 5]))
}

fn session(number: u16) -> Hot<u64> {
    Hot {
        forward: u64::from_ne_bytes([10, 0, 0, 1, 192, 0, 2, 1]),
        reply: u64::from_ne_bytes([10, 9, 0, 1, 10, 0, 0, 1]),
        ports: [join_ports(number, 80), join_ports(8080, number)],
        zone: [1, 2],
        protocol: 6,
        ..Hot::default()
    }
}

#[test]
fn a_session_takes_146_bytes_for_ipv4_and_210_for_ipv6() {
    assert_eq!(Table::<u64>::bytes_for(1 << 20) >> 20, 146);
    assert_eq!(Table::<[u64; 4]>::bytes_for(1 << 20) >> 20, 210);
    let table = Table::<u64>::new(4096).unwrap();
    assert_eq!(table.memory_bytes(), Table::<u64>::bytes_for(4096));
}

#[test]
fn both_keys_lead_to_a_session_until_it_is_removed() {
    let (hasher, hot) = (hasher(), session(1000));
    let mut table = Table::<u64>::new(16).unwrap();
    let slot = table.insert(&hasher, hot, Cold::default()).unwrap();
    assert_eq!(table.find(&hasher, &hot.key(false)), Some(Entry::new(slot, false)));
    assert_eq!(table.find(&hasher, &hot.key(true)), Some(Entry::new(slot, true)));
    assert_eq!(table.insert(&hasher, hot, Cold::default()), Err(InsertError::Taken));
    table.remove(&hasher, slot);
    assert_eq!(table.len(), 0);
    assert_eq!(table.find(&hasher, &hot.key(false)), None);
    assert_eq!(table.find(&hasher, &hot.key(true)), None);
}

#[test]
fn full_table_refuses_and_a_removed_session_makes_room() {
    let hasher = hasher();
    let mut table = Table::<u64>::new(100).unwrap();
    let slots: Vec<u32> = (0..100)
        .map(|number| table.insert(&hasher, session(number), Cold::default()).unwrap())
        .collect();
    assert_eq!(table.insert(&hasher, session(100), Cold::default()), Err(InsertError::Full));
    table.remove(&hasher, slots[40]);
    assert_eq!(table.insert(&hasher, session(100), Cold::default()), Ok(slots[40]));
    assert_eq!((table.len(), table.highest()), (100, 100));
}

#[test]
fn deadline_is_due_at_its_tick_and_across_the_turn_of_the_circle() {
    let hasher = hasher();
    let mut table = Table::<u64>::new(300).unwrap();
    for number in 0..300 {
        table.insert(&hasher, session(number), Cold::default()).unwrap();
    }
    table.arm(5, 65_530);
    table.arm(250, 65_536 + 4);
    assert_eq!(table.due(0, 300, 65_529), None);
    assert_eq!(table.due(0, 300, 65_530), Some(5));
    assert_eq!(table.due(6, 300, 65_536 + 3), None);
    assert_eq!(table.due(6, 300, 65_536 + 4), Some(250));
    // 65,536 would read as no deadline.
    table.arm(6, 65_536);
    assert_eq!(table.due(6, 7, 65_536 + 1), Some(6));
}
