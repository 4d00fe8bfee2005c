//! Whether an address can stand where it is written (crds.md §3.3: the controller's part).

use std::net::IpAddr;

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
