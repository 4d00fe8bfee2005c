//! Pools: the state of each member, who is eligible, and the Maglev table.

use std::sync::Arc;

use super::keep;
use crate::config::{Member, MemberSlot, MemberState, Parts, Pool};
use crate::facts::{Facts, Health};
use crate::maglev::Maglev;
use crate::slots::MemberKey;
use crate::spec::{MemberSpec, Method, PoolSpec, Spec};

/// Fills `pools`, by name.
pub(super) fn resolve(parts: &mut Parts, previous: &Parts, spec: &Spec, facts: &Facts) {
    let mut pools: Vec<Arc<Pool>> = Vec::with_capacity(spec.pools.len());
    for pool in &spec.pools {
        let before = previous
            .pools
            .binary_search_by(|other| other.name.as_str().cmp(&pool.name))
            .ok()
            .map(|at| &previous.pools[at]);
        let next = resolve_one(parts, before, spec.hash_key, pool, facts);
        pools.push(keep(before, next));
    }
    pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    parts.pools = pools;
}

fn resolve_one(
    parts: &Parts,
    before: Option<&Arc<Pool>>,
    hash_key: u64,
    spec: &PoolSpec,
    facts: &Facts,
) -> Pool {
    let monitored = !spec.monitors.is_empty();
    let members: Vec<Member> = spec
        .members
        .iter()
        .filter_map(|member| {
            let MemberSpec { address, port, weight, draining } = *member;
            let taken =
                parts.member_slots.of(&MemberKey { pool: spec.name.clone(), address, port })?;
            let health = facts.health(&spec.name, address, port).filter(|_| monitored);
            let state = state_of(monitored, draining, health);
            let slot = MemberSlot(taken.slot);
            Some(Member { slot, address, port, weight, state, since: taken.since })
        })
        .collect();
    let eligible = eligible(&members);
    let maglev = (spec.method == Method::MaglevHash).then(|| {
        let same = before.filter(|before| {
            before.hash_key == hash_key && same_turns(before, &members, &eligible)
        });
        same.and_then(|before| before.maglev.clone())
            .unwrap_or_else(|| Arc::new(Maglev::build(hash_key, &members, &eligible)))
    });
    Pool {
        name: spec.name.clone(),
        method: spec.method,
        hash_key,
        members,
        eligible,
        maglev,
        monitors: spec.monitors.clone(),
    }
}

/// State of a member (crds.md §4.1, §5.2 rule 3). What is down is down even while it drains, so
/// that `serviceDownAction` applies.
const fn state_of(monitored: bool, draining: bool, health: Option<Health>) -> MemberState {
    match (health, draining, monitored) {
        (Some(Health::Down), _, _) => MemberState::Down,
        (_, true, _) => MemberState::Draining,
        (Some(Health::Up), false, _) => MemberState::Up,
        (None, false, true) => MemberState::Checking,
        (None, false, false) => MemberState::Unchecked,
    }
}

/// Who may get a new flow: members with a weight that are up or have no monitors; while there is
/// none, those that are being checked (crds.md §3.4.3 rule 4). A member that is up with weight 0 or
/// draining takes no flow and so does not keep the others waiting.
fn eligible(members: &[Member]) -> Vec<u32> {
    let in_states = |states: &[MemberState]| -> Vec<u32> {
        members
            .iter()
            .zip(0..)
            .filter(|(member, _)| member.weight > 0 && states.contains(&member.state))
            .map(|(_, index)| index)
            .collect()
    };
    let usable = in_states(&[MemberState::Up, MemberState::Unchecked]);
    if usable.is_empty() { in_states(&[MemberState::Checking]) } else { usable }
}

/// Whether a Maglev table over these members would be the one `before` has.
fn same_turns(before: &Pool, members: &[Member], eligible: &[u32]) -> bool {
    before.eligible == eligible
        && eligible.iter().all(|&index| {
            let pair = before.members.get(index as usize).zip(members.get(index as usize));
            pair.is_some_and(|(a, b)| {
                (a.address, a.port, a.weight) == (b.address, b.port, b.weight)
            })
        })
}
