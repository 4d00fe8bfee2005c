//! What the engine finds in a configuration, against slow and obvious answers.

use std::net::IpAddr;

use proptest::prelude::*;
use tmm_config::config::{Config, NextHop, NoListener, VlanSlot};
use tmm_config::spec::{ListenerSpec, Method, NextHopSpec, Snat, Spec, VlanSet};
use tmm_wire::{PortId, Protocol, VlanId};

use crate::specimen::*;

fn slot(config: &Config, id: &str) -> VlanSlot {
    config.vlans().find(|vlan| vlan.id == id).unwrap().slot
}

#[test]
fn vlan_is_found_by_port_and_tag_alone() {
    let config = compile(None, &spec());
    let at = |port, tag: u16| {
        config.vlan_at(PortId(port), VlanId::new(tag).ok()).map(|vlan| vlan.id.as_str())
    };
    assert_eq!(at(0, 310), Some("external"));
    assert_eq!(at(0, 0), None);
    assert_eq!(at(0, 311), None);
    assert_eq!(at(1, 0), Some("internal"));
    assert_eq!(at(1, 310), None);
    assert_eq!(at(7, 310), None);
}

#[test]
fn listener_with_the_port_comes_before_the_one_of_all_ports() {
    let mut spec = spec();
    spec.listeners[0].vlans = only(&["external"]);
    spec.listeners.push(listener("all", "192.0.2.10", 0, "core-web-v4"));
    let config = compile(None, &spec);
    let (external, internal) = (slot(&config, "external"), slot(&config, "internal"));
    let found = |port, vlan| {
        let found = config.match_listener(Protocol::Tcp, ip("192.0.2.10"), port, vlan);
        found.map(|listener| listener.name.clone())
    };
    assert_eq!(found(80, external).as_deref(), Ok("core-web-tcp-v4"));
    assert_eq!(found(81, external).as_deref(), Ok("all"));
    // Excluded, so it does not exist, and the next listener takes the packet.
    assert_eq!(found(80, internal).as_deref(), Ok("all"));
}

#[test]
fn excluded_vlan_is_told_apart_from_no_listener() {
    let mut spec = spec();
    spec.listeners[0].vlans = only(&["external"]);
    let config = compile(None, &spec);
    let internal = slot(&config, "internal");
    let error = |protocol, port| {
        config.match_listener(protocol, ip("192.0.2.10"), port, internal).unwrap_err()
    };
    assert_eq!(error(Protocol::Tcp, 80), NoListener::VlanDenied);
    assert_eq!(error(Protocol::Tcp, 81), NoListener::NoMatch);
    assert_eq!(error(Protocol::Udp, 80), NoListener::NoMatch);
}

#[test]
fn vip_is_one_on_its_listeners_vlans_only() {
    let mut spec = spec();
    spec.listeners[0].vlans = only(&["external"]);
    let config = compile(None, &spec);
    let (external, internal) = (slot(&config, "external"), slot(&config, "internal"));
    let vip = ip("192.0.2.10");
    assert!(config.is_vip(vip, external) && config.owns_vip(vip, external));
    assert!(!config.is_vip(vip, internal) && !config.owns_vip(vip, internal));
    assert!(config.is_vip(ip("2001:db8:10::10"), internal));
    assert!(!config.is_vip(ip("192.0.2.11"), external));
}

/// Exactly one ready replica answers for each VIP; one that is not ready never does.
#[test]
fn each_vip_is_owned_by_exactly_one_ready_replica() {
    let replicas: Vec<Config> = (0..4)
        .map(|replica| {
            let mut spec = spec();
            for vlan in &mut spec.vlans {
                (vlan.self_v4, vlan.self_v6) = (vec![], vec![]);
            }
            spec.routes.clear();
            spec.listeners.clear();
            for nth in 0..64 {
                let name = format!("vip-{nth}");
                let vip = format!("192.0.2.{nth}");
                spec.listeners.push(listener(&name, &vip, 80, "core-web-v4"));
            }
            spec.replica = replica;
            spec.ready_replicas = vec![0, 1, 3];
            compile(None, &spec)
        })
        .collect();
    let mut owned = [0; 4];
    for nth in 0..64_u8 {
        let vip = IpAddr::from([192, 0, 2, nth]);
        let owners: Vec<usize> = (0..4)
            .filter(|&at| replicas[at].owns_vip(vip, slot(&replicas[at], "external")))
            .collect();
        let [owner] = owners.as_slice() else { panic!("{vip}: {owners:?}") };
        owned[*owner] += 1;
        assert!(replicas.iter().all(|config| config.is_vip(vip, slot(config, "external"))));
    }
    assert_eq!(owned[2], 0);
    assert!(owned[0] > 0 && owned[1] > 0 && owned[3] > 0, "{owned:?}");
}

