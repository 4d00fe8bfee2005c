//! Which worker owns a packet: a pure function of the packet and the configuration.
//!
//! (1) To an own self address: by destination port. (2) To a VIP: by source address and port.
//! (3) From a member of a listener with SNAT none: by destination address and port; to one: by
//! source address and port. (4) Else by both ends, symmetric. SCTP leaves addresses out, as an
//! association may use several. Source ports are chosen so that replies reach the choosing worker.
//!
//! Who is a VIP or a member changes while flows go on. Members that left stay members here (see
//! `Config`). An end that became one may have flows of (4): what the worker of (3) does not know, and
//! what the worker of (2) does not know and no listener may open, goes on to the worker of (4), once.
//! So what is no flow of a listener always is at that worker. A UDP flow to an address and port that
//! a listener takes afterwards is the listener's from then on.
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
    let hash = match Rule::of(config, ends) {
        Rule::Own => mix(u64::from(destination.1)),
        Rule::Vip | Rule::ToMember => end(ends.protocol, source),
        Rule::FromMember => end(ends.protocol, destination),
        Rule::Other => symmetric(ends),
    };
    scale(hash, workers)
}

/// The worker that may have the flow if [`owner`] has not; none if no other may. `opens`: the packet
/// may begin a flow of a listener.
pub(super) fn second_owner(config: &Config, ends: &Ends, workers: u16, opens: bool) -> Option<u16> {
    let may_differ = match Rule::of(config, ends) {
        Rule::Own | Rule::Other => false,
        Rule::Vip => !opens,
        Rule::FromMember | Rule::ToMember => true,
    };
    (workers > 1 && may_differ).then(|| scale(symmetric(ends), workers))
}

/// What decides the owner, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    Own,
    Vip,
    FromMember,
    ToMember,
    Other,
}

impl Rule {
    fn of(config: &Config, ends: &Ends) -> Self {
        if config.self_ip(ends.destination.0).is_some() {
            Self::Own
        } else if config.is_any_vip(ends.destination.0) {
            Self::Vip
        } else if is_plain_member(config, ends.protocol, ends.source) {
            Self::FromMember
        } else if is_plain_member(config, ends.protocol, ends.destination) {
            Self::ToMember
        } else {
            Self::Other
        }
    }
}

/// Whether the end is a member that sees its clients' own addresses.
pub(super) fn is_plain_member(config: &Config, number: u8, (address, port): (IpAddr, u16)) -> bool {
    Protocol::from_number(number)
        .is_some_and(|protocol| config.is_snat_none_member(protocol, address, port))
}

const fn scale(hash: u64, workers: u16) -> u16 {
    (((hash >> 32) * workers as u64) >> 32) as u16
}

fn symmetric(ends: &Ends) -> u64 {
    end(ends.protocol, ends.source).wrapping_add(end(ends.protocol, ends.destination))
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
