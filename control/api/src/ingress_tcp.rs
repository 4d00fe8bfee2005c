//! F5SPKIngressTCP (crds.md §6).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::balancing::{self, MemberWeight, Method, Persistence, ServiceDownAction};
use crate::filters::{self, AllowSourceLists, RouteAdvertisement};
use crate::ingress::{self, ServiceRef, SourceTranslation, Vlans};
use crate::monitors::TcpMonitors;
use crate::problem::{Path, Problem};
use crate::rule::{Rules, each};
use crate::schema::{self, int, ipv4, ipv6, object, one_of, port, seconds, text_enum, tmm_name};

text_enum! {
    /// `synCookies.mode`.
    pub enum SynCookieMode {
        /// From the threshold on.
        Auto = "AUTO",
        /// Always.
        Always = "ALWAYS",
        /// Never.
        Off = "OFF",
    }
}

object! {
    /// `synCookies`: when TMM answers SYNs itself.
    pub struct SynCookies {
        /// When.
        mode: SynCookieMode, "mode", one_of(SynCookieMode::WORDS).default("AUTO");
        /// Half-open flows per listener and replica at which AUTO starts.
        threshold: i32, "threshold", int(1, 1_000_000).default(2048);
    }
}

object! {
    /// `spec` of F5SPKIngressTCP.
    pub struct IngressTcpSpec {
        /// IPv4 VIP.
        destination_address: Option<Ipv4Addr>, "destinationAddress", ipv4().or_empty();
        /// IPv6 VIP.
        ipv6_destination_address: Option<Ipv6Addr>, "ipv6destinationAddress", ipv6().or_empty();
        /// VIP port; 0 is all.
        destination_port: u16, "destinationPort", port().required();
        /// Seconds without a packet after which a flow ends; 4294967295 is never.
        idle_timeout: u32, "idleTimeout", seconds(1, 4_294_967_295).default(300);
        /// Seconds a flow may stay without a completed handshake.
        client_timeout: u32, "clientTimeout", seconds(1, 3600).default(30);
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
        /// When TMM answers SYNs itself.
        syn_cookies: Option<SynCookies>, "synCookies", schema::nested::<SynCookies>();
        /// RST to both ends of an idle flow.
        tcp_reset_on_idle: bool, "tcpResetOnIdle", schema::bool().default(true);
        /// Packets other than SYN may create flows.
        loose_init: bool, "looseInit", schema::bool().default(false);
        /// The first FIN starts the close timer.
        loose_close: bool, "looseClose", schema::bool().default(false);
    }
}

object! {
    /// F5SPKIngressTCP beside its metadata.
    pub struct IngressTcp {
        /// The pool.
        service: ServiceRef, "service", schema::nested::<ServiceRef>().required();
        /// The listeners.
        spec: IngressTcpSpec, "spec", schema::nested::<IngressTcpSpec>().required();
        /// Health monitors.
        monitors: Option<TcpMonitors>, "monitors", schema::nested::<TcpMonitors>();
    }
}

impl Rules for IngressTcp {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        let (spec, place) = (&self.spec, at.field("spec"));
        ingress::destination(spec.destination_address, spec.ipv6_destination_address, &place, out);
        ingress::snatpool(spec.snat, spec.snatpool.as_deref(), &place, out);
        each(&spec.member_weights, &place.field("memberWeights"), out);
        if let Some(monitors) = &self.monitors {
            monitors.rules(&at.field("monitors"), out);
        }
    }
}
