//! What a snapshot is refused for, and what only leaves out one object.

use tmm_config::config::{Config, NextHop};
use tmm_config::spec::{Method, MonitorKind, NextHopSpec, Spec, VlanSet};
use tmm_config::{ApplyReport, PortFacts};
use tmm_wire::PortId;

use crate::specimen::*;

fn path(path: &str, code: &'static str) -> (String, &'static str) {
    (path.to_owned(), code)
}

/// One snapshot with a defect of every kind: all are listed, each with its path and code, in the
/// order of the snapshot; there is no configuration.
#[test]
fn snapshot_with_many_defects_lists_them_all() {
    let mut bad = spec();
    bad.ready_replicas = vec![0, 0];
    bad.vlans[0].mtu = 1499;
    bad.vlans[0].self_v4[1] = [10, 9, 0, 1].into();
    bad.vlans[1].interfaces = vec!["1.2".into(), "1.3".into()];
    bad.vlans[1].self_v6[0] = [0; 8].into();
    let mut third = vlan("third", 1, 310, 3);
    third.name = "external-name".into();
    third.self_v4[0] = [10, 1, 0, 1].into();
    third.prefix_v6 = 129;
    bad.vlans.push(third);
    let mut fourth = vlan("external", 1, 4095, 4);
    fourth.interfaces = vec!["2.1".into()];
    bad.vlans.push(fourth);
    bad.routes[0].prefix = "10.80.0.1/13".parse().unwrap();
    bad.routes.push(route("10.99.0.0/16", NextHopSpec::Interface("nowhere".into())));
    bad.routes.push(route("10.98.0.0/16", NextHopSpec::Gateway(ip("2001:db8::1"))));
    bad.listeners[0].pool = "core-web-v6".into();
    bad.listeners[0].idle_timeout = 0;
    bad.listeners[1].pool = "gone".into();
    bad.listeners.push(listener("again", "192.0.2.10", 80, "core-web-v4"));
    bad.listeners.push(listener("again", "10.2.0.1", 80, "core-web-v4"));
    bad.listeners.push(listener("", "224.0.0.1", 80, "core-web-v4"));
    bad.pools[0].members.push(member("10.2.0.10", 8080, 101));
    let mut monitored = pool("monitored", Method::RoundRobin, vec![member("10.2.0.9", 0, 1)]);
    monitored.monitors = vec![monitor(MonitorKind::Tcp), monitor(MonitorKind::Icmp)];
    monitored.monitors[1].timeout = 5;
    bad.pools.push(monitored);
    bad.egresses[0].tcp_idle_timeout = 0;

    assert_eq!(
        refused(&bad),
        [
            path("readyReplicas[0]", "duplicate"),
            path("vlans[external]", "duplicate"),
            path("vlans[external].mtu", "out_of_range"),
            path("vlans[external].selfV4", "other_subnet"),
            path("vlans[internal].interfaces", "interface_count"),
            path("vlans[internal].selfV6", "not_unicast"),
            path("vlans[internal].selfV6", "other_subnet"),
            path("vlans[internal].selfV6", "other_subnet"),
            path("vlans[third].name", "duplicate"),
            path("vlans[third].interfaces", "tag_taken"),
            path("vlans[third].selfV4", "address_taken"),
            path("vlans[third].selfV4", "other_subnet"),
            path("vlans[third].selfV4", "other_subnet"),
            path("vlans[third].selfV4", "subnet_taken"),
            path("vlans[third].prefixV6", "out_of_range"),
            path("vlans[external].name", "duplicate"),
            path("vlans[external].tag", "out_of_range"),
            path("vlans[external].interfaces", "interface_name"),
            path("routes[10.80.0.1/13].prefix", "host_bits"),
            path("routes[10.99.0.0/16].nextHop", "unknown_vlan"),
            path("routes[10.98.0.0/16].nextHop", "family"),
            path("listeners[again]", "duplicate"),
            path("listeners[4]", "empty"),
            path("listeners[core-web-tcp-v4].pool", "family"),
            path("listeners[core-web-tcp-v4].idleTimeout", "out_of_range"),
            path("listeners[core-web-tcp-v6].pool", "unknown_pool"),
            path("listeners[again]", "listener_taken"),
            path("listeners[again].vip", "address_taken"),
            path("listeners[].vip", "not_unicast"),
            path("pools[core-web-v4].members[10.2.0.10:8080]", "duplicate"),
            path("pools[core-web-v4].members[10.2.0.10:8080].weight", "out_of_range"),
            path("pools[monitored].monitors[0].port", "no_probe_port"),
            path("pools[monitored].monitors[1].timeout", "timeout_not_above_interval"),
            path("egresses[core-out-egress].tcpIdleTimeout", "out_of_range"),
        ]
    );
}

