//! Answers, heartbeats, broadcasts.

use super::*;
use crate::lease::Kind;

#[test]
fn while_blocked_the_answer_is_to_come_again_in_5_s() {
    let expired = standing(Class::Trial, Verdict::Block, Reason::Expired);
    for standing in [waiting(), expired] {
        let mut rig = Rig::new(standing.clone());
        let lease_request =
            Body::LeaseRequest(LeaseRequest { tmms: vec![tmm(POD)], trust: vec![] });
        for body in [request(), lease_request] {
            let (id, outputs) = rig.message(NAMESPACE, body, 1);
            let messages = published(&outputs);
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].reply_to, Some(id));
            assert_eq!(messages[0].route(), Route::Namespace(NAMESPACE.to_owned()));
            let Body::GetbackLater(body) = &messages[0].body else { panic!("{outputs:?}") };
            assert_eq!((body.state, body.retry_after), (12, 5));
            assert_eq!(body.state_text, "Verification Complete");
            let claims = claims(&body.statement);
            assert_eq!(claims.verdict, Verdict::Block);
            assert_eq!(
                (claims.class, claims.reason.as_str()),
                (standing.class, standing.reason.code())
            );
            assert_eq!(claims.nonce, Some(id.to_string()));
        }
    }
}

#[test]
fn a_trial_is_verified_with_a_lease_for_each_tmm_and_entitled() {
    let mut rig = Rig::new(trial());
    let (id, outputs) = rig.ask(1);
    assert_eq!(kinds(&outputs), ["Verified", "Entitlement Trial"]);
    let messages = published(&outputs);
    let Body::Verified(verified) = &messages[0].body else { panic!("{outputs:?}") };
    assert_eq!(verified.license, facts());
    let lease = claims(&verified.leases[0].lease);
    assert_eq!((verified.leases[0].pod.as_str(), lease.pod.as_deref()), (POD, Some(POD)));
    assert_eq!((lease.kind, lease.sub.as_str()), (Kind::Open, NAMESPACE));
    assert_eq!(lease.nonce.as_deref(), Some("BwcHBwcHBwcHBwcHBwcHBw"));
    for message in &messages {
        let said = statement(message);
        assert_eq!((said.kind, said.sub.as_str()), (Kind::Renew, NAMESPACE));
        assert_eq!(said.nonce, Some(id.to_string()));
        assert_eq!((said.iat, said.exp, said.ttl), (EPOCH + 1, Some(EPOCH + 184), Some(183)));
        assert_eq!(message.reply_to, Some(id));
    }
    // The numbers rise in the order of sending.
    let seqs = [lease.seq, statement(messages[0]).seq, statement(messages[1]).seq];
    assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    assert_eq!(lease.epoch, 5);
}

#[test]
fn production_is_entitled_with_the_latch_of_its_namespace() {
    let mut rig = Rig::new(production());
    let (_, outputs) = rig.ask(1);
    assert_eq!(kinds(&outputs), ["Verified", "Entitlement Paid"]);
    let Body::EntitlementPaid(paid) = &published(&outputs)[1].body else { panic!("{outputs:?}") };
    assert_eq!(paid.class, Class::Production);
    let latch = claims(paid.latch.as_deref().unwrap());
    assert_eq!((latch.kind, latch.sub.as_str(), latch.exp), (Kind::Latch, NAMESPACE, None));
}

#[test]
fn a_lease_request_is_answered_with_leases_alone() {
    let mut rig = Rig::new(production());
    let body = LeaseRequest { tmms: vec![tmm("a"), tmm("b")], trust: vec![] };
    let (_, outputs) = rig.message(NAMESPACE, Body::LeaseRequest(body), 1);
    assert_eq!(kinds(&outputs), ["Verified"]);
    let Body::Verified(verified) = &published(&outputs)[0].body else { panic!("{outputs:?}") };
    assert_eq!(verified.leases.len(), 2);
}

#[test]
fn an_answer_for_many_tmms_stays_below_the_limit_of_a_message() {
    let mut rig = Rig::new(trial());
    let tmms = (0..200).map(|number| tmm(&format!("5c0ffee0-0000-4000-8000-{number:012}")));
    let Body::GetEntitlementRequest(mut body) = request() else { panic!("a request") };
    body.tmms = tmms.collect();
    let (_, outputs) = rig.message(NAMESPACE, Body::GetEntitlementRequest(body), 1);
    let envelope = published(&outputs)[0].seal(EPOCH);
    assert!(envelope.body.len() <= crate::messages::BODY_LIMIT, "{}", envelope.body.len());
}

#[test]
fn a_trial_lease_ends_with_the_trial_and_a_production_lease_does_not() {
    for (mut standing, exp) in [(trial(), EPOCH + 100), (production(), EPOCH + 184)] {
        standing.ends = Some(EPOCH + 100);
        let mut rig = Rig::new(standing);
        let (_, outputs) = rig.ask(1);
        assert_eq!(statement(published(&outputs)[0]).exp, Some(exp));
        let Body::Verified(verified) = &published(&outputs)[0].body else { panic!("{outputs:?}") };
        assert_eq!(claims(&verified.leases[0].lease).exp, Some(exp));
    }
}

