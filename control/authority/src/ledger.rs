//! What the authority remembers, and the JSON of file `ledger.json`.
//!
//! Owns the form only; `acknowledge` decides. Holds no key, token or customer's name: tokens are
//! known by their `jti`, reports by their hash. Source: licensing.md §5.4.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spk_license::token::OrderType;
use uuid::Uuid;

/// Everything the authority must still know after a restart, besides its keys.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ledger {
    /// Form of this record; [`Ledger::VERSION`].
    pub version: u32,
    /// `iss` of every licence and receipt.
    pub issuer: String,
    /// `kid` of the key that signs.
    pub signing_key: String,
    /// Issued licences by `jti`.
    pub issued: BTreeMap<Uuid, Issued>,
    /// To which digital asset a trial belongs, by its `jti`: the first that reported under it.
    pub trials: BTreeMap<Uuid, Uuid>,
    /// Digital assets that had a report acknowledged.
    pub assets: BTreeMap<Uuid, Asset>,
}

/// A licence that was issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issued {
    /// What was ordered.
    pub order_type: OrderType,
    /// When it was issued, seconds since 1970.
    pub issued_at: u64,
    /// When it ends, seconds since 1970, if an end was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
}

/// A digital asset as its reports show it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asset {
    /// Thumbprint of the key that signed its first report; no other key may follow.
    pub report_key: String,
    /// `sequence` of the last acknowledged report; 0 after [`Ledger::restart`].
    pub sequence: u64,
    /// Base64url of the SHA-256 of the last acknowledged report; none after [`Ledger::restart`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_report_sha256: Option<String>,
    /// Base64url of the SHA-256 of every acknowledged report, by `reportID`.
    pub reports: BTreeMap<Uuid, String>,
}

impl Ledger {
    /// The form that this release writes.
    pub const VERSION: u32 = 1;

    /// The ledger of a new authority.
    #[must_use]
    pub const fn new(issuer: String, signing_key: String) -> Self {
        Self {
            version: Self::VERSION,
            issuer,
            signing_key,
            issued: BTreeMap::new(),
            trials: BTreeMap::new(),
            assets: BTreeMap::new(),
        }
    }

    /// Reads file `ledger.json`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn parse(text: &[u8]) -> Result<Self, LedgerError> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let Form { version } =
            serde_json::from_slice(text).map_err(|error| LedgerError::broken(&error))?;
        if version > Self::VERSION {
            return Err(LedgerError::Newer { version });
        }
        serde_json::from_slice(text).map_err(|error| LedgerError::broken(&error))
    }

    /// The text of file `ledger.json`.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Broken`] if it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, LedgerError> {
        serde_json::to_string_pretty(self).map_err(|error| LedgerError::broken(&error))
    }

    /// Lets the chain of reports of `asset` begin anew with `sequence` 1: for a cluster that lost
    /// its state. The pinned key and the reports seen stay. Says whether the asset is known.
    pub fn restart(&mut self, asset: Uuid) -> bool {
        let found = self.assets.get_mut(&asset);
        let known = found.is_some();
        if let Some(asset) = found {
            asset.sequence = 0;
            asset.last_report_sha256 = None;
        }
        known
    }
}

/// File `ledger.json` is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Not JSON of the right form.
    #[error("ledger is broken at line {line}, column {column}")]
    Broken {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Written by a later release.
    #[error("ledger is of form {version}, written by a later release")]
    Newer {
        /// Its form.
        version: u32,
    },
}

impl LedgerError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Broken { .. } => "ledger_broken",
            Self::Newer { .. } => "ledger_newer",
        }
    }

    fn broken(error: &serde_json::Error) -> Self {
        Self::Broken { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_survives_its_own_text() {
        let mut ledger = Ledger::new("F5 Inc.".to_owned(), "v1".to_owned());
        let issued = Issued { order_type: OrderType::Eval, issued_at: 5, ends: Some(9) };
        ledger.issued.insert(Uuid::from_u128(1), issued);
        ledger.trials.insert(Uuid::from_u128(1), Uuid::from_u128(2));
        let reports = BTreeMap::from([(Uuid::from_u128(3), "hash".to_owned())]);
        let asset = Asset {
            report_key: "kid".to_owned(),
            sequence: 1,
            last_report_sha256: Some("hash".to_owned()),
            reports,
        };
        ledger.assets.insert(Uuid::from_u128(2), asset);
        let text = ledger.to_json().unwrap();
        assert_eq!(Ledger::parse(text.as_bytes()), Ok(ledger));
    }

    #[test]
    fn a_later_form_and_a_broken_text_are_told_apart() {
        let newer = br#"{"version":2,"anything":true}"#;
        assert_eq!(Ledger::parse(newer), Err(LedgerError::Newer { version: 2 }));
        for broken in ["", "{", r#"{"version":1}"#, r#"{"version":"1"}"#] {
            let error = Ledger::parse(broken.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "ledger_broken", "{broken}");
        }
    }
}
