//! What a judgement withholds, closes, stops and brings back.

use spk_entitlement::client::{Change, Judged, Judgement};
use spk_entitlement::lease::Class;
use tmm_config::Nanos;

use super::*;
use crate::ports::{LICENSE_GATE, READY};

impl Rig {
    fn licensed(halted: bool) -> Self {
        let mut rig = Self::new(1, Remembered::default());
        let targets = rig.core.targets().to_vec();
        rig.core = Core::new(rig.core.settings.clone(), Remembered::default(), halted);
        rig.input(Input::Replicas(targets));
        rig
    }

    pub(super) fn judge(&mut self, verdict: Judged, reason: Reason) {
        let from = *self.core.judgement();
        let since = Nanos(self.millis * 1_000_000);
        let to = Judgement { verdict, reason, class: Some(Class::Trial), since };
        self.others.clear();
        self.input(Input::Licence(LicenceNews::Judged(Change { from, to })));
    }

    /// What was output since the last judgement, but statuses and pods.
    fn done(&self) -> Vec<&'static str> {
        let word = |output: &Output| match output {
            Output::Withhold => Some("withhold"),
            Output::Close { .. } => Some("close"),
            Output::Serve => Some("serve"),
            Output::Halt => Some("halt"),
            Output::Resume => Some("resume"),
            Output::Keep(_)
            | Output::Push(_)
            | Output::Status(..)
            | Output::Pods(_)
            | Output::Event(_) => None,
        };
        self.others.iter().filter_map(word).collect()
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.reason).collect()
    }
}

/// LIC-820 (the decision): nothing is delivered before the first
/// verdict that allows, while objects are accepted as ever; then everything at once.
#[test]
fn configuration_is_withheld_until_the_first_allow_and_then_delivered_at_once() {
    let mut rig = Rig::licensed(false);
    rig.facts(VLAN);
    rig.pass(1000);
    assert!(rig.pushed.is_empty());
    let accepted = |rig: &Rig| {
        let status = rig.core.statuses().values().next().unwrap();
        status.conditions.iter().find(|c| c.type_ == "Accepted").unwrap().status.clone()
    };
    assert_eq!(accepted(&rig), "True");
    let (reason, message) = rig.programmed();
    assert_eq!(reason, "NotLicensed");
    assert!(message.contains("waiting for licence verification"), "{message}");
    rig.judge(Judged::Block, Reason::Expired);
    rig.pass(1000);
    let (reason, message) = rig.programmed();
    assert_eq!(reason, "NotLicensed");
    assert!(message.contains("has expired") && message.ends_with("(expired)"), "{message}");
    assert!(rig.pushed.is_empty());
    rig.judge(Judged::Allow, Reason::Verified);
    assert_eq!(rig.pushed.len(), 1);
    rig.news(0, connected("a"));
    rig.acknowledge(0);
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "Programmed");
}

/// LIC-658, here without packets: what changed while it was blocked is delivered after recovery.
#[test]
fn change_of_the_blocked_time_is_delivered_after_it() {
    let mut rig = Rig::licensed(false);
    rig.judge(Judged::Allow, Reason::Verified);
    rig.facts(&vlan(1));
    rig.pass(1000);
    rig.judge(Judged::Block, Reason::CommsLost);
    rig.facts(&vlan(2));
    rig.pass(1000);
    assert_eq!(rig.pushed.len(), 1);
    rig.judge(Judged::Warn, Reason::Expiring);
    assert_eq!(rig.pushed.last().unwrap().spec_for(0).vlans[0].tag, 2);
}

/// LIC-835: Unknown withholds the configuration; no gate is closed and nothing is stopped.
#[test]
fn unknown_uses_actuator_1_only() {
    let mut rig = Rig::licensed(false);
    rig.facts(VLAN);
    rig.pass(1000);
    assert_eq!(rig.done(), Vec::<&str>::new());
    assert!(rig.core.is_withheld());
    rig.judge(Judged::Allow, Reason::Verified);
    rig.judge(Judged::Unknown, Reason::Unknown);
    assert_eq!(rig.done(), ["withhold"]);
    assert!(rig.core.is_withheld() && !rig.core.is_halted());
}

/// LIC-838: waiting for the first receipt closes gates and stops nothing; an error stops the
/// replicas, and its end while the receipt is still missing starts them again.
#[test]
fn missing_receipt_alone_stops_no_replica_and_an_error_does() {
    let mut rig = Rig::licensed(false);
    rig.judge(Judged::Block, Reason::NotActivated);
    assert_eq!(rig.done(), ["close"]);
    assert!(!rig.core.is_halted());
    rig.judge(Judged::Block, Reason::CommsLost);
    assert_eq!(rig.done(), ["close", "halt"]);
    rig.judge(Judged::Block, Reason::NotActivated);
    assert_eq!(rig.done(), ["close", "resume"]);
    rig.judge(Judged::Allow, Reason::Verified);
    assert_eq!(rig.done(), ["serve"]);
    assert!(!rig.core.is_withheld());
}