#[test]
fn egress_takes_ipv6_only_with_dual_stack_and_the_first_by_name_wins() {
    let mut spec = spec();
    spec.egresses.insert(0, egress("zz-egress", VlanSet::All));
    spec.egresses[1].dual_stack = false;
    let config = compile(None, &spec);
    let taken = |vlan: &str, is_v6| {
        config.match_egress(slot(&config, vlan), is_v6).map(|egress| egress.name.as_str())
    };
    assert_eq!(taken("internal", false), Some("core-out-egress"));
    assert_eq!(taken("internal", true), Some("zz-egress"));
    assert_eq!(taken("external", false), Some("zz-egress"));
}

#[test]
fn members_of_listeners_without_snat_are_known_with_any_port_of_port_zero() {
    let mut spec = spec();
    spec.listeners[0].snat = Snat::None;
    spec.listeners.push(listener("all", "192.0.2.12", 0, "all"));
    spec.listeners[2].snat = Snat::None;
    spec.pools.push(pool("all", Method::RoundRobin, vec![member("10.2.0.20", 0, 1)]));
    let config = compile(None, &spec);
    let is =
        |protocol, address: &str, port| config.is_snat_none_member(protocol, ip(address), port);
    assert!(is(Protocol::Tcp, "10.2.0.10", 8080));
    assert!(!is(Protocol::Tcp, "10.2.0.10", 8081));
    assert!(!is(Protocol::Udp, "10.2.0.10", 8080));
    assert!(is(Protocol::Tcp, "10.2.0.20", 1) && is(Protocol::Tcp, "10.2.0.20", 65_535));
    assert!(!is(Protocol::Tcp, "2001:db8:2::10", 8080), "its listener has automap");
}

#[test]
fn member_leads_to_its_pool_and_listeners() {
    let config = compile(None, &spec());
    let slot = config.member_slot("core-web-v4", ip("10.2.0.11"), 8080).unwrap();
    assert_eq!(config.member(slot).unwrap().address, ip("10.2.0.11"));
    let pool = config.pool_of(slot).unwrap();
    let names: Vec<_> = config.listeners_of(pool).map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["core-web-tcp-v4"]);
    assert_eq!(config.member_slot("core-web-v4", ip("10.2.0.12"), 8080), None);
}

