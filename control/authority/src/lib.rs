//! The licensing authority, without its world.
//!
//! Owns what a licence says, which reports are acknowledged, and the form of the upstream request.
//! Reads no clock, file, socket or random source; the program `spk-authority` does (`main.rs`).
//!
//! Invariant: what was acknowledged is in the ledger before its receipt is handed out; a report of
//! another key, of a broken chain or with other bytes is never acknowledged.
//!
//! Source: licensing.md §5.1, §5.3, §5.4.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation
)]

pub mod acknowledge;
pub mod issue;
pub mod ledger;
pub mod request;

pub use acknowledge::{Occasion, Rejection};
pub use issue::{End, Order};
pub use ledger::Ledger;
