//! When contact counts as lost, and how late messages are told from live ones.

use proptest::prelude::*;

use super::*;
use crate::contact::HEARTBEAT_EVERY;

/// Second at which a client that heard its answer at second 0, and heartbeats at `beats`, loses
/// contact.
fn lost_at(missed: u64, beats: &[u64]) -> u64 {
    let mut rig = Rig::new();
    let ttl = MissedHeartbeats::new(missed).unwrap().ttl();
    let allow = |now| Occasion { ttl, ..says(now, Verdict::Allow, Reason::Verified) };
    rig.trial(&allow(0), 0);
    for beat in beats {
        rig.run(*beat);
        rig.beat(&allow(*beat), *beat);
    }
    let silent = rig.client.silent_at.unwrap();
    rig.outputs.clear();
    rig.client.handle_timeout(Nanos(silent.0 - 1));
    rig.drain();
    assert_eq!((rig.client.state(), &rig.outputs[..]), (State::Active, &[][..]));
    rig.client.handle_timeout(silent);
    assert_eq!((rig.client.state(), rig.verdict()), (State::Lost, Judged::Block));
    silent.0 / 1_000_000_000
}

/// LIC-729: with two heartbeats missed nothing happens, with the third contact is lost, at 183 s;
/// with 2 or 10 allowed to miss, at 123 s and 603 s. (That 1 and 11 are refused: `contact`.)
#[test]
fn contact_is_lost_after_the_missed_heartbeats_and_3_s() {
    assert_eq!(HEARTBEAT_EVERY, seconds(60));
    assert_eq!(lost_at(3, &[]), 183);
    assert_eq!(lost_at(3, &[60, 120]), 303);
    assert_eq!(lost_at(3, &[180]), 363, "the third in time");
    assert_eq!(lost_at(2, &[60]), 183);
    assert_eq!(lost_at(10, &[60]), 663);
}

/// LIC-729: without any statement a start is judged lost at 183 s, and stays Unknown before.
#[test]
fn a_start_without_an_answer_is_lost_at_183_s() {
    let mut rig = Rig::new();
    assert_eq!(asks(&rig.run(182)), 36, "every 5 s");
    assert_eq!(rig.verdict(), Judged::Unknown);
    let outputs = rig.run(183);
    assert_eq!(outputs[0], Output::ContactLost);
    assert_eq!((rig.verdict(), rig.client.judgement().reason), (Judged::Block, Reason::CommsLost));
}

/// LIC-731: heartbeats held back do not keep a trial alive: silence counts from their `iat`, and
/// what has ended by then does not count.
#[test]
fn a_heartbeat_that_is_delivered_late_re_arms_only_to_its_own_end() {
    for held in [1, 60, 150, 182, 183, 184, 300] {
        let mut rig = Rig::new();
        let allow = |now| says(now, Verdict::Allow, Reason::Verified);
        rig.trial(&allow(0), 0);
        let beat = rig.authority.renew(&allow(100));
        rig.run(100 + held);
        let outputs = rig.message(heartbeat(beat), 100 + held);
        if held < 183 {
            // At 183 s and later contact was lost meanwhile; the heartbeat ends that until 283 s.
            assert_eq!(refusals(&outputs), [""; 0], "{held}");
            assert_eq!(rig.client.silent_at, Some(seconds(283)), "{held}");
        } else {
            assert_eq!(refusals(&outputs), ["statement_ended"], "{held}");
        }
        rig.run(283);
        assert_eq!(rig.verdict(), Judged::Block, "{held}");
    }
}

/// LIC-731: an answer to an own request that is held back counts from the instant of the request.
#[test]
fn a_late_answer_counts_from_its_request() {
    let mut rig = Rig::new();
    let first = rig.request;
    let answer = rig.authority.answer(NAMESPACE, first, &says(1, Verdict::Allow, Reason::Verified));
    rig.run(150);
    rig.message(trial(answer), 150);
    assert_eq!((rig.client.state(), rig.client.silent_at), (State::Active, Some(seconds(183))));

    let mut rig = Rig::new();
    let answer =
        rig.authority.answer(NAMESPACE, rig.request, &says(1, Verdict::Allow, Reason::Verified));
    rig.run(190);
    assert_eq!(refusals(&rig.message(trial(answer), 190)), ["statement_ended"]);
    assert_eq!(rig.verdict(), Judged::Block);
}

/// LIC-740: `t_low` is ahead of a CWC whose clock went back, by K9 (new epoch) or because an earlier
/// `iat` was 29 days ahead: heartbeats are dropped; the answer to the own request is taken, sets
/// `t_low`, and a trial comes out of Lost at most 6 s after contact was lost; later heartbeats count.
#[test]
fn a_clock_corrected_backwards_strands_no_controller() {
    const DAYS: u64 = 29 * 86_400;
    for new_epoch in [false, true] {
        let mut rig = Rig::new();
        let allow = |now| says(now, Verdict::Allow, Reason::Verified);
        rig.trial(&allow(DAYS), 0);
        if new_epoch {
            rig.authority.begin(2);
        }
        for beat in [60, 120, 180] {
            rig.run(beat);
            assert_eq!(refusals(&rig.beat(&allow(beat), beat)), ["statement_ended"]);
        }
        let outputs = rig.run(183);
        assert!(outputs.contains(&Output::ContactLost));
        assert_eq!((rig.client.state(), asks(&outputs)), (State::Lost, 1), "asks at once");
        let outputs = rig.verified(&allow(183), 184);
        assert!(outputs.contains(&Output::ContactRestored));
        assert_eq!((rig.client.state(), rig.verdict()), (State::Confirming, Judged::Allow));
        rig.trial(&allow(183), 184);
        rig.run(240);
        assert_eq!(refusals(&rig.beat(&allow(240), 240)), [""; 0]);
        assert_eq!(rig.client.silent_at, Some(seconds(240 + 183)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// LIC-731: with every message held back by 1 to 300 s in any order, a trial is never allowed
    /// later than 188 s after the newest `iat` that was fed.
    #[test]
    fn a_trial_is_blocked_188_s_after_the_newest_iat_fed(
        delays in proptest::collection::vec(1..=300u64, 1..12)
    ) {
        let mut rig = Rig::new();
        let allow = |now| says(now, Verdict::Allow, Reason::Verified);
        let mut wire = vec![(delays[0], 0, trial(rig.answer(&allow(0))))];
        for (number, delay) in delays.iter().enumerate().skip(1) {
            let beat = number as u64 * 60;
            wire.push((beat + delay, beat, heartbeat(rig.authority.renew(&allow(beat)))));
        }
        wire.sort_by_key(|(at, ..)| *at);
        let mut wire = wire.into_iter().peekable();
        let mut newest = 0;
        for now in 0..1400 {
            rig.run(now);
            while let Some((_, iat, body)) = wire.next_if(|(at, ..)| *at == now) {
                newest = newest.max(iat);
                rig.message(body, now);
            }
            if matches!(rig.verdict(), Judged::Allow | Judged::Warn) {
                prop_assert!(now <= newest + 188, "allowed at {now}, newest {newest}");
            }
        }
    }
}
