use super::*;
use crate::fixture::{
    EPOCH, NAMESPACE, NONCE, POD, at, authority, enforcer, feed, feed_lease, identity, key, open,
};
use crate::{Authority, LeaseKey, Occasion};

mod delayed;
mod forged;
mod table;

fn hello(enforcer: &mut Enforcer, nonce: [u8; 16], seconds: u64) {
    feed(enforcer, Input::Hello { nonce }, Nanos::from_secs(seconds));
}

fn rejected(outputs: &[Output]) -> Option<LeaseError> {
    match outputs.last() {
        Some(Output::Rejected(error)) => Some(*error),
        _ => None,
    }
}

fn passes(enforcer: &Enforcer, now: Nanos) -> bool {
    enforcer.word().passes(now)
}

fn closed(reason: &str) -> Gate {
    Gate::Closed { reason: reason.to_owned() }
}

#[test]
fn the_gate_is_closed_when_made_and_says_why() {
    let enforcer = Enforcer::new(identity());
    assert_eq!(enforcer.gate(), &closed("no_trust_anchor"));
    assert_eq!(enforcer.word(), GateWord::CLOSED);
    assert_eq!(crate::fixture::enforcer().gate(), &closed("no_lease"));
}

/// LIC-807: another pod's lease, a used nonce, an 11 s old nonce, the nonce of an earlier `Hello`.
#[test]
fn an_open_lease_counts_for_this_pod_and_its_newest_unused_nonce_only() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    let allow = at(0, Verdict::Allow);
    let now = Nanos::from_secs(1);

    let unasked = authority.open(NAMESPACE, POD, &NONCE, &allow);
    assert_eq!(rejected(&feed_lease(&mut enforcer, &unasked, now)), Some(LeaseError::Nonce));

    hello(&mut enforcer, NONCE, 1);
    let other_pod = authority.open(NAMESPACE, "another", &NONCE, &allow);
    assert_eq!(rejected(&feed_lease(&mut enforcer, &other_pod, now)), Some(LeaseError::Pod));
    let other_namespace = authority.open("another", POD, &NONCE, &allow);
    assert_eq!(
        rejected(&feed_lease(&mut enforcer, &other_namespace, now)),
        Some(LeaseError::Namespace)
    );

    let first = authority.open(NAMESPACE, POD, &NONCE, &allow);
    hello(&mut enforcer, [8; 16], 1);
    assert_eq!(rejected(&feed_lease(&mut enforcer, &first, now)), Some(LeaseError::Nonce));

    let second = authority.open(NAMESPACE, POD, &[8; 16], &allow);
    let late = now.plus(Nanos::from_secs(11));
    assert_eq!(rejected(&feed_lease(&mut enforcer, &second, late)), Some(LeaseError::NonceExpired));
    assert_eq!(enforcer.gate(), &closed("no_lease"));

    let last_moment = now.plus(Nanos::from_secs(10));
    let outputs = feed_lease(&mut enforcer, &second, last_moment);
    assert_eq!(outputs.last(), Some(&Output::Accepted));
    assert!(passes(&enforcer, last_moment));

    feed(&mut enforcer, Input::Close { reason: "expired".to_owned() }, last_moment);
    let again = feed_lease(&mut enforcer, &second, last_moment);
    assert_eq!(rejected(&again), Some(LeaseError::Nonce));
    assert!(!passes(&enforcer, last_moment));
}

/// LIC-808: a renewal of another asset is refused; an `open` or a `latch` of a new asset is
/// accepted without a restart, then its renewals.
#[test]
fn renewals_belong_to_the_asset_of_the_last_open_or_latch() {
    let (mut enforcer, mut first) = (enforcer(), authority());
    let mut second = Authority::new(key(1), Uuid::from_u128(2), 9);
    open(&mut enforcer, &mut first, 0);
    let now = Nanos::from_secs(1);
    let foreign = second.renew(&at(1, Verdict::Allow));
    assert_eq!(rejected(&feed_lease(&mut enforcer, &foreign, now)), Some(LeaseError::Asset));

    open(&mut enforcer, &mut second, 1);
    let own = second.renew(&at(2, Verdict::Allow));
    assert_eq!(feed_lease(&mut enforcer, &own, now).last(), Some(&Output::Accepted));
    let old = first.renew(&at(2, Verdict::Allow));
    assert_eq!(rejected(&feed_lease(&mut enforcer, &old, now)), Some(LeaseError::Asset));

    let mut third = Authority::new(key(1), Uuid::from_u128(3), 20);
    let latch = third.latch(NAMESPACE, &production(3));
    assert_eq!(feed_lease(&mut enforcer, &latch, now).last(), Some(&Output::Accepted));
    let own = third.renew(&production(4));
    assert_eq!(feed_lease(&mut enforcer, &own, now).last(), Some(&Output::Accepted));
}

