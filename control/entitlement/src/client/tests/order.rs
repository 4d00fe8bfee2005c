//! Which statements count.

use super::*;

/// LIC-732: after a start a recorded block, a recorded allow and an answer to another request have
/// no effect; the answer to the own request has.
#[test]
fn the_first_statement_must_answer_the_own_request() {
    let mut recorder = Rig::new();
    let allow = |now| says(now, Verdict::Allow, Reason::Verified);
    let block = says(3, Verdict::Block, Reason::Expired);
    let recorded_allow = recorder.answer(&allow(0));
    let recorded_beat = recorder.authority.renew(&allow(2));
    let recorded_block = recorder.authority.renew(&block);
    let recorded_latch_free = [
        verified(recorded_allow.clone()),
        trial(recorded_allow),
        heartbeat(recorded_beat),
        heartbeat(recorded_block.clone()),
        later(recorded_block),
    ];

    let mut rig = Rig::start(Records { trust: Some(key(1).jwks()), ..Records::default() }, 4);
    assert_ne!(rig.request, recorder.request);
    for body in recorded_latch_free {
        let outputs = rig.message(body, 5);
        assert_eq!(refusals(&outputs), ["statement_not_asked"]);
        assert_eq!((rig.client.state(), rig.verdict()), (State::Asking, Judged::Unknown));
    }
    rig.authority = recorder.authority;
    let other = rig.authority.answer(NAMESPACE, Uuid::from_u128(77), &allow(5));
    assert_eq!(refusals(&rig.message(verified(other), 5)), ["statement_not_asked"]);
    assert_eq!(rig.verdict(), Judged::Unknown);

    assert_eq!(refusals(&rig.verified(&allow(5), 5)), [""; 0]);
    assert_eq!((rig.client.state(), rig.verdict()), (State::Confirming, Judged::Allow));
}

/// LIC-734: statements of two keys, shuffled and repeated: only those that rise within their key
/// act, and each key has an order of its own.
#[test]
fn only_statements_that_rise_within_their_key_count() {
    let trust = Some(key(1).jwks().joined(&key(2).jwks()));
    let mut rig = Rig::start(Records { trust, ..Records::default() }, 0);
    let mut other = Authority::new(key(2), Uuid::from_u128(1), 1);
    rig.trial(&says(0, Verdict::Allow, Reason::Verified), 0);

    let mut recorded = Vec::new();
    for number in 0..12u64 {
        let verdict = if number % 3 == 0 { Verdict::Block } else { Verdict::Allow };
        let occasion = says(number, verdict, Reason::ALL[number as usize]);
        let (kid, statement) = if number % 2 == 0 {
            (1, rig.authority.renew(&occasion))
        } else {
            (2, other.renew(&occasion))
        };
        recorded.push((kid, number, occasion, statement));
    }
    // A fixed shuffle with repeats: multiples of 5 and of 7 modulo 12.
    let order = (0..24).map(|step| if step < 12 { step * 5 % 12 } else { step * 7 % 12 });
    let mut newest = BTreeMap::new();
    for place in order {
        let (kid, number, occasion, statement) = &recorded[place];
        let rises = newest.get(kid).is_none_or(|newest| number > newest);
        let before = (rig.client.state(), *rig.client.judgement());
        let outputs = rig.message(heartbeat(statement.clone()), 20);
        if rises {
            newest.insert(*kid, *number);
            assert_eq!(rig.client.judgement().reason.code(), occasion.reason, "{number}");
        } else {
            assert_eq!(refusals(&outputs), ["statement_order"], "{number}");
            assert_eq!((rig.client.state(), *rig.client.judgement()), before, "{number}");
        }
    }
    // A new epoch rises, whatever its number.
    rig.authority.begin(2);
    assert_eq!(refusals(&rig.beat(&says(21, Verdict::Allow, Reason::Verified), 21)), [""; 0]);
}

