//! Headers and checksums over bytes that someone else owns.
//!
//! Reads and writes Ethernet, 802.1Q, ARP, IPv4, IPv6, ICMP, ND, TCP, UDP and the SCTP chunks that
//! connection tracking needs. Decides nothing, allocates nothing, keeps no state, and never panics
//! on any input bytes. The packet buffer is a trait, so that the engine runs over DPDK's mbufs
//! (`capsule::Mbuf`) and over plain vectors ([`buffer::HeapBuf`]) alike.

pub mod arp;
pub mod buffer;
pub mod build;
pub mod checksum;
pub mod error;
pub mod ethernet;
pub mod header;
pub mod icmp;
pub mod id;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod nd;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod vlan;

pub use buffer::{PacketBuf, PacketPool};
pub use error::ParseError;
pub use header::Header;
pub use id::{MacAddr, PortId, Protocol, VlanId};
pub use ip::IpPacket;
pub use vlan::LinkLayer;
