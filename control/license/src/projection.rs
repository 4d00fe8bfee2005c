//! The records beside `context`: projections for people and scripts.
//!
//! Owns their names and what each shows. All are derived from the machine, so a crash between
//! `context` and them leaves nothing behind that the next start does not mend (P2). Some hold
//! tokens: never print them.
//!
//! Source: licensing.md §7.1, LIC-500, LIC-511.

use serde_json::{Value, json};
use spk_jose::Ed25519Key;

use crate::calendar::{Window, instant};
use crate::context::Place;
use crate::machine::{Machine, Surroundings};
use crate::now::Now;
use crate::state::{Slot, State};
use crate::view::status::LicenseStatusSecret;

/// One record.
#[derive(Clone, Eq, PartialEq)]
pub struct Projection {
    /// Name of the record, and of its one key.
    pub name: &'static str,
    /// Its text; empty where there is nothing to show.
    pub text: String,
    /// Whether it is created once and never changed.
    pub immutable: bool,
}

impl std::fmt::Debug for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Name of the record that is the truth.
pub const CONTEXT: &str = "context";
/// Name of the record of the digital asset id.
pub const DIGITAL_ASSET_ID: &str = "digitalassetid";

impl Machine {
    /// All records but `context`, as of `now`; none while the stored state cannot be used (P6,
    /// P11). `digitalassetid` is among them once it exists.
    #[must_use]
    pub fn projections(&self, now: Now, around: Surroundings) -> Vec<Projection> {
        if self.stopped().is_some() {
            return Vec::new();
        }
        let context = self.context();
        let settings = self.settings();
        let grant = context.grant.as_ref();
        let date = |at: Option<u64>| at.map_or_else(String::new, |at| instant(at).to_string());
        let status = LicenseStatusSecret::new(&self.facts(now, around));
        let reports = [Slot::License, Slot::Switch, Slot::Current]
            .into_iter()
            .filter_map(|slot| context.reports.get(slot).map(|report| &*report.text));
        let switch = match &context.switch {
            None => String::new(),
            Some(place) => json!({
                "Name": place.state.name(),
                "State": place.state,
                "Jwt": context.pending.as_ref().map(|pending| &pending.text),
            })
            .to_string(),
        };
        let entitlements = grant.map_or_else(String::new, |grant| {
            json!({
                "Class": self.class(),
                "OrderType": grant.claims.order_type,
                "OrderSubtype": grant.claims.order_subtype,
                "Expiry": context.end().map(instant),
            })
            .to_string()
        });
        let decay = &context.decay;
        let rows = [
            ("licensestatus", json_text(&status)),
            ("licensekey", grant.map_or_else(String::new, |grant| grant.text.to_string())),
            ("switchlicensestatus", switch),
            ("telemetrystatus", telemetry(self)),
            ("configreport", reports.collect::<Vec<_>>().join("\n")),
            (
                "configreportsignedackresponse",
                context.receipt.as_ref().map_or_else(String::new, |last| last.text.to_string()),
            ),
            ("activationstatus", self.is_active().to_string()),
            ("activationtimestamp", date(context.activated)),
            ("activationmessage", self.license_state(now).text().to_owned()),
            ("initialregistrationstatus", registration(&context.license)),
            (
                "previousreportname",
                context.acknowledged.as_ref().map_or_else(String::new, |a| a.report.to_string()),
            ),
            ("previousreportverifieddate", date(context.acknowledged.as_ref().map(|a| a.at))),
            ("entitlements", entitlements),
            ("statehistory", json_text(&context.history.view())),
            (
                "statesofdecay",
                json!({
                    "ExpiringSoon": decay.soon.map(instant),
                    "ExpiringToday": decay.today.map(instant),
                    "Expired": decay.expired.map(instant),
                })
                .to_string(),
            ),
            ("modeofoperation", settings.mode.as_str().to_owned()),
            ("productname", settings.product_name.clone()),
            ("digitalassetname", settings.digital_asset_name.clone()),
            ("digitalassetversion", settings.digital_asset_version.clone()),
            ("customerprovidedid", settings.friendly_name.clone()),
            ("csr", self.report_key().map_or_else(String::new, public_key)),
        ];
        let asset = context.digital_asset_id.map(|id| Projection {
            name: DIGITAL_ASSET_ID,
            text: id.to_string(),
            immutable: true,
        });
        let rows = rows.into_iter().map(|(name, text)| Projection { name, text, immutable: false });
        asset.into_iter().chain(rows).collect()
    }
}

/// Slots R and N.
fn telemetry(machine: &Machine) -> String {
    let context = machine.context();
    let slot = |place: &Option<Place>, window: Option<Window>| {
        let Some(place) = place else { return Value::Null };
        json!({
            "Name": place.state.name(),
            "State": place.state,
            "StartDate": window.map(|window| instant(window.start)),
            "EndDate": window.map(|window| instant(window.end)),
        })
    };
    let next = match context.state(Slot::Next) {
        Some(State::ReadyToGenerate) => context.closed,
        Some(_) | None => context.window,
    };
    json!({
        "CurrentReport": slot(&context.current, context.closed),
        "NextReport": slot(&context.next, next),
    })
    .to_string()
}

/// Slot L until its first 12, which is the last it shows.
fn registration(license: &Place) -> String {
    let state = if license.state.is_active() { State::VerificationComplete } else { license.state };
    json!({ "Name": state.name(), "State": state }).to_string()
}

/// The JWK of a report key, without its private part.
fn public_key(key: &Ed25519Key) -> String {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": spk_jose::base64url::encode(key.public()),
        "kid": key.kid(),
    })
    .to_string()
}

fn json_text(value: &impl serde::Serialize) -> String {
    // Strings, numbers and dates only: none of them fails to be written.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
