//! What a licence JWT says.
//!
//! Owns the claims of licensing.md §2.1 and the arithmetic of ends. Signs nothing. An end stands in
//! claim `f5_sat`, and each receipt repeats it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use spk_license::calendar::seconds;
use spk_license::token::{AUDIENCE, OrderType};
use uuid::Uuid;

use crate::ledger::{Issued, Ledger};

/// What a customer ordered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// Trial or production, and which.
    pub order_type: OrderType,
    /// Claim `f5_order_subtype`.
    pub subtype: Option<String>,
    /// The customer association token, 1 to 2,048 characters.
    pub cat: String,
    /// When the subscription ends.
    pub end: End,
}

/// When a subscription ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Nobody says: a trial ends 30 days after its activation, production never.
    Open,
    /// So many days of 24 hours from now.
    Days(u32),
    /// So long from now; whole seconds.
    After(SignedDuration),
    /// Then; whole seconds.
    At(Timestamp),
}

/// An order cannot become a licence.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// `cat` has no or too many characters.
    #[error("the customer association token has {count} characters, not 1 to 2048")]
    Cat {
        /// How many it has.
        count: usize,
    },
    /// The end is before 1970 or after the year 9999.
    #[error("the end does not lie between 1970 and 9999")]
    End,
}

impl OrderError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cat { .. } => "order_cat",
            Self::End => "order_end",
        }
    }
}

impl End {
    /// Seconds since 1970, counted from `now`.
    ///
    /// # Errors
    ///
    /// [`OrderError::End`].
    pub fn seconds(self, now: Timestamp) -> Result<Option<u64>, OrderError> {
        let at = match self {
            Self::Open => return Ok(None),
            Self::Days(days) => now.checked_add(SignedDuration::from_hours(24 * i64::from(days))),
            Self::After(time) => now.checked_add(time),
            Self::At(at) => Ok(at),
        };
        let at = at.map_err(|_| OrderError::End)?;
        u64::try_from(at.as_second()).map(Some).map_err(|_| OrderError::End)
    }
}

/// Enters a licence called `jti` into `ledger` and gives its payload.
///
/// # Errors
///
/// [`OrderError`]; the ledger stays as it was.
pub fn license(
    order: &Order,
    jti: Uuid,
    now: Timestamp,
    ledger: &mut Ledger,
) -> Result<Value, OrderError> {
    let count = order.cat.chars().count();
    if !(1..=2_048).contains(&count) {
        return Err(OrderError::Cat { count });
    }
    let ends = order.end.seconds(now)?;
    let issued_at = seconds(now);
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(order.cat));
    claims.insert("aud".to_owned(), json!(AUDIENCE));
    claims.insert("iat".to_owned(), json!(issued_at));
    claims.insert("iss".to_owned(), json!(ledger.issuer));
    claims.insert("jti".to_owned(), json!(jti));
    claims.insert("f5_order_type".to_owned(), json!(order.order_type));
    if let Some(subtype) = &order.subtype {
        claims.insert("f5_order_subtype".to_owned(), json!(subtype));
    }
    if let Some(ends) = ends {
        claims.insert("f5_sat".to_owned(), json!(ends));
    }
    ledger.issued.insert(jti, Issued { order_type: order.order_type, issued_at, ends });
    Ok(Value::Object(claims))
}

#[cfg(test)]
mod tests;
