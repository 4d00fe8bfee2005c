//! What the controller sends: one whole snapshot of one replica's configuration.
//!
//! Field order is the canonical order; [`Spec::encode`] gives the same bytes for the same contents,
//! and snapshots of two replicas differ only in [`Spec::replica`] (OPS-465). Lists are sorted by the
//! planner. Nothing here is checked beyond shape; [`crate::Config`] is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tmm_wire::{Protocol, VlanId};

/// A whole configuration. Durations are seconds; `u32::MAX` is never.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// Revision of the planner's output, rising from 1.
    pub generation: u64,
    /// Index of the replica this snapshot is for (crds.md §5.8); resolves the per-replica lists.
    pub replica: u16,
    /// Replicas that are ready (pod Ready, configuration applied, gate open), ascending. They share
    /// the VIPs: each VIP's ARP and ND is answered by one of them (crds.md §5.9). Empty: this
    /// replica is alone and answers for all. The same list goes to every replica.
    pub ready_replicas: Vec<u16>,
    /// Key of the Maglev hash, the same on every replica of the cluster (CHK-044).
    pub hash_key: u64,
    /// Every F5SPKVlan, by metadata.name.
    pub vlans: Vec<VlanSpec>,
    /// Every route of every F5SPKStaticRoute, by prefix.
    pub routes: Vec<RouteSpec>,
    /// Every virtual server, by name.
    pub listeners: Vec<ListenerSpec>,
    /// Every pool, by name.
    pub pools: Vec<PoolSpec>,
    /// Every F5SPKEgress, by name.
    pub egresses: Vec<EgressSpec>,
}

/// Names the custom resource that a part of the snapshot came from.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectRef {
    /// Kind, such as `F5SPKIngressTCP`.
    pub kind: String,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

/// One F5SPKVlan (crds.md §14).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct VlanSpec {
    /// metadata.name; listeners, egresses and routes name it so.
    pub id: String,
    /// spec.name: the TMM's name of it.
    pub name: String,
    /// 802.1Q tag; 0 is untagged.
    pub tag: u16,
    /// Interfaces by name (`1.1`); one, until bonding comes.
    pub interfaces: Vec<String>,
    /// Largest IP packet in bytes, 1500 to 9000.
    pub mtu: u16,
    /// Self IPs; entry i is replica i's.
    pub self_v4: Vec<Ipv4Addr>,
    /// Mask length of `self_v4`, 1 to 32; 0 if there is none.
    pub prefix_v4: u8,
    /// Self IPs; entry i is replica i's.
    pub self_v6: Vec<Ipv6Addr>,
    /// Mask length of `self_v6`, 1 to 128; 0 if there is none.
    pub prefix_v6: u8,
    /// Answers go to the MAC that the request came from.
    pub auto_lasthop: bool,
    /// What self IPs accept besides what the engine itself answers.
    pub allowed_services: Vec<AllowedService>,
}

/// One entry of `allowed_services`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AllowedService {
    /// Protocol of the service.
    pub protocol: ServiceProtocol,
    /// Destination port; 0 is all. Ignored for icmp.
    pub port: u16,
}

/// Protocol of an `allowed_services` entry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP and ICMPv6 echo.
    Icmp,
}

/// One route of a F5SPKStaticRoute (crds.md §17). Routes with one prefix share flows by hash.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RouteSpec {
    /// Destination with host bits 0.
    pub prefix: IpNet,
    /// Where packets go.
    pub next_hop: NextHopSpec,
    /// The object it came from.
    pub object: ObjectRef,
}

/// Where a route sends packets.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum NextHopSpec {
    /// To this address, which lies in a self IP's subnet.
    Gateway(IpAddr),
    /// Straight onto the VLAN with this id; the destination is resolved itself.
    Interface(String),
    /// Dropped and counted.
    Blackhole,
}

/// The VLANs a listener or an egress takes packets from (crds.md §3.4.2), resolved by the planner.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum VlanSet {
    /// Every VLAN.
    All,
    /// Only those with these ids, which may be none.
    Only(Vec<String>),
    /// All but those with these ids.
    AllBut(Vec<String>),
}

