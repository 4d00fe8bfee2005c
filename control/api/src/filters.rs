//! Limits and filters of listeners.
//!
//! Source: crds.md §3.4.6.

use crate::schema::{self, list, object, object_name, text_enum};

text_enum! {
    /// `routeAdvertisement`.
    pub enum RouteAdvertisement {
        /// The VIP is announced always.
        Enabled = "ENABLED",
        /// Only while a member is up or unchecked.
        Selective = "SELECTIVE",
        /// Never.
        Disabled = "DISABLED",
    }
}

object! {
    /// `allowSourceLists`: a new flow must match each kind of list given.
    pub struct AllowSourceLists {
        /// F5SPKAddressList names.
        address_lists: Vec<String>, "addressLists", list(object_name(), 0, 16);
        /// F5SPKPortList names.
        port_lists: Vec<String>, "portLists", list(object_name(), 0, 16);
    }
}

impl AllowSourceLists {
    /// Whether it filters nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.address_lists.is_empty() && self.port_lists.is_empty()
    }
}

/// Schema of `routeAdvertisement`.
pub(crate) fn route_advertisement() -> schema::Schema {
    schema::one_of(RouteAdvertisement::WORDS).default(RouteAdvertisement::Enabled.word())
}

/// Schema of `connectionLimit` and `rateLimit`; 0 is none.
pub(crate) fn limit() -> schema::Schema {
    schema::int(0, i64::from(i32::MAX)).default(0)
}
