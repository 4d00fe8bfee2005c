// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
//
// A VLAN port in tc, for kernels without 802.1Q: an access port pushes its tag on the way out and
// takes frames of that tag only on the way in; a trunk port lets a list of tags pass as they are.
// Both count frames and stamp the last one, each direction apart.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_TAGS 8
#define TAG_MASK 0x0fff

enum mode { ACCESS = 0, TRUNK = 1 };

// Written by user space before the load: mode, number of tags, tags. Tag 0 is untagged.
struct port {
	__u32 mode;
	__u32 count;
	__u32 tags[MAX_TAGS];
};
const volatile struct port port SEC(".rodata.port") = {};

// Rows of the table, the same order as `Row` in port.rs.
enum row { IN_ALL, IN_TRAFFIC, OUT_ALL, OUT_TRAFFIC, IN_FOREIGN, ROWS };

struct stamp {
	__u64 frames;
	__u64 bytes;
	__u64 last_ns; // CLOCK_MONOTONIC
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROWS);
	__type(key, __u32);
	__type(value, struct stamp);
} stamps SEC(".maps");

static __always_inline void count(__u32 row, __u32 bytes)
{
	struct stamp *stamp = bpf_map_lookup_elem(&stamps, &row);

	if (!stamp)
		return;
	__sync_fetch_and_add(&stamp->frames, 1);
	__sync_fetch_and_add(&stamp->bytes, bytes);
	stamp->last_ns = bpf_ktime_get_ns();
}

// Traffic is TCP, UDP and SCTP; ARP, ND and ping are the network's own housekeeping.
static __always_inline int is_traffic(struct __sk_buff *skb)
{
	__u8 protocol = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		bpf_skb_load_bytes(skb, ETH_HLEN + 9, &protocol, 1);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1);
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline int is_listed(__u32 tag)
{
	for (__u32 i = 0; i < MAX_TAGS; i++) {
		if (i >= port.count)
			break;
		if (port.tags[i] == tag)
			return 1;
	}
	return 0;
}

SEC("tc")
int port_in(struct __sk_buff *skb)
{
	__u32 tag = skb->vlan_present ? skb->vlan_tci & TAG_MASK : 0;

	if (!is_listed(tag)) {
		count(IN_FOREIGN, skb->len);
		return TC_ACT_SHOT;
	}
	count(IN_ALL, skb->len);
	if (is_traffic(skb))
		count(IN_TRAFFIC, skb->len);
	if (port.mode == ACCESS && tag != 0 && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("tc")
int port_out(struct __sk_buff *skb)
{
	count(OUT_ALL, skb->len);
	if (is_traffic(skb))
		count(OUT_TRAFFIC, skb->len);
	if (port.mode == TRUNK) {
		__u32 tag = skb->vlan_present ? skb->vlan_tci & TAG_MASK : 0;

		return is_listed(tag) ? TC_ACT_OK : TC_ACT_SHOT;
	}
	if (port.tags[0] != 0 && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), port.tags[0]))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