/// One virtual server (crds.md §5.5).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ListenerSpec {
    /// `<ns>-<name>-<tcp|udp|sctp>-<v4|v6>` (CHK-069).
    pub name: String,
    /// The object it came from.
    pub object: ObjectRef,
    /// Protocol it takes.
    pub protocol: Protocol,
    /// Virtual address.
    pub vip: IpAddr,
    /// Virtual port; 0 is all.
    pub port: u16,
    /// VLANs it listens on.
    pub vlans: VlanSet,
    /// Name of the pool in [`Spec::pools`].
    pub pool: String,
    /// Source address that members see.
    pub snat: Snat,
    /// Seconds without a packet after which a flow ends.
    pub idle_timeout: u32,
    /// Seconds that a flow may stay without a completed handshake (TCP clientTimeout; the same for
    /// an SCTP association before COOKIE ACK). Unused for UDP.
    pub handshake_timeout: u32,
    /// RST to both ends when idleTimeout ends a TCP flow.
    pub reset_on_idle: bool,
    /// What happens to flows of a member that goes down or leaves.
    pub service_down: ServiceDown,
}

/// Source address that the far side sees (crds.md §3.4.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Snat {
    /// The client's or pod's own address.
    None,
    /// The replica's self IP on the VLAN that the packet leaves by.
    Automap,
}

/// `serviceDownAction` (crds.md §5.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceDown {
    /// Flows keep going to the member.
    None,
    /// The flow is ended towards both ends.
    Reject,
    /// Later packets of the flow are dropped.
    Drop,
    /// The next packet goes to another member.
    Reselect,
}

/// The members of one listener and how one is picked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PoolSpec {
    /// `<ns>-<name>-<v4|v6>` (CHK-069).
    pub name: String,
    /// The object it came from.
    pub object: ObjectRef,
    /// How a new flow picks a member.
    pub method: Method,
    /// Members by address, then port.
    pub members: Vec<MemberSpec>,
    /// Each member must pass all of these.
    pub monitors: Vec<MonitorSpec>,
}

/// `loadBalancingMethod` (crds.md §3.4.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// Each in turn.
    RoundRobin,
    /// Smallest (open flows / weight); RATIO_LEAST_CONN_MEMBER and LEAST_CONNECTIONS.
    LeastConnections,
    /// Shares proportional to weight, exact over one weight cycle.
    RatioMember,
    /// As RatioMember over live persistence records; without persistence equal to it.
    RatioSession,
    /// Maglev table of 65,537 slots keyed by the 5-tuple.
    MaglevHash,
}

/// One member of a pool.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemberSpec {
    /// Pod address.
    pub address: IpAddr,
    /// Port; 0 is the port that the client used.
    pub port: u16,
    /// 0 to 100; 0 drains.
    pub weight: u8,
    /// Terminating but serving: flows stay, no new flow.
    pub draining: bool,
}

/// One health monitor after merging and defaults (crds.md §3.4.3).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MonitorSpec {
    /// What a probe is.
    pub kind: MonitorKind,
    /// Seconds between probes, 1 to 86400.
    pub interval: u32,
    /// Seconds without success after which the member is down; above `interval`.
    pub timeout: u32,
    /// Probe port; 0 is the member's. Unused for icmp.
    pub port: u16,
    /// `udp` only: payload to send.
    pub send: Vec<u8>,
    /// `udp` only: bytes that the answer must contain; empty: any answer or silence is success.
    pub receive: Vec<u8>,
}

/// What a monitor's probe is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MonitorKind {
    /// Echo request and reply.
    Icmp,
    /// A completed handshake.
    Tcp,
    /// A datagram.
    Udp,
    /// INIT answered by INIT ACK, then ABORT.
    Sctp,
}

/// One F5SPKEgress (crds.md §13): outbound flows of pods.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressSpec {
    /// `<ns>-<name>-egress`; the engine counts per family.
    pub name: String,
    /// The object it came from.
    pub object: ObjectRef,
    /// VLANs on which pod traffic is taken.
    pub vlans: VlanSet,
    /// Whether IPv6 is taken besides IPv4 (dualStackEnabled).
    pub dual_stack: bool,
    /// Source outside.
    pub snat: Snat,
    /// Idle seconds of TCP flows.
    pub tcp_idle_timeout: u32,
    /// Idle seconds of UDP and SCTP flows.
    pub udp_idle_timeout: u32,
    /// Idle seconds of ICMP echo flows.
    pub icmp_idle_timeout: u32,
}

impl VlanSpec {
    /// The tag as an identifier, none if untagged or out of range.
    #[must_use]
    pub fn vlan_id(&self) -> Option<VlanId> {
        VlanId::new(self.tag).ok()
    }
}

impl Spec {
    /// The canonical encoding: compact JSON in field order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Spec::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The JSON error with its place, also for unknown fields.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
