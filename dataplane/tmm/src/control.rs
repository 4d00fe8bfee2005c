//! The control side: a few asynchronous tasks on CPUs of their own.
//!
//! One task owns the enforcer (`gatekeeper`), one the configuration (`applier`), one keeps what a
//! latched process resumes from (`cache`), one collects what packet threads tell (`collector`);
//! `service` answers gRPC, `pages` probes and scrapes. Each owns its state; the others send it
//! messages. No task touches a packet.

pub mod applier;
pub mod cache;
pub mod collector;
pub mod gatekeeper;
pub mod lister;
pub mod metrics;
pub mod pages;
pub mod service;
pub mod tables;
