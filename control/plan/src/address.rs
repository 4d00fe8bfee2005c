//! Whether an address can stand where it is written (crds.md §3.3: the controller's part).

use std::net::IpAddr;

use ipnet::IpNet;
use spk_api::{Path, Problem, Reason};

/// Adds `InvalidAddress` if no host can have this address.
pub(crate) fn check(address: IpAddr, at: &Path, out: &mut Vec<Problem>) {
    if let Some(what) = unusable(address) {
        let problem = format!("{address} is {what}");
        out.push(
            Problem::invalid(at, "R-ADDRESS", problem, "use the unicast address of a host")
                .because(Reason::InvalidAddress),
        );
    }
}

/// Adds `InvalidAddress` if no host of `subnet` can have this address, or no host at all.
pub(crate) fn check_in(address: IpAddr, subnet: Option<IpNet>, at: &Path, out: &mut Vec<Problem>) {
    check(address, at, out);
    let Some(subnet) = subnet.filter(|_| unusable(address).is_none()) else { return };
    if let Some(what) = reserved(address, subnet) {
        let problem = format!("{address} is {what} of {}", subnet.trunc());
        out.push(
            Problem::invalid(at, "R-ADDRESS", problem, "use the address of a host in the subnet")
                .because(Reason::InvalidAddress),
        );
    }
}

/// Adds `InvalidAddress` if packets to this network are not forwarded.
pub(crate) fn check_network(network: IpAddr, at: &Path, out: &mut Vec<Problem>) {
    let mapped = matches!(network, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if network.is_multicast() || mapped {
        let kind = if mapped { "IPv4-mapped" } else { "multicast" };
        let problem = format!("{network} is of {kind} addresses");
        out.push(
            Problem::invalid(at, "R-ADDRESS", problem, "use a network of unicast addresses")
                .because(Reason::InvalidAddress),
        );
    }
}

/// What makes the address unusable as the address of a host.
pub(crate) fn unusable(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// What the address is to a subnet instead of a host's. Subnets of one or two addresses keep none
/// back (RFC 3021, RFC 6164); in others the first IPv6 address is every router's (RFC 4291 §2.6.1).
fn reserved(address: IpAddr, subnet: IpNet) -> Option<&'static str> {
    if subnet.prefix_len() + 1 >= subnet.max_prefix_len() {
        return None;
    }
    match (address, subnet) {
        (IpAddr::V4(v4), IpNet::V4(subnet)) if v4 == subnet.broadcast() => {
            Some("the broadcast address")
        }
        (IpAddr::V4(v4), IpNet::V4(subnet)) if v4 == subnet.network() => {
            Some("the network address")
        }
        (IpAddr::V6(v6), IpNet::V6(subnet)) if v6 == subnet.network() => {
            Some("the subnet-router anycast address")
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpNet::V4(_) | IpNet::V6(_)) => None,
    }
}
