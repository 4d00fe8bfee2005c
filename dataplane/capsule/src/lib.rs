//! Safe packet framework over DPDK: the environment, ports, queues, packet buffers, pinned threads.
//!
//! Owns every `unsafe` of the data plane besides the raw bindings. Knows no protocol, takes no
//! decision about a packet, and starts no thread but what [`Lcore::spawn`] is asked for.
//!
//! The way in: [`Eal::builder`] starts the environment, [`Pool::new`] makes buffers,
//! [`Port::configure`] gives a [`Port`] and its [`Queues`], [`Lcore::spawn`] polls them.
//!
//! ```no_run
//! use capsule::{Eal, Pool, PoolSpec, Port, PortKind, PortSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kind = PortKind::Null { frame_bytes: 64, copy: false };
//! let eal = Eal::builder().memory_mib(64).port(&kind).init()?;
//! let pool = Pool::new(&eal, &PoolSpec::new("frames", 2_047))?;
//! let (port, mut queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &pool)?;
//! let mut burst = Vec::with_capacity(32);
//! queues.rx[0].rx_burst(&mut burst);
//! queues.tx[0].tx_burst(&mut burst);
//! println!("{:?}", port.stats()?);
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: no packet outlives the memory it is in. Pools are never freed while the environment
//! runs, and [`Eal::shutdown`] refuses while a handle or a packet is out.
//! Sources: DPDK 22.11 Programmer's Guide and API reference.

#[cfg(feature = "counting-allocator")]
mod allocator;
mod capability;
mod device;
mod eal;
mod lcore;
mod link;
mod log;
mod mbuf;
mod pool;
mod port;
mod queue;
mod reference_hash;
mod right;
mod stats;
mod tsc;

#[cfg(feature = "counting-allocator")]
pub use allocator::CountingAllocator;
pub use capability::{Capabilities, SoftwareWork};
pub use device::{DeviceArgumentError, InterfaceName, PciAddress, PortKind, RingEnd};
pub use eal::{Eal, EalBuilder, EalError, Memory, ShutdownError};
pub use lcore::{CpuId, Lcore, LcoreError};
pub use link::{InterfaceState, LinkState, NetlinkError, interface};
pub use mbuf::Mbuf;
pub use pool::{Pool, PoolError, PoolSpec};
pub use port::{DeviceInfo, Operation, Port, PortError, PortSpec};
pub use queue::{Queues, RxQueue, TxQueue};
pub use reference_hash::{ReferenceHash, ReferenceHashError};
pub use right::Right;
pub use stats::{ExtendedStat, PortStats};
pub use tsc::{cycles, cycles_per_second};
