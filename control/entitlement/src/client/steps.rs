//! How the client takes a message, finds the cell of the grid, and does what it says.

use super::{
    Action, Admission, BTreeMap, Body, Change, Class, Client, Event, GetEntitlementRequest, Heard,
    HeldLatch, Hello, Judged, Judgement, Jwks, LeaseRequest, Message, Nanos, Occurrence, Output,
    POLL_EVERY, Reason, Refusal, State, Timer, Uuid, Verdict, grid,
};

impl Client {
    /// Takes a message whose statement counts; says why if it does not.
    pub(super) fn message(&mut self, message: Message, now: Nanos) -> Result<(), Refusal> {
        if !self.seen.is_new(message.id) {
            return Err(Refusal::Repeated);
        }
        let text = message.body.statement().ok_or(Refusal::NoStatement)?;
        let heard = self.admission.statement(text, now)?;
        self.heard(&heard, now);
        let occurrence = self.occurrence(message.body, heard);
        self.occur(occurrence, now);
        Ok(())
    }

    /// What every statement that counts does, whatever it says.
    fn heard(&mut self, heard: &Heard, now: Nanos) {
        self.silent_at = Some(heard.silent_at);
        self.heard_at = Some(now);
        if let (Some((_, request, missing)), Some(answered)) = (&mut self.asked, heard.answers)
            && *request == answered
        {
            *missing = false;
        }
        if self.contact_lost {
            self.contact_lost = false;
            self.outputs.push_back(Output::ContactRestored);
        }
        if self.log != heard.claims.log {
            self.log.clone_from(&heard.claims.log);
            let levels: BTreeMap<_, _> = self.log.clone().unwrap_or_default();
            self.outputs.push_back(Output::LogLevels(levels));
        }
        self.last = Some(heard.text.clone());
        self.last_is_stored = false;
    }

    /// Which event of the grid a message is (licensing.md §11).
    fn occurrence(&mut self, body: Body, heard: Heard) -> Occurrence {
        let passes = heard.claims.verdict.passes();
        let heard = Box::new(heard);
        let (event, leases) = match body {
            Body::GetbackLater(_) if !passes => (Event::Late, Vec::new()),
            Body::Verified(body) if passes => (Event::Ver, body.leases),
            Body::EntitlementTrial(_) if passes => (Event::Trial, Vec::new()),
            Body::EntitlementPaid(body) => {
                match body.latch.as_deref().map(|latch| self.admission.latch(latch)) {
                    Some(Ok(latch)) => return Occurrence::Paid(heard, latch),
                    Some(Err(refusal)) => self.outputs.push_back(Output::Refused(refusal)),
                    None => {}
                }
                (self.other(&heard), Vec::new())
            }
            Body::GetbackLater(_)
            | Body::Verified(_)
            | Body::EntitlementTrial(_)
            | Body::Heartbeat(_)
            | Body::LicenseChanged(_)
            | Body::GetEntitlementRequest(_)
            | Body::LeaseRequest(_)
            | Body::Goodbye => (self.other(&heard), Vec::new()),
        };
        Occurrence::Statement(event, heard, leases)
    }

    /// The event of any other message.
    fn other(&self, heard: &Heard) -> Event {
        let held = self.latch.as_ref().is_some_and(|latch| latch.daid == heard.claims.daid);
        match (heard.claims.verdict, heard.claims.class) {
            (Verdict::Block, _) => Event::Block,
            (Verdict::Allow | Verdict::Warn, Class::Production) if !held => Event::Prod,
            (Verdict::Allow | Verdict::Warn, _) => Event::Ok,
        }
    }

    /// Takes one event through the grid.
    pub(super) fn occur(&mut self, occurrence: Occurrence, now: Nanos) {
        let (next, actions) = grid::cell(self.state, occurrence.event());
        self.state = next;
        for action in actions {
            self.perform(*action, &occurrence, now);
        }
        if next == State::Latched && self.silent_at.is_none() {
            // Latched by a TMM after contact was lost: the warning stands, and counts anew.
            self.silent_at = Some(self.first_silence(now));
        }
    }

