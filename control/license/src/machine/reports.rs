//! Counting, building and handing out reports.
//!
//! Owns `rep.ok`, `rep.err`, `get`, `get.err`: which sample goes where, what a report replaces, and
//! which slot offers one. Signs nothing itself: `report` does.
//!
//! Source: licensing.md §2.3, §3.4 (note i), §3.6 (LIC-241), §6.

use std::sync::Arc;
use std::time::Duration;

use spk_jose::name::sha256;

use super::turn::Turn;
use crate::calendar::samples::{Aggregate, SampleTime, Usage};
use crate::calendar::{Window, instant};
use crate::codes::Code;
use crate::context::Report;
use crate::receipt::Superseded;
use crate::report::{
    DOCUMENT_TYPE, DOCUMENT_VERSION, Period, ProductTelemetry, ReportType, ReportedClock,
    ReportedLicense, ReportedUsage, SUPERSEDES_LIMIT, SupersededReport,
};
use crate::state::{Slot, State};
use crate::step::{Answer, Refusal};
use crate::trigger::Trigger;

impl Turn<'_> {
    /// A count of usage came, or failed.
    pub(super) fn usage(&mut self, usage: Option<Usage>) -> Result<Answer, Refusal> {
        self.machine.run.counting = false;
        // Reports first: what closes a window has lower numbers than what follows in the next.
        for slot in [Slot::License, Slot::Switch, Slot::Current] {
            if self.machine.context.state(slot) == Some(State::ReportInProgress) {
                self.build(slot, usage);
            }
        }
        if std::mem::take(&mut self.machine.run.hourly) && self.machine.is_active() {
            let at = self.trusted();
            match usage {
                Some(usage) => {
                    self.machine.context.samples.take(usage, at);
                }
                None => self.machine.context.samples.miss(1),
            }
        }
        Ok(Answer::Done)
    }

    /// When the next hourly sample is due, seen from `at`.
    pub(super) fn schedule_sample(&mut self, at: u64) {
        let jitter = self.jitter();
        self.machine.context.sample_time = Some(SampleTime::after(at, jitter));
    }

    /// 0 to 1.
    pub(super) fn jitter(&mut self) -> f64 {
        // 32 random bits are exact in a double.
        let bits = u32::try_from(self.entropy.word() >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / f64::from(u32::MAX)
    }

    fn build(&mut self, slot: Slot, usage: Option<Usage>) {
        match self.written(slot, usage) {
            Ok(report) => {
                self.supersede(slot, &report);
                self.machine.context.sequence = report.sequence;
                self.machine.context.reports.put(slot, Some(report));
                self.fire(slot, Trigger::RepOk, None);
                if slot == Slot::Current {
                    self.fire(Slot::Next, Trigger::RepOk, None);
                }
            }
            Err(code) => {
                let fault = self.fault(code, code.text());
                self.fire(slot, Trigger::RepErr, Some(fault));
                if slot == Slot::Current {
                    self.fire(Slot::Next, Trigger::RepErr, None);
                }
            }
        }
        // 7 and 8 with the end passed (note e).
        self.expire_before_activation();
    }

    /// The new report of `slot`.
    fn written(&mut self, slot: Slot, usage: Option<Usage>) -> Result<Report, Code> {
        let at = self.trusted();
        let aggregate = self.sampled(slot, usage).ok_or(Code::UsageUnavailable)?;
        let id = self.entropy.uuid();
        let machine = &self.machine;
        let key = machine.report_key.as_ref().ok_or(Code::ReportFailed)?;
        let (context, settings) = (&machine.context, &machine.settings);
        let asset = context.digital_asset_id.ok_or(Code::ReportFailed)?;
        let grant = context.grant_of(slot).ok_or(Code::ReportFailed)?;
        let moment = Window { start: at, end: at };
        let (kind, period) = match slot {
            Slot::License => (ReportType::InitialConfig, moment),
            Slot::Switch => (ReportType::UpdatedConfig, moment),
            Slot::Current | Slot::Next => {
                (ReportType::Telemetry, context.closed.ok_or(Code::ReportFailed)?)
            }
        };
        let replaced = context.reports.get(slot);
        let mut supersedes = replaced.map_or_else(Vec::new, |old| {
            let mut list = old.supersedes.clone();
            list.push(SupersededReport { report_id: old.id, period: Period::from(old.period) });
            list
        });
        let surplus = supersedes.len().saturating_sub(SUPERSEDES_LIMIT);
        supersedes.drain(..surplus);
        let sequence = context.sequence.saturating_add(1);
        let telemetry = ProductTelemetry {
            document_type: DOCUMENT_TYPE.to_owned(),
            document_version: DOCUMENT_VERSION.to_owned(),
            digital_asset_id: asset,
            digital_asset_name: settings.digital_asset_name.clone(),
            digital_asset_version: settings.digital_asset_version.clone(),
            product_name: settings.product_name.clone(),
            custom_id: settings.friendly_name.clone(),
            report_type: kind,
            report_id: id,
            sequence,
            previous_report_sha256: context.acknowledged.as_ref().map(|ack| ack.sha256.clone()),
            generated_at: instant(at),
            period: Period::from(period),
            supersedes: supersedes.clone(),
            usage: ReportedUsage::from(aggregate),
            license: ReportedLicense { jti: grant.claims.jti, order_type: grant.claims.order_type },
            clock: ReportedClock {
                state: machine.clock_state().as_str().to_owned(),
                high_water: instant(machine.high_water(self.now)),
            },
        };
        let signed = telemetry.sign(key).map_err(|_| Code::ReportFailed)?;
        Ok(Report {
            id,
            sha256: signed.sha256,
            kind,
            period,
            sequence,
            generated_at: at,
            license_jti: grant.claims.jti,
            order_type: grant.claims.order_type,
            text: Arc::from(signed.text),
            usage: aggregate,
            downloads: 0,
            supersedes,
            attempts: Default::default(),
        })
    }

    /// What the report of `slot` counts. A telemetry report is built without a new sample as well
    /// (LIC-460); the others have nothing to say without one.
    fn sampled(&mut self, slot: Slot, usage: Option<Usage>) -> Option<Aggregate> {
        let samples = &mut self.machine.context.samples;
        match (slot, usage) {
            (Slot::Switch, Some(usage)) => Some(samples.take_alone(usage)),
            (Slot::Switch, None) => None,
            (Slot::License, None) => None,
            (Slot::License | Slot::Current | Slot::Next, Some(usage)) => {
                samples.take_for_report(usage);
                samples.waiting()
            }
            (Slot::Current | Slot::Next, None) => samples.waiting(),
        }
    }

    /// Remembers which report the new one replaces (A5).
    fn supersede(&mut self, slot: Slot, new: &Report) {
        let Some(old) = self.machine.context.reports.get(slot).map(|old| old.id) else { return };
        let list = &mut self.machine.context.superseded;
        for entry in list.iter_mut().filter(|entry| entry.by == old) {
            entry.by = new.id;
        }
        list.push(Superseded { report_id: old, by: new.id });
        let surplus = list.len().saturating_sub(SUPERSEDES_LIMIT);
        list.drain(..surplus);
    }

    /// `GET /report`.
    pub(super) fn get(&mut self, asked: Option<Slot>) -> Result<Answer, Refusal> {
        if self.machine.settings.mode.sends() {
            let text = "Reports are sent by the CWC itself in this mode.";
            return Err(Refusal::new(Code::WrongMode, text));
        }
        let Some(slot) = self.machine.offering(asked) else {
            let state = self.machine.context.license.state;
            self.count(Trigger::Get, Some(state), crate::step::Effect::Refused);
            return Err(self.not_ready());
        };
        let report = self.machine.context.reports.get(slot);
        let text = report.filter(|report| sha256(&report.text) == report.sha256);
        let Some(text) = text.map(|report| report.text.to_string()) else {
            let code = Code::ReportDownloadFailed;
            let fault = self.fault(code, code.text());
            self.fire(slot, Trigger::GetErr, Some(fault));
            return Err(Refusal::new(code, code.text()));
        };
        self.fire(slot, Trigger::Get, None);
        if let Some(report) = self.machine.context.reports.get_mut(slot) {
            report.downloads = report.downloads.saturating_add(1);
        }
        Ok(Answer::Report { text })
    }

    fn not_ready(&self) -> Refusal {
        let context = &self.machine.context;
        match context.window {
            Some(window) if context.state(Slot::Next) == Some(State::TelemetryInProgress) => {
                let text = format!(
                    "The window is open until {}.",
                    instant(window.end).strftime("%Y-%m-%dT%H:%M:%SZ")
                );
                let wait = window.end.saturating_sub(self.trusted());
                Refusal {
                    retry_after: Some(Duration::from_secs(wait)),
                    not_before: Some(window.end),
                    ..Refusal::new(Code::ReportNotReady, text)
                }
            }
            Some(_) | None => Refusal::new(Code::WrongState, "No report waits to be downloaded."),
        }
    }
}

impl super::Machine {
    /// The slot whose report `GET /report` hands out: the first of L, S, R that offers one, or the
    /// one asked for, R or S, if it does (LIC-241).
    #[must_use]
    pub fn offering(&self, asked: Option<Slot>) -> Option<Slot> {
        let order: &[Slot] = match asked {
            None => &[Slot::License, Slot::Switch, Slot::Current],
            Some(Slot::Current) => &[Slot::Current],
            Some(Slot::Switch) => &[Slot::Switch],
            Some(Slot::License | Slot::Next) => &[],
        };
        let offers = |slot: &Slot| self.context.state(*slot).is_some_and(State::offers_report);
        order.iter().copied().find(offers)
    }
}
