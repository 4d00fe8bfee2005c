//! Ingress objects to listeners and pools: one listener and one pool per virtual address.
//!
//! Owns listener precedence (crds.md §5.5), the names that tables show (CHK-069), and the choice of
//! members by family. What a kind means by its fields is [`crate::ingress_kinds`]'s.

use std::net::IpAddr;

use spk_api::balancing::MemberWeight;
use spk_api::ingress::{ServiceRef, Vlans};
use spk_api::monitors::{Monitor, MonitorKind, Monitors};
use spk_api::{ObjectId, Path, Problem, Reason};
use tmm_config::spec::{
    ListenerSpec, MemberSpec, Method, MonitorKind as ProbeKind, MonitorSpec, PoolSpec, ServiceDown,
    Snat,
};
use tmm_wire::Protocol;

use crate::board::{Board, Part, Table, object_ref};
use crate::event::Event;
use crate::members::{Cluster, Found, Query};
use crate::outcome::{Dangling, DanglingReason, PlannedMember};
use crate::vlan_set::Resolved;
use crate::{address, vlan_set, vlans};

/// What an ingress object asks for, whatever its kind.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub protocol: Protocol,
    pub service: &'a ServiceRef,
    /// Virtual addresses with their fields.
    pub vips: [Option<(IpAddr, &'static str)>; 2],
    pub port: u16,
    pub vlans: Option<&'a Vlans>,
    pub snat: Snat,
    pub idle_timeout: u32,
    pub handshake_timeout: u32,
    pub reset_on_idle: bool,
    pub service_down: ServiceDown,
    pub method: Method,
    pub weights: &'a [MemberWeight],
    pub monitors: Option<&'a dyn Monitors>,
}

/// What the object asks for, refused for `problems` and for what else keeps it from being accepted
/// beside what is on the board.
pub(crate) fn attempt(
    id: &ObjectId,
    request: &Request<'_>,
    mut problems: Vec<Problem>,
    board: &Board,
    cluster: &Cluster<'_>,
) -> Part {
    let mut part = Part { port: Some(request.port), ..Part::default() };
    let place = Path::of("spec.vlans");
    let vlans = vlan_set::resolve(request.vlans, false, board, &place, &mut part.dangling);
    let monitors_at = Path::of("monitors");
    let need_port = request.service.port == 0;
    let monitors = request
        .monitors
        .map(|monitors| monitors.merged(&monitors_at, need_port, &mut problems))
        .unwrap_or_default();
    for (vip, field) in request.vips.into_iter().flatten() {
        let at = Path::of("spec").field(field);
        address::check_in(vip, board.connected(vip), &at, &mut problems);
        if let Some(owner) = board.self_ip_owner(vip) {
            problems.push(vlans::taken(vip, owner, &at));
        }
        problems.extend(conflict(id, request, vip, &vlans, board, &at));
    }
    part.problems = problems;
    let found = cluster.members(&Query {
        namespace: &id.namespace,
        service: request.service,
        protocol: request.protocol,
        port: request.port,
        weights: request.weights,
    });
    for (vip, field) in request.vips.into_iter().flatten() {
        let members = of_family(&found, vip, request, field, &mut part.dangling);
        listen(id, request, vip, &vlans, members, &monitors, board, &mut part);
    }
    part.dangling.extend(found.dangling);
    let unused = request.monitors.map(|m| m.without_effect(&monitors_at)).unwrap_or_default();
    let unused = unused.into_iter().map(|path| format!("{path}: has no effect"));
    let vlans_ignored = vlan_set::ignored(request.vlans, &place);
    for message in unused.chain(found.ignored).chain(vlans_ignored) {
        part.warnings.push(Event::warning(id, "ValueIgnored", message));
    }
    part
}

/// The listener in force that has the same protocol, address and port on a common VLAN.
fn conflict(
    id: &ObjectId,
    request: &Request<'_>,
    vip: IpAddr,
    vlans: &Resolved,
    board: &Board,
    at: &Path,
) -> Option<Problem> {
    let (protocol, port) = (request.protocol, request.port);
    let claims = board.listeners.get(&(protocol, vip, port))?;
    let others = claims.iter().filter(|claim| claim.owner != *id);
    others.into_iter().find_map(|claim| {
        let vlan = vlans.shared(&claim.vlans)?;
        let listener = match vip {
            IpAddr::V4(_) => format!("{vip}:{port}"),
            IpAddr::V6(_) => format!("[{vip}]:{port}"),
        };
        let problem =
            format!("{listener}/{} on vlan {vlan} is owned by {}", protocol.name(), claim.owner);
        let fix = "change address, port or vlans";
        Some(Problem::invalid(at, "R-LISTENER", problem, fix).because(Reason::Conflict))
    })
}

/// The members of the VIP's family.
fn of_family(
    found: &Found,
    vip: IpAddr,
    request: &Request<'_>,
    field: &str,
    dangling: &mut Vec<Dangling>,
) -> Vec<MemberSpec> {
    let own = |member: &&MemberSpec| member.address.is_ipv6() == vip.is_ipv6();
    let members: Vec<_> = found.members.values().filter(own).copied().collect();
    if members.is_empty() && !found.members.is_empty() {
        let family = if vip.is_ipv6() { "IPv6" } else { "IPv4" };
        dangling.push(Dangling {
            reason: DanglingReason::NoEndpointsForFamily,
            path: Path::of("spec").field(field),
            name: request.service.name.clone(),
            problem: format!("has no {family} endpoints"),
            fix: "make the Service dual-stack or remove the address; translation between families \
                  comes with step egress64"
                .to_owned(),
        });
    }
    members
}

#[expect(clippy::too_many_arguments, reason = "each is another source of one listener")]
fn listen(
    id: &ObjectId,
    request: &Request<'_>,
    vip: IpAddr,
    vlans: &Resolved,
    members: Vec<MemberSpec>,
    monitors: &[Monitor],
    board: &Board,
    part: &mut Part,
) {
    let family = if vip.is_ipv6() { "v6" } else { "v4" };
    let kind = request.protocol.name();
    let full = format!("{kind}-{family}");
    let own = format!("{}-{}", id.namespace, id.name);
    let pool = board.name(Table::Pools, id, &format!("{own}-{family}"), &full);
    let planned = members.iter().map(|member| PlannedMember {
        pool: pool.clone(),
        address: member.address,
        port: member.port,
        weight: member.weight,
        draining: member.draining,
        monitored: !monitors.is_empty(),
    });
    part.members.extend(planned);
    let listener = ListenerSpec {
        name: board.name(Table::Listeners, id, &format!("{own}-{full}"), &full),
        object: object_ref(id),
        protocol: request.protocol,
        vip,
        port: request.port,
        vlans: vlans.set.clone(),
        pool: pool.clone(),
        snat: request.snat,
        idle_timeout: request.idle_timeout,
        handshake_timeout: request.handshake_timeout,
        reset_on_idle: request.reset_on_idle,
        service_down: request.service_down,
    };
    part.vips.push(vip);
    part.listeners.push((listener, vlans.clone()));
    part.pools.push(PoolSpec {
        name: pool,
        object: object_ref(id),
        method: request.method,
        members,
        monitors: monitors.iter().map(probe).collect(),
    });
}

fn probe(monitor: &Monitor) -> MonitorSpec {
    MonitorSpec {
        kind: match monitor.kind {
            MonitorKind::Icmp => ProbeKind::Icmp,
            MonitorKind::Tcp => ProbeKind::Tcp,
            MonitorKind::Udp => ProbeKind::Udp,
            MonitorKind::Sctp => ProbeKind::Sctp,
        },
        interval: monitor.interval,
        timeout: monitor.timeout,
        port: monitor.port.unwrap_or(0),
        send: monitor.send.clone(),
        receive: monitor.receive.clone(),
    }
}
