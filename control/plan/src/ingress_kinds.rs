//! What F5SPKIngressTCP, UDP and NGAP mean by their fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spk_api::ObjectId;
use spk_api::balancing::{Method as MethodWord, ServiceDownAction};
use spk_api::ingress::SourceTranslation;
use spk_api::ingress_ngap::IngressNgap;
use spk_api::ingress_tcp::{IngressTcp, SynCookieMode};
use spk_api::ingress_udp::IngressUdp;
use spk_api::monitors::Monitors;
use tmm_config::spec::{Method, ServiceDown, Snat};
use tmm_wire::Protocol;

use crate::board::{Board, Part};
use crate::event::Event;
use crate::ingress::{Request, attempt};
use crate::members::Cluster;
use crate::unsupported;

/// F5SPKIngressTCP.
pub(crate) fn tcp(
    id: &ObjectId,
    object: &IngressTcp,
    board: &Board,
    cluster: &Cluster<'_>,
) -> Part {
    let spec = &object.spec;
    let request = Request {
        protocol: Protocol::Tcp,
        service: &object.service,
        vips: vips(spec.destination_address, spec.ipv6_destination_address),
        port: spec.destination_port,
        vlans: spec.vlans.as_ref(),
        snat: snat(spec.snat),
        idle_timeout: spec.idle_timeout,
        handshake_timeout: spec.client_timeout,
        reset_on_idle: spec.tcp_reset_on_idle,
        service_down: service_down(spec.service_down_action),
        method: method(spec.load_balancing_method),
        weights: &spec.member_weights,
        monitors: object.monitors.as_ref().map(|monitors| monitors as &dyn Monitors),
    };
    let mut part = attempt(id, &request, unsupported::ingress_tcp(spec), board, cluster);
    let cookies = spec.syn_cookies.as_ref().map_or(SynCookieMode::Auto, |cookies| cookies.mode);
    if cookies == SynCookieMode::Auto {
        let message =
            "spec.synCookies.mode: AUTO acts as OFF; the SYN cookie comes with step engine";
        part.warnings.push(Event::warning(id, "ValueIgnored", message.to_owned()));
    }
    part
}

/// F5SPKIngressUDP.
pub(crate) fn udp(
    id: &ObjectId,
    object: &IngressUdp,
    board: &Board,
    cluster: &Cluster<'_>,
) -> Part {
    let spec = &object.spec;
    let request = Request {
        protocol: Protocol::Udp,
        service: &object.service,
        vips: vips(spec.destination_address, spec.ipv6_destination_address),
        port: spec.destination_port,
        vlans: spec.vlans.as_ref(),
        snat: snat(spec.snat),
        idle_timeout: spec.idle_timeout,
        handshake_timeout: 0,
        reset_on_idle: false,
        service_down: service_down(spec.service_down_action),
        method: method(spec.load_balancing_method),
        weights: &spec.member_weights,
        monitors: object.monitors.as_ref().map(|monitors| monitors as &dyn Monitors),
    };
    attempt(id, &request, unsupported::ingress_udp(spec), board, cluster)
}

/// F5SPKIngressNGAP with messageLoadBalancing false.
pub(crate) fn ngap(
    id: &ObjectId,
    object: &IngressNgap,
    board: &Board,
    cluster: &Cluster<'_>,
) -> Part {
    let spec = &object.spec;
    let request = Request {
        protocol: Protocol::Sctp,
        service: &object.service,
        vips: vips(spec.destination_address, spec.ipv6_destination_address),
        port: spec.destination_port,
        vlans: spec.vlans.as_ref(),
        snat: snat(spec.source_translation()),
        idle_timeout: spec.idle_timeout,
        handshake_timeout: SCTP_HANDSHAKE,
        reset_on_idle: false,
        service_down: service_down(spec.service_down_action),
        method: method(spec.load_balancing_method),
        weights: &spec.member_weights,
        monitors: object.monitors.as_ref().map(|monitors| monitors as &dyn Monitors),
    };
    attempt(id, &request, unsupported::ingress_ngap(spec), board, cluster)
}

fn vips(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> [Option<(IpAddr, &'static str)>; 2] {
    [
        v4.map(|vip| (IpAddr::V4(vip), "destinationAddress")),
        v6.map(|vip| (IpAddr::V6(vip), "ipv6destinationAddress")),
    ]
}

fn snat(word: SourceTranslation) -> Snat {
    match word {
        SourceTranslation::None => Snat::None,
        // A pool is refused before anything is made of it.
        SourceTranslation::Automap | SourceTranslation::Snatpool => Snat::Automap,
    }
}

fn service_down(word: ServiceDownAction) -> ServiceDown {
    match word {
        ServiceDownAction::None => ServiceDown::None,
        ServiceDownAction::Reject => ServiceDown::Reject,
        ServiceDownAction::Drop => ServiceDown::Drop,
        ServiceDownAction::Reselect => ServiceDown::Reselect,
    }
}

fn method(word: MethodWord) -> Method {
    match word {
        MethodWord::RoundRobin => Method::RoundRobin,
        MethodWord::RatioLeastConnections | MethodWord::LeastConnections => {
            Method::LeastConnections
        }
        MethodWord::RatioMember => Method::RatioMember,
        MethodWord::RatioSession => Method::RatioSession,
        MethodWord::MaglevHash => Method::MaglevHash,
    }
}

/// Seconds that an association may stay half open: no field says so; as TCP's clientTimeout.
const SCTP_HANDSHAKE: u32 = 30;
