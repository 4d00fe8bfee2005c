//! The licence JWT: its claims and what makes it acceptable.
//!
//! Owns rules V9 to V16 and the end of a licence; V1 to V8 are `spk-jose`'s. Keeps the received
//! text, so that claims nobody here knows survive in Secret `licensekey` (V16). Reads no clock.
//!
//! Invariant: a [`LicenseToken`] exists only for a text whose signature verified.
//! Source: licensing.md §2.1.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spk_entitlement::Class;
use spk_jose::name::token_name;
use spk_jose::{JoseError, Limits, RsaKeySet, verify_rs512};
use uuid::Uuid;

use crate::calendar::instant;
use crate::codes::Code;

/// What was ordered (`f5_order_type`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderType {
    /// A trial with an end.
    Eval,
    /// A trial that costs nothing.
    Freemium,
    /// A subscription.
    Paid,
    /// An enterprise agreement.
    Ela,
}

impl OrderType {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Eval, Self::Freemium, Self::Paid, Self::Ela];

    /// The claim's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eval => "eval",
            Self::Freemium => "freemium",
            Self::Paid => "paid",
            Self::Ela => "ela",
        }
    }

    /// The order type with this text, letter for letter.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }

    /// Class of an active licence of this type: trial or production.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Eval | Self::Freemium => Class::Trial,
            Self::Paid | Self::Ela => Class::Production,
        }
    }
}

impl fmt::Display for OrderType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The claims that are used, all seconds since 1970. Debug shows no `sub` in full.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
pub struct LicenseClaims {
    /// The customer association token, 1 to 2,048 characters.
    pub sub: String,
    /// Names this JWT.
    pub jti: Uuid,
    /// Who issued it.
    pub iss: String,
    /// Start of the subscription; none only in a token that fails V13.
    pub iat: Option<u64>,
    /// What was ordered.
    #[serde(rename = "f5_order_type")]
    pub order_type: OrderType,
    /// Set for some paid orders.
    #[serde(rename = "f5_order_subtype", default, skip_serializing_if = "Option::is_none")]
    pub order_subtype: Option<String>,
    /// Earliest use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// End, as RFC 7519 names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// End of the subscription.
    #[serde(rename = "f5_sat", default, skip_serializing_if = "Option::is_none")]
    pub sat: Option<u64>,
}

impl fmt::Debug for LicenseClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LicenseClaims")
            .field("jti", &self.jti)
            .field("order_type", &self.order_type)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// A licence JWT whose signature, issuer, audience and claims are good (V1 to V12).
#[derive(Clone, Eq, PartialEq)]
pub struct LicenseToken {
    /// Its compact text as received, without white space around it. Secret.
    pub text: String,
    /// The key that signed it.
    pub kid: String,
    /// Its claims.
    pub claims: LicenseClaims,
}

impl fmt::Debug for LicenseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LicenseToken")
            .field("name", &token_name(&self.text))
            .field("kid", &self.kid)
            .field("claims", &self.claims)
            .finish()
    }
}

/// The first rule of §2.1 that a JWT breaks. Carries no part of the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// V1 to V8.
    #[error(transparent)]
    Form(#[from] JoseError),
    /// V9.
    #[error("iss is not a trusted issuer")]
    Issuer,
    /// V10.
    #[error("aud does not contain {AUDIENCE}")]
    Audience,
    /// V11.
    #[error("claim {claim} is missing or not well formed")]
    Claim {
        /// Its name.
        claim: &'static str,
    },
    /// V12.
    #[error("f5_order_type is none of eval, freemium, paid, ela")]
    OrderType,
    /// V13.
    #[error("iat is missing, no whole number or more than an hour ahead of {}", instant(*.now))]
    IssuedAhead {
        /// Trusted time of the check.
        now: u64,
    },
    /// V14.
    #[error("not valid before {}", instant(*.from))]
    NotBefore {
        /// The `nbf`.
        from: u64,
    },
    /// V15.
    #[error("subscription ended on {}", instant(*.end))]
    Expired {
        /// When.
        end: u64,
    },
}

impl TokenError {
    /// The code of licensing.md §3.7.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Form(form) => match form {
                JoseError::TooLarge => Code::JwtTooLarge,
                JoseError::Form
                | JoseError::Header
                | JoseError::Extension
                | JoseError::Type
                | JoseError::Payload => Code::JwtMalformed,
                JoseError::Algorithm => Code::JwtAlgorithm,
                JoseError::UnknownKey | JoseError::EmbeddedKey => Code::JwtUnknownKey,
                JoseError::Signature => Code::JwtSignature,
            },
            Self::Issuer => Code::JwtIssuer,
            Self::Audience => Code::JwtAudience,
            Self::Claim { .. } => Code::JwtClaims,
            Self::OrderType => Code::JwtOrderType,
            Self::IssuedAhead { .. } | Self::NotBefore { .. } => Code::JwtNotYetValid,
            Self::Expired { .. } => Code::JwtExpired,
        }
    }
}

