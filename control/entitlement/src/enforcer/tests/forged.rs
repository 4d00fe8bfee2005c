//! Statements that no trusted key signed as a lease.

use spk_jose::base64url::encode;

use super::*;

/// LIC-806: unsigned, another key, another algorithm, altered, a signed debug statement in its
/// place, wrong issuer or audience: refused, and the gate stays closed.
#[test]
fn a_forged_lease_is_refused_and_the_gate_stays_closed() {
    let mut authority = authority();
    let good = authority.open(NAMESPACE, POD, &NONCE, &at(0, Verdict::Allow));
    let parts: Vec<&str> = good.split('.').collect();
    let claims = lease::verify(&good, &key(1).jwks()).unwrap().claims;
    let payload = serde_json::to_vec(&claims).unwrap();
    let head = |alg: &str| {
        let kid = key(1).kid().to_owned();
        format!(r#"{{"alg":"{alg}","typ":"spk-lease+jwt","kid":"{kid}"}}"#)
    };
    let altered = |change: fn(&mut LeaseClaims)| {
        let mut other = claims.clone();
        change(&mut other);
        format!("{}.{}.{}", parts[0], encode(&serde_json::to_vec(&other).unwrap()), parts[2])
    };
    let signed = |change: fn(&mut LeaseClaims)| {
        let mut other = claims.clone();
        change(&mut other);
        lease::sign(&key(1), &other)
    };
    let cases = [
        (format!("{}.{}.AA", encode(head("none").as_bytes()), parts[1]), LeaseError::Algorithm),
        (format!("{}.{}.", encode(head("none").as_bytes()), parts[1]), LeaseError::Malformed),
        (format!("{}.{}.", parts[0], parts[1]), LeaseError::Malformed),
        (lease::sign(&forger(), &claims), LeaseError::UnknownKey),
        (forger().sign_parts(head("EdDSA").as_bytes(), &payload), LeaseError::Signature),
        (key(1).sign_parts(head("RS512").as_bytes(), &payload), LeaseError::Algorithm),
        (key(1).sign_parts(head("HS256").as_bytes(), &payload), LeaseError::Algorithm),
        (key(1).sign_parts(head("eddsa").as_bytes(), &payload), LeaseError::Algorithm),
        (altered(|claims| claims.seq += 1), LeaseError::Signature),
        (altered(|claims| claims.exp = claims.exp.map(|exp| exp + 1)), LeaseError::Signature),
        (key(1).sign_typed("spk-debug+jwt", &payload), LeaseError::Type),
        (signed(|claims| claims.iss = "spk-node".to_owned()), LeaseError::Issuer),
        (signed(|claims| claims.aud = "f5-debug".to_owned()), LeaseError::Audience),
        (signed(|claims| claims.exp = None), LeaseError::Claims),
        (signed(|claims| claims.ttl = Some(122)), LeaseError::Claims),
        (signed(|claims| claims.ttl = Some(604)), LeaseError::Claims),
        (signed(|claims| claims.exp = Some(claims.iat + 184)), LeaseError::Claims),
        (signed(|claims| claims.iat = u64::MAX), LeaseError::Claims),
        (signed(|claims| claims.nonce = None), LeaseError::Claims),
    ];
    for (number, (jws, error)) in cases.into_iter().enumerate() {
        let mut enforcer = enforcer();
        hello(&mut enforcer, NONCE, 0);
        let outputs = feed_lease(&mut enforcer, &jws, Nanos(0));
        assert_eq!(outputs, [Output::Rejected(error)], "case {number}");
        assert_eq!(enforcer.word(), GateWord::CLOSED, "case {number}");
    }

    let mut enforcer = enforcer();
    hello(&mut enforcer, NONCE, 0);
    let outputs = feed_lease(&mut enforcer, &good, Nanos(0));
    assert_eq!(outputs.last(), Some(&Output::Accepted), "the one they were made from is good");
}

/// LIC-806: without a key set everything is refused with `no_trust_anchor`.
#[test]
fn without_a_trust_anchor_a_good_lease_is_refused() {
    let mut enforcer = Enforcer::new(identity());
    hello(&mut enforcer, NONCE, 0);
    let good = authority().open(NAMESPACE, POD, &NONCE, &at(0, Verdict::Allow));
    let outputs = feed_lease(&mut enforcer, &good, Nanos(0));
    assert_eq!(outputs, [Output::Rejected(LeaseError::NoTrustAnchor)]);
    assert_eq!(LeaseError::NoTrustAnchor.code(), "no_trust_anchor");
    assert_eq!(enforcer.gate(), &closed("no_trust_anchor"));
}

#[test]
fn a_forged_lease_leaves_an_open_gate_open() {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    open(&mut enforcer, &mut authority, 0);
    let before = enforcer.gate().clone();
    let mut other = Authority::new(forger(), authority.daid(), 99);
    let block = other.renew(&at(1, Verdict::Block));
    let outputs = feed_lease(&mut enforcer, &block, Nanos::from_secs(1));
    assert_eq!(outputs, [Output::Rejected(LeaseError::UnknownKey)]);
    assert_eq!(enforcer.gate(), &before);
}
