//! What random lives are made of.

use proptest::prelude::*;
use uuid::Uuid;

use super::Wire;
use crate::fixture::NAMESPACE;
use crate::messages::{
    Body, Entitlement, GetbackLater, Heartbeat, LicenseChanged, LicenseFacts, Message, OrderType,
    Verified,
};
use crate::{Class, Reason};

/// A message to the Controller that an attacker makes of `statement`.
pub fn wrapped(id: u128, kind: u64, statement: String) -> Message {
    let class = Class::Production;
    let body = match kind % 6 {
        0 => Body::Heartbeat(Heartbeat { seq: 1, statement, license: None }),
        1 => Body::LicenseChanged(LicenseChanged { state: 12, statement }),
        2 => {
            let state_text = String::new();
            Body::GetbackLater(GetbackLater { state: 7, state_text, retry_after: 5, statement })
        }
        3 => {
            let license = LicenseFacts {
                order_type: OrderType::Paid,
                expiry: None,
                digital_asset_id: Uuid::nil(),
                jti: String::new(),
            };
            Body::Verified(Verified { license, leases: Vec::new(), statement })
        }
        4 => Body::EntitlementTrial(Entitlement { class, latch: None, statement }),
        _ => {
            let latch = Some(statement.clone());
            Body::EntitlementPaid(Entitlement { class, latch, statement })
        }
    };
    Message { id: Uuid::from_u128(id), reply_to: None, namespace: NAMESPACE.to_owned(), body }
}

/// Any reason that may stand as a condition.
pub fn some_reason() -> impl Strategy<Value = Reason> {
    proptest::sample::select(Reason::ALL)
}

/// Any way that the wire may be.
pub fn some_wire() -> impl Strategy<Value = Wire> {
    prop_oneof![
        4 => Just(Wire::Good),
        1 => Just(Wire::Cut),
        2 => prop_oneof![Just(1u64), Just(20), Just(300)].prop_map(Wire::Poor),
    ]
}

/// A pause in seconds: mostly short, some long enough for everything to end.
pub fn some_pause() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..8u64, 4 => 8..200u64, 1 => 200..900u64]
}
