//! Blocks that several traffic kinds share: service, destination, VLANs, source NAT, SCTP.
//!
//! Source: crds.md §3.4.1, §3.4.2, §3.4.7, §3.4.8.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules};
use crate::schema::{self, int, list, object, object_name, port, text, text_enum};

object! {
    /// `service`: the pool.
    pub struct ServiceRef {
        /// Service in the object's namespace.
        name: String, "name", object_name().required();
        /// Port of the Service; 0 is all.
        port: u16, "port", port().required();
    }
}

object! {
    /// `vlans`: where packets are taken.
    pub struct Vlans {
        /// F5SPKVlan names.
        vlan_list: Vec<String>, "vlanList", list(object_name(), 0, 64);
        /// Adds every F5SPKVlan of this category; none or empty adds nothing.
        category: Option<String>, "category", text(0, 63).or_empty();
        /// true: on all but the listed. Absent means false, for F5SPKEgress true.
        disable_listed_vlans: Option<bool>, "disableListedVlans", schema::bool();
    }
}

impl Vlans {
    /// Whether it names no VLAN and no category, which means every VLAN.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vlan_list.is_empty() && self.category.is_none()
    }
}

text_enum! {
    /// `snat`, `snatType`.
    pub enum SourceTranslation {
        /// The client's or pod's own address.
        None = "SRC_TRANS_NONE",
        /// The replica's self IP on the VLAN towards the far side.
        Automap = "SRC_TRANS_AUTOMAP",
        /// An address of a pool.
        Snatpool = "SRC_TRANS_SNATPOOL",
    }
}

/// Schema of `snat`.
pub(crate) fn snat() -> schema::Schema {
    schema::one_of(SourceTranslation::WORDS).default(SourceTranslation::None.word())
}

/// V-DST.
pub const DESTINATION: Rule = Rule {
    id: "V-DST",
    cel: "(has(self.destinationAddress) && self.destinationAddress != '') || \
          (has(self.ipv6destinationAddress) && self.ipv6destinationAddress != '')",
    message: "one of destinationAddress, ipv6destinationAddress is required",
    fix: "add a virtual address",
};

/// V-SNAT.
pub const SNATPOOL: Rule = Rule {
    id: "V-SNAT",
    cel: "(has(self.snat) && self.snat == 'SRC_TRANS_SNATPOOL') == \
          (has(self.snatpool) && self.snatpool != '')",
    message: "snatpool goes with snat SRC_TRANS_SNATPOOL, and only with it",
    fix: "set both or neither",
};

/// Applies V-DST to the addresses of the object at `at`.
pub(crate) fn destination(
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    at: &Path,
    out: &mut Vec<Problem>,
) {
    DESTINATION.check(v4.is_some() || v6.is_some(), at, out);
}

/// Applies V-SNAT to the object at `at`.
pub(crate) fn snatpool(
    snat: SourceTranslation,
    pool: Option<&str>,
    at: &Path,
    out: &mut Vec<Problem>,
) {
    SNATPOOL.check((snat == SourceTranslation::Snatpool) == pool.is_some(), at, out);
}

object! {
    /// `sctp`: association parameters (RFC 9260).
    pub struct SctpParameters {
        /// HB.interval in seconds.
        heartbeat_interval: i32, "heartbeatInterval", int(1, 3600).default(30);
        /// RTO.Initial in milliseconds.
        rto_initial: i32, "rtoInitial", int(100, 120_000).default(1000);
        /// RTO.Min in milliseconds.
        rto_min: i32, "rtoMin", int(100, 120_000).default(1000);
        /// RTO.Max in milliseconds.
        rto_max: i32, "rtoMax", int(100, 120_000).default(60_000);
        /// Retransmissions before a path fails.
        path_max_retrans: i32, "pathMaxRetrans", int(1, 50).default(5);
        /// Retransmissions before the association fails.
        assoc_max_retrans: i32, "assocMaxRetrans", int(1, 50).default(10);
        /// Streams offered each way.
        max_streams: i32, "maxStreams", int(1, 65_535).default(16);
        /// Valid.Cookie.Life in seconds.
        cookie_life: i32, "cookieLife", int(1, 600).default(60);
    }
}

/// V-SCTP.
pub const SCTP: Rule = Rule {
    id: "V-SCTP",
    cel: "self.rtoMin <= self.rtoInitial && self.rtoInitial <= self.rtoMax",
    message: "rtoMin <= rtoInitial <= rtoMax must hold",
    fix: "order the three values",
};

impl Rules for SctpParameters {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        let ordered = self.rto_min <= self.rto_initial && self.rto_initial <= self.rto_max;
        SCTP.check(ordered, at, out);
    }
}
