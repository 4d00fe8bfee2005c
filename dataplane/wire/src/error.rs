//! Why bytes are not the header they were taken for.

/// What is wrong with a packet. One flat enum, so that it indexes a counter.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum ParseError {
    /// Frame shorter than an Ethernet header.
    #[error("Ethernet header is cut short")]
    EthernetTruncated,
    /// Frame ends inside its 802.1Q tag.
    #[error("802.1Q tag is cut short")]
    VlanTruncated,
    /// Frame has a second tag, which no VLAN takes.
    #[error("frame has more than one 802.1Q tag")]
    VlanNested,
    /// ARP packet shorter than 28 bytes.
    #[error("ARP packet is cut short")]
    ArpTruncated,
    /// ARP packet not for IPv4 over Ethernet, or with another operation than request and reply.
    #[error("ARP packet is not an IPv4 request or reply")]
    ArpUnsupported,
    /// Shorter than an IPv4 header.
    #[error("IPv4 header is cut short")]
    Ipv4Truncated,
    /// Version is not 4.
    #[error("IPv4 header has another version")]
    Ipv4Version,
    /// Header length below 20 bytes or beyond the packet.
    #[error("IPv4 header length is wrong")]
    Ipv4HeaderLength,
    /// Total length below the header's or beyond the frame.
    #[error("IPv4 total length is wrong")]
    Ipv4TotalLength,
    /// An IPv4 option's length is wrong.
    #[error("IPv4 option is malformed")]
    Ipv4Option,
    /// Shorter than an IPv6 header.
    #[error("IPv6 header is cut short")]
    Ipv6Truncated,
    /// Version is not 6.
    #[error("IPv6 header has another version")]
    Ipv6Version,
    /// Payload length beyond the frame (jumbograms are not supported).
    #[error("IPv6 payload length is wrong")]
    Ipv6PayloadLength,
    /// Packet ends inside an extension header.
    #[error("IPv6 extension header is cut short")]
    Ipv6ExtensionTruncated,
    /// More extension headers than are walked, or one out of its place.
    #[error("IPv6 packet has too many extension headers")]
    Ipv6ExtensionLimit,
    /// Neither IPv4 nor IPv6.
    #[error("IP version is neither 4 nor 6")]
    IpVersion,
    /// ICMP message shorter than its fixed part.
    #[error("ICMP message is cut short")]
    IcmpTruncated,
    /// ND message shorter than its fixed part, or another type.
    #[error("ND message is malformed")]
    NdMalformed,
    /// An ND option has length 0 or goes beyond the message.
    #[error("ND option is malformed")]
    NdOption,
    /// Shorter than a TCP header.
    #[error("TCP header is cut short")]
    TcpTruncated,
    /// Data offset below 20 bytes or beyond the segment.
    #[error("TCP data offset is wrong")]
    TcpDataOffset,
    /// A TCP option's length is wrong.
    #[error("TCP option is malformed")]
    TcpOption,
    /// Shorter than a UDP header.
    #[error("UDP header is cut short")]
    UdpTruncated,
    /// Length below 8 bytes or beyond the packet.
    #[error("UDP length is wrong")]
    UdpLength,
    /// Shorter than an SCTP common header.
    #[error("SCTP header is cut short")]
    SctpTruncated,
    /// A chunk shorter than its header or fixed part, or beyond the packet.
    #[error("SCTP chunk is malformed")]
    SctpChunk,
    /// A parameter shorter than its header or beyond its chunk.
    #[error("SCTP parameter is malformed")]
    SctpParameter,
    /// INIT, INIT ACK or SHUTDOWN COMPLETE beside another chunk (RFC 9260 §6.10).
    #[error("SCTP chunk is bundled that must not be")]
    SctpBundled,
}

impl ParseError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::EthernetTruncated => "ethernet_truncated",
            Self::VlanTruncated => "vlan_truncated",
            Self::VlanNested => "vlan_nested",
            Self::ArpTruncated => "arp_truncated",
            Self::ArpUnsupported => "arp_unsupported",
            Self::Ipv4Truncated => "ipv4_truncated",
            Self::Ipv4Version => "ipv4_version",
            Self::Ipv4HeaderLength => "ipv4_header_length",
            Self::Ipv4TotalLength => "ipv4_total_length",
            Self::Ipv4Option => "ipv4_option",
            Self::Ipv6Truncated => "ipv6_truncated",
            Self::Ipv6Version => "ipv6_version",
            Self::Ipv6PayloadLength => "ipv6_payload_length",
            Self::Ipv6ExtensionTruncated => "ipv6_extension_truncated",
            Self::Ipv6ExtensionLimit => "ipv6_extension_limit",
            Self::IpVersion => "ip_version",
            Self::IcmpTruncated => "icmp_truncated",
            Self::NdMalformed => "nd_malformed",
            Self::NdOption => "nd_option",
            Self::TcpTruncated => "tcp_truncated",
            Self::TcpDataOffset => "tcp_data_offset",
            Self::TcpOption => "tcp_option",
            Self::UdpTruncated => "udp_truncated",
            Self::UdpLength => "udp_length",
            Self::SctpTruncated => "sctp_truncated",
            Self::SctpChunk => "sctp_chunk",
            Self::SctpParameter => "sctp_parameter",
            Self::SctpBundled => "sctp_bundled",
        }
    }
}