/// LIC-809: an old `block` that is replayed after a newer `open` or renewal closes nothing.
#[test]
fn a_replayed_block_does_not_close_a_gate_opened_since() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    open(&mut enforcer, &mut authority, 0);
    let renewed = authority.renew(&at(5, Verdict::Block));
    feed_lease(&mut enforcer, &renewed, Nanos::from_secs(5));
    assert_eq!(enforcer.gate(), &closed("expired"));
    hello(&mut enforcer, NONCE, 6);
    let opened = authority.open(NAMESPACE, POD, &NONCE, &at(6, Verdict::Block));
    feed_lease(&mut enforcer, &opened, Nanos::from_secs(6));
    assert_eq!(enforcer.gate(), &closed("expired"));

    open(&mut enforcer, &mut authority, 7);
    let newer = authority.renew(&at(8, Verdict::Allow));
    for recent in [None, Some(newer)] {
        if let Some(recent) = &recent {
            feed_lease(&mut enforcer, recent, Nanos::from_secs(8));
        }
        let now = Nanos::from_secs(9);
        let before = (enforcer.gate().clone(), enforcer.last(), enforcer.poll_timeout());
        for old in [&renewed, &opened] {
            assert!(rejected(&feed_lease(&mut enforcer, old, now)).is_some());
            let after = (enforcer.gate().clone(), enforcer.last(), enforcer.poll_timeout());
            assert_eq!(after, before);
            assert!(passes(&enforcer, now));
        }
    }
}

/// LIC-809: every statement recorded in an hour of heartbeats is replayed at its end: none acts.
#[test]
fn a_replayed_hour_of_leases_changes_nothing() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    hello(&mut enforcer, NONCE, 0);
    let mut recorded = vec![authority.open(NAMESPACE, POD, &NONCE, &at(0, Verdict::Allow))];
    feed_lease(&mut enforcer, &recorded[0], Nanos(0));
    for minute in 1..=60 {
        let verdict = if minute == 30 { Verdict::Warn } else { Verdict::Allow };
        let renewal = authority.renew(&at(minute * 60, verdict));
        let outputs = feed_lease(&mut enforcer, &renewal, Nanos::from_secs(minute * 60));
        assert_eq!(outputs.last(), Some(&Output::Accepted));
        recorded.push(renewal);
    }
    let now = Nanos::from_secs(3601);
    let before = (enforcer.gate().clone(), enforcer.last());
    for old in recorded.iter().chain(recorded.iter().rev()) {
        assert!(rejected(&feed_lease(&mut enforcer, old, now)).is_some());
        assert_eq!((enforcer.gate().clone(), enforcer.last()), before);
    }
    let end = Nanos::from_secs(3600 + 183);
    assert_eq!(enforcer.poll_timeout(), Some(end));
    for old in &recorded {
        assert!(rejected(&feed_lease(&mut enforcer, old, end)).is_some());
        assert!(!passes(&enforcer, end));
    }
}

/// LIC-811: a renewal is refused on a gate that is closed: by a close, at its deadline, from the
/// start.
#[test]
fn a_renewal_never_opens_a_closed_gate() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    let first = authority.renew(&at(0, Verdict::Allow));
    assert!(rejected(&feed_lease(&mut enforcer, &first, Nanos(0))).is_some());
    assert_eq!(enforcer.word(), GateWord::CLOSED);

    open(&mut enforcer, &mut authority, 1);
    feed(&mut enforcer, Input::Close { reason: "unknown".to_owned() }, Nanos::from_secs(2));
    let renewal = authority.renew(&at(3, Verdict::Allow));
    let outputs = feed_lease(&mut enforcer, &renewal, Nanos::from_secs(3));
    assert_eq!(rejected(&outputs), Some(LeaseError::GateClosed));
    assert_eq!(enforcer.word(), GateWord::CLOSED);

    open(&mut enforcer, &mut authority, 4);
    let end = Nanos::from_secs(4 + 183);
    let renewal = authority.renew(&at(4 + 183, Verdict::Allow));
    let outputs = feed_lease(&mut enforcer, &renewal, end);
    assert_eq!(rejected(&outputs), Some(LeaseError::GateClosed));
    assert_eq!(enforcer.gate(), &closed(LEASE_ENDED));
}

