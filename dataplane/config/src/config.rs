//! What the engine reads: one checked, immutable snapshot.
//!
//! Names are resolved to slots that stay the same from one snapshot to the next, so that flows can
//! hold a slot; what did not change keeps its `Arc`. Per-replica lists are resolved: only this
//! replica's addresses are here. Member health is an input of compiling, so that workers share no
//! mutable word but the gate.
//!
//! # Generations and epochs
//!
//! [`Config::generation`] counts compilations. Every `epoch` and `since` is a value of that count,
//! so a flow stores one number, the generation it was last checked in:
//!
//! * `since > flow.generation`: the slot was freed and given to something else; what the flow used
//!   is gone.
//! * `epoch > flow.generation`: look again, whether the flow's VIP, VLAN, member and translation
//!   still stand.
//! * else the flow takes the new generation and goes on.
//!
//! A listener's epoch rises when its object, VIP, port, SNAT or service-down action changes, when a
//! VLAN leaves its set, and when a member leaves, goes down or comes back from down. It does not
//! rise for a new member, a weight, a method, a monitor or a time-out (flows read time-outs from the
//! slot). An egress's epoch rises when its object or SNAT changes, when a VLAN leaves its set, and
//! when IPv6 is no longer taken. A VLAN's epoch rises when its port, tag, MTU, self IP or
//! `auto_lasthop` changes; [`Config::vlans_epoch`] rises with any of them and when a VLAN goes.
//! [`Config::routes_epoch`] rises when any route changes. crds.md §5.6 keeps an existing flow's
//! translation and member: to look again is not to end.
//!
//! Sources: architecture.md §3.1 (Configuration), crds.md §5.5, §5.8.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tmm_wire::{PortId, Protocol, VlanId};

use crate::maglev::Maglev;
use crate::spec::{AllowedService, Method, MonitorSpec, ObjectRef, ServiceDown, Snat};

mod lookup;
mod routes;

pub use lookup::Config;
pub(crate) use lookup::{Index, ListenerKey, NO_VLAN, Parts, Vip};
pub use routes::Routes;

/// Index of a VLAN in this and every later snapshot that has it, 0 to 255.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VlanSlot(pub u8);

/// Index of a listener (virtual server).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ListenerSlot(pub u32);

/// Index of a pool member; one (pool, address, port) keeps its slot while it exists.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberSlot(pub u32);

/// Index of an egress.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EgressSlot(pub u32);

/// A set of VLAN slots.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct VlanSlots(pub [u64; 4]);

impl VlanSlots {
    /// Whether `slot` is in the set. O(1).
    #[must_use]
    pub const fn contains(&self, slot: VlanSlot) -> bool {
        self.0[(slot.0 >> 6) as usize] >> (slot.0 & 63) & 1 == 1
    }

    /// Adds `slot`.
    pub const fn insert(&mut self, slot: VlanSlot) {
        self.0[(slot.0 >> 6) as usize] |= 1 << (slot.0 & 63);
    }

    /// Whether every slot of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(mine, theirs)| mine & !theirs == 0)
    }

    /// Whether the two sets share a slot.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// The set of the slots of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut both = *self;
        for (mine, theirs) in both.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
        both
    }
}

/// One VLAN interface of this replica.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vlan {
    /// Its slot.
    pub slot: VlanSlot,
    /// Generation of the last change that flows and adjacencies must look at.
    pub epoch: u32,
    /// Generation in which the slot was given to this name.
    pub since: u32,
    /// The TMM's name (spec.name).
    pub name: String,
    /// metadata.name.
    pub id: String,
    /// The port that carries it.
    pub port: PortId,
    /// Its tag; none is untagged.
    pub tag: Option<VlanId>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// This replica's self IP and mask length.
    pub self_v4: Option<(Ipv4Addr, u8)>,
    /// This replica's self IP and mask length.
    pub self_v6: Option<(Ipv6Addr, u8)>,
    /// Answers go to the MAC that the request came from.
    pub auto_lasthop: bool,
    /// What self IPs accept.
    pub allowed_services: Vec<AllowedService>,
}

