//! What can be wrong in the VLANs and routes of a snapshot on any machine.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::check::Errors;
use super::vlan::port_of;
use crate::error::SpecProblem;
use crate::spec::{NextHopSpec, Spec, VlanSpec};

/// VLANs in one snapshot: two generations of them have to fit the 256 slots.
const MOST_VLANS: usize = 128;

/// Checks the VLANs; gives the path of the owner of every self IP of every replica.
pub(super) fn vlans(errors: &mut Errors, spec: &Spec) -> HashMap<IpAddr, String> {
    let count = spec.vlans.len();
    if count > MOST_VLANS {
        errors.add("vlans", SpecProblem::TooMany { count, most: MOST_VLANS });
    }
    errors.names("vlans", spec.vlans.iter().map(|vlan| vlan.id.as_str()));
    let mut names = HashMap::new();
    let mut tags: HashMap<(&str, u16), &str> = HashMap::new();
    let mut owners = Owners::default();
    for vlan in &spec.vlans {
        let path = format!("vlans[{}]", vlan.id);
        if vlan.name.is_empty() {
            errors.add(format!("{path}.name"), SpecProblem::Empty);
        } else if names.insert(vlan.name.as_str(), ()).is_some() {
            errors.add(format!("{path}.name"), SpecProblem::Duplicate);
        }
        errors.range(format!("{path}.tag"), vlan.tag, 0, 4094);
        errors.range(format!("{path}.mtu"), vlan.mtu, 1500, 9000);
        interfaces(errors, &path, vlan, &mut tags);
        let v4: Vec<IpAddr> = vlan.self_v4.iter().copied().map(IpAddr::V4).collect();
        let v6: Vec<IpAddr> = vlan.self_v6.iter().copied().map(IpAddr::V6).collect();
        self_ips(errors, &format!("{path}.selfV4"), &v4, vlan.prefix_v4, &mut owners);
        self_ips(errors, &format!("{path}.selfV6"), &v6, vlan.prefix_v6, &mut owners);
        if !v4.is_empty() {
            errors.range(format!("{path}.prefixV4"), vlan.prefix_v4, 1, 32);
        }
        if !v6.is_empty() {
            errors.range(format!("{path}.prefixV6"), vlan.prefix_v6, 1, 128);
        }
    }
    owners.addresses
}

/// What self IPs took so far, with the paths that took it.
#[derive(Default)]
struct Owners {
    addresses: HashMap<IpAddr, String>,
    subnets: Vec<(IpNet, String)>,
}

fn interfaces<'a>(
    errors: &mut Errors,
    path: &str,
    vlan: &'a VlanSpec,
    tags: &mut HashMap<(&'a str, u16), &'a str>,
) {
    let path = format!("{path}.interfaces");
    let [interface] = vlan.interfaces.as_slice() else {
        let count = vlan.interfaces.len();
        errors.add(path, SpecProblem::InterfaceCount { count });
        return;
    };
    if port_of(interface).is_none() {
        errors.add(path, SpecProblem::InterfaceName { name: interface.clone() });
        return;
    }
    if let Some(owner) = tags.insert((interface, vlan.tag), &vlan.id) {
        let (interface, owner) = (interface.clone(), owner.to_owned());
        errors.add(path, SpecProblem::TagTaken { tag: vlan.tag, interface, owner });
    }
}

/// Checks one list of self IPs (crds.md §14 R-VL-1).
fn self_ips(
    errors: &mut Errors,
    path: &str,
    addresses: &[IpAddr],
    length: u8,
    owners: &mut Owners,
) {
    // A length out of range is told of once, not for each address.
    let subnet = addresses.first().and_then(|&first| IpNet::new(first, length).ok());
    let subnet = subnet.map(|subnet| subnet.trunc());
    for &address in addresses {
        if !is_host(address) || subnet.is_some_and(|subnet| is_reserved(address, subnet)) {
            errors.add(path, SpecProblem::NotUnicast { address });
        }
        if subnet.is_some_and(|subnet| !subnet.contains(&address)) {
            errors.add(path, SpecProblem::OtherSubnet { address });
        }
        if let Some(owner) = owners.addresses.get(&address) {
            let owner = owner.clone();
            errors.add(path, SpecProblem::AddressTaken { address, owner });
        } else {
            owners.addresses.insert(address, path.to_owned());
        }
    }
    if let Some(subnet) = subnet {
        own_subnet(errors, path, subnet, owners);
    }
}

/// Checks that a subnet shares no address with one of another VLAN.
fn own_subnet(errors: &mut Errors, path: &str, subnet: IpNet, owners: &mut Owners) {
    let shares = |other: &IpNet| other.contains(&subnet) || subnet.contains(other);
    if let Some((other, owner)) = owners.subnets.iter().find(|(other, _)| shares(other)) {
        let (other, owner) = (*other, owner.clone());
        errors.add(path, SpecProblem::SubnetTaken { subnet, other, owner });
    }
    owners.subnets.push((subnet, path.to_owned()));
}

/// Checks the routes.
pub(super) fn routes(errors: &mut Errors, spec: &Spec) {
    for route in &spec.routes {
        let prefix = route.prefix;
        let path = format!("routes[{prefix}]");
        if prefix != prefix.trunc() {
            errors.add(format!("{path}.prefix"), SpecProblem::HostBits);
        }
        match &route.next_hop {
            NextHopSpec::Blackhole => {}
            NextHopSpec::Interface(id) => {
                if !spec.vlans.iter().any(|vlan| vlan.id == *id) {
                    let id = id.clone();
                    errors.add(format!("{path}.nextHop"), SpecProblem::UnknownVlan { id });
                }
            }
            NextHopSpec::Gateway(address) => {
                let address = *address;
                if !is_host(address) {
                    errors.add(format!("{path}.nextHop"), SpecProblem::NotUnicast { address });
                }
                if address.is_ipv4() != prefix.addr().is_ipv4() {
                    errors.add(format!("{path}.nextHop"), SpecProblem::Family { address });
                }
            }
        }
    }
}

/// Whether a host on a network may have this address.
pub(super) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_broadcast()
                && !address.is_loopback()
        }
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_loopback()
                && address.to_ipv4_mapped().is_none()
        }
    }
}

/// Whether the subnet keeps the address for other than a host: network and broadcast in IPv4, the
/// routers' anycast address in IPv6 (RFC 4291 §2.6.1); none in subnets of one or two addresses
/// (RFC 3021, RFC 6164).
fn is_reserved(address: IpAddr, subnet: IpNet) -> bool {
    let first = address == subnet.network();
    let last = address.is_ipv4() && address == subnet.broadcast();
    subnet.prefix_len() + 1 < subnet.max_prefix_len() && (first || last)
}
