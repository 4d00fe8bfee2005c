//! Who may get a flow, and which of them a Maglev table picks.

use std::net::IpAddr;
use std::sync::Arc;

use tmm_config::config::{Config, MemberState, Pool};
use tmm_config::spec::{MemberSpec, Method, MonitorKind, Spec};
use tmm_config::{Facts, Health, Maglev};

use crate::specimen::*;

const KEY: u64 = 0x5eed;

/// A spec with one pool of `members`.
fn with(method: Method, members: Vec<MemberSpec>) -> Spec {
    let mut spec = spec();
    spec.hash_key = KEY;
    spec.listeners.truncate(1);
    spec.pools = vec![pool("core-web-v4", method, members)];
    spec
}

fn members(count: u16) -> Vec<MemberSpec> {
    (0..count)
        .map(|nth| member(&format!("10.2.{}.{}", nth / 250, nth % 250 + 1), 8080, 1))
        .collect()
}

fn only_pool(config: &Config) -> &Arc<Pool> {
    config.pools().next().unwrap()
}

/// The `nth` of many tuples that differ as those of clients do.
fn tuple(nth: u32) -> u64 {
    let source = IpAddr::from((0xc633_6400 + nth / 200).to_be_bytes());
    let port = 32_768 + (nth % 200) as u16;
    Maglev::hash_tuple(KEY, source, IpAddr::from([192, 0, 2, 10]), port, 80, 6)
}

/// Address of the member that a pool's table picks for a tuple.
fn pick(pool: &Pool, hash: u64) -> IpAddr {
    let index = pool.maglev.as_ref().unwrap().pick(hash).unwrap();
    pool.members[usize::from(index)].address
}

/// CHK-044 (agreement; the pick is all that an engine adds): two replicas that came to the same
/// members by different ways, with lists in different order, pick the same one for 100,000 tuples.
#[test]
fn two_replicas_agree_on_the_member_of_every_tuple() {
    let one = compile(None, &with(Method::MaglevHash, members(10)));
    let mut other_spec = with(Method::MaglevHash, members(14));
    other_spec.replica = 1;
    let before = compile(None, &other_spec);
    let mut reversed = members(10);
    reversed.reverse();
    other_spec.pools[0].members = reversed;
    let other = compile(Some(&before), &other_spec);
    for nth in 0..100_000 {
        let hash = tuple(nth);
        assert_eq!(pick(only_pool(&one), hash), pick(only_pool(&other), hash));
    }
}

/// CHK-044, OPS-1217 (balance): shares of 100,000 tuples lie within 1 percentage point of the
/// weights' shares, for 1 to 100 members and for unequal weights.
#[test]
fn shares_lie_within_a_percentage_point_of_the_weights() {
    let mut unequal = members(5);
    for (nth, member) in unequal.iter_mut().enumerate() {
        member.weight = [1, 2, 5, 40, 100][nth];
    }
    for members in [members(1), members(2), members(3), members(10), members(100), unequal] {
        let total: u32 = members.iter().map(|member| u32::from(member.weight)).sum();
        let config = compile(None, &with(Method::MaglevHash, members.clone()));
        let mut shares = vec![0_u32; members.len()];
        for nth in 0..100_000 {
            let index = only_pool(&config).maglev.as_ref().unwrap().pick(tuple(nth)).unwrap();
            shares[usize::from(index)] += 1;
        }
        for (member, share) in members.iter().zip(shares) {
            let wanted = f64::from(member.weight) / f64::from(total);
            let got = f64::from(share) / 100_000.0;
            assert!((wanted - got).abs() <= 0.01, "{member:?}: {got} instead of {wanted}");
        }
    }
}

/// CHK-044 (disruption): whichever of 10 members goes, at most 1 % of the tuples of the others move.
#[test]
fn removing_one_of_ten_moves_at_most_one_percent_of_the_others() {
    let full = compile(None, &with(Method::MaglevHash, members(10)));
    for gone in 0..10 {
        let mut left = members(10);
        let gone = left.remove(gone).address;
        let less = compile(Some(&full), &with(Method::MaglevHash, left));
        let (mut others, mut moved) = (0_u32, 0_u32);
        for nth in 0..100_000 {
            let hash = tuple(nth);
            let before = pick(only_pool(&full), hash);
            if before != gone {
                others += 1;
                moved += u32::from(before != pick(only_pool(&less), hash));
            }
        }
        let share = f64::from(moved) / f64::from(others);
        assert!(share <= 0.01, "{gone}: {share}");
    }
}

/// OPS-1217 (balance of the table): it has 65,537 slots, all taken, and nobody has more than its
/// share and 1 %.
#[test]
fn table_is_full_and_nobody_has_over_a_percent_more_than_its_share() {
    for count in [1, 2, 10, 100, 1000] {
        let config = compile(None, &with(Method::MaglevHash, members(count)));
        let table = only_pool(&config).maglev.as_ref().unwrap().table();
        assert_eq!(table.len(), 65_537);
        let mut slots = vec![0_usize; usize::from(count)];
        for &index in table {
            slots[usize::from(index)] += 1;
        }
        let most = (65_537 * 101_usize).div_ceil(usize::from(count) * 100);
        assert!(slots.iter().all(|&slots| slots <= most), "{count}: {:?}", slots.iter().max());
    }
}

