/* What Rust cannot take from DPDK's headers directly: inline functions, function-like macros,
 * thread-local variables, and C's own view of layouts that the Rust side asserts. */
#ifndef DPDK_SYS_SHIM_H
#define DPDK_SYS_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rte_config.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_hash.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/* Inline functions of the packet path. */
uint16_t dpdk_sys_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t room);
uint16_t dpdk_sys_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count);
struct rte_mbuf *dpdk_sys_pktmbuf_alloc(struct rte_mempool *pool);
void dpdk_sys_pktmbuf_free(struct rte_mbuf *frame);
uint64_t dpdk_sys_tsc(void);

/* rte_errno is a thread-local macro. */
int dpdk_sys_errno(void);

/* Sends DPDK's log to `write`, called with `cookie` under stdio's lock; 0 or -1. */
typedef ssize_t (*dpdk_sys_log_write)(void *cookie, const char *text, size_t bytes);
int dpdk_sys_log_to(dpdk_sys_log_write write, void *cookie);

/* Flags that are macros with casts. */
static const uint64_t DPDK_SYS_MBUF_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t DPDK_SYS_MBUF_RX_VLAN = RTE_MBUF_F_RX_VLAN;
static const uint64_t DPDK_SYS_RX_VLAN_STRIP = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
static const uint64_t DPDK_SYS_RX_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_SYS_RX_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_SYS_RX_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_SYS_RX_SCTP_CKSUM = RTE_ETH_RX_OFFLOAD_SCTP_CKSUM;
static const uint64_t DPDK_SYS_RX_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t DPDK_SYS_RX_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t DPDK_SYS_TX_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
static const uint64_t DPDK_SYS_TX_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_SYS_TX_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_SYS_TX_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_SYS_TX_SCTP_CKSUM = RTE_ETH_TX_OFFLOAD_SCTP_CKSUM;
static const uint64_t DPDK_SYS_TX_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t DPDK_SYS_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t DPDK_SYS_RSS_L4 = RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;
static const uint32_t DPDK_SYS_MQ_RX_RSS = RTE_ETH_MQ_RX_RSS;

/* C's view of the packet descriptor; asserted against bindgen's in lib.rs. */
enum {
    DPDK_SYS_MBUF_SIZE = sizeof(struct rte_mbuf),
    DPDK_SYS_MBUF_AT_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
    DPDK_SYS_MBUF_AT_DATA_OFF = offsetof(struct rte_mbuf, data_off),
    DPDK_SYS_MBUF_AT_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
    DPDK_SYS_MBUF_AT_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
    DPDK_SYS_MBUF_AT_DATA_LEN = offsetof(struct rte_mbuf, data_len),
    DPDK_SYS_MBUF_AT_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
    DPDK_SYS_MBUF_AT_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
    DPDK_SYS_MBUF_AT_NEXT = offsetof(struct rte_mbuf, next),
    DPDK_SYS_DEV_INFO_SIZE = sizeof(struct rte_eth_dev_info),
    DPDK_SYS_ETH_CONF_SIZE = sizeof(struct rte_eth_conf),
    DPDK_SYS_STATS_SIZE = sizeof(struct rte_eth_stats),
};

#endif
