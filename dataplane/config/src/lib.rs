//! The contract between the control side and the data plane.
//!
//! A [`Spec`] is what the controller sends: whole, raw, serde, and with one canonical encoding.
//! [`Config`] is what the engine reads: checked, resolved to slots, and immutable, made from the
//! spec, the [`Facts`] of this process and the configuration before it ([`Config::compile`]).
//! [`Gate`] is the one word that tells a worker whether traffic may pass; [`ApplyReport`] is the
//! answer to the controller. Nothing here does I/O or reads a clock.

mod atomic;
pub mod compile;
pub mod config;
pub mod error;
pub mod facts;
pub mod gate;
pub mod maglev;
pub mod report;
mod slots;
pub mod spec;

pub use compile::Compiled;
pub use config::Config;
pub use error::{SpecError, SpecProblem};
pub use facts::{Facts, Health, PortFacts};
pub use gate::{Gate, GateWord, Nanos};
pub use maglev::Maglev;
pub use report::{ApplyReport, ObjectProblem};
pub use spec::Spec;
