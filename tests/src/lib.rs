//! Rigs of the lab suite and the demo: the shipped programs with real peers, in namespaces.
//!
//! Owns the picture ([`plan`]), its building ([`topology`]), the programs under test
//! ([`node`], [`tmm`]) and the peers ([`peers`]). Knows the proxy only as its users do: resources
//! as files, `spkctl`, the gRPC interface, packets.
//!
//! Errors are `anyhow`: a rig has no caller that could do better than show them.

pub mod broker;
pub mod certificates;
pub mod cwc;
pub mod demo;
pub mod floor;
pub mod grammar;
pub mod lab;
pub mod licence;
pub mod node;
pub mod outage;
pub mod peers;
pub mod plan;
pub mod policy;
pub mod poll;
pub mod programs;
pub mod samples;
pub mod secrets;
pub mod stream;
pub mod tmm;
pub mod topology;
