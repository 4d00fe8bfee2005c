//! spk-node: the Controller of one machine without Kubernetes, and supervisor of its parts.
//!
//! Owns `node.yaml`, the state directory, certificates, the resource directory and the processes.
//! Holds no decision of the data plane: `spk-plan` turns resources into snapshots, the CWC signs
//! leases, and the TMM checks them itself.
//!
//! Sources: operations.md §1.4 to §1.6, architecture.md §6.

pub mod certs;
pub mod events;
pub mod files;
pub mod install;
pub mod layout;
pub mod metrics;
pub mod node;
pub mod provision;
pub mod settings;
pub mod site;
pub mod socket;
pub mod supervisor;
pub mod vault;
pub mod yaml;
