//! What the process may do, and what the machine has for it: asked only to explain a failure.

use std::fmt;
use std::fs;

/// A right that a kind of port needs (capabilities(7)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// Raw sockets: af_packet, pcap on an interface.
    NetRaw,
    /// Interfaces and XDP programs: af_xdp, tap.
    NetAdmin,
    /// Loading BPF programs: af_xdp.
    Bpf,
    /// Locking memory and reading physical addresses: PCI functions.
    IpcLock,
}

impl Right {
    /// Number of the capability's bit in `/proc/thread-self/status`.
    const fn bit(self) -> u32 {
        match self {
            Self::NetRaw => 13,
            Self::NetAdmin => 12,
            Self::Bpf => 39,
            Self::IpcLock => 14,
        }
    }

    /// Whether this thread has it. True if it cannot be told, so that no error blames it falsely.
    pub(crate) fn held(self) -> bool {
        let Ok(status) = fs::read_to_string("/proc/thread-self/status") else { return true };
        let Some(set) = effective(&status) else { return true };
        // CAP_SYS_ADMIN (21) includes CAP_BPF on every kernel.
        set >> self.bit() & 1 == 1 || (self == Self::Bpf && set >> 21 & 1 == 1)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetRaw => "CAP_NET_RAW",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::Bpf => "CAP_BPF",
            Self::IpcLock => "CAP_IPC_LOCK",
        })
    }
}

/// The effective set in the text of `/proc/thread-self/status`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// MiB of free hugepages of all sizes; none if the kernel has no hugepages.
pub(crate) fn free_huge_mib() -> Option<u64> {
    let sizes = fs::read_dir("/sys/kernel/mm/hugepages").ok()?;
    let free = sizes.flatten().filter_map(|size| {
        let name = size.file_name().into_string().ok()?;
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let pages = fs::read_to_string(size.path().join("free_hugepages")).ok()?;
        Some(kib * pages.trim().parse::<u64>().ok()? / 1024)
    });
    Some(free.sum())
}

/// Whether a hugetlbfs is mounted.
pub(crate) fn hugetlbfs_mounted() -> bool {
    fs::read_to_string("/proc/self/mounts")
        .is_ok_and(|mounts| mounts.lines().any(|line| line.split(' ').nth(2) == Some("hugetlbfs")))
}

#[cfg(test)]
mod tests {
    use super::effective;

    #[test]
    fn effective_set_is_read_from_its_own_line() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n";
        assert_eq!(effective(status), Some(0x1ff_ffff_ffff));
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
