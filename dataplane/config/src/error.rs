//! Why a snapshot is refused.

use std::net::IpAddr;

use ipnet::IpNet;
use tmm_wire::Protocol;

/// One defect of a [`crate::Spec`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SpecError {
    /// Where: list, name of the entry, field, such as `pools[core-web-v4].members[10.1.0.5:80]`.
    pub path: String,
    /// What.
    pub problem: SpecProblem,
}

impl SpecError {
    /// Stable label for metrics and reports.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.problem.code()
    }
}

/// What is wrong at a [`SpecError::path`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecProblem {
    /// A second entry with one name or key.
    #[error("is there twice")]
    Duplicate,
    /// A name is empty.
    #[error("is empty")]
    Empty,
    /// A number is outside its range.
    #[error("{value} is outside {low} to {high}")]
    OutOfRange {
        /// The number.
        value: u64,
        /// Smallest that is allowed.
        low: u64,
        /// Largest that is allowed.
        high: u64,
    },
    /// More entries than the data plane numbers.
    #[error("has {count} entries, at most {most} are possible")]
    TooMany {
        /// How many.
        count: usize,
        /// How many are possible.
        most: usize,
    },
    /// An interface is not `1.1` to `1.99`.
    #[error("{name:?} is no interface name; they run from 1.1 to 1.99")]
    InterfaceName {
        /// The name.
        name: String,
    },
    /// A VLAN names no or several interfaces.
    #[error("names {count} interfaces; it takes one, as bonding is not in this build")]
    InterfaceCount {
        /// How many.
        count: usize,
    },
    /// Two VLANs share port and tag.
    #[error("tag {tag} is already taken on {interface} by VLAN {owner:?}")]
    TagTaken {
        /// The tag; 0 is untagged.
        tag: u16,
        /// The interface.
        interface: String,
        /// The VLAN that has it.
        owner: String,
    },
    /// An address that no host, or no host of the subnet, may have.
    #[error("{address} is not a host's address")]
    NotUnicast {
        /// The address.
        address: IpAddr,
    },
    /// An address that something else has.
    #[error("{address} already belongs to {owner}")]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// The path of its owner.
        owner: String,
    },
    /// Self IPs of two VLANs lie in one subnet, so on-link hosts of it are on either.
    #[error("{subnet} overlaps {other} of {owner}")]
    SubnetTaken {
        /// The subnet.
        subnet: IpNet,
        /// The subnet that was there before.
        other: IpNet,
        /// The path of its owner.
        owner: String,
    },
    /// Entries of one self-IP list lie in different subnets.
    #[error("{address} is not in the subnet of the first entry")]
    OtherSubnet {
        /// The address.
        address: IpAddr,
    },
    /// Host bits of a prefix are set.
    #[error("has host bits set")]
    HostBits,
    /// IPv4 beside IPv6.
    #[error("{address} is of the other address family")]
    Family {
        /// The address.
        address: IpAddr,
    },
    /// A VLAN id that the snapshot does not have.
    #[error("names VLAN {id:?}, which is not in the snapshot")]
    UnknownVlan {
        /// The id.
        id: String,
    },
    /// A pool that the snapshot does not have.
    #[error("names pool {name:?}, which is not in the snapshot")]
    UnknownPool {
        /// The name.
        name: String,
    },
    /// Two listeners of one protocol, VIP and port share a VLAN.
    #[error("{protocol} {vip}:{port} is already taken on a VLAN of it by {owner:?}", protocol = .protocol.name())]
    ListenerTaken {
        /// The protocol.
        protocol: Protocol,
        /// The VIP.
        vip: IpAddr,
        /// The port.
        port: u16,
        /// The listener that has it.
        owner: String,
    },
    /// A monitor's time-out is not above its interval.
    #[error("timeout {timeout} is not above interval {interval}")]
    TimeoutNotAboveInterval {
        /// Seconds.
        timeout: u32,
        /// Seconds.
        interval: u32,
    },
    /// Neither monitor nor member has a port to probe.
    #[error("has no port to probe: the member's is 0 and the monitor sets none")]
    NoProbePort,
}

impl SpecProblem {
    /// Stable label for metrics and reports.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Empty => "empty",
            Self::OutOfRange { .. } => "out_of_range",
            Self::TooMany { .. } => "too_many",
            Self::InterfaceName { .. } => "interface_name",
            Self::InterfaceCount { .. } => "interface_count",
            Self::TagTaken { .. } => "tag_taken",
            Self::NotUnicast { .. } => "not_unicast",
            Self::AddressTaken { .. } => "address_taken",
            Self::SubnetTaken { .. } => "subnet_taken",
            Self::OtherSubnet { .. } => "other_subnet",
            Self::HostBits => "host_bits",
            Self::Family { .. } => "family",
            Self::UnknownVlan { .. } => "unknown_vlan",
            Self::UnknownPool { .. } => "unknown_pool",
            Self::ListenerTaken { .. } => "listener_taken",
            Self::TimeoutNotAboveInterval { .. } => "timeout_not_above_interval",
            Self::NoProbePort => "no_probe_port",
        }
    }
}
