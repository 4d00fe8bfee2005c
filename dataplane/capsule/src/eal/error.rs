//! Why the environment does not start or end, with what to do about it.

use crate::{CpuId, LcoreError};

/// The environment could not be started. The process should end: DPDK cannot be started again.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EalError {
    /// One environment a process.
    #[error("DPDK was started before in this process: it starts once, restart the process")]
    AlreadyStarted,
    /// A core does not exist or the process may not use it.
    #[error("core {cpu} cannot be used: this process may use {usable}; change `cores`")]
    UnknownCore {
        /// The core asked for.
        cpu: CpuId,
        /// What may be used, as a list.
        usable: String,
    },
    /// The file prefix has characters that no file name may have.
    #[error("file prefix {prefix:?} must be 1 to 64 letters, digits, `-`, `_` or `.`")]
    BadPrefix {
        /// The prefix asked for.
        prefix: String,
    },
    /// The machine has too few free hugepages.
    #[error(
        "{needed_mib} MiB of hugepages are needed and {free_mib} MiB are free: reserve them with \
         `sysctl -w vm.nr_hugepages={pages}` (2 MiB each), end what holds them, or start without \
         hugepages"
    )]
    NoHugepages {
        /// MiB asked for.
        needed_mib: u64,
        /// MiB free now.
        free_mib: u64,
        /// A value for vm.nr_hugepages that would do, if nothing else needs some.
        pages: u64,
    },
    /// Hugepage files were asked for and no hugetlbfs is mounted.
    #[error(
        "no hugetlbfs is mounted: `mount -t hugetlbfs nodev /dev/hugepages`, or use in-memory \
         hugepages, which need no mount"
    )]
    NoHugetlbfs,
    /// A driver's shared object is not installed.
    #[error(
        "driver {driver} is not in {directory}: install libdpdk's drivers (Debian: libdpdk-dev)"
    )]
    DriverMissing {
        /// Name of the library.
        driver: String,
        /// Where it was looked for.
        directory: String,
    },
    /// DPDK refuses an argument.
    #[error("DPDK refuses an argument of `{arguments}`: {cause}; correct or remove it")]
    BadArgument {
        /// The whole argument list.
        arguments: String,
        /// DPDK's own words.
        cause: String,
    },
    /// A right is missing.
    #[error("DPDK may not do what it needs: {cause}; run as root or grant the capability")]
    Denied {
        /// DPDK's own words.
        cause: String,
    },
    /// Another process has the same file prefix.
    #[error(
        "another DPDK process uses the file prefix {prefix:?}: end it or choose another prefix; \
         DPDK: {cause}"
    )]
    PrefixInUse {
        /// The prefix.
        prefix: String,
        /// DPDK's own words.
        cause: String,
    },
    /// Anything else.
    #[error("DPDK does not start ({reason}): {cause}")]
    Failed {
        /// The error number in words.
        reason: String,
        /// DPDK's own words.
        cause: String,
    },
    /// The caller's CPU affinity cannot be read or restored.
    #[error(transparent)]
    Affinity(#[from] LcoreError),
}

impl EalError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyStarted => "eal_already_started",
            Self::UnknownCore { .. } => "eal_unknown_core",
            Self::BadPrefix { .. } => "eal_bad_prefix",
            Self::NoHugepages { .. } => "eal_no_hugepages",
            Self::NoHugetlbfs => "eal_no_hugetlbfs",
            Self::DriverMissing { .. } => "eal_driver_missing",
            Self::BadArgument { .. } => "eal_bad_argument",
            Self::Denied { .. } => "eal_denied",
            Self::PrefixInUse { .. } => "eal_prefix_in_use",
            Self::Failed { .. } => "eal_failed",
            Self::Affinity(_) => "eal_affinity",
        }
    }
}

/// The environment cannot be ended yet.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Ports, queues or pools are still held.
    #[error("{handles} ports, queues or pools are still held: drop them first")]
    HandlesOut {
        /// How many.
        handles: usize,
    },
    /// Packets are still held.
    #[error("pool {pool:?} misses {packets} packets: drop them first")]
    PacketsOut {
        /// The first such pool.
        pool: String,
        /// Packets that are out.
        packets: u32,
    },
    /// DPDK's clean-up failed.
    #[error("DPDK's clean-up failed: {cause}")]
    Failed {
        /// The error in words.
        cause: String,
    },
}

impl ShutdownError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HandlesOut { .. } => "eal_handles_out",
            Self::PacketsOut { .. } => "eal_packets_out",
            Self::Failed { .. } => "eal_cleanup_failed",
        }
    }
}
