//! Specs to compile: one that has everything, and the facts of a machine that fits it.

use std::net::IpAddr;

use tmm_config::config::Config;
use tmm_config::spec::{
    AllowedService, EgressSpec, ListenerSpec, MemberSpec, Method, MonitorKind, MonitorSpec,
    NextHopSpec, ObjectRef, PoolSpec, RouteSpec, ServiceDown, ServiceProtocol, Snat, Spec, VlanSet,
    VlanSpec,
};
use tmm_config::{Facts, PortFacts, SpecError};
use tmm_wire::{PortId, Protocol};

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: kind.into(), namespace: "core".into(), name: name.into() }
}

/// Ports 1.1 to 1.4 that take 9,000 bytes and a tag.
pub fn facts() -> Facts {
    let mut facts = Facts::default();
    for port in 0..4 {
        facts.ports.insert(PortId(port), PortFacts { max_mtu: 9004, link_up: true });
    }
    facts
}

/// VLAN `id` on `1.<port>`, with self IPs 10.<subnet>.0.<1..3> and 2001:db8:<subnet>::<1..3>.
pub fn vlan(id: &str, port: u8, tag: u16, subnet: u8) -> VlanSpec {
    let hosts = 1..=3_u8;
    VlanSpec {
        id: id.into(),
        name: format!("{id}-name"),
        tag,
        interfaces: vec![format!("1.{port}")],
        mtu: 1500,
        self_v4: hosts.clone().map(|host| [10, subnet, 0, host].into()).collect(),
        prefix_v4: 24,
        self_v6: hosts
            .map(|host| [0x2001, 0xdb8, u16::from(subnet), 0, 0, 0, 0, u16::from(host)].into())
            .collect(),
        prefix_v6: 64,
        auto_lasthop: true,
        allowed_services: vec![AllowedService { protocol: ServiceProtocol::Icmp, port: 0 }],
    }
}

pub fn listener(name: &str, vip: &str, port: u16, pool: &str) -> ListenerSpec {
    ListenerSpec {
        name: name.into(),
        object: object("F5SPKIngressTCP", name),
        protocol: Protocol::Tcp,
        vip: ip(vip),
        port,
        vlans: VlanSet::All,
        pool: pool.into(),
        snat: Snat::Automap,
        idle_timeout: 300,
        handshake_timeout: 30,
        reset_on_idle: true,
        service_down: ServiceDown::None,
    }
}

pub fn member(address: &str, port: u16, weight: u8) -> MemberSpec {
    MemberSpec { address: ip(address), port, weight, draining: false }
}

pub fn pool(name: &str, method: Method, members: Vec<MemberSpec>) -> PoolSpec {
    PoolSpec {
        name: name.into(),
        object: object("F5SPKIngressTCP", name),
        method,
        members,
        monitors: vec![],
    }
}

pub fn monitor(kind: MonitorKind) -> MonitorSpec {
    MonitorSpec { kind, interval: 5, timeout: 16, port: 0, send: vec![], receive: vec![] }
}

pub fn route(prefix: &str, next_hop: NextHopSpec) -> RouteSpec {
    RouteSpec {
        prefix: prefix.parse().unwrap(),
        next_hop,
        object: object("F5SPKStaticRoute", prefix),
    }
}

pub fn egress(name: &str, vlans: VlanSet) -> EgressSpec {
    EgressSpec {
        name: name.into(),
        object: object("F5SPKEgress", name),
        vlans,
        dual_stack: true,
        snat: Snat::Automap,
        tcp_idle_timeout: 300,
        udp_idle_timeout: 60,
        icmp_idle_timeout: 30,
    }
}

pub fn only(ids: &[&str]) -> VlanSet {
    VlanSet::Only(ids.iter().map(|&id| id.to_owned()).collect())
}

/// Two VLANs, two listeners with a pool each, two routes, an egress.
pub fn spec() -> Spec {
    Spec {
        generation: 1,
        replica: 0,
        ready_replicas: vec![0],
        hash_key: 42,
        vlans: vec![vlan("external", 1, 310, 1), vlan("internal", 2, 0, 2)],
        routes: vec![
            route("10.80.0.0/13", NextHopSpec::Gateway(ip("10.1.0.254"))),
            route("2001:db8:80::/48", NextHopSpec::Gateway(ip("2001:db8:1::fe"))),
        ],
        listeners: vec![
            listener("core-web-tcp-v4", "192.0.2.10", 80, "core-web-v4"),
            listener("core-web-tcp-v6", "2001:db8:10::10", 80, "core-web-v6"),
        ],
        pools: vec![
            pool(
                "core-web-v4",
                Method::MaglevHash,
                vec![member("10.2.0.10", 8080, 1), member("10.2.0.11", 8080, 1)],
            ),
            pool("core-web-v6", Method::RoundRobin, vec![member("2001:db8:2::10", 8080, 1)]),
        ],
        egresses: vec![egress("core-out-egress", only(&["internal"]))],
    }
}

/// Compiles a spec that must be good.
pub fn compile(previous: Option<&Config>, spec: &Spec) -> Config {
    let compiled = Config::compile(previous, spec, &facts()).unwrap();
    assert_eq!(compiled.problems, []);
    compiled.config
}

/// (path, code) of every error of a spec that must be refused.
pub fn refused(spec: &Spec) -> Vec<(String, &'static str)> {
    let errors = Config::compile(None, spec, &facts()).unwrap_err();
    errors.iter().map(|error: &SpecError| (error.path.clone(), error.code())).collect()
}
