//! The planner: all custom resources and cluster facts in, one configuration and every verdict out.
//!
//! Pure: no client, no clock, no I/O, and no dependence on the order of its inputs (crds.md §5.6
//! rule 5). Schema and CEL rules are `spk-api`'s; rules that need a second object, address
//! arithmetic or merged monitor items live here, with the precedence between objects. Delivery is
//! the shell's; [`delivery`] turns what the shell knows about it into conditions.
//!
//! ```text
//! Inputs --plan()--> Plan { spec for every replica, verdict per object, events, memory }
//! Plan + Delivery --delivery::status()--> status of each object
//! ```
//!
//! Sources: crds.md §3.4, §4, §5, and the R- rules of each kind; operations.md §4.8.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation
)]

mod address;
mod board;
pub mod delivery;
mod digest;
mod egress;
pub mod event;
mod ingress;
mod ingress_kinds;
pub mod inputs;
mod members;
pub mod outcome;
mod planner;
pub mod replica;
mod routes;
mod unsupported;
mod vlan_set;
mod vlans;

pub use delivery::{Delivery, status};
pub use event::{Event, EventType};
pub use inputs::{Inputs, Memory, Replica};
pub use outcome::{Dangling, DanglingReason, InForce, ObjectPlan, Plan, Verdict};
pub use planner::plan;
