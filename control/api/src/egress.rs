//! F5SPKEgress v3 (crds.md §13).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::filters::AllowSourceLists;
use crate::ingress::{SourceTranslation, Vlans};
use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules};
use crate::schema::{
    self, cidr4, cidr6, int, ip, ipv4, ipv6, list, object, object_name, one_of, port_or_text,
    seconds, text, tmm_name,
};
use crate::vlan::PortText;

object! {
    /// One fixed pair of `dnsNat46StaticMappings`.
    pub struct StaticMapping {
        /// Address given for the IPv6 host.
        ipv4: Ipv4Text, "ipv4", ipv4().required();
        /// The host.
        ipv6: Ipv6Text, "ipv6", ipv6().required();
    }
}

/// An IPv4 address that the schema has checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ipv4Text(pub Ipv4Addr);

/// An IPv6 address that the schema has checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ipv6Text(pub Ipv6Addr);

impl Default for Ipv4Text {
    fn default() -> Self {
        Self(Ipv4Addr::UNSPECIFIED)
    }
}

impl Default for Ipv6Text {
    fn default() -> Self {
        Self(Ipv6Addr::UNSPECIFIED)
    }
}

impl schema::Absent for Ipv4Text {}
impl schema::Absent for Ipv6Text {}

object! {
    /// `pseudoCNIConfig.vxlan`.
    pub struct Vxlan {
        /// Build the tunnel.
        create: bool, "create", schema::bool().default(false);
        /// Its end at TMM.
        tmm_interface_name: Option<String>, "tmmInterfaceName", text(0, 15).or_empty();
        /// Its end at the node.
        node_interface_name: Option<String>, "nodeInterfaceName", text(0, 15).or_empty();
        /// MTU in bytes.
        mtu: i32, "mtu", int(576, 9216).default(1450);
        /// UDP port.
        port: i32, "port", int(1, 65_535).default(6789);
        /// VNI.
        key: i32, "key", int(1, 16_777_215).default(100);
        /// Addresses of the tunnel.
        ipv4_subnet: Option<Ipv4Addr>, "ipv4Subnet", ipv4().or_empty();
        /// Their mask length.
        ipv4_prefix_len: Option<i32>, "ipv4PrefixLen", int(8, 30);
        /// Addresses of the tunnel.
        ipv6_subnet: Option<Ipv6Addr>, "ipv6Subnet", ipv6().or_empty();
        /// Their mask length.
        ipv6_prefix_len: Option<i32>, "ipv6PrefixLen", int(64, 126);
    }
}

object! {
    /// `pseudoCNIConfig`: whose pods are captured on the nodes.
    pub struct PseudoCniConfig {
        /// Namespaces whose pods are captured.
        namespaces: Vec<String>, "namespaces", list(object_name(), 1, 16).required();
        /// Pod interface that is taken.
        app_pod_interface: String, "appPodInterface", text(0, 15).default("eth0");
        /// Node interface towards TMM.
        app_node_interface: Option<String>, "appNodeInterface", text(0, 15).or_empty();
        /// F5SPKVlan at TMM's end.
        vlan_name: Option<String>, "vlanName", object_name().or_empty();
        /// Tunnel between node and TMM.
        vxlan: Option<Vxlan>, "vxlan", schema::nested::<Vxlan>();
        /// Accepted without effect.
        secure_spk_ingress_port: Option<PortText>, "secureSPKIngressPort", port_or_text();
    }
}

