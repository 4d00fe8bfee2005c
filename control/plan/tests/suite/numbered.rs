//! The planner's half of numbered checks, said outright where a snapshot would only show it.

use std::collections::BTreeMap;

use spk_plan::plan;
use tmm_config::spec::{Method, Spec, VlanSet};
use tmm_wire::Protocol;

use crate::scenario::{inputs, read};

fn case(name: &str) -> Spec {
    plan(&inputs(&read(&format!("tests/cases/{name}.yaml")))).spec_for(0)
}

/// CHK-051 (from `vlans` to the set of VLANs; what packets make of a set is the engine's): by list,
/// category, both, and inverted.
#[test]
fn a_category_adds_every_vlan_that_has_it_to_the_list() {
    let spec = case("vlan-sets");
    let sets: BTreeMap<_, _> = spec
        .listeners
        .iter()
        .map(|listener| (listener.object.name.as_str(), &listener.vlans))
        .collect();
    let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(*sets["list"], VlanSet::Only(ids(&["a", "c"])));
    assert_eq!(*sets["category"], VlanSet::Only(ids(&["a", "b"])));
    assert_eq!(*sets["list-and-category"], VlanSet::Only(ids(&["a", "b", "c"])));
    assert_eq!(*sets["inverted"], VlanSet::AllBut(ids(&["a", "b", "c"])));
    assert_eq!(*sets["absent"], VlanSet::All);
    assert_eq!(*sets["all-missing"], VlanSet::Only(ids(&[])));
}

/// CHK-118 (from one object to its listeners; the engine has the packets): both addresses give a
/// listener and a pool each, with the members of that family alone.
#[test]
fn an_object_with_both_addresses_listens_on_both_with_members_of_each_family() {
    let spec = case("members");
    let listeners: Vec<_> = spec
        .listeners
        .iter()
        .filter(|listener| listener.object.name == "both-families")
        .map(|listener| {
            let pool = spec.pools.iter().find(|pool| pool.name == listener.pool);
            let members = pool.expect("the listener's pool is there").members.iter();
            let members: Vec<_> = members.map(|member| member.address.to_string()).collect();
            (listener.protocol, listener.vip.to_string(), listener.port, members)
        })
        .collect();
    assert_eq!(
        listeners,
        [
            (Protocol::Tcp, "192.0.2.5".to_owned(), 80, vec!["10.1.0.1".to_owned()]),
            (Protocol::Tcp, "2001:db8::5".to_owned(), 80, vec!["2001:db8:1::1".to_owned()]),
        ]
    );
}

/// CHK-118 (as above): destinationPort and service.port, each with and without 0.
#[test]
fn the_four_port_combinations_give_members_the_port_of_the_contract() {
    let spec = case("members");
    let ports = |object: &str| {
        let listener = spec.listeners.iter().find(|listener| listener.object.name == object);
        let listener = listener.expect("the object listens");
        let pool = spec.pools.iter().find(|pool| pool.name == listener.pool);
        let pool = pool.expect("the listener's pool is there");
        let member = pool.members.iter().find(|member| member.address.to_string() == "10.0.0.3");
        (listener.port, member.expect("a member with ports by its slice").port)
    };
    assert_eq!(ports("d-p"), (8000, 8080));
    // 0 is the port that the client used.
    assert_eq!(ports("any-any"), (0, 0));
    assert_eq!(ports("any-p"), (0, 5353));
    assert_eq!(ports("d-any"), (5060, 5060));
}

/// CHK-041 (alias identical): both words give one method, so nothing after the planner can tell
/// them apart.
#[test]
fn least_connections_and_its_ratio_alias_are_one_method() {
    let method = |word: &str| {
        let text = format!(
            "apiVersion: ingresstcp.k8s.f5net.com/v1\nkind: F5SPKIngressTCP\n\
             metadata: {{name: web, namespace: demo}}\nservice: {{name: web, port: 80}}\n\
             spec: {{destinationAddress: 192.0.2.1, destinationPort: 80, \
             loadBalancingMethod: {word}}}\n"
        );
        plan(&inputs(&text)).spec_for(0)
    };
    let (alias, ratio) = (method("LEAST_CONNECTIONS"), method("RATIO_LEAST_CONN_MEMBER"));
    assert_eq!(alias, ratio);
    assert_eq!(alias.pools[0].method, Method::LeastConnections);
}
