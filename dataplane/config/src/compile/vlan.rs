//! VLANs, self IPs and routes of this replica on this machine.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tmm_wire::PortId;

use super::{keep, put};
use crate::config::{NextHop, Parts, Routes, Vlan, VlanSlot};
use crate::facts::Facts;
use crate::report::ObjectProblem;
use crate::spec::{NextHopSpec, ObjectRef, Spec, VlanSpec};

/// A VLAN that this replica has.
pub(super) struct Present<'a> {
    pub spec: &'a VlanSpec,
    pub port: PortId,
}

/// The port that an interface name stands for: `1.N` is port N - 1, N from 1 to 99.
pub(super) fn port_of(interface: &str) -> Option<PortId> {
    let number = interface.strip_prefix("1.")?;
    let plain = number.len() <= 2 && number.bytes().all(|digit| digit.is_ascii_digit());
    let number: u8 = number.parse().ok().filter(|&number| plain && number > 0)?;
    (!interface.starts_with("1.0")).then(|| PortId(number - 1))
}

/// The VLANs that are not left out; tells of those that are and of links that are down.
pub(super) fn present<'a>(
    spec: &'a Spec,
    facts: &Facts,
    problems: &mut Vec<ObjectProblem>,
) -> Vec<Present<'a>> {
    let mut present = Vec::new();
    for vlan in &spec.vlans {
        let mut problem = |code: &str, text: String| {
            problems.push(ObjectProblem { object: object_of(vlan), code: code.to_owned(), text });
        };
        let Some((name, port)) =
            vlan.interfaces.first().and_then(|name| Some((name, port_of(name)?)))
        else {
            continue;
        };
        let Some(device) = facts.ports.get(&port) else {
            let known: Vec<String> = facts.ports.keys().map(PortId::to_string).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            problem(
                "device_missing",
                format!("{name}: no such interface; this replica has {known}"),
            );
            continue;
        };
        let needed = u32::from(vlan.mtu) + if vlan.tag == 0 { 0 } else { 4 };
        if u32::from(device.max_mtu) < needed {
            let max = device.max_mtu;
            problem(
                "device_mtu",
                format!("{name}: device MTU {max} is below {needed}; raise it or lower mtu"),
            );
            continue;
        }
        let index = usize::from(spec.replica);
        let short = [("selfip_v4s", vlan.self_v4.len()), ("selfip_v6s", vlan.self_v6.len())]
            .into_iter()
            .find(|&(_, entries)| entries > 0 && entries <= index);
        if let Some((list, entries)) = short {
            let missing = index + 1 - entries;
            problem(
                "self_ip_exhausted",
                format!(
                    "replica {index} has no entry in spec.{list}: add {missing} or lower \
                     tmm.replicaCount to {entries}"
                ),
            );
            continue;
        }
        if !device.link_up {
            problem("link_down", format!("{name}: link is down; check cable, switch port or peer"));
        }
        present.push(Present { spec: vlan, port });
    }
    present
}

fn object_of(vlan: &VlanSpec) -> ObjectRef {
    ObjectRef { kind: "F5SPKVlan".to_owned(), namespace: String::new(), name: vlan.id.clone() }
}

