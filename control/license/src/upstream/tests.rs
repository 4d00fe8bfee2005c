use std::time::Duration;

use proptest::prelude::*;

use super::{Answer, Attempts, BODY_LIMIT, Failure, HOURLY, manifest};
use crate::codes::Code;
use crate::fixture::NOW;

const GRACE: u64 = 24 * 3_600;
const LATER: Failure =
    Failure { code: Code::UpstreamUnreachable, temporary: true, retry_after: None };

fn response(status: u16, body: &[u8]) -> Result<String, Failure> {
    manifest(Answer::Response { status, retry_after: None, body }, NOW)
}

fn waiting(status: u16, retry_after: &str) -> Option<u64> {
    let answer = Answer::Response { status, retry_after: Some(retry_after), body: b"" };
    manifest(answer, NOW).unwrap_err().retry_after
}

/// LIC-401
#[test]
fn attempts_back_off_from_one_second_to_five_minutes_within_a_fifth() {
    let wanted = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
    for jitter in [0.0, 0.25, 0.5, 1.0] {
        let mut attempts = Attempts::default();
        let mut now = NOW;
        for seconds in wanted {
            attempts.started(now);
            let plan = attempts.failed(LATER, now, GRACE, jitter);
            assert!(!plan.refused);
            let exact = f64::from(seconds) * (0.8 + 0.4 * jitter);
            assert!((plan.delay.as_secs_f64() - exact).abs() < 1e-6, "{seconds} {jitter}");
            now += plan.delay.as_secs();
        }
    }
}

/// LIC-401: the shift of the back-off cannot overflow.
#[test]
fn a_week_of_attempts_still_waits_five_minutes() {
    let mut attempts = Attempts::default();
    attempts.started(NOW);
    for _ in 0..2_000 {
        let plan = attempts.failed(LATER, NOW, GRACE, 0.5);
        assert!(plan.delay <= Duration::from_secs(300));
    }
}

/// LIC-402
#[test]
fn retry_after_is_honoured_up_to_an_hour() {
    for status in [408, 425, 429, 500, 503, 599] {
        assert_eq!(waiting(status, "120"), Some(120));
        assert_eq!(waiting(status, " 86400 "), Some(3_600));
        // NOW is 2027-01-15T08:00:00Z.
        assert_eq!(waiting(status, "Fri, 15 Jan 2027 08:10:00 GMT"), Some(600));
        assert_eq!(waiting(status, "Fri, 15 Jan 2027 07:00:00 GMT"), Some(0));
        assert_eq!(waiting(status, "Sat, 16 Jan 2027 08:00:00 GMT"), Some(3_600));
        for junk in ["soon", "", "-5", "1.5", "99999999999999999999999"] {
            assert_eq!(waiting(status, junk), None, "{junk}");
        }
    }
    let plan = |retry_after, jitter| {
        let mut attempts = Attempts::default();
        attempts.started(NOW);
        attempts.failed(Failure { retry_after, ..LATER }, NOW, GRACE, jitter).delay
    };
    assert_eq!(plan(Some(120), 0.5), Duration::from_secs(120));
    // A service that asks for nothing is not asked all the time.
    assert_eq!(plan(Some(0), 0.5), Duration::from_secs(1));
}

