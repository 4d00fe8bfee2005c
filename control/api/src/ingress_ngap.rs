//! F5SPKIngressNGAP (crds.md §10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::balancing::{self, MemberWeight, Method, ServiceDownAction};
use crate::filters::{self, AllowSourceLists, RouteAdvertisement};
use crate::ingress::{self, SctpParameters, ServiceRef, SourceTranslation, Vlans};
use crate::monitors::NgapMonitors;
use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules, each};
use crate::schema::{self, ip, ipv4, ipv6, list, object, one_of, port, seconds, tmm_name};

object! {
    /// `spec` of F5SPKIngressNGAP.
    pub struct IngressNgapSpec {
        /// IPv4 VIP.
        destination_address: Option<Ipv4Addr>, "destinationAddress", ipv4().or_empty();
        /// IPv6 VIP.
        ipv6_destination_address: Option<Ipv6Addr>, "ipv6destinationAddress", ipv6().or_empty();
        /// SCTP port; 0, all, only with messageLoadBalancing false.
        destination_port: u16, "destinationPort", port().default(38_412);
        /// Seconds without DATA or HEARTBEAT after which an association's state goes.
        idle_timeout: u32, "idleTimeout", seconds(1, 4_294_967_295).default(300);
        /// How a UE, message or association picks a member.
        load_balancing_method: Method, "loadBalancingMethod", balancing::method();
        /// Weights of members.
        member_weights: Vec<MemberWeight>, "memberWeights", balancing::weights();
        /// What happens to flows of a member that went.
        service_down_action: ServiceDownAction, "serviceDownAction",
            balancing::service_down(ServiceDownAction::Reselect);
        /// Source that members see; absent is none. Only with messageLoadBalancing false.
        snat_type: Option<SourceTranslation>, "snatType", one_of(SourceTranslation::WORDS);
        /// F5SPKSnatpool spec.name.
        snatpool: Option<String>, "snatpool", tmm_name().or_empty();
        /// true is snatType SRC_TRANS_AUTOMAP.
        inbound_snat_enabled: bool, "inboundSnatEnabled", schema::bool().default(false);
        /// Offer the alternate addresses to clients.
        client_side_multihoming: bool, "clientSideMultihoming", schema::bool().default(false);
        /// List i: further addresses of replica i.
        alternate_address_list: Vec<Vec<IpAddr>>, "alternateAddressList",
            list(list(ip(), 1, 8), 0, 64);
        /// true: TMM ends the association and steers messages; false: whole associations.
        message_load_balancing: bool, "messageLoadBalancing", schema::bool().default(true);
        /// Association parameters.
        sctp: Option<SctpParameters>, "sctp", schema::nested::<SctpParameters>();
        /// Where packets are taken.
        vlans: Option<Vlans>, "vlans", schema::nested::<Vlans>();
        /// Open flows per member and replica; 0 is none.
        connection_limit: i32, "connectionLimit", filters::limit();
        /// New INITs a second per listener and replica; 0 is none.
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
    /// F5SPKIngressNGAP beside its metadata.
    pub struct IngressNgap {
        /// The pool.
        service: ServiceRef, "service", schema::nested::<ServiceRef>().required();
        /// The listeners.
        spec: IngressNgapSpec, "spec", schema::nested::<IngressNgapSpec>().required();
        /// Health monitors.
        monitors: Option<NgapMonitors>, "monitors", schema::nested::<NgapMonitors>();
    }
}

/// V-NG-MH.
pub const MULTIHOMING: Rule = Rule {
    id: "V-NG-MH",
    cel: "!(has(self.clientSideMultihoming) && self.clientSideMultihoming) || \
          (has(self.alternateAddressList) && size(self.alternateAddressList) > 0)",
    message: "clientSideMultihoming needs alternateAddressList",
    fix: "add one list of addresses for each replica",
};
/// V-NG-ALT.
pub const ALTERNATES: Rule = Rule {
    id: "V-NG-ALT",
    cel: "!has(self.alternateAddressList) || self.alternateAddressList.all(l, size(l) == \
          size(self.alternateAddressList[0]))",
    message: "all inner lists need the same length",
    fix: "give every replica as many addresses",
};
/// V-NG-SNAT.
pub const INBOUND_SNAT: Rule = Rule {
    id: "V-NG-SNAT",
    cel: "!(has(self.inboundSnatEnabled) && self.inboundSnatEnabled) || !has(self.snatType) || \
          self.snatType == 'SRC_TRANS_AUTOMAP'",
    message: "inboundSnatEnabled contradicts snatType",
    fix: "remove one of the two",
};
/// V-NG-POOL.
pub const SNATPOOL: Rule = Rule {
    id: "V-NG-POOL",
    cel: "(has(self.snatType) && self.snatType == 'SRC_TRANS_SNATPOOL') == \
          (has(self.snatpool) && self.snatpool != '')",
    message: "snatpool goes with snatType SRC_TRANS_SNATPOOL, and only with it",
    fix: "set both or neither",
};
/// V-NG-PORT.
pub const PORT: Rule = Rule {
    id: "V-NG-PORT",
    cel: "self.destinationPort != 0 || (has(self.messageLoadBalancing) && \
          !self.messageLoadBalancing)",
    message: "destinationPort 0 needs messageLoadBalancing false",
    fix: "name a port or balance whole associations",
};

impl IngressNgapSpec {
    /// The source translation that `snatType` and `inboundSnatEnabled` ask for together.
    #[must_use]
    pub fn source_translation(&self) -> SourceTranslation {
        if self.inbound_snat_enabled {
            SourceTranslation::Automap
        } else {
            self.snat_type.unwrap_or_default()
        }
    }
}

impl Rules for IngressNgap {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        let (spec, place) = (&self.spec, at.field("spec"));
        ingress::destination(spec.destination_address, spec.ipv6_destination_address, &place, out);
        let lists = &spec.alternate_address_list;
        MULTIHOMING.check(!spec.client_side_multihoming || !lists.is_empty(), &place, out);
        let equal = lists.iter().all(|list| list.len() == lists[0].len());
        ALTERNATES.check(equal, &place, out);
        let contradicts = spec.inbound_snat_enabled
            && spec.snat_type.is_some_and(|t| t != SourceTranslation::Automap);
        INBOUND_SNAT.check(!contradicts, &place, out);
        let from_pool = spec.snat_type == Some(SourceTranslation::Snatpool);
        SNATPOOL.check(from_pool == spec.snatpool.is_some(), &place, out);
        PORT.check(spec.destination_port != 0 || !spec.message_load_balancing, &place, out);
        if let Some(sctp) = &spec.sctp {
            sctp.rules(&place.field("sctp"), out);
        }
        each(&spec.member_weights, &place.field("memberWeights"), out);
        if let Some(monitors) = &self.monitors {
            monitors.rules(&at.field("monitors"), out);
        }
    }
}
