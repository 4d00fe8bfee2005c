//! The hash against an independent implementation, and its values pinned.

use std::hash::{DefaultHasher, Hasher};

use super::*;

#[test]
fn sip_equals_the_standard_librarys_siphash_1_3_under_zero_keys() {
    for words in 0..9_u64 {
        let mut ours = Sip::keyed(0, 0);
        let mut theirs = DefaultHasher::new();
        for word in 0..words {
            let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555;
            ours.word(word);
            theirs.write(&word.to_le_bytes());
        }
        assert_eq!(ours.finish(), theirs.finish(), "{words} words");
    }
}

/// Another build, machine or release must pick the same members, or an upgrade of one replica moves
/// flows.
#[test]
fn tuple_hash_never_changes_its_values() {
    let v4 = |text: &str| -> IpAddr { text.parse().unwrap() };
    let hash = Maglev::hash_tuple;
    assert_eq!(
        [
            hash(1, v4("192.0.2.1"), v4("198.51.100.2"), 40_000, 80, 6),
            hash(2, v4("192.0.2.1"), v4("198.51.100.2"), 40_000, 80, 6),
            hash(1, v4("2001:db8::1"), v4("2001:db8::2"), 40_000, 80, 17),
        ],
        [5_299_231_443_700_399_943, 7_016_756_938_139_687_290, 2_755_244_235_927_364_893]
    );
}

#[test]
fn tuple_hash_depends_on_every_field() {
    let a = |n| IpAddr::from([192, 0, 2, n]);
    let base = Maglev::hash_tuple(1, a(1), a(2), 3, 4, 6);
    let others = [
        Maglev::hash_tuple(2, a(1), a(2), 3, 4, 6),
        Maglev::hash_tuple(1, a(9), a(2), 3, 4, 6),
        Maglev::hash_tuple(1, a(1), a(9), 3, 4, 6),
        Maglev::hash_tuple(1, a(1), a(2), 9, 4, 6),
        Maglev::hash_tuple(1, a(1), a(2), 3, 9, 6),
        Maglev::hash_tuple(1, a(1), a(2), 3, 4, 17),
        Maglev::hash_tuple(1, a(2), a(1), 4, 3, 6),
    ];
    assert!(others.iter().all(|other| *other != base));
}

#[test]
fn one_vip_has_one_owner_and_a_replica_that_goes_moves_only_its_own() {
    let vips = || (0..1000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
    let mut owned = [0; 4];
    for vip in vips() {
        let owner = vip_owner(7, vip, &[0, 1, 2, 3]).unwrap();
        owned[usize::from(owner)] += 1;
        assert_eq!(vip_owner(7, vip, &[3, 1, 0, 2]), Some(owner));
        if owner != 2 {
            assert_eq!(vip_owner(7, vip, &[0, 1, 3]), Some(owner));
        }
    }
    assert!(owned.iter().all(|&count| (200..300).contains(&count)), "{owned:?}");
    assert_eq!(vip_owner(7, IpAddr::from([1, 2, 3, 4]), &[]), None);
}