/// OPS-1217 (disruption curve): from 2 to 100 members, equal and with weights, the slots of others
/// that move when one goes stay under 1 % on average over who goes.
#[test]
fn disruption_stays_under_a_percent_whatever_the_number_of_members() {
    for (count, unequal) in
        [(2, false), (3, false), (5, false), (30, false), (100, false), (30, true)]
    {
        let mut all = members(count);
        if unequal {
            (0..).zip(&mut all).for_each(|(nth, member)| member.weight = 1 + nth % 4);
        }
        let full = compile(None, &with(Method::MaglevHash, all.clone()));
        let table = |config: &Config| -> Vec<IpAddr> {
            let pool = only_pool(config);
            let slots = pool.maglev.as_ref().unwrap().table().iter();
            slots.map(|&index| pool.members[usize::from(index)].address).collect()
        };
        let before = table(&full);
        let (mut others, mut moved) = (0_u32, 0_u32);
        for nth in 0..usize::from(count.min(8)) {
            let mut left = all.clone();
            let gone = left.remove(nth).address;
            let after = table(&compile(Some(&full), &with(Method::MaglevHash, left)));
            for (before, after) in before.iter().zip(&after).filter(|(before, _)| **before != gone)
            {
                others += 1;
                moved += u32::from(before != after);
            }
        }
        let share = f64::from(moved) / f64::from(others);
        println!("{count} members, unequal {unequal}: {:.3} % move", share * 100.0);
        assert!(share <= 0.01, "{count} members, unequal {unequal}: {share}");
    }
}

#[test]
fn member_of_weight_zero_is_in_no_table_and_no_list() {
    let mut some = members(3);
    some[1].weight = 0;
    let config = compile(None, &with(Method::MaglevHash, some));
    let pool = only_pool(&config);
    assert_eq!(pool.eligible, [0, 2]);
    assert!(pool.maglev.as_ref().unwrap().table().iter().all(|&index| index != 1));
    let mut none = members(3);
    none.iter_mut().for_each(|member| member.weight = 0);
    let config = compile(None, &with(Method::MaglevHash, none));
    assert_eq!(only_pool(&config).eligible, [0; 0]);
    assert_eq!(only_pool(&config).maglev.as_ref().unwrap().pick(1), None);
}

/// Health of three monitored members, and who of them may get a flow.
#[test]
fn checking_members_are_eligible_only_while_nobody_is_up() {
    use MemberState::{Checking, Down, Draining, Up};
    let mut spec = with(Method::RoundRobin, members(3));
    spec.pools[0].monitors = vec![monitor(MonitorKind::Tcp)];
    let state = |health: [Option<Health>; 3], draining: Option<usize>, drained: Option<usize>| {
        let mut spec = spec.clone();
        let mut facts = facts();
        for (nth, health) in health.into_iter().enumerate() {
            let member = &mut spec.pools[0].members[nth];
            member.draining = draining == Some(nth);
            member.weight = u8::from(drained != Some(nth));
            if let Some(health) = health {
                facts.set_health("core-web-v4", member.address, member.port, health);
            }
        }
        let config = Config::compile(None, &spec, &facts).unwrap().config;
        let pool = only_pool(&config);
        let states: Vec<_> = pool.members.iter().map(|member| member.state).collect();
        (states, pool.eligible.clone())
    };
    let (up, down) = (Some(Health::Up), Some(Health::Down));
    assert_eq!(state([None; 3], None, None), (vec![Checking; 3], vec![0, 1, 2]));
    assert_eq!(state([None, up, None], None, None), (vec![Checking, Up, Checking], vec![1]));
    assert_eq!(state([down, None, down], None, None), (vec![Down, Checking, Down], vec![1]));
    assert_eq!(state([down; 3], None, None), (vec![Down; 3], vec![]));
    assert_eq!(state([up, up, down], Some(0), None), (vec![Draining, Up, Down], vec![1]));
    assert_eq!(state([down, up, up], Some(0), None), (vec![Down, Up, Up], vec![1, 2]));
    // Up, but it takes no flow: it does not keep the others waiting.
    assert_eq!(state([up, None, None], Some(0), None).1, [1, 2]);
    assert_eq!(state([up, None, None], None, Some(0)).1, [1, 2]);
}

#[test]
fn members_without_monitors_are_unchecked_and_usable_whatever_is_recorded() {
    let spec = with(Method::RoundRobin, members(2));
    let mut facts = facts();
    facts.set_health("core-web-v4", ip("10.2.0.1"), 8080, Health::Down);
    let config = Config::compile(None, &spec, &facts).unwrap().config;
    let pool = only_pool(&config);
    assert!(pool.members.iter().all(|member| member.state == MemberState::Unchecked));
    assert_eq!(pool.eligible, [0, 1]);
}

#[test]
fn health_of_members_that_went_is_forgotten() {
    let mut spec = with(Method::RoundRobin, members(2));
    spec.pools[0].monitors = vec![monitor(MonitorKind::Icmp)];
    let mut facts: Facts = facts();
    for address in ["10.2.0.1", "10.2.0.2"] {
        facts.set_health("core-web-v4", ip(address), 8080, Health::Up);
    }
    let mut less = spec.clone();
    less.pools[0].members.pop();
    facts.retain_members_of(&Config::compile(None, &less, &facts).unwrap().config);
    let config = Config::compile(None, &spec, &facts).unwrap().config;
    let states: Vec<_> = only_pool(&config).members.iter().map(|member| member.state).collect();
    assert_eq!(states, [MemberState::Up, MemberState::Checking]);
}
