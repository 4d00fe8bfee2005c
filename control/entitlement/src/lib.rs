//! Leases, and the enforcer that checks them inside a TMM.
//!
//! Owns the lease statement and the decision whether the gate may be open. Reads no
//! clock, file, socket or random source: seeds, nonces and time are passed in. Invariant: the gate
//! is never open without a statement signed by a trusted key and bound to this process.
//!
//! Sources: licensing.md §1.2, §2, §2.5, §12.1, §12.2.

pub mod enforcer;
pub mod lease;
pub mod signer;

pub use enforcer::{Enforcer, Gate, Identity, Input, Output};
pub use lease::{Class, Kind, LeaseClaims, LeaseError, Verdict};
pub use signer::{Authority, Occasion};
pub use spk_jose::{Ed25519Key as LeaseKey, Ed25519KeyError as KeyError, Jwks, JwksError};

#[cfg(test)]
mod fixture;
