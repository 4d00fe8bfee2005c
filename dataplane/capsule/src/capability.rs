//! What a device does by itself, and what is left to software.
//!
//! The offloads are always software: no virtual device here verifies or writes checksums, most hand
//! tags over in the frame, and [`crate::Port::configure`] switches none of them on where a function has
//! them. Of a device it asks only for scattered frames, frames of several segments and, with several
//! queues, RSS. The list says what a port leaves to software in any case.

use core::fmt;

/// Work on frames that a device may or may not do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SoftwareWork {
    /// Verify the IPv4 header's checksum of received packets.
    Ipv4ChecksumVerify,
    /// Verify TCP and UDP checksums of received packets.
    TransportChecksumVerify,
    /// Verify SCTP's CRC32c of received packets.
    SctpChecksumVerify,
    /// Write the IPv4 header's checksum.
    Ipv4ChecksumWrite,
    /// Write TCP and UDP checksums.
    TransportChecksumWrite,
    /// Write SCTP's CRC32c.
    SctpChecksumWrite,
    /// Take the VLAN tag out of received frames.
    VlanStrip,
    /// Put the VLAN tag into sent frames.
    VlanInsert,
    /// Hash flows and spread them over queues.
    FlowHash,
}

impl SoftwareWork {
    /// All of it, in order.
    pub const ALL: [Self; 9] = [
        Self::Ipv4ChecksumVerify,
        Self::TransportChecksumVerify,
        Self::SctpChecksumVerify,
        Self::Ipv4ChecksumWrite,
        Self::TransportChecksumWrite,
        Self::SctpChecksumWrite,
        Self::VlanStrip,
        Self::VlanInsert,
        Self::FlowHash,
    ];

    /// Stable label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4ChecksumVerify => "ipv4-checksum-verify",
            Self::TransportChecksumVerify => "transport-checksum-verify",
            Self::SctpChecksumVerify => "sctp-checksum-verify",
            Self::Ipv4ChecksumWrite => "ipv4-checksum-write",
            Self::TransportChecksumWrite => "transport-checksum-write",
            Self::SctpChecksumWrite => "sctp-checksum-write",
            Self::VlanStrip => "vlan-strip",
            Self::VlanInsert => "vlan-insert",
            Self::FlowHash => "flow-hash",
        }
    }
}

impl fmt::Display for SoftwareWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a device says it can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    receive: u64,
    transmit: u64,
    rss: u64,
    multi_segment: bool,
}

impl Capabilities {
    /// From the words of rte_eth_dev_info. `hashes` is false for devices that list hash functions
    /// without having them.
    pub(crate) fn new(receive: u64, transmit: u64, rss: u64, hashes: bool) -> Self {
        let multi_segment = transmit & dpdk_sys::DPDK_SYS_TX_MULTI_SEGS != 0;
        Self { receive, transmit, rss: if hashes { rss } else { 0 }, multi_segment }
    }

    /// Whether the device does `work` by itself if told to.
    #[must_use]
    pub const fn offers(&self, work: SoftwareWork) -> bool {
        use dpdk_sys as c;
        const RX_L4: u64 = c::DPDK_SYS_RX_TCP_CKSUM | c::DPDK_SYS_RX_UDP_CKSUM;
        const TX_L4: u64 = c::DPDK_SYS_TX_TCP_CKSUM | c::DPDK_SYS_TX_UDP_CKSUM;
        let (have, need) = match work {
            SoftwareWork::Ipv4ChecksumVerify => (self.receive, c::DPDK_SYS_RX_IPV4_CKSUM),
            SoftwareWork::TransportChecksumVerify => (self.receive, RX_L4),
            SoftwareWork::SctpChecksumVerify => (self.receive, c::DPDK_SYS_RX_SCTP_CKSUM),
            SoftwareWork::Ipv4ChecksumWrite => (self.transmit, c::DPDK_SYS_TX_IPV4_CKSUM),
            SoftwareWork::TransportChecksumWrite => (self.transmit, TX_L4),
            SoftwareWork::SctpChecksumWrite => (self.transmit, c::DPDK_SYS_TX_SCTP_CKSUM),
            SoftwareWork::VlanStrip => (self.receive, c::DPDK_SYS_RX_VLAN_STRIP),
            SoftwareWork::VlanInsert => (self.transmit, c::DPDK_SYS_TX_VLAN_INSERT),
            SoftwareWork::FlowHash => return self.rss & c::DPDK_SYS_RSS_IP != 0,
        };
        have & need == need
    }

    /// What software must do for this device, in order.
    pub fn software(&self) -> impl Iterator<Item = SoftwareWork> + '_ {
        SoftwareWork::ALL.into_iter().filter(|work| !self.offers(*work))
    }

    /// Whether packets of several segments can be sent.
    #[must_use]
    pub const fn sends_chains(&self) -> bool {
        self.multi_segment
    }

    /// The hash fields to ask for when there are several queues.
    pub(crate) const fn rss_fields(&self) -> u64 {
        self.rss & (dpdk_sys::DPDK_SYS_RSS_IP | dpdk_sys::DPDK_SYS_RSS_L4)
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, SoftwareWork};

    #[test]
    fn device_without_offloads_leaves_all_work_to_software() {
        let none = Capabilities::new(0, 0, 0, true);
        assert_eq!(none.software().collect::<Vec<_>>(), SoftwareWork::ALL);
        assert!(!none.sends_chains());
    }

    #[test]
    fn half_a_transport_offload_is_none_and_a_false_hash_list_does_not_count() {
        let tcp_only = Capabilities::new(dpdk_sys::DPDK_SYS_RX_TCP_CKSUM, 0, u64::MAX, false);
        assert!(!tcp_only.offers(SoftwareWork::TransportChecksumVerify));
        assert!(!tcp_only.offers(SoftwareWork::FlowHash));
        let all = Capabilities::new(u64::MAX, u64::MAX, u64::MAX, true);
        assert_eq!(all.software().count(), 0);
        assert!(all.sends_chains());
    }
}
