//! One message of each type.

use spk_entitlement::{
    Class,
    messages::{
        Body, Entitlement, GateState, GetEntitlementRequest, GetbackLater, Heartbeat, LeaseRequest,
        LicenseChanged, LicenseFacts, Message, Nonce, OrderType, PodLease, TmmNonce, Verified,
    },
};
use uuid::Uuid;

/// A message of the Controller of `namespace` or to it, under a fresh id.
pub fn message(namespace: &str, body: Body) -> Message {
    let reply_to = match body {
        Body::GetbackLater(_)
        | Body::Verified(_)
        | Body::EntitlementPaid(_)
        | Body::EntitlementTrial(_) => Some(Uuid::new_v4()),
        Body::GetEntitlementRequest(_)
        | Body::Heartbeat(_)
        | Body::LicenseChanged(_)
        | Body::LeaseRequest(_)
        | Body::Goodbye => None,
    };
    Message { id: Uuid::new_v4(), reply_to, namespace: namespace.to_owned(), body }
}

/// A short message to the CWC.
pub fn goodbye(namespace: &str) -> Message {
    message(namespace, Body::Goodbye)
}

/// A short message to the Controller of `namespace`.
pub fn later(namespace: &str) -> Message {
    let body = GetbackLater {
        state: 1,
        state_text: String::from("text"),
        retry_after: 5,
        statement: String::from("statement"),
    };
    message(namespace, Body::GetbackLater(body))
}

/// A message to all Controllers, key `heartbeat`.
pub fn heartbeat() -> Message {
    let body = Heartbeat { seq: 1, statement: String::from("statement"), license: None };
    message("*", Body::Heartbeat(body))
}

/// All nine types (licensing.md §10.4).
pub fn all(namespace: &str) -> Vec<Message> {
    let statement = || String::from("statement");
    let tmm = TmmNonce {
        pod: String::from("uid"),
        name: String::from("f5-tmm-1"),
        nonce: Nonce([7; 16]),
        gate: GateState::Closed,
    };
    let license = LicenseFacts {
        order_type: OrderType::Paid,
        expiry: None,
        digital_asset_id: Uuid::new_v4(),
        jti: String::from("jti"),
    };
    let lease = PodLease { pod: String::from("uid"), lease: String::from("lease") };
    let entitlement =
        Entitlement { class: Class::Production, latch: Some(statement()), statement: statement() };
    let bodies = [
        Body::GetEntitlementRequest(GetEntitlementRequest {
            instance: String::from("uid"),
            version: String::from("0.1.0"),
            attempt: 1,
            last: None,
            tmms: vec![tmm.clone()],
            trust: vec![String::from("kid")],
        }),
        Body::LeaseRequest(LeaseRequest { tmms: vec![tmm], trust: Vec::new() }),
        Body::Goodbye,
        Body::Verified(Verified { license, leases: vec![lease], statement: statement() }),
        Body::EntitlementPaid(entitlement.clone()),
        Body::EntitlementTrial(Entitlement { class: Class::Trial, latch: None, ..entitlement }),
        Body::LicenseChanged(LicenseChanged { state: 1, statement: statement() }),
    ];
    let mut messages: Vec<_> = bodies.map(|body| message(namespace, body)).into();
    messages.extend([later(namespace), heartbeat()]);
    messages
}
