/* fopencookie */
#define _GNU_SOURCE
#include <stdio.h>

#include <rte_cycles.h>

#include "shim.h"

uint16_t dpdk_sys_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t room)
{
    return rte_eth_rx_burst(port, queue, frames, room);
}

uint16_t dpdk_sys_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count)
{
    return rte_eth_tx_burst(port, queue, frames, count);
}

struct rte_mbuf *dpdk_sys_pktmbuf_alloc(struct rte_mempool *pool)
{
    return rte_pktmbuf_alloc(pool);
}

void dpdk_sys_pktmbuf_free(struct rte_mbuf *frame)
{
    rte_pktmbuf_free(frame);
}

uint64_t dpdk_sys_tsc(void)
{
    return rte_rdtsc();
}

int dpdk_sys_errno(void)
{
    return rte_errno;
}

int dpdk_sys_log_to(dpdk_sys_log_write write, void *cookie)
{
    cookie_io_functions_t calls = { .write = write };
    FILE *stream = fopencookie(cookie, "w", calls);

    if (stream == NULL)
        return -1;
    /* One call per line, at once. */
    setvbuf(stream, NULL, _IOLBF, BUFSIZ);
    return rte_openlog_stream(stream);
}
