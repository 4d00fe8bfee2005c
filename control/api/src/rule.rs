//! CEL rules: the text that CRDs carry, beside the code that decides the same here.
//!
//! Source: crds.md §3.2, and the rule tables of each kind.

use crate::problem::{Path, Problem};

/// One CEL rule of a schema (`x-kubernetes-validations`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Its name in crds.md, such as `V-DST`.
    pub id: &'static str,
    /// Its CEL text, over `self`.
    pub cel: &'static str,
    /// What the API server says when it is false.
    pub message: &'static str,
    /// How to make it true.
    pub fix: &'static str,
}

impl Rule {
    /// Adds the rule's problem at `at` unless it `holds`.
    pub fn check(&self, holds: bool, at: &Path, out: &mut Vec<Problem>) {
        if !holds {
            out.push(Problem::invalid(at, self.id, self.message, self.fix));
        }
    }
}

/// A type with rules over its own fields or over what it holds.
pub trait Rules {
    /// Adds every broken rule of this value, which stands at `at`.
    fn rules(&self, at: &Path, out: &mut Vec<Problem>);
}

/// Applies the rules of each item of a list at `at`.
pub(crate) fn each<T: Rules>(items: &[T], at: &Path, out: &mut Vec<Problem>) {
    for (index, item) in items.iter().enumerate() {
        item.rules(&at.index(index), out);
    }
}

/// Every CEL rule of the kinds that have a data plane.
pub const ALL: &[Rule] = &[
    crate::ingress::DESTINATION,
    crate::ingress::SNATPOOL,
    crate::ingress::SCTP,
    crate::monitors::MONITOR,
    crate::balancing::WEIGHT,
    crate::ingress_udp::DATAGRAM,
    crate::ingress_ngap::MULTIHOMING,
    crate::ingress_ngap::ALTERNATES,
    crate::ingress_ngap::INBOUND_SNAT,
    crate::ingress_ngap::SNATPOOL,
    crate::ingress_ngap::PORT,
    crate::egress::POOL,
    crate::egress::DNS,
    crate::egress::CAPTURE,
    crate::egress::VXLAN,
    crate::vlan::BOND,
    crate::vlan::PREFIX_V4,
    crate::vlan::PREFIX_V6,
    crate::vlan::UNIQUE_V4,
    crate::vlan::UNIQUE_V6,
    crate::vlan::UNIQUE_INTERFACES,
    crate::static_route::DESTINATION,
    crate::static_route::LENGTH,
    crate::static_route::LENGTH_V6,
    crate::static_route::GATEWAY,
    crate::static_route::INTERFACE,
];
