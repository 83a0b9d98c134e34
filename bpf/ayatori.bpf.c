// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The data path: programs for tc ingress hooks.
 *
 *   guest --> vm_ingress ----+                                +--> deliver: guest here, or tunnel to a host
 *   agent --> inject_ingress +--> parse --> lookup --> actions +--> flood: hosts, and members by way of inject_ingress
 *   flood --> inject_ingress +                 |              +--> answer, drop
 *                                              +--> up: the agent
 *   wire --> underlay_ingress (marks peers) --> VXLAN device --> tunnel_ingress --> deliver or flood
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "contract.h"
#include "maps.h"
#include "context.h"
#include "count.h"
#include "parse.h"
#include "lookup.h"
#include "upcall.h"
#include "tunnel.h"
#include "deliver.h"
#include "neighbour.h"
#include "actions.h"

char license_text[] SEC("license") = "Dual BSD/GPL";

/* A fresh context for a packet of `port`. */
static __always_inline void enter(struct context *c, __u32 entry, __u32 port)
{
	memset(c, 0, __builtin_offsetof(struct context, fragment));
	c->entry = entry;
	c->key.port = port;
}

/* Parse, look up, act. */
static __always_inline int process(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	int reason = parse(skb);
	if (reason != DROP_NONE)
		return drop(skb, reason);
	if (lookup(skb)) {
		int verdict = run_actions(skb);
		if (verdict != STALE)
			return verdict;
	}
	c->cause = c->key.flood ? UP_MEMBER_MISS : UP_MISS;
	c->detail = 0;
	return up(skb);
}

/* A number of a port or flood: to where it is, without a look-up at a port. */
static __always_inline int deliver_number(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	__u32 number = c->number;
	struct delivery_entry place;
	if (find_place(number, &place))
		return deliver(skb);
	if (!bpf_map_lookup_elem(&floods, &number))
		return drop(skb, DROP_NO_DELIVERY);
	return flood(skb);
}

static __always_inline int from_guest(struct __sk_buff *skb, __u32 port, __u32 ifindex, __u32 slot)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	enter(c, ENTRY_GUEST, port);
	c->back_ifindex = ifindex;
	count_traffic(slot, false, COUNTER_PORT_RX, port, skb->len);
	return process(skb);
}

static __always_inline int from_agent(struct __sk_buff *skb)
{
	struct context *c = context_of();
	__u32 mark = skb->mark;
	__u32 number = mark & NUMBER_MASK;
	__u32 sense = mark >> MARK_SENSE_SHIFT;

	if (!c)
		return TC_ACT_SHOT;
	if (sense == SENSE_DELIVER) {
		enter(c, ENTRY_AGENT, 0);
		c->number = number;
		return deliver_number(skb);
	}
	if (sense != SENSE_FROM && sense != SENSE_MEMBER) {
		enter(c, ENTRY_AGENT, 0);
		return drop(skb, DROP_UNKNOWN_INTERFACE);
	}
	enter(c, sense == SENSE_MEMBER && (mark & MARK_FLOODED) ? ENTRY_FLOODED : ENTRY_AGENT, number);
	struct delivery_entry back;
	if (find_place(number, &back) && back.kind == DELIVER_LOCAL)
		c->back_ifindex = back.ifindex;
	if (sense == SENSE_MEMBER) {
		__u32 *flood_number = bpf_map_lookup_elem(&members, &number);
		if (!flood_number)
			return drop(skb, DROP_NO_DELIVERY);
		c->key.flood = *flood_number;
	}
	return process(skb);
}

/* `key`: 24 bits of the tunnel header; `host`: index of the sender. */
static __always_inline int from_tunnel(struct __sk_buff *skb, __u32 key, __u32 host)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	enter(c, ENTRY_TUNNEL, 0);
	struct host_entry *from = bpf_map_lookup_elem(&hosts, &host);
	count_traffic(from ? from->traffic : 0, false, COUNTER_TUNNEL_RX, host, skb->len);
	if (key & KEY_STATE_FRAME)
		return drop(skb, DROP_STATE_FRAME);
	c->number = key & NUMBER_MASK;
	c->key_bits = key & KEY_FORWARDED;
	c->flood_local = 1;
	return deliver_number(skb);
}

