//! The cluster-wide controller: the licence machine behind REST, bus and store.
//!
//! ```text
//! REST --Ask--> run (machine, desk) --Shown, News--> REST
//! bus  <------>  |      |
//! folder ------->|      +--> store: context, then projections
//! upstream, usage <---- tasks beside the loop ----> Event
//! ```
//!
//! A shell: does I/O and owns the clock; what an event means is `spk_license`'s, what Controllers
//! are told is `spk_entitlement::desk`'s. Invariant: nothing leaves that was not stored before (P1).
//! Sources: licensing.md §4, §5.1, §7, §10, §13; architecture.md §5, §6.

pub mod config;
pub mod events;
pub mod front;
pub mod keys;
pub mod metrics;
pub mod page;
pub mod persist;
pub mod projections;
pub mod random;
pub mod rest;
pub mod run;
pub mod start;
pub mod telemetry;
pub mod upstream;
pub mod usage;
