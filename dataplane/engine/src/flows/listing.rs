//! Flows as an operator sees them.

use std::net::IpAddr;

use tmm_config::config::{EgressSlot, ListenerSlot, MemberSlot, VlanSlot};

use super::open::NO_MEMBER;
use super::session::{Addresses, Kind, Ticks};
use super::table::Table;
use super::usage::Volume;
use super::{Flows, sctp, tcp};
use crate::frame::protocol;

/// Where a flow is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FlowState {
    /// The handshake is not complete.
    Opening,
    /// Packets pass.
    Open,
    /// A FIN was seen.
    Closing,
    /// Over; kept for late segments.
    Closed,
}

impl FlowState {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// One flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlowRow {
    /// IP protocol.
    pub protocol: u8,
    /// VLAN that the opening side is on.
    pub client_vlan: VlanSlot,
    /// Who opened it.
    pub client: (IpAddr, u16),
    /// What it asked for.
    pub asked: (IpAddr, u16),
    /// VLAN that the other side is on.
    pub server_vlan: VlanSlot,
    /// The source that the other side sees.
    pub source: (IpAddr, u16),
    /// The other side.
    pub server: (IpAddr, u16),
    /// The listener it came by.
    pub listener: Option<ListenerSlot>,
    /// The egress it came by.
    pub egress: Option<EgressSlot>,
    /// The member that serves it.
    pub member: Option<MemberSlot>,
    /// Where it is.
    pub state: FlowState,
    /// Seconds since it began; of a closed TCP connection since it closed.
    pub age_seconds: u32,
    /// Seconds without a packet.
    pub idle_seconds: u32,
    /// What it carried.
    pub volume: Volume,
}

impl Flows {
    /// All flows, IPv4 first, in no order that means anything. For operators, not for the packet
    /// path: O(slots ever used).
    pub fn rows(&self, now: tmm_config::Nanos) -> impl Iterator<Item = FlowRow> + '_ {
        self.page(now, 0, self.places())
    }

    /// How many places [`Flows::page`] passes; rises only.
    #[must_use]
    pub const fn places(&self) -> u32 {
        self.v4.used().saturating_add(self.v6.used())
    }

    /// The flows at places `from` to `to`, not included: a piece of [`Flows::rows`], so that a
    /// listing can go on between bursts. O(`to` - `from`).
    pub fn page(
        &self,
        now: tmm_config::Nanos,
        from: u32,
        to: u32,
    ) -> impl Iterator<Item = FlowRow> + '_ {
        let now = Ticks::at(now);
        let border = self.v4.used();
        let v6 = |place: u32| place.saturating_sub(border);
        rows(&self.v4, now, from, to).chain(rows(&self.v6, now, v6(from), v6(to)))
    }
}

/// Flows of sessions `from` to `to`.
fn rows<A: Addresses>(
    table: &Table<A>,
    now: Ticks,
    from: u32,
    to: u32,
) -> impl Iterator<Item = FlowRow> + '_ {
    let used = (from..to.min(table.used())).filter(|session| table.is_used(*session));
    used.map(move |session| {
        let (hot, cold) = (table.hot(session), table.cold(session));
        let (forward, reply) = (hot.key(false), hot.key(true));
        let state = match hot.protocol {
            protocol::TCP => match tcp::State::from_raw(hot.state) {
                tcp::State::SynSent | tcp::State::SynReceived => FlowState::Opening,
                tcp::State::Established => FlowState::Open,
                tcp::State::Closing => FlowState::Closing,
                tcp::State::Closed => FlowState::Closed,
            },
            protocol::SCTP => match sctp::State::from_raw(hot.state) {
                sctp::State::Opening => FlowState::Opening,
                sctp::State::Established => FlowState::Open,
            },
            _ => FlowState::Open,
        };
        let mut volume = Volume { packets: cold.packets, bytes: cold.bytes };
        for side in 0..2 {
            volume.packets[side] += u64::from(hot.packets[side]);
            volume.bytes[side] += u64::from(hot.bytes[side]);
        }
        FlowRow {
            protocol: hot.protocol,
            client_vlan: VlanSlot(hot.zone[0]),
            client: (forward.addresses.source(), forward.source_port()),
            asked: (forward.addresses.destination(), forward.destination_port()),
            server_vlan: VlanSlot(hot.zone[1]),
            source: (reply.addresses.destination(), reply.destination_port()),
            server: (reply.addresses.source(), reply.source_port()),
            listener: (cold.kind == Kind::Listener).then_some(ListenerSlot(cold.owner)),
            egress: (cold.kind == Kind::Egress).then_some(EgressSlot(cold.owner)),
            member: (cold.member != NO_MEMBER).then_some(MemberSlot(cold.member)),
            state,
            age_seconds: now.since(cold.since) / Ticks::PER_SECOND,
            idle_seconds: now.since(hot.last_seen) / Ticks::PER_SECOND,
            volume,
        }
    })
}
