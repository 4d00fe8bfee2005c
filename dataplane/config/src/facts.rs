//! What the data plane knows that the controller does not: its ports and the health of members.
//!
//! The control thread keeps one [`Facts`], changes it on events of the workers and of the links, and
//! compiles again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use tmm_wire::PortId;

use crate::config::Config;

/// Inputs of [`Config::compile`] besides the [`crate::Spec`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// The ports of this process; one that is not here does not exist.
    pub ports: BTreeMap<PortId, PortFacts>,
    health: HashMap<String, HashMap<(IpAddr, u16), Health>>,
}

/// What is known about a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortFacts {
    /// Largest frame payload the device takes, in bytes: the IP packet and, if tagged, the 4-byte
    /// tag.
    pub max_mtu: u16,
    /// Whether the link is up.
    pub link_up: bool,
}

/// What the monitors of a member say together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Health {
    /// All succeed.
    Up,
    /// One failed for its timeout.
    Down,
}

impl Facts {
    /// Records what the monitors of a member say. Without a record it is being checked.
    pub fn set_health(&mut self, pool: &str, address: IpAddr, port: u16, health: Health) {
        match self.health.get_mut(pool) {
            Some(members) => members.insert((address, port), health),
            None => {
                let members = HashMap::from([((address, port), health)]);
                self.health.insert(pool.to_owned(), members);
                None
            }
        };
    }

    /// What is recorded about a member.
    #[must_use]
    pub fn health(&self, pool: &str, address: IpAddr, port: u16) -> Option<Health> {
        self.health.get(pool)?.get(&(address, port)).copied()
    }

    /// Forgets members that `config` does not have with monitors, so that one that comes back is
    /// checked anew.
    pub fn retain_members_of(&mut self, config: &Config) {
        let mut kept: HashMap<String, HashMap<(IpAddr, u16), Health>> = HashMap::new();
        for pool in config.pools().filter(|pool| !pool.monitors.is_empty()) {
            let Some(health) = self.health.get(&pool.name) else { continue };
            let members = pool.members.iter().filter_map(|member| {
                let key = (member.address, member.port);
                health.get(&key).map(|&health| (key, health))
            });
            kept.insert(pool.name.clone(), members.collect());
        }
        self.health = kept;
    }
}