    fn perform(&mut self, action: Action, occurrence: &Occurrence, now: Nanos) {
        match (action, occurrence) {
            (Action::Verdict, Occurrence::Statement(_, heard, _) | Occurrence::Paid(heard, _)) => {
                self.take_verdict(heard, now);
            }
            (Action::WarnIgnored, Occurrence::Statement(_, heard, _)) => {
                self.latched_ignored += 1;
                self.take_verdict(heard, now);
            }
            (Action::Open, Occurrence::Statement(_, _, leases)) => {
                for lease in leases {
                    self.tmms.served(&lease.pod, now);
                    let (pod, jws) = (lease.pod.clone(), lease.lease.clone());
                    self.outputs.push_back(Output::Lease { pod, jws });
                }
            }
            (Action::Renew, Occurrence::Statement(_, heard, _)) => {
                self.outputs.push_back(Output::Renew { jws: heard.text.clone() });
            }
            (Action::Latch, Occurrence::Paid(heard, latch)) => {
                self.hold(latch);
                self.take_verdict(heard, now);
                self.send_latch(now);
            }
            (Action::Latch, Occurrence::Latch(latch)) => {
                self.hold(latch);
                self.judge_latched(now);
                self.send_latch(now);
            }
            (Action::Ask, _) => self.ask(now),
            (Action::AskLease, Occurrence::Tmm(pod)) => {
                self.request_leases(Hello::One(pod.clone()), now);
            }
            (Action::SendLatch, Occurrence::Tmm(pod)) => {
                if let Some(latch) = &self.latch {
                    let jws = latch.text.clone();
                    self.outputs.push_back(Output::Latch { pod: Some(pod.clone()), jws });
                }
            }
            (Action::BlockLost, _) => {
                self.judge(Judged::Block, self.lost_reason(), self.judgement.class, now);
            }
            (Action::WarnLost, _) => {
                self.judge(Judged::Warn, self.lost_reason(), self.judgement.class, now);
            }
            // The grid gives these actions to no other event.
            (
                Action::Verdict
                | Action::WarnIgnored
                | Action::Open
                | Action::Renew
                | Action::Latch
                | Action::AskLease
                | Action::SendLatch,
                _,
            ) => {}
        }
    }

    /// Takes verdict, reason and class of a statement; judges as production while latched.
    fn take_verdict(&mut self, heard: &Heard, now: Nanos) {
        let claims = &heard.claims;
        let reason = Reason::of_statement(&claims.reason);
        if self.state.is_latched() {
            self.judge(claims.verdict.under_latch().into(), reason, Some(Class::Production), now);
        } else {
            self.judge(claims.verdict.into(), reason, Some(claims.class), now);
        }
    }

    /// The verdict when a latch comes without a statement: allow, or the warning that stands.
    fn judge_latched(&mut self, now: Nanos) {
        let (verdict, reason) = match self.judgement.verdict {
            Judged::Unknown | Judged::Allow => (Judged::Allow, Reason::Verified),
            Judged::Warn | Judged::Block => (Judged::Warn, self.judgement.reason),
        };
        self.judge(verdict, reason, Some(Class::Production), now);
    }

    pub(super) fn judge(
        &mut self,
        verdict: Judged,
        reason: Reason,
        class: Option<Class>,
        now: Nanos,
    ) {
        let from = self.judgement;
        if (from.verdict, from.reason, from.class) == (verdict, reason, class) {
            return;
        }
        self.judgement = Judgement { verdict, reason, class, since: now };
        self.warned_at = now;
        self.outputs.push_back(Output::Judged(Change { from, to: self.judgement }));
    }

    /// Of two latches the one with the later `iat` is kept.
    fn hold(&mut self, latch: &HeldLatch) {
        if self.latch.as_ref().is_none_or(|held| held.iat < latch.iat) {
            self.latch = Some(latch.clone());
            self.outputs.push_back(Output::StoreLatch { jws: latch.text.clone() });
        }
    }

    fn send_latch(&mut self, now: Nanos) {
        if let Some(latch) = &self.latch {
            let jws = latch.text.clone();
            self.outputs.push_back(Output::Latch { pod: None, jws });
            self.tmms.served_all(now);
        }
    }

    /// The trust anchor came or changed.
    pub(super) fn trust(&mut self, keys: Jwks, now: Nanos) {
        if self.admission.anchor() == Some(&keys) {
            return;
        }
        self.admission.trust(keys);
        if self.state == State::Boot {
            self.start(now);
        } else {
            self.request_leases(Hello::Nobody, now);
        }
    }