/// LIC-836: every error stops the replicas once, and a verdict that allows starts them, before the
/// configuration is delivered (licensing.md §12.4).
#[test]
fn error_stops_the_replicas_and_recovery_starts_them_before_the_configuration() {
    let errors = Reason::ALL.iter().copied().filter(|reason| *reason != Reason::NotActivated);
    for reason in errors {
        let mut rig = Rig::licensed(false);
        rig.judge(Judged::Allow, Reason::Verified);
        rig.facts(VLAN);
        rig.pass(1000);
        rig.judge(Judged::Block, reason);
        assert_eq!(rig.done(), ["close", "halt"], "{reason}");
        rig.judge(Judged::Block, Reason::Expired);
        assert_eq!(rig.done(), ["close"], "it is stopped already");
        let before = rig.pushed.len();
        rig.judge(Judged::Allow, Reason::Verified);
        assert_eq!(rig.done(), ["serve", "resume"]);
        assert_eq!(rig.pushed.len(), before + 1);
    }
}

/// Licensing.md §12.4: a stop of before a restart stands while nothing is known, and ends with the
/// first verdict that allows.
#[test]
fn stop_of_before_a_restart_stands_until_a_verdict_allows() {
    let mut rig = Rig::licensed(true);
    assert!(rig.core.is_halted());
    rig.judge(Judged::Block, Reason::CommsLost);
    assert_eq!(rig.done(), ["close"]);
    rig.judge(Judged::Allow, Reason::Verified);
    assert_eq!(rig.done(), ["serve", "resume"]);
}

/// LIC-850 (events and conditions of this machine; the metrics' names are held by `spk-node`).
#[test]
fn verdicts_stops_and_gates_are_told_by_their_events_and_condition() {
    let mut rig = Rig::licensed(false);
    rig.facts(VLAN);
    rig.pass(1000);
    rig.events.clear();
    rig.judge(Judged::Block, Reason::Expired);
    let objects = |rig: &Rig, reason: &str| -> Vec<String> {
        let of = rig.events.iter().filter(|event| event.reason == reason);
        of.map(|event| event.object.to_string()).collect()
    };
    let both = ["Deployment spk-core/f5ingress-f5ingress", "Deployment spk-core/f5-tmm"];
    assert_eq!(objects(&rig, "LicenseBlocked"), both);
    assert_eq!(objects(&rig, "TmmScaledToZero"), both[1..]);
    rig.judge(Judged::Warn, Reason::Expiring);
    assert_eq!(objects(&rig, "LicenseWarning"), both);
    assert_eq!(objects(&rig, "TmmScaleRestored"), both[1..]);
    rig.judge(Judged::Allow, Reason::Verified);
    assert_eq!(objects(&rig, "LicenseRecovered"), both);
    rig.judge(Judged::Block, Reason::NotActivated);
    rig.judge(Judged::Allow, Reason::Verified);
    assert_eq!(objects(&rig, "LicenseAllowed"), both);
    let standing = *rig.core.judgement();
    rig.events.clear();
    rig.input(Input::Licence(LicenceNews::StillWarned(standing)));
    rig.input(Input::Licence(LicenceNews::TrustAnchorMissing));
    rig.input(Input::Licence(LicenceNews::ContactLost));
    rig.input(Input::Licence(LicenceNews::ContactRestored));
    let told = rig.reasons();
    let expected = [
        "LicenseWarning",
        "LicenseWarning",
        "TrustAnchorMissing",
        "CwcContactLost",
        "CwcContactRestored",
    ];
    assert_eq!(told, expected);

    let gate = |state: proto::GateState, reason: &str| proto::GateReply {
        gate: state.into(),
        reason: reason.to_owned(),
        ..proto::GateReply::default()
    };
    let condition = |rig: &mut Rig| {
        rig.pass(1000);
        let pod = rig.core.pods()[0].clone();
        assert!(pod.condition(READY).is_some());
        let gate = pod.condition(LICENSE_GATE).unwrap();
        (gate.status.clone(), gate.reason.clone())
    };
    rig.news(0, connected("a"));
    rig.news(0, News::Gate(gate(proto::GateState::Open, "")));
    assert_eq!(condition(&mut rig), ("True".into(), "verified".into()));
    rig.news(0, News::Closed(gate(proto::GateState::Closed, "comms_lost")));
    assert_eq!(condition(&mut rig), ("False".into(), "comms_lost".into()));
    assert_eq!(rig.reasons()[5..], ["GateOpened", "GateClosed"]);
}