/// OPS-134 (pure part: the decision; the swap under traffic is proven with the process): a snapshot
/// with one invalid object is refused whole, its report lists every error, and the configuration
/// before it still compiles onward as if nothing had been.
#[test]
fn invalid_object_refuses_the_snapshot_whole_and_the_old_configuration_runs_on() {
    let running = compile(None, &spec());
    let mut bad = spec();
    bad.generation = 2;
    bad.listeners.push(listener("new", "192.0.2.11", 80, "gone"));
    bad.vlans[0].mtu = 9001;
    let errors = Config::compile(Some(&running), &bad, &facts()).unwrap_err();
    let report = ApplyReport::refused(bad.generation, &errors);
    assert!(!report.accepted);
    assert_eq!(report.generation, 2);
    let codes: Vec<_> = report.errors.iter().map(|error| error.code.as_str()).collect();
    assert_eq!(codes, ["out_of_range", "unknown_pool"]);
    assert_eq!(report.errors[0].text, "9001 is outside 1500 to 9000");

    assert_eq!(running.spec_generation(), 1);
    let next = compile(Some(&running), &spec());
    assert_eq!(next.generation(), running.generation() + 1);
    for listener in running.listeners() {
        assert_eq!(next.listener(listener.slot), Some(listener));
    }
}

/// The ends of a subnet are no host's (crds.md §3.3), unless it has two addresses or one.
#[test]
fn self_ip_is_no_network_broadcast_or_anycast_address_of_its_subnet() {
    let with = |v4: &str, v4_length, v6: &str, v6_length| {
        let mut spec = Spec { generation: 1, ..Spec::default() };
        let mut one = vlan("one", 1, 100, 1);
        (one.self_v4, one.prefix_v4) = (vec![v4.parse().unwrap()], v4_length);
        (one.self_v6, one.prefix_v6) = (vec![v6.parse().unwrap()], v6_length);
        spec.vlans.push(one);
        Config::compile(None, &spec, &facts()).map(|_| ()).map_err(|errors| errors.len())
    };
    assert_eq!(with("10.1.0.1", 24, "2001:db8::1", 64), Ok(()));
    assert_eq!(with("10.1.0.255", 24, "2001:db8::", 64), Err(2));
    assert_eq!(with("10.1.0.0", 24, "2001:db8::ffff", 112), Err(1));
    assert_eq!(with("10.1.0.3", 30, "2001:db8::4", 126), Err(2));
    assert_eq!(with("10.1.0.0", 31, "2001:db8::", 127), Ok(()));
    assert_eq!(with("10.1.0.1", 31, "2001:db8::1", 127), Ok(()));
    assert_eq!(with("10.1.0.0", 32, "2001:db8::", 128), Ok(()));
}

/// Self IPs of two VLANs in one subnet would make it on-link twice (crds.md §14 R-VL-1).
#[test]
fn subnets_of_two_vlans_that_overlap_are_refused() {
    let mut spec = Spec { generation: 1, ..Spec::default() };
    spec.vlans = vec![vlan("a", 1, 100, 1), vlan("b", 1, 200, 2)];
    compile(None, &spec);
    spec.vlans[1].self_v4 = vec![[10, 1, 0, 9].into()];
    assert_eq!(refused(&spec), [path("vlans[b].selfV4", "subnet_taken")]);
    spec.vlans[1].prefix_v4 = 32;
    spec.vlans[1].prefix_v6 = 32;
    assert_eq!(
        refused(&spec),
        [path("vlans[b].selfV4", "subnet_taken"), path("vlans[b].selfV6", "subnet_taken")]
    );
    spec.vlans[1].self_v4.clear();
    spec.vlans[1].self_v6.clear();
    compile(None, &spec);
}

#[test]
fn too_many_vlans_are_refused() {
    let mut many = Spec { generation: 1, ..Spec::default() };
    for nth in 0..129_u16 {
        let mut one = vlan(&format!("vlan-{nth}"), 1, nth + 1, 0);
        (one.self_v4, one.self_v6) = (vec![], vec![]);
        many.vlans.push(one);
    }
    assert_eq!(refused(&many), [path("vlans", "too_many")]);
    many.vlans.pop();
    assert_eq!(compile(None, &many).vlans().count(), 128);
}

/// Listeners of one protocol, VIP and port may share no VLAN; other VLANs do not conflict
/// (crds.md §5.5 rule 2). An id that is not there counts for nothing.
#[test]
fn listeners_conflict_only_where_they_share_a_vlan() {
    let with = |first: VlanSet, second: VlanSet| {
        let mut spec = spec();
        spec.listeners[0].vlans = first;
        let mut other = listener("other", "192.0.2.10", 80, "core-web-v4");
        other.vlans = second;
        spec.listeners.push(other);
        Config::compile(None, &spec, &facts()).is_ok()
    };
    assert!(with(only(&["external"]), only(&["internal"])));
    assert!(with(only(&["external", "ghost"]), only(&["internal", "ghost"])));
    assert!(with(VlanSet::AllBut(vec!["internal".into()]), only(&["internal"])));
    assert!(!with(VlanSet::All, only(&["internal"])));
    assert!(!with(VlanSet::AllBut(vec!["internal".into()]), only(&["internal", "external"])));
}

