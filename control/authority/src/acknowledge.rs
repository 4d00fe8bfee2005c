//! Which reports are acknowledged, and what a receipt says.
//!
//! Owns the rules of licensing.md §5.4 in their order. Verifies no signature: a report comes from
//! `spk_license::report::read` and a licence from `LicenseToken`, which did. Signs and stores
//! nothing: the caller stores the changed ledger first and signs then.
//!
//! Invariant: the ledger changes only if the report is acknowledged.

use jiff::Timestamp;
use spk_entitlement::Class;
use spk_license::calendar::seconds;
use spk_license::receipt::{Ack, Entitlement, ReceiptClaims};
use spk_license::report::ReadReport;
use spk_license::token::{LicenseClaims, OrderType};
use uuid::Uuid;

use crate::ledger::{Asset, Ledger};

/// One report comes in.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The licence that came with it, verified; without one the ledger must know it.
    pub license: Option<&'a LicenseClaims>,
    /// The asset that the request names (`F5-DigitalAssetId`), if there is one.
    pub asset: Option<Uuid>,
    /// The wall clock.
    pub now: Timestamp,
    /// Name of the receipt to be; never used before.
    pub jti: Uuid,
    /// Whether the receipt lowers the cluster's high-water mark to its own date (K9).
    pub reset_clock: bool,
}

/// The first rule that a report breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The request names another asset than the report.
    #[error("the report is of asset {report}, not of {request} as the request says")]
    Asset {
        /// In the report.
        report: Uuid,
        /// In the request.
        request: Uuid,
    },
    /// The licence that came with the report is another one.
    #[error("the report names licence {report}, the request carries licence {request}")]
    OtherLicense {
        /// In the report.
        report: Uuid,
        /// In the request.
        request: Uuid,
    },
    /// No licence came with the report, and none of this name was issued here.
    #[error("licence {jti} was not issued here")]
    UnknownLicense {
        /// In the report.
        jti: Uuid,
    },
    /// The report says another order type than the licence.
    #[error("the report says order type {report}, the licence says {license}")]
    OrderType {
        /// In the report.
        report: OrderType,
        /// In the licence.
        license: OrderType,
    },
    /// Signed by another key than the asset's first report.
    #[error("asset {asset} reported with another key before; only a new asset may have a new key")]
    ReportKey {
        /// The asset.
        asset: Uuid,
    },
    /// Seen before with other bytes.
    #[error("report {report} was acknowledged before with other content")]
    Altered {
        /// The report.
        report: Uuid,
    },
    /// The trial is another asset's.
    #[error("trial licence {jti} is in use by another asset")]
    TrialTaken {
        /// The licence.
        jti: Uuid,
    },
    /// Not newer than the last acknowledged report.
    #[error("sequence {found} does not rise above {last}")]
    Sequence {
        /// In the report.
        found: u64,
        /// Of the last acknowledged report.
        last: u64,
    },
    /// The chain is broken.
    #[error("previousReportSha256 does not name the last acknowledged report ({})",
        .last.as_deref().unwrap_or("there is none: it must be null"))]
    Chain {
        /// What it should be.
        last: Option<String>,
    },
    /// The cluster's clock is more than a day ahead, so it would refuse the receipt as stale.
    #[error(
        "the report is dated {generated_at}, more than 24 h ahead of {now}; set the cluster's \
             clock right and acknowledge with --reset-clock"
    )]
    ClockAhead {
        /// In the report.
        generated_at: Timestamp,
        /// The authority's clock.
        now: Timestamp,
    },
}

impl Rejection {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Asset { .. } => "report_wrong_asset",
            Self::OtherLicense { .. } => "report_wrong_license",
            Self::UnknownLicense { .. } => "report_unknown_license",
            Self::OrderType { .. } => "report_wrong_order_type",
            Self::ReportKey { .. } => "report_key_changed",
            Self::Altered { .. } => "report_altered",
            Self::TrialTaken { .. } => "trial_taken",
            Self::Sequence { .. } => "report_sequence",
            Self::Chain { .. } => "report_chain",
            Self::ClockAhead { .. } => "report_clock_ahead",
        }
    }

    /// Whether the report contradicts what was acknowledged before, rather than itself.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        match self {
            Self::ReportKey { .. }
            | Self::Altered { .. }
            | Self::TrialTaken { .. }
            | Self::Sequence { .. }
            | Self::Chain { .. } => true,
            Self::Asset { .. }
            | Self::OtherLicense { .. }
            | Self::UnknownLicense { .. }
            | Self::OrderType { .. }
            | Self::ClockAhead { .. } => false,
        }
    }
}

