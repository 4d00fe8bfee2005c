//! TLS material that reloads itself from files.
//!
//! Owns finding the files of an identity in either layout, checking them as a whole, and giving the
//! newest good set to listeners and clients. Makes no certificate; `cert-gen` does.
//!
//! Invariants: there is no end without a CA and a certificate of its own, no plain-text form and no
//! way to leave verification out (OPS-114); a set that does not pass the check is never used, and
//! the last good one stays (OPS-322); a running connection is never touched (OPS-320).
//! Sources: operations.md §1.2 (rules), §3.2 to §3.4, licensing.md §4.1.

mod expiry;
mod files;
mod follow;
mod listener;
mod material;
mod reload;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use expiry::CertificateMetrics;
pub use files::{PemSet, TlsFiles};
pub use follow::{Report, Tls};
pub use listener::{Accepted, Peer, TlsListener};
pub use material::{Alpn, CertificateFacts, Material, Refusal};
pub use reload::CertificateEvent;

/// The one crypto provider of all programs. Its TLS 1.2 suites are ECDHE with AEAD ciphers only,
/// as LIC-303 asks.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes [`provider`] the one of libraries that ask for none. Call it first in each `main`; a second
/// call changes nothing.
pub fn install_provider() {
    // Refused only if one was installed before.
    let _ = aws_lc_rs::default_provider().install_default();
}
