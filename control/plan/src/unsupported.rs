//! Fields whose function comes with a later build: refused when they are set to something that
//! this build does not do, accepted at their defaults. Nothing is silently ignored.
//!
//! Each refusal names the function and the step that brings it (crds.md §4.2, UnsupportedValue).

use spk_api::balancing::{Persistence, PersistenceType};
use spk_api::egress::EgressSpec;
use spk_api::filters::{AllowSourceLists, RouteAdvertisement};
use spk_api::ingress::{SctpParameters, SourceTranslation};
use spk_api::ingress_ngap::IngressNgapSpec;
use spk_api::ingress_tcp::{IngressTcpSpec, SynCookieMode};
use spk_api::ingress_udp::IngressUdpSpec;
use spk_api::kind::Later;
use spk_api::vlan::{BondMode, HashField, VlanSpec};
use spk_api::{Kind, Path, Problem};

/// A whole kind.
pub(crate) fn kind(kind: Kind) -> Vec<Problem> {
    let refuse = |later: Later| {
        let fix = format!("delete the object; {}", later.sentence());
        Problem::unsupported(&Path::of("kind"), kind.name(), fix)
    };
    kind.later().map(refuse).into_iter().collect()
}

/// Fields of F5SPKVlan.
pub(crate) fn vlan(spec: &VlanSpec) -> Vec<Problem> {
    let mut refused = Refused::default();
    refused.unless(!spec.bonded, "bonded", "true", "set false", BONDING);
    if let Some(mode) = spec.bond_mode {
        let default = mode == BondMode::ActiveBackup;
        refused.unless(default, "bond_mode", mode.word(), "remove it", BONDING);
    }
    let hash = |field: HashField| field == HashField::Default;
    refused.unless(hash(spec.cmp_hash), "cmp_hash", spec.cmp_hash.word(), "use DEFAULT", CMP_HASH);
    refused.unless(hash(spec.pod_hash), "pod_hash", spec.pod_hash.word(), "use DEFAULT", POD_HASH);
    refused.problems
}

/// Fields of F5SPKIngressTCP.
pub(crate) fn ingress_tcp(spec: &IngressTcpSpec) -> Vec<Problem> {
    let mut refused = Refused::default();
    refused.snat("snat", spec.snat);
    refused.persistence(spec.persistence.as_ref());
    refused.limits(spec.connection_limit, spec.rate_limit, spec.allow_source_lists.as_ref());
    refused.routes(spec.route_advertisement);
    if let Some(cookies) = &spec.syn_cookies {
        let always = cookies.mode == SynCookieMode::Always;
        refused.unless(!always, "synCookies.mode", "ALWAYS", "use AUTO or OFF", SYN_COOKIES);
        let threshold = cookies.threshold;
        let default = threshold == 2048;
        let value = threshold.to_string();
        refused.unless(default, "synCookies.threshold", &value, "remove it", SYN_COOKIES);
    }
    refused.unless(!spec.loose_init, "looseInit", "true", "set false", LOOSE);
    refused.unless(!spec.loose_close, "looseClose", "true", "set false", LOOSE);
    refused.problems
}

/// Fields of F5SPKIngressUDP.
pub(crate) fn ingress_udp(spec: &IngressUdpSpec) -> Vec<Problem> {
    let mut refused = Refused::default();
    refused.unless(!spec.datagram_lb, "datagramLb", "true", "set false", DATAGRAMS);
    refused.snat("snat", spec.snat);
    refused.persistence(spec.persistence.as_ref());
    refused.limits(spec.connection_limit, spec.rate_limit, spec.allow_source_lists.as_ref());
    refused.routes(spec.route_advertisement);
    refused.problems
}

