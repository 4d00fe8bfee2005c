//! `status` of every kind, as it is written (crds.md §4.1).

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// `status`. Lists that a kind does not have stay empty and are not written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Status {
    /// Accepted, Programmed, ResolvedRefs.
    pub conditions: Vec<Condition>,
    /// metadata.generation that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Configuration revision acknowledged by every replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<u64>,
    /// What each replica made of the object, at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaStatus>,
    /// Virtual addresses joined by `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// Virtual port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// `up/total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_summary: Option<String>,
    /// Members, at most 512.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// Whether there are more than 512.
    #[serde(skip_serializing_if = "is_false")]
    pub members_truncated: bool,
    /// F5SPKEgress only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressStatus>,
}

/// One replica's part of an object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its index.
    pub index: u16,
    /// Its pod.
    pub pod: String,
    /// How far it is.
    pub state: ReplicaState,
    /// Why, if it is not programmed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Addresses of the object that are this replica's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

/// How far a replica is with an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicaState {
    /// Acknowledged.
    Programmed,
    /// Sent, or about to be.
    Pending,
    /// Refused, unreachable, or the device is not fit.
    Failed,
    /// The per-replica list has no entry for it.
    NoAddress,
}

/// One member of an ingress object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemberStatus {
    /// Pod address.
    pub address: IpAddr,
    /// Port; 0 is the client's.
    pub port: u16,
    /// Its health over all replicas.
    pub state: MemberState,
    /// When it came to that, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// 0 to 100.
    pub weight: u8,
}

/// Health of a member.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MemberState {
    /// All monitors succeed.
    Up,
    /// A monitor failed for its timeout.
    Down,
    /// Monitored, no success yet.
    Checking,
    /// Without monitors.
    Unchecked,
    /// Terminating but serving.
    Draining,
    /// Replicas disagree.
    Partial,
}

/// `status.egress`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressStatus {
    /// Use of source ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snat: Option<SnatUse>,
    /// Slices of the DNS46 subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns46: Option<Dns46Status>,
    /// Nodes of pseudoCNIConfig, at most 1,024.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// Use of source ports.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnatUse {
    /// Ports in use.
    pub used: u64,
    /// Ports there are.
    pub size: u64,
}

/// The DNS46 subnet.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns46Status {
    /// One slice per replica.
    pub slices: Vec<Dns46Slice>,
    /// Subnets that are no longer given out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<Dns46Draining>,
}

/// One replica's slice.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns46Slice {
    /// Its replica.
    pub replica: u16,
    /// Its first address.
    pub first: IpAddr,
    /// Its last address.
    pub last: IpAddr,
    /// Addresses in use.
    pub used: u64,
}

/// A subnet that is no longer given out.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns46Draining {
    /// The subnet.
    pub subnet: String,
    /// Pairs that are still translated.
    pub mappings: u64,
}

/// One node of pseudoCNIConfig.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// How far it is.
    pub state: ReplicaState,
    /// Why, if it is not programmed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Status {
    /// Most members that are listed.
    pub const MAX_MEMBERS: usize = 512;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
