//! The members of each message (licensing.md §10.4).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spk_jose::base64url;
use uuid::Uuid;

use crate::lease::Class;

/// Body of `GetEntitlementRequest`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct GetEntitlementRequest {
    /// UID of the Controller's pod.
    pub instance: String,
    /// Release of the Controller.
    pub version: String,
    /// How often it asked since its start, from 1.
    pub attempt: u64,
    /// The newest statement it saw, as signed.
    #[serde(default)]
    pub last: Option<String>,
    /// Its TMMs, each with the nonce of a `Hello` made for this request.
    #[serde(default)]
    pub tmms: Vec<TmmNonce>,
    /// The `kid`s of its trust anchor.
    #[serde(default)]
    pub trust: Vec<String>,
}

/// Body of `LeaseRequest`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// TMMs that need a lease, each with the nonce of a `Hello` made for this request.
    #[serde(default)]
    pub tmms: Vec<TmmNonce>,
    /// The `kid`s of the Controller's trust anchor.
    #[serde(default)]
    pub trust: Vec<String>,
}

/// A TMM of a request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TmmNonce {
    /// UID of its pod.
    pub pod: String,
    /// Name of its pod.
    pub name: String,
    /// What it answered to `Hello`.
    pub nonce: Nonce,
    /// Its gate.
    pub gate: GateState,
}

/// 16 random bytes of a TMM; base64url in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nonce(pub [u8; 16]);

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(&base64url::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        let bytes = base64url::decode(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a nonce is 16 bytes in base64url"))
    }
}

/// The gate of a TMM, as its Controller knows it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateState {
    /// Nothing passes.
    Closed,
    /// Passes until a deadline.
    Open,
    /// Passes for the life of the process.
    Latched,
}

/// Body of `GetbackLater`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetbackLater {
    /// Number of the licence's state (licensing.md §3.1).
    pub state: u8,
    /// Its text. Never shown by a Controller (LIC-739).
    pub state_text: String,
    /// Seconds until the Controller may ask again.
    pub retry_after: u64,
    /// Signed; its verdict is block.
    pub statement: String,
}

/// Body of `Verified`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// What the JWT says.
    pub license: LicenseFacts,
    /// A lease for each TMM of the request.
    #[serde(default)]
    pub leases: Vec<PodLease>,
    /// Signed.
    pub statement: String,
}

/// The lease of one pod.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodLease {
    /// UID of the pod.
    pub pod: String,
    /// The lease, kind `open`, as signed.
    pub lease: String,
}

/// The four order types of a licence (licensing.md §2.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderType {
    /// Production, bought.
    Paid,
    /// Production, under an agreement.
    Ela,
    /// Trial, for evaluation.
    Eval,
    /// Trial, free.
    Freemium,
}

/// The facts of a licence that messages carry. Informative: nobody acts on them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenseFacts {
    /// Its order type.
    pub order_type: OrderType,
    /// Its end, RFC 3339, if one is known.
    #[serde(default)]
    pub expiry: Option<String>,
    /// The digital asset.
    #[serde(rename = "digitalAssetID")]
    pub digital_asset_id: Uuid,
    /// The JWT's `jti`.
    pub jti: String,
}

/// Body of `Entitlement Paid` and `Entitlement Trial`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Entitlement {
    /// Class of the licence.
    pub class: Class,
    /// Production only: the latch of the Controller's namespace, as signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latch: Option<String>,
    /// Signed.
    pub statement: String,
}

/// Body of `heartbeat`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The number that the statement carries, too.
    pub seq: u64,
    /// Signed, for every namespace.
    pub statement: String,
    /// What the JWT says; none before one was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<LicenseFacts>,
}

/// Body of `LicenseChanged`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LicenseChanged {
    /// Number of the licence's state (licensing.md §3.1).
    pub state: u8,
    /// Signed, for every namespace.
    pub statement: String,
}