/// Fields of F5SPKIngressNGAP.
pub(crate) fn ingress_ngap(spec: &IngressNgapSpec) -> Vec<Problem> {
    let mut refused = Refused::default();
    let whole = !spec.message_load_balancing;
    let fix = "set false to balance whole associations";
    refused.unless(whole, "messageLoadBalancing", "true", fix, MESSAGES);
    refused.snat("snatType", spec.snat_type.unwrap_or_default());
    let one_home = !spec.client_side_multihoming;
    refused.unless(one_home, "clientSideMultihoming", "true", "set false", MULTIHOMING);
    let none = spec.alternate_address_list.is_empty();
    refused.unless(none, "alternateAddressList", "a list", "remove it", MULTIHOMING);
    let defaults = spec.sctp.as_ref().is_none_or(|sctp| *sctp == default_sctp());
    refused.unless(defaults, "sctp", "another value than its default", "remove it", MESSAGES);
    refused.limits(spec.connection_limit, spec.rate_limit, spec.allow_source_lists.as_ref());
    refused.routes(spec.route_advertisement);
    refused.problems
}

/// Fields of F5SPKEgress.
pub(crate) fn egress(spec: &EgressSpec) -> Vec<Problem> {
    let mut refused = Refused::default();
    let pool = spec.snat_type == SourceTranslation::Snatpool;
    let fix = "use SRC_TRANS_AUTOMAP or SRC_TRANS_NONE";
    refused.unless(!pool, "snatType", spec.snat_type.word(), fix, SNATPOOL);
    let fix = "set false";
    refused.unless(!spec.dns_nat46_enabled, "dnsNat46Enabled", "true", fix, DNS46);
    refused.unless(!spec.nat64_enabled, "nat64Enabled", "true", fix, NAT64);
    refused.unless(spec.dns64_enabled, "dns64Enabled", "false", "remove it", NAT64);
    let list = "a list";
    let none = spec.dns_nat46_pool_ips.is_empty();
    refused.unless(none, "dnsNat46PoolIps", list, "remove it", DNS46);
    let none = spec.dns_nat46_static_mappings.is_empty();
    refused.unless(none, "dnsNat46StaticMappings", list, "remove it", DNS46);
    let given = [
        ("dnsNat46Ipv4Subnet", spec.dns_nat46_ipv4_subnet.clone(), "10.2.2.0/24", DNS46),
        ("dnsNat46SorryIp", spec.dns_nat46_sorry_ip.0.to_string(), "192.168.1.1", DNS46),
        ("maxTmmReplicas", spec.max_tmm_replicas.to_string(), "1", DNS46),
        ("maxReservedStaticIps", spec.max_reserved_static_ips.to_string(), "0", DNS46),
        ("dnsCacheName", spec.dns_cache_name.clone().unwrap_or_default(), "", DNS_CACHE),
        ("dnsRateLimit", spec.dns_rate_limit.to_string(), "0", DNS_CACHE),
        ("maxDNS46TTL", spec.max_dns46_ttl.to_string(), "120", DNS46),
        ("nat64Ipv6Subnet", spec.nat64_ipv6_subnet.clone(), "64:ff9b::/96", NAT64),
    ];
    for (field, value, default, later) in given {
        refused.unless(value == default, field, &value, "remove it", later);
    }
    refused.lists(spec.allow_source_lists.as_ref());
    if let Some(policy) = &spec.firewall_enforced_policy {
        let at = Path::of("spec.firewallEnforcedPolicy");
        let fix = "remove it; ignoring a firewall would open it";
        refused.problems.push(Problem::unsupported(&at, policy, fix));
    }
    refused.unless(!spec.debug_log_enabled, "debugLogEnabled", "true", "set false", DEBUG_LOG);
    let none = spec.pseudo_cni_config.is_none();
    refused.unless(none, "pseudoCNIConfig", "a block", "remove it", PSEUDO_CNI);
    refused.problems
}

#[derive(Default)]
struct Refused {
    problems: Vec<Problem>,
}

