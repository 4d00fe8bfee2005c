//! What the planner decides.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use spk_api::{ObjectId, Path, Problem};
use tmm_config::Spec;

use crate::event::Event;
use crate::inputs::Memory;

/// The outcome of [`crate::plan`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The configuration; [`Plan::spec_for`] gives a replica's.
    pub(crate) spec: Spec,
    /// Every object that is ours to judge. Objects in foreign namespaces are not here (CHK-014).
    pub objects: BTreeMap<ObjectId, ObjectPlan>,
    /// Warning events, sorted. [`Event::between`] says which are new.
    pub warnings: Vec<Event>,
    /// To be given to the next plan, and stored.
    pub memory: Memory,
}

/// The planner's decision on one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectPlan {
    /// metadata.generation of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Condition Accepted.
    pub accepted: Verdict,
    /// Condition ResolvedRefs.
    pub resolved: Verdict,
    /// Everything that Accepted=False rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Everything that ResolvedRefs=False rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dangling: Vec<Dangling>,
    /// What of the object is in force.
    pub in_force: InForce,
    /// Virtual addresses; ingress only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vips: Vec<IpAddr>,
    /// Virtual port; ingress only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Members of all its pools; ingress only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<PlannedMember>,
    /// Lists with one entry per replica.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ReplicaList>,
    /// Revision of the configuration since which this object's part is as it is.
    pub since: u64,
    /// Digest of service, spec and monitors; tells an edit from a new status.
    #[serde(skip)]
    pub(crate) contents: u64,
}

/// Which version of an object is part of the configuration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InForce {
    /// None.
    #[default]
    Nothing,
    /// The current one.
    Current,
    /// The last accepted one (crds.md §4.2 rule 4).
    Previous,
}

/// One member as it was planned.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct PlannedMember {
    /// Pool that has it, `<ns>-<name>-<v4|v6>`.
    pub pool: String,
    /// Pod address.
    pub address: IpAddr,
    /// Port; 0 is the client's.
    pub port: u16,
    /// 0 to 100.
    pub weight: u8,
    /// Terminating but serving.
    pub draining: bool,
    /// Whether a monitor watches it.
    pub monitored: bool,
}

/// A list whose entry i is replica i's (crds.md §5.8).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ReplicaList {
    /// Where it is, such as `spec.selfip_v4s`.
    pub path: &'static str,
    /// Its entries.
    pub addresses: Vec<IpAddr>,
}

/// A reference that leads nowhere, or to something that cannot be used. All else of the object is
/// programmed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Dangling {
    /// Reason of ResolvedRefs=False.
    pub reason: DanglingReason,
    /// Field that refers.
    pub path: Path,
    /// What it refers to.
    pub name: String,
    /// What is wrong with that.
    pub problem: String,
    /// How to mend it.
    pub fix: String,
}

/// Reasons of ResolvedRefs=False (crds.md §4.2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum DanglingReason {
    /// No such Service.
    ServiceNotFound,
    /// The Service has no such port.
    ServicePortNotFound,
    /// The Service has no endpoints by its type.
    UnsupportedService,
    /// The Service has endpoints, but none of the VIP's family.
    NoEndpointsForFamily,
    /// No such F5SPKVlan in force.
    VlanNotFound,
    /// The gateway lies in no self IP's subnet.
    GatewayNotConnected,
}

impl DanglingReason {
    /// The reason as conditions spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceNotFound => "ServiceNotFound",
            Self::ServicePortNotFound => "ServicePortNotFound",
            Self::UnsupportedService => "UnsupportedService",
            Self::NoEndpointsForFamily => "NoEndpointsForFamily",
            Self::VlanNotFound => "VlanNotFound",
            Self::GatewayNotConnected => "GatewayNotConnected",
        }
    }
}

impl std::fmt::Display for Dangling {
    /// `<path>: <name> <problem>; <fix>`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}; {}", self.path, self.name, self.problem, self.fix)
    }
}

/// Status, reason and message of a condition.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether the condition is True.
    pub status: bool,
    /// Its reason.
    pub reason: &'static str,
    /// Its message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Verdict {
    pub(crate) const fn yes(reason: &'static str) -> Self {
        Self { status: true, reason, message: String::new() }
    }

    pub(crate) const fn no(reason: &'static str, message: String) -> Self {
        Self { status: false, reason, message }
    }
}

impl Plan {
    /// The snapshot for one replica. Snapshots differ only in [`Spec::replica`] (OPS-465).
    #[must_use]
    pub fn spec_for(&self, replica: u16) -> Spec {
        Spec { replica, ..self.spec.clone() }
    }

    /// Revision of the configuration; the same as long as it does not change.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.spec.generation
    }

    /// What keeps replica `index` from being ready: each list that has no entry for it.
    #[must_use]
    pub fn missing_addresses(&self, index: u16) -> Vec<(&ObjectId, &'static str)> {
        let lists = self.objects.iter().flat_map(|(id, object)| {
            object.lists.iter().filter(|list| list.lacks(index)).map(move |list| (id, list.path))
        });
        lists.collect()
    }
}

impl ReplicaList {
    /// Whether the list is in use and has no entry for replica `index`.
    #[must_use]
    pub fn lacks(&self, index: u16) -> bool {
        !self.addresses.is_empty() && usize::from(index) >= self.addresses.len()
    }
}