/// LIC-723: the same message id twice has one effect, also when the repeat brings something new.
#[test]
fn a_message_that_came_before_has_no_effect() {
    let mut rig = Rig::new();
    rig.verified(&says(0, Verdict::Allow, Reason::Verified), 0);
    let statement = rig.authority.renew(&says(1, Verdict::Warn, Reason::Expiring));
    let message = |body| Message {
        id: Uuid::from_u128(900),
        reply_to: None,
        namespace: "*".to_owned(),
        body,
    };
    let first = message(heartbeat(statement));
    assert_eq!(refusals(&rig.give(Input::Message(first.clone()), 1)), [""; 0]);
    let before = (rig.client.state(), *rig.client.judgement(), rig.client.poll_timeout());
    let outputs = rig.give(Input::Message(first), 2);
    assert_eq!(outputs, [Output::Refused(Refusal::Repeated)]);
    let newer = rig.authority.renew(&says(2, Verdict::Block, Reason::Expired));
    let outputs = rig.give(Input::Message(message(heartbeat(newer))), 2);
    assert_eq!(outputs, [Output::Refused(Refusal::Repeated)]);
    assert_eq!((rig.client.state(), *rig.client.judgement(), rig.client.poll_timeout()), before);
}

/// A statement counts if our trust anchor verifies it, for our namespace or all, of kind `renew`.
/// (A forger on a real broker is met with the bus.)
#[test]
fn what_does_not_verify_or_is_for_others_changes_nothing() {
    let mut rig = Rig::new();
    rig.trial(&says(0, Verdict::Allow, Reason::Verified), 0);
    let block = says(1, Verdict::Block, Reason::Expired);
    let mut forger = Authority::new(key(66), Uuid::from_u128(1), 9);
    let forged = forger.renew(&block);
    let good = rig.authority.renew(&block);
    let altered = good.replacen('.', ".e", 1);
    let foreign = rig.authority.answer("another", rig.request, &block);
    let lease = rig.authority.open(NAMESPACE, POD, &[1; 16], &block);
    let cases = [
        (heartbeat(forged.clone()), "lease_unknown_key"),
        (changed(forged), "lease_unknown_key"),
        (heartbeat(altered), "lease_signature"),
        (heartbeat(String::new()), "lease_malformed"),
        (later(foreign), "lease_wrong_namespace"),
        (heartbeat(lease), "statement_kind"),
        (Body::Goodbye, "no_statement"),
    ];
    for (body, code) in cases {
        let outputs = rig.message(body, 1);
        assert_eq!(refusals(&outputs), [code]);
        assert_eq!((rig.client.state(), rig.verdict()), (State::Active, Judged::Allow), "{code}");
    }
    assert_eq!(refusals(&rig.message(heartbeat(good), 1)), [""; 0]);
    assert_eq!(rig.verdict(), Judged::Block);
}

/// A latch in `Entitlement Paid` that is not good for us latches nothing; its statement counts like
/// that of any other message.
#[test]
fn a_bad_latch_is_refused_and_its_statement_counts() {
    let full = production(0, Verdict::Allow, Reason::Verified);
    type Forge<'a> = (&'a dyn Fn(&mut Rig) -> String, &'a str);
    let forge: [Forge; 4] = [
        (&|rig| rig.authority.latch("another", &full), "lease_wrong_namespace"),
        (
            &|rig| rig.authority.latch(NAMESPACE, &says(0, Verdict::Allow, Reason::Verified)),
            "lease_class",
        ),
        (&|rig| rig.authority.renew(&full), "statement_kind"),
        (
            &|_| Authority::new(key(66), Uuid::from_u128(1), 1).latch(NAMESPACE, &full),
            "lease_unknown_key",
        ),
    ];
    for (latch, code) in forge {
        let mut rig = Rig::new();
        let latch = latch(&mut rig);
        let statement = rig.answer(&full);
        let outputs = rig.message(paid(statement, latch.clone()), 0);
        assert_eq!(refusals(&outputs), [code]);
        assert_eq!((rig.client.state(), rig.client.latch()), (State::Confirming, None), "{code}");
        let outputs = rig.give(Input::LatchOffered { jws: latch }, 0);
        assert_eq!(refusals(&outputs), [code]);
        assert_eq!((rig.client.state(), rig.client.latch()), (State::Confirming, None), "{code}");
    }
}
