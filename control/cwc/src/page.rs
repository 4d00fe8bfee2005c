//! The web page: what the licence is, what to do next, and forms that do it.
//!
//! Owns what the page says, as texts in their order. Answers no request (`rest::page` does) and
//! decides nothing: all is taken from the views. Invariant: no JWT, receipt or key is on the page.
//! Source: licensing.md §14.2 (LIC-930 to LIC-933).

pub mod plot;
pub mod session;
mod words;

use askama::Template;
use jiff::Timestamp;
use spk_entitlement::Verdict;
use spk_license::Refusal;
use spk_license::context::Context;
use spk_license::view::license::{Expiry, License, SlotState};
use spk_license::view::steps::NextStep;
use spk_license::view::{Facts, sentence};

use crate::events::Recent;
use crate::telemetry::{Counted, Telemetry};
use plot::Plot;

/// What came of a form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// In a few words.
    title: String,
    /// Why it was refused, and what to do; none if it was taken.
    refused: Option<[String; 2]>,
}

impl Message {
    /// A form was taken.
    #[must_use]
    pub fn done(title: &str) -> Self {
        Self { title: title.to_owned(), refused: None }
    }

    /// A form was refused.
    #[must_use]
    pub fn refused(title: &str, refusal: &Refusal, facts: &Facts) -> Self {
        let reason = format!("{} ({})", sentence(&refusal.text), refusal.code.code());
        let action = words::action(refusal.code, facts);
        Self { title: title.to_owned(), refused: Some([reason, action]) }
    }
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "page.html")]
pub struct Page {
    /// Name of the cluster.
    cluster: String,
    /// `allow`, `warn` or `block`: the colour.
    tone: &'static str,
    /// The verdict in words.
    headline: &'static str,
    /// Why.
    because: String,
    /// When and why traffic stops if nothing is done.
    stops: String,
    /// What is left of the licence.
    left: Option<String>,
    /// What came of a form.
    message: Option<Message>,
    /// What people are warned of.
    warnings: Vec<String>,
    /// The numbered steps.
    steps: Vec<Step>,
    /// Names and values of the licence.
    licence: Vec<(&'static str, String)>,
    /// The four slots: name, state, since when.
    slots: Vec<[String; 3]>,
    /// The windows: period, what it is.
    calendar: Vec<[String; 2]>,
    /// Usage of the open window; empty before the first count.
    usage: Vec<(&'static str, String)>,
    /// Its plot.
    plot: Option<Plot>,
    /// Whether another licence can be handed in, and no step asks for one.
    switchable: bool,
    /// Controllers and the gates of their TMMs.
    controllers: Vec<Controller>,
    /// The last events: when, reason, text, and whether it is a warning.
    events: Vec<Told>,
    /// The session's token, for the forms.
    token: String,
    /// When the page was made.
    made: String,
}

/// A numbered step.
#[derive(Debug)]
struct Step {
    text: String,
    command: Option<String>,
    act: Act,
}

/// What a step's button does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    None,
    /// From this address.
    Download(&'static str),
    Upload,
    Paste,
}

#[derive(Debug)]
struct Controller {
    name: String,
    seen: String,
    tmms: Vec<[String; 3]>,
}

#[derive(Debug)]
struct Told {
    time: String,
    reason: String,
    text: String,
    warning: bool,
}

impl Page {
    /// The page that shows `facts`, with `token` in its forms.
    #[must_use]
    pub fn new(
        facts: &Facts,
        context: &Context,
        recent: &Recent,
        token: String,
        message: Option<Message>,
    ) -> Self {
        let license = License::new(facts);
        let telemetry = Telemetry::new(context);
        let steps: Vec<Step> = license.next_steps.iter().map(Step::new).collect();
        let pastes = steps.iter().any(|step| step.act == Act::Paste);
        Self {
            cluster: facts.cluster.clone(),
            tone: words::tone(license.verdict.value),
            headline: words::headline(license.verdict.value),
            because: words::reason(license.verdict.reason),
            stops: stops(&license),
            left: license.expiry.map(|end| left(end, license.clock.trusted)),
            message,
            warnings: license.warnings.iter().map(|warning| sentence(&warning.text)).collect(),
            steps,
            licence: licence(&license),
            slots: slots(&license),
            calendar: calendar(facts, &telemetry),
            usage: usage(telemetry.usage),
            plot: Plot::new(&telemetry),
            switchable: license.active && license.slots.switch.is_none() && !pastes,
            controllers: license.controllers.iter().map(Controller::new).collect(),
            events: recent.newest_first().map(Told::new).collect(),
            token,
            made: date(license.clock.trusted),
        }
    }
}

impl Step {
    fn new(step: &NextStep) -> Self {
        let act = match step.id.as_str() {
            "report" => Act::Download(match step.command.as_deref() {
                Some(command) if command.contains("--slot switch") => "/report?slot=switch",
                Some(command) if command.contains("--slot current") => "/report?slot=current",
                Some(_) | None => "/report",
            }),
            "receipt" => Act::Upload,
            _ if step.command.as_deref().is_some_and(|command| command.contains("reactivate")) => {
                Act::Paste
            }
            _ => Act::None,
        };
        Self {
            text: step.text.clone(),
            command: step.command.clone(),
            // What cannot be done yet has no button.
            act: if step.not_before.is_some() { Act::None } else { act },
        }
    }
}

impl Controller {
    fn new(controller: &spk_license::view::license::Controller) -> Self {
        let tmm = |tmm: &spk_license::view::license::Tmm| {
            let until = match (tmm.gate.as_str(), tmm.lease_remaining) {
                ("latched", _) => String::from("for as long as it runs"),
                (_, Some(seconds)) => format!("{seconds} s left without a new heartbeat"),
                (_, None) => tmm.reason.map(words::reason).unwrap_or_default(),
            };
            [tmm.name.clone(), tmm.gate.clone(), until]
        };
        Self {
            name: controller.namespace.clone(),
            seen: controller.last_seen.map_or_else(|| String::from("never"), date),
            tmms: controller.tmms.iter().map(tmm).collect(),
        }
    }
}

impl Told {
    fn new(event: &crate::events::Line) -> Self {
        Self {
            time: date(event.time),
            reason: event.reason.clone(),
            text: event.text.clone(),
            warning: event.kind == "Warning",
        }
    }
}

fn stops(license: &License) -> String {
    match (license.stops_at, license.stops_because, license.verdict.value) {
        (Some(at), _, Verdict::Block) => format!("Stopped since {}.", date(at)),
        (Some(at), because, Verdict::Allow | Verdict::Warn) => {
            let because = because.map(words::stop).unwrap_or_default();
            format!("If nothing is done, traffic stops on {}. {because}", date(at))
        }
        (None, _, _) => String::from(
            "Traffic does not stop by itself: the license is in production and active.",
        ),
    }
}

/// Days to the end of the licence, and its end.
fn left(end: Expiry, now: Timestamp) -> String {
    let date = date(end.date);
    match end.days {
        _ if end.date <= now => format!("The license ended on {date}."),
        0 => format!("Less than a day left: the license ends on {date}."),
        1 => format!("1 day left: the license ends on {date}."),
        days => format!("{days} days left: the license ends on {date}."),
    }
}

fn licence(license: &License) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        (
            "Digital asset id",
            license.digital_asset_id.map_or_else(|| "none yet".into(), |id| id.to_string()),
        ),
        ("Order type", license.order_type.map_or_else(|| "no JWT".into(), |o| o.to_string())),
        ("Active", if license.active { "yes" } else { "no" }.into()),
        ("Mode", license.mode.as_str().into()),
    ];
    let end = |end: &Expiry| date(end.date);
    let end = license.expiry.as_ref().map_or_else(|| "not known before activation".into(), end);
    rows.push(("Ends", end));
    if let Some(error) = &license.error {
        rows.push(("Error", format!("{} {}", error.err_code, error.code)));
    }
    rows.push(("Clock", words::clock(&license.clock.state).into()));
    rows
}

