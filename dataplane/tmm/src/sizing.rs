//! How much memory packets and flows take, and whether it is there (OPS-425 to OPS-427).
//!
//! Pure arithmetic. Invariant: what [`plan`] grants never exceeds the memory that was set.

use std::fmt;

/// What the memory is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// MiB that may be taken: `memory` of `tmm.yaml`.
    pub memory_mib: u32,
    /// Packet threads.
    pub workers: u32,
    /// Ports.
    pub ports: u32,
    /// Pairs of receive and transmit queues of all ports.
    pub queue_pairs: u32,
    /// Bytes of frame in one packet buffer.
    pub frame_room: u16,
    /// Whether packet buffers lie in hugepages. On ordinary pages of 4 KiB DPDK lets no buffer
    /// cross a page, if one fits.
    pub hugepages: bool,
    /// Flows of each IP version: `flows` of `tmm.yaml`.
    pub flows: u32,
    /// Bytes of the flow tables of all workers.
    pub flow_bytes: u64,
    /// Bytes that the machine or the container has left for ordinary memory; none is unknown.
    pub available: Option<u64>,
}

/// What is reserved at start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Packet buffers.
    pub packets: u32,
    /// MiB for DPDK.
    pub eal_mib: u32,
}

/// The memory does not suffice. Its text is the arithmetic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SizingError {
    /// `memory` is less than the parts.
    #[error(
        "memory {} MiB is less than flow tables {} MiB ({} flows of each IP version) + packet \
         buffers {} MiB (at least {} of {} B for {} queue pairs and {} packet threads) + devices \
         {} MiB = {} MiB: raise `memory` or lower `flows` in tmm.yaml",
        .0.demand.memory_mib, .0.flow_mib(), .0.demand.flows, .0.packet_mib(),
        .0.packets, .0.demand.packet_bytes(), .0.demand.queue_pairs, .0.demand.workers,
        .0.demand.device_mib(), .0.total_mib()
    )]
    Memory(Shortage),
    /// The machine has less than the flow tables take.
    #[error(
        "{} MiB of ordinary memory are left, but flow tables take {} MiB ({} flows of each IP \
         version): lower `flows` in tmm.yaml or give the machine or container more memory",
        .0.demand.available.unwrap_or(0) >> 20, .0.flow_mib(), .0.demand.flows
    )]
    Machine(Shortage),
}

/// The numbers of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shortage {
    demand: Demand,
    packets: u32,
}

impl SizingError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory_too_small",
            Self::Machine(_) => "memory_not_there",
        }
    }
}

impl Shortage {
    fn flow_mib(&self) -> u64 {
        self.demand.flow_bytes.div_ceil(MIB)
    }

    fn packet_mib(&self) -> u64 {
        (u64::from(self.packets) * self.demand.packet_bytes()).div_ceil(MIB)
    }

    fn total_mib(&self) -> u64 {
        self.flow_mib() + self.packet_mib() + self.demand.device_mib()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packet buffers in {} MiB", self.packets, self.eal_mib)
    }
}

impl Demand {
    /// Bytes of one packet buffer: descriptor, the mempool's header, headroom, frame, and what is
    /// lost at the end of its page.
    fn packet_bytes(&self) -> u64 {
        let bytes = 192 + 128 + u64::from(self.frame_room);
        match PAGE.checked_div(bytes) {
            _ if self.hugepages => bytes,
            Some(fit @ 1..) => PAGE / fit,
            _ => bytes.next_multiple_of(PAGE),
        }
    }

    /// Rings, queues and control structures of DPDK and its drivers.
    fn device_mib(&self) -> u64 {
        6 + u64::from(self.ports)
    }

    /// 2^n - 1 buffers (which waste no memory of the pool's ring), at least `least`.
    fn packets(least: u32) -> u32 {
        least.next_power_of_two() - 1
    }

    /// Every queue full both ways, a thread's cache, what waits for next hops and a burst.
    fn least_packets(&self) -> u32 {
        Self::packets(self.queue_pairs * 2048 + self.workers * 1024)
    }

    /// Room for bursts and for packets on their way between threads.
    fn wanted_packets(&self) -> u32 {
        Self::packets(self.queue_pairs * 4096 + self.workers * 4096)
    }
}

/// Divides the memory.
///
/// # Errors
///
/// [`SizingError`] with the sum.
pub fn plan(demand: &Demand) -> Result<Plan, SizingError> {
    let least = demand.least_packets();
    let shortage = Shortage { demand: *demand, packets: least };
    if demand.available.is_some_and(|available| demand.flow_bytes > available) {
        return Err(SizingError::Machine(shortage));
    }
    if shortage.total_mib() > u64::from(demand.memory_mib) {
        return Err(SizingError::Memory(shortage));
    }
    let wanted = Shortage { packets: demand.wanted_packets(), ..shortage };
    let chosen = if wanted.total_mib() > u64::from(demand.memory_mib) { shortage } else { wanted };
    // At most `memory_mib`, so it fits.
    let eal_mib = u32::try_from(chosen.packet_mib() + demand.device_mib()).unwrap_or(u32::MAX);
    Ok(Plan { packets: chosen.packets, eal_mib })
}

const MIB: u64 = 1 << 20;
/// Bytes of an ordinary page.
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand {
            memory_mib: 512,
            workers: 1,
            ports: 2,
            queue_pairs: 2,
            frame_room: 2048,
            hugepages: true,
            flows: 65_536,
            flow_bytes: 65_536 * 356,
            available: None,
        }
    }

    /// OPS-426: the refusal shows each part and their sum.
    #[test]
    fn too_little_memory_is_refused_with_the_sum() {
        let large = Demand { flows: 4 << 20, flow_bytes: (4 << 20) * 356, ..demand() };
        let text = plan(&large).unwrap_err().to_string();
        for part in ["memory 512 MiB", "flow tables 1424 MiB", "19 MiB", "8 MiB", "= 1451 MiB"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(plan(&Demand { memory_mib: 1450, ..large }).is_err());
        assert!(plan(&Demand { memory_mib: 1451, ..large }).is_ok());
    }

    /// OPS-426: flow tables that the machine cannot hold are refused before anything is reserved.
    #[test]
    fn tables_above_what_the_machine_has_are_refused() {
        let error = plan(&Demand { available: Some(8 << 20), ..demand() }).unwrap_err();
        assert_eq!(error.code(), "memory_not_there");
        assert!(error.to_string().contains("8 MiB of ordinary memory are left"), "{error}");
        assert!(plan(&Demand { available: Some(64 << 20), ..demand() }).is_ok());
    }

    #[test]
    fn what_is_granted_stays_within_the_memory() {
        for memory_mib in [50, 64, 96, 128, 512, 4096] {
            for workers in [1, 2, 8] {
                let demand = Demand { memory_mib, workers, queue_pairs: 2 * workers, ..demand() };
                let Ok(plan) = plan(&demand) else { continue };
                let flow_mib = demand.flow_bytes.div_ceil(MIB);
                assert!(u64::from(plan.eal_mib) + flow_mib <= u64::from(memory_mib));
                assert!(u64::from(plan.packets) * 2368 <= u64::from(plan.eal_mib) << 20);
            }
        }
    }

    #[test]
    fn one_cpu_and_512_mib_run_with_the_default_table() {
        let plan = plan(&demand()).unwrap();
        assert_eq!(plan.packets, 16_383);
        assert_eq!(plan.eal_mib, 45);
        let plain = super::plan(&Demand { hugepages: false, ..demand() }).unwrap();
        assert_eq!(plain.eal_mib, 64 + 8, "4 KiB for each buffer");
    }
}
