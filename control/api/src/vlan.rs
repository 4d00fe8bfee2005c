//! F5SPKVlan (crds.md §14).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::pattern::INTERFACE;
use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules};
use crate::schema::{
    self, int, ipv4, ipv6, list, object, one_of, port_or_text, text, text_enum, tmm_name,
};

text_enum! {
    /// `bond_mode`.
    pub enum BondMode {
        /// One link at a time.
        ActiveBackup = "ACTIVE_BACKUP",
        /// IEEE 802.1AX.
        Lacp = "LACP",
        /// By hash.
        BalanceXor = "BALANCE_XOR",
    }
}

text_enum! {
    /// `auto_lasthop`.
    pub enum AutoLasthop {
        /// As enabled.
        Default = "AUTO_LASTHOP_DEFAULT",
        /// Answers go to the MAC that the request came from.
        Enabled = "AUTO_LASTHOP_ENABLED",
        /// Answers go by route.
        Disabled = "AUTO_LASTHOP_DISABLED",
    }
}

text_enum! {
    /// `cmp_hash`, `pod_hash`.
    pub enum HashField {
        /// The 5-tuple for `cmp_hash`, none for `pod_hash`.
        Default = "DEFAULT",
        /// Source address.
        Source = "SRC_ADDR",
        /// Destination address.
        Destination = "DST_ADDR",
    }
}

text_enum! {
    /// Protocol of an `allowed_services` entry.
    pub enum ServiceProtocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// SCTP.
        Sctp = "sctp",
        /// ICMP and ICMPv6 echo.
        Icmp = "icmp",
    }
}

/// A port written as number or as string.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum PortText {
    /// As a number.
    Number(u16),
    /// As a string.
    Text(String),
}

impl Default for PortText {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl schema::Absent for PortText {}

impl PortText {
    /// The port; 0 is all.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Number(port) => *port,
            // The schema admits only ports here.
            Self::Text(text) => text.parse().unwrap_or_default(),
        }
    }
}

object! {
    /// One entry of `allowed_services`.
    pub struct AllowedService {
        /// Its protocol.
        protocol: ServiceProtocol, "protocol", one_of(ServiceProtocol::WORDS).required();
        /// Its port; 0 is all.
        port: PortText, "port", port_or_text().required();
    }
}

object! {
    /// `spec` of F5SPKVlan.
    pub struct VlanSpec {
        /// Name in TMM; metadata.name if absent.
        name: Option<String>, "name", tmm_name().or_empty();
        /// Label for `vlans.category`.
        category: Option<String>, "category", text(0, 63).or_empty();
        /// 802.1Q tag; 0 is untagged.
        tag: u16, "tag", int(0, 4094).default(0);
        /// Join the interfaces.
        bonded: bool, "bonded", schema::bool().default(false);
        /// How they are joined.
        bond_mode: Option<BondMode>, "bond_mode", one_of(BondMode::WORDS);
        /// Interfaces of the TMM.
        interfaces: Vec<String>, "interfaces", list(text(1, 4).matching(INTERFACE), 1, 8).required();
        /// VLAN towards pods.
        internal: bool, "internal", schema::bool().default(false);
        /// Self IPs; entry i is replica i's.
        selfip_v4s: Vec<Ipv4Addr>, "selfip_v4s", list(ipv4(), 0, 64);
        /// Their mask length.
        prefixlen_v4: Option<u16>, "prefixlen_v4", int(1, 32);
        /// Self IPs; entry i is replica i's.
        selfip_v6s: Vec<Ipv6Addr>, "selfip_v6s", list(ipv6(), 0, 64);
        /// Their mask length.
        prefixlen_v6: Option<u16>, "prefixlen_v6", int(1, 128);
        /// Largest IP packet in bytes; 1500 or TMM_DEFAULT_MTU if absent.
        mtu: Option<u16>, "mtu", int(1500, 9000);
        /// Whether answers go back to the MAC that asked.
        auto_lasthop: AutoLasthop, "auto_lasthop",
            one_of(AutoLasthop::WORDS).default(AutoLasthop::Default.word());
        /// Field that picks the worker.
        cmp_hash: HashField, "cmp_hash", one_of(HashField::WORDS).default(HashField::Default.word());
        /// Field that picks the owning replica.
        pod_hash: HashField, "pod_hash", one_of(HashField::WORDS).default(HashField::Default.word());
        /// What self IPs accept; absent: icmp.
        allowed_services: Option<Vec<AllowedService>>, "allowed_services",
            list(schema::nested::<AllowedService>(), 0, 64);
    }
}

/// V-VL-BOND.
pub const BOND: Rule = Rule {
    id: "V-VL-BOND",
    cel: "(has(self.bonded) && self.bonded) || size(self.interfaces) == 1",
    message: "several interfaces need bonded: true",
    fix: "name one interface or set bonded",
};
/// V-VL-P4.
pub const PREFIX_V4: Rule = Rule {
    id: "V-VL-P4",
    cel: "!has(self.selfip_v4s) || size(self.selfip_v4s) == 0 || has(self.prefixlen_v4)",
    message: "selfip_v4s needs prefixlen_v4",
    fix: "add the mask length",
};
/// V-VL-P6.
pub const PREFIX_V6: Rule = Rule {
    id: "V-VL-P6",
    cel: "!has(self.selfip_v6s) || size(self.selfip_v6s) == 0 || has(self.prefixlen_v6)",
    message: "selfip_v6s needs prefixlen_v6",
    fix: "add the mask length",
};
/// V-VL-U4.
pub const UNIQUE_V4: Rule = unique("V-VL-U4");
/// V-VL-U6.
pub const UNIQUE_V6: Rule = unique("V-VL-U6");
/// V-VL-UI.
pub const UNIQUE_INTERFACES: Rule = unique("V-VL-UI");

impl Rules for VlanSpec {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        BOND.check(self.bonded || self.interfaces.len() == 1, at, out);
        let no_v4 = self.selfip_v4s.is_empty();
        PREFIX_V4.check(no_v4 || self.prefixlen_v4.is_some(), at, out);
        let no_v6 = self.selfip_v6s.is_empty();
        PREFIX_V6.check(no_v6 || self.prefixlen_v6.is_some(), at, out);
        UNIQUE_V4.check(differ(&self.selfip_v4s), &at.field("selfip_v4s"), out);
        UNIQUE_V6.check(differ(&self.selfip_v6s), &at.field("selfip_v6s"), out);
        UNIQUE_INTERFACES.check(differ(&self.interfaces), &at.field("interfaces"), out);
    }
}

const fn unique(id: &'static str) -> Rule {
    Rule {
        id,
        cel: "self.all(x, self.exists_one(y, y == x))",
        message: "entries must differ",
        fix: "remove the repeated entry",
    }
}

fn differ<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
}
