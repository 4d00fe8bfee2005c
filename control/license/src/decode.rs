//! A token shown to people: which kind it is, whether it is good, and what it says.
//!
//! Owns telling the kinds apart, and what is not shown. Decides nothing: what is read here without
//! a signature goes to a screen and nowhere else. Reads no clock and no file.
//!
//! Invariant: no `sub` is shown in full, at any depth (LIC-916).
//! Source: licensing.md §2, §14.1.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use spk_entitlement::{Jwks, lease};
use spk_jose::name::{sha256, token_name};
use spk_jose::{JoseError, Limits, RsaKeySet, json, unverified, verify_ed25519};

use crate::calendar::instant;
use crate::receipt::SignedReceipt;
use crate::report;
use crate::token::{LicenseToken, numeric_date};

/// What kind of token a text is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A licence JWT (§2.1).
    License,
    /// A report (§2.3).
    Report,
    /// A receipt (§2.4).
    Receipt,
    /// A lease statement (§2.5).
    Lease,
    /// A debug statement (§2.6).
    Debug,
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::License => "licence JWT",
            Self::Report => "report",
            Self::Receipt => "receipt",
            Self::Lease => "lease statement",
            Self::Debug => "debug statement",
        })
    }
}

/// With what tokens are verified. A report brings its own key.
#[derive(Clone, Copy, Debug)]
pub struct DecodeKeys<'a> {
    /// The authority's keys, for licences and receipts.
    pub authority: Option<&'a RsaKeySet>,
    /// The CWC's keys, for leases and debug statements.
    pub lease: Option<&'a Jwks>,
    /// Trusted issuers of a licence.
    pub issuers: &'a [String],
    /// The time to check a licence at, seconds since 1970.
    pub now: u64,
}

/// Whether a token is good.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Verification {
    /// It is: its signature, and of a licence V1 to V15.
    Good {
        /// The key that signed it.
        kid: String,
    },
    /// Nobody can say: keys were not given.
    Unknown,
    /// It is not.
    Bad {
        /// The first rule it breaks, a stable label.
        code: &'static str,
        /// The same in words.
        text: String,
    },
}

/// A token for a screen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decoded {
    /// Which kind it is.
    pub kind: TokenKind,
    /// Its name in logs and events.
    pub name: String,
    /// Base64url of the SHA-256 of its text: what a receipt says of its report.
    pub sha256: String,
    /// Whether it is good.
    pub verification: Verification,
    /// The header's members.
    pub header: Map<String, Value>,
    /// The payload's members; each `sub` is shortened.
    pub payload: Map<String, Value>,
    /// The payload's numeric dates by the member's name.
    pub dates: BTreeMap<String, Timestamp>,
}

/// A text is no token of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// No compact JWS.
    #[error(transparent)]
    Form(#[from] JoseError),
    /// A JWS of another kind.
    #[error("token is no licence JWT, report, receipt, lease or debug statement")]
    Kind,
}

impl DecodeError {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form(form) => form.code(),
            Self::Kind => "token_kind",
        }
    }
}

/// Decodes and verifies `text`: a token as it is, as a JSON string, or as member `report`,
/// `manifest` or `jwt` of a JSON object.
///
/// # Errors
///
/// [`DecodeError`] if it is nothing that can be shown. A token that is merely not good is shown,
/// with the reason in [`Decoded::verification`].
pub fn decode(text: &str, keys: &DecodeKeys<'_>) -> Result<Decoded, DecodeError> {
    let text = bare(text);
    // The largest kind; each kind's own limits are checked when it is verified.
    let token = unverified::read(&text, &Limits::REPORT)?;
    let kind = kind_of(&token.header, &token.payload).ok_or(DecodeError::Kind)?;
    let verification = verify(kind, &text, keys);
    let mut dates = BTreeMap::new();
    for name in ["iat", "nbf", "exp", "f5_sat"] {
        if let Some(seconds) = token.payload.get(name).and_then(numeric_date) {
            dates.insert(name.to_owned(), instant(seconds));
        }
    }
    let expiry = token.payload.get("entitlement").and_then(|members| members.get("expiry"));
    if let Some(seconds) = expiry.and_then(numeric_date) {
        dates.insert("entitlement.expiry".to_owned(), instant(seconds));
    }
    let payload = token.payload.into_iter().map(|(name, value)| shown(name, value)).collect();
    let (name, sha256) = (token_name(&text), sha256(&text));
    Ok(Decoded { kind, name, sha256, verification, header: token.header, payload, dates })
}

