//! What people and scripts read of the state: the records beside `context`.
//!
//! Owns their names and texts. All are derived from `context`, and none is ever read back by this
//! program. Source: licensing.md §7.1 (LIC-500, LIC-511).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use spk_license::calendar::{Window, instant};
use spk_license::context::{Context, Grant, Place};
use spk_license::view::Facts;
use spk_license::view::status::LicenseStatusSecret;
use spk_license::{Machine, Slot, State};

/// The record of the digital asset id: made once, and no projection.
pub const DIGITAL_ASSET_ID: &str = "digitalassetid";

/// Name and text of every projection, of what `machine` is and `facts` show of it. An empty text
/// says that there is nothing yet.
#[must_use]
pub fn projections(machine: &Machine, facts: &Facts) -> Vec<(&'static str, String)> {
    let context = machine.context();
    let settings = machine.settings();
    let date = |at: Option<u64>| at.map_or_else(String::new, |at| instant(at).to_string());
    let acknowledged = context.acknowledged.as_ref();
    vec![
        ("licensestatus", text(&LicenseStatusSecret::new(facts))),
        ("licensekey", jwt(context.grant.as_ref())),
        ("switchlicensestatus", switch(context)),
        ("telemetrystatus", telemetry(context)),
        ("configreport", reports(context)),
        (
            "configreportsignedackresponse",
            context.receipt.as_ref().map_or_else(String::new, |receipt| receipt.text.to_string()),
        ),
        ("activationstatus", machine.is_active().to_string()),
        ("activationtimestamp", date(context.activated)),
        ("activationmessage", activation(machine, facts)),
        ("initialregistrationstatus", text(&registration(context))),
        (
            "previousreportname",
            acknowledged.map_or_else(String::new, |report| report.report.to_string()),
        ),
        ("previousreportverifieddate", date(acknowledged.map(|report| report.at))),
        ("entitlements", entitlements(machine)),
        ("statehistory", text(&context.history.view())),
        ("statesofdecay", decay(context)),
        ("modeofoperation", settings.mode.as_str().to_owned()),
        ("productname", settings.product_name.clone()),
        ("digitalassetname", settings.digital_asset_name.clone()),
        ("digitalassetversion", settings.digital_asset_version.clone()),
        ("customerprovidedid", settings.friendly_name.clone()),
        ("csr", report_key(machine)),
    ]
}

// Texts, numbers and lists of them, which JSON always takes.
fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn jwt(grant: Option<&Grant>) -> String {
    grant.map_or_else(String::new, |grant| grant.text.to_string())
}

fn state(place: &Place) -> Value {
    named(place.state, instant(place.since))
}

fn named(state: State, since: Timestamp) -> Value {
    json!({ "state": state.number(), "name": state.name(), "text": state.text(), "since": since })
}

fn switch(context: &Context) -> String {
    let pending = context
        .switch
        .as_ref()
        .map(|place| json!({ "status": state(place), "jwt": jwt(context.pending.as_ref()) }));
    text(&pending)
}

fn telemetry(context: &Context) -> String {
    let slot = |place: Option<&Place>, window: Option<Window>| {
        place.map(|place| {
            let date = |at: fn(&Window) -> u64| window.as_ref().map(|window| instant(at(window)));
            json!({
                "status": state(place),
                "start": date(|window| window.start),
                "end": date(|window| window.end),
            })
        })
    };
    text(&json!({
        "current": slot(context.current.as_ref(), context.closed),
        "next": slot(context.next.as_ref(), context.window),
    }))
}

/// The outstanding reports, one a line.
fn reports(context: &Context) -> String {
    let slots = [Slot::License, Slot::Switch, Slot::Current];
    let texts: Vec<&str> = slots
        .into_iter()
        .filter_map(|slot| context.reports.get(slot))
        .map(|report| report.text.as_ref())
        .collect();
    texts.join("\n")
}

fn activation(machine: &Machine, facts: &Facts) -> String {
    match &facts.error {
        None if machine.is_active() => String::from("The license is active."),
        None => facts.license.state.text().to_owned(),
        Some(fault) => fault.text.clone(),
    }
}

/// Slot L until it was first acknowledged.
fn registration(context: &Context) -> Value {
    match context.activated {
        Some(at) => named(State::VerificationComplete, instant(at)),
        None => state(&context.license),
    }
}

fn entitlements(machine: &Machine) -> String {
    let context = machine.context();
    let entitlement = context.grant.as_ref().map(|grant| {
        json!({
            "class": machine.class(),
            "orderType": grant.claims.order_type,
            "orderSubtype": grant.claims.order_subtype,
            "expiry": context.end().map(instant),
        })
    });
    text(&entitlement)
}

fn decay(context: &Context) -> String {
    let decay = &context.decay;
    text(&json!({
        "expiringSoon": decay.soon.map(instant),
        "expiringToday": decay.today.map(instant),
        "expired": decay.expired.map(instant),
    }))
}

/// The public key that reports are signed with, as a JWK.
fn report_key(machine: &Machine) -> String {
    let set = machine.report_key().map(|key| key.jwks().to_json()).unwrap_or_default();
    let set: Value = serde_json::from_str(&set).unwrap_or_default();
    set["keys"].get(0).map(Value::to_string).unwrap_or_default()
}