#[test]
fn missing_device_leaves_out_its_vlan_and_names_the_ports_there_are() {
    let mut facts = facts();
    facts.ports.remove(&PortId(1));
    let compiled = Config::compile(None, &spec(), &facts).unwrap();
    let [problem] = compiled.problems.as_slice() else { panic!("{:?}", compiled.problems) };
    assert_eq!(
        (problem.code.as_str(), problem.object.name.as_str()),
        ("device_missing", "internal")
    );
    assert_eq!(problem.text, "1.2: no such interface; this replica has 1.1, 1.3, 1.4");
    assert_eq!(compiled.config.vlans().count(), 1);
    assert_eq!(compiled.config.self_ip(ip("10.2.0.1")), None);
    assert_eq!(compiled.config.route(ip("10.2.0.9")), None);
    // The device comes: the VLAN too, without a new snapshot.
    let healed = Config::compile(Some(&compiled.config), &spec(), &self::facts()).unwrap();
    assert_eq!(healed.problems, []);
    assert!(healed.config.self_ip(ip("10.2.0.1")).is_some());
}

#[test]
fn device_mtu_must_hold_the_packet_and_the_tag() {
    let with = |max_mtu, tag| {
        let mut facts = facts();
        facts.ports.insert(PortId(0), PortFacts { max_mtu, link_up: true });
        let mut spec = spec();
        spec.vlans[0].tag = tag;
        let compiled = Config::compile(None, &spec, &facts).unwrap();
        let codes = compiled.problems.iter().map(|problem| problem.code.clone());
        codes.filter(|code| code.starts_with("device")).collect::<Vec<_>>()
    };
    assert_eq!(with(1504, 310), [""; 0]);
    assert_eq!(with(1503, 310), ["device_mtu"]);
    assert_eq!(with(1500, 0), [""; 0]);
    assert_eq!(with(1499, 0), ["device_mtu"]);
}

#[test]
fn link_that_is_down_is_told_and_its_vlan_stays() {
    let mut facts = facts();
    facts.ports.insert(PortId(0), PortFacts { max_mtu: 9004, link_up: false });
    let compiled = Config::compile(None, &spec(), &facts).unwrap();
    assert_eq!(compiled.problems[0].code, "link_down");
    assert_eq!(compiled.config.vlans().count(), 2);
}

/// OPS-460 (self IPs; SNAT lists and slices come with their kinds): replica i has entry i.
#[test]
fn replica_has_the_entries_of_its_index_and_is_told_when_there_is_none() {
    for replica in 0..3_u16 {
        let mut spec = spec();
        spec.replica = replica;
        spec.ready_replicas = vec![0, 1, 2];
        let config = compile(None, &spec);
        for host in 0..3_u16 {
            let address = ip(&format!("10.1.0.{}", host + 1));
            assert_eq!(config.self_ip(address).is_some(), host == replica, "{replica} {address}");
            let address = ip(&format!("2001:db8:1::{}", host + 1));
            assert_eq!(config.self_ip(address).is_some(), host == replica, "{replica} {address}");
        }
    }
    let mut spec = spec();
    spec.replica = 4;
    let compiled = Config::compile(None, &spec, &facts()).unwrap();
    assert_eq!(compiled.problems[0].code, "self_ip_exhausted");
    assert_eq!(
        compiled.problems[0].text,
        "replica 4 has no entry in spec.selfip_v4s: add 2 or lower tmm.replicaCount to 3"
    );
    assert_eq!(compiled.config.vlans().count(), 0);
}

#[test]
fn route_without_its_vlan_or_gateway_is_left_out_and_told() {
    let mut spec = spec();
    spec.routes = vec![
        route("10.1.0.0/24", NextHopSpec::Blackhole),
        route("10.80.0.0/13", NextHopSpec::Gateway(ip("10.9.0.1"))),
        route("10.96.0.0/13", NextHopSpec::Interface("internal".into())),
        route("10.128.0.0/13", NextHopSpec::Blackhole),
    ];
    let mut facts = facts();
    facts.ports.remove(&PortId(1));
    let compiled = Config::compile(None, &spec, &facts).unwrap();
    let codes: Vec<_> = compiled.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(
        codes,
        ["device_missing", "route_connected", "gateway_not_connected", "vlan_absent"]
    );
    let config = compiled.config;
    assert!(matches!(config.route(ip("10.1.0.9")), Some([NextHop::OnLink(_)])));
    assert_eq!(config.route(ip("10.81.0.1")), None);
    assert_eq!(config.route(ip("10.97.0.1")), None);
    assert_eq!(config.route(ip("10.129.0.1")), Some(&[NextHop::Blackhole][..]));
}

#[test]
fn empty_configuration_knows_nothing() {
    let config = Config::default();
    assert_eq!(config.generation(), 0);
    assert_eq!(config.vlan_at(PortId(0), None), None);
    assert_eq!(config.route(ip("10.0.0.1")), None);
    assert_eq!(config.listeners().count(), 0);
}
