//! The CWC's machine: states, tokens, reports, receipts, telemetry.
//!
//! Pure: reads no clock, file, socket or random source. The shell makes a [`Now`], feeds an
//! [`Event`] to [`Machine::step`], stores what the step says, and then does its outputs.
//!
//! ```text
//! (Machine, Event, Now, Entropy) --step--> Step { next, storing, answer, outputs, then, instead }
//! ```
//!
//! Invariants: what anybody outside sees was stored before (P1); a receipt is accepted at most
//! once; once a licence is active it stays active within one stored machine (LIC-211).
//!
//! Source: licensing.md §2, §3, §5.1, §6, §7, §8.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation
)]

pub mod calendar;
pub mod clock;
pub mod codes;
pub mod context;
pub mod decode;
pub mod event;
pub mod machine;
pub mod now;
pub mod receipt;
pub mod report;
pub mod settings;
pub mod state;
pub mod step;
pub mod table;
pub mod token;
pub mod trigger;
pub mod upstream;
pub mod view;

pub use event::{Boot, Event, Objects, PeerStatement, Stored};
pub use machine::{Machine, Stops, Surroundings};
pub use now::{Entropy, Now};
pub use settings::{Mode, Settings};
pub use state::{Slot, State};
pub use step::{Answer, Effect, Notice, Output, Refusal, Step, Storing, Upload};
pub use trigger::Trigger;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod rig;
