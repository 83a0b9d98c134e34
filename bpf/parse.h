/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From a packet to its flow key. The rules are the numbered list in src/flow/key.ts; a test feeds both the same frames.
 * Stages return a drop reason, DROP_NONE to go on.
 */
#ifndef AYATORI_PARSE_H
#define AYATORI_PARSE_H

#define EXTENSION_HEADERS_MAX 8
#define ND_OPTIONS_MAX 16

static __always_inline bool is_extension(__u8 next_header)
{
	return next_header == 0 || next_header == 43 || next_header == 44 || next_header == 51 || next_header == 60;
}

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* VLAN_BITS_OUTER_*; shifted by one VLAN_BITS_INNER_*. */
static __always_inline __u8 bits_of_tag(__be16 tpid, __u32 tci)
{
	return (tpid == bpf_htons(ETH_P_8021AD) ? VLAN_BITS_OUTER_SERVICE : 0) |
	       (tci & VLAN_DROP_ELIGIBLE ? VLAN_BITS_OUTER_DROP_ELIGIBLE : 0);
}

/*
 * `bytes` bytes of the packet from `at`: in place when they are in its linear part, else copied to c->bytes. NULL
 * beyond its end. Valid until the next call.
 */
static __always_inline const __u8 *header(struct __sk_buff *skb, struct context *c, __u32 at, const __u32 bytes)
{
	const __u8 *data = (const __u8 *)(long)skb->data;
	const __u8 *end = (const __u8 *)(long)skb->data_end;

	barrier_value(at);
	if (at < 0x8000 && data + at + bytes <= end)
		return data + at;
	return bpf_skb_load_bytes(skb, at, c->bytes, bytes) ? NULL : c->bytes;
}

__noinline int parse_arp(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c || bpf_skb_load_bytes(skb, c->l3_at, c->bytes, 28))
		return DROP_MALFORMED;
	/* hardware type 1, protocol type 0x0800, lengths 6 and 4, opcode below 256 */
	if (*(__be32 *)c->bytes != bpf_htonl(0x00010800) || c->bytes[4] != 6 || c->bytes[5] != 4 || c->bytes[6] != 0)
		return DROP_MALFORMED;
	c->key.protocol = c->bytes[7];
	memcpy(c->key.source, c->bytes + 8, 6);
	memcpy(&c->key.source[3], c->bytes + 14, 4);
	memcpy(c->key.destination, c->bytes + 18, 6);
	memcpy(&c->key.destination[3], c->bytes + 24, 4);
	return DROP_NONE;
}

/* Rules 11 and 12. c->bytes holds the first eight bytes of the ICMPv6 header. */
__noinline int parse_nd(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	__u8 type = c->bytes[0];
	__u32 body = type == 133 ? 8 : type == 134 ? 16 : type == 137 ? 40 : 24;
	__u32 at = c->l4_at;
	__u32 end = c->end_at;
	if (c->key.fragment != FRAGMENT_NONE || c->hop_limit != 255 || c->bytes[1] != 0 || end - at < body)
		return DROP_MALFORMED;
	if (type >= 135 && bpf_skb_load_bytes(skb, at + 8, c->key.translated_destination, 16))
		return DROP_MALFORMED;
	__u8 wanted = type >= 136 ? 2 : 1;
	at += body;
	for (int i = 0; i <= ND_OPTIONS_MAX; i++) {
		if (at >= end)
			return DROP_NONE;
		if (i == ND_OPTIONS_MAX)
			return DROP_UNPARSED_EXTENSION;
		if (end - at < 8 || bpf_skb_load_bytes(skb, at, c->bytes, 8))
			return DROP_MALFORMED;
		__u32 bytes = c->bytes[1] * 8;
		if (bytes == 0 || bytes > end - at)
			return DROP_MALFORMED;
		if (c->bytes[0] == wanted) {
			if (bytes != 8)
				return DROP_MALFORMED;
			memcpy(c->key.translated_source, c->bytes + 2, 6);
			return DROP_NONE;
		}
		at += bytes;
	}
	return DROP_NONE;
}

