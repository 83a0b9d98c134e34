/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * To another host, in VXLAN format (RFC 7348) with the number of a port or flood as VNI. Written by hand where that is
 * possible: it is the fastest way and the receiver's device cannot tell. Through the device otherwise: copies, tagged
 * and non-IP frames, IPv6 underlay, and what does not fit the underlay (the device fragments the outer packet).
 */
#ifndef AYATORI_TUNNEL_H
#define AYATORI_TUNNEL_H

#define OUTER_BYTES 50    /* inner Ethernet 14, IPv4 20, UDP 8, VXLAN 8 */
#define OUTER_TTL 64
#define ECN_MASK 3

struct outer_headers {
	__u8 unused[2]; /* so that the IP header is aligned */
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	__be32 vxlan_flags;
	__be32 vxlan_vni;
	struct ethhdr inner;
};
#define HEADERS_BYTES (OUTER_BYTES + 14)
_Static_assert(__builtin_offsetof(struct outer_headers, inner) == 2 + OUTER_BYTES, "no holes");

static __always_inline __be16 ip4_checksum(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Returns GO_ON when the kernel refuses; the packet is then as it was. */
__noinline int tunnel_by_hand(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	__u32 index = c->host;
	struct host_entry *host = bpf_map_lookup_elem(&hosts, &index);
	if (!host)
		return TC_ACT_SHOT;
	struct outer_headers *outer = (struct outer_headers *)c->bytes;
	__u32 hash = bpf_get_hash_recalc(skb);
	if (bpf_skb_load_bytes(skb, 0, &outer->inner, 14))
		return GO_ON;
	if (bpf_skb_adjust_room(skb, OUTER_BYTES, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
					BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(14) |
					BPF_F_ADJ_ROOM_ENCAP_L2_ETH))
		return GO_ON;
	__u32 length = skb->len;
	memset(&outer->ethernet, 0, 12); /* the neighbour look-up fills it in */
	outer->ethernet.h_proto = bpf_htons(ETH_P_IP);
	memset(&outer->ip, 0, sizeof(outer->ip));
	outer->ip.version = 4;
	outer->ip.ihl = 5;
	outer->ip.tos = c->key.traffic_class & ECN_MASK; /* RFC 6040 */
	outer->ip.tot_len = bpf_htons(length - 14);
	outer->ip.frag_off = bpf_htons(0x4000);
	outer->ip.ttl = OUTER_TTL;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.saddr = host->local[3];
	outer->ip.daddr = host->remote[3];
	outer->ip.check = ip4_checksum(&outer->ip);
	struct settings *s = settings_of();
	if (!s)
		return TC_ACT_SHOT;
	outer->udp.source = bpf_htons(0xc000 | (hash & 0x3fff));
	outer->udp.dest = bpf_htons(s->tunnel_udp_port);
	outer->udp.len = bpf_htons(length - 34);
	outer->udp.check = 0;
	outer->vxlan_flags = bpf_htonl(0x08000000);
	outer->vxlan_vni = bpf_htonl((c->number | c->key_bits) << 8);
	if (bpf_skb_store_bytes(skb, 0, &outer->ethernet, HEADERS_BYTES, 0))
		return drop(skb, DROP_NO_UNDERLAY);
	return bpf_redirect_neigh(host->ifindex, NULL, 0, 0);
}

__noinline int tunnel_by_device(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	__u32 index = c->host;
	struct host_entry *host = bpf_map_lookup_elem(&hosts, &index);
	if (!host)
		return TC_ACT_SHOT;
	struct bpf_tunnel_key key = { .tunnel_id = c->number | c->key_bits, .tunnel_ttl = OUTER_TTL };
	__u64 flags = 0;
	if (host->flags & HOST_IPV6) {
		memcpy(key.remote_ipv6, host->remote, 16);
		memcpy(key.local_ipv6, host->local, 16);
		flags = BPF_F_TUNINFO_IPV6;
	} else {
		key.remote_ipv4 = bpf_ntohl(host->remote[3]);
		key.local_ipv4 = bpf_ntohl(host->local[3]);
		flags = BPF_F_ZERO_CSUM_TX;
	}
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return drop(skb, DROP_NO_UNDERLAY);
	if (c->copy) {
		bpf_clone_redirect(skb, s->tunnel_ifindex, 0);
		return TC_ACT_SHOT;
	}
	return bpf_redirect(s->tunnel_ifindex, 0);
}

/* To c->host with the key c->number | c->key_bits. */
__noinline int tunnel(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	__u32 index = c->host;
	struct host_entry *host = bpf_map_lookup_elem(&hosts, &index);
	if (!host || (!host->flags && !host->remote[3]))
		return drop(skb, DROP_NO_UNDERLAY);
	count_traffic(host->traffic, true, COUNTER_TUNNEL_TX, index, skb->len);
	if (s->record_output)
		return record(skb, RECORD_TUNNEL, c->number | c->key_bits, index);
	skb->mark = 0;
	bool by_device = c->copy || (host->flags & (HOST_IPV6 | HOST_BY_DEVICE)) || skb->vlan_present;
	bool is_ip = skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
	if (!by_device && is_ip) {
		__u32 l3 = c->l3_at ? l3_bytes(skb, c) : skb->len - 14;
		if (l3 + OUTER_BYTES <= host->mtu) {
			int verdict = tunnel_by_hand(skb);
			if (verdict != GO_ON)
				return verdict;
		}
	}
	return tunnel_by_device(skb);
}

#endif
