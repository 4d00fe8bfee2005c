//! Randomness from the system: the only place of this program that draws it.

use aws_lc_rs::rand::fill;
use spk_license::Entropy;
use uuid::Uuid;

/// The system gives no randomness.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct RandomError;

/// `N` random bytes.
///
/// # Errors
///
/// [`RandomError`].
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// The system's randomness, for the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }

    fn word(&mut self) -> u64 {
        // Each half of a random UUID has a few bits that are not random; those of two make up 64.
        let (low, _) = Uuid::new_v4().as_u64_pair();
        let (high, _) = Uuid::new_v4().as_u64_pair();
        low.rotate_left(32) ^ high
    }
}