/* Rule 10. c->l4_at is set. */
__noinline int parse_upper(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	__u32 at = c->l4_at;
	__u32 left = c->end_at - at;
	__u8 protocol = c->key.protocol;
	bool v6 = c->key.ether_type == bpf_htons(ETH_P_IPV6);

	const __u8 *l4;

	switch (protocol) {
	case IPPROTO_TCP:
		if (left < 20 || !(l4 = header(skb, c, at, 14)))
			return DROP_MALFORMED;
		c->l4_bytes = (l4[12] >> 4) * 4;
		if (c->l4_bytes < 20 || c->l4_bytes > left)
			return DROP_MALFORMED;
		c->key.tcp_flags = l4[13];
		break;
	case IPPROTO_UDP:
		if (left < 8 || !(l4 = header(skb, c, at, 4)))
			return DROP_MALFORMED;
		c->l4_bytes = 8;
		break;
	case IPPROTO_SCTP:
		if (left < 12 || !(l4 = header(skb, c, at, 4)))
			return DROP_MALFORMED;
		c->l4_bytes = 12;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (v6 != (protocol == IPPROTO_ICMPV6))
			return DROP_NONE;
		if (left < 8 || bpf_skb_load_bytes(skb, at, c->bytes, 8))
			return DROP_MALFORMED;
		c->l4_bytes = 8;
		c->key.source_port = bpf_htons(c->bytes[0]);
		c->key.destination_port = bpf_htons(c->bytes[1]);
		return v6 && c->bytes[0] >= 133 && c->bytes[0] <= 137 ? parse_nd(skb) : DROP_NONE;
	default:
		return DROP_NONE;
	}
	c->key.source_port = *(__be16 *)l4;
	c->key.destination_port = *(__be16 *)(l4 + 2);
	return DROP_NONE;
}

/* Rule 9. */
static __always_inline int later_fragment(struct context *c, __u32 offset_bytes)
{
	if (c->key.protocol == IPPROTO_TCP && offset_bytes < 20)
		return DROP_MALFORMED;
	c->key.fragment = FRAGMENT_LATER;
	return DROP_NONE;
}

__noinline int parse_ip4(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	const __u8 *ip = header(skb, c, c->l3_at, 20);
	if (!ip)
		return DROP_MALFORMED;
	__u32 header = (ip[0] & 0xf) * 4;
	__u32 total = ip[2] << 8 | ip[3];
	if (ip[0] >> 4 != 4 || header < 20 || total < header || total > skb->len - c->l3_at)
		return DROP_MALFORMED;
	c->key.protocol = ip[9];
	c->key.traffic_class = ip[1];
	c->key.source[3] = *(__be32 *)(ip + 12);
	c->key.destination[3] = *(__be32 *)(ip + 16);
	c->hop_limit = ip[8];
	c->end_at = c->l3_at + total;
	__u32 flags_offset = ip[6] << 8 | ip[7];
	if (flags_offset & 0x3fff) {
		c->fragment_id = ip[4] << 8 | ip[5];
		if (flags_offset & 0x1fff)
			return later_fragment(c, (flags_offset & 0x1fff) * 8);
		c->key.fragment = FRAGMENT_FIRST;
	}
	c->l4_at = c->l3_at + header;
	return parse_upper(skb);
}

/*
 * Rules 7 and 8: one extension header at c->l4_at, of the kind that c->key.protocol says; both move on behind it.
 * GO_ON: what follows may be another. DROP_NONE: a later fragment, there is nothing more to read.
 * A function of its own also because Linux 6.1 takes a loop only when its body does not fall through to its head.
 */
__noinline int parse_extension(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	__u32 at = c->l4_at;
	__u8 kind = c->key.protocol;
	if (c->end_at - at < 8 || bpf_skb_load_bytes(skb, at, c->bytes, 8))
		return DROP_MALFORMED;
	__u8 next = c->bytes[0];
	c->key.protocol = next;
	if (kind != 44) {
		c->l4_at = at + (kind == 51 ? (c->bytes[1] + 2) * 4 : (c->bytes[1] + 1) * 8);
		return c->l4_at > c->end_at ? DROP_MALFORMED : GO_ON;
	}
	if (c->fragment_header)
		return DROP_MALFORMED;
	c->fragment_header = 1;
	c->fragment_id = bpf_ntohl(*(__be32 *)(c->bytes + 4));
	c->l4_at = at + 8;
	__u32 word = c->bytes[2] << 8 | c->bytes[3];
	if (word & 0xfff8) {
		c->l4_at = 0;
		return is_extension(next) ? DROP_UNPARSED_EXTENSION : later_fragment(c, word & 0xfff8);
	}
	if (word & 1)
		c->key.fragment = FRAGMENT_FIRST;
	return GO_ON;
}

__noinline int parse_ip6(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	const __u8 *ip = header(skb, c, c->l3_at, 40);
	if (!ip)
		return DROP_MALFORMED;
	__u32 at = c->l3_at + 40;
	__u32 end = at + (ip[4] << 8 | ip[5]);
	if (ip[0] >> 4 != 6 || end > skb->len)
		return DROP_MALFORMED;
	c->key.traffic_class = ip[0] << 4 | ip[1] >> 4;
	memcpy(c->key.source, ip + 8, 32);
	c->key.protocol = ip[6];
	c->hop_limit = ip[7];
	c->l4_at = at;
	c->end_at = end;
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		if (!is_extension(c->key.protocol))
			return parse_upper(skb);
		int reason = parse_extension(skb);
		if (reason != GO_ON)
			return reason;
	}
	return is_extension(c->key.protocol) ? DROP_UNPARSED_EXTENSION : parse_upper(skb);
}

