//! The index against a map, and at its highest load.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::flows::hash::{HashKeys, Hasher};

const KEYS: HashKeys = HashKeys([0x1234_5678_9abc_def0_0fed_cba9, 77, 1 << 99, 3 << 61, !5]);

fn index(keys: usize) -> Index {
    Index::new(vec![Bucket::default(); Index::buckets_for(keys)].into_boxed_slice())
}

fn hash_of(key: u64) -> Hash {
    Hasher::new(&KEYS).hash([[key, 0]])
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Remove(u64),
}

proptest! {
    #[test]
    fn index_agrees_with_a_map_after_any_inserts_and_removals(
        // Few buckets and many keys, so that both buckets fill and occupants move.
        steps in prop::collection::vec(
            prop_oneof![3 => (0..40_u64).prop_map(Step::Insert), 2 => (0..40_u64).prop_map(Step::Remove)],
            0..200,
        )
    ) {
        let mut index = index(32);
        let mut model = HashMap::new();
        for step in steps {
            match step {
                Step::Insert(key) if !model.contains_key(&key) => {
                    let entry = Entry::new(key as u32, key & 1 == 1);
                    let by_entry = |entry: Entry| hash_of(u64::from(entry.session()));
                    if index.insert(hash_of(key), entry, by_entry).is_ok() {
                        model.insert(key, entry);
                    }
                }
                Step::Insert(_) => {}
                Step::Remove(key) => {
                    if let Some(entry) = model.remove(&key) {
                        index.remove(hash_of(key), entry);
                    }
                }
            }
            for key in 0..40 {
                let found = index.find(hash_of(key), |e| u64::from(e.session()) == key);
                prop_assert_eq!(found, model.get(&key).copied());
            }
        }
    }
}

#[test]
fn index_takes_every_key_at_the_load_it_is_built_for() {
    let keys = 100_000;
    let mut index = index(keys);
    for key in 0..keys as u32 {
        index
            .insert(hash_of(u64::from(key)), Entry::new(key, false), |e| {
                hash_of(u64::from(e.session()))
            })
            .unwrap();
    }
    for key in 0..keys as u32 {
        let found = index.find(hash_of(u64::from(key)), |e| e.session() == key);
        assert_eq!(found, Some(Entry::new(key, false)));
    }
}

#[test]
fn overflow_is_zero_again_when_all_keys_went() {
    let keys = 10_000;
    let mut index = index(keys);
    let by_entry = |e: Entry| hash_of(u64::from(e.session()));
    for key in 0..keys as u32 {
        index.insert(by_entry(Entry::new(key, false)), Entry::new(key, false), by_entry).unwrap();
    }
    assert!(index.buckets.iter().any(|bucket| bucket.overflow() > 0));
    for key in 0..keys as u32 {
        index.remove(by_entry(Entry::new(key, false)), Entry::new(key, false));
    }
    for bucket in &index.buckets {
        assert_eq!(bucket.overflow(), 0);
        assert!((0..PLACES).all(|place| bucket.tag(place) == 0));
    }
}

#[test]
fn full_index_refuses_a_key_and_keeps_the_others() {
    let mut index = index(1);
    let by_entry = |e: Entry| hash_of(u64::from(e.session()));
    let placed: Vec<u32> = (0..64)
        .filter(|key| {
            let entry = Entry::new(*key, true);
            index.insert(by_entry(entry), entry, by_entry).is_ok()
        })
        .collect();
    assert!(placed.len() <= 2 * PLACES && placed.len() > PLACES);
    for key in placed {
        let entry = Entry::new(key, true);
        assert_eq!(index.find(by_entry(entry), |e| e == entry), Some(entry));
    }
}
