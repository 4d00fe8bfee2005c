//! The contract between the control side and the data plane.
//!
//! A [`Spec`] is what the controller sends: whole, raw, serde, and with one canonical encoding.
//! [`Config`] is what the engine reads: checked, resolved to slots, and immutable. [`Gate`] is the
//! one word that tells a worker whether traffic may pass. Nothing here does I/O or reads a clock.

pub mod config;
pub mod gate;
pub mod spec;

pub use config::Config;
pub use gate::{Gate, GateWord, Nanos};
pub use spec::Spec;