impl LicenseToken {
    /// Checks V1 to V15 at trusted time `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The first rule that fails.
    pub fn verify(
        text: &str,
        keys: &RsaKeySet,
        issuers: &[String],
        now: u64,
    ) -> Result<Self, TokenError> {
        let token = Self::read(text, keys, issuers)?;
        token.claims.check_time(now)?;
        Ok(token)
    }

    /// Checks V1 to V12 only: for a stored JWT, whose dates are events of the machine.
    ///
    /// # Errors
    ///
    /// The first rule that fails.
    pub fn read(text: &str, keys: &RsaKeySet, issuers: &[String]) -> Result<Self, TokenError> {
        let verified = verify_rs512(text, &Limits::JWT, keys)?;
        let claims = LicenseClaims::read(&verified.payload, issuers)?;
        Ok(Self { text: text.trim_ascii().to_owned(), kid: verified.kid, claims })
    }
}

impl LicenseClaims {
    /// Checks V9 to V12 on a verified payload.
    fn read(payload: &Map<String, Value>, issuers: &[String]) -> Result<Self, TokenError> {
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let iss = text("iss").ok_or(TokenError::Issuer)?;
        if !issuers.iter().any(|issuer| issuer == iss) {
            return Err(TokenError::Issuer);
        }
        let audience = match payload.get("aud") {
            Some(Value::String(one)) => one == AUDIENCE,
            Some(Value::Array(several)) => several.iter().any(|one| one == AUDIENCE),
            Some(_) | None => false,
        };
        if !audience {
            return Err(TokenError::Audience);
        }
        let claim = |claim| TokenError::Claim { claim };
        let sub = text("sub")
            .filter(|sub| (1..=SUBJECT_LENGTH).contains(&sub.chars().count()))
            .ok_or(claim("sub"))?;
        let jti = text("jti").and_then(strict_uuid).ok_or(claim("jti"))?;
        let order_subtype = match payload.get("f5_order_subtype") {
            None => None,
            Some(Value::String(subtype)) => Some(subtype.clone()),
            Some(_) => return Err(claim("f5_order_subtype")),
        };
        let date = |name: &'static str| match payload.get(name) {
            None => Ok(None),
            Some(value) => numeric_date(value).map(Some).ok_or(claim(name)),
        };
        let (nbf, exp, sat) = (date("nbf")?, date("exp")?, date("f5_sat")?);
        let order_type =
            text("f5_order_type").and_then(OrderType::from_text).ok_or(TokenError::OrderType)?;
        let iat = payload.get("iat").and_then(Value::as_u64);
        let (sub, iss) = (sub.to_owned(), iss.to_owned());
        Ok(Self { sub, jti, iss, iat, order_type, order_subtype, nbf, exp, sat })
    }

    /// Checks V13 to V15 at trusted time `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The first rule that fails.
    pub fn check_time(&self, now: u64) -> Result<(), TokenError> {
        if self.iat.is_none_or(|iat| iat > now.saturating_add(ISSUED_AHEAD)) {
            return Err(TokenError::IssuedAhead { now });
        }
        if let Some(from) = self.nbf
            && from > now.saturating_add(NOT_BEFORE_AHEAD)
        {
            return Err(TokenError::NotBefore { from });
        }
        match self.end() {
            Some(end) if end <= now => Err(TokenError::Expired { end }),
            Some(_) | None => Ok(()),
        }
    }

    /// The end that the JWT itself names: the earlier of `exp` and `f5_sat` (V15).
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        [self.exp, self.sat].into_iter().flatten().min()
    }

    /// When the licence ends, as far as is known (V15, R5).
    ///
    /// `receipt` is the expiry of the last accepted receipt, `activated` the trusted time of the
    /// first acceptance. A receipt's expiry wins, then the JWT's own end; failing both a trial ends
    /// 30 days after activation and production never.
    #[must_use]
    pub fn license_end(&self, receipt: Option<u64>, activated: Option<u64>) -> Option<u64> {
        receipt.or(self.end()).or_else(|| match self.order_type.class() {
            Class::Trial => activated.map(|since| since.saturating_add(TRIAL_WITHOUT_END)),
            Class::Unactivated | Class::Production => None,
        })
    }
}

/// A UUID in the form 8-4-4-4-12, no other (V11).
pub(crate) fn strict_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A NumericDate of RFC 7519 §2 in whole seconds since 1970, rounded down; what lies before 1970 is
/// 1970.
pub(crate) fn numeric_date(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let seconds = value.as_f64()?.max(0.0);
        Some(Duration::try_from_secs_f64(seconds).map_or(u64::MAX, |since| since.as_secs()))
    })
}

/// The `aud` of every licence JWT.
pub const AUDIENCE: &str = "urn:f5:teem";
/// Characters of a `sub`.
const SUBJECT_LENGTH: usize = 2_048;
/// Seconds that `iat` may lie ahead (V13).
const ISSUED_AHEAD: u64 = 3_600;
/// Seconds that `nbf` may lie ahead (V14).
const NOT_BEFORE_AHEAD: u64 = 300;
/// Seconds of a trial for which nobody named an end (V15).
const TRIAL_WITHOUT_END: u64 = 30 * 86_400;

#[cfg(test)]
mod tests;
