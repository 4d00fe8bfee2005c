//! A model of the licence machine: what the desk must know of it.

use uuid::Uuid;

use crate::Class;
use crate::desk::Standing;
use crate::messages::{LicenseFacts, OrderType};
use crate::policy::{self, Conditions};

/// The licence, as stored by the CWC.
#[derive(Clone, Debug)]
pub struct Licence {
    pub class: Class,
    pub active: bool,
    pub conditions: Conditions,
    /// Ends of leases, in seconds since 1970.
    pub ends: Option<u64>,
    pub daid: Uuid,
}

impl Licence {
    /// Waits for its first receipt; nothing is wrong.
    pub fn waiting() -> Self {
        Self {
            class: Class::Unactivated,
            active: false,
            conditions: Conditions::none(),
            ends: None,
            daid: Uuid::from_u128(1),
        }
    }

    /// What the licence machine says.
    pub fn standing(&self) -> Standing {
        let Self { class, active, conditions, ends, daid } = self;
        let ruling = policy::ruling(*class, *active, conditions);
        let order_type = match class {
            Class::Unactivated | Class::Production => OrderType::Paid,
            Class::Trial => OrderType::Eval,
        };
        Standing {
            class: *class,
            active: *active,
            verdict: ruling.verdict,
            reason: ruling.reason,
            state: 12,
            state_text: String::new(),
            license: Some(LicenseFacts {
                order_type,
                expiry: None,
                digital_asset_id: *daid,
                jti: "jti".to_owned(),
            }),
            daid: *daid,
            ends: *ends,
        }
    }
}
