//! The Controller without its world.
//!
//! Facts, then a pause of 100 ms, then the plan, then whole snapshots to every TMM, then their
//! reports, then conditions. What differs between a cluster and one machine is behind the traits of
//! [`ports`]; nothing here knows a file of the resource directory or a process.
//!
//! Sources: architecture.md §4 and §6, operations.md §1.4, crds.md §4.

pub mod ports;

pub use ports::{EventKind, EventObject, EventRecord, Events, Vault, VaultError};