object! {
    /// `spec` of F5SPKEgress v3.
    pub struct EgressSpec {
        /// IPv6 besides IPv4.
        dual_stack_enabled: bool, "dualStackEnabled", schema::bool().default(false);
        /// Source outside.
        snat_type: SourceTranslation, "snatType",
            one_of(SourceTranslation::WORDS).default(SourceTranslation::Automap.word());
        /// F5SPKSnatpool spec.name.
        egress_snatpool: Option<String>, "egressSnatpool", tmm_name().default("").or_empty();
        /// DNS46 and NAT46.
        dns_nat46_enabled: bool, "dnsNat46Enabled", schema::bool().default(false);
        /// Upstream DNS servers.
        dns_nat46_pool_ips: Vec<IpAddr>, "dnsNat46PoolIps", list(ip(), 0, 16);
        /// Addresses given for IPv6 names.
        dns_nat46_ipv4_subnet: String, "dnsNat46Ipv4Subnet", cidr4(8, 30).default("10.2.2.0/24");
        /// Answer when the slice is exhausted.
        dns_nat46_sorry_ip: Ipv4Text, "dnsNat46SorryIp", ipv4().default("192.168.1.1");
        /// Fixed pairs.
        dns_nat46_static_mappings: Vec<StaticMapping>, "dnsNat46StaticMappings",
            list(schema::nested::<StaticMapping>(), 0, 1024);
        /// Slices that the subnet is cut into.
        max_tmm_replicas: i32, "maxTmmReplicas", int(1, 64).default(1);
        /// First addresses of the subnet, never given dynamically.
        max_reserved_static_ips: i32, "maxReservedStaticIps", int(0, 65_535).default(0);
        /// F5SPKDnscache spec.name.
        dns_cache_name: Option<String>, "dnsCacheName", tmm_name().default("").or_empty();
        /// DNS queries a second and replica; 0 is no limit.
        dns_rate_limit: i64, "dnsRateLimit", int(0, 4_294_967_295).default(0);
        /// Ceiling in seconds of the TTL of made-up answers.
        max_dns46_ttl: i64, "maxDNS46TTL", int(0, 2_147_483_647).default(120);
        /// NAT64 for IPv6 pods.
        nat64_enabled: bool, "nat64Enabled", schema::bool().default(false);
        /// Prefix of RFC 6052.
        nat64_ipv6_subnet: String, "nat64Ipv6Subnet", cidr6().default("64:ff9b::/96");
        /// Make up AAAA answers.
        dns64_enabled: bool, "dns64Enabled", schema::bool().default(true);
        /// Idle seconds of TCP flows; 4294967295 is never.
        tcp_idle_timeout: u32, "tcpIdleTimeout", seconds(1, 4_294_967_295).default(300);
        /// Idle seconds of UDP and SCTP flows.
        udp_idle_timeout: u32, "udpIdleTimeout", seconds(1, 4_294_967_295).default(60);
        /// Idle seconds of ICMP echo flows.
        icmp_idle_timeout: u32, "icmpIdleTimeout", seconds(1, 4_294_967_295).default(30);
        /// Where pod traffic is taken; disableListedVlans absent is true.
        vlans: Option<Vlans>, "vlans", schema::nested::<Vlans>();
        /// Pods that may leave.
        allow_source_lists: Option<AllowSourceLists>, "allowSourceLists",
            schema::nested::<AllowSourceLists>();
        /// Refused unless empty: ignoring a firewall would open it.
        firewall_enforced_policy: Option<String>, "firewallEnforcedPolicy", text(0, 253).or_empty();
        /// Accepted without effect.
        log_profile: Option<String>, "logProfile", text(0, 253).or_empty();
        /// One debug line per new egress flow.
        debug_log_enabled: bool, "debugLogEnabled", schema::bool().default(false);
        /// Capture of pods on the nodes.
        pseudo_cni_config: Option<PseudoCniConfig>, "pseudoCNIConfig",
            schema::nested::<PseudoCniConfig>();
    }
}

/// V-EG-POOL.
pub const POOL: Rule = Rule {
    id: "V-EG-POOL",
    cel: "self.snatType != 'SRC_TRANS_SNATPOOL' || (has(self.egressSnatpool) && \
          self.egressSnatpool != '')",
    message: "snatType SRC_TRANS_SNATPOOL needs egressSnatpool",
    fix: "name a F5SPKSnatpool",
};
/// V-EG-DNS.
pub const DNS: Rule = Rule {
    id: "V-EG-DNS",
    cel: "!self.dnsNat46Enabled || (has(self.dnsNat46PoolIps) && size(self.dnsNat46PoolIps) > 0) \
          || (has(self.dnsCacheName) && self.dnsCacheName != '')",
    message: "dnsNat46Enabled needs dnsNat46PoolIps or dnsCacheName",
    fix: "name the DNS servers",
};
/// V-EG-VX.
pub const CAPTURE: Rule = Rule {
    id: "V-EG-VX",
    cel: "(has(self.vxlan) && self.vxlan.create) != (has(self.appNodeInterface) && \
          self.appNodeInterface != '')",
    message: "give either vxlan.create or appNodeInterface",
    fix: "choose one way to the node",
};
/// V-EG-VX2.
pub const VXLAN: Rule = Rule {
    id: "V-EG-VX2",
    cel: "!self.create || (has(self.tmmInterfaceName) && has(self.nodeInterfaceName))",
    message: "vxlan.create needs tmmInterfaceName and nodeInterfaceName",
    fix: "name both ends",
};

impl Rules for EgressSpec {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        let from_pool = self.snat_type == SourceTranslation::Snatpool;
        POOL.check(!from_pool || self.egress_snatpool.is_some(), at, out);
        let servers = !self.dns_nat46_pool_ips.is_empty() || self.dns_cache_name.is_some();
        DNS.check(!self.dns_nat46_enabled || servers, at, out);
        let Some(capture) = &self.pseudo_cni_config else { return };
        let place = at.field("pseudoCNIConfig");
        let tunnel = capture.vxlan.as_ref().is_some_and(|vxlan| vxlan.create);
        CAPTURE.check(tunnel != capture.app_node_interface.is_some(), &place, out);
        if let Some(vxlan) = &capture.vxlan {
            let named = vxlan.tmm_interface_name.is_some() && vxlan.node_interface_name.is_some();
            VXLAN.check(!vxlan.create || named, &place.field("vxlan"), out);
        }
    }
}
