//! The client against a CWC that says what a test wants.

use std::collections::BTreeMap;

use super::*;
use crate::fixture::{NAMESPACE, POD, at, key};
use crate::lease::Verdict;
use crate::messages::{
    Body, Entitlement, GetbackLater, Heartbeat, LicenseChanged, LicenseFacts, OrderType, PodLease,
    Verified,
};
use crate::{Authority, Occasion};

mod grid;
mod order;
mod records;
mod silence;
mod verdicts;

/// A client, the authority whose statements it trusts, and what came out.
struct Rig {
    client: Client,
    authority: Authority,
    outputs: Vec<Output>,
    /// The newest `GetEntitlementRequest`.
    request: Uuid,
    messages: u128,
}

fn settings() -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        instance: "controller".to_owned(),
        version: "1".to_owned(),
        missed: MissedHeartbeats::default(),
    }
}

fn seconds(at: u64) -> Nanos {
    Nanos::from_secs(at)
}

impl Rig {
    /// Starts at second 0 with the key set of [`key`] 1.
    fn new() -> Self {
        Self::start(Records { trust: Some(key(1).jwks()), ..Records::default() }, 0)
    }

    fn start(records: Records, now: u64) -> Self {
        let client = Client::new(settings(), records, [now as u8; 32], seconds(now));
        let authority = Authority::new(key(1), Uuid::from_u128(1), 1);
        let mut rig =
            Self { client, authority, outputs: Vec::new(), request: Uuid::nil(), messages: 1 };
        rig.drain();
        rig
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            if let Output::Ask { request: Message { id, body, .. }, .. } = &output
                && matches!(body, Body::GetEntitlementRequest(_))
            {
                self.request = *id;
            }
            self.outputs.push(output);
        }
    }

    /// Gives `input` at `now` and returns what follows.
    fn give(&mut self, input: Input, now: u64) -> Vec<Output> {
        self.outputs.clear();
        self.client.handle_input(input, seconds(now));
        self.drain();
        self.outputs.clone()
    }

    fn message(&mut self, body: Body, now: u64) -> Vec<Output> {
        self.messages += 1;
        let id = Uuid::from_u128(self.messages);
        let message = Message { id, reply_to: None, namespace: NAMESPACE.to_owned(), body };
        self.give(Input::Message(message), now)
    }

    /// Runs the client's timers until `now`, at their instants.
    fn run(&mut self, now: u64) -> Vec<Output> {
        self.outputs.clear();
        self.run_to(seconds(now));
        self.outputs.clone()
    }

    fn run_to(&mut self, end: Nanos) {
        while let Some(due) = self.client.poll_timeout() {
            if due > end {
                break;
            }
            self.client.handle_timeout(due);
            self.drain();
        }
        self.client.handle_timeout(end);
        self.drain();
    }

    /// A heartbeat signed for `occasion`, given at `now`.
    fn beat(&mut self, occasion: &Occasion, now: u64) -> Vec<Output> {
        let statement = self.authority.renew(occasion);
        self.message(heartbeat(statement), now)
    }

    /// The statement of an answer to the newest request.
    fn answer(&mut self, occasion: &Occasion) -> String {
        self.authority.answer(NAMESPACE, self.request, occasion)
    }

    fn later(&mut self, occasion: &Occasion, now: u64) -> Vec<Output> {
        let statement = self.answer(occasion);
        self.message(later(statement), now)
    }

    fn verified(&mut self, occasion: &Occasion, now: u64) -> Vec<Output> {
        let statement = self.answer(occasion);
        self.message(verified(statement), now)
    }

    fn trial(&mut self, occasion: &Occasion, now: u64) -> Vec<Output> {
        let statement = self.answer(occasion);
        self.message(trial(statement), now)
    }

    fn paid(&mut self, occasion: &Occasion, now: u64) -> Vec<Output> {
        let latch = self.authority.latch(NAMESPACE, occasion);
        let statement = self.answer(occasion);
        self.message(paid(statement, latch), now)
    }

    fn verdict(&self) -> Judged {
        self.client.judgement().verdict
    }
}

fn heartbeat(statement: String) -> Body {
    Body::Heartbeat(Heartbeat { seq: 1, statement, license: None })
}

fn changed(statement: String) -> Body {
    Body::LicenseChanged(LicenseChanged { state: 12, statement })
}

fn later(statement: String) -> Body {
    let state_text = "Config Report Ready to Download".to_owned();
    Body::GetbackLater(GetbackLater { state: 7, state_text, retry_after: 5, statement })
}

fn verified(statement: String) -> Body {
    let license = LicenseFacts {
        order_type: OrderType::Eval,
        expiry: None,
        digital_asset_id: Uuid::from_u128(1),
        jti: "jti".to_owned(),
    };
    let leases = vec![PodLease { pod: POD.to_owned(), lease: "lease".to_owned() }];
    Body::Verified(Verified { license, leases, statement })
}

fn trial(statement: String) -> Body {
    Body::EntitlementTrial(Entitlement { class: Class::Trial, latch: None, statement })
}

fn paid(statement: String, latch: String) -> Body {
    Body::EntitlementPaid(Entitlement { class: Class::Production, latch: Some(latch), statement })
}

/// What a trial's statement of second `now` says.
fn says(now: u64, verdict: Verdict, reason: Reason) -> Occasion {
    Occasion { reason: reason.code().to_owned(), ..at(now, verdict) }
}

/// What a production statement of second `now` says.
fn production(now: u64, verdict: Verdict, reason: Reason) -> Occasion {
    Occasion { class: Class::Production, ..says(now, verdict, reason) }
}

fn refusals(outputs: &[Output]) -> Vec<&'static str> {
    let code = |output: &Output| match output {
        Output::Refused(refusal) => Some(refusal.code()),
        _ => None,
    };
    outputs.iter().filter_map(code).collect()
}

fn changes(outputs: &[Output]) -> Vec<Change> {
    let change = |output: &Output| match output {
        Output::Judged(change) => Some(*change),
        _ => None,
    };
    outputs.iter().filter_map(change).collect()
}

/// How many requests for the entitlement went out.
fn asks(outputs: &[Output]) -> usize {
    let asks = |output: &&Output| {
        matches!(output, Output::Ask { request: Message { body, .. }, .. }
            if matches!(body, Body::GetEntitlementRequest(_)))
    };
    outputs.iter().filter(asks).count()
}
