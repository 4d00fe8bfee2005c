//! What people and scripts see of the licence: answers of the REST API and one Secret's text.
//!
//! Owns their members, in their order, and the next steps. Decides nothing: all that is shown is
//! handed in as [`Facts`]. Invariant: no view holds a token, a `sub` or a key.
//!
//! Sources: licensing.md §4.2 (problem details), §4.3, §4.4, §7.1 (`licensestatus`).

pub mod history;
pub mod license;
pub mod problem;
pub mod status;
pub mod steps;

use spk_entitlement::{Reason, Verdict};
use uuid::Uuid;

use crate::calendar::Window;
use crate::codes::{Code, Site};
use crate::report::ReportType;
use crate::settings::Mode;
use crate::state::State;
use crate::token::OrderType;

/// All that the views show, as of one instant. Times are trusted seconds since 1970.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Trusted time of the view.
    pub now: u64,
    /// Namespace of the CWC.
    pub namespace: String,
    /// `cpclConfig.upstreamUrl`.
    pub upstream: String,
    /// `cpclConfig.friendlyName`.
    pub cluster: String,
    /// Mode of operation.
    pub mode: Mode,
    /// The digital asset id; none before state 1.
    pub digital_asset_id: Option<Uuid>,
    /// Order type of the JWT in force; none without a JWT.
    pub order_type: Option<OrderType>,
    /// Whether the first receipt was accepted.
    pub active: bool,
    /// Slot L.
    pub license: SlotFacts,
    /// Slot R; none while it is empty.
    pub current: Option<WindowFacts>,
    /// Slot N; none while it is empty.
    pub next: Option<WindowFacts>,
    /// Slot S; none while it is empty.
    pub switch: Option<SwitchFacts>,
    /// Whether traffic may pass.
    pub verdict: VerdictFacts,
    /// When traffic stops if nothing is done, and the reason code; while blocked, since when and
    /// why (LIC-342).
    pub stops: Option<(u64, Reason)>,
    /// End of the licence; none if none is known.
    pub expiry: Option<u64>,
    /// The error that stands; never a warning.
    pub error: Option<Fault>,
    /// What people are warned of.
    pub warnings: Vec<Warning>,
    /// The registered Controllers.
    pub controllers: Vec<ControllerFacts>,
    /// Namespaces whose copy of the lease keys must be renewed by hand (LIC-017).
    pub untrusting: Vec<String>,
    /// The clock.
    pub clock: ClockFacts,
    /// The report that waits for its receipt; of several the one that `GET /report` serves.
    pub report: Option<ReportFacts>,
}

impl Facts {
    /// What advice names.
    #[must_use]
    pub fn site(&self) -> Site<'_> {
        Site {
            namespace: &self.namespace,
            report: self.report.as_ref().map(|report| report.id),
            upstream: &self.upstream,
        }
    }
}

/// A slot and since when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SlotFacts {
    /// Its state.
    pub state: State,
    /// Since when.
    pub since: u64,
}

/// A slot that has a period: R or N.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WindowFacts {
    /// Its state and since when.
    pub slot: SlotFacts,
    /// Its period.
    pub window: Window,
}

/// Slot S.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SwitchFacts {
    /// Its state and since when.
    pub slot: SlotFacts,
    /// Order type of the pending JWT.
    pub order_type: OrderType,
    /// What is wrong with the switch.
    pub error: Option<Fault>,
}

/// A code, and the sentence that says it best.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The code.
    pub code: Code,
    /// What is wrong, in words; holds no part of a token.
    pub text: String,
}

/// A verdict, why and since when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerdictFacts {
    /// The verdict.
    pub value: Verdict,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: u64,
}

/// Something to be warned of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// A code of licensing.md §3.7, or a reason of §9.
    pub code: &'static str,
    /// What it is, in words.
    pub text: String,
    /// Since when.
    pub since: u64,
}

/// A registered Controller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControllerFacts {
    /// Its namespace.
    pub namespace: String,
    /// UID of its pod; none until it was heard of.
    pub instance: Option<String>,
    /// When it was last heard of.
    pub last_seen: Option<u64>,
    /// Its TMMs.
    pub tmms: Vec<TmmFacts>,
}

/// A TMM, as its Controller reported it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TmmFacts {
    /// Its pod's name.
    pub name: String,
    /// `closed`, `open` or `latched`.
    pub gate: &'static str,
    /// Why; none if it was not reported.
    pub reason: Option<Reason>,
    /// Seconds until its lease ends; none if it has none that ends.
    pub lease_remaining: Option<u64>,
}

/// The clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockFacts {
    /// State of trusted time, a word of the machine's closed set.
    pub state: &'static str,
    /// The wall clock, seconds since 1970.
    pub wall: u64,
    /// The high-water mark, seconds since 1970.
    pub high_water: u64,
}

/// A report that waits for its receipt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReportFacts {
    /// Its `reportID`.
    pub id: Uuid,
    /// Why it was made.
    pub kind: ReportType,
    /// What it covers.
    pub period: Window,
    /// Base64url of the SHA-256 of its text.
    pub sha256: String,
    /// How often it was handed out.
    pub downloads: u64,
}

/// `text` as a sentence: errors of the pure crates begin small and end without a stop.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    sentence.push_str(letters.as_str());
    if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod fixture;

#[test]
fn an_error_becomes_a_sentence() {
    assert_eq!(sentence("it is too old"), "It is too old.");
    assert_eq!(sentence("The licence has ended."), "The licence has ended.");
    assert_eq!(sentence(""), "");
}
