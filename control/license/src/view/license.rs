//! `GET /v1/license`: everything, for programs.
//!
//! Owns the members and their order. Read by `spkctl` and the page as well, so it also parses.
//! Source: licensing.md §4.4 (LIC-340, LIC-342).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use spk_entitlement::{Class, Reason, Verdict};
use uuid::Uuid;

use super::steps::{NextStep, next_steps};
use super::{ControllerFacts, Facts, SlotFacts, TmmFacts};
use crate::calendar::{days_left, instant};
use crate::report::{Period, ReportType};
use crate::settings::Mode;
use crate::state::State;
use crate::token::OrderType;

/// The answer of `GET /v1/license`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct License {
    /// The digital asset id; null before there is one.
    #[serde(rename = "digitalAssetID")]
    pub digital_asset_id: Option<Uuid>,
    /// Mode of operation.
    pub mode: Mode,
    /// Class of the licence: unactivated, trial or production.
    pub class: Class,
    /// What was ordered; null without a JWT.
    pub order_type: Option<OrderType>,
    /// Whether the first receipt was accepted.
    pub active: bool,
    /// The four slots.
    pub slots: Slots,
    /// Whether traffic may pass.
    pub verdict: LicenseVerdict,
    /// When traffic stops if nothing is done; null where it never does.
    pub stops_at: Option<Timestamp>,
    /// Why it stops then, a reason code; null where it never does.
    pub stops_because: Option<Reason>,
    /// End of the licence; null while none is known.
    pub expiry: Option<Expiry>,
    /// The error that stands; null while nothing is wrong.
    pub error: Option<LicenseError>,
    /// What people are warned of.
    pub warnings: Vec<LicenseWarning>,
    /// What to do next, in this order.
    pub next_steps: Vec<NextStep>,
    /// The registered Controllers.
    pub controllers: Vec<Controller>,
    /// The clocks.
    pub clock: Clock,
    /// The report that waits for its receipt; null without one.
    pub report: Option<WaitingReport>,
}

/// The four slots; null where one is empty.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Slots {
    /// L.
    pub license: SlotState,
    /// R.
    pub current: Option<SlotState>,
    /// N.
    pub next: Option<SlotState>,
    /// S.
    pub switch: Option<SlotState>,
}

/// State of a slot.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SlotState {
    /// Number of the state.
    pub state: State,
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

impl From<SlotFacts> for SlotState {
    fn from(facts: SlotFacts) -> Self {
        Self {
            state: facts.state,
            name: facts.state.name().to_owned(),
            text: facts.state.text().to_owned(),
            since: instant(facts.since),
        }
    }
}

/// The verdict.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LicenseVerdict {
    /// allow, warn or block.
    pub value: Verdict,
    /// Why, a code of licensing.md §9.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
}

/// End of the licence.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Expiry {
    /// When.
    pub date: Timestamp,
    /// Whole days left, rounded down; negative after the end.
    pub days: i64,
}

/// The error that stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenseError {
    /// The code word.
    pub code: String,
    /// Its number.
    pub err_code: u16,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub action: String,
}

/// Something to be warned of.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LicenseWarning {
    /// The code word.
    pub code: String,
    /// What it is.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// A registered Controller.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    /// Its namespace.
    pub namespace: String,
    /// UID of its pod; null until it was heard of.
    pub instance: Option<String>,
    /// When it was last heard of; null until it was.
    pub last_seen: Option<Timestamp>,
    /// Its TMMs.
    pub tmms: Vec<Tmm>,
}

impl From<&ControllerFacts> for Controller {
    fn from(facts: &ControllerFacts) -> Self {
        Self {
            namespace: facts.namespace.clone(),
            instance: facts.instance.clone(),
            last_seen: facts.last_seen.map(instant),
            tmms: facts.tmms.iter().map(Tmm::from).collect(),
        }
    }
}

/// A TMM.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tmm {
    /// Its pod's name.
    pub name: String,
    /// closed, open or latched.
    pub gate: String,
    /// Why; null if it was not reported.
    pub reason: Option<Reason>,
    /// Seconds until its lease ends; null if it has none that ends.
    pub lease_remaining: Option<u64>,
}

impl From<&TmmFacts> for Tmm {
    fn from(facts: &TmmFacts) -> Self {
        Self {
            name: facts.name.clone(),
            gate: facts.gate.to_owned(),
            reason: facts.reason,
            lease_remaining: facts.lease_remaining,
        }
    }
}

/// The clocks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// State of trusted time.
    pub state: String,
    /// Trusted time.
    pub trusted: Timestamp,
    /// The wall clock.
    pub wall: Timestamp,
    /// The high-water mark.
    pub high_water: Timestamp,
}

/// The report that waits for its receipt.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct WaitingReport {
    /// Its `reportID`.
    pub id: Uuid,
    /// Why it was made.
    #[serde(rename = "type")]
    pub kind: ReportType,
    /// What it covers.
    pub period: Period,
    /// Base64url of the SHA-256 of its text.
    pub sha256: String,
    /// How often it was handed out.
    pub downloads: u64,
}

impl License {
    /// The answer that shows `facts`.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let site = facts.site();
        let class = match facts.order_type {
            Some(order) if facts.active => order.class(),
            Some(_) | None => Class::Unactivated,
        };
        Self {
            digital_asset_id: facts.digital_asset_id,
            mode: facts.mode,
            class,
            order_type: facts.order_type,
            active: facts.active,
            slots: Slots {
                license: facts.license.into(),
                current: facts.current.map(|window| window.slot.into()),
                next: facts.next.map(|window| window.slot.into()),
                switch: facts.switch.as_ref().map(|switch| switch.slot.into()),
            },
            verdict: LicenseVerdict {
                value: facts.verdict.value,
                reason: facts.verdict.reason,
                since: instant(facts.verdict.since),
            },
            stops_at: facts.stops.map(|(at, _)| instant(at)),
            stops_because: facts.stops.map(|(_, reason)| reason),
            expiry: facts
                .expiry
                .map(|end| Expiry { date: instant(end), days: days_left(end, facts.now) }),
            error: facts.error.as_ref().map(|fault| LicenseError {
                code: fault.code.code().to_owned(),
                err_code: fault.code.number().unwrap_or(0),
                text: fault.text.clone(),
                action: fault.code.action(&site),
            }),
            warnings: facts
                .warnings
                .iter()
                .map(|warning| LicenseWarning {
                    code: warning.code.to_owned(),
                    text: warning.text.clone(),
                    since: instant(warning.since),
                })
                .collect(),
            next_steps: next_steps(facts),
            controllers: facts.controllers.iter().map(Controller::from).collect(),
            clock: Clock {
                state: facts.clock.state.to_owned(),
                trusted: instant(facts.now),
                wall: instant(facts.clock.wall),
                high_water: instant(facts.clock.high_water),
            },
            report: facts.report.as_ref().map(|report| WaitingReport {
                id: report.id,
                kind: report.kind,
                period: report.period.into(),
                sha256: report.sha256.clone(),
                downloads: report.downloads,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
