//! F5SPKVlan to a VLAN of the configuration: rule R-VL-1 (crds.md §14).

use std::net::IpAddr;

use ipnet::IpNet;
use spk_api::vlan::{AutoLasthop, ServiceProtocol, VlanSpec as Resource};
use spk_api::{ObjectId, Path, Problem, Reason};
use tmm_config::spec::{AllowedService, ServiceProtocol as Service, VlanSpec};

use crate::address;
use crate::board::{Board, Part, Vlan};
use crate::event::Event;
use crate::outcome::ReplicaList;
use crate::unsupported;

/// What the VLAN asks for beside what is on the board.
pub(crate) fn attempt(id: &ObjectId, resource: &Resource, default_mtu: u16, board: &Board) -> Part {
    let mut problems = unsupported::vlan(resource);
    let at = Path::of("spec");
    let name = resource.name.clone().unwrap_or_else(|| id.name.clone());
    let prefix = |length: Option<u16>| length.map_or(0, |n| u8::try_from(n).unwrap_or(u8::MAX));
    let v4: Vec<IpAddr> = resource.selfip_v4s.iter().copied().map(IpAddr::V4).collect();
    let v6: Vec<IpAddr> = resource.selfip_v6s.iter().copied().map(IpAddr::V6).collect();
    self_ips(&v4, prefix(resource.prefixlen_v4), &at.field("selfip_v4s"), board, &mut problems);
    self_ips(&v6, prefix(resource.prefixlen_v6), &at.field("selfip_v6s"), board, &mut problems);
    for other in board.vlans.values() {
        clash(&name, resource, other, &mut problems);
    }
    if board.vlans.len() >= MOST_VLANS {
        let problem = format!("{MOST_VLANS} F5SPKVlans are in force already");
        problems.push(Problem::invalid(&at, "R-VL-MOST", problem, "delete one that is not used"));
    }
    if !problems.is_empty() {
        return Part { problems, ..Part::default() };
    }
    let spec = VlanSpec {
        id: id.name.clone(),
        name,
        tag: resource.tag,
        interfaces: resource.interfaces.clone(),
        mtu: resource.mtu.unwrap_or(if default_mtu == 0 { DEFAULT_MTU } else { default_mtu }),
        self_v4: resource.selfip_v4s.clone(),
        prefix_v4: if v4.is_empty() { 0 } else { prefix(resource.prefixlen_v4) },
        self_v6: resource.selfip_v6s.clone(),
        prefix_v6: if v6.is_empty() { 0 } else { prefix(resource.prefixlen_v6) },
        auto_lasthop: match resource.auto_lasthop {
            AutoLasthop::Default | AutoLasthop::Enabled => true,
            AutoLasthop::Disabled => false,
        },
        allowed_services: allowed_services(resource),
    };
    let lists = [("spec.selfip_v4s", v4), ("spec.selfip_v6s", v6)]
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(path, addresses)| ReplicaList { path, addresses });
    let warning = |message| Event::warning(id, "ValueIgnored", message);
    Part {
        lists: lists.collect(),
        warnings: ignored(resource).into_iter().map(warning).collect(),
        vlan: Some(Vlan { id: id.clone(), resource: resource.clone(), spec }),
        ..Part::default()
    }
}

/// Self IPs of one family: usable, in one subnet, used nowhere else.
fn self_ips(list: &[IpAddr], prefix: u8, at: &Path, board: &Board, out: &mut Vec<Problem>) {
    let subnet = list.first().and_then(|first| IpNet::new(*first, prefix).ok());
    let subnet = subnet.map(|subnet| subnet.trunc());
    for (index, own) in list.iter().enumerate() {
        let at = at.index(index);
        address::check_in(*own, subnet, &at, out);
        if let Some(subnet) = subnet
            && !subnet.contains(own)
        {
            let problem = format!("{own} is outside {subnet}, the subnet of the first");
            let fix = "put the self IPs of a list in one subnet";
            out.push(Problem::invalid(&at, "R-VL-1", problem, fix));
        }
        if let Some(owner) = board.self_ip_owner(*own) {
            out.push(taken(*own, owner, &at));
        }
    }
    if let Some(subnet) = subnet
        && let Some((theirs, owner)) = board.overlapping(subnet)
    {
        // Which link a host of both is on could not be told.
        let problem = if subnet == theirs {
            format!("{subnet} is already used by {owner}")
        } else {
            format!("{subnet} overlaps {theirs}, which is used by {owner}")
        };
        let conflict =
            Problem::invalid(at, "R-VL-1", problem, "give each F5SPKVlan a subnet of its own");
        out.push(conflict.because(Reason::AddressConflict));
    }
}

