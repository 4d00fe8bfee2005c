//! Routes by longest prefix: static routes and the connected subnets of self IPs.
//!
//! Built once per change, looked up per flow. Does not know which next hops are alive.
//!
//! Source: crds.md §17.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::NextHop;

/// An immutable table of routes of both families.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    v4: PrefixMap<Ipv4Net, Box<[NextHop]>>,
    v6: PrefixMap<Ipv6Net, Box<[NextHop]>>,
    sorted: Vec<(IpNet, Box<[NextHop]>)>,
}

impl PartialEq for Routes {
    fn eq(&self, other: &Self) -> bool {
        self.sorted == other.sorted
    }
}

impl Eq for Routes {}

impl Routes {
    /// Collects next hops of equal prefixes in the map's order.
    pub(crate) fn new(routes: BTreeMap<IpNet, Vec<NextHop>>) -> Self {
        let mut table = Self::default();
        for (prefix, hops) in routes {
            let hops = hops.into_boxed_slice();
            match prefix {
                IpNet::V4(prefix) => table.v4.insert(prefix, hops.clone()),
                IpNet::V6(prefix) => table.v6.insert(prefix, hops.clone()),
            };
            table.sorted.push((prefix, hops));
        }
        table
    }

    /// The next hops of the longest prefix that holds `destination`; never empty. No allocation.
    #[must_use]
    pub fn lookup(&self, destination: IpAddr) -> Option<&[NextHop]> {
        match destination {
            IpAddr::V4(address) => self.v4.get_lpm(&Ipv4Net::from(address)).map(|hit| &**hit.1),
            IpAddr::V6(address) => self.v6.get_lpm(&Ipv6Net::from(address)).map(|hit| &**hit.1),
        }
    }

    /// All routes, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &[NextHop])> {
        self.sorted.iter().map(|(prefix, hops)| (*prefix, &**hops))
    }
}