/// Gateways of one prefix come in the order of their addresses, whatever the order of the objects;
/// doubles count once.
#[test]
fn equal_prefixes_are_joined_in_the_order_of_their_gateways() {
    let hop = |text: &str| NextHopSpec::Gateway(ip(text));
    let mut spec = spec();
    spec.routes = vec![
        route("0.0.0.0/0", hop("10.2.0.253")),
        route("0.0.0.0/0", hop("10.1.0.254")),
        route("0.0.0.0/0", hop("10.1.0.253")),
        route("0.0.0.0/0", hop("10.1.0.254")),
    ];
    let config = compile(None, &spec);
    let gateways: Vec<String> = config
        .route(ip("8.8.8.8"))
        .unwrap()
        .iter()
        .map(|hop| match hop {
            NextHop::Gateway { address, .. } => address.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gateways, ["10.1.0.253", "10.1.0.254", "10.2.0.253"]);
    spec.routes.reverse();
    assert_eq!(compile(None, &spec).routes(), config.routes());
}

fn prefix() -> impl Strategy<Value = ipnet::Ipv4Net> {
    (0..=32_u8, 0..8_u32, 0..4_u32).prop_map(|(length, high, low)| {
        let address = 0x0a00_0000 | high << 16 | low << 8 | low;
        ipnet::Ipv4Net::new(address.into(), length).unwrap().trunc()
    })
}

fn vlan_set() -> impl Strategy<Value = VlanSet> {
    let ids = prop::sample::subsequence(vec!["external", "internal", "ghost"], 0..=3)
        .prop_map(|ids| ids.into_iter().map(str::to_owned).collect::<Vec<_>>());
    prop_oneof![
        Just(VlanSet::All),
        ids.clone().prop_map(VlanSet::Only),
        ids.prop_map(VlanSet::AllBut)
    ]
}

fn takes(set: &VlanSet, id: &str) -> bool {
    match set {
        VlanSet::All => true,
        VlanSet::Only(ids) => ids.iter().any(|other| other == id),
        VlanSet::AllBut(ids) => !ids.iter().any(|other| other == id),
    }
}

/// The answer a reader of crds.md §5.5 would give.
fn slow_match<'a>(
    spec: &'a Spec,
    protocol: Protocol,
    vip: IpAddr,
    port: u16,
    vlan: &str,
) -> Result<&'a str, NoListener> {
    let same = |listener: &&ListenerSpec, port| {
        (listener.protocol, listener.vip, listener.port) == (protocol, vip, port)
    };
    for port in [port, 0] {
        let mut hits = spec.listeners.iter().filter(|listener| same(listener, port));
        if let Some(hit) = hits.find(|listener| takes(&listener.vlans, vlan)) {
            return Ok(&hit.name);
        }
    }
    let any = spec.listeners.iter().any(|one| same(&one, port) || same(&one, 0));
    Err(if any { NoListener::VlanDenied } else { NoListener::NoMatch })
}

proptest! {
    #[test]
    fn longest_prefix_wins_as_by_looking_at_every_route(
        prefixes in prop::collection::btree_set(prefix(), 0..40),
        probes in prop::collection::vec((0..8_u32, any::<u16>()), 50),
    ) {
        let mut spec = spec();
        spec.vlans.truncate(1);
        spec.egresses.clear();
        let connected: ipnet::Ipv4Net = "10.1.0.0/24".parse().unwrap();
        spec.routes = prefixes
            .iter()
            .filter(|prefix| **prefix != connected)
            .map(|prefix| route(&prefix.to_string(), NextHopSpec::Blackhole))
            .collect();
        let config = compile(None, &spec);
        for (high, low) in probes {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 | high << 16 | u32::from(low & 0x303));
            let slow = prefixes
                .iter()
                .chain([&connected])
                .filter(|prefix| prefix.contains(&address))
                .max_by_key(|prefix| prefix.prefix_len());
            let expected = slow.map(|prefix| {
                if *prefix == connected { NextHop::OnLink(VlanSlot(0)) } else { NextHop::Blackhole }
            });
            let found = config.route(address.into());
            prop_assert_eq!(found.map(|hops| hops[0]), expected, "{}", address);
        }
    }

    #[test]
    fn listener_found_is_the_one_that_reading_the_list_finds(
        sets in prop::collection::vec((vlan_set(), 0..3_u8, 0..2_u16, any::<bool>()), 0..8),
    ) {
        let mut spec = spec();
        spec.listeners.clear();
        for (nth, (vlans, vip, port, tcp)) in sets.into_iter().enumerate() {
            let mut one = listener(&format!("l{nth}"), &format!("192.0.2.{vip}"), port * 80, "core-web-v4");
            one.vlans = vlans;
            one.protocol = if tcp { Protocol::Tcp } else { Protocol::Sctp };
            spec.listeners.push(one);
            if Config::compile(None, &spec, &facts()).is_err() {
                spec.listeners.pop();
            }
        }
        let config = compile(None, &spec);
        for vip in 0..4_u8 {
            let vip = IpAddr::from([192, 0, 2, vip]);
            for port in [0, 80, 81] {
                for id in ["external", "internal"] {
                    for protocol in [Protocol::Tcp, Protocol::Sctp, Protocol::Udp] {
                        let found = config
                            .match_listener(protocol, vip, port, slot(&config, id))
                            .map(|listener| listener.name.as_str());
                        prop_assert_eq!(found, slow_match(&spec, protocol, vip, port, id));
                    }
                }
            }
        }
    }
}
