//! Whole-path load runs beside their floors: the first part of `make bench`.
//!
//! Owns the traffic ([`traffic`]), the engine on a device ([`under_test`]), the generator
//! ([`generator`]), testpmd in the same role ([`floor`]) and the arithmetic of windows
//! ([`window`]). Every figure is a ratio to a floor of the same run, or a count; a slow machine
//! fails nothing. Errors are `anyhow`: a benchmark has no caller that could do better.
//!
//! Sources: performance.md §1 to §5; operations.md OPS-1210 to OPS-1217.

pub mod child;
pub mod floor;
pub mod generator;
pub mod hit_path;
pub mod instructions;
pub mod maglev;
pub mod memory;
pub mod priority;
pub mod report;
pub mod throughput;
pub mod traffic;
pub mod under_test;
pub mod window;
