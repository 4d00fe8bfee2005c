//! The desk against Controllers that say what a test wants.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::fixture::{EPOCH, NAMESPACE, POD, key};
use crate::lease::{self, LeaseClaims};
use crate::messages::{
    GateState, GetEntitlementRequest, LeaseRequest, Nonce, OrderType, Route, TmmNonce,
};

mod answers;
mod learning;
mod registered;
mod rotation;

const DAID: Uuid = Uuid::from_u128(1);

fn facts() -> LicenseFacts {
    LicenseFacts {
        order_type: OrderType::Eval,
        expiry: None,
        digital_asset_id: DAID,
        jti: "jti".to_owned(),
    }
}

fn standing(class: Class, verdict: Verdict, reason: Reason) -> Standing {
    Standing {
        class,
        active: class != Class::Unactivated,
        verdict,
        reason,
        state: 12,
        state_text: "Verification Complete".to_owned(),
        license: Some(facts()),
        daid: DAID,
        ends: None,
    }
}

fn trial() -> Standing {
    standing(Class::Trial, Verdict::Allow, Reason::Verified)
}

fn production() -> Standing {
    standing(Class::Production, Verdict::Allow, Reason::Verified)
}

fn waiting() -> Standing {
    standing(Class::Unactivated, Verdict::Block, Reason::NotActivated)
}

fn at(seconds: u64) -> Moment {
    Moment { boot: Nanos::from_secs(seconds), iat: EPOCH + seconds }
}

struct Rig {
    desk: Desk,
    messages: u128,
}

impl Rig {
    /// A desk of epoch 5 that starts at second 0 with [`key`] 1 and knows [`NAMESPACE`].
    fn new(standing: Standing) -> Self {
        Self::with(KeyRing { signing: key(1), next: None, published: key(1).jwks() }, standing)
    }

    fn with(keys: KeyRing, standing: Standing) -> Self {
        let missed = MissedHeartbeats::default();
        let start = Start { missed, keys, epoch: 5, standing, seed: [9; 32] };
        let mut rig = Self { desk: Desk::new(start, at(0)), messages: 0 };
        rig.give(Input::Instances(BTreeSet::from([NAMESPACE.to_owned()])), 0);
        rig
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.desk.poll_output()).collect()
    }

    fn give(&mut self, input: Input, now: u64) -> Vec<Output> {
        self.desk.handle_input(input, at(now));
        self.drain()
    }

    fn message(&mut self, namespace: &str, body: Body, now: u64) -> (Uuid, Vec<Output>) {
        self.messages += 1;
        let id = Uuid::from_u128(self.messages);
        let message = Message { id, reply_to: None, namespace: namespace.to_owned(), body };
        (id, self.give(Input::Message(message), now))
    }

    fn ask(&mut self, now: u64) -> (Uuid, Vec<Output>) {
        self.message(NAMESPACE, request(), now)
    }

    fn run(&mut self, now: u64) -> Vec<Output> {
        while let Some(due) = self.desk.poll_timeout() {
            if due > Nanos::from_secs(now) {
                break;
            }
            self.desk.handle_timeout(at(due.0 / 1_000_000_000));
        }
        self.drain()
    }
}

fn tmm(pod: &str) -> TmmNonce {
    TmmNonce {
        pod: pod.to_owned(),
        name: format!("name-{pod}"),
        nonce: Nonce([7; 16]),
        gate: GateState::Closed,
    }
}

fn request_with(last: Option<String>, trust: &[&str]) -> Body {
    Body::GetEntitlementRequest(GetEntitlementRequest {
        instance: "controller".to_owned(),
        version: "1".to_owned(),
        attempt: 1,
        last,
        tmms: vec![tmm(POD)],
        trust: trust.iter().map(|kid| (*kid).to_owned()).collect(),
    })
}

fn request() -> Body {
    request_with(None, &[key(1).kid()])
}

fn published<'a>(outputs: &'a [Output]) -> Vec<&'a Message> {
    let message = |output: &'a Output| match output {
        Output::Publish(message) => Some(message),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn kinds(outputs: &[Output]) -> Vec<&'static str> {
    published(outputs).iter().map(|message| message.body.kind()).collect()
}

fn refusals(outputs: &[Output]) -> Vec<&'static str> {
    let code = |output: &Output| match output {
        Output::Refused(refusal) => Some(refusal.code()),
        _ => None,
    };
    outputs.iter().filter_map(code).collect()
}

/// The claims of a statement that a key of [`key`] 1 or 2 signed.
fn claims(statement: &str) -> LeaseClaims {
    let keys = key(1).jwks().joined(&key(2).jwks());
    lease::verify(statement, &keys).unwrap().claims
}

fn statement(message: &Message) -> LeaseClaims {
    claims(message.body.statement().unwrap())
}
