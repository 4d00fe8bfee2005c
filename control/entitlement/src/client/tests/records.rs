//! What is stored and reported: latch, `last`, trust anchor, TMMs.

use super::*;

#[test]
fn of_two_latches_the_later_is_stored_and_sent() {
    let mut rig = Rig::new();
    let full = |now| production(now, Verdict::Allow, Reason::Verified);
    let early = rig.authority.latch(NAMESPACE, &full(0));
    rig.paid(&full(5), 5);
    let held = rig.client.latch().unwrap().to_owned();
    let outputs = rig.give(Input::LatchOffered { jws: early }, 6);
    assert_eq!(outputs, [Output::Latch { pod: None, jws: held.clone() }]);
    let late = rig.authority.latch(NAMESPACE, &full(9));
    let outputs = rig.give(Input::LatchOffered { jws: late.clone() }, 9);
    assert_eq!(
        outputs,
        [Output::StoreLatch { jws: late.clone() }, Output::Latch { pod: None, jws: late.clone() }]
    );
    assert_eq!(rig.client.latch(), Some(late.as_str()));
}

/// `last` is the newest statement that counted; it is stored at once, then at most once a minute,
/// and at the end (licensing.md §7.5).
#[test]
fn last_is_stored_at_most_once_a_minute() {
    let stored = |outputs: &[Output]| -> Vec<String> {
        let text = |output: &Output| match output {
            Output::StoreLast { jws } => Some(jws.clone()),
            _ => None,
        };
        outputs.iter().filter_map(text).collect()
    };
    let mut rig = Rig::new();
    let allow = |now| says(now, Verdict::Allow, Reason::Verified);
    let first = rig.answer(&allow(0));
    assert_eq!(stored(&rig.message(trial(first.clone()), 0)), [first]);
    let mut newest = String::new();
    for now in 1..=20 {
        newest = rig.authority.renew(&allow(now));
        assert_eq!(stored(&rig.message(heartbeat(newest.clone()), now)), [""; 0]);
    }
    assert_eq!(stored(&rig.run(59)), [""; 0]);
    assert_eq!(stored(&rig.run(60)), [newest]);
    assert_eq!(stored(&rig.run(130)), [""; 0], "nothing new");
    let last = rig.authority.renew(&allow(131));
    assert_eq!(stored(&rig.message(heartbeat(last.clone()), 131)), [last]);
    let end = rig.authority.renew(&allow(132));
    rig.message(heartbeat(end.clone()), 132);
    let outputs = rig.give(Input::Stop, 133);
    assert_eq!(stored(&outputs), [end]);
    assert!(
        matches!(outputs.last(), Some(Output::Publish(message)) if message.body == Body::Goodbye)
    );
}

/// The stored `last` goes into the first request and gives no verdict; a forged one does not.
#[test]
fn a_request_carries_the_stored_last_if_it_verifies() {
    let mut author = Authority::new(key(1), Uuid::from_u128(1), 7);
    let good = author.renew(&says(0, Verdict::Allow, Reason::Verified));
    let forged = Authority::new(key(66), Uuid::from_u128(1), u64::MAX).renew(&says(
        0,
        Verdict::Allow,
        Reason::Verified,
    ));
    for (last, sent) in [(good.clone(), Some(good)), (forged, None)] {
        let records = Records { trust: Some(key(1).jwks()), last: Some(last), latch: None };
        let rig = Rig::start(records, 0);
        let Some(Output::Ask { request, .. }) = rig.outputs.last() else { panic!("asks") };
        let Body::GetEntitlementRequest(body) = &request.body else { panic!("asks") };
        assert_eq!(body.last, sent);
        assert_eq!(refusals(&rig.outputs).len(), usize::from(sent.is_none()));
        assert_eq!(rig.verdict(), Judged::Unknown);
    }
}