SEC("tc")
int vm_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct port_entry *port = bpf_map_lookup_elem(&ports, &ifindex);

	if (!port) {
		struct context *c = context_of();
		if (!c)
			return TC_ACT_SHOT;
		enter(c, ENTRY_GUEST, 0);
		return drop(skb, DROP_UNKNOWN_INTERFACE);
	}
	return from_guest(skb, port->number, ifindex, port->traffic);
}

SEC("tc")
int inject_ingress(struct __sk_buff *skb)
{
	return from_agent(skb);
}

static __always_inline int no_peer(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	enter(c, ENTRY_TUNNEL, 0);
	return drop(skb, DROP_NO_PEER);
}

SEC("tc")
int tunnel_ingress(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	struct peer_key from = {};

	if (skb->mark != MARK_PEER)
		return no_peer(skb);
	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		from.address[3] = bpf_htonl(key.remote_ipv4);
	} else {
		if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
			return no_peer(skb);
		memcpy(from.address, key.remote_ipv6, 16);
	}
	struct peer_entry *peer = bpf_map_lookup_elem(&peers, &from);
	if (!peer)
		return no_peer(skb);
	return from_tunnel(skb, key.tunnel_id, peer->host);
}

/*
 * Marks tunnel packets of peers that came in on the right interface; everything else passes untouched. Of an outer
 * packet that was fragmented, the first fragment carries the mark for the whole.
 */
SEC("tc")
int underlay_ingress(struct __sk_buff *skb)
{
	struct settings *s = settings_of();
	__u8 ip[40];
	struct peer_key from = {};
	__u32 at;
	__be16 port;

	if (!s)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes_relative(skb, 0, ip, 20, BPF_HDR_START_NET))
			return TC_ACT_UNSPEC;
		if (ip[9] != IPPROTO_UDP || ((ip[6] & 0x1f) | ip[7]))
			return TC_ACT_UNSPEC;
		at = (ip[0] & 0xf) * 4;
		memcpy(&from.address[3], ip + 12, 4);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes_relative(skb, 0, ip, 40, BPF_HDR_START_NET))
			return TC_ACT_UNSPEC;
		at = 40;
		memcpy(from.address, ip + 8, 16);
		if (ip[6] == 44) {
			if (bpf_skb_load_bytes_relative(skb, 40, ip, 8, BPF_HDR_START_NET))
				return TC_ACT_UNSPEC;
			if (ip[2] | (ip[3] & 0xf8))
				return TC_ACT_UNSPEC;
			ip[6] = ip[0];
			at = 48;
		}
		if (ip[6] != IPPROTO_UDP)
			return TC_ACT_UNSPEC;
	} else {
		return TC_ACT_UNSPEC;
	}
	if (bpf_skb_load_bytes_relative(skb, at + 2, &port, 2, BPF_HDR_START_NET))
		return TC_ACT_UNSPEC;
	if (port != bpf_htons(s->tunnel_udp_port))
		return TC_ACT_UNSPEC;
	struct peer_entry *peer = bpf_map_lookup_elem(&peers, &from);
	skb->mark = peer && peer->ifindex == skb->ifindex ? MARK_PEER : 0;
	return TC_ACT_UNSPEC;
}

/*
 * Not attached to anything: what program test-run enters by. cb[0] says how the packet came in (TEST_*), cb[1] is the
 * port, the mark of an injected packet, or the tunnel key; contract.h says what cb[2] is.
 */
SEC("tc")
int test_entry(struct __sk_buff *skb)
{
	__u32 value = skb->cb[1];
	__u32 host = skb->cb[2];
	__u32 how = skb->cb[0];

	if (is_tag(skb->protocol)) {
		/* As the receive path does: the outer tag goes beside the packet. */
		__u8 tag[4];
		if (!bpf_skb_load_bytes(skb, 12, tag, 4) && skb->len >= 18) {
			__be16 tpid = skb->protocol;
			bpf_skb_vlan_pop(skb);
			bpf_skb_vlan_push(skb, tpid, tag[2] << 8 | tag[3]);
		}
	}
	if (how == TEST_GUEST)
		return from_guest(skb, value, 0, host);
	if (how == TEST_TUNNEL)
		return from_tunnel(skb, value, host);
	skb->mark = value;
	return from_agent(skb);
}
