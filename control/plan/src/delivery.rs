//! From what the shell knows about delivery to `status`.
//!
//! Source: crds.md §4.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use spk_api::status::{MemberState, MemberStatus, ReplicaState, ReplicaStatus, Status};

use crate::outcome::{InForce, ObjectPlan, Plan, PlannedMember, Verdict};

/// What the shell knows about delivering one plan.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Whether anything may be sent.
    pub licence: Licence,
    /// Every replica that should run, by index.
    pub replicas: Vec<ReplicaDelivery>,
}

/// The licence verdict as far as delivery goes (crds.md §5.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Licence {
    /// No verdict yet.
    #[default]
    Unknown,
    /// Blocked, with the verdict's reason text.
    Blocked(String),
    /// Allowed.
    Allowed,
}

/// What the shell knows about one replica.
#[derive(Clone, Debug, Default)]
pub struct ReplicaDelivery {
    /// Its index.
    pub index: u16,
    /// Its pod.
    pub pod: String,
    /// Highest revision that it acknowledged.
    pub acknowledged: Option<u64>,
    /// Why the last attempt failed; none while it is under way or acknowledged.
    pub failure: Option<String>,
    /// What its devices lack (R-VL-2).
    pub faults: Vec<DeviceFault>,
    /// Health of members as it sees them.
    pub members: Vec<MemberReport>,
}

/// A device that a F5SPKVlan cannot use, as a TMM reports it (R-VL-2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceFault {
    /// metadata.name of the F5SPKVlan.
    pub vlan: String,
    /// The interface, such as `1.1`.
    pub interface: String,
    /// What is wrong: no such interface, link down, device MTU too small, VF not clean.
    pub cause: String,
    /// How to mend it.
    pub fix: String,
}

/// Health of one member as one replica sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberReport {
    /// Pool, `<ns>-<name>-<v4|v6>`.
    pub pool: String,
    /// Pod address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Its state.
    pub state: MemberState,
    /// When it came to that, RFC 3339.
    pub since: Option<String>,
    /// Why.
    pub reason: String,
}

/// Condition Programmed of `object` (crds.md §4.2).
#[must_use]
pub fn programmed(id: &spk_api::ObjectId, object: &ObjectPlan, delivery: &Delivery) -> Verdict {
    if !object.accepted.status {
        return Verdict::no("NotAccepted", object.accepted.message.clone());
    }
    match &delivery.licence {
        Licence::Unknown => return Verdict::no("NotLicensed", NO_VERDICT.to_owned()),
        Licence::Blocked(reason) => return Verdict::no("NotLicensed", reason.clone()),
        Licence::Allowed => {}
    }
    if delivery.replicas.is_empty() {
        return Verdict::no("NoTMM", NO_TMM.to_owned());
    }
    if let Some(message) = exhausted(object, delivery) {
        return Verdict::no("SelfIpExhausted", message);
    }
    for replica in &delivery.replicas {
        if let Some(fault) = faults(id, replica).next() {
            let DeviceFault { interface, cause, fix, .. } = fault;
            let message = format!("{} {interface}: {cause}; {fix}", replica.pod);
            return Verdict::no("DeviceError", message);
        }
    }
    let behind = |replica: &&ReplicaDelivery| !replica.has(object.since);
    for replica in delivery.replicas.iter().filter(behind) {
        if let Some(cause) = &replica.failure {
            let message = format!("{FAILED}: {}: {cause}", replica.pod);
            return Verdict::no("DeliveryFailed", message);
        }
    }
    if delivery.replicas.iter().any(|replica| !replica.has(object.since)) {
        return Verdict::no("Pending", PENDING.to_owned());
    }
    Verdict { message: PROGRAMMED.to_owned(), ..Verdict::yes("Programmed") }
}

/// `status` of the object `id` of `plan`; `previous` keeps the times of what did not change.
///
/// None if the plan has no such object: it then has no status.
#[must_use]
pub fn status(
    plan: &Plan,
    id: &spk_api::ObjectId,
    delivery: &Delivery,
    previous: Option<&Status>,
    now: Timestamp,
) -> Option<Status> {
    let object = plan.objects.get(id)?;
    let programmed = programmed(id, object, delivery);
    let conditions = [
        ("Accepted", &object.accepted),
        ("Programmed", &programmed),
        ("ResolvedRefs", &object.resolved),
    ];
    let conditions = conditions
        .map(|(name, verdict)| condition(name, verdict, object.generation, previous, now));
    let mut members = members(object, delivery);
    let up = members.iter().filter(|m| counts_as_up(m.state)).count();
    let ingress = !object.vips.is_empty();
    let total = members.len();
    members.truncate(Status::MAX_MEMBERS);
    let addresses: Vec<String> = object.vips.iter().map(IpAddr::to_string).collect();
    Some(Status {
        conditions: conditions.to_vec(),
        observed_generation: object.generation,
        generation_id: delivery.replicas.iter().map(|r| r.acknowledged).min().flatten(),
        replicas: replicas(id, object, delivery),
        vip: ingress.then(|| addresses.join(",")),
        port: object.port.map(|port| port.to_string()),
        member_summary: ingress.then(|| format!("{up}/{total}")),
        members,
        members_truncated: total > Status::MAX_MEMBERS,
        egress: None,
    })
}

