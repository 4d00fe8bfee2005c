//! Source ports of translated flows.
//!
//! Needs no lease table: a port is free towards a destination if the key that its replies would have
//! is not in the index, so ports are reused per destination. The client's own port is kept if it is
//! free and replies to it reach this worker; else random ones are tried, then some in a row.
//!
//! Sources: architecture.md §3.1 (SNAT ports), crds.md §3.4.7, §13 (Behaviour 4).

use super::Shared;
use super::owner::{Ends, owner, second_owner};
use super::session::{Addresses, Key, join_ports};
use super::table::Table;
use crate::random::Random;
use tmm_config::Config;

/// How hard ports were to find.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PortUse {
    /// Ports tried whose replies reach this worker.
    pub tries: u64,
    /// Of these, taken towards their destination.
    pub taken: u64,
    /// Flows that found none.
    pub exhausted: u64,
}

/// A key of replies to `wanted` or another port of `key`'s destination; none if all that were tried
/// are taken, by a flow or by who `is_reserved` knows.
pub fn choose<A: Addresses>(
    table: &Table<A>,
    shared: &mut Shared,
    config: &Config,
    mut key: Key<A>,
    wanted: u16,
    peer_port: u16,
    is_reserved: impl Fn(&Ends) -> bool,
) -> Option<Key<A>> {
    let mut port = wanted;
    for attempt in 0..RANDOM_TRIES + ROW_TRIES {
        key.ports = join_ports(peer_port, port);
        let ends = ends_of(&key);
        if is_own(shared, config, &ends) {
            let is_taken = table.find(&shared.hasher, &key).is_some() || is_reserved(&ends);
            shared.ports.tries += 1;
            if !is_taken {
                return Some(key);
            }
            shared.ports.taken += 1;
        }
        port = if attempt < RANDOM_TRIES {
            random_port(&mut shared.random)
        } else {
            port.checked_add(1).unwrap_or(FIRST)
        };
    }
    shared.ports.exhausted += 1;
    None
}

/// Whether replies from and to these ends reach this worker.
fn is_own(shared: &Shared, config: &Config, ends: &Ends) -> bool {
    owner(config, ends, shared.workers) == shared.worker
        || second_owner(config, ends, shared.workers, true) == Some(shared.worker)
}

fn ends_of<A: Addresses>(key: &Key<A>) -> Ends {
    Ends {
        protocol: key.protocol,
        source: (key.addresses.source(), key.source_port()),
        destination: (key.addresses.destination(), key.destination_port()),
    }
}

fn random_port(random: &mut Random) -> u16 {
    let span = u64::from(u16::MAX - FIRST) + 1;
    FIRST + (((random.next() >> 32) * span) >> 32) as u16
}

/// The first port that is ever chosen.
const FIRST: u16 = 1024;
const RANDOM_TRIES: u32 = 64;
const ROW_TRIES: u32 = 512;
