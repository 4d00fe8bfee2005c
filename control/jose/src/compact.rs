//! The form of a compact JWS: rules V1 to V3, the same for every kind of token.

use serde_json::{Map, Value};

use crate::error::JoseError;
use crate::limits::{KEY_ID_LENGTH, Limits};
use crate::{base64url, json};

/// A token in its parts. Nothing of it is verified.
pub struct Compact<'a> {
    /// What the signature covers: the first two parts and the dot between, as received.
    pub signed: &'a [u8],
    /// The header's members.
    pub header: Map<String, Value>,
    /// The decoded second part.
    pub payload: Vec<u8>,
    /// The decoded third part.
    pub signature: Vec<u8>,
}

/// Which `typ` a kind of token carries.
#[derive(Clone, Copy)]
pub enum Typ<'a> {
    /// Absent, or `JWT` in any case (V3).
    Jwt,
    /// Exactly this one (§2.5, §2.6).
    Exactly(&'a str),
}

impl<'a> Compact<'a> {
    /// Checks V1 to V3.
    pub fn read(text: &'a str, limits: &Limits, typ: Typ<'_>) -> Result<Self, JoseError> {
        let compact = Self::split(text, limits)?;
        if EXTENSIONS.iter().any(|name| compact.header.contains_key(*name)) {
            return Err(JoseError::Extension);
        }
        let given = compact.header.get("typ");
        let fits = match typ {
            Typ::Jwt => given.is_none_or(|value| {
                value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("JWT"))
            }),
            Typ::Exactly(wanted) => given.and_then(Value::as_str) == Some(wanted),
        };
        if fits { Ok(compact) } else { Err(JoseError::Type) }
    }

    /// Checks V1, V2 and that the header is an object.
    pub fn split(text: &'a str, limits: &Limits) -> Result<Self, JoseError> {
        let text = text.trim_ascii();
        if text.len() > limits.total {
            return Err(JoseError::TooLarge);
        }
        let mut parts = text.split('.');
        let head = parts.next().unwrap_or_default();
        // Four characters carry three bytes; V1 comes before V2, which decodes.
        if head.len() * 3 / 4 > limits.header {
            return Err(JoseError::TooLarge);
        }
        let (Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(JoseError::Form);
        };
        let decode = |part: &str| match part {
            "" => Err(JoseError::Form),
            part => base64url::decode(part).ok_or(JoseError::Form),
        };
        let (header, payload, signature) = (decode(head)?, decode(body)?, decode(signature)?);
        let header = json::object(&header, limits.depth).map_err(|_| JoseError::Header)?;
        let signed = &text.as_bytes()[..head.len() + 1 + body.len()];
        Ok(Self { signed, header, payload, signature })
    }

    /// Checks V4: `alg` is `wanted`, byte for byte.
    pub fn algorithm(&self, wanted: &str) -> Result<(), JoseError> {
        match self.header.get("alg").and_then(Value::as_str) {
            Some(alg) if alg == wanted => Ok(()),
            Some(_) | None => Err(JoseError::Algorithm),
        }
    }

    /// The `kid`, of 1 to 64 characters (V5).
    pub fn kid(&self) -> Result<&str, JoseError> {
        let kid = self.header.get("kid").and_then(Value::as_str).ok_or(JoseError::UnknownKey)?;
        if is_key_id(kid) { Ok(kid) } else { Err(JoseError::UnknownKey) }
    }

    /// The payload as one object (V8).
    pub fn members(&self, limits: &Limits) -> Result<Map<String, Value>, JoseError> {
        json::object(&self.payload, limits.depth).map_err(|_| JoseError::Payload)
    }
}

/// Whether `kid` has 1 to 64 characters.
pub fn is_key_id(kid: &str) -> bool {
    (1..=KEY_ID_LENGTH).contains(&kid.chars().count())
}

/// Header members that give a JWS another meaning; none is accepted (V3).
const EXTENSIONS: [&str; 4] = ["crit", "b64", "zip", "enc"];
