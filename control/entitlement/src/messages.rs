//! The messages between CWC and Controllers.
//!
//! Owns their names, members, routes and properties, and what makes one refused. Sends nothing and
//! verifies no signature. Invariant: what `Message::open` gives has every member that its type
//! needs; unknown members are dropped.
//! Sources: licensing.md §10.2 (routes), §10.3 (limits, properties), §10.4 (members).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

mod bodies;
mod envelope;
mod seen;

pub use bodies::{
    Entitlement, GateState, GetEntitlementRequest, GetbackLater, Heartbeat, LeaseRequest,
    LicenseChanged, LicenseFacts, Nonce, OrderType, PodLease, TmmNonce, Verified,
};
pub use envelope::{BODY_LIMIT, Envelope, Properties, Rejection, Route};
pub use seen::SeenIds;

/// One message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its id; of a request also the nonce of the answer's statement.
    pub id: Uuid,
    /// In an answer: the id of the request (`replyTo`, `correlation_id`).
    pub reply_to: Option<Uuid>,
    /// The Controller's namespace; `*` in what goes to all.
    pub namespace: String,
    /// The rest.
    pub body: Body,
}

/// What a message says, by its `type`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// A Controller asks for the verdict and for leases.
    GetEntitlementRequest(GetEntitlementRequest),
    /// The CWC says: blocked, ask again.
    GetbackLater(GetbackLater),
    /// The CWC says: verified, with a lease for each TMM of the request.
    Verified(Verified),
    /// Right after `Verified`: a production licence, with the latch.
    EntitlementPaid(Entitlement),
    /// Right after `Verified`: a trial.
    EntitlementTrial(Entitlement),
    /// The CWC lives.
    Heartbeat(Heartbeat),
    /// The verdict or the licence changed.
    LicenseChanged(LicenseChanged),
    /// A Controller needs leases, or reports its trust anchor.
    LeaseRequest(LeaseRequest),
    /// A Controller ends.
    Goodbye,
}

impl Body {
    /// The `type` of the message, in the body and in the AMQP property.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::GetEntitlementRequest(_) => GET_ENTITLEMENT_REQUEST,
            Self::GetbackLater(_) => GETBACK_LATER,
            Self::Verified(_) => VERIFIED,
            Self::EntitlementPaid(_) => ENTITLEMENT_PAID,
            Self::EntitlementTrial(_) => ENTITLEMENT_TRIAL,
            Self::Heartbeat(_) => HEARTBEAT,
            Self::LicenseChanged(_) => LICENSE_CHANGED,
            Self::LeaseRequest(_) => LEASE_REQUEST,
            Self::Goodbye => GOODBYE,
        }
    }

    /// The signed statement, in what a CWC sends.
    #[must_use]
    pub fn statement(&self) -> Option<&str> {
        match self {
            Self::GetbackLater(body) => Some(&body.statement),
            Self::Verified(body) => Some(&body.statement),
            Self::EntitlementPaid(body) | Self::EntitlementTrial(body) => Some(&body.statement),
            Self::Heartbeat(body) => Some(&body.statement),
            Self::LicenseChanged(body) => Some(&body.statement),
            Self::GetEntitlementRequest(_) | Self::LeaseRequest(_) | Self::Goodbye => None,
        }
    }

    /// The TMMs of a request, for the shell to fill in with the nonces of a `Hello` each.
    #[must_use]
    pub fn tmms_mut(&mut self) -> Option<&mut Vec<TmmNonce>> {
        match self {
            Self::GetEntitlementRequest(body) => Some(&mut body.tmms),
            Self::LeaseRequest(body) => Some(&mut body.tmms),
            Self::GetbackLater(_)
            | Self::Verified(_)
            | Self::EntitlementPaid(_)
            | Self::EntitlementTrial(_)
            | Self::Heartbeat(_)
            | Self::LicenseChanged(_)
            | Self::Goodbye => None,
        }
    }

    fn members(&self) -> Value {
        match self {
            Self::GetEntitlementRequest(body) => written(body),
            Self::GetbackLater(body) => written(body),
            Self::Verified(body) => written(body),
            Self::EntitlementPaid(body) | Self::EntitlementTrial(body) => written(body),
            Self::Heartbeat(body) => written(body),
            Self::LicenseChanged(body) => written(body),
            Self::LeaseRequest(body) => written(body),
            Self::Goodbye => Value::Object(Map::new()),
        }
    }

    fn read(kind: &str, members: Value) -> Result<Self, Rejection> {
        Ok(match kind {
            GET_ENTITLEMENT_REQUEST => Self::GetEntitlementRequest(read(members)?),
            GETBACK_LATER => Self::GetbackLater(read(members)?),
            VERIFIED => Self::Verified(read(members)?),
            ENTITLEMENT_PAID => Self::EntitlementPaid(read(members)?),
            ENTITLEMENT_TRIAL => Self::EntitlementTrial(read(members)?),
            HEARTBEAT => Self::Heartbeat(read(members)?),
            LICENSE_CHANGED => Self::LicenseChanged(read(members)?),
            LEASE_REQUEST => Self::LeaseRequest(read(members)?),
            GOODBYE => Self::Goodbye,
            _ => return Err(Rejection::UnknownType),
        })
    }
}

/// Whether `kind` is a `type` of this list.
fn is_kind(kind: &str) -> bool {
    KINDS.contains(&kind)
}

// The bodies hold texts, numbers and lists of them, which JSON always takes.
fn written<B: Serialize>(body: &B) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn read<B: DeserializeOwned>(members: Value) -> Result<B, Rejection> {
    serde_json::from_value(members).map_err(|_| Rejection::BadMembers)
}

const GET_ENTITLEMENT_REQUEST: &str = "GetEntitlementRequest";
const GETBACK_LATER: &str = "GetbackLater";
const VERIFIED: &str = "Verified";
const ENTITLEMENT_PAID: &str = "Entitlement Paid";
const ENTITLEMENT_TRIAL: &str = "Entitlement Trial";
const HEARTBEAT: &str = "heartbeat";
const LICENSE_CHANGED: &str = "LicenseChanged";
const LEASE_REQUEST: &str = "LeaseRequest";
const GOODBYE: &str = "Goodbye";
const KINDS: [&str; 9] = [
    GET_ENTITLEMENT_REQUEST,
    GETBACK_LATER,
    VERIFIED,
    ENTITLEMENT_PAID,
    ENTITLEMENT_TRIAL,
    HEARTBEAT,
    LICENSE_CHANGED,
    LEASE_REQUEST,
    GOODBYE,
];

#[cfg(test)]
mod tests;