impl ReplicaDelivery {
    fn has(&self, revision: u64) -> bool {
        self.acknowledged.is_some_and(|acknowledged| acknowledged >= revision)
    }
}

fn condition(
    name: &str,
    verdict: &Verdict,
    generation: Option<i64>,
    previous: Option<&Status>,
    now: Timestamp,
) -> Condition {
    let status = if verdict.status { "True" } else { "False" };
    let before = previous
        .and_then(|previous| previous.conditions.iter().find(|c| c.type_ == name))
        .filter(|condition| condition.status == status);
    Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message.clone(),
        observed_generation: generation,
        last_transition_time: before.map_or(Time(now), |c| c.last_transition_time.clone()),
    }
}

fn exhausted(object: &ObjectPlan, delivery: &Delivery) -> Option<String> {
    let last = delivery.replicas.iter().map(|replica| replica.index).max()?;
    for list in &object.lists {
        let lacking = |replica: &&ReplicaDelivery| list.lacks(replica.index);
        if let Some(replica) = delivery.replicas.iter().filter(lacking).min_by_key(|r| r.index) {
            let have = list.addresses.len();
            return Some(format!(
                "replica {} ({}) has no entry in {}: add {} or lower tmm.replicaCount to {have}",
                replica.index,
                replica.pod,
                list.path,
                usize::from(last) + 1 - have,
            ));
        }
    }
    None
}

fn faults<'r>(
    id: &'r spk_api::ObjectId,
    replica: &'r ReplicaDelivery,
) -> impl Iterator<Item = &'r DeviceFault> {
    let vlan = id.kind == spk_api::Kind::F5SPKVlan;
    replica.faults.iter().filter(move |fault| vlan && fault.vlan == id.name)
}

fn replicas(
    id: &spk_api::ObjectId,
    object: &ObjectPlan,
    delivery: &Delivery,
) -> Vec<ReplicaStatus> {
    if object.in_force == InForce::Nothing {
        return Vec::new();
    }
    let status = |replica: &ReplicaDelivery| {
        let lacks = object.lists.iter().find(|list| list.lacks(replica.index));
        let (state, message) = if let Some(list) = lacks {
            (ReplicaState::NoAddress, format!("no entry in {}", list.path))
        } else if let Some(fault) = faults(id, replica).next() {
            let DeviceFault { interface, cause, .. } = fault;
            (ReplicaState::Failed, format!("{interface}: {cause}"))
        } else if replica.has(object.since) {
            (ReplicaState::Programmed, String::new())
        } else if let Some(cause) = &replica.failure {
            (ReplicaState::Failed, cause.clone())
        } else {
            (ReplicaState::Pending, String::new())
        };
        let index = usize::from(replica.index);
        let addresses = object.lists.iter().filter_map(|list| list.addresses.get(index).copied());
        ReplicaStatus {
            index: replica.index,
            pod: replica.pod.clone(),
            state,
            message,
            addresses: addresses.collect(),
        }
    };
    let mut all: Vec<_> = delivery.replicas.iter().map(status).collect();
    all.sort_by_key(|replica| replica.index);
    all
}

fn members(object: &ObjectPlan, delivery: &Delivery) -> Vec<MemberStatus> {
    object.members.iter().map(|member| member_status(member, delivery)).collect()
}

/// One member over all replicas: their common state, PARTIAL if they disagree, and what the plan
/// knows by itself while none has reported.
fn member_status(member: &PlannedMember, delivery: &Delivery) -> MemberStatus {
    let same = |report: &&MemberReport| {
        report.pool == member.pool && report.address == member.address && report.port == member.port
    };
    let reports: Vec<_> =
        delivery.replicas.iter().filter_map(|r| r.members.iter().find(same)).collect();
    let latest = reports.iter().max_by(|a, b| a.since.cmp(&b.since));
    let state = match reports.split_first() {
        // The plan knows of draining and of monitors before any replica reports.
        None if member.draining => MemberState::Draining,
        None if member.monitored => MemberState::Checking,
        None => MemberState::Unchecked,
        Some((first, rest)) if rest.iter().all(|r| r.state == first.state) => first.state,
        Some(_) => MemberState::Partial,
    };
    MemberStatus {
        address: member.address,
        port: member.port,
        state,
        last_transition: latest.and_then(|report| report.since.clone()),
        reason: latest.map_or_else(String::new, |report| report.reason.clone()),
        weight: member.weight,
    }
}

const fn counts_as_up(state: MemberState) -> bool {
    match state {
        MemberState::Up | MemberState::Unchecked => true,
        MemberState::Down
        | MemberState::Checking
        | MemberState::Draining
        | MemberState::Partial => false,
    }
}

const NO_VERDICT: &str = "waiting for licence verification by CWC; nothing is sent to TMM";
const NO_TMM: &str = "no TMM replica is running; check tmm.replicaCount";
const PENDING: &str = "CR config deployment is in progress";
const PROGRAMMED: &str = "CR config sent to all grpc endpoints";
const FAILED: &str = "Failure in sending CR config to grpc endpoints";
