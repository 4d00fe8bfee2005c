//! Headers and checksums over bytes that someone else owns.
//!
//! Reads and writes Ethernet, 802.1Q, ARP, IPv4, IPv6, ICMP, ND, TCP, UDP and the SCTP chunks that
//! connection tracking needs. Decides nothing, allocates nothing, keeps no state, and never panics
//! on any input bytes. The packet buffer is a trait, so that the engine runs over DPDK's mbufs
//! (`capsule::Mbuf`) and over plain vectors ([`buffer::HeapBuf`]) alike.

pub mod buffer;
pub mod id;

pub use buffer::{PacketBuf, PacketPool};
pub use id::{MacAddr, PortId, Protocol, VlanId};