/// One virtual server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Its slot.
    pub slot: ListenerSlot,
    /// Generation of the last change that flows must look at.
    pub epoch: u32,
    /// Generation in which the slot was given to this name.
    pub since: u32,
    /// `<ns>-<name>-<tcp|udp|sctp>-<v4|v6>`.
    pub name: String,
    /// The object it came from.
    pub object: ObjectRef,
    /// Protocol it takes.
    pub protocol: Protocol,
    /// Virtual address.
    pub vip: IpAddr,
    /// Virtual port; 0 is all.
    pub port: u16,
    /// VLANs it listens on.
    pub vlans: VlanSlots,
    /// Its members.
    pub pool: Arc<Pool>,
    /// Source that members see.
    pub snat: Snat,
    /// Idle seconds; `u32::MAX` is never.
    pub idle_timeout: u32,
    /// Seconds without a completed handshake.
    pub handshake_timeout: u32,
    /// RST to both ends of an idle TCP flow.
    pub reset_on_idle: bool,
    /// What happens to flows of a member that went.
    pub service_down: ServiceDown,
}

/// The members of a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// `<ns>-<name>-<v4|v6>`.
    pub name: String,
    /// How a new flow picks.
    pub method: Method,
    /// Key of the Maglev hash (`Spec::hash_key`).
    pub hash_key: u64,
    /// Members in the planner's order.
    pub members: Vec<Member>,
    /// Indices into `members` of those that may get a new flow, in order. While no member is up,
    /// those that are being checked (crds.md §3.4.3 rule 4). Weight 0, down and draining members
    /// never are.
    pub eligible: Vec<u32>,
    /// Only for [`Method::MaglevHash`]; empty if none is eligible.
    pub maglev: Option<Arc<Maglev>>,
    /// Monitors that each member must pass.
    pub monitors: Vec<MonitorSpec>,
}

/// One member of a pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its slot.
    pub slot: MemberSlot,
    /// Pod address.
    pub address: IpAddr,
    /// Port; 0 is the client's.
    pub port: u16,
    /// 0 to 100.
    pub weight: u8,
    /// Its state.
    pub state: MemberState,
    /// Generation in which the slot was given to this (pool, address, port).
    pub since: u32,
}

/// Health of a member (crds.md §4.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MemberState {
    /// All monitors succeed.
    Up,
    /// A monitor failed for its timeout.
    Down,
    /// Monitored, no success yet.
    Checking,
    /// Without monitors.
    Unchecked,
    /// Terminating but serving.
    Draining,
}

/// One egress.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Egress {
    /// Its slot.
    pub slot: EgressSlot,
    /// Generation of the last change that flows must look at.
    pub epoch: u32,
    /// Generation in which the slot was given to this name.
    pub since: u32,
    /// `<ns>-<name>-egress`.
    pub name: String,
    /// The object it came from.
    pub object: ObjectRef,
    /// VLANs on which pod traffic is taken.
    pub vlans: VlanSlots,
    /// Whether IPv6 is taken besides IPv4.
    pub dual_stack: bool,
    /// Source outside.
    pub snat: Snat,
    /// Idle seconds of TCP flows.
    pub tcp_idle_timeout: u32,
    /// Idle seconds of UDP and SCTP flows.
    pub udp_idle_timeout: u32,
    /// Idle seconds of ICMP echo flows.
    pub icmp_idle_timeout: u32,
}

/// Where packets of a prefix go.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NextHop {
    /// To the neighbour `address` on `vlan`.
    Gateway {
        /// The gateway.
        address: IpAddr,
        /// VLAN whose subnet holds it.
        vlan: VlanSlot,
    },
    /// To the destination itself on `vlan` (connected subnets and `type: interface`).
    OnLink(VlanSlot),
    /// Dropped and counted.
    Blackhole,
}

/// Why no listener takes a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoListener {
    /// No listener has this address, port and protocol.
    NoMatch,
    /// One has, but not on this VLAN (counted `vlan_deny`, crds.md §3.4.2 rule 1).
    VlanDenied,
}
