//! Per-replica lists and snapshots.

use spk_plan::{Inputs, plan, replica};
use tmm_config::{Config, Facts, Spec};

use crate::scenario::{self, inputs, samples};

fn many(count: u16) -> Inputs {
    let replicas = (0..count).map(scenario::replica).collect();
    Inputs { replicas, ..inputs(&samples()) }
}

/// OPS-465.
#[test]
fn snapshots_of_all_replicas_differ_only_in_the_index() {
    let plan = plan(&many(3));
    let first = plan.spec_for(0);
    for index in 1..3 {
        let other = plan.spec_for(index);
        assert_ne!(other.encode(), first.encode());
        assert_eq!(other.replica, index);
        assert_eq!(Spec { replica: 0, ..other }.encode(), first.encode());
    }
    assert!(!first.listeners.is_empty() && !first.vlans.is_empty());
}

/// OPS-460, self IPs. Lists of source NAT addresses come with step engine, slices of DNS46 subnets
/// with step egress64, and the run against an API server with step kubernetes.
#[test]
fn replica_i_has_the_ith_self_ip_of_each_vlan_and_family() {
    let plan = plan(&many(2));
    let mut facts = Facts::default();
    for port in 0..2 {
        let up = tmm_config::facts::PortFacts { max_mtu: 1600, link_up: true };
        facts.ports.insert(tmm_wire::PortId(port), up);
    }
    for (index, last) in [(0_u16, 0x11_u16), (1, 0x12)] {
        let compiled = Config::compile(None, &plan.spec_for(index), &facts).expect("it compiles");
        let own: Vec<_> = compiled
            .config
            .vlans()
            .map(|vlan| (vlan.id.clone(), vlan.self_v4, vlan.self_v6))
            .collect();
        let v6 = |net: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, last);
        let host = 11 + u8::try_from(index).expect("two replicas");
        let expected = [
            ("vlan-external", [198, 51, 100, host], v6(0x100)),
            ("vlan-internal", [10, 20, 0, host], v6(0x200)),
        ]
        .map(|(id, v4, v6)| (id.to_owned(), Some((v4.into(), 24)), Some((v6, 64))));
        assert_eq!(own, expected, "replica {index}");
    }
}

#[test]
fn a_replica_beyond_a_list_lacks_an_address_and_the_others_do_not() {
    let plan = plan(&many(3));
    assert!(plan.missing_addresses(1).is_empty());
    let missing: Vec<_> =
        plan.missing_addresses(2).into_iter().map(|(id, path)| (id.name.clone(), path)).collect();
    let lists = ["spec.selfip_v4s", "spec.selfip_v6s"];
    let of = |name: &str| lists.map(|path| (name.to_owned(), path));
    assert_eq!(missing, [of("vlan-external"), of("vlan-internal")].concat());
}

#[test]
fn ready_replicas_share_vips_and_one_alone_has_them_all() {
    let mut inputs = many(3);
    inputs.replicas[1].ready = false;
    assert_eq!(plan(&inputs).spec_for(0).ready_replicas, [0, 2]);
    assert!(plan(&many(1)).spec_for(0).ready_replicas.is_empty());
}

#[test]
fn a_new_pod_gets_the_lowest_free_index_and_keeps_it() {
    let pod = |name: &str, index| (name.to_owned(), index);
    let assign = |pods: &[(String, Option<u16>)]| replica::assign(pods);
    assert_eq!(assign(&[pod("a", None), pod("b", None)]), [0, 1]);
    assert_eq!(assign(&[pod("b", Some(1)), pod("c", None), pod("d", None)]), [1, 0, 2]);
    assert_eq!(assign(&[pod("a", Some(3)), pod("b", Some(3))]), [3, 0], "the older pod keeps it");
    assert!(assign(&[]).is_empty());
}
