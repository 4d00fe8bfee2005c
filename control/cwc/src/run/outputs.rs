//! Doing what the machine says, after it was stored.

use std::sync::Arc;

use serde::Serialize;
use spk_license::codes::{Code, Site};
use spk_license::{Event, Notice, Output, Slot, State, Upload};
use spk_store::Store;

use super::Shell;
use crate::events::EventKind;
use crate::projections::DIGITAL_ASSET_ID;
use crate::upstream;
use crate::usage::UsageSource;

/// A slot that moved, as followers see it.
#[derive(Serialize)]
struct Moved {
    slot: Slot,
    from: Option<State>,
    to: Option<State>,
    text: Option<&'static str>,
}

impl<S: Store + Clone, U: UsageSource> Shell<S, U> {
    /// Does each of `outputs`, in order.
    pub(super) async fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::CreateAsset(id) => {
                    let made = self.keeper.create_once(DIGITAL_ASSET_ID, &id.to_string()).await;
                    if let Err(error) = made {
                        // `context` says which asset this is; the next start makes the record.
                        tracing::error!(%error, "record {DIGITAL_ASSET_ID} cannot be made");
                    }
                }
                Output::ReplaceAsset(id) => {
                    let made = self.keeper.replace_once(DIGITAL_ASSET_ID, &id.to_string()).await;
                    if let Err(error) = made {
                        tracing::error!(%error, "record {DIGITAL_ASSET_ID} cannot be replaced");
                    }
                }
                Output::Event { notice, code } => self.notice(notice, code),
                Output::Count { trigger, state, outcome } => {
                    self.counters.count(trigger, state, outcome);
                }
                Output::Moved { slot, from, to } => {
                    let text = to.map(State::text);
                    tracing::info!(slot = slot.name(), "{}", move_text(from, to));
                    self.publish_news("state", &Moved { slot, from, to, text });
                }
                // The desk broadcasts when its standing changes, and signs a latch for whoever asks.
                Output::Broadcast | Output::Latch => {}
                Output::Upload(upload) => self.upload(upload),
                Output::StopUpload(report) => {
                    if let Some(task) = self.uploads.remove(&report) {
                        task.abort();
                    }
                }
                Output::CountUsage => self.count_usage(),
            }
        }
    }

    fn notice(&mut self, notice: Notice, code: Option<Code>) {
        self.counters.notice(notice, code);
        let kind = if notice.is_warning() { EventKind::Warning } else { EventKind::Normal };
        let text = notice_text(notice, code, &self.machine_site());
        self.tell(notice.reason(), kind, code.map(Code::code), text);
    }

    fn upload(&mut self, upload: Upload) {
        self.uploads.retain(|_, task| !task.is_finished());
        let (settings, done) = (self.config.shell.clone(), self.done.clone());
        let report = upload.report;
        let task = tokio::spawn(async move {
            let outcome = upstream::post(&upload, &settings).await;
            // The loop may have ended.
            let _ = done.send(Event::Upstream { slot: upload.slot, report, outcome });
        });
        if let Some(earlier) = self.uploads.insert(report, task.abort_handle()) {
            earlier.abort();
        }
    }

    fn count_usage(&self) {
        let (usage, done) = (Arc::clone(&self.usage), self.done.clone());
        tokio::spawn(async move {
            let counted = usage.count().await;
            if let Err(error) = &counted {
                tracing::warn!(%error, "usage cannot be counted");
            }
            // The loop may have ended.
            let _ = done.send(Event::Usage(counted.ok()));
        });
    }

    fn machine_site(&self) -> Advice {
        let report = [Slot::License, Slot::Switch, Slot::Current]
            .into_iter()
            .find_map(|slot| self.machine.context().reports.get(slot))
            .map(|report| report.id);
        Advice {
            namespace: Arc::clone(&self.namespace),
            report,
            upstream: self.config.shell.upstream_url.to_string(),
        }
    }
}

/// What advice names.
struct Advice {
    namespace: Arc<str>,
    report: Option<uuid::Uuid>,
    upstream: String,
}

fn move_text(from: Option<State>, to: Option<State>) -> String {
    let text = |state: Option<State>| {
        state.map_or_else(
            || String::from("none"),
            |state| format!("{} ({})", state.text(), state.number()),
        )
    };
    format!("{} -> {}", text(from), text(to))
}

/// What an event says, with the advice of its code.
fn notice_text(notice: Notice, code: Option<Code>, advice: &Advice) -> String {
    let say = match notice {
        Notice::LicenseReportReady => "A report is ready.",
        Notice::LicenseActivated => "The license is active.",
        Notice::LicenseVerificationFailed => "A report was not acknowledged.",
        Notice::LicenseExpiringSoon => "The license ends soon.",
        Notice::LicenseExpiringToday => "The license ends within 24 hours.",
        Notice::LicenseExpired => "The license has ended.",
        Notice::LicenseError => "Something is wrong with the license.",
        Notice::LicenseWarning => "Something needs attention.",
        Notice::LicenseRenewed => "The license ends later than before.",
        Notice::LicenseSwitched => "The new license is in force.",
        Notice::LicenseRecovered => "What was wrong is right again.",
        Notice::LicenseJwtIgnored => {
            "Another JWT is configured; the license in force stays: use POST /reactivate."
        }
        Notice::LicenseStateLost => {
            "The stored state was lost; the digital asset id is kept. Activate again."
        }
        Notice::StateRolledBack => "The stored state is older than what Controllers remember.",
        Notice::LicenseReset => "The stored state was given up; a new digital asset id is made.",
        Notice::LicenseClockAccepted => "An operator accepted the wall clock.",
        Notice::LicenseUpgradeConfirmed => {
            "An operator confirmed the upgrade: the state is written in the form of this release."
        }
    };
    let Some(code) = code else { return say.to_owned() };
    let site =
        Site { namespace: &advice.namespace, report: advice.report, upstream: &advice.upstream };
    format!("{say} {} {}", code.text(), code.action(&site))
}
