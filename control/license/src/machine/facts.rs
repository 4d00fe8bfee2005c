//! What the machine shows.
//!
//! Owns how the stored state is handed to `view`. Decides nothing.
//!
//! Source: licensing.md §3.7, §4.3, §4.4.

use super::Machine;
use crate::calendar::{Window, seconds};
use crate::clock::ClockState;
use crate::codes::Code;
use crate::context::{Fault, Place};
use crate::now::Now;
use crate::state::{Slot, State};
use crate::view;

/// What only the shell knows of a view.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Namespace of the CWC.
    pub namespace: String,
    /// `cpclConfig.upstreamUrl`.
    pub upstream: String,
    /// The registered Controllers.
    pub controllers: Vec<view::ControllerFacts>,
    /// Namespaces whose copy of the lease keys must be renewed by hand (LIC-017).
    pub untrusting: Vec<String>,
}

impl Machine {
    /// All that the views show, as of `now`.
    #[must_use]
    pub fn facts(&self, now: Now, around: Surroundings) -> view::Facts {
        let context = &self.context;
        let ruling = self.ruling(now);
        let grant = context.grant.as_ref();
        let license =
            view::SlotFacts { state: self.license_state(now), since: context.license.since };
        let window = |place: &Option<Place>, window: Option<Window>| {
            let slot = place.as_ref().map(slot_facts)?;
            Some(view::WindowFacts { slot, window: window? })
        };
        let next = match context.state(Slot::Next) {
            Some(State::ReadyToGenerate) => context.closed,
            Some(_) | None => context.window,
        };
        let switch = context.switch.as_ref().zip(context.pending.as_ref());
        let switch = switch.map(|(place, pending)| view::SwitchFacts {
            slot: slot_facts(place),
            order_type: pending.claims.order_type,
            error: self.fault(Slot::Switch).map(shown),
        });
        let report = self.waiting_report().and_then(|slot| context.reports.get(slot));
        let report = report.map(|report| view::ReportFacts {
            id: report.id,
            kind: report.kind,
            period: report.period,
            sha256: report.sha256.clone(),
            downloads: report.downloads,
        });
        view::Facts {
            now: self.trusted(now),
            namespace: around.namespace,
            upstream: around.upstream,
            cluster: self.settings.friendly_name.clone(),
            mode: self.settings.mode,
            digital_asset_id: context.digital_asset_id,
            order_type: grant.map(|grant| grant.claims.order_type),
            active: self.is_active(),
            license,
            current: window(&context.current, context.closed),
            next: window(&context.next, next),
            switch,
            verdict: view::VerdictFacts {
                value: ruling.verdict,
                reason: ruling.reason,
                since: self.ruled_since(now),
            },
            stops: self.stops(now).map(|stops| (stops.at, stops.because)),
            expiry: self.is_active().then(|| context.end()).flatten(),
            error: self.error(now).as_ref().map(shown),
            warnings: self.warnings(now),
            controllers: around.controllers,
            untrusting: around.untrusting,
            clock: view::ClockFacts {
                state: self.clock_state().as_str(),
                wall: seconds(now.wall),
                high_water: self.high_water(now),
            },
            report,
        }
    }

    /// The slot of the report that waits for its receipt: of several the one that `GET /report`
    /// serves, else one that is on its way upstream.
    fn waiting_report(&self) -> Option<Slot> {
        let order = [Slot::License, Slot::Switch, Slot::Current];
        let waits = |slot: &Slot| self.context.state(*slot).is_some_and(State::awaits_receipt);
        self.offering(None).or_else(|| order.into_iter().find(waits))
    }

    /// The error that stands (§3.7): `ErrCode`, `ErrString`. Of several the one that stops most.
    #[must_use]
    pub fn error(&self, now: Now) -> Option<Fault> {
        let made = |code: Code, since: u64| {
            Some(Fault { code, text: code.text().to_owned(), since, upstream: false })
        };
        if let Some(fault) = &self.run.stopped {
            return Some(fault.clone());
        }
        if self.run.failing_since.is_some() {
            return made(Code::StoreUnavailable, self.trusted(now));
        }
        if self.clock_state() == ClockState::RolledBack {
            return made(Code::ClockRolledBack, self.ruled_since(now));
        }
        let of_slot = |slot| self.fault(slot).filter(|fault| !fault.code.is_warning()).cloned();
        let expired = || {
            let end = self.context.end().filter(|_| self.license_state(now) == State::Expired)?;
            made(Code::Expired, end)
        };
        of_slot(Slot::License)
            .or_else(expired)
            .or_else(|| self.run.doubt.clone())
            .or_else(|| of_slot(Slot::Current))
    }

    /// What people are warned of, besides the error.
    fn warnings(&self, now: Now) -> Vec<view::Warning> {
        let error = self.error(now).map(|fault| fault.code);
        let mut warnings = Vec::new();
        let mut warn = |code: Code, text: &str, since: u64| {
            if error != Some(code) {
                warnings.push(view::Warning { code: code.code(), text: text.to_owned(), since });
            }
        };
        if self.clock_state() == ClockState::JumpedForward {
            let code = Code::ClockJumpedForward;
            warn(code, code.text(), self.ruled_since(now));
        }
        if let Some(since) = self.overdue(self.trusted(now)) {
            warn(Code::TelemetryOverdue, Code::TelemetryOverdue.text(), since);
        }
        let run = &self.run;
        let slots = [Slot::License, Slot::Current, Slot::Switch].map(|slot| self.fault(slot));
        let others = [run.doubt.as_ref(), run.keys_fault.as_ref(), run.rejected.as_ref()];
        for fault in slots.into_iter().chain(others).flatten() {
            warn(fault.code, &fault.text, fault.since);
        }
        warnings
    }
}

const fn slot_facts(place: &Place) -> view::SlotFacts {
    view::SlotFacts { state: place.state, since: place.since }
}

fn shown(fault: &Fault) -> view::Fault {
    view::Fault { code: fault.code, text: fault.text.clone() }
}
