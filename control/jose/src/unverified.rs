//! A token's content for people, without any verification.
//!
//! For tools that show a token (`spkctl license decode`). Nothing that decides may use it.

use std::fmt;

use serde_json::{Map, Value};

use crate::compact::Compact;
use crate::error::JoseError;
use crate::limits::Limits;

/// What a token claims. Its debug form shows nothing of it.
#[derive(Clone, Eq, PartialEq)]
pub struct Unverified {
    /// The header's members.
    pub header: Map<String, Value>,
    /// The payload's members.
    pub payload: Map<String, Value>,
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}

/// Reads header and payload of any compact JWS, whoever signed it and however.
///
/// # Errors
///
/// [`JoseError::TooLarge`], [`JoseError::Form`], [`JoseError::Header`] or [`JoseError::Payload`].
pub fn read(text: &str, limits: &Limits) -> Result<Unverified, JoseError> {
    let token = Compact::split(text, limits)?;
    let payload = token.members(limits)?;
    Ok(Unverified { header: token.header, payload })
}
