//! Everything that can be wrong in a snapshot on any machine: listeners, pools, egresses.
//!
//! Collects all errors, in the order of the snapshot. Checks nothing that depends on facts.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use tmm_wire::Protocol;

use super::check_network;
use crate::error::{SpecError, SpecProblem};
use crate::spec::{EgressSpec, ListenerSpec, MonitorKind, MonitorSpec, PoolSpec, Spec, VlanSet};

/// Errors so far.
#[derive(Default)]
pub(super) struct Errors(pub Vec<SpecError>);

impl Errors {
    pub fn add(&mut self, path: impl Into<String>, problem: SpecProblem) {
        self.0.push(SpecError { path: path.into(), problem });
    }

    pub fn range(&mut self, path: String, value: impl Into<u64>, low: u64, high: u64) {
        let value = value.into();
        if !(low..=high).contains(&value) {
            self.add(path, SpecProblem::OutOfRange { value, low, high });
        }
    }

    /// Names of a list must be there and differ.
    pub fn names<'a>(&mut self, list: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = HashSet::new();
        for (name, at) in names.zip(0_usize..) {
            if name.is_empty() {
                self.add(format!("{list}[{at}]"), SpecProblem::Empty);
            } else if !seen.insert(name) {
                self.add(format!("{list}[{name}]"), SpecProblem::Duplicate);
            }
        }
    }
}

/// All errors of `spec`.
pub(super) fn errors(spec: &Spec) -> Vec<SpecError> {
    let mut errors = Errors::default();
    let mut replicas = HashSet::new();
    for &replica in &spec.ready_replicas {
        if !replicas.insert(replica) {
            errors.add(format!("readyReplicas[{replica}]"), SpecProblem::Duplicate);
        }
    }
    let self_ips = check_network::vlans(&mut errors, spec);
    check_network::routes(&mut errors, spec);
    listeners(&mut errors, spec, &self_ips);
    errors.names("pools", spec.pools.iter().map(|pool| pool.name.as_str()));
    for one in &spec.pools {
        pool(&mut errors, one);
    }
    errors.names("egresses", spec.egresses.iter().map(|egress| egress.name.as_str()));
    for one in &spec.egresses {
        egress(&mut errors, one);
    }
    errors.0
}

fn listeners(errors: &mut Errors, spec: &Spec, self_ips: &HashMap<IpAddr, String>) {
    errors.names("listeners", spec.listeners.iter().map(|listener| listener.name.as_str()));
    let pools: HashMap<&str, &PoolSpec> =
        spec.pools.iter().map(|pool| (pool.name.as_str(), pool)).collect();
    let mut taken: HashMap<(Protocol, IpAddr, u16), Vec<&ListenerSpec>> = HashMap::new();
    for listener in &spec.listeners {
        let path = format!("listeners[{}]", listener.name);
        let address = listener.vip;
        if !check_network::is_host(address) {
            errors.add(format!("{path}.vip"), SpecProblem::NotUnicast { address });
        }
        if let Some(owner) = self_ips.get(&address) {
            let owner = owner.clone();
            errors.add(format!("{path}.vip"), SpecProblem::AddressTaken { address, owner });
        }
        match pools.get(listener.pool.as_str()) {
            None => {
                let name = listener.pool.clone();
                errors.add(format!("{path}.pool"), SpecProblem::UnknownPool { name });
            }
            Some(pool) => {
                let other = |member: &IpAddr| member.is_ipv4() != address.is_ipv4();
                let member = pool.members.iter().map(|member| member.address).find(other);
                if let Some(address) = member {
                    errors.add(format!("{path}.pool"), SpecProblem::Family { address });
                }
            }
        }
        errors.range(format!("{path}.idleTimeout"), listener.idle_timeout, 1, u32::MAX.into());
        if listener.protocol != Protocol::Udp {
            let seconds = listener.handshake_timeout;
            errors.range(format!("{path}.handshakeTimeout"), seconds, 1, u32::MAX.into());
        }
        let (protocol, port) = (listener.protocol, listener.port);
        let same = taken.entry((protocol, address, port)).or_default();
        let owner = same.iter().find(|other| {
            spec.vlans
                .iter()
                .any(|vlan| takes(&other.vlans, &vlan.id) && takes(&listener.vlans, &vlan.id))
        });
        if let Some(owner) = owner {
            let owner = owner.name.clone();
            let problem = SpecProblem::ListenerTaken { protocol, vip: address, port, owner };
            errors.add(path, problem);
        }
        same.push(listener);
    }
}

/// Whether a set takes packets of the VLAN `id`, which the snapshot has.
fn takes(set: &VlanSet, id: &String) -> bool {
    match set {
        VlanSet::All => true,
        VlanSet::Only(ids) => ids.contains(id),
        VlanSet::AllBut(ids) => !ids.contains(id),
    }
}

/// A Maglev table names members by 16-bit index, one value of which is reserved.
const MOST_MEMBERS: usize = 65_535;

fn pool(errors: &mut Errors, pool: &PoolSpec) {
    let path = format!("pools[{}]", pool.name);
    let count = pool.members.len();
    if count > MOST_MEMBERS {
        let problem = SpecProblem::TooMany { count, most: MOST_MEMBERS };
        errors.add(format!("{path}.members"), problem);
    }
    let mut seen = HashSet::new();
    for member in &pool.members {
        let socket = SocketAddr::new(member.address, member.port);
        let path = format!("{path}.members[{socket}]");
        if !seen.insert(socket) {
            errors.add(path.clone(), SpecProblem::Duplicate);
        }
        if !check_network::is_host(member.address) {
            let address = member.address;
            errors.add(format!("{path}.address"), SpecProblem::NotUnicast { address });
        }
        errors.range(format!("{path}.weight"), member.weight, 0, 100);
    }
    let without_port = pool.members.iter().any(|member| member.port == 0);
    for (one, at) in pool.monitors.iter().zip(0_usize..) {
        monitor(errors, &format!("{path}.monitors[{at}]"), one, without_port);
    }
}

fn monitor(errors: &mut Errors, path: &str, monitor: &MonitorSpec, without_port: bool) {
    let (interval, timeout) = (monitor.interval, monitor.timeout);
    errors.range(format!("{path}.interval"), interval, 1, 86_400);
    errors.range(format!("{path}.timeout"), timeout, 2, 259_201);
    if timeout <= interval {
        let problem = SpecProblem::TimeoutNotAboveInterval { timeout, interval };
        errors.add(format!("{path}.timeout"), problem);
    }
    if without_port && monitor.port == 0 && monitor.kind != MonitorKind::Icmp {
        errors.add(format!("{path}.port"), SpecProblem::NoProbePort);
    }
}

fn egress(errors: &mut Errors, egress: &EgressSpec) {
    let path = format!("egresses[{}]", egress.name);
    for (field, seconds) in [
        ("tcpIdleTimeout", egress.tcp_idle_timeout),
        ("udpIdleTimeout", egress.udp_idle_timeout),
        ("icmpIdleTimeout", egress.icmp_idle_timeout),
    ] {
        errors.range(format!("{path}.{field}"), seconds, 1, u32::MAX.into());
    }
}