fn slots(license: &License) -> Vec<[String; 3]> {
    let row = |name: &str, slot: Option<&SlotState>| {
        let (state, since) = slot.map_or_else(
            || (String::from("empty"), String::new()),
            |slot| (format!("{} ({})", slot.text, slot.state.number()), date(slot.since)),
        );
        [name.to_owned(), state, since]
    };
    let slots = &license.slots;
    vec![
        row("License", Some(&slots.license)),
        row("Current report", slots.current.as_ref()),
        row("Next window", slots.next.as_ref()),
        row("Switch", slots.switch.as_ref()),
    ]
}

fn calendar(facts: &Facts, telemetry: &Telemetry) -> Vec<[String; 2]> {
    let period = |start: Timestamp, end: Timestamp| format!("{} to {}", day(start), day(end));
    let mut rows = Vec::new();
    if let Some(current) = facts.current {
        let window = crate::telemetry::Span::from(current.window);
        let text = if current.slot.state.offers_report() && !facts.mode.sends() {
            format!("{}: download the report now", current.slot.state.text())
        } else {
            current.slot.state.text().to_owned()
        };
        rows.push([period(window.start, window.end), text]);
    }
    if let Some(open) = telemetry.window {
        let text = if facts.mode.sends() {
            format!("open; the report is sent on {}", date(open.end))
        } else {
            format!("open; download from {}", date(open.end))
        };
        rows.push([period(open.start, open.end), text]);
    }
    for window in telemetry.upcoming.iter().take(3) {
        let text = if facts.mode.sends() {
            String::from("to come")
        } else {
            format!("to come; download from {}", date(window.end))
        };
        rows.push([period(window.start, window.end), text]);
    }
    rows
}

fn usage(usage: Counted) -> Vec<(&'static str, String)> {
    if usage.samples == 0 && usage.missed == 0 {
        return Vec::new();
    }
    vec![
        ("vCPUs, at most", usage.cpu_count.to_string()),
        ("Kinds of resources, at most", usage.unique_crds.to_string()),
        ("Resources, at most", usage.total_crds.to_string()),
        ("Samples taken", usage.samples.to_string()),
        ("Hours without a sample", usage.missed.to_string()),
    ]
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