/// What is given without what it is for.
fn ignored(resource: &Resource) -> Vec<String> {
    let lengths = [
        ("prefixlen_v4", resource.prefixlen_v4, resource.selfip_v4s.is_empty(), "selfip_v4s"),
        ("prefixlen_v6", resource.prefixlen_v6, resource.selfip_v6s.is_empty(), "selfip_v6s"),
    ];
    let lengths = lengths.into_iter().filter_map(|(field, length, unused, list)| {
        let length = length.filter(|_| unused)?;
        Some(format!("spec.{field}: {length} has no effect without {list}"))
    });
    let services = resource.allowed_services.iter().flatten().enumerate();
    let ports = services.filter_map(|(index, service)| {
        let port = service.port.port();
        let unused = service.protocol == ServiceProtocol::Icmp && port != 0;
        let at = Path::of("spec.allowed_services").index(index).field("port");
        unused.then(|| format!("{at}: {port} has no effect with protocol icmp"))
    });
    lengths.chain(ports).collect()
}

/// `address` already belongs to `owner`.
pub(crate) fn taken(address: IpAddr, owner: &ObjectId, at: &Path) -> Problem {
    let problem = format!("{address} is already used by {owner}");
    Problem::invalid(at, "R-ADDRESS-TAKEN", problem, "remove it from one of them")
        .because(Reason::AddressConflict)
}

/// Name, tag, untagged interface and `internal: true` that another VLAN in force has.
fn clash(name: &str, resource: &Resource, other: &Vlan, out: &mut Vec<Problem>) {
    let at = Path::of("spec");
    let mut owned = |what: String, field: &str, fix: &str| {
        let problem = format!("{what} is owned by {}", other.id);
        let conflict = Problem::invalid(&at.field(field), "R-VL-1", problem, fix);
        out.push(conflict.because(Reason::Conflict));
    };
    if name == other.spec.name {
        owned(format!("name {name}"), "name", "change name");
    }
    let shared = resource.interfaces.iter().find(|i| other.spec.interfaces.contains(i));
    if resource.tag == other.spec.tag {
        if resource.tag != 0 {
            owned(format!("tag {}", resource.tag), "tag", "change tag");
        } else if let Some(interface) = shared {
            owned(format!("the untagged VLAN of {interface}"), "tag", "set a tag");
        }
    }
    if resource.internal && other.resource.internal {
        owned("internal: true".to_owned(), "internal", "set it on one F5SPKVlan only");
    }
}

fn allowed_services(resource: &Resource) -> Vec<AllowedService> {
    let Some(listed) = &resource.allowed_services else {
        return vec![AllowedService { protocol: Service::Icmp, port: 0 }];
    };
    let service = |entry: &spk_api::vlan::AllowedService| AllowedService {
        protocol: match entry.protocol {
            ServiceProtocol::Tcp => Service::Tcp,
            ServiceProtocol::Udp => Service::Udp,
            ServiceProtocol::Sctp => Service::Sctp,
            ServiceProtocol::Icmp => Service::Icmp,
        },
        port: if entry.protocol == ServiceProtocol::Icmp { 0 } else { entry.port.port() },
    };
    let mut services: Vec<_> = listed.iter().map(service).collect();
    services.sort();
    services.dedup();
    services
}

/// Bytes of the largest IP packet where neither object nor chart says otherwise.
const DEFAULT_MTU: u16 = 1500;
/// What a TMM holds: two generations of VLANs in 256 slots (`tmm_config::Config::compile`).
const MOST_VLANS: usize = 128;
