//! The custom resources of the proxy: types, schema rules, CEL rules, status, and a YAML loader.
//!
//! Pure: no client, no clock, no I/O. Rules that need a second object are `spk-plan`'s. Every type
//! is declared once by [`schema`]'s `object!`, which gives the Rust struct and its OpenAPI shape, and
//! every CEL rule keeps its text beside the code that applies it, so that CRDs can be generated from
//! here (crds.md §3.1).
//!
//! Source: crds.md §1 to §7, §10, §13, §14, §17.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation
)]

pub mod balancing;
pub mod egress;
pub mod filters;
pub mod ingress;
pub mod ingress_ngap;
pub mod ingress_tcp;
pub mod ingress_udp;
pub mod kind;
pub mod load;
pub mod manifest;
pub mod monitors;
pub mod node;
pub mod pattern;
pub mod problem;
pub mod rule;
pub mod schema;
pub mod static_route;
pub mod status;
pub mod vlan;

pub use kind::{Home, Kind};
pub use load::{Document, Documents, LoadError, load};
pub use manifest::{Manifest, ObjectId, Resource};
pub use problem::{Path, Problem, Reason};
