//! The report: what a cluster tells the licensing service about its usage.
//!
//! Owns the payload `ProductTelemetry`, signing it and reading one that somebody else made. Counts
//! nothing and stores nothing; the text is signed once and handed out unchanged (LIC-142).
//!
//! Invariant: a report holds no name, label or address of anything in the cluster (LIC-140): its
//! members are numbers, dates and identifiers, and four product names from the values.
//! Source: licensing.md §2.3.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spk_jose::name::sha256;
use spk_jose::{Ed25519Key, JoseError, Limits, verify_embedded};
use uuid::Uuid;

use crate::calendar::samples::Aggregate;
use crate::calendar::{Window, instant};
use crate::token::OrderType;

/// The payload of a report.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductTelemetry {
    /// [`DOCUMENT_TYPE`].
    pub document_type: String,
    /// [`DOCUMENT_VERSION`].
    pub document_version: String,
    /// The digital asset id, one per cluster and for ever.
    #[serde(rename = "digitalAssetID")]
    pub digital_asset_id: Uuid,
    /// `cpclConfig.digitalAssetName`.
    pub digital_asset_name: String,
    /// `cpclConfig.digitalAssetVersion`.
    pub digital_asset_version: String,
    /// `cpclConfig.productName`.
    pub product_name: String,
    /// `cpclConfig.friendlyName`.
    #[serde(rename = "customID")]
    pub custom_id: String,
    /// Why it was made.
    pub report_type: ReportType,
    /// Names this report; a rebuilt one has another.
    #[serde(rename = "reportID")]
    pub report_id: Uuid,
    /// Rises by 1 per report of this asset, from 1.
    pub sequence: u64,
    /// Base64url of the SHA-256 of the last acknowledged report's text; null before the first.
    pub previous_report_sha256: Option<String>,
    /// Trusted time of building, to the second.
    pub generated_at: Timestamp,
    /// What it covers.
    pub period: Period,
    /// Unacknowledged reports that it replaces, oldest first, at most [`SUPERSEDES_LIMIT`].
    pub supersedes: Vec<SupersededReport>,
    /// The maximum over the period's samples.
    pub usage: ReportedUsage,
    /// The licence of the slot it was made in.
    pub license: ReportedLicense,
    /// The clock it was made by.
    pub clock: ReportedClock,
}

/// Why a report was made.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportType {
    /// At the initial registration.
    InitialConfig,
    /// At a switch of licences.
    UpdatedConfig,
    /// At the end of a window.
    Telemetry,
}

impl ReportType {
    /// The member's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InitialConfig => "initial-config",
            Self::UpdatedConfig => "updated-config",
            Self::Telemetry => "telemetry",
        }
    }
}

/// A stretch of time, as a report says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Its start.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

impl From<Window> for Period {
    fn from(window: Window) -> Self {
        Self { start: instant(window.start), end: instant(window.end) }
    }
}

/// A report that this one replaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupersededReport {
    /// Its `reportID`.
    #[serde(rename = "reportID")]
    pub report_id: Uuid,
    /// What it covered.
    pub period: Period,
}

/// Usage, as a report says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedUsage {
    /// Virtual CPUs of the cluster.
    pub cpu_count: u64,
    /// Custom resource definitions of ours with at least one object.
    pub unique_crds: u64,
    /// Objects of those definitions.
    pub total_crds: u64,
    /// Samples taken.
    pub samples: u64,
    /// Hours without a sample.
    pub missed: u64,
}

impl From<Aggregate> for ReportedUsage {
    fn from(aggregate: Aggregate) -> Self {
        Self {
            cpu_count: aggregate.maximum.cpu_count,
            unique_crds: aggregate.maximum.unique_crds,
            total_crds: aggregate.maximum.total_crds,
            samples: aggregate.samples,
            missed: aggregate.missed,
        }
    }
}

/// The licence, as a report says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportedLicense {
    /// Names the JWT.
    pub jti: Uuid,
    /// What was ordered.
    pub order_type: OrderType,
}

/// The clock, as a report says it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportedClock {
    /// State of trusted time, as `/v1/license` names it.
    pub state: String,
    /// The high-water mark.
    pub high_water: Timestamp,
}

/// A signed report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedReport {
    /// Its compact text; every download hands out these bytes.
    pub text: String,
    /// Base64url of the SHA-256 of the text.
    pub sha256: String,
}

/// A report that verified with the key in its own header. Whether that key is the asset's is for
/// the reader to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadReport {
    /// What it says.
    pub telemetry: ProductTelemetry,
    /// Base64url of the SHA-256 of its text, without white space around it.
    pub sha256: String,
    /// Thumbprint of the key that signed it.
    pub kid: String,
    /// That key.
    pub key: [u8; 32],
}

/// A report that cannot be made or read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// The signed text is above the limit of a report.
    #[error("report is larger than {} bytes", Limits::REPORT.total)]
    TooLarge,
    /// The payload cannot be written as JSON.
    #[error("report cannot be written as JSON")]
    Unwritable,
    /// It is no token that verifies with its own key.
    #[error(transparent)]
    Form(#[from] JoseError),
    /// Its payload is not that of a report.
    #[error("payload is no ProductTelemetry 1.0")]
    Payload,
}

impl ReportError {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "report_too_large",
            Self::Unwritable => "report_unwritable",
            Self::Form(form) => form.code(),
            Self::Payload => "report_payload",
        }
    }
}

impl ProductTelemetry {
    /// Signs the report. Signing the same payload again gives the same text.
    ///
    /// # Errors
    ///
    /// [`ReportError::TooLarge`] or [`ReportError::Unwritable`].
    pub fn sign(&self, key: &Ed25519Key) -> Result<SignedReport, ReportError> {
        let payload = serde_json::to_vec(self).map_err(|_| ReportError::Unwritable)?;
        let text = key.sign_embedded(&payload);
        if text.len() > Limits::REPORT.total {
            return Err(ReportError::TooLarge);
        }
        let sha256 = sha256(&text);
        Ok(SignedReport { text, sha256 })
    }
}

/// Reads a report and verifies it with the key in its header.
///
/// # Errors
///
/// [`ReportError::Form`] or [`ReportError::Payload`].
pub fn read(text: &str) -> Result<ReadReport, ReportError> {
    let token = verify_embedded(text, &Limits::REPORT)?;
    let telemetry: ProductTelemetry =
        serde_json::from_value(Value::Object(token.payload)).map_err(|_| ReportError::Payload)?;
    if telemetry.document_type != DOCUMENT_TYPE || telemetry.document_version != DOCUMENT_VERSION {
        return Err(ReportError::Payload);
    }
    let sha256 = sha256(text.trim_ascii());
    Ok(ReadReport { telemetry, sha256, kid: token.kid, key: token.key })
}

/// `documentType` of every report.
pub const DOCUMENT_TYPE: &str = "ProductTelemetry";
/// `documentVersion` of this release's reports.
pub const DOCUMENT_VERSION: &str = "1.0";
/// How many replaced reports are listed; the newest ones stay.
pub const SUPERSEDES_LIMIT: usize = 512;

#[cfg(test)]
pub(crate) mod tests;