/// LIC-812: `block` closes at once, in a renewal and in an `open`; the reason is the statement's.
#[test]
fn a_block_statement_closes_at_once() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    open(&mut enforcer, &mut authority, 0);
    let now = Nanos::from_secs(5);
    let block = authority.renew(&at(5, Verdict::Block));
    let outputs = feed_lease(&mut enforcer, &block, now);
    assert_eq!(
        outputs,
        [
            Output::Publish(GateWord::CLOSED),
            Output::Closed { reason: "expired".to_owned() },
            Output::Accepted
        ]
    );
    assert!(!passes(&enforcer, now));

    open(&mut enforcer, &mut authority, 6);
    hello(&mut enforcer, NONCE, 7);
    let block = authority.open(NAMESPACE, POD, &NONCE, &at(7, Verdict::Block));
    feed_lease(&mut enforcer, &block, Nanos::from_secs(7));
    assert_eq!(enforcer.gate(), &closed("expired"));
}

/// LIC-813: the gate closes at `ttl` by boot time, which a suspend moves on like waking time; the
/// word itself says so, without the enforcer running. From an `open` it counts from the nonce.
#[test]
fn the_gate_closes_by_itself_at_the_deadline_of_its_lease() {
    for (made, delivered) in [(0, 0), (0, 9), (100, 107)] {
        let (mut enforcer, mut authority) = (enforcer(), authority());
        hello(&mut enforcer, NONCE, made);
        let jws = authority.open(NAMESPACE, POD, &NONCE, &at(made, Verdict::Allow));
        feed_lease(&mut enforcer, &jws, Nanos::from_secs(delivered));
        let end = Nanos::from_secs(made + 183);
        assert_eq!(enforcer.poll_timeout(), Some(end));
        assert!(passes(&enforcer, Nanos(end.0 - 1)));
        assert!(!passes(&enforcer, end));
        enforcer.handle_timeout(Nanos(end.0 - 1));
        assert_eq!(enforcer.poll_output(), None);
        let after_suspend = end.plus(Nanos::from_secs(86_400));
        enforcer.handle_timeout(after_suspend);
        assert_eq!(enforcer.gate(), &closed(LEASE_ENDED));
        assert_eq!(enforcer.poll_output(), Some(Output::Publish(GateWord::CLOSED)));
    }
}

/// LIC-813: a renewal's deadline counts from its arrival, bounded by its `exp` in the signer's
/// time as this TMM reckons it, and by 603 s.
#[test]
fn a_renewal_prolongs_to_the_earlier_of_ttl_and_its_end() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    open(&mut enforcer, &mut authority, 0);
    let fresh = authority.renew(&at(60, Verdict::Allow));
    feed_lease(&mut enforcer, &fresh, Nanos::from_secs(60));
    assert_eq!(enforcer.poll_timeout(), Some(Nanos::from_secs(60 + 183)));

    let delayed = authority.renew(&at(120, Verdict::Allow));
    feed_lease(&mut enforcer, &delayed, Nanos::from_secs(200));
    assert_eq!(enforcer.poll_timeout(), Some(Nanos::from_secs(120 + 183)));

    let trial_end = Occasion { ends: Some(EPOCH + 230), ..at(210, Verdict::Warn) };
    let last = authority.renew(&trial_end);
    feed_lease(&mut enforcer, &last, Nanos::from_secs(210));
    assert_eq!(enforcer.poll_timeout(), Some(Nanos::from_secs(230)));

    let long = Occasion { ttl: 603, ..at(220, Verdict::Allow) };
    let longest = authority.renew(&long);
    feed_lease(&mut enforcer, &longest, Nanos::from_secs(220));
    assert_eq!(enforcer.poll_timeout(), Some(Nanos::from_secs(220 + 603)));
}

