use super::*;

const START: Nanos = Nanos::from_secs(100);

fn at(millis: u64) -> Nanos {
    START.plus(Nanos::from_millis(millis))
}

fn probe(kind: MonitorKind, receive: &[u8]) -> Probe {
    let spec = MonitorSpec {
        kind,
        interval: 5,
        timeout: 16,
        port: 0,
        send: Vec::new(),
        receive: receive.to_vec(),
    };
    Probe::new(spec, START)
}

fn pending(sent: Nanos) -> Option<Pending> {
    Some(Pending { sent, port: 40_000, token: 7 })
}

/// Sends what is due each 100 ms from `from` to `to` and never answers; when the probes left.
fn silence(it: &mut Probe, from: u64, to: u64) -> Vec<u64> {
    let mut sent = Vec::new();
    for millis in (from..to).step_by(100) {
        if it.tick(at(millis), true) == Due::Send {
            it.sent(at(millis), pending(at(millis)));
            sent.push(millis);
        }
    }
    sent
}

#[test]
fn probes_keep_their_cadence_and_a_timeout_counts_from_the_first_failed_one() {
    let mut it = probe(MonitorKind::Tcp, b"");
    assert_eq!(silence(&mut it, 0, 15_950), [0, 5000, 10_000, 15_000]);
    assert_eq!(it.verdict(), Verdict::Checking);
    silence(&mut it, 16_000, 16_100);
    assert_eq!((it.verdict(), it.reason()), (Verdict::Down, MemberReason::NoAnswer));
}

#[test]
fn a_success_resets_the_failure_and_a_late_one_lifts_a_member_that_is_down() {
    let mut it = probe(MonitorKind::Tcp, b"");
    silence(&mut it, 0, 12_000);
    it.succeeded();
    assert_eq!(it.verdict(), Verdict::Up);
    silence(&mut it, 12_000, 30_900);
    assert_eq!(it.verdict(), Verdict::Up, "failed since 15 s");
    silence(&mut it, 30_900, 31_100);
    assert_eq!(it.verdict(), Verdict::Down);
    it.succeeded();
    assert_eq!((it.verdict(), it.reason()), (Verdict::Up, MemberReason::Answered));
}

#[test]
fn a_refusal_fails_the_probe_when_it_was_sent_and_shortens_nothing() {
    let mut it = probe(MonitorKind::Tcp, b"");
    for millis in (0..16_100).step_by(100) {
        assert_eq!(it.verdict(), Verdict::Checking, "{millis} ms");
        if it.tick(at(millis), true) == Due::Send {
            it.sent(at(millis), pending(at(millis)));
            it.failed(MemberReason::Refused);
            assert_eq!(it.pending(), None);
        }
    }
    assert_eq!((it.verdict(), it.reason()), (Verdict::Down, MemberReason::Refused));
}

#[test]
fn a_probe_that_could_not_leave_is_a_failed_one() {
    let mut it = probe(MonitorKind::Icmp, b"");
    for millis in (0..16_100).step_by(100) {
        if it.tick(at(millis), false) == Due::Send {
            it.sent(at(millis), None);
        }
    }
    assert_eq!((it.verdict(), it.reason()), (Verdict::Down, MemberReason::Unreachable));
}

#[test]
fn silence_is_success_for_udp_without_an_expected_answer_only_and_only_if_the_way_is_known() {
    for (kind, receive, reachable, expected) in [
        (MonitorKind::Udp, &b""[..], true, Verdict::Up),
        (MonitorKind::Udp, b"", false, Verdict::Checking),
        (MonitorKind::Udp, b"pong", true, Verdict::Checking),
        (MonitorKind::Tcp, b"", true, Verdict::Checking),
    ] {
        let mut it = probe(kind, receive);
        assert_eq!(it.tick(START, true), Due::Send);
        it.sent(START, pending(START));
        it.tick(at(999), reachable);
        assert_eq!(it.verdict(), Verdict::Checking);
        it.tick(at(1000), reachable);
        assert_eq!(it.verdict(), expected, "{kind:?} {receive:?} {reachable}");
    }
}

#[test]
fn a_pause_forgets_failures_and_keeps_the_verdict() {
    let mut it = probe(MonitorKind::Tcp, b"");
    it.succeeded();
    silence(&mut it, 0, 14_000);
    it.pause(at(100_000));
    assert_eq!(silence(&mut it, 90_000, 115_900), [100_000, 105_000, 110_000, 115_000]);
    assert_eq!(it.verdict(), Verdict::Up);
}

#[test]
fn new_times_keep_the_verdict_and_another_probe_begins_anew() {
    let mut it = probe(MonitorKind::Tcp, b"");
    it.succeeded();
    it.update(&MonitorSpec { interval: 1, timeout: 3, ..it.spec.clone() }, START);
    assert_eq!((it.verdict(), it.spec.timeout), (Verdict::Up, 3));
    it.update(&MonitorSpec { port: 99, ..it.spec.clone() }, START);
    assert_eq!(it.verdict(), Verdict::Checking);
}