#[test]
fn a_forged_stored_latch_is_ignored() {
    let full = production(0, Verdict::Allow, Reason::Verified);
    let forged = Authority::new(key(66), Uuid::from_u128(1), 1).latch(NAMESPACE, &full);
    let records = Records { trust: Some(key(1).jwks()), latch: Some(forged), last: None };
    let rig = Rig::start(records, 0);
    assert_eq!((rig.client.state(), rig.client.latch()), (State::Asking, None));
    assert_eq!(refusals(&rig.outputs), ["lease_unknown_key"]);
}

/// A changed trust anchor is reported in every state, with its `kid`s (what follows is shown with
/// the desk).
#[test]
fn a_changed_trust_anchor_is_reported() {
    let mut rig = Rig::new();
    let both = key(1).jwks().joined(&key(2).jwks());
    for latched in [false, true] {
        if latched {
            rig.paid(&production(0, Verdict::Allow, Reason::Verified), 0);
        }
        let anchor = if latched { key(1).jwks() } else { both.clone() };
        let outputs = rig.give(Input::TrustAnchor(anchor.clone()), 0);
        let [Output::Ask { request, hello: Hello::Nobody }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        let Body::LeaseRequest(body) = &request.body else { panic!("{request:?}") };
        assert_eq!(body.trust, anchor.kids().collect::<Vec<_>>());
        assert_eq!(rig.give(Input::TrustAnchor(anchor), 0), [], "unchanged");
    }
}

/// A TMM whose gate is closed although the verdict allows is asked for at once, then every 5 s
/// until it is open; while nothing allows, not at all.
#[test]
fn a_closed_tmm_is_served_every_5_s_while_the_verdict_allows() {
    let lease_requests = |outputs: &[Output]| {
        let is = |output: &&Output| matches!(output, Output::Ask { hello: Hello::One(_), .. });
        outputs.iter().filter(is).count()
    };
    let tmm = |gate| Input::Tmm { pod: "tmm".to_owned(), gate };
    let mut rig = Rig::new();
    assert_eq!(rig.give(tmm(GateState::Closed), 0), []);
    assert_eq!(lease_requests(&rig.run(20)), 0);
    rig.trial(&says(20, Verdict::Allow, Reason::Verified), 21);
    assert_eq!(lease_requests(&rig.outputs), 1, "at once");
    assert_eq!(lease_requests(&rig.run(25)), 0);
    assert_eq!(lease_requests(&rig.give(tmm(GateState::Closed), 25)), 0, "once in 5 s");
    assert_eq!(lease_requests(&rig.run(36)), 3, "26, 31, 36");
    rig.give(tmm(GateState::Open), 37);
    assert_eq!(lease_requests(&rig.run(60)), 0);
    let outputs = rig.give(Input::RenewalRefused { pod: "tmm".to_owned() }, 61);
    assert_eq!(lease_requests(&outputs), 1);
    rig.give(Input::TmmGone { pod: "tmm".to_owned() }, 62);
    assert_eq!(lease_requests(&rig.run(100)), 0);
}

#[test]
fn log_levels_are_told_when_they_change() {
    let levels = |outputs: &[Output]| {
        let is = |output: &&Output| matches!(output, Output::LogLevels(_));
        outputs.iter().filter(is).count()
    };
    let mut rig = Rig::new();
    let allow = |now| says(now, Verdict::Allow, Reason::Verified);
    assert_eq!(levels(&rig.trial(&allow(0), 0)), 0);
    let debug = BTreeMap::from([("controller".to_owned(), "debug".to_owned())]);
    rig.authority.command_log_levels(debug.clone());
    let outputs = rig.beat(&allow(1), 1);
    assert!(outputs.contains(&Output::LogLevels(debug)));
    assert_eq!(levels(&rig.beat(&allow(2), 2)), 0);
    rig.authority.command_log_levels(BTreeMap::new());
    assert!(rig.beat(&allow(3), 3).contains(&Output::LogLevels(BTreeMap::new())));
}
