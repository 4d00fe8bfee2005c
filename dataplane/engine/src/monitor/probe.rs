//! One monitor of one member: when to probe, and what the results say.
//!
//! Sans-IO: told of time, sent probes and answers, it says when a probe is due and in which state
//! the monitor is. Down when the timeout passed since the first failed probe after the last
//! success, up at the first success; a refusal is a failed probe and shortens nothing.
//!
//! Source: crds.md §3.4.3 rules 2 to 4 (CHK-037, CHK-038).

use tmm_config::Nanos;
use tmm_config::spec::{MonitorKind, MonitorSpec};

use crate::out::MemberReason;

/// What a monitor says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// No success yet, and the timeout has not passed.
    Checking,
    /// Succeeds, or fails for less than its timeout.
    Up,
    /// Failed for its timeout.
    Down,
}

/// A probe on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pending {
    /// When it left.
    pub sent: Nanos,
    /// Our port or echo identifier.
    pub port: u16,
    /// Sequence number, tag or echo sequence that the answer must show.
    pub token: u32,
}

/// What a call of [`Probe::tick`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// Nothing to send.
    Nothing,
    /// A probe is to be sent.
    Send,
}

/// One monitor of one member.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// What to send and to expect.
    pub spec: MonitorSpec,
    verdict: Verdict,
    pending: Option<Pending>,
    next: Nanos,
    failed_since: Option<Nanos>,
    reason: MemberReason,
}

impl Probe {
    /// A monitor whose first probe is due at `first`.
    pub(crate) fn new(spec: MonitorSpec, first: Nanos) -> Self {
        Self {
            spec,
            verdict: Verdict::Checking,
            pending: None,
            next: first,
            failed_since: None,
            reason: MemberReason::NoAnswer,
        }
    }

    /// What the monitor says now.
    pub(crate) const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why it says so.
    pub(crate) const fn reason(&self) -> MemberReason {
        self.reason
    }

    /// The probe on its way.
    pub(crate) const fn pending(&self) -> Option<Pending> {
        self.pending
    }

    /// Whether silence is success: a datagram of which no answer is asked.
    pub(crate) fn takes_silence(&self) -> bool {
        self.spec.kind == MonitorKind::Udp && self.spec.receive.is_empty()
    }

    /// Time passed. `reachable`: the way to the member is known.
    pub(crate) fn tick(&mut self, now: Nanos, reachable: bool) -> Due {
        if let Some(pending) = self.pending {
            let silent = self.takes_silence() && now.since(pending.sent) >= self.silence();
            if silent && reachable {
                self.succeeded();
            } else if silent {
                self.failed(MemberReason::Unreachable);
            } else if now >= self.next {
                let reason =
                    if reachable { MemberReason::NoAnswer } else { MemberReason::Unreachable };
                self.failed(reason);
            }
        }
        let timeout = Nanos::from_secs(u64::from(self.spec.timeout));
        if self.failed_since.is_some_and(|since| now.since(since) >= timeout) {
            self.verdict = Verdict::Down;
        }
        if now < self.next {
            return Due::Nothing;
        }
        Due::Send
    }

    /// A probe left, or could not: then `pending` is none.
    pub(crate) fn sent(&mut self, now: Nanos, pending: Option<Pending>) {
        let interval = Nanos::from_secs(u64::from(self.spec.interval));
        // The cadence stays; after a pause it begins anew.
        let scheduled = self.next.plus(interval);
        self.next = if scheduled > now { scheduled } else { now.plus(interval) };
        self.pending = pending;
        if pending.is_none() {
            self.reason = MemberReason::Unreachable;
            self.failed_since.get_or_insert(now);
        }
    }

    /// The answer to the probe on its way is right.
    pub(crate) fn succeeded(&mut self) {
        self.pending = None;
        self.failed_since = None;
        self.verdict = Verdict::Up;
        self.reason = MemberReason::Answered;
    }

    /// The probe on its way failed: refused, wrong, or never answered.
    pub(crate) fn failed(&mut self, reason: MemberReason) {
        if let Some(pending) = self.pending.take() {
            self.failed_since.get_or_insert(pending.sent);
            self.reason = reason;
        }
    }

    /// The gate closed: nothing is sent and nothing is judged until `next`.
    pub(crate) fn pause(&mut self, next: Nanos) {
        self.pending = None;
        self.failed_since = None;
        self.next = next;
    }

    /// New times or contents; a monitor of another kind or port begins anew.
    pub(crate) fn update(&mut self, spec: &MonitorSpec, first: Nanos) {
        let is_same = self.spec.kind == spec.kind
            && self.spec.port == spec.port
            && self.spec.send == spec.send
            && self.spec.receive == spec.receive;
        if is_same {
            self.spec.interval = spec.interval;
            self.spec.timeout = spec.timeout;
        } else {
            *self = Self::new(spec.clone(), first);
        }
    }

    /// How long to wait for an unreachable before silence counts.
    fn silence(&self) -> Nanos {
        let interval = Nanos::from_secs(u64::from(self.spec.interval));
        SILENCE.min(Nanos(interval.0 / 2))
    }
}

const SILENCE: Nanos = Nanos::from_secs(1);

#[cfg(test)]
mod tests;
