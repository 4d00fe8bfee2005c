//! Verdict changes: time stamps, how people are told, what they ask of the Controller.

use super::*;

/// LIC-751: each change of the verdict carries the instant at which it was made, and changes follow
/// each other without a gap.
#[test]
fn every_change_of_the_verdict_carries_its_time() {
    let mut rig = Rig::new();
    let mut held = *rig.client.judgement();
    assert_eq!((held.verdict, held.since), (Judged::Unknown, seconds(0)));
    type Step = (u64, fn(&mut Rig, u64) -> Vec<Output>, Judged, Reason);
    let steps: [Step; 6] = [
        (
            2,
            |rig, now| rig.later(&says(0, Verdict::Block, Reason::NotActivated), now),
            Judged::Block,
            Reason::NotActivated,
        ),
        (
            7,
            |rig, now| rig.verified(&says(5, Verdict::Allow, Reason::Verified), now),
            Judged::Allow,
            Reason::Verified,
        ),
        (
            60,
            |rig, now| rig.beat(&says(now, Verdict::Warn, Reason::Expiring), now),
            Judged::Warn,
            Reason::Expiring,
        ),
        (
            120,
            |rig, now| rig.beat(&says(now, Verdict::Warn, Reason::TelemetryOverdue), now),
            Judged::Warn,
            Reason::TelemetryOverdue,
        ),
        (
            180,
            |rig, now| rig.beat(&says(now, Verdict::Allow, Reason::Verified), now),
            Judged::Allow,
            Reason::Verified,
        ),
        (363, |rig, now| rig.run(now), Judged::Block, Reason::CommsLost),
    ];
    for (now, step, verdict, reason) in steps {
        if now != 363 {
            rig.run(now);
        }
        let outputs = step(&mut rig, now);
        let made = changes(&outputs);
        assert_eq!(made.len(), 1, "{now}");
        assert_eq!(made[0].from, held);
        held = made[0].to;
        assert_eq!((held.verdict, held.reason, held.since), (verdict, reason, seconds(now)));
        assert_eq!(*rig.client.judgement(), held);
    }
    // The same verdict again is no change.
    let mut rig = Rig::new();
    rig.trial(&says(0, Verdict::Allow, Reason::Verified), 0);
    assert_eq!(changes(&rig.beat(&says(60, Verdict::Allow, Reason::Verified), 60)), []);
    assert_eq!(rig.client.judgement().since, seconds(0));
}

/// LIC-835: while the verdict is Unknown only the configuration is withheld. Waiting for the first
/// receipt also closes gates; every other block stops everything.
#[test]
fn each_judgement_asks_for_its_actuators() {
    let judgement = |verdict, reason| Judgement { verdict, reason, class: None, since: Nanos(0) };
    for reason in Reason::ALL {
        let asks = |verdict| judgement(verdict, *reason).enforcement();
        assert_eq!(asks(Judged::Unknown), Enforcement::Withhold);
        assert_eq!(asks(Judged::Allow), Enforcement::Serve);
        assert_eq!(asks(Judged::Warn), Enforcement::Serve);
        let block =
            if *reason == Reason::NotActivated { Enforcement::Close } else { Enforcement::Stop };
        assert_eq!(asks(Judged::Block), block);
    }
    let rig = Rig::new();
    assert_eq!(rig.client.judgement().enforcement(), Enforcement::Withhold);
    let commands = |output: &Output| {
        matches!(output, Output::Judged(_) | Output::Lease { .. } | Output::Latch { .. })
    };
    assert!(!rig.outputs.iter().any(commands), "nothing is done to a TMM");
}

/// LIC-657: a warning that ends clears the verdict and is told as `LicenseRecovered`; with and
/// without a latch.
#[test]
fn a_warning_that_ends_is_told_as_recovered() {
    let notices = |outputs: &[Output]| -> Vec<&'static str> {
        changes(outputs).iter().filter_map(Change::notice).map(Notice::name).collect()
    };
    let mut rig = Rig::new();
    assert_eq!(
        notices(&rig.paid(&production(0, Verdict::Allow, Reason::Verified), 0)),
        ["LicenseAllowed"]
    );
    let expired = production(60, Verdict::Warn, Reason::Expired);
    assert_eq!(notices(&rig.beat(&expired, 60)), ["LicenseWarning"]);
    assert_eq!(rig.client.judgement().enforcement(), Enforcement::Serve);
    let good = production(120, Verdict::Allow, Reason::Verified);
    assert_eq!(notices(&rig.beat(&good, 120)), ["LicenseRecovered"]);
    assert_eq!(rig.verdict(), Judged::Allow);
    // Contact lost under a latch warns, and its return recovers.
    assert_eq!(notices(&rig.run(303)), ["LicenseWarning"]);
    let good = production(310, Verdict::Allow, Reason::Verified);
    assert_eq!(notices(&rig.verified(&good, 310)), ["LicenseRecovered"]);

    let mut rig = Rig::new();
    rig.trial(&says(0, Verdict::Warn, Reason::Expiring), 0);
    let block = says(1, Verdict::Block, Reason::Expired);
    assert_eq!(notices(&rig.beat(&block, 1)), ["LicenseBlocked"]);
    let good = says(2, Verdict::Allow, Reason::Verified);
    assert_eq!(notices(&rig.beat(&good, 2)), ["LicenseAllowed"]);
}

/// A Controller that holds a latch judges as production, whatever class and verdict a statement
/// names (licensing.md §9).
#[test]
fn a_latched_controller_judges_as_production() {
    let mut rig = Rig::new();
    rig.paid(&production(0, Verdict::Allow, Reason::Verified), 0);
    for (number, class) in [Class::Unactivated, Class::Trial, Class::Production].iter().enumerate()
    {
        let now = 1 + number as u64;
        let block = Occasion { class: *class, ..says(now, Verdict::Block, Reason::StoreCorrupt) };
        rig.beat(&block, now);
        let judgement = rig.client.judgement();
        assert_eq!((judgement.verdict, judgement.reason), (Judged::Warn, Reason::StoreCorrupt));
        assert_eq!(judgement.class, Some(Class::Production));
    }
    assert_eq!(rig.client.latched_ignored(), 3);
}

/// Contact lost is told as `cwc_absent` where the CWC's Deployment is gone, also if that is seen
/// later.
#[test]
fn an_absent_cwc_is_told_from_lost_contact() {
    let mut rig = Rig::new();
    rig.give(Input::CwcAbsent(true), 1);
    assert_eq!(rig.verdict(), Judged::Unknown, "by itself it is no loss");
    rig.run(183);
    assert_eq!(rig.client.judgement().reason, Reason::CwcAbsent);
    let outputs = rig.give(Input::CwcAbsent(false), 184);
    let change = changes(&outputs)[0];
    assert_eq!((change.to.verdict, change.to.reason), (Judged::Block, Reason::CommsLost));
}

#[test]
fn a_warning_is_told_again_every_24_hours() {
    let mut rig = Rig::new();
    let long = Occasion { ttl: 603, ..production(0, Verdict::Warn, Reason::Expired) };
    rig.paid(&long, 0);
    rig.run(603);
    let lost = *rig.client.judgement();
    let outputs = rig.run(603 + 2 * 86_400);
    let told = outputs.iter().filter(|output| **output == Output::StillWarned(lost)).count();
    assert_eq!(told, 2);
}
