//! The Controller without its world.
//!
//! Facts, then a pause of 100 ms, then the plan, then, while the licence allows it, whole snapshots to
//! every TMM, then their reports, then conditions. [`core`] decides and does nothing; [`link`] talks to
//! one TMM; [`licence`] to the CWC; [`runtime`] joins them. What differs between a cluster and one
//! machine is behind the traits of [`ports`]: nothing here knows the resource directory or a process.
//!
//! Sources: architecture.md §4, §5 and §6, operations.md §1.4, crds.md §4, licensing.md §11, §12.

pub mod core;
pub mod licence;
pub mod link;
pub mod meters;
pub mod ports;
pub mod reasons;
pub mod runtime;
pub mod view;

pub use ports::{
    Actuator, EventKind, EventObject, EventRecord, Events, FactSet, Facts, LICENSE_GATE,
    LicenceStatus, Now, PodStatus, READY, REPLICA_INDEX, Statuses, Target, Vault, VaultError,
};
