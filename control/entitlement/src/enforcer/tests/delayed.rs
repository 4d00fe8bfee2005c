//! Leases that come late (LIC-810).

use proptest::prelude::*;

use super::*;

/// Heartbeats of one recording.
const BEATS: u64 = 100;
/// Seconds between two.
const BEAT: u64 = 60;
/// Seconds that a statement lasts.
const TTL: u64 = 183;

/// Records an `open` for a nonce made at second 0, signed `signed` seconds later, and the
/// heartbeats after it.
fn recording(signed: u64) -> Vec<(u64, String)> {
    let mut authority = authority();
    let mut record =
        vec![(signed, authority.open(NAMESPACE, POD, &NONCE, &at(signed, Verdict::Allow)))];
    for beat in 1..=BEATS {
        record.push((
            signed + beat * BEAT,
            authority.renew(&at(signed + beat * BEAT, Verdict::Allow)),
        ));
    }
    record
}

/// Feeds `record` at the given seconds and checks, at each second until the last lease is long
/// over, that the gate is not open past the `exp` of the newest one fed, and 5 s, in CWC's time.
/// CWC's clock is boot time here, moved by [`EPOCH`].
fn check(record: &[(u64, String)], arrivals: &[u64]) -> Result<u64, TestCaseError> {
    let mut enforcer = enforcer();
    hello(&mut enforcer, NONCE, 0);
    let mut fed: Vec<(u64, usize)> =
        arrivals.iter().enumerate().map(|(place, second)| (*second, place)).collect();
    fed.sort_unstable();
    let mut fed = fed.into_iter().peekable();
    let mut newest_end = 0;
    let mut seconds_open = 0;
    let last = arrivals.iter().max().copied().unwrap_or(0) + 2 * TTL;
    for second in 0..last {
        let now = Nanos::from_secs(second);
        while let Some((_, place)) = fed.next_if(|(at, _)| *at <= second) {
            let (signed, jws) = &record[place];
            newest_end = newest_end.max(signed + TTL);
            feed_lease(&mut enforcer, jws, now);
        }
        if enforcer.word().passes(now) {
            seconds_open += 1;
            prop_assert!(second <= newest_end + 5, "open at {second}, newest ends {newest_end}");
        }
    }
    Ok(seconds_open)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// LIC-810: an `open` 10 s late and 100 heartbeats any time late. No wall clock is an input of
    /// the enforcer, so none has an effect.
    #[test]
    fn late_leases_never_open_the_gate_past_the_newest_end(
        signed in 0..=10u64,
        delays in proptest::collection::vec(
            prop_oneof![Just(0u64), 0..30u64, 0..400u64, 0..8000u64], BEATS as usize)
    ) {
        let record = recording(signed);
        let mut arrivals = vec![10];
        arrivals.extend(record[1..].iter().zip(&delays).map(|((signed, _), delay)| signed + delay));
        check(&record, &arrivals)?;
    }
}

/// LIC-810: all heartbeats delivered at once, or each as late as its own life, in order and in
/// reverse; and the same recording on time keeps the gate open, so the check can fail.
#[test]
fn hoarded_leases_gain_no_time() {
    let record = recording(10);
    let on_time: Vec<u64> = record.iter().map(|(signed, _)| *signed).collect();
    let open_for = check(&record, &on_time).unwrap();
    // The open was signed 10 s after its nonce was made, and its end counts from there.
    assert_eq!(open_for, BEATS * BEAT + TTL - 10);

    let mut hoarded = on_time.clone();
    hoarded[1..].fill(150);
    check(&record, &hoarded).unwrap();
    let late: Vec<u64> =
        on_time.iter().enumerate().map(|(n, at)| if n == 0 { *at } else { at + TTL }).collect();
    let open_for = check(&record, &late).unwrap();
    assert_eq!(open_for, TTL - 10, "the open alone");
    let mut reverse = on_time;
    reverse[1..].reverse();
    check(&record, &reverse).unwrap();
}
