//! Record `context` as text.
//!
//! One JSON object whose first members are `schema` and whose last is `sha256`, the SHA-256 of the
//! text before it, so that a cut or altered record is told from a good one. Owns which forms are
//! read and which is written (P11). Does no I/O.
//!
//! Source: licensing.md §7.1 (`context`), §7.2 P6 and P11, LIC-502, LIC-520.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use super::Context;

/// The forms that a release reads and writes.
///
/// A form's number is the member `schema`. A release reads its own form and the one before.
#[derive(Clone, Copy, Debug)]
pub struct Forms {
    /// The form of this release.
    pub newest: u32,
    /// Turns the members of the form before into those of [`Forms::newest`].
    pub raise: fn(Map<String, Value>) -> Map<String, Value>,
    /// Turns the members of [`Forms::newest`] into those of the form before.
    pub lower: fn(Map<String, Value>) -> Map<String, Value>,
}

impl Forms {
    /// This release's. There was no form before the first.
    pub const RELEASE: Self = Self { newest: 1, raise: same, lower: same };

    /// The oldest form that is read; numbers begin with 1.
    #[must_use]
    pub const fn oldest(&self) -> u32 {
        if self.newest > 1 { self.newest - 1 } else { 1 }
    }
}

const fn same(members: Map<String, Value>) -> Map<String, Value> {
    members
}

/// A record that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Unreadable, cut or altered (P6).
    #[error("record context is damaged")]
    Damaged,
    /// Written by a newer release (P11).
    #[error("record context has form {form}, newer than this release's")]
    Newer {
        /// Its form.
        form: u32,
    },
    /// Above [`LIMIT`].
    #[error("record context would be larger than {LIMIT} bytes")]
    TooLarge,
}

impl RecordError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Damaged => "store_corrupt",
            Self::Newer { .. } => "store_newer",
            Self::TooLarge => "store_unavailable",
        }
    }
}

/// Writes the record in the form that `context` names.
///
/// # Errors
///
/// [`RecordError::TooLarge`]; [`RecordError::Damaged`] if a member cannot be written as JSON.
pub fn write(context: &Context, forms: &Forms) -> Result<String, RecordError> {
    let Ok(Value::Object(members)) = serde_json::to_value(context) else {
        return Err(RecordError::Damaged);
    };
    let members = if context.form < forms.newest { (forms.lower)(members) } else { members };
    let members = serde_json::to_string(&members).map_err(|_| RecordError::Damaged)?;
    let form = context.form.min(forms.newest);
    // `members` is `{…}`, and never empty.
    let mut text =
        format!("{{\"schema\":{form},{}", members.get(1..members.len() - 1).unwrap_or(""));
    let sum = hash(&text);
    let _ = write!(text, "{SEAL}{sum}\"}}");
    if text.len() > LIMIT { Err(RecordError::TooLarge) } else { Ok(text) }
}

/// Reads a record.
///
/// # Errors
///
/// [`RecordError::Damaged`] or [`RecordError::Newer`].
pub fn read(text: &str, forms: &Forms) -> Result<Context, RecordError> {
    let text = text.trim_ascii();
    let body = text.len().checked_sub(SEAL_LENGTH).and_then(|at| text.split_at_checked(at));
    let (body, seal) = body.ok_or(RecordError::Damaged)?;
    let sum = seal.strip_prefix(SEAL).and_then(|rest| rest.strip_suffix("\"}"));
    if sum != Some(hash(body).as_str()) {
        return Err(RecordError::Damaged);
    }
    let members: Map<String, Value> =
        serde_json::from_str(&format!("{body}}}")).map_err(|_| RecordError::Damaged)?;
    let form = members.get("schema").and_then(Value::as_u64);
    let form = form.and_then(|form| u32::try_from(form).ok()).ok_or(RecordError::Damaged)?;
    if form > forms.newest {
        return Err(RecordError::Newer { form });
    }
    if form < forms.oldest() {
        return Err(RecordError::Damaged);
    }
    let members = if form < forms.newest { (forms.raise)(members) } else { members };
    let mut context: Context =
        serde_json::from_value(Value::Object(members)).map_err(|_| RecordError::Damaged)?;
    context.form = form;
    Ok(context)
}

/// SHA-256 in hexadecimal.
fn hash(text: &str) -> String {
    let sum = digest::digest(&digest::SHA256, text.as_bytes());
    let mut hex = String::with_capacity(HASH_LENGTH);
    for byte in sum.as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Bytes of the record: 900 KiB, below the 1 MiB of a Kubernetes Secret (LIC-502).
pub const LIMIT: usize = 900 * 1_024;

/// What stands before the hash.
const SEAL: &str = ",\"sha256\":\"";
/// Hexadecimal digits of a SHA-256.
const HASH_LENGTH: usize = 64;
/// Bytes of the hash with what stands around it.
const SEAL_LENGTH: usize = SEAL.len() + HASH_LENGTH + 2;

#[cfg(test)]
pub(crate) mod tests;
