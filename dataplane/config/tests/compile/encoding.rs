//! The canonical encoding of a snapshot.

use tmm_config::Spec;
use tmm_config::spec::{MonitorKind, NextHopSpec, VlanSet};

use crate::specimen::*;

fn everything() -> Spec {
    let mut spec = spec();
    spec.listeners[0].vlans = VlanSet::AllBut(vec!["internal".into()]);
    spec.listeners[1].vlans = only(&["external"]);
    spec.pools[0].monitors = vec![monitor(MonitorKind::Udp)];
    spec.pools[0].monitors[0].send = vec![0, 255, b'"'];
    spec.routes.push(route("10.96.0.0/13", NextHopSpec::Interface("internal".into())));
    spec.routes.push(route("10.128.0.0/13", NextHopSpec::Blackhole));
    spec
}

#[test]
fn what_was_encoded_decodes_to_the_same_and_encodes_to_the_same_bytes() {
    let spec = everything();
    let bytes = spec.encode();
    let decoded = Spec::decode(&bytes).unwrap();
    assert_eq!(decoded, spec);
    assert_eq!(decoded.encode(), bytes);
}

#[test]
fn snapshots_of_two_replicas_differ_in_the_index_alone() {
    let (one, other) = (everything(), Spec { replica: 1, ..everything() });
    let (one, other) = (one.encode(), other.encode());
    assert_eq!(one.len(), other.len());
    let differing = one.iter().zip(&other).filter(|(a, b)| a != b).count();
    assert_eq!(differing, 1);
}

/// A newer controller's field that this build does not know must not be lost silently.
#[test]
fn unknown_and_missing_fields_are_refused() {
    let text = String::from_utf8(everything().encode()).unwrap();
    let unknown = text.replacen("{\"generation\"", "{\"novelty\":1,\"generation\"", 1);
    assert!(Spec::decode(unknown.as_bytes()).unwrap_err().to_string().contains("novelty"));
    let nested = text.replacen("\"autoLasthop\"", "\"novelty\":1,\"autoLasthop\"", 1);
    assert!(Spec::decode(nested.as_bytes()).unwrap_err().to_string().contains("novelty"));
    let missing = text.replacen("\"hashKey\":42,", "", 1);
    assert!(Spec::decode(missing.as_bytes()).unwrap_err().to_string().contains("hashKey"));
    assert!(Spec::decode(&text.as_bytes()[..text.len() - 1]).is_err());
}
