use super::*;
use crate::fixture::{NAMESPACE, NONCE, POD, at, authority};
use crate::lease;

#[test]
fn statements_are_numbered_from_one_within_an_epoch() {
    let mut authority = authority();
    let keys = authority.key().jwks();
    assert_eq!(authority.last(), (1, 0));
    for seq in 1..=3 {
        let jws = authority.renew(&at(seq, Verdict::Allow));
        let claims = lease::verify(&jws, &keys).unwrap().claims;
        assert_eq!((claims.epoch, claims.seq), (1, seq));
    }
}

#[test]
fn a_trial_lease_ends_with_the_licence() {
    let mut authority = authority();
    let keys = authority.key().jwks();
    let mut occasion = at(0, Verdict::Allow);
    occasion.ends = Some(occasion.iat + 20);
    let jws = authority.open(NAMESPACE, POD, &NONCE, &occasion);
    assert_eq!(lease::verify(&jws, &keys).unwrap().claims.exp, Some(occasion.iat + 20));
}

#[test]
fn ttl_is_brought_into_its_range() {
    let mut authority = authority();
    let keys = authority.key().jwks();
    for (asked, given) in [(1, 123), (183, 183), (9999, 603)] {
        let mut occasion = at(0, Verdict::Warn);
        occasion.ttl = asked;
        let claims = lease::verify(&authority.renew(&occasion), &keys).unwrap().claims;
        assert_eq!(claims.ttl, Some(given));
        assert_eq!(claims.exp, Some(claims.iat + given));
    }
}