/// LIC-403: the classes; process tests see state 13.
#[test]
fn refusals_and_bad_answers_are_told_from_failures() {
    assert_eq!(response(200, br#"{"manifest":"a.b.c"}"#), Ok("a.b.c".to_owned()));
    assert_eq!(response(200, br#"{"x":[],"manifest":"a.b.c"}"#), Ok("a.b.c".to_owned()));
    let code = |status, body: &[u8]| response(status, body).map_err(|f| (f.code, f.temporary));
    for status in [400, 401, 403, 404, 409, 413, 422, 451] {
        assert_eq!(code(status, b""), Err((Code::UpstreamRejected, false)), "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(code(status, b""), Err((Code::UpstreamUnreachable, true)), "{status}");
    }
    for status in [201, 204, 301, 302, 307, 308] {
        let answer = code(status, br#"{"manifest":"a.b.c"}"#);
        assert_eq!(answer, Err((Code::UpstreamBadResponse, false)), "{status}");
    }
    let mut large = br#"{"manifest":"a.b.c"}"#.to_vec();
    large.resize(BODY_LIMIT, b' ');
    assert!(response(200, &large).is_ok());
    large.push(b' ');
    for body in [
        &b""[..],
        b"{}",
        b"[]",
        br#"{"manifest":""}"#,
        br#"{"manifest":1}"#,
        br#"{"manifest":"a","manifest":"b"}"#,
        &large,
    ] {
        assert_eq!(response(200, body), Err(Failure::BAD_MANIFEST));
    }
    let unreachable = manifest(Answer::Unreachable, NOW).unwrap_err();
    assert_eq!((unreachable.code, unreachable.temporary), (Code::UpstreamUnreachable, true));
    let tls = manifest(Answer::Tls, NOW).unwrap_err();
    assert_eq!((tls.code, tls.temporary), (Code::UpstreamTls, true));
}

/// LIC-403: hourly after a refusal, whatever the next failure is.
#[test]
fn a_refused_report_is_sent_again_every_hour() {
    let rejected = response(403, b"").unwrap_err();
    for refusal in [rejected, Failure::BAD_MANIFEST] {
        let mut attempts = Attempts::default();
        attempts.started(NOW);
        let plan = attempts.failed(refusal, NOW, GRACE, 0.5);
        assert!(plan.refused);
        assert_eq!((plan.code, plan.delay), (refusal.code, HOURLY));
        assert_eq!(attempts.deadline(GRACE), None);
        let plan = attempts.failed(LATER, NOW + 3_600, GRACE, 0.5);
        assert!(plan.refused);
        assert_eq!((plan.code, plan.delay), (Code::UpstreamUnreachable, HOURLY));
    }
}

/// LIC-403: no answer within the grace is a refusal as well.
#[test]
fn no_answer_within_the_grace_counts_as_refusal() {
    let tls = Failure { code: Code::UpstreamTls, ..LATER };
    let mut attempts = Attempts::default();
    assert_eq!(attempts.deadline(GRACE), None);
    attempts.started(NOW);
    attempts.failed(tls, NOW, GRACE, 0.5);
    attempts.started(NOW + 10);
    assert_eq!(attempts.deadline(GRACE), Some(NOW + GRACE));
    assert!(!attempts.failed(tls, NOW + GRACE - 1, GRACE, 0.5).refused);
    let mut late = attempts;
    let plan = late.failed(tls, NOW + GRACE, GRACE, 0.5);
    assert!(plan.refused);
    assert_eq!((plan.code, plan.delay), (Code::UpstreamUnreachable, HOURLY));
    // The machine need not wait for the next attempt to fail.
    let plan = attempts.give_up();
    assert!(plan.refused);
    assert_eq!((plan.code, plan.delay), (Code::UpstreamUnreachable, HOURLY));
    assert_eq!(attempts.deadline(GRACE), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No answer makes the reader stumble or the plan wait longer than documented.
    #[test]
    fn any_answer_has_a_class_and_a_bounded_wait(
        status in 100_u16..1_000,
        retry_after in proptest::option::of(".{0,40}"),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        jitter in proptest::num::f64::ANY,
    ) {
        let answer = Answer::Response { status, retry_after: retry_after.as_deref(), body: &body };
        if let Err(failure) = manifest(answer, NOW) {
            let mut attempts = Attempts::default();
            attempts.started(NOW);
            let plan = attempts.failed(failure, NOW, GRACE, jitter);
            prop_assert!(plan.delay <= HOURLY);
            prop_assert_eq!(plan.refused, !failure.temporary);
        }
    }
}
