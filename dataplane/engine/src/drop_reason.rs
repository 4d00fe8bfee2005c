//! Why a packet was dropped: one closed enum whose value indexes the counter.
//!
//! Decides nothing. Invariant: names are unique, snake_case and never change once released, as they
//! are rows of `drop_stat` and metric labels. A reason that no test raises breaks the build of the
//! suite `tests/drop_reasons.rs`.
//!
//! Sources: operations.md §7.1 (`drop_stat`), crds.md §3.4.2, §5.3, §5.7, licensing.md §12.1.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// The reason of a drop. `as usize` is its index, 0 to [`DropReason::COUNT`] - 1.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)+
        }

        impl DropReason {
            /// All reasons in index order.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];

            /// How many reasons there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The stable name: the row of `drop_stat` and the metric label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    // Frame.
    /// The frame ends before its headers do.
    FrameTooShort = "frame_too_short",
    /// The headers of the frame are not all in the first segment of the buffer.
    HeadersSplit = "headers_split",
    /// No VLAN of the configuration has this port and tag (CHK-500).
    VlanUnknown = "vlan_unknown",
    /// The source MAC is a group address or zero.
    BadSourceMac = "bad_source_mac",
    /// The destination MAC is another station's.
    NotForUsMac = "not_for_us_mac",
    /// A group address that no address of ours listens to.
    MulticastIgnored = "multicast_ignored",
    /// Neither ARP, IPv4 nor IPv6.
    EthertypeUnknown = "ethertype_unknown",
    /// ARP that breaks RFC 826, or claims an address of ours.
    ArpInvalid = "arp_invalid",
    /// Neighbour discovery that breaks the checks of RFC 4861 §7.1, or claims an address of ours.
    NdInvalid = "nd_invalid",

    // IP.
    /// Version, header length or total length is wrong.
    BadIpv4Header = "bad_ipv4_header",
    /// The IPv4 header checksum is wrong.
    BadIpv4Checksum = "bad_ipv4_checksum",
    /// Version, length or extension headers are wrong.
    BadIpv6Header = "bad_ipv6_header",
    /// A source or destination that may not be on the wire (RFC 1122 §3.2.1.3, RFC 4291 §2.5).
    BadAddress = "bad_address",
    /// The TCP, UDP, SCTP or ICMP header is cut off.
    BadL4Header = "bad_l4_header",
    /// A packet to ourselves has a wrong TCP, UDP or ICMP checksum.
    BadL4Checksum = "bad_l4_checksum",
    /// TTL or hop limit would reach 0.
    TtlExpired = "ttl_expired",
    /// Larger than the VLAN's MTU with DF, or IPv6 (CHK-502).
    TooBig = "too_big",
    /// Larger than the VLAN's MTU without DF; fragmenting comes with `engine`.
    FragmentationUnsupported = "fragmentation_unsupported",
    /// A fragment; reassembly comes with `engine`.
    FragmentUnsupported = "fragment_unsupported",
    /// An ICMP error about a flow; its translation comes with `engine`.
    IcmpErrorUnsupported = "icmp_error_unsupported",
    /// An ICMP message that nothing here answers or forwards.
    IcmpUnsupported = "icmp_unsupported",
    /// An IP protocol that nothing here forwards.
    ProtocolUnsupported = "protocol_unsupported",

    // Gate and local services.
    /// The licence gate is closed (licensing.md §12.1).
    LicenseClosed = "license_closed",
    /// A self IP does not accept this service (CHK-504).
    PortLockdown = "port_lockdown",
    /// A self IP accepts this service and nothing here serves it.
    NoLocalService = "no_local_service",

    // Flows.
    /// A listener has the address and port, but not on this VLAN (CHK-051).
    VlanDeny = "vlan_deny",
    /// A reply came by another VLAN than its flow's: flows without translation are bound to the VLAN
    /// that their packets leave by, and to no other. Its sender gets no answer.
    ReplyVlan = "reply_vlan",
    /// No listener and no egress takes the packet.
    NoListener = "no_listener",
    /// An egress takes the packet's VLAN but not its family.
    FamilyDeny = "family_deny",
    /// No member may get a new flow; the client got the protocol's answer (crds.md §5.3).
    NoMember = "no_member",
    /// An answer to a packet without a flow would exceed 1,000 a second (CHK-068).
    AnswerRate = "answer_rate",
    /// The member of the flow went and `serviceDownAction` drops or ends the flow.
    ServiceDown = "service_down",
    /// The process ends and opens no flow any more (OPS-161).
    Draining = "draining",
    /// The flow table is full (OPS-426 sized it).
    FlowTableFull = "flow_table_full",
    /// More SCTP associations wait for the end of their handshake than a listener, or all, may have
    /// (crds.md §10 behaviour 5).
    HalfOpenFull = "half_open_full",
    /// No source port is left towards the destination.
    SnatExhausted = "snat_exhausted",
    /// Automap, and the VLAN has no self IP of the family on this replica.
    NoSelfIp = "no_self_ip",
    /// A TCP segment other than SYN without a flow; answered by RST unless it is one.
    TcpStray = "tcp_stray",
    /// TCP flags that no segment has (RFC 9293 §3.1), such as SYN with FIN.
    TcpBadFlags = "tcp_bad_flags",
    /// A UDP datagram over IPv6 without checksum (RFC 8200 §8.1).
    UdpZeroChecksum = "udp_zero_checksum",
    /// The CRC32c is wrong (RFC 9260 §6.8).
    SctpBadCrc = "sctp_bad_crc",
    /// The verification tag fits no association (RFC 9260 §8.5).
    SctpBadTag = "sctp_bad_tag",
    /// No association and the packet does not begin one (RFC 9260 §8.4).
    SctpStray = "sctp_stray",

    // Way out.
    /// No route to the next address.
    NoRoute = "no_route",
    /// The route is a black hole.
    Blackhole = "blackhole",
    /// The next hop did not answer ARP or neighbour solicitation.
    NeighbourUnresolved = "neighbour_unresolved",
    /// More packets wait for next hops than the hold queues take.
    HoldFull = "hold_full",
    /// Every slot of the adjacency table is in use.
    AdjacencyTableFull = "adjacency_table_full",
    /// The buffer has no room for the tag.
    BufferRoom = "buffer_room",
    /// The port's transmit queue is full.
    TxFull = "tx_full",
    /// The owning worker's ring is full.
    HandOverFull = "hand_over_full",
    /// The port or the VLAN to leave by went with a configuration change.
    PortGone = "port_gone",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_snake_case_and_indices_are_dense() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(reason.name().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
    }
}
