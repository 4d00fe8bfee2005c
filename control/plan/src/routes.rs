//! F5SPKStaticRoute to routes: rule R-SR-1 (crds.md §17).

use std::net::IpAddr;

use ipnet::IpNet;
use spk_api::static_route::{RouteType, StaticRouteSpec};
use spk_api::{ObjectId, Path, Problem};
use tmm_config::spec::{NextHopSpec, RouteSpec};

use crate::address;
use crate::board::{Board, Part, object_ref};
use crate::event::Event;
use crate::outcome::{Dangling, DanglingReason};

/// What the object asks for. Refused for host bits in a destination, and for a gateway that no host
/// can have.
pub(crate) fn attempt(id: &ObjectId, spec: &StaticRouteSpec, board: &Board) -> Part {
    let mut problems = Vec::new();
    let mut part = Part::default();
    let family = |v6: bool| if v6 { "_v6" } else { "" };
    let wanted = [
        spec.destination.zip(spec.prefix_len).map(|(to, len)| (to, len, spec.gateway, false)),
        spec.destination_v6
            .zip(spec.prefixlen_v6)
            .map(|(to, length)| (IpAddr::V6(to), length, spec.gateway_v6.map(IpAddr::V6), true)),
    ];
    for (destination, length, gateway, v6) in wanted.into_iter().flatten() {
        let at = Path::of("spec").field(&format!("destination{}", family(v6)));
        let Some(prefix) = prefix(destination, length, &at, &mut problems) else { continue };
        let gateway_at = Path::of("spec").field(&format!("gateway{}", family(v6)));
        let next_hop = match spec.kind {
            RouteType::Blackhole => Some(NextHopSpec::Blackhole),
            RouteType::Gateway => gateway.and_then(|gateway| {
                by_gateway(gateway, gateway_at, board, &mut part, &mut problems)
            }),
            RouteType::Interface => by_interface(spec.interface.as_deref(), board, &mut part),
        };
        if let Some(next_hop) = next_hop {
            part.routes.push(RouteSpec { prefix, next_hop, object: object_ref(id) });
        }
    }
    part.problems = problems;
    part.warnings = ignored(spec)
        .into_iter()
        .map(|message| Event::warning(id, "ValueIgnored", message))
        .collect();
    part.routes.sort();
    part.routes.dedup();
    part.dangling.dedup();
    part
}

/// What is given but not asked for by `type`, or belongs to a family without destination.
fn ignored(spec: &StaticRouteSpec) -> Vec<String> {
    let gateways = [
        ("gateway", spec.gateway, spec.destination.is_some(), "destination"),
        (
            "gateway_v6",
            spec.gateway_v6.map(IpAddr::V6),
            spec.destination_v6.is_some(),
            "destination_v6",
        ),
    ];
    let mut ignored = Vec::new();
    for (field, gateway, used, destination) in gateways {
        let Some(gateway) = gateway else { continue };
        if spec.kind != RouteType::Gateway {
            ignored.push(format!("spec.{field}: {gateway} has no effect with type {}", spec.kind));
        } else if !used {
            ignored.push(format!("spec.{field}: {gateway} has no effect without {destination}"));
        }
    }
    if let Some(interface) = &spec.interface
        && spec.kind != RouteType::Interface
    {
        ignored.push(format!("spec.interface: {interface} has no effect with type {}", spec.kind));
    }
    let lengths = [
        ("prefixLen", spec.prefix_len, spec.destination.is_none(), "destination"),
        ("prefixlen_v6", spec.prefixlen_v6, spec.destination_v6.is_none(), "destination_v6"),
    ];
    for (field, length, unused, destination) in lengths {
        if let Some(length) = length.filter(|_| unused) {
            ignored.push(format!("spec.{field}: {length} has no effect without {destination}"));
        }
    }
    if spec.dynamic {
        ignored.push("spec.dynamic: true has no effect".to_owned());
    }
    ignored
}

fn prefix(to: IpAddr, length: u8, at: &Path, out: &mut Vec<Problem>) -> Option<IpNet> {
    // V-SR-LEN holds, so a length always fits.
    let prefix = IpNet::new(to, length).ok()?;
    address::check_network(to, at, out);
    if prefix.network() != to {
        let problem = format!("{to} has host bits under length {length}");
        out.push(Problem::invalid(at, "R-SR-1", problem, format!("use {}", prefix.network())));
    }
    Some(prefix.trunc())
}

fn by_gateway(
    gateway: IpAddr,
    at: Path,
    board: &Board,
    part: &mut Part,
    out: &mut Vec<Problem>,
) -> Option<NextHopSpec> {
    let subnet = board.connected(gateway);
    address::check_in(gateway, subnet, &at, out);
    if subnet.is_some() {
        return Some(NextHopSpec::Gateway(gateway));
    }
    part.dangling.push(Dangling {
        reason: DanglingReason::GatewayNotConnected,
        path: at,
        name: gateway.to_string(),
        problem: "lies in the subnet of no self IP".to_owned(),
        fix: "correct it, or add a F5SPKVlan with a self IP in its subnet".to_owned(),
    });
    None
}

fn by_interface(interface: Option<&str>, board: &Board, part: &mut Part) -> Option<NextHopSpec> {
    let name = interface?;
    if board.vlans.contains_key(name) {
        return Some(NextHopSpec::Interface(name.to_owned()));
    }
    part.dangling.push(Dangling {
        reason: DanglingReason::VlanNotFound,
        path: Path::of("spec.interface"),
        name: name.to_owned(),
        problem: "is no F5SPKVlan in force".to_owned(),
        fix: "create the F5SPKVlan or correct the name".to_owned(),
    });
    None
}
