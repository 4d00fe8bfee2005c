//! spk-node: the Controller of one machine without Kubernetes, and supervisor of its TMMs.
//!
//! Owns `node.yaml`, the state directory, certificates, the test authority's lease key, the resource
//! directory and the processes. Holds no decision of the data plane: `spk-plan` turns resources into
//! snapshots, and the TMM checks leases itself.
//!
//! Sources: operations.md §1.4 to §1.6, architecture.md §6.

pub mod authority;
pub mod certs;
pub mod durable;
pub mod events;
pub mod files;
pub mod install;
pub mod layout;
pub mod licence;
pub mod metrics;
pub mod node;
pub mod provision;
pub mod settings;
pub mod socket;
pub mod supervisor;
pub mod vault;
pub mod yaml;
