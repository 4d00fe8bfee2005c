//! CHK-041 on the pickers: exact shares per method.

use std::collections::HashMap;

use tmm_config::config::{Member, MemberState};

use super::*;

fn pool(method: Method, weights: &[u8]) -> Pool {
    let members: Vec<Member> = weights
        .iter()
        .enumerate()
        .map(|(i, weight)| Member {
            slot: MemberSlot(100 + i as u32),
            address: format!("10.0.0.{}", i + 1).parse().unwrap(),
            port: 8080,
            weight: *weight,
            state: MemberState::Up,
            since: 1,
        })
        .collect();
    let eligible = (0..weights.len() as u32).filter(|i| weights[*i as usize] > 0).collect();
    Pool {
        name: "ns-app-v4".into(),
        method,
        hash_key: 7,
        members,
        eligible,
        maglev: None,
        monitors: Vec::new(),
    }
}

/// Opens `flows` flows that stay open, and counts them by member.
fn open(picker: &mut Picker, pool: &Pool, flows: usize, open: &mut HashMap<u32, u32>) {
    for _ in 0..flows {
        let index =
            picker.pick(pool, || 0, |slot| open.get(&slot.0).copied().unwrap_or(0)).unwrap();
        *open.entry(pool.members[index].slot.0).or_default() += 1;
    }
}

/// CHK-041: ROUND_ROBIN gives 9,000 flows over 3 members as 3,000 each.
#[test]
fn round_robin_gives_each_member_the_same_number() {
    let pool = pool(Method::RoundRobin, &[1, 50, 3]);
    let mut counts = HashMap::new();
    open(&mut Picker::default(), &pool, 9_000, &mut counts);
    assert_eq!(counts, HashMap::from([(100, 3_000), (101, 3_000), (102, 3_000)]));
}

/// CHK-041: with 10 flows open on A the next 10 go to B; with weights 2:1 flows settle at 2:1.
#[test]
fn least_connections_fills_the_emptier_member_by_weight() {
    let even = pool(Method::LeastConnections, &[1, 1]);
    let mut counts = HashMap::from([(100, 10)]);
    open(&mut Picker::default(), &even, 10, &mut counts);
    assert_eq!(counts, HashMap::from([(100, 10), (101, 10)]));

    let weighted = pool(Method::LeastConnections, &[2, 1]);
    let mut counts = HashMap::new();
    open(&mut Picker::default(), &weighted, 300, &mut counts);
    assert_eq!(counts, HashMap::from([(100, 200), (101, 100)]));
}

#[test]
fn least_connections_takes_equals_in_turn() {
    let pool = pool(Method::LeastConnections, &[1, 1, 1]);
    let mut picker = Picker::default();
    // No flow stays open, so all are equal each time.
    let picks: Vec<_> = (0..6).map(|_| picker.pick(&pool, || 0, |_| 0).unwrap()).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
}

/// CHK-041: RATIO_MEMBER 3:1 over 4,000 gives 3,000:1,000, and a member of weight 0 none; without
/// persistence RATIO_SESSION is the same. RATIO_SESSION by records comes with `engine`, which has
/// the persistence that makes them.
#[test]
fn ratio_is_exact_over_each_weight_cycle() {
    for method in [Method::RatioMember, Method::RatioSession] {
        let pool = pool(method, &[3, 0, 1]);
        let mut picker = Picker::default();
        let mut counts = HashMap::new();
        for cycle in 1..=1_000 {
            open(&mut picker, &pool, 4, &mut counts);
            assert_eq!(counts, HashMap::from([(100, 3 * cycle), (102, cycle)]));
        }
    }
}

#[test]
fn pool_without_eligible_member_gives_none() {
    for method in [Method::RoundRobin, Method::LeastConnections, Method::RatioMember] {
        let pool = pool(method, &[0, 0]);
        assert_eq!(Picker::default().pick(&pool, || 0, |_| 0), None);
    }
}

#[test]
fn members_that_come_and_go_never_leave_a_pick_outside_the_eligible() {
    for method in [Method::RoundRobin, Method::LeastConnections, Method::RatioMember] {
        let mut picker = Picker::default();
        for round in 0..100_usize {
            let weights: Vec<u8> = (0..1 + round % 5).map(|i| (round + i) as u8 % 3).collect();
            let pool = pool(method, &weights);
            match picker.pick(&pool, || 0, |slot| slot.0) {
                Some(index) => assert!(pool.eligible.contains(&(index as u32))),
                None => assert!(pool.eligible.is_empty()),
            }
        }
    }
}
