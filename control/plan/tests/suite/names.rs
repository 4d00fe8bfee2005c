//! Names that tables show, where two objects would have the same.

use spk_plan::plan;

use crate::scenario::inputs;

fn object(kind: &str, group: &str, namespace: &str, name: &str, last: u8) -> String {
    format!(
        "---\napiVersion: {group}.k8s.f5net.com/v1\nkind: {kind}\nmetadata: {{name: {name}, \
         namespace: {namespace}, creationTimestamp: \"2026-01-0{last}T00:00:00Z\"}}\nservice: \
         {{name: x, port: 1}}\nspec: {{destinationAddress: 192.0.2.{last}, destinationPort: 1}}\n"
    )
}

fn tcp(namespace: &str, name: &str, last: u8) -> String {
    object("F5SPKIngressTCP", "ingresstcp", namespace, name, last)
}

#[test]
fn a_name_that_an_older_object_has_is_made_unique_for_the_newer() {
    let udp = object("F5SPKIngressUDP", "ingressudp", "a", "b-c", 3);
    let mut inputs = inputs(&[tcp("a", "b-c", 1), tcp("a-b", "c", 2), udp].concat());
    inputs.watched = ["a".to_owned(), "a-b".to_owned()].into();
    let spec = plan(&inputs).spec_for(0);
    let names: Vec<_> = spec
        .listeners
        .iter()
        .map(|l| (l.vip.to_string(), l.name.as_str(), l.pool.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("192.0.2.1".to_owned(), "a-b-c-tcp-v4", "a-b-c-v4"),
            ("192.0.2.3".to_owned(), "a-b-c-udp-v4", "a/b-c-udp-v4"),
            ("192.0.2.2".to_owned(), "a-b/c-tcp-v4", "a-b/c-tcp-v4"),
        ]
    );
}

#[test]
fn a_pool_and_a_listener_may_have_one_name() {
    let text = [tcp("demo", "web", 1), tcp("demo", "web-tcp", 2)].concat();
    let spec = plan(&inputs(&text)).spec_for(0);
    assert!(spec.listeners.iter().any(|listener| listener.name == "demo-web-tcp-v4"));
    assert!(spec.pools.iter().any(|pool| pool.name == "demo-web-tcp-v4"));
}
