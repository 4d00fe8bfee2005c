//! What people and monitoring see of a Controller: one value, made anew after each change.
//!
//! Source: operations.md §1.4, licensing.md §12.5.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use spk_api::ObjectId;
use spk_api::status::Status;

use super::core::Core;
use super::ports::{LicenceStatus, READY};

/// A Controller at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Revision of the newest configuration; 0 before the first.
    pub generation: u64,
    /// The licence.
    pub licence: LicenceView,
    /// The objects.
    pub objects: Vec<ObjectView>,
    /// The TMMs, by index.
    pub replicas: Vec<ReplicaView>,
}

/// The licence as a Controller holds it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenceView {
    /// `unactivated`, `trial`, `production`; empty before the first statement.
    pub class: String,
    /// `unknown`, `allow`, `warn`, `block`.
    pub verdict: String,
    /// A code of licensing.md §9.
    pub reason: String,
    /// What that means, in one sentence.
    pub text: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// State of the client (licensing.md §11).
    pub state: String,
    /// Whether the bus is connected.
    pub bus_connected: bool,
    /// When the last statement that counted came, in nanoseconds since boot (`CLOCK_BOOTTIME`);
    /// none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<u64>,
    /// Blocking statements that a held latch made warnings of.
    pub latched_ignored: u64,
    /// Whether the configuration is withheld.
    pub withheld: bool,
    /// Whether the licence stopped the TMMs.
    pub halted: bool,
}

/// One object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectView {
    /// Who it is.
    #[serde(flatten)]
    pub id: ObjectId,
    /// Its status.
    pub status: Status,
}

/// One TMM.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaView {
    /// Its index.
    pub index: u16,
    /// Its pod.
    pub pod: String,
    /// Its gRPC address.
    pub address: String,
    /// Whether it answers.
    pub connected: bool,
    /// Why it does not answer or refused its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Revision that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<u64>,
    /// Whether it is ready, and else why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Its gate; none while it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateView>,
    /// Its interfaces.
    #[serde(default)]
    pub interfaces: Vec<InterfaceView>,
}

/// One gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateView {
    /// `closed`, `open` or `latched`.
    pub state: String,
    /// Why: a code.
    pub reason: String,
    /// Milliseconds until it closes by itself, as it was told last; 0 unless open.
    pub deadline_ms: u64,
}

/// One interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InterfaceView {
    /// Name such as `1.1`.
    pub name: String,
    /// Whether its link is up.
    pub up: bool,
    /// MAC address.
    pub mac: String,
}

impl LicenceView {
    /// The part that statuses show.
    #[must_use]
    pub fn status(&self) -> LicenceStatus {
        LicenceStatus {
            class: self.class.clone(),
            verdict: self.verdict.clone(),
            reason: self.reason.clone(),
            text: self.text.clone(),
            since: self.since.clone(),
        }
    }
}

impl View {
    /// The view of `core` at `now`.
    #[must_use]
    pub fn of(core: &Core, licence: LicenceView, now: Instant) -> Self {
        let objects = core
            .statuses()
            .iter()
            .map(|(id, status)| ObjectView { id: id.clone(), status: status.clone() })
            .collect();
        let replicas = core
            .targets()
            .iter()
            .map(|target| {
                let facts = core.replica(target.index);
                let ready = core.pods().iter().find(|pod| pod.name == target.pod);
                ReplicaView {
                    index: target.index,
                    pod: target.pod.clone(),
                    address: target.address.to_string(),
                    connected: facts.is_some_and(|facts| facts.boot_id().is_some()),
                    failure: facts.and_then(|facts| facts.failure().map(str::to_owned)),
                    acknowledged: facts.and_then(super::core::ReplicaFacts::acknowledged),
                    not_ready: match ready.and_then(|pod| pod.condition(READY)) {
                        Some(condition) if condition.status == "True" => None,
                        Some(condition) => {
                            Some(format!("{}: {}", condition.reason, condition.message))
                        }
                        None => Some(String::from("Pending: no status yet")),
                    },
                    gate: facts.and_then(|facts| facts.gate(now)),
                    interfaces: facts
                        .map(super::core::ReplicaFacts::interfaces)
                        .unwrap_or_default()
                        .to_vec(),
                }
            })
            .collect();
        Self { generation: core.plan().generation(), licence, objects, replicas }
    }
}
