//! The Internet checksum against RFC 1071's definition, word by word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use tmm_wire::checksum::{self, Delta, Sum};

/// RFC 1071 §1 read literally: 16-bit words, carries added at the end.
fn slow(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for word in bytes.chunks(2) {
        sum += u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[test]
fn example_of_rfc_1071_sums_as_printed_there() {
    // §3: 00 01 f2 03 f4 f5 f6 f7 has the sum ddf2.
    assert_eq!(!checksum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
}

#[test]
fn example_of_rfc_1624_changes_as_printed_there() {
    // §4: HC = dd2f, m = 5555, m' = 3285 gives 0000, where eqn 1 gave ffff.
    assert_eq!(Delta::NONE.u16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
}

#[test]
fn long_runs_of_ones_do_not_lose_carries() {
    for len in [8, 9, 1500, 65_535] {
        let bytes = vec![0xff; len];
        assert_eq!(checksum::of(&bytes), slow(&bytes), "{len} bytes");
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], 0..120)
}

/// Bytes whose sum has one representation: not all zero.
fn not_zero(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

proptest! {
    #[test]
    fn sum_equals_the_definition(bytes in bytes()) {
        prop_assert_eq!(checksum::of(&bytes), slow(&bytes));
    }

    #[test]
    fn sum_is_the_same_however_the_bytes_are_cut(
        bytes in bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut sum = Sum::default();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            sum.add(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(sum.checksum(), slow(&bytes));
    }

    #[test]
    fn bytes_with_their_checksum_are_right_and_one_changed_bit_makes_them_wrong(
        mut bytes in prop::collection::vec(any::<u8>(), 4..100),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        bytes[2..4].fill(0);
        let checksum = checksum::of(&bytes);
        bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
        let right = |bytes: &[u8]| {
            let mut sum = Sum::default();
            sum.add(bytes);
            sum.is_right()
        };
        prop_assert!(right(&bytes) || !not_zero(&bytes));
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(!right(&bytes));
    }

    #[test]
    fn pseudo_headers_sum_as_their_bytes(
        source in any::<u128>(), destination in any::<u128>(), protocol in any::<u8>(), len in any::<u16>(),
    ) {
        let (v4s, v4d) = (Ipv4Addr::from(source as u32), Ipv4Addr::from(destination as u32));
        let [high, low] = len.to_be_bytes();
        let written = [&v4s.octets()[..], &v4d.octets(), &[0, protocol, high, low]].concat();
        let sum = Sum::pseudo(v4s.into(), v4d.into(), protocol, len);
        prop_assert_eq!(sum.checksum(), slow(&written));
        let (v6s, v6d) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
        let written =
            [&v6s.octets()[..], &v6d.octets(), &[0, 0, high, low, 0, 0, 0, protocol]].concat();
        let sum = Sum::pseudo(v6s.into(), v6d.into(), protocol, len);
        prop_assert_eq!(sum.checksum(), slow(&written));
    }

    /// Incremental equals full: any mixture of changed fields, in one delta or in several, and back.
    #[test]
    fn changing_fields_equals_summing_anew(
        before in prop::collection::vec(any::<u8>(), 44..80),
        new16 in any::<u16>(), new32 in any::<u32>(), new128 in any::<u128>(),
    ) {
        let mut after = before.clone();
        after[0..2].copy_from_slice(&new16.to_be_bytes());
        after[8..12].copy_from_slice(&new32.to_be_bytes());
        after[20..36].copy_from_slice(&new128.to_be_bytes());
        prop_assume!(not_zero(&before) && not_zero(&after));
        let old16 = u16::from_be_bytes(before[0..2].try_into().unwrap());
        let old32 = u32::from_be_bytes(before[8..12].try_into().unwrap());
        let old128 = u128::from_be_bytes(before[20..36].try_into().unwrap());
        let delta = Delta::NONE.u16(old16, new16).u32(old32, new32).u128(old128, new128);
        let (from, to) = (checksum::of(&before), checksum::of(&after));
        prop_assert_eq!(delta.apply(from), to);
        prop_assert_eq!(Delta::from_bits(delta.to_bits()).reversed().apply(to), from);
        let apart = Delta::NONE.u16(old16, new16).and(Delta::NONE.u32(old32, new32));
        let addresses = Delta::NONE
            .address(IpAddr::from(old128.to_be_bytes()), IpAddr::from(new128.to_be_bytes()));
        prop_assert_eq!(apart.and(addresses).apply(from), to);
    }

    /// A wrong checksum stays wrong by the same amount; it is never made right.
    #[test]
    fn wrong_checksum_stays_wrong(
        data in prop::collection::vec(any::<u8>(), 8..40), wrong in 1..0xffff_u16, new in any::<u16>(),
    ) {
        let old = u16::from_be_bytes([data[4], data[5]]);
        let mut after = data.clone();
        after[4..6].copy_from_slice(&new.to_be_bytes());
        prop_assume!(not_zero(&data) && not_zero(&after));
        let right = checksum::of(&data);
        let shown = right ^ wrong;
        prop_assume!(shown != right && !(right == 0 && shown == 0xffff));
        let changed = Delta::NONE.u16(old, new).apply(shown);
        let now_right = checksum::of(&after);
        prop_assert!(changed != now_right && !(changed == 0xffff && now_right == 0));
    }

    #[test]
    fn udp_checksum_of_zero_stays_none_and_no_other_becomes_none(
        checksum in any::<u16>(), old in any::<u16>(), new in any::<u16>(),
    ) {
        let changed = Delta::NONE.u16(old, new).apply_udp(checksum);
        prop_assert_eq!(changed == 0, checksum == 0);
    }
}
