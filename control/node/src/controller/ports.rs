//! What the Controller asks of the world it runs in.
//!
//! `spk-node` implements these with files and a supervisor, a cluster's Controller with an API
//! client. None of them decides anything. Source: architecture.md §6.

use std::fmt;

use serde::Serialize;

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
pub trait Vault: Send + Sync {
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