/// LIC-816: closing an unlatched gate needs no signature.
#[test]
fn an_unsigned_close_closes_an_open_gate() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    open(&mut enforcer, &mut authority, 0);
    let now = Nanos::from_secs(1);
    assert!(passes(&enforcer, now));
    let outputs = feed(&mut enforcer, Input::Close { reason: "comms_lost".to_owned() }, now);
    assert_eq!(
        outputs,
        [Output::Publish(GateWord::CLOSED), Output::Closed { reason: "comms_lost".to_owned() }]
    );
    assert!(!passes(&enforcer, now));
}

/// LIC-814: a latch opens without a nonce; one of another class or for another namespace is refused.
#[test]
fn a_latch_opens_for_good_and_is_handed_back() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    let trial = authority.latch(NAMESPACE, &at(0, Verdict::Allow));
    assert_eq!(rejected(&feed_lease(&mut enforcer, &trial, Nanos(0))), Some(LeaseError::Class));
    let foreign = authority.latch("another", &production(0));
    assert_eq!(
        rejected(&feed_lease(&mut enforcer, &foreign, Nanos(0))),
        Some(LeaseError::Namespace)
    );
    assert_eq!(enforcer.latch(), None);

    let latch = authority.latch(NAMESPACE, &production(0));
    feed_lease(&mut enforcer, &latch, Nanos(0));
    assert_eq!(enforcer.latch(), Some(latch.as_str()));
    assert!(passes(&enforcer, Nanos::from_secs(10_000_000)));
}

/// LIC-815: a latched gate stays open under `Close`, `block` and silence, and counts each. (Packets
/// are watched with real processes.)
#[test]
fn a_latched_gate_ignores_close_block_and_silence_and_counts_them() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    let latch = authority.latch(NAMESPACE, &production(0));
    feed_lease(&mut enforcer, &latch, Nanos(0));

    feed(&mut enforcer, Input::Close { reason: "expired".to_owned() }, Nanos(0));
    assert_eq!(enforcer.latched_ignored(), 1);
    let block = authority.renew(&at(1, Verdict::Block));
    feed_lease(&mut enforcer, &block, Nanos::from_secs(1));
    assert_eq!(enforcer.latched_ignored(), 2);
    let renewal = authority.renew(&production(2));
    feed_lease(&mut enforcer, &renewal, Nanos::from_secs(2));
    let lost = enforcer.poll_timeout().unwrap();
    enforcer.handle_timeout(lost);
    assert_eq!(enforcer.latched_ignored(), 3);
    assert_eq!(enforcer.poll_timeout(), None);
    assert_eq!(enforcer.gate(), &Gate::Latched);
}

/// LIC-819: with both keys in the set leases of both are accepted; without the old one its leases
/// are refused. A running gate is left alone.
#[test]
fn a_replaced_key_set_leaves_the_gate_and_decides_on_new_leases() {
    let (mut enforcer, mut old) = (enforcer(), authority());
    let mut new = Authority::new(key(2), Uuid::from_u128(1), 2);
    open(&mut enforcer, &mut old, 0);
    let both = key(1).jwks().joined(&key(2).jwks());
    feed(&mut enforcer, Input::TrustAnchor(both), Nanos(0));
    for authority in [&mut old, &mut new] {
        let jws = authority.renew(&at(1, Verdict::Allow));
        let outputs = feed_lease(&mut enforcer, &jws, Nanos::from_secs(1));
        assert_eq!(outputs.last(), Some(&Output::Accepted));
    }
    feed(&mut enforcer, Input::TrustAnchor(key(2).jwks()), Nanos(0));
    assert!(passes(&enforcer, Nanos::from_secs(2)));
    let jws = old.renew(&at(2, Verdict::Allow));
    let outputs = feed_lease(&mut enforcer, &jws, Nanos::from_secs(2));
    assert_eq!(rejected(&outputs), Some(LeaseError::UnknownKey));
}

fn production(seconds: u64) -> Occasion {
    Occasion { class: Class::Production, ..at(seconds, Verdict::Allow) }
}

fn forger() -> LeaseKey {
    key(66)
}
