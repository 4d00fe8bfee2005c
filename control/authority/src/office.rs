//! Issuing and acknowledging on a state directory: decide, store, sign.
//!
//! Owns the order of these three. The clock is passed in; names of tokens are drawn here.

use jiff::Timestamp;
use spk_authority::acknowledge::{Occasion, Rejection};
use spk_authority::issue::{self, Order, OrderError};
use spk_authority::request::UpstreamRequest;
use spk_license::report::{self, ReportError};
use spk_license::token::{LicenseToken, TokenError};
use uuid::Uuid;

use crate::state::{StateDir, StateError};

/// A licence or receipt cannot be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfficeError {
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The order is refused.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The licence of a request is refused.
    #[error("the licence is refused: {0}")]
    License(#[from] TokenError),
    /// The report is none.
    #[error("the report is refused: {0}")]
    Report(#[from] ReportError),
    /// The report is not acknowledged.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl OfficeError {
    /// Stable label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::State(_) => "store_unavailable",
            Self::Order(error) => error.code(),
            Self::License(error) => error.code().code(),
            Self::Report(error) => match error {
                ReportError::TooLarge => "report_too_large",
                ReportError::Unwritable | ReportError::Payload => "report_malformed",
                ReportError::Form(form) => match form.code() {
                    "too_large" => "report_too_large",
                    "algorithm" => "report_algorithm",
                    "unknown_key" => "report_unknown_key",
                    "signature" => "report_signature",
                    _ => "report_malformed",
                },
            },
            Self::Rejected(error) => error.code(),
        }
    }
}

/// A receipt, and whom it is for.
#[derive(Debug)]
pub struct Receipt {
    /// Its compact text.
    pub manifest: String,
    /// The asset that reported.
    pub asset: Uuid,
    /// The report.
    pub report: Uuid,
}

/// Issues a licence and gives its compact text. Signs with key `kid`, or with the ledger's.
pub fn issue(
    state: &StateDir,
    order: &Order,
    kid: Option<&str>,
    now: Timestamp,
) -> Result<String, OfficeError> {
    let jti = Uuid::new_v4();
    let (claims, key) = state.transact(|ledger| {
        let kid = kid.unwrap_or(&ledger.signing_key).to_owned();
        // Before the licence is entered: a wrong name must leave nothing behind.
        let key = state.key(&kid)?;
        issue::license(order, jti, now, ledger)
            .map(|claims| (claims, key))
            .map_err(OfficeError::from)
    })??;
    sign(&key, claims.to_string().as_bytes())
}

/// Acknowledges a report that a person handed in.
pub fn acknowledge(
    state: &StateDir,
    report: &str,
    kid: Option<&str>,
    reset_clock: bool,
    now: Timestamp,
) -> Result<Receipt, OfficeError> {
    let occasion = Occasion { license: None, asset: None, now, jti: Uuid::new_v4(), reset_clock };
    receipt(state, report, kid, &occasion)
}

/// Acknowledges the report of an upstream request. The licence in it must be one of ours; whether it
/// has ended does not matter, for usage after the end is reported all the same.
pub fn answer(
    state: &StateDir,
    request: &UpstreamRequest,
    kid: Option<&str>,
    now: Timestamp,
) -> Result<Receipt, OfficeError> {
    let issuers = [state.read()?.issuer];
    let license = LicenseToken::read(&request.license, &state.key_set()?, &issuers)?;
    let occasion = Occasion {
        license: Some(&license.claims),
        asset: Some(request.asset),
        now,
        jti: Uuid::new_v4(),
        reset_clock: false,
    };
    receipt(state, &request.report, kid, &occasion)
}

fn receipt(
    state: &StateDir,
    report: &str,
    kid: Option<&str>,
    occasion: &Occasion<'_>,
) -> Result<Receipt, OfficeError> {
    let report = report::read(report)?;
    let (claims, key) = state.transact(|ledger| {
        let key = state.key(kid.unwrap_or(&ledger.signing_key))?;
        ledger.acknowledge(&report, occasion).map(|claims| (claims, key)).map_err(OfficeError::from)
    })??;
    let payload = serde_json::to_vec(&claims).map_err(|_| ReportError::Unwritable)?;
    Ok(Receipt {
        manifest: sign(&key, &payload)?,
        asset: report.telemetry.digital_asset_id,
        report: report.telemetry.report_id,
    })
}

fn sign(key: &spk_jose::RsaSigningKey, payload: &[u8]) -> Result<String, OfficeError> {
    let refused = |source| StateError::Key { kid: key.kid().to_owned(), source };
    Ok(key.sign(payload).map_err(refused)?)
}
