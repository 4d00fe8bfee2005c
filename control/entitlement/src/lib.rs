//! How a licence reaches the gate: policy, messages, statements, and the three machines that use
//! them.
//!
//! Owns the policy table (`policy`), the messages between CWC and Controllers (`messages`), the
//! CWC's side of them (`desk`), the Controller's (`client`), the signed statement (`lease`,
//! `signer`), and the decision whether a TMM's gate may be open (`enforcer`). Reads no clock, file,
//! socket or random source: seeds, nonces and time are passed in. Invariant: the gate is never open
//! without a statement signed by a trusted key and bound to this process.
//!
//! Sources: licensing.md §1.2, §2.5, §9 to §12.

pub mod client;
pub mod contact;
pub mod desk;
pub mod enforcer;
pub mod ids;
pub mod lease;
pub mod messages;
pub mod policy;
pub mod reason;
pub mod signer;

mod reckoning;

pub use enforcer::{Enforcer, Gate, Identity, Input, Output};
pub use lease::{Class, Kind, LeaseClaims, LeaseError, Verdict};
pub use reason::Reason;
pub use signer::{Authority, Occasion};
pub use spk_jose::{Ed25519Key as LeaseKey, Ed25519KeyError as KeyError, Jwks, JwksError};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
