//! The 14 kinds: names, API versions, where they live, and which have a data plane in this build.
//!
//! Source: crds.md §2.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of custom resource.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Kind {
    /// VLAN interface with self IPs.
    F5SPKVlan,
    /// Static route.
    F5SPKStaticRoute,
    /// Outbound traffic of pods.
    F5SPKEgress,
    /// TCP virtual server.
    F5SPKIngressTCP,
    /// UDP virtual server.
    F5SPKIngressUDP,
    /// SCTP virtual server for NGAP.
    F5SPKIngressNGAP,
    /// Both-way UDP.
    F5SPKIngressEgressUDP,
    /// GTP virtual server.
    F5SPKIngressGTP,
    /// HTTP/2 proxy.
    F5SPKIngressHTTP2,
    /// Diameter proxy.
    F5SPKIngressDiameter,
    /// DNS cache.
    F5SPKDnscache,
    /// Source NAT pool.
    F5SPKSnatpool,
    /// Source address list.
    F5SPKAddressList,
    /// Source port list.
    F5SPKPortList,
}

/// The namespaces that a kind may lie in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Home {
    /// The namespace of controller and TMM.
    Tmm,
    /// A watched namespace.
    App,
    /// Either.
    Both,
}

/// A function that a later build brings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Later {
    /// The function in words.
    pub function: &'static str,
    /// The step of the road map that brings it.
    pub step: &'static str,
}

impl Later {
    /// `<function> comes with step <step>`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} comes with step {}", self.function, self.step)
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::F5SPKVlan,
        Self::F5SPKStaticRoute,
        Self::F5SPKEgress,
        Self::F5SPKIngressTCP,
        Self::F5SPKIngressUDP,
        Self::F5SPKIngressNGAP,
        Self::F5SPKIngressEgressUDP,
        Self::F5SPKIngressGTP,
        Self::F5SPKIngressHTTP2,
        Self::F5SPKIngressDiameter,
        Self::F5SPKDnscache,
        Self::F5SPKSnatpool,
        Self::F5SPKAddressList,
        Self::F5SPKPortList,
    ];

    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F5SPKVlan => "F5SPKVlan",
            Self::F5SPKStaticRoute => "F5SPKStaticRoute",
            Self::F5SPKEgress => "F5SPKEgress",
            Self::F5SPKIngressTCP => "F5SPKIngressTCP",
            Self::F5SPKIngressUDP => "F5SPKIngressUDP",
            Self::F5SPKIngressNGAP => "F5SPKIngressNGAP",
            Self::F5SPKIngressEgressUDP => "F5SPKIngressEgressUDP",
            Self::F5SPKIngressGTP => "F5SPKIngressGTP",
            Self::F5SPKIngressHTTP2 => "F5SPKIngressHTTP2",
            Self::F5SPKIngressDiameter => "F5SPKIngressDiameter",
            Self::F5SPKDnscache => "F5SPKDnscache",
            Self::F5SPKSnatpool => "F5SPKSnatpool",
            Self::F5SPKAddressList => "F5SPKAddressList",
            Self::F5SPKPortList => "F5SPKPortList",
        }
    }

    /// The kind with this name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// The apiVersion that this build reads.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::F5SPKIngressTCP => "ingresstcp.k8s.f5net.com/v1",
            Self::F5SPKIngressUDP => "ingressudp.k8s.f5net.com/v1",
            Self::F5SPKEgress => "k8s.f5net.com/v3",
            Self::F5SPKVlan
            | Self::F5SPKStaticRoute
            | Self::F5SPKIngressNGAP
            | Self::F5SPKIngressEgressUDP
            | Self::F5SPKIngressGTP
            | Self::F5SPKIngressHTTP2
            | Self::F5SPKIngressDiameter
            | Self::F5SPKDnscache
            | Self::F5SPKSnatpool
            | Self::F5SPKAddressList
            | Self::F5SPKPortList => "k8s.f5net.com/v1",
        }
    }

    /// Where the kind may lie.
    #[must_use]
    pub const fn home(self) -> Home {
        match self {
            Self::F5SPKVlan
            | Self::F5SPKStaticRoute
            | Self::F5SPKEgress
            | Self::F5SPKDnscache
            | Self::F5SPKSnatpool => Home::Tmm,
            Self::F5SPKIngressTCP
            | Self::F5SPKIngressUDP
            | Self::F5SPKIngressNGAP
            | Self::F5SPKIngressEgressUDP
            | Self::F5SPKIngressGTP
            | Self::F5SPKIngressHTTP2
            | Self::F5SPKIngressDiameter => Home::App,
            Self::F5SPKAddressList | Self::F5SPKPortList => Home::Both,
        }
    }

    /// What is missing for this kind; none if the data plane has it.
    #[must_use]
    pub const fn later(self) -> Option<Later> {
        let (function, step) = match self {
            Self::F5SPKVlan
            | Self::F5SPKStaticRoute
            | Self::F5SPKEgress
            | Self::F5SPKIngressTCP
            | Self::F5SPKIngressUDP
            | Self::F5SPKIngressNGAP => return None,
            Self::F5SPKIngressEgressUDP => ("both-way UDP", "engine"),
            Self::F5SPKIngressGTP => ("the GTP proxy", "telco"),
            Self::F5SPKIngressHTTP2 => ("the HTTP/2 proxy", "telco"),
            Self::F5SPKIngressDiameter => ("the Diameter proxy", "telco"),
            Self::F5SPKDnscache => ("the DNS cache", "egress64"),
            Self::F5SPKSnatpool => ("source NAT by pool", "engine"),
            Self::F5SPKAddressList | Self::F5SPKPortList => ("source filtering by lists", "engine"),
        };
        Some(Later { function, step })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
