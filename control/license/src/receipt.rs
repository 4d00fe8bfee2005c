//! The receipt: the authority's signed acknowledgement of a report.
//!
//! Owns rules A1 to A9 in their order, and which refusals lead to state 13. Remembers nothing: what
//! was accepted, superseded and is outstanding is passed in. Reads no clock.
//!
//! Invariant: no member of a receipt is read before its signature verified with a key of ConfigMap
//! `cpcl-key-cm`. Local acknowledgements (`ack: local`) are never accepted in this release.
//! Source: licensing.md §2.4, §7.5.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spk_jose::name::token_name;
use spk_jose::{JoseError, Limits, RsaKeySet, verify_rs512};
use uuid::Uuid;

use crate::calendar::instant;
use crate::codes::Code;
use crate::token::{OrderType, strict_uuid};

/// The payload of a receipt, as the authority writes it. Times are seconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptClaims {
    /// Who issued it.
    pub iss: String,
    /// Names this receipt.
    pub jti: Uuid,
    /// When it was signed.
    pub iat: u64,
    /// The digital asset that reported.
    #[serde(rename = "digitalAssetID")]
    pub digital_asset_id: Uuid,
    /// The report that is acknowledged.
    #[serde(rename = "reportID")]
    pub report_id: Uuid,
    /// Base64url of the SHA-256 of that report's compact text.
    pub report_sha256: String,
    /// The `jti` of the licence the report was made under.
    pub license_jti: Uuid,
    /// What the customer is entitled to.
    pub entitlement: Entitlement,
    /// [`Ack::Final`].
    pub ack: Ack,
    /// Whether the high-water mark is lowered to `iat` (K9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_clock: Option<bool>,
}

/// What a receipt entitles to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entitlement {
    /// The order type of the licence.
    pub order_type: OrderType,
    /// When the licence ends; none: as the JWT says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<u64>,
}

/// Who acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The authority.
    Final,
    /// A licence manager in between. Written by nobody in this release, and refused.
    Local,
}

/// A report that may be acknowledged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outstanding {
    /// Its `reportID`.
    pub report_id: Uuid,
    /// Base64url of the SHA-256 of its compact text.
    pub sha256: String,
    /// Its `generatedAt`, seconds since 1970.
    pub generated_at: u64,
    /// Whether it was downloaded or sent: its slot is in 10, 11 or 13.
    pub handed_out: bool,
    /// `jti` of its slot's JWT.
    pub license_jti: Uuid,
    /// Order type of its slot's JWT.
    pub order_type: OrderType,
}

/// A report that a later one replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Superseded {
    /// Its `reportID`.
    #[serde(rename = "reportID")]
    pub report_id: Uuid,
    /// The report to send instead.
    pub by: Uuid,
}

/// Against what a receipt is checked.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `cpclConfig.trustedIssuers`.
    pub issuers: &'a [String],
    /// Our digital asset id.
    pub digital_asset_id: Uuid,
    /// `jti` of the receipts accepted before, at most 512.
    pub accepted: &'a [Uuid],
    /// Reports that a roll-up replaced.
    pub superseded: &'a [Superseded],
    /// Reports without a receipt, over all slots.
    pub outstanding: &'a [Outstanding],
    /// Trusted time, seconds since 1970.
    pub trusted: u64,
    /// The wall clock, seconds since 1970.
    pub wall: u64,
    /// `iat` of the last accepted receipt.
    pub last_iat: Option<u64>,
    /// After a restore from an old copy: the peers' `iat` of that time (§7.5). A receipt without
    /// `resetClock` must be younger.
    pub restored_iat: Option<u64>,
}

/// A receipt that may be accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acceptance {
    /// Its `jti`, to be remembered.
    pub jti: Uuid,
    /// When it was signed, seconds since 1970.
    pub iat: u64,
    /// Which of [`Expected::outstanding`] it acknowledges.
    pub index: usize,
    /// When the licence ends, if it says so.
    pub expiry: Option<u64>,
    /// Whether it lowers the high-water mark to `iat` (K9).
    pub reset_clock: bool,
}

