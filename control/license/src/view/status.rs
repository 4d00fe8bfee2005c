//! `GET /status`, and the text of Secret `licensestatus`.
//!
//! Owns members and their order, byte for byte: scripts of the original product read both.
//! Source: licensing.md §4.3 (LIC-330 to LIC-335), §7.1, §13 (LIC-501).

use serde::{Deserialize, Serialize};

use super::{Facts, Fault, SlotFacts, WindowFacts};
use crate::calendar::{days_left, instant, status_date};
use crate::codes::Site;
use crate::state::State;
use crate::token::OrderType;

/// The answer of `GET /status`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    /// Before the first accepted receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_registration_status: Option<Registration>,
    /// From the first accepted receipt on: the licence in force.
    #[serde(rename = "Status", default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Registration>,
    /// While a switch is under way or failed: the licence to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switching_status: Option<Registration>,
    /// The windows; empty before activation.
    pub telemetry_status: Telemetry,
}

/// A licence and how far it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    /// The cluster.
    pub cluster_details: ClusterDetails,
    /// The licence.
    pub license_details: LicenseDetails,
    /// Its state.
    pub license_status: LicenseStatus,
}

/// The cluster.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClusterDetails {
    /// `cpclConfig.friendlyName`.
    pub name: String,
}

/// The licence.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LicenseDetails {
    /// The digital asset id; empty before there is one.
    #[serde(rename = "DigitalAssetID")]
    pub digital_asset_id: String,
    /// Order type; empty without a JWT.
    pub entitlement_type: String,
    /// End in RFC 3339; from the first receipt on, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_expiry_date: Option<String>,
    /// Whole days left as text, rounded down; from the first receipt on, if an end is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_expiry_in_days: Option<String>,
}

/// State of a licence.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LicenseStatus {
    /// Its text.
    pub state: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested_action: Option<String>,
}

/// The windows.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Telemetry {
    /// Slot R.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_report: Option<ReportWindow>,
    /// Slot N.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_report: Option<ReportWindow>,
}

/// A window and its state.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReportWindow {
    /// In the form of [`status_date`].
    pub start_date: String,
    /// In the form of [`status_date`].
    pub end_date: String,
    /// Text of the state.
    pub state: String,
}

impl Status {
    /// The answer that shows `facts`.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let site = facts.site();
        let expiry = facts.expiry.filter(|_| facts.active);
        let license = registration(
            facts,
            facts.order_type,
            expiry,
            license_status(facts.license, facts.error.as_ref(), &site),
        );
        let switching = facts.switch.as_ref().map(|switch| {
            let status = license_status(switch.slot, switch.error.as_ref(), &site);
            registration(facts, Some(switch.order_type), None, status)
        });
        let (initial, running) =
            if facts.active { (None, Some(license)) } else { (Some(license), None) };
        let windows = if facts.active { (facts.current, facts.next) } else { (None, None) };
        Self {
            initial_registration_status: initial,
            running,
            switching_status: switching,
            telemetry_status: Telemetry {
                current_report: windows.0.map(report_window),
                next_report: windows.1.map(report_window),
            },
        }
    }
}

fn registration(
    facts: &Facts,
    order: Option<OrderType>,
    expiry: Option<u64>,
    license_status: LicenseStatus,
) -> Registration {
    Registration {
        cluster_details: ClusterDetails { name: facts.cluster.clone() },
        license_details: LicenseDetails {
            digital_asset_id: asset_text(facts),
            entitlement_type: order_text(order),
            license_expiry_date: expiry.map(|end| instant(end).to_string()),
            license_expiry_in_days: expiry.map(|end| days_left(end, facts.now).to_string()),
        },
        license_status,
    }
}

fn license_status(slot: SlotFacts, fault: Option<&Fault>, site: &Site<'_>) -> LicenseStatus {
    LicenseStatus {
        state: slot.state.text().to_owned(),
        error: fault.map(|fault| fault.text.clone()),
        suggested_action: fault.map(|fault| fault.code.action(site)),
    }
}

fn report_window(facts: WindowFacts) -> ReportWindow {
    ReportWindow {
        start_date: status_date(facts.window.start),
        end_date: status_date(facts.window.end),
        state: facts.slot.state.text().to_owned(),
    }
}

fn asset_text(facts: &Facts) -> String {
    facts.digital_asset_id.map_or_else(String::new, |id| id.to_string())
}

fn order_text(order: Option<OrderType>) -> String {
    order.map_or_else(String::new, |order| order.as_str().to_owned())
}

/// The JSON of Secret `licensestatus`: exactly these nine members in this order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct LicenseStatusSecret {
    /// Always empty, as in the original.
    pub name: String,
    /// Number of the state of slot L.
    pub state: State,
    /// Number of the code; 0 while nothing is wrong.
    pub err_code: u16,
    /// What is wrong; empty while nothing is.
    pub err_string: String,
    /// What to do about it; empty while nothing is wrong.
    pub operator_action: String,
    /// The digital asset id; empty before there is one.
    pub digital_asset_id: String,
    /// End in RFC 3339; empty before the first receipt and while none is known.
    pub license_expiry_date: String,
    /// Order type; empty without a JWT.
    pub entitlement_type: String,
    /// Whether the first receipt was accepted.
    pub is_active: bool,
}

impl LicenseStatusSecret {
    /// The text that shows `facts`.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let fault = facts.error.as_ref();
        let expiry = facts.expiry.filter(|_| facts.active);
        Self {
            name: String::new(),
            state: facts.license.state,
            err_code: fault.and_then(|fault| fault.code.number()).unwrap_or(0),
            err_string: fault.map_or_else(String::new, |fault| fault.text.clone()),
            operator_action: fault
                .map_or_else(String::new, |fault| fault.code.action(&facts.site())),
            digital_asset_id: asset_text(facts),
            license_expiry_date: expiry.map_or_else(String::new, |end| instant(end).to_string()),
            entitlement_type: order_text(facts.order_type),
            is_active: facts.active,
        }
    }
}

#[cfg(test)]
mod tests;
