//! What is learnt from `last` (licensing.md §7.5).

use super::*;
use crate::lease::Kind;
use crate::{Authority, Occasion};

/// 1 January 2099.
const YEAR_2099: u64 = 4_070_908_800;

/// A statement of `epoch` and time `iat`, signed by [`key`] `signer`.
fn signed(signer: u8, epoch: u64, iat: u64) -> String {
    let occasion = Occasion {
        class: Class::Trial,
        verdict: Verdict::Allow,
        reason: "verified".to_owned(),
        iat,
        ttl: 183,
        ends: None,
    };
    Authority::new(key(signer), DAID, epoch).renew(&occasion)
}

/// The same with other claims and the old signature.
fn altered(statement: &str, change: impl Fn(&mut LeaseClaims)) -> String {
    let mut claims = claims(statement);
    change(&mut claims);
    let payload = serde_json::to_vec(&claims).unwrap();
    let parts: Vec<&str> = statement.split('.').collect();
    format!("{}.{}.{}", parts[0], spk_jose::base64url::encode(&payload), parts[2])
}

/// LIC-541: a `last` that is unsigned, altered, of a foreign key, of epoch 2^64-1 or of the year
/// 2099 changes neither epoch nor mark nor verdict, and is counted; its request is answered.
#[test]
fn a_forged_last_teaches_nothing() {
    let own = signed(1, 8, EPOCH);
    let parts: Vec<&str> = own.split('.').collect();
    let forged = [
        String::new(),
        format!("{}.{}.", parts[0], parts[1]),
        altered(&own, |claims| claims.seq += 1),
        altered(&own, |claims| claims.epoch = u64::MAX),
        altered(&own, |claims| (claims.iat, claims.exp) = (YEAR_2099, Some(YEAR_2099 + 183))),
        signed(66, 8, EPOCH),
        signed(66, u64::MAX, YEAR_2099),
    ];
    let mut rig = Rig::new(trial());
    for (number, last) in forged.into_iter().enumerate() {
        let (id, outputs) = rig.message(NAMESPACE, request_with(Some(last), &[]), 1);
        assert_eq!(refusals(&outputs), ["foreign_last"], "case {number}");
        assert_eq!(kinds(&outputs), ["Verified", "Entitlement Trial"], "case {number}");
        let said = statement(published(&outputs)[0]);
        assert_eq!((said.epoch, said.iat), (5, EPOCH + 1), "case {number}");
        assert_eq!((said.verdict, said.nonce), (Verdict::Allow, Some(id.to_string())));
        let learnt = |output: &Output| matches!(output, Output::Learnt { .. });
        assert!(!outputs.iter().any(learnt), "case {number}");
    }
}

/// LIC-541: its own statement from ahead is learnt, by epoch, by number or by time alone; the answer
/// waits until that is stored, and is signed in the new epoch. (That the licence machine raises epoch
/// and mark is shown there.)
#[test]
fn an_own_statement_from_ahead_is_learnt_before_the_answer() {
    let far = {
        let mut author = Authority::new(key(1), DAID, 5);
        let occasion = Occasion {
            class: Class::Trial,
            verdict: Verdict::Allow,
            reason: "verified".to_owned(),
            iat: EPOCH,
            ttl: 183,
            ends: None,
        };
        let mut statement = author.renew(&occasion);
        for _ in 0..40 {
            statement = author.renew(&occasion);
        }
        statement
    };
    let cases = [
        (signed(1, 8, EPOCH), (8, 1, EPOCH)),
        (far, (5, 41, EPOCH)),
        (signed(1, 2, EPOCH + 5000), (2, 1, EPOCH + 5000)),
    ];
    for (last, (epoch, seq, iat)) in cases {
        assert_eq!(claims(&last).kind, Kind::Renew);
        let mut rig = Rig::new(trial());
        let (id, outputs) = rig.message(NAMESPACE, request_with(Some(last), &[]), 1);
        let learnt = Output::Learnt { epoch, seq, iat };
        assert_eq!(outputs[outputs.len() - 1], learnt);
        assert_eq!(kinds(&outputs).iter().filter(|kind| **kind != "heartbeat").count(), 0);
        let outputs = rig.give(Input::Epoch(9), 1);
        assert_eq!(kinds(&outputs), ["Verified", "Entitlement Trial"]);
        let said = statement(published(&outputs)[0]);
        assert_eq!((said.epoch, said.nonce), (9, Some(id.to_string())));
        assert_eq!(rig.give(Input::Epoch(9), 1), [], "answered once");
    }
}

#[test]
fn an_own_statement_from_behind_teaches_nothing_and_is_no_forgery() {
    let mut rig = Rig::new(trial());
    rig.run(0);
    for last in [signed(1, 4, EPOCH), signed(1, 5, EPOCH + 1)] {
        let (_, outputs) = rig.message(NAMESPACE, request_with(Some(last), &[]), 1);
        assert_eq!(outputs.len(), 2);
        assert_eq!(kinds(&outputs), ["Verified", "Entitlement Trial"]);
    }
}

#[test]
fn a_key_that_signed_before_still_teaches() {
    let published = key(1).jwks().joined(&key(2).jwks());
    let mut rig = Rig::with(KeyRing { signing: key(2), next: None, published }, trial());
    let (_, outputs) = rig.message(NAMESPACE, request_with(Some(signed(1, 8, EPOCH)), &[]), 1);
    assert!(outputs.contains(&Output::Learnt { epoch: 8, seq: 1, iat: EPOCH }));
}