/// A receipt with a good signature (A1). Nothing else of it is checked.
#[derive(Clone, Eq, PartialEq)]
pub struct SignedReceipt {
    text: String,
    kid: String,
    payload: Map<String, Value>,
}

impl fmt::Debug for SignedReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedReceipt")
            .field("name", &token_name(&self.text))
            .finish_non_exhaustive()
    }
}

/// The first rule of §2.4 that a receipt breaks. Carries no part of the receipt but identifiers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReceiptError {
    /// A1.
    #[error(transparent)]
    Form(#[from] JoseError),
    /// A2.
    #[error("iss is not a trusted issuer")]
    Issuer,
    /// A3.
    #[error("digitalAssetID is not that of this cluster")]
    Asset,
    /// A4.
    #[error("receipt was accepted before")]
    Replayed,
    /// A5.
    #[error("its report was replaced by report {by}; download and submit that one")]
    Superseded {
        /// The report to send.
        by: Uuid,
    },
    /// A6.
    #[error("it answers no report that was downloaded or sent and waits for a receipt")]
    Report,
    /// A7.
    #[error("licenseJti or entitlement.orderType is not that of the report's licence")]
    License,
    /// A8.
    #[error("iat is missing or does not lie between {} and {}", instant(*.from), instant(*.to))]
    Stale {
        /// Earliest `iat` that would do.
        from: u64,
        /// Latest `iat` that would do.
        to: u64,
    },
    /// A9, and members that no other rule reads.
    #[error("member {member} is missing or wrong")]
    Claim {
        /// Its name.
        member: &'static str,
    },
}

impl ReceiptError {
    /// The code of licensing.md §3.7.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Form(form) => match form {
                JoseError::TooLarge => Code::ReceiptTooLarge,
                JoseError::Form
                | JoseError::Header
                | JoseError::Extension
                | JoseError::Type
                | JoseError::Payload => Code::ReceiptMalformed,
                JoseError::Algorithm => Code::ReceiptAlgorithm,
                JoseError::UnknownKey | JoseError::EmbeddedKey => Code::ReceiptUnknownKey,
                JoseError::Signature => Code::ReceiptSignature,
            },
            Self::Issuer => Code::ReceiptIssuer,
            Self::Asset => Code::ReceiptWrongAsset,
            Self::Replayed => Code::ReceiptReplayed,
            Self::Superseded { .. } => Code::ReceiptSuperseded,
            Self::Report => Code::ReceiptWrongReport,
            Self::License => Code::ReceiptWrongLicense,
            Self::Stale { .. } => Code::ReceiptStale,
            Self::Claim { .. } => Code::ReceiptClaims,
        }
    }

    /// Whether it leads to state 13 (`rcpt.bad`).
    ///
    /// Else nothing changes: after A1 because nobody known signed it, after A4 and A5 because the
    /// receipt was right once (`rcpt.same`).
    #[must_use]
    pub const fn fails_verification(self) -> bool {
        match self {
            Self::Form(_) | Self::Replayed | Self::Superseded { .. } => false,
            Self::Issuer
            | Self::Asset
            | Self::Report
            | Self::License
            | Self::Stale { .. }
            | Self::Claim { .. } => true,
        }
    }
}

impl SignedReceipt {
    /// Checks A1: form, RS512, known key, good signature.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::Form`].
    pub fn read(text: &str, keys: &RsaKeySet) -> Result<Self, ReceiptError> {
        let verified = verify_rs512(text, &Limits::RECEIPT, keys)?;
        let text = text.trim_ascii().to_owned();
        Ok(Self { text, kid: verified.kid, payload: verified.payload })
    }

    /// The compact text, without white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key that signed it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Which of `outstanding` it names, whatever else is wrong with it: the slot whose state says
    /// whether a receipt may come at all (§3.6).
    #[must_use]
    pub fn addressee(&self, outstanding: &[Outstanding]) -> Option<usize> {
        let id = self.uuid("reportID")?;
        outstanding.iter().position(|report| report.report_id == id)
    }

