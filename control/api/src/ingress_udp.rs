//! F5SPKIngressUDP (crds.md §7).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::balancing::{
    self, MemberWeight, Method, Persistence, PersistenceType, ServiceDownAction,
};
use crate::filters::{self, AllowSourceLists, RouteAdvertisement};
use crate::ingress::{self, ServiceRef, SourceTranslation, Vlans};
use crate::monitors::UdpMonitors;
use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules, each};
use crate::schema::{self, ipv4, ipv6, object, port, seconds, tmm_name};

object! {
    /// `spec` of F5SPKIngressUDP.
    pub struct IngressUdpSpec {
        /// IPv4 VIP.
        destination_address: Option<Ipv4Addr>, "destinationAddress", ipv4().or_empty();
        /// IPv6 VIP.
        ipv6_destination_address: Option<Ipv6Addr>, "ipv6destinationAddress", ipv6().or_empty();
        /// VIP port; 0 is all.
        destination_port: u16, "destinationPort", port().required();
        /// Seconds without a datagram after which a flow ends; 4294967295 is never.
        idle_timeout: u32, "idleTimeout", seconds(1, 4_294_967_295).default(60);
        /// Place each datagram on its own.
        datagram_lb: bool, "datagramLb", schema::bool().default(false);
        /// How a new flow picks a member.
        load_balancing_method: Method, "loadBalancingMethod", balancing::method();
        /// Weights of members.
        member_weights: Vec<MemberWeight>, "memberWeights", balancing::weights();
        /// What happens to flows of a member that went.
        service_down_action: ServiceDownAction, "serviceDownAction",
            balancing::service_down(ServiceDownAction::None);
        /// Source that members see.
        snat: SourceTranslation, "snat", ingress::snat();
        /// F5SPKSnatpool spec.name.
        snatpool: Option<String>, "snatpool", tmm_name().or_empty();
        /// Where packets are taken.
        vlans: Option<Vlans>, "vlans", schema::nested::<Vlans>();
        /// Stickiness.
        persistence: Option<Persistence>, "persistence", schema::nested::<Persistence>();
        /// Open flows per member and replica; 0 is none.
        connection_limit: i32, "connectionLimit", filters::limit();
        /// New flows a second per listener and replica; 0 is none.
        rate_limit: i32, "rateLimit", filters::limit();
        /// Who may come.
        allow_source_lists: Option<AllowSourceLists>, "allowSourceLists",
            schema::nested::<AllowSourceLists>();
        /// When the VIP is announced.
        route_advertisement: RouteAdvertisement, "routeAdvertisement",
            filters::route_advertisement();
    }
}

object! {
    /// F5SPKIngressUDP beside its metadata.
    pub struct IngressUdp {
        /// The pool.
        service: ServiceRef, "service", schema::nested::<ServiceRef>().required();
        /// The listeners.
        spec: IngressUdpSpec, "spec", schema::nested::<IngressUdpSpec>().required();
        /// Health monitors.
        monitors: Option<UdpMonitors>, "monitors", schema::nested::<UdpMonitors>();
    }
}

/// V-DGRAM.
pub const DATAGRAM: Rule = Rule {
    id: "V-DGRAM",
    cel: "!(has(self.datagramLb) && self.datagramLb) || !has(self.persistence) || \
          self.persistence.type != 'SOURCE_ADDR'",
    message: "datagramLb excludes persistence SOURCE_ADDR",
    fix: "remove one of the two",
};

impl Rules for IngressUdp {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        let (spec, place) = (&self.spec, at.field("spec"));
        ingress::destination(spec.destination_address, spec.ipv6_destination_address, &place, out);
        ingress::snatpool(spec.snat, spec.snatpool.as_deref(), &place, out);
        let sticky = |p: &Persistence| p.kind == PersistenceType::SourceAddr;
        let clash = spec.datagram_lb && spec.persistence.as_ref().is_some_and(sticky);
        DATAGRAM.check(!clash, &place, out);
        each(&spec.member_weights, &place.field("memberWeights"), out);
        if let Some(monitors) = &self.monitors {
            monitors.rules(&at.field("monitors"), out);
        }
    }
}