    /// The start of licensing.md §11, once there is a trust anchor.
    fn start(&mut self, now: Nanos) {
        self.silent_at = Some(self.first_silence(now));
        if let Some(last) = &self.last
            && let Err(error) = self.admission.verify(last)
        {
            self.last = None;
            self.outputs.push_back(Output::Refused(error.into()));
        }
        match self.stored_latch.take().map(|text| self.admission.latch(&text)) {
            Some(Ok(latch)) => {
                self.state = State::Latched;
                self.latch = Some(latch);
                self.judge_latched(now);
                self.send_latch(now);
            }
            Some(Err(refusal)) => {
                self.state = State::Asking;
                self.outputs.push_back(Output::Refused(refusal));
            }
            None => self.state = State::Asking,
        }
        self.ask(now);
    }

    fn first_silence(&self, now: Nanos) -> Nanos {
        now.plus(Nanos::from_secs(self.settings.missed.ttl()))
    }

    pub(super) const fn lost_reason(&self) -> Reason {
        if self.cwc_absent { Reason::CwcAbsent } else { Reason::CommsLost }
    }

    /// Publishes a `GetEntitlementRequest`.
    fn ask(&mut self, now: Nanos) {
        self.attempts += 1;
        let request = self.message_of(Body::GetEntitlementRequest(GetEntitlementRequest {
            instance: self.settings.instance.clone(),
            version: self.settings.version.clone(),
            attempt: self.attempts,
            last: self.last.clone(),
            tmms: Vec::new(),
            trust: kids(&self.admission),
        }));
        self.asked = Some((now, request.id, true));
        self.admission.asked(request.id, now);
        self.outputs.push_back(Output::Ask { request, hello: Hello::All });
    }

    /// Publishes a `LeaseRequest`.
    fn request_leases(&mut self, hello: Hello, now: Nanos) {
        let body = LeaseRequest { tmms: Vec::new(), trust: kids(&self.admission) };
        let request = self.message_of(Body::LeaseRequest(body));
        self.admission.asked(request.id, now);
        self.outputs.push_back(Output::Ask { request, hello });
    }

    pub(super) fn message_of(&mut self, body: Body) -> Message {
        let namespace = self.settings.namespace.clone();
        Message { id: self.ids.next_id(), reply_to: None, namespace, body }
    }

    pub(super) fn store_last(&mut self, now: Nanos) {
        if let (Some(jws), false) = (self.last.clone(), self.last_is_stored) {
            self.last_is_stored = true;
            self.last_stored = Some(now);
            self.outputs.push_back(Output::StoreLast { jws });
        }
    }

    pub(super) fn next_timer(&self) -> Option<(Nanos, Timer)> {
        let polls = match (self.state, self.asked) {
            (State::Asking | State::Confirming | State::Lost | State::LatchedLost, _)
            | (State::Latched, Some((_, _, true))) => true,
            (State::Boot | State::Active | State::Blocked | State::Latched, _) => false,
        };
        let asked_at = self.asked.map_or(Nanos(0), |(at, _, _): (Nanos, Uuid, bool)| at);
        let poll = polls.then(|| (asked_at.plus(POLL_EVERY), Timer::Poll));
        let silent = self.silent_at.map(|at| (at, Timer::Silent));
        let tmm = self.tmms.next().filter(|_| self.state.serves_tmms());
        let tmm = tmm.map(|(due, pod)| (due, Timer::Tmm(pod.to_owned())));
        let store = (!self.last_is_stored)
            .then(|| self.last_stored.map_or(Nanos(0), |stored| stored.plus(STORE_EVERY)))
            .map(|due| (due, Timer::StoreLast));
        let remind = (self.judgement.verdict == Judged::Warn)
            .then(|| (self.warned_at.plus(REMIND_EVERY), Timer::Remind));
        let timers = [silent, poll, tmm, store, remind];
        timers.into_iter().flatten().min_by_key(|(due, _)| *due)
    }
}

fn kids(admission: &Admission) -> Vec<String> {
    admission.anchor().map(|keys| keys.kids().map(str::to_owned).collect()).unwrap_or_default()
}

/// `last` is stored at most this often (licensing.md §7.5).
const STORE_EVERY: Nanos = Nanos::from_secs(60);
/// A warning is told again this often (licensing.md §9).
const REMIND_EVERY: Nanos = Nanos::from_secs(86_400);
