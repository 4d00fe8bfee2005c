//! Why a port does not work, with what to do about it.

use std::fmt;

use crate::eal::error_text;
use crate::link::NetlinkError;
use crate::right::Right;
use crate::{DeviceArgumentError, log};

/// What was asked of a device when it failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each variant is named after the method that does it")]
pub enum Operation {
    Attach,
    Describe,
    Configure,
    RxQueue,
    TxQueue,
    Start,
    Stop,
    Link,
    Stats,
    ExtendedStats,
    Mac,
    SetMac,
    SetMtu,
    Promiscuous,
    AllMulticast,
}

impl Operation {
    /// Stable label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Describe => "describe",
            Self::Configure => "configure",
            Self::RxQueue => "set up a receive queue",
            Self::TxQueue => "set up a transmit queue",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Link => "read the link",
            Self::Stats => "read counters",
            Self::ExtendedStats => "read extended counters",
            Self::Mac => "read the address",
            Self::SetMac => "set the address",
            Self::SetMtu => "set the MTU",
            Self::Promiscuous => "set promiscuous mode",
            Self::AllMulticast => "set all-multicast mode",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A port cannot be configured or used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// A value cannot be passed to the driver.
    #[error("port {port}: {cause}")]
    Argument {
        /// The port.
        port: String,
        /// What is wrong with it.
        cause: DeviceArgumentError,
    },
    /// The kernel interface does not exist in this network namespace.
    #[error(
        "port {port}: there is no interface {interface} in this network namespace: create it (`ip \
         link add ...`) or name another device (`ip link` lists them)"
    )]
    AbsentInterface {
        /// The port.
        port: String,
        /// The interface.
        interface: String,
    },
    /// The PCI function does not exist.
    #[error(
        "port {port}: there is no PCI function {address}: check `lspci -D`, and create virtual \
         functions with sriov_numvfs"
    )]
    AbsentFunction {
        /// The port.
        port: String,
        /// Its address.
        address: String,
    },
    /// The PCI function exists, but no driver of DPDK took it.
    #[error(
        "port {port}: PCI function {address} is bound to the kernel driver {driver:?}: bind it to \
         vfio-pci (`dpdk-devbind.py -b vfio-pci {address}`); DPDK: {cause}"
    )]
    Unbound {
        /// The port.
        port: String,
        /// Its address.
        address: String,
        /// The kernel driver that has it; empty if none.
        driver: String,
        /// DPDK's own words.
        cause: String,
    },
    /// An input file does not exist or cannot be read.
    #[error("port {port}: cannot read {path}: {kind}; create it or correct the path")]
    AbsentFile {
        /// The port.
        port: String,
        /// The file.
        path: String,
        /// The kernel's words.
        kind: std::io::ErrorKind,
    },
    /// Somebody else has the device.
    #[error(
        "port {port}: {device} is in use: end the process that has it, or detach a left-over XDP \
         program (`ip link set dev {device} xdp off`); DPDK: {cause}"
    )]
    Busy {
        /// The port.
        port: String,
        /// The device.
        device: String,
        /// DPDK's own words.
        cause: String,
    },
    /// The process misses a right.
    #[error(
        "port {port}: {right} is missing: run as root or grant it (`setcap {right}+ep`, or the \
         pod's securityContext.capabilities.add); DPDK: {cause}"
    )]
    MissingRight {
        /// The port.
        port: String,
        /// The right.
        right: Right,
        /// DPDK's own words.
        cause: String,
    },
    /// More queues than the device has.
    #[error(
        "port {port}: {asked} queues are asked for and {device} has {most}: use fewer cores, or \
         give the interface more queues (`ethtool -L`, veth: numrxqueues and numtxqueues)"
    )]
    TooManyQueues {
        /// The port.
        port: String,
        /// The device.
        device: String,
        /// Queues asked for.
        asked: u16,
        /// Queues that it has.
        most: u16,
    },
    /// The asked frame is larger than the device's or the pool's.
    #[error(
        "port {port}: frames of {asked} bytes are asked for and {most} fit: lower `max_frame` or \
         use a pool with larger buffers"
    )]
    FrameTooLarge {
        /// The port.
        port: String,
        /// Bytes asked for.
        asked: u32,
        /// Most bytes.
        most: u32,
    },
    /// The pool cannot fill the receive queues.
    #[error(
        "port {port}: its receive queues keep {needed} buffers and pool {pool:?} has {free} left: \
         make the pool larger or the queues shorter"
    )]
    PoolTooSmall {
        /// The port.
        port: String,
        /// The pool.
        pool: String,
        /// Buffers needed.
        needed: u32,
        /// Buffers left.
        free: u32,
    },
    /// The pool belongs to another environment.
    #[error("port {port}: pool and port must come from the same environment")]
    ForeignPool {
        /// The port.
        port: String,
    },
    /// Not all queues of the port were given as proof that nobody polls them.
    #[error("port {port}: all {needed} queues are needed to stop or start it, {given} were given")]
    QueuesMissing {
        /// The port.
        port: String,
        /// Queues that the port has.
        needed: usize,
        /// Queues given.
        given: usize,
    },
    /// The kernel cannot be asked about the interface.
    #[error("port {port}: {cause}")]
    Netlink {
        /// The port.
        port: String,
        /// Why.
        cause: NetlinkError,
    },
    /// The device refuses.
    #[error("port {port}: the device does not {operation} ({reason}); DPDK: {cause}")]
    Failed {
        /// The port.
        port: String,
        /// What was asked.
        operation: Operation,
        /// The driver's return code, negative.
        code: i32,
        /// The error number in words.
        reason: String,
        /// DPDK's own words.
        cause: String,
    },
}

impl PortError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Argument { cause, .. } => cause.code(),
            Self::AbsentInterface { .. } => "port_absent_interface",
            Self::AbsentFunction { .. } => "port_absent_function",
            Self::Unbound { .. } => "port_unbound_function",
            Self::AbsentFile { .. } => "port_absent_file",
            Self::Busy { .. } => "port_busy",
            Self::MissingRight { .. } => "port_missing_right",
            Self::TooManyQueues { .. } => "port_too_many_queues",
            Self::FrameTooLarge { .. } => "port_frame_too_large",
            Self::PoolTooSmall { .. } => "port_pool_too_small",
            Self::ForeignPool { .. } => "port_foreign_pool",
            Self::QueuesMissing { .. } => "port_queues_missing",
            Self::Netlink { .. } => "port_netlink",
            Self::Failed { .. } => "port_failed",
        }
    }
}

/// Turns a driver's return code into an error with the log since `mark`.
pub(super) fn check(
    port: &str,
    operation: Operation,
    code: i32,
    mark: u64,
) -> Result<(), PortError> {
    if code >= 0 {
        return Ok(());
    }
    Err(PortError::Failed {
        port: port.to_owned(),
        operation,
        code,
        reason: error_text(-code),
        cause: log::since(mark),
    })
}
