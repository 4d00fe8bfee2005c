//! What the Controller asks of the world it runs in.
//!
//! `spk-node` implements these with files and a supervisor, a cluster's Controller with an API
//! client. None of them decides anything. Source: architecture.md §6.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use spk_api::status::Status;
use spk_api::{Manifest, ObjectId};
use tokio::sync::watch;

/// The time, as pure code gets it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub monotonic: Instant,
    /// For people.
    pub wall: Timestamp,
}

/// Everything the Controller looks at, at one moment.
#[derive(Clone, Debug, Default)]
pub struct FactSet {
    /// Rises with each set.
    pub revision: u64,
    /// Every custom resource, refused ones too.
    pub manifests: Vec<Manifest>,
    /// Services.
    pub services: Vec<Service>,
    /// EndpointSlices.
    pub slices: Vec<EndpointSlice>,
    /// Pods of applications.
    pub pods: Vec<Pod>,
}

/// Gives the facts, a whole set at a time.
pub trait Facts: Send {
    /// Waits for the next set; the first call gives the present one. May be dropped and called again.
    fn next(&mut self) -> impl Future<Output = FactSet> + Send;
}

/// Takes the statuses of objects. Writes each object's at most once per second (CHK-019).
pub trait Statuses: Send {
    /// Takes the newest status of `object`, none if it has none any more. Never blocks.
    fn put(&mut self, object: &ObjectId, status: Option<&Status>);
    /// Takes the newest state of the TMM pods. Never blocks.
    fn put_pods(&mut self, pods: &[PodStatus]);
    /// Takes the newest verdict of the licence. Never blocks.
    fn put_licence(&mut self, licence: &LicenceStatus);
}

/// The verdict of the licence, as statuses show it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct LicenceStatus {
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
}

/// What the Controller knows and writes of one TMM pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PodStatus {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Annotations that the Controller gives it (operations.md §4.8).
    pub annotations: BTreeMap<String, String>,
    /// Its conditions: [`READY`] and [`LICENSE_GATE`].
    pub conditions: Vec<Condition>,
}

impl PodStatus {
    /// The condition `kind`.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }
}

/// Condition: whether a TMM serves the newest configuration.
pub const READY: &str = "Ready";
/// Condition: whether a TMM's licence gate is open, with a reason code (licensing.md §12.5).
pub const LICENSE_GATE: &str = "k8s.f5net.com/LicenseGate";

/// Starts and stops the data plane.
pub trait Actuator: Send {
    /// The replicas that should run, now and after each change.
    fn replicas(&self) -> watch::Receiver<Vec<Target>>;
    /// Whether a stop by the licence stands, also one of before a restart (licensing.md §12.3: the
    /// annotation is there).
    fn is_halted(&self) -> bool;
    /// Stops all replicas until [`Actuator::resume`], and remembers that over restarts. Does not wait
    /// for their end.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if it cannot be remembered; they are stopped all the same.
    fn halt(&mut self) -> impl Future<Output = Result<(), VaultError>> + Send;
    /// Starts as many replicas as ran before.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if a restart would stop them again; they are started all the same.
    fn resume(&mut self) -> impl Future<Output = Result<(), VaultError>> + Send;
    /// Stops all replicas, each as long as it drains.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// One TMM replica that should run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Its index (crds.md §5.8).
    pub index: u16,
    /// Name of its pod.
    pub pod: String,
    /// UID of its pod.
    pub uid: String,
    /// Its gRPC address.
    pub address: SocketAddr,
}

/// Takes events (operations.md §1.6, crds.md §4.2 rule 6).
pub trait Events: Send {
    /// Shows `event` to people, once. Never blocks for long, never fails.
    fn record(&mut self, event: EventRecord);
}

/// One event.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct EventRecord {
    /// Stable word, such as `Added` or `MemberDown`.
    pub reason: &'static str,
    /// Whether something is wrong.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// What it is about.
    pub object: EventObject,
    /// One sentence.
    pub text: String,
}

/// Whether something is wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
pub enum EventKind {
    /// As wished.
    Normal,
    /// Somebody should look.
    Warning,
}

/// The object of an event.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct EventObject {
    /// Kind, such as `F5SPKVlan` or `Pod`.
    pub kind: String,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

impl EventObject {
    /// Names an object.
    #[must_use]
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for EventObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Keeps small secret records over restarts: keys, latch, epoch, accepted resources.
pub trait Vault: fmt::Debug + Send + Sync {
    /// The record `name`, none if there is none.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if it cannot be told.
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError>;

    /// Stores the record before it returns; a crash leaves the old record or the new.
    ///
    /// # Errors
    ///
    /// [`VaultError`]; the old record stays.
    fn store(&self, name: &str, record: &[u8]) -> Result<(), VaultError>;

    /// Removes the record; there may be none.
    ///
    /// # Errors
    ///
    /// [`VaultError`]; the record stays.
    fn remove(&self, name: &str) -> Result<(), VaultError>;
}

/// A record cannot be read or stored.
#[derive(Debug, thiserror::Error)]
#[error("record {name}: {source}")]
pub struct VaultError {
    /// Which record.
    pub name: String,
    /// The store's error.
    pub source: std::io::Error,
}

impl VaultError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "vault"
    }
}

/// Annotation that holds a pod's replica index (OPS-461).
pub const REPLICA_INDEX: &str = "k8s.f5net.com/replica-index";
