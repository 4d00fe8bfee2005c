//! A message as the bus carries it: properties and bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spk_jose::json;
use uuid::Uuid;

use super::{Body, Message, is_kind};
use crate::contact::HEARTBEAT_EVERY;

/// What the bus sends: where to, with which properties, which bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Where to.
    pub route: Route,
    /// AMQP properties.
    pub properties: Properties,
    /// JSON, at most [`BODY_LIMIT`] bytes.
    pub body: Vec<u8>,
}

/// Where a message goes (licensing.md §10.2).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Route {
    /// To the CWC, through the default exchange (R9).
    Cwc,
    /// To the Controller of this namespace.
    Namespace(String),
    /// To every Controller, key `heartbeat`.
    Heartbeat,
    /// To every Controller, key `license`.
    License,
}

impl Route {
    /// The exchange to publish to; empty: the default one.
    #[must_use]
    pub const fn exchange(&self) -> &'static str {
        match self {
            Self::Cwc => "",
            Self::Namespace(_) | Self::Heartbeat | Self::License => "CWC-SPK",
        }
    }

    /// The routing key.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Cwc => "cwc".to_owned(),
            Self::Namespace(namespace) => format!("spk-{namespace}"),
            Self::Heartbeat => "heartbeat".to_owned(),
            Self::License => "license".to_owned(),
        }
    }

    /// Whether the message is direct: published `mandatory`, so that the broker returns it if there
    /// is no queue.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        match self {
            Self::Cwc | Self::Namespace(_) => true,
            Self::Heartbeat | Self::License => false,
        }
    }
}

/// The AMQP properties of every message (licensing.md §10.3, LIC-730).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Properties {
    /// `application/json`.
    pub content_type: String,
    /// `utf-8`.
    pub content_encoding: String,
    /// The message's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// A UUID.
    pub message_id: String,
    /// Seconds since 1970, by the sender's wall clock. Nobody decides by it.
    pub timestamp: u64,
    /// Who sends: `f5-lic-helper` or `spk-cwc`.
    pub app_id: String,
    /// The login, which the broker checks.
    pub user_id: String,
    /// 2: kept over a restart of the broker; 1: not.
    pub delivery_mode: u8,
    /// In an answer: the id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Milliseconds until the broker drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
}

/// A message is refused: acknowledged, counted by [`Rejection::code`], logged at most once a minute
/// (LIC-726).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The body is above [`BODY_LIMIT`].
    #[error("body is larger than 65536 bytes")]
    TooLarge,
    /// The `type` is none of licensing.md §10.4.
    #[error("type is unknown")]
    UnknownType,
    /// The body is no JSON object with one meaning.
    #[error("body is no strict JSON object")]
    BadJson,
    /// `v` is not 1.
    #[error("version is not 1")]
    WrongVersion,
    /// A member is missing, of the wrong kind, or contradicts the properties.
    #[error("members are missing, of the wrong kind, or contradict the properties")]
    BadMembers,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::TooLarge, Self::UnknownType, Self::BadJson, Self::WrongVersion, Self::BadMembers];

    /// Stable label of `spk_bus_rejected_messages{reason}`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::UnknownType => "unknown_type",
            Self::BadJson => "bad_json",
            Self::WrongVersion => "wrong_version",
            Self::BadMembers => "bad_members",
        }
    }
}

impl Message {
    /// Where it goes, by its type.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.body {
            Body::GetEntitlementRequest(_) | Body::LeaseRequest(_) | Body::Goodbye => Route::Cwc,
            Body::GetbackLater(_)
            | Body::Verified(_)
            | Body::EntitlementPaid(_)
            | Body::EntitlementTrial(_) => Route::Namespace(self.namespace.clone()),
            Body::Heartbeat(_) => Route::Heartbeat,
            Body::LicenseChanged(_) => Route::License,
        }
    }

    /// The message as the bus carries it. `wall` is the sender's wall clock, seconds since 1970;
    /// it only becomes `timestamp` and `ts`, which inform people.
    #[must_use]
    pub fn seal(&self, wall: u64) -> Envelope {
        let route = self.route();
        let heartbeat = route == Route::Heartbeat;
        let answer = self.reply_to.map(|id| id.to_string());
        let properties = Properties {
            content_type: CONTENT_TYPE.to_owned(),
            content_encoding: CONTENT_ENCODING.to_owned(),
            kind: self.body.kind().to_owned(),
            message_id: self.id.to_string(),
            timestamp: wall,
            app_id: if route == Route::Cwc { CONTROLLER_APP } else { CWC_APP }.to_owned(),
            user_id: USER.to_owned(),
            delivery_mode: if heartbeat { 1 } else { 2 },
            correlation_id: answer.clone(),
            expiration: heartbeat.then(|| (HEARTBEAT_EVERY.0 / 1_000_000).to_string()),
        };
        let mut members = Map::new();
        members.insert("v".to_owned(), VERSION.into());
        members.insert("type".to_owned(), self.body.kind().into());
        members.insert("id".to_owned(), self.id.to_string().into());
        members.insert("ts".to_owned(), rfc3339(wall).into());
        members.insert("namespace".to_owned(), self.namespace.clone().into());
        if let (Some(id), Body::GetbackLater(_) | Body::Verified(_)) = (answer, &self.body) {
            members.insert("replyTo".to_owned(), id.into());
        }
        if let Value::Object(own) = self.body.members() {
            members.extend(own);
        }
        let body = Value::Object(members).to_string().into_bytes();
        Envelope { route, properties, body }
    }

    /// Reads what came with `properties`.
    ///
    /// # Errors
    ///
    /// The first rule that fails.
    pub fn open(properties: &Properties, body: &[u8]) -> Result<Self, Rejection> {
        if body.len() > BODY_LIMIT {
            return Err(Rejection::TooLarge);
        }
        if !is_kind(&properties.kind) {
            return Err(Rejection::UnknownType);
        }
        let members = json::object(body, DEPTH_LIMIT).map_err(|_| Rejection::BadJson)?;
        if members.get("v").and_then(Value::as_u64) != Some(VERSION) {
            return Err(Rejection::WrongVersion);
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let id = text("id").and_then(|id| Uuid::try_parse(id).ok());
        let named = Uuid::try_parse(&properties.message_id).ok();
        let (Some(id), true) = (id, id == named) else { return Err(Rejection::BadMembers) };
        if text("type") != Some(&properties.kind) {
            return Err(Rejection::BadMembers);
        }
        let namespace = text("namespace").ok_or(Rejection::BadMembers)?.to_owned();
        let reply_to = match &properties.correlation_id {
            Some(id) => Some(Uuid::try_parse(id).map_err(|_| Rejection::BadMembers)?),
            None => None,
        };
        let body = Body::read(&properties.kind, Value::Object(members))?;
        Ok(Self { id, reply_to, namespace, body })
    }
}

/// RFC 3339 text of a second since 1970; of the first one, if it is later than the last.
fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// Bytes of a body (licensing.md §10.3).
pub const BODY_LIMIT: usize = 65_536;
const VERSION: u64 = 1;
const CONTENT_TYPE: &str = "application/json";
const CONTENT_ENCODING: &str = "utf-8";
const CONTROLLER_APP: &str = "f5-lic-helper";
const CWC_APP: &str = "spk-cwc";
const USER: &str = "f5net";
/// Nested levels of JSON.
const DEPTH_LIMIT: usize = 8;
