//! Raw bindings to the installed libdpdk (22.11 or newer).
//!
//! Owns the generated declarations, the C shims for what is inline or a macro in DPDK's headers,
//! and the link line. Offers no safety: `capsule` is the only user that may.
//!
//! Invariant: the packet descriptor's layout in Rust is C's (asserted below at compile time).
//! Feature `static` links DPDK and its common drivers into the program; without it the drivers are
//! shared objects that `capsule` loads.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

/// The generated declarations, named as in C.
#[expect(
    missing_docs,
    missing_debug_implementations,
    non_camel_case_types,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from C headers, where DPDK documents them"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

use core::mem::{offset_of, size_of};

const _: () = {
    assert!(size_of::<rte_mbuf>() == DPDK_SYS_MBUF_SIZE as usize);
    assert!(offset_of!(rte_mbuf, buf_addr) == DPDK_SYS_MBUF_AT_BUF_ADDR as usize);
    assert!(offset_of!(rte_mbuf, data_off) == DPDK_SYS_MBUF_AT_DATA_OFF as usize);
    assert!(offset_of!(rte_mbuf, ol_flags) == DPDK_SYS_MBUF_AT_OL_FLAGS as usize);
    assert!(offset_of!(rte_mbuf, pkt_len) == DPDK_SYS_MBUF_AT_PKT_LEN as usize);
    assert!(offset_of!(rte_mbuf, data_len) == DPDK_SYS_MBUF_AT_DATA_LEN as usize);
    assert!(offset_of!(rte_mbuf, vlan_tci) == DPDK_SYS_MBUF_AT_VLAN_TCI as usize);
    assert!(offset_of!(rte_mbuf, buf_len) == DPDK_SYS_MBUF_AT_BUF_LEN as usize);
    assert!(offset_of!(rte_mbuf, next) == DPDK_SYS_MBUF_AT_NEXT as usize);
    assert!(size_of::<rte_eth_dev_info>() == DPDK_SYS_DEV_INFO_SIZE as usize);
    assert!(size_of::<rte_eth_conf>() == DPDK_SYS_ETH_CONF_SIZE as usize);
    assert!(size_of::<rte_eth_stats>() == DPDK_SYS_STATS_SIZE as usize);
};
