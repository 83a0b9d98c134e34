/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* ARP (RFC 826) and neighbour discovery (RFC 4861): a request becomes its answer and goes back out of its port. */
#ifndef AYATORI_NEIGHBOUR_H
#define AYATORI_NEIGHBOUR_H

#define ARP_REQUEST 1
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define NA_ROUTER 0x80
#define NA_SOLICITED 0x40
#define NA_OVERRIDE 0x20

struct advertisement {
	__u8 version_class[4];
	__be16 payload_bytes;
	__u8 next_header;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	__be32 target[4];
	__u8 option_type;
	__u8 option_units;
	__u8 link_address[6];
};
#define ADVERTISEMENT_BYTES 72
#define ADVERTISEMENT_ICMP_BYTES 32
_Static_assert(sizeof(struct advertisement) == ADVERTISEMENT_BYTES, "IPv6 40, NA 24, option 8");

__noinline int answer_arp(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return 1;
	__u8 *to = c->bytes; /* opcode 2, sender MAC 6, sender address 4, target MAC 6, target address 4 */
	to[0] = 0;
	to[1] = 2;
	memcpy(to + 2, c->step.bytes, 6);
	memcpy(to + 8, &c->key.destination[3], 4);
	memcpy(to + 12, c->key.source, 6);
	memcpy(to + 18, &c->key.source[3], 4);
	if (bpf_skb_store_bytes(skb, c->l3_at + 6, to, 22, BPF_F_RECOMPUTE_CSUM))
		return 1;
	memcpy(to, c->key.ethernet_source, 6);
	memcpy(to + 6, c->step.bytes, 6);
	return bpf_skb_store_bytes(skb, 0, to, 12, 0) != 0;
}

/* A solicitation from the unspecified address (someone tests whether it may take the address) is answered to all. */
__noinline int answer_solicitation(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return 1;
	__u8 mac[6];
	memcpy(mac, c->step.bytes, 6);
	struct advertisement *a = (struct advertisement *)c->bytes;
	bool unspecified = !c->key.source[0] && !c->key.source[1] && !c->key.source[2] && !c->key.source[3];
	memset(a, 0, sizeof(*a));
	a->version_class[0] = 0x60;
	a->payload_bytes = bpf_htons(ADVERTISEMENT_ICMP_BYTES);
	a->next_header = IPPROTO_ICMPV6;
	a->hop_limit = 255;
	memcpy(a->source, c->key.translated_destination, 16);
	if (unspecified) {
		a->destination[0] = bpf_htonl(0xff020000);
		a->destination[3] = bpf_htonl(1);
	} else {
		memcpy(a->destination, c->key.source, 16);
	}
	a->type = ND_ADVERTISEMENT;
	a->flags = NA_OVERRIDE | (unspecified ? 0 : NA_SOLICITED) | (c->step.small & 1 ? NA_ROUTER : 0);
	memcpy(a->target, c->key.translated_destination, 16);
	a->option_type = 2;
	a->option_units = 1;
	memcpy(a->link_address, mac, 6);
	__s64 sum = bpf_csum_diff(NULL, 0, a->source, 64, bpf_htonl(ADVERTISEMENT_ICMP_BYTES + IPPROTO_ICMPV6));
	__u32 folded = ((__u32)sum & 0xffff) + ((__u32)sum >> 16);
	folded = (folded & 0xffff) + (folded >> 16);
	a->checksum = ~folded;
	if (bpf_skb_change_tail(skb, c->l3_at + ADVERTISEMENT_BYTES, 0))
		return 1;
	if (bpf_skb_store_bytes(skb, c->l3_at, a, ADVERTISEMENT_BYTES, BPF_F_RECOMPUTE_CSUM))
		return 1;
	__u8 *ethernet = c->bytes;
	memcpy(ethernet, c->key.ethernet_source, 6);
	if (unspecified) {
		*(__be16 *)ethernet = bpf_htons(0x3333);
		*(__be16 *)(ethernet + 2) = 0;
		*(__be16 *)(ethernet + 4) = bpf_htons(1);
	}
	memcpy(ethernet + 6, mac, 6);
	return bpf_skb_store_bytes(skb, 0, ethernet, 12, 0) != 0;
}

__noinline int answer_neighbour(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	int failed;
	if (c->key.ether_type == bpf_htons(ETH_P_ARP) && c->key.protocol == ARP_REQUEST)
		failed = answer_arp(skb);
	else if (c->key.ether_type == bpf_htons(ETH_P_IPV6) && c->key.protocol == IPPROTO_ICMPV6 &&
		 c->key.fragment == FRAGMENT_NONE && c->key.source_port == bpf_htons(ND_SOLICITATION))
		failed = answer_solicitation(skb);
	else
		return drop(skb, DROP_LOCAL_ONLY);
	if (failed)
		return drop(skb, DROP_MALFORMED);
	if (s->record_output)
		return record(skb, RECORD_BACK, c->key.port, 0);
	if (!c->back_ifindex)
		return drop(skb, DROP_NO_DELIVERY);
	count(COUNTER_PORT_TX, c->key.port, 0, skb->len);
	skb->mark = 0;
	return bpf_redirect(c->back_ifindex, 0);
}

#endif
