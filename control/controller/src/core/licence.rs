//! What a judgement of the licence makes the Controller do, and tell.
//!
//! Owns the step from a judgement to the actuators of licensing.md §12.3 and back (§12.4), and the
//! events of §12.5. The judgement itself is `spk_entitlement::client`'s.
//!
//! Invariant: the configuration is withheld in every judgement but one that serves; replicas are
//! stopped only by an error, never because the first receipt is missing (LIC-838), and Unknown
//! closes and stops nothing (LIC-835).

use std::sync::Arc;

use spk_entitlement::client::{Change, Enforcement, Judged, Judgement, Notice};
use spk_entitlement::reason::Reason;
use spk_plan::delivery::Licence as Verdict;

use super::{Core, Output};
use crate::ports::{EventKind, EventObject, EventRecord, Now};
use crate::reasons;

/// Something about the licence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LicenceNews {
    /// The judgement changed.
    Judged(Change),
    /// A warning still stands, 24 h after it was last told.
    StillWarned(Judgement),
    /// There are no keys to verify the CWC's statements with.
    TrustAnchorMissing,
    /// No statement came in time.
    ContactLost,
    /// One came again.
    ContactRestored,
}

/// What of the licence the core acts on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    judgement: Judgement,
    /// Whether the replicas are stopped by the licence.
    halted: bool,
}

impl Standing {
    /// Before the first judgement; `halted` says that an earlier stop still stands.
    pub(super) const fn new(halted: bool) -> Self {
        let judgement = Judgement {
            verdict: Judged::Unknown,
            reason: Reason::Unknown,
            class: None,
            since: tmm_config::Nanos(0),
        };
        Self { judgement, halted }
    }

    pub(super) fn serves(&self) -> bool {
        self.judgement.enforcement() == Enforcement::Serve
    }

    /// The verdict as far as delivery goes.
    pub(super) fn verdict(&self) -> Verdict {
        match self.judgement.verdict {
            Judged::Unknown => Verdict::Unknown,
            Judged::Allow | Judged::Warn => Verdict::Allowed,
            Judged::Block => Verdict::Blocked(reasons::text(self.judgement.reason)),
        }
    }
}

impl Core {
    /// The newest judgement of the licence.
    #[must_use]
    pub const fn judgement(&self) -> &Judgement {
        &self.standing.judgement
    }

    /// Whether the licence stopped the replicas.
    #[must_use]
    pub const fn is_halted(&self) -> bool {
        self.standing.halted
    }

    /// Whether the configuration is withheld.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        !self.standing.serves()
    }

    pub(super) fn take_licence(&mut self, news: LicenceNews, now: Now) {
        match news {
            LicenceNews::Judged(change) => self.take_change(change, now),
            LicenceNews::StillWarned(judgement) => {
                self.tell_verdict(Notice::Warning, &judgement);
            }
            LicenceNews::TrustAnchorMissing => {
                let text = reasons::text(Reason::NoTrustAnchor);
                self.tell("TrustAnchorMissing", EventKind::Warning, self.own_deployment(), text);
            }
            LicenceNews::ContactLost => {
                let text = reasons::text(Reason::CommsLost);
                self.tell("CwcContactLost", EventKind::Warning, self.own_deployment(), text);
            }
            LicenceNews::ContactRestored => {
                let text = String::from("the CWC is heard again");
                self.tell("CwcContactRestored", EventKind::Normal, self.own_deployment(), text);
            }
        }
    }

    fn take_change(&mut self, change: Change, now: Now) {
        let before = self.standing.judgement.enforcement();
        self.standing.judgement = change.to;
        let halted = self.standing.halted;
        let after = change.to.enforcement();
        let reason = change.to.reason;
        match after {
            Enforcement::Serve => {
                if before != Enforcement::Serve {
                    self.outputs.push_back(Output::Serve);
                }
            }
            Enforcement::Withhold => self.outputs.push_back(Output::Withhold),
            Enforcement::Close | Enforcement::Stop => {
                self.outputs.push_back(Output::Close { reason });
            }
        }
        let wants_stop = after == Enforcement::Stop;
        // Unknown starts and stops nothing (LIC-835).
        if after != Enforcement::Withhold && wants_stop != halted {
            self.halt(wants_stop, reason);
        }
        if let Some(notice) = change.notice() {
            self.tell_verdict(notice, &change.to);
        }
        let begins = after == Enforcement::Serve && before != Enforcement::Serve;
        if begins && self.plan.generation() > 0 {
            // After the replicas were started, before any lease (licensing.md §12.4).
            self.outputs.push_back(Output::Push(Arc::clone(&self.plan)));
        }
        self.status_due = Some(now.monotonic);
    }

    fn halt(&mut self, stop: bool, reason: Reason) {
        self.standing.halted = stop;
        let output = if stop { Output::Halt } else { Output::Resume };
        self.outputs.push_back(output);
        let deployment = self.tmm_deployment();
        if stop {
            let text = format!("all replicas are stopped: {}", reasons::text(reason));
            self.tell("TmmScaledToZero", EventKind::Warning, deployment, text);
        } else {
            let text = String::from("the replicas of before the stop are started");
            self.tell("TmmScaleRestored", EventKind::Normal, deployment, text);
        }
    }

    fn tell_verdict(&mut self, notice: Notice, judgement: &Judgement) {
        let kind = match notice {
            Notice::Blocked | Notice::Warning => EventKind::Warning,
            Notice::Allowed | Notice::Recovered => EventKind::Normal,
        };
        let text = reasons::text(judgement.reason);
        for object in [self.own_deployment(), self.tmm_deployment()] {
            self.tell(notice.name(), kind, object, text.clone());
        }
    }

    fn tell(&mut self, reason: &'static str, kind: EventKind, object: EventObject, text: String) {
        self.outputs.push_back(Output::Event(EventRecord { reason, kind, object, text }));
    }

    fn own_deployment(&self) -> EventObject {
        let namespace = &self.settings.tmm_namespace;
        EventObject::new("Deployment", namespace, &self.settings.deployment)
    }

    fn tmm_deployment(&self) -> EventObject {
        EventObject::new("Deployment", &self.settings.tmm_namespace, TMM_DEPLOYMENT)
    }
}

/// The TMMs' Deployment (operations.md §1.1).
const TMM_DEPLOYMENT: &str = "f5-tmm";