/* Slot of a datagram, as the contract says. */
static __always_inline __u32 fragment_slot(const struct context *c)
{
	__u32 hash = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		hash = (hash ^ bpf_ntohl(c->key.source[i])) * FRAGMENT_HASH;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		hash = (hash ^ bpf_ntohl(c->key.destination[i])) * FRAGMENT_HASH;
	hash = (hash ^ c->key.protocol) * FRAGMENT_HASH;
	return (c->fragment_id + (hash >> 16)) % FRAGMENT_SLOTS | (c->key.flood ? FRAGMENT_FLOODED : 0);
}

static __always_inline bool is_same_datagram(const struct fragment_value *a, const struct fragment_value *b)
{
	__u32 different = a->id ^ b->id;

#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		different |= (a->source[i] ^ b->source[i]) | (a->destination[i] ^ b->destination[i]);
	different |= (a->vlan ^ b->vlan) | (a->inner_vlan ^ b->inner_vlan) | (a->vlan_bits ^ b->vlan_bits);
	return !(different | (a->protocol ^ b->protocol) | (a->family ^ b->family));
}

/*
 * Rule 9, its second half: the ports of a datagram are written by its first fragment before the flow look-up, so they
 * are there while that one is still on its way through the agent.
 */
__noinline int parse_fragment(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	barrier_value(skb);
	struct fragment_key key = { .port = c->key.port, .slot = fragment_slot(c) };
	struct fragment_value *datagram = &c->fragment;
	memset(datagram, 0, sizeof(*datagram));
	datagram->id = c->fragment_id;
	memcpy(datagram->source, c->key.source, 16);
	memcpy(datagram->destination, c->key.destination, 16);
	datagram->vlan = c->key.vlan;
	datagram->inner_vlan = c->key.inner_vlan;
	datagram->vlan_bits = c->key.vlan_bits;
	datagram->protocol = c->key.protocol;
	datagram->family = c->key.ether_type == bpf_htons(ETH_P_IPV6) ? 6 : 4;
	if (c->key.fragment == FRAGMENT_FIRST) {
		datagram->source_port = c->key.source_port;
		datagram->destination_port = c->key.destination_port;
		bpf_map_update_elem(&fragments, &key, datagram, BPF_ANY);
		return DROP_NONE;
	}
	struct fragment_value *first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || !is_same_datagram(first, datagram))
		return DROP_LATER_FRAGMENT_FIRST;
	c->key.source_port = first->source_port;
	c->key.destination_port = first->destination_port;
	return DROP_NONE;
}

/* Fills c->key but for port and flood, which the entry has set. */
__noinline int parse(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return DROP_MALFORMED;
	const __u8 *ethernet = header(skb, c, 0, 14);
	if (!ethernet)
		return DROP_MALFORMED;
	memcpy(c->key.ethernet_destination, ethernet, 12);
	__be16 type = *(__be16 *)(ethernet + 12);
	__u32 at = 14;
	__u32 tags = 0;
	if (skb->vlan_present) {
		c->key.vlan = bpf_htons(skb->vlan_tci | VLAN_PRESENT);
		c->key.vlan_bits = bits_of_tag(skb->vlan_proto, skb->vlan_tci);
		tags = 1;
	}
	for (int i = 0; i < 2; i++) {
		if (tags == 2 || !is_tag(type))
			break;
		if (bpf_skb_load_bytes(skb, at, c->bytes, 4))
			return DROP_MALFORMED;
		__be16 tci = *(__be16 *)c->bytes;
		__be16 word = tci | bpf_htons(VLAN_PRESENT);
		__u8 bits = bits_of_tag(type, bpf_ntohs(tci));
		if (tags == 0) {
			c->key.vlan = word;
			c->key.vlan_bits = bits;
		} else {
			c->key.inner_vlan = word;
			c->key.vlan_bits |= bits << 1;
		}
		tags++;
		type = *(__be16 *)(c->bytes + 2);
		at += 4;
	}
	c->key.ether_type = type;
	c->l3_at = at;
	c->end_at = skb->len;
	int reason = DROP_NONE;
	if (type == bpf_htons(ETH_P_IP))
		reason = parse_ip4(skb);
	else if (type == bpf_htons(ETH_P_IPV6))
		reason = parse_ip6(skb);
	else if (type == bpf_htons(ETH_P_ARP))
		reason = parse_arp(skb);
	if (reason != DROP_NONE || c->key.fragment == FRAGMENT_NONE)
		return reason;
	return parse_fragment(skb);
}

/* L3 bytes that count against an MTU: of a GSO super-packet those of a full segment. */
static __always_inline __u32 l3_bytes(struct __sk_buff *skb, struct context *c)
{
	if (skb->gso_size && c->l4_at)
		return c->l4_at - c->l3_at + c->l4_bytes + skb->gso_size;
	return skb->len - c->l3_at;
}

#endif
