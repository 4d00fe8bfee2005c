//! Strict compact JWS, JSON without duplicates, key sets: the only place where a token is parsed.
//!
//! Owns the form of a token, its limits, the pinned algorithms (RS512 and Ed25519), key sets and
//! private keys. Knows no claim and opens no connection: `jku`, `x5u` and their like are ignored.
//! Reads no clock and no file; the one function that draws randomness is
//! [`RsaSigningKey::generate`], which only shells and tests call.
//!
//! Invariant: no member of a payload is handed out before its signature verified, but by
//! [`unverified::read`], which says so in its name.
//!
//! Sources: licensing.md §1.2, §2, §2.1 (V1 to V8), §2.2, §2.3; RFC 7515, 7517, 7518, 7638, 8037.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation
)]

pub mod base64url;
pub mod ed25519;
pub mod error;
pub mod json;
pub mod jwks;
pub mod limits;
pub mod name;
pub mod rsa;
pub mod rsa_keys;
pub mod unverified;
pub mod verify;

mod certificate;
mod compact;

pub use ed25519::{Ed25519Key, Ed25519KeyError};
pub use error::JoseError;
pub use jwks::{Jwks, JwksError};
pub use limits::Limits;
pub use rsa::{RsaKeyError, RsaKeySize, RsaSigningKey};
pub use rsa_keys::{KeyFault, KeyRefusal, RsaKeySet, RsaKeySetError};
pub use verify::{Embedded, Verified, verify_ed25519, verify_embedded, verify_rs512};