impl Ledger {
    /// Acknowledges `report`: enters it and gives the payload of its receipt.
    ///
    /// The same report in the same bytes is acknowledged again at any time, with a new receipt, so
    /// that an answer that was lost on the way can be had again.
    ///
    /// # Errors
    ///
    /// The first rule that fails; the ledger stays as it was.
    pub fn acknowledge(
        &mut self,
        report: &ReadReport,
        occasion: &Occasion<'_>,
    ) -> Result<ReceiptClaims, Rejection> {
        let told = &report.telemetry;
        let asset = told.digital_asset_id;
        if let Some(request) = occasion.asset
            && request != asset
        {
            return Err(Rejection::Asset { report: asset, request });
        }
        let (order_type, ends) = self.license_of(report, occasion)?;
        if told.license.order_type != order_type {
            return Err(Rejection::OrderType {
                report: told.license.order_type,
                license: order_type,
            });
        }
        let trial = matches!(order_type.class(), Class::Trial);
        let taken = self.trials.get(&told.license.jti).is_some_and(|owner| *owner != asset);
        let seen_before = self.check_history(report)?;
        if trial && taken {
            return Err(Rejection::TrialTaken { jti: told.license.jti });
        }
        let iat = seconds(occasion.now);
        if !occasion.reset_clock && seconds(told.generated_at) > iat.saturating_add(DAY) {
            let (generated_at, now) = (told.generated_at, occasion.now);
            return Err(Rejection::ClockAhead { generated_at, now });
        }
        if trial {
            self.trials.insert(told.license.jti, asset);
        }
        if !seen_before {
            self.enter(report);
        }
        Ok(ReceiptClaims {
            iss: self.issuer.clone(),
            jti: occasion.jti,
            iat,
            digital_asset_id: asset,
            report_id: told.report_id,
            report_sha256: report.sha256.clone(),
            license_jti: told.license.jti,
            // An end that has passed already would make the receipt invalid (A9); the licence itself
            // says it.
            entitlement: Entitlement { order_type, expiry: ends.filter(|end| *end > iat) },
            ack: Ack::Final,
            reset_clock: occasion.reset_clock.then_some(true),
        })
    }

    /// Order type and end of the licence that `report` was made under.
    fn license_of(
        &self,
        report: &ReadReport,
        occasion: &Occasion<'_>,
    ) -> Result<(OrderType, Option<u64>), Rejection> {
        let jti = report.telemetry.license.jti;
        match occasion.license {
            Some(license) if license.jti != jti => {
                Err(Rejection::OtherLicense { report: jti, request: license.jti })
            }
            Some(license) => Ok((license.order_type, license.end())),
            None => match self.issued.get(&jti) {
                Some(issued) => Ok((issued.order_type, issued.ends)),
                None => Err(Rejection::UnknownLicense { jti }),
            },
        }
    }

    /// Checks key, content and place in the chain; says whether this very report was acknowledged.
    fn check_history(&self, report: &ReadReport) -> Result<bool, Rejection> {
        let told = &report.telemetry;
        let known = self.assets.get(&told.digital_asset_id);
        if known.is_some_and(|asset| asset.report_key != report.kid) {
            return Err(Rejection::ReportKey { asset: told.digital_asset_id });
        }
        match known.and_then(|asset| asset.reports.get(&told.report_id)) {
            Some(sha256) if *sha256 == report.sha256 => return Ok(true),
            Some(_) => return Err(Rejection::Altered { report: told.report_id }),
            None => {}
        }
        let last = known.map_or(0, |asset| asset.sequence);
        if told.sequence <= last {
            return Err(Rejection::Sequence { found: told.sequence, last });
        }
        let last = known.and_then(|asset| asset.last_report_sha256.as_ref());
        if told.previous_report_sha256.as_ref() != last {
            return Err(Rejection::Chain { last: last.cloned() });
        }
        Ok(false)
    }

    fn enter(&mut self, report: &ReadReport) {
        let told = &report.telemetry;
        let asset = self.assets.entry(told.digital_asset_id).or_insert_with(|| Asset {
            report_key: report.kid.clone(),
            sequence: 0,
            last_report_sha256: None,
            reports: std::collections::BTreeMap::new(),
        });
        asset.sequence = told.sequence;
        asset.last_report_sha256 = Some(report.sha256.clone());
        asset.reports.insert(told.report_id, report.sha256.clone());
    }
}

/// What A8 of licensing.md §2.4 bears between two clocks, in seconds.
const DAY: u64 = 86_400;

#[cfg(test)]
mod tests;
