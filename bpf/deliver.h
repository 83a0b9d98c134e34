/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* To a port, wherever it is, and to all members of a flood. */
#ifndef AYATORI_DELIVER_H
#define AYATORI_DELIVER_H

#define FLOOD_CHAIN_MAX 16

static __always_inline int deliver_here(struct __sk_buff *skb, __u32 ifindex, __u32 flags, __u32 slot)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	count_traffic(slot, true, COUNTER_PORT_TX, c->number, skb->len);
	if (s->record_output)
		return record(skb, RECORD_LOCAL, c->number, 0);
	skb->mark = 0;
	if (c->copy) {
		bpf_clone_redirect(skb, ifindex, 0);
		return TC_ACT_SHOT;
	}
	/* What was flooded may be meant for another one: the device itself has to tell whether the MAC is its own. */
	if ((flags & PORT_TAP) || c->key.flood)
		return bpf_redirect(ifindex, 0);
	/* The packet was typed by the host's end of the pair, whose MAC is nobody's. */
	if (skb->pkt_type == PACKET_OTHERHOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

/* Where a port is; false: nowhere. */
static __always_inline bool find_place(__u32 number, struct delivery_entry *found)
{
	__u32 at = number % PLACES;
	const volatile struct place *place = bpf_map_lookup_elem(&places, &at);

	if (place) {
		__u32 where = place->where;
		__u32 traffic_slot = place->traffic;
		if (place->number == number && place->check == (number ^ where ^ traffic_slot ^ PLACE_CHECK)) {
			found->kind = where & PLACE_REMOTE ? DELIVER_REMOTE : DELIVER_LOCAL;
			found->flags = where & PLACE_TAP ? PORT_TAP : 0;
			found->ifindex = where & PLACE_INDEX;
			found->host = where & PLACE_INDEX;
			found->traffic = traffic_slot;
			return true;
		}
	}
	const struct delivery_entry *entry = bpf_map_lookup_elem(&delivery, &number);
	if (!entry)
		return false;
	*found = *entry;
	return true;
}

/* To port c->number. With c->copy the packet stays in hand. */
__noinline int deliver(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct delivery_entry place;
	const struct delivery_entry *to = &place;

	if (!c)
		return TC_ACT_SHOT;
	if (!find_place(c->number, &place))
		return drop(skb, DROP_NO_DELIVERY);
	if (to->kind == DELIVER_LOCAL)
		return deliver_here(skb, to->ifindex, to->flags, to->traffic);
	if (to->kind != DELIVER_REMOTE)
		return drop(skb, DROP_NO_DELIVERY);
	if (c->entry == ENTRY_TUNNEL) {
		/* The port has moved. Once is enough: two hosts that name each other must not play with it. */
		if (c->key_bits & KEY_FORWARDED)
			return drop(skb, DROP_NO_DELIVERY);
		c->key_bits = KEY_FORWARDED;
	}
	c->host = to->host;
	return tunnel(skb);
}

/* A clone for c->number, to be looked up at inject_ingress as a flooded frame. */
__noinline int deliver_for_look_up(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	if (s->record_output)
		return record(skb, RECORD_MEMBER, c->number, 0);
	skb->mark = (__u32)SENSE_MEMBER << MARK_SENSE_SHIFT | MARK_FLOODED | c->number;
	bpf_clone_redirect(skb, s->inject_ifindex, 0);
	return TC_ACT_SHOT;
}

/* The members and hosts of one entry, c->flood. Clones only. Returns the next entry, 0 after the last. */
__noinline int flood_entry(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return 0;
	__u32 number = c->flood;
	struct flood_entry *entry = bpf_map_lookup_elem(&floods, &number);
	if (!entry)
		return 0;
	if (!c->flood_local) {
		__u32 flood = c->number;
		for (__u32 i = 0; i < FLOOD_SLOTS; i++) {
			if (i >= entry->hosts)
				break;
			c->host = entry->host[i];
			tunnel(skb);
		}
		c->number = flood;
	}
	__u32 flood = c->number;
	for (__u32 i = 0; i < FLOOD_SLOTS; i++) {
		if (i >= entry->members)
			break;
		if (entry->member[i] == c->key.port)
			continue;
		c->number = entry->member[i];
		deliver_for_look_up(skb);
	}
	c->number = flood;
	return entry->next;
}

/* To flood c->number, its members here only if c->flood_local. The packet itself ends here. */
__noinline int flood(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	__u32 next = c->number;
	c->copy = 1;
	for (int i = 0; i < FLOOD_CHAIN_MAX; i++) {
		if (!next)
			break;
		c->flood = next;
		next = flood_entry(skb);
	}
	c->copy = 0;
	return TC_ACT_SHOT;
}

#endif