/// Frees a token of its wrapping; what has none is returned without the white space around it.
#[must_use]
pub fn bare(text: &str) -> String {
    let text = text.trim_ascii();
    let inner = match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text).ok(),
        Some(b'{') => json::object(text.as_bytes(), WRAPPING_DEPTH).ok().and_then(|members| {
            let wrapped = WRAPPINGS.iter().find_map(|name| members.get(*name));
            wrapped.and_then(Value::as_str).map(str::to_owned)
        }),
        Some(_) | None => None,
    };
    inner.map_or_else(|| text.to_owned(), |token| token.trim_ascii().to_owned())
}

fn kind_of(header: &Map<String, Value>, payload: &Map<String, Value>) -> Option<TokenKind> {
    let typ = header.get("typ").and_then(Value::as_str);
    match typ {
        Some(lease::LEASE_TYPE) => return Some(TokenKind::Lease),
        Some(DEBUG_TYPE) => return Some(TokenKind::Debug),
        Some(_) | None => {}
    }
    // A receipt has no `f5_order_type`, a licence no `reportSha256`, and only a report a document
    // type.
    let has = |name| payload.contains_key(name);
    match (has("documentType"), has("reportSha256"), has("f5_order_type")) {
        (true, _, _) => Some(TokenKind::Report),
        (false, true, _) => Some(TokenKind::Receipt),
        (false, false, true) => Some(TokenKind::License),
        (false, false, false) => None,
    }
}

fn verify(kind: TokenKind, text: &str, keys: &DecodeKeys<'_>) -> Verification {
    let good = |kid: &str| Verification::Good { kid: kid.to_owned() };
    let bad = |code, error: &dyn fmt::Display| Verification::Bad { code, text: error.to_string() };
    match (kind, keys.authority, keys.lease) {
        (TokenKind::License, Some(authority), _) => {
            match LicenseToken::verify(text, authority, keys.issuers, keys.now) {
                Ok(token) => good(&token.kid),
                Err(error) => bad(error.code().code(), &error),
            }
        }
        (TokenKind::Receipt, Some(authority), _) => match SignedReceipt::read(text, authority) {
            Ok(receipt) => good(receipt.kid()),
            Err(error) => bad(error.code().code(), &error),
        },
        (TokenKind::Report, _, _) => match report::read(text) {
            Ok(report) => good(&report.kid),
            Err(error) => bad(error.code(), &error),
        },
        (TokenKind::Lease, _, Some(own)) => match lease::verify(text, own) {
            Ok(lease) => good(&lease.kid),
            Err(error) => bad(error.code(), &error),
        },
        (TokenKind::Debug, _, Some(own)) => {
            match verify_ed25519(text, DEBUG_TYPE, &Limits::STATEMENT, own) {
                Ok(statement) => good(&statement.kid),
                Err(error) => bad(error.code(), &error),
            }
        }
        (TokenKind::License | TokenKind::Receipt, None, _)
        | (TokenKind::Lease | TokenKind::Debug, _, None) => Verification::Unknown,
    }
}

/// A member as it is shown: every `sub` is shortened.
fn shown(name: String, value: Value) -> (String, Value) {
    let value = match value {
        Value::String(text) if name == "sub" => Value::String(shortened(&text)),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| shown(name, value)).collect())
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| shown(name.clone(), item).1).collect())
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    };
    (name, value)
}

/// The start of a text and its length; of a short text no more than a third.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    let start: String = text.chars().take((length / 3).min(SHOWN)).collect();
    format!("{start}… ({length} characters)")
}

/// `typ` of a debug statement.
const DEBUG_TYPE: &str = "spk-debug+jwt";
/// Members that a token may be wrapped in.
const WRAPPINGS: [&str; 3] = ["report", "manifest", "jwt"];
/// Nested levels of a wrapping.
const WRAPPING_DEPTH: usize = 4;
/// Characters of a `sub` that are shown.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests;