/// What is not activated is never signed as allowed, even if a standing said so (what Controllers make of it is
/// shown with the three machines together).
#[test]
fn an_unactivated_standing_is_signed_as_blocked() {
    let mut wrong = standing(Class::Unactivated, Verdict::Allow, Reason::Verified);
    for (class, active) in
        [(Class::Unactivated, false), (Class::Unactivated, true), (Class::Production, false)]
    {
        (wrong.class, wrong.active) = (class, active);
        let mut rig = Rig::new(wrong.clone());
        let beat = rig.run(0);
        let (_, outputs) = rig.ask(1);
        assert_eq!(kinds(&outputs), ["GetbackLater"]);
        for message in published(&beat).into_iter().chain(published(&outputs)) {
            let said = statement(message);
            assert_eq!((said.class, said.verdict), (Class::Unactivated, Verdict::Block));
        }
    }
}

/// Heartbeats from the start on, whatever the state, 60 s apart (a real broker's trace is taken with
/// the bus).
#[test]
fn heartbeats_begin_at_the_start_and_come_every_60_s() {
    for standing in [waiting(), trial(), production()] {
        let start = Start {
            missed: MissedHeartbeats::new(2).unwrap(),
            keys: KeyRing { signing: key(1), next: None, published: Jwks::default() },
            epoch: 5,
            standing,
            seed: [9; 32],
        };
        let mut rig = Rig { desk: Desk::new(start, at(7)), messages: 0 };
        let mut beats = Vec::new();
        for now in 0..=247 {
            rig.desk.handle_timeout(at(now));
            for output in rig.drain() {
                let Output::Publish(message) = output else { panic!("{output:?}") };
                assert_eq!(message.route(), Route::Heartbeat);
                let said = statement(&message);
                assert_eq!((said.sub.as_str(), said.kind), ("*", Kind::Renew));
                assert_eq!(said.ttl, Some(123));
                let Body::Heartbeat(body) = message.body else { panic!("no heartbeat") };
                assert_eq!((body.seq, body.license), (said.seq, Some(facts())));
                beats.push((now, said.seq));
            }
        }
        assert_eq!(beats, [(7, 1), (67, 2), (127, 3), (187, 4), (247, 5)]);
    }
}

#[test]
fn a_late_timer_moves_the_next_heartbeat_only_if_a_whole_one_was_missed() {
    let mut rig = Rig::new(trial());
    rig.run(0);
    rig.desk.handle_timeout(at(61));
    assert_eq!(rig.desk.poll_timeout(), Some(Nanos::from_secs(120)));
    rig.desk.handle_timeout(at(1000));
    assert_eq!(kinds(&rig.drain()), ["heartbeat"; 2]);
    assert_eq!(rig.desk.poll_timeout(), Some(Nanos::from_secs(1060)));
}

#[test]
fn a_change_of_what_is_said_is_broadcast_at_once() {
    let mut rig = Rig::new(waiting());
    let mut downloaded = waiting();
    downloaded.state = 10;
    assert_eq!(kinds(&rig.give(Input::Standing(downloaded), 1)), [""; 0]);
    let outputs = rig.give(Input::Standing(production()), 2);
    assert_eq!(kinds(&outputs), ["LicenseChanged"]);
    let message = published(&outputs)[0];
    assert_eq!(message.route(), Route::License);
    let said = statement(message);
    assert_eq!(
        (said.class, said.verdict, said.sub.as_str()),
        (Class::Production, Verdict::Allow, "*")
    );
    assert_eq!(kinds(&rig.give(Input::Standing(production()), 3)), [""; 0], "unchanged");
    let mut renewed = production();
    renewed.license =
        Some(LicenseFacts { expiry: Some("2030-01-01T00:00:00Z".to_owned()), ..facts() });
    assert_eq!(kinds(&rig.give(Input::Standing(renewed), 4)), ["LicenseChanged"]);
}

/// A desk whose state cannot be stored for 180 s vouches for nothing any more (P9).
#[test]
fn a_desk_that_cannot_store_falls_silent_after_180_s() {
    let mut rig = Rig::new(trial());
    rig.run(0);
    rig.give(Input::Storing(false), 10);
    rig.give(Input::Storing(false), 100);
    assert_eq!(kinds(&rig.run(189)), ["heartbeat"; 2], "120 and 180 s");
    let (_, outputs) = rig.ask(189);
    assert_eq!(outputs.len(), 2);
    assert_eq!(rig.ask(190).1, []);
    assert_eq!(rig.give(Input::Standing(production()), 200), []);
    assert_eq!(rig.run(400), []);
    rig.give(Input::Storing(true), 401);
    assert_eq!(kinds(&rig.ask(401).1).len(), 2);
    assert_eq!(kinds(&rig.run(420)), ["heartbeat"]);
}

/// LIC-723: the same message id twice is answered once.
#[test]
fn a_request_that_came_before_is_not_answered_again() {
    let mut rig = Rig::new(trial());
    assert_eq!(kinds(&rig.ask(1).1).len(), 2);
    rig.messages -= 1;
    assert_eq!(rig.ask(1).1, [Output::Refused(Refusal::Repeated)]);
}

#[test]
fn log_levels_go_with_every_statement() {
    let mut rig = Rig::new(trial());
    let levels = BTreeMap::from([("tmm".to_owned(), "debug".to_owned())]);
    rig.give(Input::LogLevels(levels.clone()), 0);
    let (_, outputs) = rig.ask(1);
    assert_eq!(statement(published(&outputs)[0]).log, Some(levels));
}