/// Fills `vlans` and `vlans_epoch`.
pub(super) fn resolve(parts: &mut Parts, previous: &Parts, present: &[Present<'_>]) {
    let generation = parts.generation;
    let index = usize::from(parts.replica);
    let mut epoch = previous.vlans_epoch;
    let gone = |vlan: &&Arc<Vlan>| parts.vlan_slots.of(&vlan.id).is_none();
    if previous.vlans.iter().flatten().any(|vlan| gone(&vlan)) {
        epoch = generation;
    }
    for Present { spec, port } in present {
        let Some(taken) = parts.vlan_slots.of(&spec.id) else { continue };
        // The check allows 128 VLANs, so slots stay below 256.
        let Ok(slot) = u8::try_from(taken.slot) else { continue };
        let before = previous.vlans.get(taken.slot as usize).and_then(Option::as_ref);
        let before = before.filter(|vlan| vlan.id == spec.id);
        let mut vlan = Vlan {
            slot: VlanSlot(slot),
            epoch: before.map_or(generation, |vlan| vlan.epoch),
            since: taken.since,
            name: spec.name.clone(),
            id: spec.id.clone(),
            port: *port,
            tag: spec.vlan_id(),
            mtu: spec.mtu,
            self_v4: spec.self_v4.get(index).map(|&address| (address, spec.prefix_v4)),
            self_v6: spec.self_v6.get(index).map(|&address| (address, spec.prefix_v6)),
            auto_lasthop: spec.auto_lasthop,
            allowed_services: spec.allowed_services.clone(),
        };
        if before.is_some_and(|before| concerns_flows(before, &vlan)) {
            vlan.epoch = generation;
            epoch = generation;
        }
        put(&mut parts.vlans, taken.slot, keep(before, vlan));
    }
    parts.vlans_epoch = epoch;
}

/// Whether flows and adjacencies must look at what became of a VLAN.
fn concerns_flows(before: &Vlan, after: &Vlan) -> bool {
    before.port != after.port
        || before.tag != after.tag
        || before.mtu != after.mtu
        || before.self_v4 != after.self_v4
        || before.self_v6 != after.self_v6
        || before.auto_lasthop != after.auto_lasthop
}

/// Fills `routes` and `routes_epoch`.
pub(super) fn resolve_routes(
    parts: &mut Parts,
    previous: &Parts,
    spec: &Spec,
    problems: &mut Vec<ObjectProblem>,
) {
    let mut connected: BTreeMap<IpNet, Vec<NextHop>> = BTreeMap::new();
    for vlan in parts.vlans.iter().flatten() {
        for subnet in subnets(vlan) {
            connected.entry(subnet).or_default().push(NextHop::OnLink(vlan.slot));
        }
    }
    let connected_only = Routes::new(connected.clone());
    let mut fixed: BTreeMap<IpNet, Vec<NextHop>> = BTreeMap::new();
    for route in &spec.routes {
        let mut problem = |code: &str, text: String| {
            let object = route.object.clone();
            problems.push(ObjectProblem { object, code: code.to_owned(), text });
        };
        if connected.contains_key(&route.prefix) {
            let prefix = route.prefix;
            problem(
                "route_connected",
                format!("{prefix} is the subnet of a self IP, which comes first; remove the route"),
            );
            continue;
        }
        let hop = match &route.next_hop {
            NextHopSpec::Blackhole => NextHop::Blackhole,
            NextHopSpec::Interface(id) => match parts.vlan_slots.of(id) {
                Some(taken) => NextHop::OnLink(VlanSlot(taken.slot as u8)),
                None => {
                    problem(
                        "vlan_absent",
                        format!("VLAN {id} is not in force on this replica; see its status"),
                    );
                    continue;
                }
            },
            NextHopSpec::Gateway(address) => match connected_only.lookup(*address) {
                Some([NextHop::OnLink(vlan), ..]) => {
                    NextHop::Gateway { address: *address, vlan: *vlan }
                }
                _ => {
                    problem(
                        "gateway_not_connected",
                        format!("gateway {address} is in no self IP's subnet of this replica"),
                    );
                    continue;
                }
            },
        };
        fixed.entry(route.prefix).or_default().push(hop);
    }
    for hops in fixed.values_mut() {
        hops.sort_unstable_by_key(hop_order);
        hops.dedup();
    }
    connected.append(&mut fixed);
    parts.routes = keep(Some(&previous.routes), Routes::new(connected));
    parts.routes_epoch = if Arc::ptr_eq(&parts.routes, &previous.routes) {
        previous.routes_epoch
    } else {
        parts.generation
    };
}

/// The connected subnets of a VLAN.
fn subnets(vlan: &Vlan) -> impl Iterator<Item = IpNet> {
    let v4 = vlan.self_v4.map(|(address, length)| (IpAddr::V4(address), length));
    let v6 = vlan.self_v6.map(|(address, length)| (IpAddr::V6(address), length));
    let subnet = |(address, length)| IpNet::new(address, length).ok().map(|net| net.trunc());
    v4.into_iter().chain(v6).filter_map(subnet)
}

/// Orders the next hops of one prefix: gateways by address, then links, then the black hole. By
/// address rather than by slot, so that replicas agree on the order.
fn hop_order(hop: &NextHop) -> (u8, Option<IpAddr>, u8) {
    match hop {
        NextHop::Gateway { address, vlan } => (0, Some(*address), vlan.0),
        NextHop::OnLink(vlan) => (1, None, vlan.0),
        NextHop::Blackhole => (2, None, 0),
    }
}
