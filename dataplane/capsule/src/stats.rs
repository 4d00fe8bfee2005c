//! A port's counters, as its driver keeps them.

/// Counters since the port was configured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PortStats {
    /// Frames received.
    pub received: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Frames that the device dropped as its queue was full.
    pub missed: u64,
    /// Frames received with an error.
    pub receive_errors: u64,
    /// Frames that could not be sent.
    pub send_errors: u64,
    /// Frames that were dropped as the pool was empty.
    pub no_buffer: u64,
}

impl From<&dpdk_sys::rte_eth_stats> for PortStats {
    fn from(raw: &dpdk_sys::rte_eth_stats) -> Self {
        Self {
            received: raw.ipackets,
            received_bytes: raw.ibytes,
            sent: raw.opackets,
            sent_bytes: raw.obytes,
            missed: raw.imissed,
            receive_errors: raw.ierrors,
            send_errors: raw.oerrors,
            no_buffer: raw.rx_nombuf,
        }
    }
}

/// One counter of a driver's own, such as `rx_q0_packets`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtendedStat {
    /// The driver's name for it.
    pub name: String,
    /// Its value.
    pub value: u64,
}
