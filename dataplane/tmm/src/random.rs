//! Random bytes of the kernel, for keys, seeds and nonces.

use std::fs::File;
use std::io::Read as _;

/// The kernel gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot read /dev/urandom: {0}")]
pub struct RandomError(#[from] std::io::Error);

impl RandomError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "random"
    }
}

/// 16 random bytes.
///
/// # Errors
///
/// [`RandomError`].
pub fn random_bytes() -> Result<[u8; 16], RandomError> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random number.
///
/// # Errors
///
/// [`RandomError`].
pub fn random() -> Result<u64, RandomError> {
    let [a, b, c, d, e, f, g, h, ..] = random_bytes()?;
    Ok(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
}
