//! Specs for tests: two VLANs, and objects on them.
//!
//! Outside: VLAN 10 on 1.1, self IPs 10.1.0.2 and 2001:db8:1::2. Inside: VLAN 20 on 1.2, self IPs
//! 10.2.0.2 and 2001:db8:2::2. Replica 1 has `.3`. VIPs lie in 192.0.2.0/24 and 2001:db8:f::/64.

use std::net::IpAddr;

use tmm_config::Spec;
use tmm_config::spec::{
    AllowedService, EgressSpec, ListenerSpec, MemberSpec, Method, MonitorSpec, NextHopSpec,
    ObjectRef, PoolSpec, RouteSpec, ServiceDown, ServiceProtocol, Snat, VlanSet, VlanSpec,
};
use tmm_wire::Protocol;

pub const OUTSIDE: &str = "vlan-external";
pub const INSIDE: &str = "vlan-internal";

/// The two VLANs and nothing else.
pub fn vlans() -> Spec {
    Spec {
        generation: 1,
        hash_key: 42,
        vlans: vec![vlan(OUTSIDE, 10, "1.1", 1), vlan(INSIDE, 20, "1.2", 2)],
        ..Spec::default()
    }
}

/// One VLAN with self IPs in 10.`net`.0.0/24 and 2001:db8:`net`::/64.
pub fn vlan(id: &str, tag: u16, interface: &str, net: u8) -> VlanSpec {
    let v6 = |host: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, u16::from(net), 0, 0, 0, 0, host);
    VlanSpec {
        id: id.to_owned(),
        name: id.trim_start_matches("vlan-").to_owned(),
        tag,
        interfaces: vec![interface.to_owned()],
        mtu: 1500,
        self_v4: [2, 3].map(|host| std::net::Ipv4Addr::new(10, net, 0, host)).to_vec(),
        prefix_v4: 24,
        self_v6: [2, 3].map(v6).to_vec(),
        prefix_v6: 64,
        auto_lasthop: true,
        allowed_services: vec![AllowedService { protocol: ServiceProtocol::Icmp, port: 0 }],
    }
}

/// A listener on all VLANs with `members` of the form `address:port`, round robin, no SNAT.
pub fn listen(spec: &mut Spec, protocol: Protocol, vip: &str, members: &[&str]) -> usize {
    let (vip, port) = super::craft::end(vip);
    let family = if vip.is_ipv6() { "v6" } else { "v4" };
    let object = object("F5SPKIngressTCP", &format!("app{}", spec.listeners.len()));
    let pool = PoolSpec {
        name: format!("{}-{}-{family}", object.namespace, object.name),
        object: object.clone(),
        method: Method::RoundRobin,
        members: members.iter().map(|text| member(text)).collect(),
        monitors: Vec::new(),
    };
    let listener = ListenerSpec {
        name: format!("{}-{}-{}-{family}", object.namespace, object.name, protocol.name()),
        object,
        protocol,
        vip,
        port,
        vlans: VlanSet::All,
        pool: pool.name.clone(),
        snat: Snat::None,
        idle_timeout: 300,
        handshake_timeout: 5,
        reset_on_idle: false,
        service_down: ServiceDown::None,
    };
    spec.pools.push(pool);
    spec.listeners.push(listener);
    spec.listeners.len() - 1
}

/// A member with weight 1.
pub fn member(text: &str) -> MemberSpec {
    let (address, port) = super::craft::end(text);
    MemberSpec { address, port, weight: 1, draining: false }
}

/// A monitor of 5 s and 16 s.
pub fn monitor(kind: tmm_config::spec::MonitorKind) -> MonitorSpec {
    MonitorSpec { kind, interval: 5, timeout: 16, port: 0, send: Vec::new(), receive: Vec::new() }
}

/// A route by a gateway.
pub fn route(spec: &mut Spec, prefix: &str, gateway: &str) {
    let gateway: IpAddr = gateway.parse().expect("an address");
    route_by(spec, prefix, NextHopSpec::Gateway(gateway));
}

/// A route by any next hop.
pub fn route_by(spec: &mut Spec, prefix: &str, next_hop: NextHopSpec) {
    let name = format!("route{}", spec.routes.len());
    let prefix = prefix.parse().expect("a prefix");
    spec.routes.push(RouteSpec { prefix, next_hop, object: object("F5SPKStaticRoute", &name) });
    spec.routes.sort();
}

/// An egress from the internal VLAN behind automap, both families.
pub fn egress(spec: &mut Spec) {
    spec.egresses.push(EgressSpec {
        name: "spk-core-out-egress".to_owned(),
        object: object("F5SPKEgress", "out"),
        vlans: VlanSet::Only(vec![INSIDE.to_owned()]),
        dual_stack: true,
        snat: Snat::Automap,
        tcp_idle_timeout: 300,
        udp_idle_timeout: 60,
        icmp_idle_timeout: 30,
    });
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: kind.to_owned(), namespace: "spk-app".to_owned(), name: name.to_owned() }
}