    /// Checks A2 to A9.
    ///
    /// # Errors
    ///
    /// The first rule that fails.
    pub fn check(&self, expected: &Expected<'_>) -> Result<Acceptance, ReceiptError> {
        let issuer = self.text_of("iss").ok_or(ReceiptError::Issuer)?;
        if !expected.issuers.iter().any(|trusted| trusted == issuer) {
            return Err(ReceiptError::Issuer);
        }
        if self.uuid("digitalAssetID") != Some(expected.digital_asset_id) {
            return Err(ReceiptError::Asset);
        }
        let jti = self.uuid("jti").ok_or(ReceiptError::Claim { member: "jti" })?;
        if expected.accepted.contains(&jti) {
            return Err(ReceiptError::Replayed);
        }
        let report_id = self.uuid("reportID").ok_or(ReceiptError::Report)?;
        if let Some(old) = expected.superseded.iter().find(|old| old.report_id == report_id) {
            return Err(ReceiptError::Superseded { by: old.by });
        }
        let (index, report) = self.report(report_id, expected).ok_or(ReceiptError::Report)?;
        let entitlement = self.payload.get("entitlement").and_then(Value::as_object);
        let order = entitlement.and_then(|members| members.get("orderType"));
        if self.uuid("licenseJti") != Some(report.license_jti)
            || order.and_then(Value::as_str) != Some(report.order_type.as_str())
        {
            return Err(ReceiptError::License);
        }
        // Whether the clock is reset decides how old a receipt may be, so A9's member is read here.
        let reset_clock = match self.payload.get("resetClock") {
            None => Some(false),
            Some(value) => value.as_bool(),
        };
        let iat = self.check_date(expected, report, reset_clock == Some(true))?;
        let claim = |member| ReceiptError::Claim { member };
        let reset_clock = reset_clock.ok_or(claim("resetClock"))?;
        let expiry = match entitlement.and_then(|members| members.get("expiry")) {
            None => None,
            Some(value) => Some(
                value.as_u64().filter(|expiry| *expiry > iat).ok_or(claim("entitlement.expiry"))?,
            ),
        };
        if self.text_of("ack") != Some("final") {
            return Err(claim("ack"));
        }
        Ok(Acceptance { jti, iat, index, expiry, reset_clock })
    }

    /// A6.
    fn report<'a>(&self, id: Uuid, expected: &Expected<'a>) -> Option<(usize, &'a Outstanding)> {
        let sha256 = self.text_of("reportSha256")?;
        let mut reports = expected.outstanding.iter().enumerate();
        reports.find(|(_, report)| {
            report.report_id == id && report.sha256 == sha256 && report.handed_out
        })
    }

    /// A8, and the peers' `iat` of §7.5.
    fn check_date(
        &self,
        expected: &Expected<'_>,
        report: &Outstanding,
        reset_clock: bool,
    ) -> Result<u64, ReceiptError> {
        let to = expected.trusted.max(expected.wall).saturating_add(DATE_TOLERANCE);
        let mut from = expected.last_iat.unwrap_or(0);
        if !reset_clock {
            from = from.max(report.generated_at.saturating_sub(DATE_TOLERANCE));
            from = from.max(expected.restored_iat.map_or(0, |iat| iat.saturating_add(1)));
        }
        let iat = self.payload.get("iat").and_then(Value::as_u64);
        iat.filter(|iat| (from..=to).contains(iat)).ok_or(ReceiptError::Stale { from, to })
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str)
    }

    fn uuid(&self, name: &str) -> Option<Uuid> {
        self.text_of(name).and_then(strict_uuid)
    }
}

/// Receipts whose `jti` is remembered (A4).
pub const REMEMBERED: usize = 512;
/// Seconds that dates of two clocks may lie apart (A8).
const DATE_TOLERANCE: u64 = 86_400;

#[cfg(test)]
mod tests;
