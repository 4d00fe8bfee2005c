//! The Controller without its world.
//!
//! Facts, then a pause of 100 ms, then the plan, then whole snapshots to every TMM, then their
//! reports, then conditions. [`core`] decides and does nothing; [`link`] talks to one TMM;
//! [`runtime`] joins them. What differs between a cluster and one machine is behind the traits of
//! [`ports`]: nothing here knows the resource directory or a process.
//!
//! Sources: architecture.md §4 and §6, operations.md §1.4, crds.md §4.

pub mod core;
pub mod link;
pub mod ports;
pub mod runtime;
pub mod view;

pub use ports::{
    Actuator, EventKind, EventObject, EventRecord, Events, FactSet, Facts, Licence, Now, Order,
    PodStatus, REPLICA_INDEX, Statuses, Target, Vault, VaultError,
};