impl Refused {
    fn unless(&mut self, good: bool, field: &str, value: &str, fix: &str, later: Later) {
        if !good {
            let at = Path::of("spec").field(field);
            let fix = format!("{fix}; {}", later.sentence());
            self.problems.push(Problem::unsupported(&at, value, fix));
        }
    }

    fn snat(&mut self, field: &str, snat: SourceTranslation) {
        let good = snat != SourceTranslation::Snatpool;
        let fix = "use SRC_TRANS_NONE or SRC_TRANS_AUTOMAP";
        self.unless(good, field, snat.word(), fix, SNATPOOL);
    }

    fn persistence(&mut self, persistence: Option<&Persistence>) {
        let Some(given) = persistence else { return };
        let none = given.kind == PersistenceType::None;
        self.unless(none, "persistence.type", given.kind.word(), "use NONE", PERSISTENCE);
        let numbers = [
            ("persistence.timeout", given.timeout, 180),
            ("persistence.ipv4PrefixLength", given.ipv4_prefix_length.into(), 32),
            ("persistence.ipv6PrefixLength", given.ipv6_prefix_length.into(), 128),
        ];
        for (field, value, default) in numbers.into_iter().filter(|_| none) {
            let text = value.to_string();
            self.unless(value == default, field, &text, "remove it", PERSISTENCE);
        }
    }

    fn limits(&mut self, connections: i32, rate: i32, lists: Option<&AllowSourceLists>) {
        for (field, limit) in [("connectionLimit", connections), ("rateLimit", rate)] {
            self.unless(limit == 0, field, &limit.to_string(), "use 0", LIMITS);
        }
        self.lists(lists);
    }

    fn lists(&mut self, lists: Option<&AllowSourceLists>) {
        let none = lists.is_none_or(AllowSourceLists::is_empty);
        self.unless(none, "allowSourceLists", "a list", "remove it", SOURCE_LISTS);
    }

    fn routes(&mut self, advertisement: RouteAdvertisement) {
        // Without routing nothing is announced: DISABLED is what happens, ENABLED the default.
        let good = advertisement != RouteAdvertisement::Selective;
        let fix = "use ENABLED or DISABLED";
        self.unless(good, "routeAdvertisement", advertisement.word(), fix, ROUTING);
    }
}

/// The block with every schema default.
const fn default_sctp() -> SctpParameters {
    SctpParameters {
        heartbeat_interval: 30,
        rto_initial: 1000,
        rto_min: 1000,
        rto_max: 60_000,
        path_max_retrans: 5,
        assoc_max_retrans: 10,
        max_streams: 16,
        cookie_life: 60,
    }
}

const fn later(function: &'static str, step: &'static str) -> Later {
    Later { function, step }
}

const BONDING: Later = later("link aggregation", "engine");
const CMP_HASH: Later = later("choice of the worker by address", "engine");
const POD_HASH: Later = later("ownership by replica", "engine");
const SNATPOOL: Later = later("source NAT by pool", "engine");
const PERSISTENCE: Later = later("persistence", "engine");
const LIMITS: Later = later("limiting of flows", "engine");
const SOURCE_LISTS: Later = later("source filtering by lists", "engine");
const SYN_COOKIES: Later = later("the SYN cookie", "engine");
const LOOSE: Later = later("loose TCP tracking", "engine");
const DATAGRAMS: Later = later("balancing of single datagrams", "engine");
const MULTIHOMING: Later = later("SCTP multi-homing", "engine");
const DEBUG_LOG: Later = later("the egress debug log", "engine");
const ROUTING: Later = later("selective route advertisement", "routing");
const DNS46: Later = later("translation of DNS46 and NAT46", "egress64");
const NAT64: Later = later("NAT64", "egress64");
const DNS_CACHE: Later = later("the DNS listener", "egress64");
const MESSAGES: Later = later("NGAP message steering", "telco");
const PSEUDO_CNI: Later = later("capture of pods on nodes", "csrc");
