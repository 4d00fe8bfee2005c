//! From a snapshot to a configuration: check everything, then resolve names to slots.
//!
//! Pure: (previous configuration, [`Spec`], [`Facts`]) to the next one, or to all errors. A defect of
//! the snapshot refuses it whole. What only this machine or replica lacks (an interface, an entry of
//! a per-replica list) leaves out the object concerned and is reported as its problem.
//!
//! Invariant: the result depends on the contents of the spec, not on the order of its lists, but for
//! the members of a pool, whose order is kept. What did not change keeps its `Arc`.

use std::sync::Arc;

use crate::config::{Config, Parts};
use crate::error::SpecError;
use crate::facts::Facts;
use crate::report::ObjectProblem;
use crate::slots::MemberKey;
use crate::spec::Spec;

mod check;
mod check_network;
mod departed;
mod index;
mod listener;
mod pool;
mod vlan;

/// A configuration and what of its snapshot is not in it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The configuration.
    pub config: Config,
    /// Objects, or parts of them, that are left out, in the order of the snapshot.
    pub problems: Vec<ObjectProblem>,
}

impl Config {
    /// Checks `spec` and resolves it against `facts`, keeping the slots and `Arc`s of `previous`.
    ///
    /// The same spec with other facts (a member's health, a link) is compiled in the same way.
    /// Cost: linear in the snapshot, and about 2 ms for each Maglev table whose members changed.
    ///
    /// # Errors
    ///
    /// Every [`SpecError`] of the snapshot, in its order; `previous` then stays in force.
    pub fn compile(
        previous: Option<&Self>,
        spec: &Spec,
        facts: &Facts,
    ) -> Result<Compiled, Vec<SpecError>> {
        let errors = check::errors(spec);
        if !errors.is_empty() {
            return Err(errors);
        }
        let empty = Self::default();
        let previous = previous.unwrap_or(&empty).parts();
        Ok(resolve(previous, spec, facts))
    }
}

/// Builds the configuration of a spec without errors.
fn resolve(previous: &Parts, spec: &Spec, facts: &Facts) -> Compiled {
    let generation = previous.generation.wrapping_add(1);
    let mut problems = Vec::new();
    let mut parts = Parts {
        generation,
        spec_generation: spec.generation,
        replica: spec.replica,
        hash_key: spec.hash_key,
        ..Parts::default()
    };

    let present = vlan::present(spec, facts, &mut problems);
    let names = present.iter().map(|vlan| vlan.spec.id.clone());
    parts.vlan_slots = previous.vlan_slots.advance(names, generation);
    vlan::resolve(&mut parts, previous, &present);
    vlan::resolve_routes(&mut parts, previous, spec, &mut problems);

    let keys = spec.pools.iter().flat_map(|pool| {
        pool.members.iter().map(|member| MemberKey {
            pool: pool.name.clone(),
            address: member.address,
            port: member.port,
        })
    });
    parts.member_slots = previous.member_slots.advance(keys, generation);
    pool::resolve(&mut parts, previous, spec, facts);

    let names = spec.listeners.iter().map(|listener| listener.name.clone());
    parts.listener_slots = previous.listener_slots.advance(names, generation);
    let names = spec.egresses.iter().map(|egress| egress.name.clone());
    parts.egress_slots = previous.egress_slots.advance(names, generation);
    listener::resolve_listeners(&mut parts, previous, spec);
    listener::resolve_egresses(&mut parts, previous, spec);
    parts.departed = departed::resolve(&parts, previous);

    let index = index::build(&parts, spec);
    Compiled { config: Config::new(parts, index), problems }
}

/// `next` as an `Arc`: the previous one's if nothing changed.
fn keep<T: PartialEq>(previous: Option<&Arc<T>>, next: T) -> Arc<T> {
    match previous {
        Some(previous) if **previous == next => Arc::clone(previous),
        _ => Arc::new(next),
    }
}

/// Puts `value` at `slot` of a table, growing it.
fn put<T>(table: &mut Vec<Option<T>>, slot: u32, value: T) {
    let slot = slot as usize;
    if table.len() <= slot {
        table.resize_with(slot + 1, || None);
    }
    table[slot] = Some(value);
}
