//! What is in force so far while objects are decided on in the order of their age.
//!
//! Invariant: nothing on the board contradicts anything else on it. An attempt reads the board; only
//! what was accepted is put on it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use spk_api::vlan::VlanSpec as VlanResource;
use spk_api::{ObjectId, Problem};
use tmm_config::spec::{EgressSpec, ListenerSpec, ObjectRef, PoolSpec, RouteSpec, VlanSpec};
use tmm_wire::Protocol;

use crate::event::Event;
use crate::outcome::{Dangling, PlannedMember, ReplicaList};
use crate::vlan_set::Resolved;

/// One F5SPKVlan in force.
#[derive(Clone, Debug)]
pub(crate) struct Vlan {
    pub id: ObjectId,
    pub resource: VlanResource,
    pub spec: VlanSpec,
}

/// A table of named things; a name is its owner's alone within one table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Table {
    Listeners,
    Pools,
    Egresses,
}

/// One listener in force.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub owner: ObjectId,
    pub vlans: Resolved,
}

/// An endpoint that listeners compete for.
pub(crate) type Endpoint = (Protocol, IpAddr, u16);

/// Everything in force so far.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// F5SPKVlans by metadata.name.
    pub vlans: BTreeMap<String, Vlan>,
    /// Listeners by what they listen on.
    pub listeners: BTreeMap<Endpoint, Vec<Claim>>,
    /// Egresses with where they take packets.
    pub egresses: Vec<Claim>,
    /// Names that tables show, with their owners.
    pub names: BTreeMap<(Table, String), ObjectId>,
}

/// The part of the configuration that one object asks for, and what goes with it. With a problem it
/// must not be put on the board; its references are told all the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub problems: Vec<Problem>,
    pub vlan: Option<Vlan>,
    pub routes: Vec<RouteSpec>,
    pub egress: Option<(EgressSpec, Resolved)>,
    pub listeners: Vec<(ListenerSpec, Resolved)>,
    pub pools: Vec<PoolSpec>,
    pub dangling: Vec<Dangling>,
    pub warnings: Vec<Event>,
    pub vips: Vec<IpAddr>,
    pub port: Option<u16>,
    pub members: Vec<PlannedMember>,
    pub lists: Vec<ReplicaList>,
}

impl Board {
    /// The F5SPKVlan that has `address` as a self IP.
    pub fn self_ip_owner(&self, address: IpAddr) -> Option<&ObjectId> {
        self.vlans.values().find(|vlan| vlan.self_ips().any(|own| own == address)).map(|v| &v.id)
    }

    /// The subnet of self IPs that `address` lies in.
    pub fn connected(&self, address: IpAddr) -> Option<IpNet> {
        self.vlans.values().flat_map(Vlan::subnets).find(|subnet| subnet.contains(&address))
    }

    /// A subnet of self IPs that shares addresses with `subnet`, and its F5SPKVlan.
    pub fn overlapping(&self, subnet: IpNet) -> Option<(IpNet, &ObjectId)> {
        let shares = |other: &IpNet| other.contains(&subnet) || subnet.contains(other);
        self.vlans.values().find_map(|vlan| Some((vlan.subnets().find(shares)?, &vlan.id)))
    }

    /// The `documented` name if it is free in `table`, else one that cannot clash.
    ///
    /// `<ns>-<name>` is ambiguous (`a-b` + `c`, `a` + `b-c`), and two kinds may share a pool name.
    /// A namespace holds no `/`, so the second form is the owner's alone.
    pub fn name(&self, table: Table, owner: &ObjectId, documented: &str, full: &str) -> String {
        match self.names.get(&(table, documented.to_owned())) {
            Some(other) if other != owner => {
                format!("{}/{}-{full}", owner.namespace, owner.name)
            }
            Some(_) | None => documented.to_owned(),
        }
    }

    /// Puts an accepted object's part on the board.
    pub fn put(&mut self, id: &ObjectId, part: &Part) {
        if let Some(vlan) = &part.vlan {
            self.vlans.insert(id.name.clone(), vlan.clone());
        }
        if let Some((spec, vlans)) = &part.egress {
            self.names.insert((Table::Egresses, spec.name.clone()), id.clone());
            self.egresses.push(Claim { owner: id.clone(), vlans: vlans.clone() });
        }
        for (listener, vlans) in &part.listeners {
            let endpoint = (listener.protocol, listener.vip, listener.port);
            let claim = Claim { owner: id.clone(), vlans: vlans.clone() };
            self.listeners.entry(endpoint).or_default().push(claim);
            self.names.insert((Table::Listeners, listener.name.clone()), id.clone());
        }
        for pool in &part.pools {
            self.names.insert((Table::Pools, pool.name.clone()), id.clone());
        }
    }
}

impl Vlan {
    /// Every self IP of every replica.
    pub fn self_ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.resource.selfip_v4s.iter().copied().map(IpAddr::V4);
        v4.chain(self.resource.selfip_v6s.iter().copied().map(IpAddr::V6))
    }

    /// Its subnets, one per family that has self IPs.
    fn subnets(&self) -> impl Iterator<Item = IpNet> + '_ {
        let v4 = self.spec.self_v4.first().copied().map(|a| (IpAddr::V4(a), self.spec.prefix_v4));
        let v6 = self.spec.self_v6.first().copied().map(|a| (IpAddr::V6(a), self.spec.prefix_v6));
        let subnet = |(address, length)| IpNet::new(address, length).ok().map(|net| net.trunc());
        [v4, v6].into_iter().flatten().filter_map(subnet)
    }
}

/// The reference that configuration carries for an object.
pub(crate) fn object_ref(id: &ObjectId) -> ObjectRef {
    ObjectRef {
        kind: id.kind.name().to_owned(),
        namespace: id.namespace.clone(),
        name: id.name.clone(),
    }
}
