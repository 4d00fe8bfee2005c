//! The look-up tables over the parts of a configuration.

use std::net::IpAddr;

use super::departed;
use crate::config::{Index, NO_VLAN, Parts, Vip, VlanSlots};
use crate::maglev::vip_owner;
use crate::spec::Spec;

/// Tags of one port: 0 is untagged.
const TAGS: usize = 4096;

/// Builds all tables.
pub(super) fn build(parts: &Parts, spec: &Spec) -> Index {
    let mut index = Index::default();
    for vlan in parts.vlans.iter().flatten() {
        let port = usize::from(vlan.port.0);
        if index.tags.len() <= port {
            index.tags.resize(port + 1, None);
        }
        let tags = index.tags[port].get_or_insert_with(|| vec![NO_VLAN; TAGS].into_boxed_slice());
        tags[usize::from(vlan.tag.map_or(0, |tag| tag.get()))] = u16::from(vlan.slot.0);
        let v4 = vlan.self_v4.map(|(address, _)| IpAddr::V4(address));
        let v6 = vlan.self_v6.map(|(address, _)| IpAddr::V6(address));
        index.self_ips.extend(v4.into_iter().chain(v6).map(|address| (address, vlan.slot)));
    }
    for listener in parts.listeners.iter().flatten() {
        let key = (listener.protocol, listener.vip, listener.port);
        index.listeners.entry(key).or_default().push(listener.slot);
        let vip = index.vips.entry(listener.vip).or_insert_with(|| {
            let owner = vip_owner(spec.hash_key, listener.vip, &spec.ready_replicas);
            Vip { vlans: VlanSlots::default(), owned: owner.is_none_or(|at| at == spec.replica) }
        });
        vip.vlans = vip.vlans.union(&listener.vlans);
        index.snat_none.extend(departed::plain(listener));
    }
    index.snat_none.extend(parts.departed.values().flatten());
    let mut egresses: Vec<_> = parts.egresses.iter().flatten().collect();
    egresses.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    index.egress = vec![[None; 2]; parts.vlans.len()];
    for vlan in parts.vlans.iter().flatten() {
        let row = &mut index.egress[usize::from(vlan.slot.0)];
        for egress in egresses.iter().filter(|egress| egress.vlans.contains(vlan.slot)) {
            row[0].get_or_insert(egress.slot);
            if egress.dual_stack {
                row[1].get_or_insert(egress.slot);
            }
        }
    }
    index.members = vec![None; parts.member_slots.len()];
    for (pool, at) in parts.pools.iter().zip(0..) {
        for (member, nth) in pool.members.iter().zip(0..) {
            index.members[member.slot.0 as usize] = Some((at, nth));
        }
    }
    index
}
