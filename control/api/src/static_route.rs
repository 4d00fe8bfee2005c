//! F5SPKStaticRoute (crds.md §17).

use std::net::{IpAddr, Ipv6Addr};

use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules};
use crate::schema::{self, int, ip, ipv6, object, object_name, one_of, text_enum};

text_enum! {
    /// `type`.
    pub enum RouteType {
        /// To a next hop.
        Gateway = "gateway",
        /// Straight onto a VLAN.
        Interface = "interface",
        /// Dropped and counted.
        Blackhole = "blackhole",
    }
}

object! {
    /// `spec` of F5SPKStaticRoute.
    pub struct StaticRouteSpec {
        /// Network address of either family, without length.
        destination: Option<IpAddr>, "destination", ip().or_empty();
        /// Its mask length; 0 is the default route.
        prefix_len: Option<u8>, "prefixLen", int(0, 128);
        /// Where packets go.
        kind: RouteType, "type", one_of(RouteType::WORDS).default(RouteType::Gateway.word());
        /// Next hop.
        gateway: Option<IpAddr>, "gateway", ip().or_empty();
        /// F5SPKVlan name.
        interface: Option<String>, "interface", object_name().or_empty();
        /// Network address of an IPv6 route in the same object.
        destination_v6: Option<Ipv6Addr>, "destination_v6", ipv6().or_empty();
        /// Its mask length.
        prefixlen_v6: Option<u8>, "prefixlen_v6", int(0, 128);
        /// Its next hop.
        gateway_v6: Option<Ipv6Addr>, "gateway_v6", ipv6().or_empty();
        /// Accepted without effect.
        dynamic: bool, "dynamic", schema::bool().default(false);
    }
}

/// V-SR-DST.
pub const DESTINATION: Rule = Rule {
    id: "V-SR-DST",
    cel: "(has(self.destination) && self.destination != '') || \
          (has(self.destination_v6) && self.destination_v6 != '')",
    message: "destination or destination_v6 is required",
    fix: "add the network that the route leads to",
};
/// V-SR-LEN.
pub const LENGTH: Rule = Rule {
    id: "V-SR-LEN",
    cel: "!has(self.destination) || self.destination == '' || (has(self.prefixLen) && \
          (self.destination.contains(':') || self.prefixLen <= 32))",
    message: "prefixLen is required and fits the family",
    fix: "use 0 to 32 for IPv4, 0 to 128 for IPv6",
};
/// V-SR-LEN6.
pub const LENGTH_V6: Rule = Rule {
    id: "V-SR-LEN6",
    cel: "!has(self.destination_v6) || self.destination_v6 == '' || has(self.prefixlen_v6)",
    message: "destination_v6 needs prefixlen_v6",
    fix: "add the mask length",
};
/// V-SR-GW.
pub const GATEWAY: Rule = Rule {
    id: "V-SR-GW",
    cel: "self.type != 'gateway' || ((!has(self.destination) || self.destination == '' || \
          (has(self.gateway) && self.gateway != '' && \
          self.gateway.contains(':') == self.destination.contains(':'))) && \
          (!has(self.destination_v6) || self.destination_v6 == '' || \
          (has(self.gateway_v6) && self.gateway_v6 != '')))",
    message: "type gateway needs a gateway of the same family",
    fix: "add gateway, or gateway_v6 for destination_v6",
};
/// V-SR-IF.
pub const INTERFACE: Rule = Rule {
    id: "V-SR-IF",
    cel: "self.type != 'interface' || (has(self.interface) && self.interface != '')",
    message: "type interface needs interface",
    fix: "name a F5SPKVlan",
};

impl Rules for StaticRouteSpec {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        DESTINATION.check(self.destination.is_some() || self.destination_v6.is_some(), at, out);
        let fits = |destination: IpAddr| {
            self.prefix_len.is_some_and(|length| destination.is_ipv6() || length <= 32)
        };
        LENGTH.check(self.destination.is_none_or(fits), at, out);
        LENGTH_V6.check(self.destination_v6.is_none() || self.prefixlen_v6.is_some(), at, out);
        let same_family = |destination: IpAddr| {
            self.gateway.is_some_and(|gateway| gateway.is_ipv6() == destination.is_ipv6())
        };
        let gateways = self.destination.is_none_or(same_family)
            && (self.destination_v6.is_none() || self.gateway_v6.is_some());
        GATEWAY.check(self.kind != RouteType::Gateway || gateways, at, out);
        INTERFACE.check(self.kind != RouteType::Interface || self.interface.is_some(), at, out);
    }
}
