//! Listeners and egresses: slots, VLAN sets and epochs.

use std::collections::HashMap;
use std::sync::Arc;

use super::{keep, put};
use crate::config::{
    Egress, EgressSlot, Listener, ListenerSlot, MemberSlot, MemberState, Parts, Pool, VlanSlot,
    VlanSlots,
};
use crate::spec::{Spec, VlanSet};

/// Fills `listeners`.
pub(super) fn resolve_listeners(parts: &mut Parts, previous: &Parts, spec: &Spec) {
    let generation = parts.generation;
    let mut pools_concern: HashMap<&str, bool> = HashMap::new();
    for listener in &spec.listeners {
        let Some(taken) = parts.listener_slots.of(&listener.name) else { continue };
        let found = parts.pools.binary_search_by(|pool| pool.name.as_str().cmp(&listener.pool));
        let Ok(pool) = found.map(|at| Arc::clone(&parts.pools[at])) else { continue };
        let before = previous.listeners.get(taken.slot as usize).and_then(Option::as_ref);
        let before = before.filter(|before| before.name == listener.name);
        let mut next = Listener {
            slot: ListenerSlot(taken.slot),
            epoch: before.map_or(generation, |before| before.epoch),
            since: taken.since,
            name: listener.name.clone(),
            object: listener.object.clone(),
            protocol: listener.protocol,
            vip: listener.vip,
            port: listener.port,
            vlans: vlan_slots(parts, &listener.vlans),
            pool,
            snat: listener.snat,
            idle_timeout: listener.idle_timeout,
            handshake_timeout: listener.handshake_timeout,
            reset_on_idle: listener.reset_on_idle,
            service_down: listener.service_down,
        };
        if let Some(before) = before {
            let pool_concerns = *pools_concern
                .entry(&listener.pool)
                .or_insert_with(|| pool_concerns_flows(&before.pool, &next.pool));
            let pool_concerns = pool_concerns || before.pool.name != next.pool.name;
            if pool_concerns || concerns_flows(before, &next) {
                next.epoch = generation;
            }
        }
        put(&mut parts.listeners, taken.slot, keep(before, next));
    }
}

/// Whether flows of a listener must look at what became of it, its pool apart.
fn concerns_flows(before: &Listener, after: &Listener) -> bool {
    before.object != after.object
        || before.protocol != after.protocol
        || before.vip != after.vip
        || before.port != after.port
        || before.snat != after.snat
        || before.service_down != after.service_down
        || !before.vlans.is_subset(&after.vlans)
}

/// Whether a member that flows may use left, went down or came back from down.
fn pool_concerns_flows(before: &Arc<Pool>, after: &Arc<Pool>) -> bool {
    if Arc::ptr_eq(before, after) {
        return false;
    }
    let is_down = |state| state == MemberState::Down;
    let after: HashMap<MemberSlot, bool> =
        after.members.iter().map(|member| (member.slot, is_down(member.state))).collect();
    before.members.iter().any(|member| after.get(&member.slot) != Some(&is_down(member.state)))
}

/// Fills `egresses`.
pub(super) fn resolve_egresses(parts: &mut Parts, previous: &Parts, spec: &Spec) {
    let generation = parts.generation;
    for egress in &spec.egresses {
        let Some(taken) = parts.egress_slots.of(&egress.name) else { continue };
        let before = previous.egresses.get(taken.slot as usize).and_then(Option::as_ref);
        let before = before.filter(|before| before.name == egress.name);
        let mut next = Egress {
            slot: EgressSlot(taken.slot),
            epoch: before.map_or(generation, |before| before.epoch),
            since: taken.since,
            name: egress.name.clone(),
            object: egress.object.clone(),
            vlans: vlan_slots(parts, &egress.vlans),
            dual_stack: egress.dual_stack,
            snat: egress.snat,
            tcp_idle_timeout: egress.tcp_idle_timeout,
            udp_idle_timeout: egress.udp_idle_timeout,
            icmp_idle_timeout: egress.icmp_idle_timeout,
        };
        let concerns = |before: &Arc<Egress>| {
            before.object != next.object
                || before.snat != next.snat
                || (before.dual_stack && !next.dual_stack)
                || !before.vlans.is_subset(&next.vlans)
        };
        if before.is_some_and(concerns) {
            next.epoch = generation;
        }
        put(&mut parts.egresses, taken.slot, keep(before, next));
    }
}

/// The slots of a set. An id that is not in force adds nothing (crds.md §3.4.2 rule 2).
fn vlan_slots(parts: &Parts, set: &VlanSet) -> VlanSlots {
    let mut slots = VlanSlots::default();
    for vlan in parts.vlans.iter().flatten() {
        let named = |ids: &[String]| ids.contains(&vlan.id);
        let takes = match set {
            VlanSet::All => true,
            VlanSet::Only(ids) => named(ids),
            VlanSet::AllBut(ids) => !named(ids),
        };
        if takes {
            slots.insert(VlanSlot(vlan.slot.0));
        }
    }
    slots
}
