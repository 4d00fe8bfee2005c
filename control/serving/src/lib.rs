//! The shell of every program: TLS material that reloads itself, logs, probes, metrics, signals,
//! clocks.
//!
//! Owns what each binary needs beside its own job, so that no certificate, log line or probe is
//! handled twice. Decides nothing about licences or traffic. Invariant: a TLS end made here always
//! verifies its peer, and shows a certificate of its own. Sources: operations.md §1.2 (N17, N19,
//! rules), §3.4, §7.3, licensing.md §4.1.

pub mod clock;
pub mod http;
#[cfg(feature = "https")]
pub mod https;
pub mod log;
pub mod probes;
pub mod shutdown;
pub mod tls;
