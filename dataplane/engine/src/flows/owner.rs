//! Which worker owns a packet: a pure function of the packet and the configuration.
//!
//! (1) To an own self address: by destination port. (2) To a VIP: by source address and port.
//! (3) From a member of a listener with SNAT none: by destination address and port; to one: by
//! source address and port, so that what such a member does outside its listener stays together.
//! (4) Else by both ends, symmetric. SCTP leaves addresses out, as an association may use several.
//! Source ports are chosen so that (1) and (3) give the choosing worker. Two members that talk to
//! each other through an egress without SNAT fall under (3) in both directions and so may part;
//! with one worker there is nothing to part.
//!
//! Source: architecture.md §3.1 (Owner).

use std::net::IpAddr;

use tmm_config::Config;
use tmm_wire::Protocol;

use crate::frame::protocol;

/// The ends of a packet; an ICMP echo has its identifier as port of the side that asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ends {
    /// IP protocol.
    pub protocol: u8,
    /// Source address and port.
    pub source: (IpAddr, u16),
    /// Destination address and port.
    pub destination: (IpAddr, u16),
}

/// The worker, below `workers`, that owns packets with these ends. O(1).
#[must_use]
pub fn owner(config: &Config, ends: &Ends, workers: u16) -> u16 {
    if workers <= 1 {
        return 0;
    }
    let Ends { source, destination, .. } = *ends;
    let hash = if config.self_ip(destination.0).is_some() {
        mix(u64::from(destination.1))
    } else if config.is_any_vip(destination.0) {
        end(ends.protocol, source)
    } else if is_plain_member(config, ends.protocol, source) {
        end(ends.protocol, destination)
    } else if is_plain_member(config, ends.protocol, destination) {
        end(ends.protocol, source)
    } else {
        end(ends.protocol, source).wrapping_add(end(ends.protocol, destination))
    };
    (((hash >> 32) * u64::from(workers)) >> 32) as u16
}

fn is_plain_member(config: &Config, number: u8, (address, port): (IpAddr, u16)) -> bool {
    Protocol::from_number(number)
        .is_some_and(|protocol| config.is_snat_none_member(protocol, address, port))
}

fn end(number: u8, (address, port): (IpAddr, u16)) -> u64 {
    let address = match address {
        _ if number == protocol::SCTP => 0,
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            mix((bits >> 64) as u64) ^ bits as u64
        }
    };
    mix(address.rotate_left(16) ^ u64::from(port))
}

/// The finaliser of MurmurHash3: all workers agree, whoever made them.
const fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}
