//! Rotation of the lease key (licensing.md §1.2).

use super::*;

fn signer(outputs: &[Output]) -> String {
    let keys = key(1).jwks().joined(&key(2).jwks());
    let statement = published(outputs)[0].body.statement().unwrap();
    lease::verify(statement, &keys).unwrap().kid
}

fn rotating() -> KeyRing {
    KeyRing { signing: key(1), next: Some(key(2)), published: key(1).jwks() }
}

/// The old key signs until the last listed Controller reported the new `kid`, then the new one does,
/// numbers going on (§1.2).
#[test]
fn the_next_key_signs_once_every_controller_reported_it() {
    let mut rig = Rig::new(trial());
    let listed = ["one", "two"].map(str::to_owned);
    rig.give(Input::Instances(BTreeSet::from(listed)), 0);
    rig.give(Input::Keys(rotating()), 0);
    let both: Vec<&str> = rig.desk.published().kids().collect();
    assert_eq!(both, [key(1).kid(), key(2).kid()], "published at once");
    let knows = [key(1).kid().to_owned(), key(2).kid().to_owned()];
    let knows = [knows[0].as_str(), knows[1].as_str()];

    let (_, outputs) = rig.message("one", request_with(None, &knows), 1);
    assert_eq!(signer(&outputs), key(1).kid(), "the other has not reported");
    let (_, outputs) = rig.message("two", request_with(None, &knows[..1]), 2);
    assert_eq!(signer(&outputs), key(1).kid(), "reported, without it");
    let seq = rig.desk.last().1;

    let report =
        Body::LeaseRequest(LeaseRequest { tmms: vec![], trust: knows.map(str::to_owned).to_vec() });
    let (_, outputs) = rig.message("two", report, 3);
    assert!(outputs.contains(&Output::Rotated { kid: key(2).kid().to_owned() }));
    assert_eq!(signer(&outputs), key(2).kid());
    let said = statement(published(&outputs)[0]);
    assert_eq!((said.epoch, said.seq), (5, seq + 1));
    assert_eq!(rig.desk.in_need_of_trust(), [""; 0]);
    let rotated = |output: &Output| matches!(output, Output::Rotated { .. });
    assert!(!rig.message("one", request_with(None, &knows), 4).1.iter().any(rotated), "once");
}

#[test]
fn a_namespace_that_goes_lets_the_rotation_end() {
    let mut rig = Rig::with(rotating(), trial());
    let listed = ["one", "gone"].map(str::to_owned);
    rig.give(Input::Instances(BTreeSet::from(listed)), 0);
    rig.message("one", request_with(None, &[key(1).kid(), key(2).kid()]), 1);
    assert_eq!(rig.desk.kid(), key(1).kid());
    let outputs = rig.give(Input::Instances(BTreeSet::from(["one".to_owned()])), 2);
    assert_eq!(outputs, [Output::Rotated { kid: key(2).kid().to_owned() }]);
}

/// Before the list of the API was read, nothing rotates.
#[test]
fn a_restart_does_not_rotate_by_itself() {
    let missed = MissedHeartbeats::default();
    let start = Start { missed, keys: rotating(), epoch: 1, standing: trial(), seed: [9; 32] };
    let mut rig = Rig { desk: Desk::new(start, at(0)), messages: 0 };
    rig.run(600);
    assert_eq!(rig.desk.kid(), key(1).kid());
    rig.give(Input::Instances(BTreeSet::from(["one".to_owned()])), 600);
    assert_eq!(rig.desk.kid(), key(1).kid());
}

/// Where the old private key is lost the new one signs at once, and the namespaces that lack it are
/// named (§1.2).
#[test]
fn a_lost_key_is_replaced_at_once_and_the_namespaces_without_it_are_named() {
    let keys = KeyRing { signing: key(2), next: None, published: key(1).jwks() };
    let mut rig = Rig::with(keys, trial());
    let listed = ["has", "lacks"].map(str::to_owned);
    rig.give(Input::Instances(BTreeSet::from(listed)), 0);
    let (_, outputs) = rig.message("lacks", request_with(None, &[key(1).kid()]), 1);
    assert_eq!(signer(&outputs), key(2).kid());
    rig.message("has", request_with(None, &[key(1).kid(), key(2).kid()]), 1);
    assert_eq!(rig.desk.in_need_of_trust(), ["lacks"]);
}

/// A `kid` that the CWC did not publish raises the event, once for each report that brings it new;
/// what is no `kid` is dropped (§1.2).
#[test]
fn a_foreign_kid_raises_the_event() {
    let mut rig = Rig::new(trial());
    rig.run(0);
    let foreign = key(66).kid().to_owned();
    let replaced =
        Output::TrustAnchorReplaced { namespace: NAMESPACE.to_owned(), kid: foreign.clone() };
    let count = |outputs: &[Output]| {
        let is = |output: &&Output| matches!(output, Output::TrustAnchorReplaced { .. });
        outputs.iter().filter(is).count()
    };
    let trust = [key(1).kid().to_owned(), foreign, "no kid".to_owned(), "x".repeat(44)];
    let trust: Vec<&str> = trust.iter().map(String::as_str).collect();
    let (_, outputs) = rig.message(NAMESPACE, request_with(None, &trust), 1);
    assert!(outputs.contains(&replaced));
    assert_eq!(count(&outputs), 1);
    assert_eq!(count(&rig.message(NAMESPACE, request_with(None, &trust), 2).1), 0, "told");
    assert_eq!(count(&rig.message(NAMESPACE, request_with(None, &trust[..1]), 3).1), 0);
    assert_eq!(count(&rig.message(NAMESPACE, request_with(None, &trust), 4).1), 1, "again");
}
