//! How a new flow picks a member: method, weights, service down, persistence.
//!
//! Source: crds.md §3.4.4, §3.4.5.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules};
use crate::schema::{self, int, list, object, one_of, seconds, text_enum};

text_enum! {
    /// `loadBalancingMethod`.
    pub enum Method {
        /// Each in turn.
        RoundRobin = "ROUND_ROBIN",
        /// Smallest (open flows / weight).
        RatioLeastConnections = "RATIO_LEAST_CONN_MEMBER",
        /// Shares proportional to weight.
        RatioMember = "RATIO_MEMBER",
        /// As RATIO_MEMBER over live persistence records.
        RatioSession = "RATIO_SESSION",
        /// Alias of RATIO_LEAST_CONN_MEMBER.
        LeastConnections = "LEAST_CONNECTIONS",
        /// Maglev table keyed by the 5-tuple.
        MaglevHash = "MAGLEV_HASH",
    }
}

text_enum! {
    /// `serviceDownAction` (crds.md §5.4). Each kind has its own default.
    pub enum ServiceDownAction {
        /// Flows keep going to the member.
        None = "POOLMBR_ACTION_NONE",
        /// The flow is ended towards both ends.
        Reject = "POOLMBR_ACTION_REJECT",
        /// Later packets are dropped.
        Drop = "POOLMBR_ACTION_DROP",
        /// The next packet goes to another member.
        Reselect = "POOLMBR_ACTION_RESELECT",
    }
}

object! {
    /// One entry of `memberWeights`: the first that matches a member gives its weight.
    pub struct MemberWeight {
        /// Member address to match.
        address: Option<IpAddr>, "address", schema::ip();
        /// Pod labels to match, all of them; an empty map matches every Pod.
        match_labels: Option<BTreeMap<String, String>>, "matchLabels", schema::labels(16);
        /// 0 to 100; 0 drains.
        weight: i32, "weight", int(0, 100).required();
    }
}

/// V-WEIGHT.
pub const WEIGHT: Rule = Rule {
    id: "V-WEIGHT",
    cel: "has(self.address) != has(self.matchLabels)",
    message: "set exactly one of address, matchLabels",
    fix: "remove one or add the other",
};

impl Rules for MemberWeight {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        WEIGHT.check(self.address.is_some() != self.match_labels.is_some(), at, out);
    }
}

/// Schema of `loadBalancingMethod`.
pub(crate) fn method() -> schema::Schema {
    one_of(Method::WORDS).default(Method::RoundRobin.word())
}

/// Schema of `memberWeights`.
pub(crate) fn weights() -> schema::Schema {
    list(schema::nested::<MemberWeight>(), 0, 256)
}

/// Schema of `serviceDownAction` with the kind's default.
pub(crate) fn service_down(default: ServiceDownAction) -> schema::Schema {
    one_of(ServiceDownAction::WORDS).default(default.word())
}

text_enum! {
    /// `persistence.type`.
    pub enum PersistenceType {
        /// None.
        None = "NONE",
        /// Records keyed by source prefix.
        SourceAddr = "SOURCE_ADDR",
        /// Maglev keyed by source prefix, without records.
        Hash = "HASH",
    }
}

object! {
    /// `persistence` of TCP and UDP.
    pub struct Persistence {
        /// What is kept.
        kind: PersistenceType, "type",
            one_of(PersistenceType::WORDS).default(PersistenceType::None.word());
        /// Seconds a record lives after its last new flow.
        timeout: i64, "timeout", seconds(1, 4_294_967_295).default(180);
        /// IPv4 prefix length used as key, 1 to 32.
        ipv4_prefix_length: i32, "ipv4PrefixLength", int(1, 32).default(32);
        /// IPv6 prefix length used as key, 1 to 128.
        ipv6_prefix_length: i32, "ipv6PrefixLength", int(1, 128).default(128);
    }
}
