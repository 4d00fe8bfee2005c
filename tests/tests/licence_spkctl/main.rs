//! `spkctl license` against a real CWC and a real authority (suite `licence`), as operators use it.
//!
//! Source: licensing.md §14.1.

mod admin;
mod backup;
mod exchange;
mod operator;
mod steps;
mod switching;
mod watch;
