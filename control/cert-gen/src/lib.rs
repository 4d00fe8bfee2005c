//! Certificates, keys and Secrets of every part: the one place where they are made.
//!
//! [`pki`] makes single certificates; [`make`] the whole set of a service as a tree of files and as
//! Secrets. The program `cert-gen` writes manifests of them, `spk-node` the directories that its
//! parts get; tests take theirs from here, too.
//!
//! Invariant: what is there is kept, unless rotation or a new start is asked for; each certificate
//! is verified against the CA file beside it before its Secret is handed out; private keys are 0600
//! in directories of 0700 under any umask. Source: operations.md §3.1 to §3.4.

pub mod order;
pub mod pki;
pub mod secret;

mod lease;
mod make;
mod rotate;
mod service;
mod tree;

pub use make::{MakeError, Outcome, make};
pub use order::{KeyStyle, Order, Rotation, Service};
pub use secret::Secret;
