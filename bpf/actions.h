/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The action loop. An output waits in c->held until the next step that is not a counter: if there is one it goes out
 * as a clone, else as the packet itself. A decremented TTL waits likewise in c->ttl_by, so that a packet which goes up
 * as an exception goes up as it came in.
 */
#ifndef AYATORI_ACTIONS_H
#define AYATORI_ACTIONS_H

__noinline int write_ttl(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	__u8 ttl = c->hop_limit - c->ttl_by;
	if (c->key.ether_type == bpf_htons(ETH_P_IPV6))
		return bpf_skb_store_bytes(skb, c->l3_at + 7, &ttl, 1, BPF_F_RECOMPUTE_CSUM);
	__be16 old = bpf_htons(c->hop_limit << 8 | c->key.protocol);
	__be16 new = bpf_htons(ttl << 8 | c->key.protocol);
	/* Header and checksum change against each other: a checksum over the packet stays right. */
	if (bpf_l3_csum_replace(skb, c->l3_at + 10, old, new, 2))
		return TC_ACT_SHOT;
	return bpf_skb_store_bytes(skb, c->l3_at + 8, &ttl, 1, 0);
}

/* Before the packet is changed or put out: first out with what was held back, then up to date. */
__noinline int settle(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	if (c->held) {
		c->number = c->held;
		c->held = 0;
		c->copy = 1;
		deliver(skb);
		c->copy = 0;
	}
	if (c->ttl_by) {
		write_ttl(skb);
		c->hop_limit -= c->ttl_by;
		c->ttl_by = 0;
	}
	return GO_ON;
}

/* An exception: what was put out before it goes, the packet itself goes up as it is. */
__noinline int exception(struct __sk_buff *skb, __u32 cause, __u32 detail)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	c->ttl_by = 0;
	settle(skb);
	c->cause = cause;
	c->detail = detail;
	return up(skb);
}

/* Whether the TTL or hop limit, if there is one, is large enough. */
static __always_inline bool decrement_ttl(struct context *c, __u32 by)
{
	if (c->key.ether_type != bpf_htons(ETH_P_IP) && c->key.ether_type != bpf_htons(ETH_P_IPV6))
		return true;
	if (c->hop_limit <= c->ttl_by + by)
		return false;
	c->ttl_by += by;
	return true;
}

/* A tag beside the packet moves into it when another one is pushed, and back. */
__noinline int change_tag(struct __sk_buff *skb, __u32 push, __u32 tpid, __u32 tci)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	__u32 before = skb->len;
	long failed = push ? bpf_skb_vlan_push(skb, bpf_htons(tpid), tci) : bpf_skb_vlan_pop(skb);
	if (failed)
		return drop(skb, DROP_VLAN);
	c->l3_at += skb->len - before;
	if (c->l4_at)
		c->l4_at += skb->len - before;
	return GO_ON;
}

/* `settle`, where there is mostly nothing to do. */
static __always_inline void settle_if_needed(struct __sk_buff *skb, struct context *c)
{
	if (c->held || c->ttl_by)
		settle(skb);
}

/* The end of the list: what was held back is the last output. */
static __always_inline int finish(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	if (!c->held)
		return c->emitted ? TC_ACT_SHOT : drop(skb, DROP_POLICY);
	c->number = c->held;
	return deliver(skb);
}

/* The steps that change or end a packet. */
__noinline int run_step(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	__u32 number = c->step.number;
	switch (c->step.kind) {
	case STEP_SET_ETHERNET:
		return bpf_skb_store_bytes(skb, 0, c->step.bytes, 12, 0) ? drop(skb, DROP_MALFORMED) : GO_ON;
	case STEP_PUSH_VLAN:
		return change_tag(skb, 1, c->step.small, number);
	case STEP_POP_VLAN:
		return change_tag(skb, 0, 0, 0);
	case STEP_ANSWER_NEIGHBOUR:
		return answer_neighbour(skb);
	case STEP_TO_AGENT:
		c->cause = number;
		c->detail = 0;
		return up(skb);
	case STEP_DROP:
		return drop(skb, number);
	}
	return drop(skb, DROP_CHAIN_TOO_LONG);
}

/*
 * Runs the chain of sets that begins with c->set. STALE: the first one is not what the flow meant, nothing was done.
 * One function with two loops, and what it calls is flat: the kernel allows eight frames.
 */
__noinline int run_actions(struct __sk_buff *skb)
{
	struct context *c = context_of();

	if (!c)
		return TC_ACT_SHOT;
	for (int sets = 0; sets < CHAIN_MAX; sets++) {
		__u32 id = c->set;
		struct action_set *set = bpf_map_lookup_elem(&actions, &id);
		if (!set || set->generation != c->generation)
			return sets == 0 ? STALE : drop(skb, DROP_CHAIN_TOO_LONG);
		for (int i = 0; i < STEPS_MAX; i++) {
			c->step = set->step[i];
			__u32 number = c->step.number;
			int verdict = GO_ON;
			switch (c->step.kind) {
			case STEP_END:
				return finish(skb);
			case STEP_CHECK_LENGTH:
				if (l3_bytes(skb, c) > number)
					return exception(skb, UP_TOO_LONG, number);
				break;
			case STEP_DECREMENT_TTL:
				if (!decrement_ttl(c, number))
					return exception(skb, UP_TTL, 0);
				break;
			case STEP_COUNT:
				count(COUNTER_RULE, number, 0, skb->len);
				break;
			case STEP_OUTPUT:
				settle_if_needed(skb, c);
				c->held = number;
				c->emitted = 1;
				break;
			case STEP_FLOOD:
				settle_if_needed(skb, c);
				/* The walk for a member ends at that member: a flood in it would go round. */
				if (c->key.flood)
					return drop(skb, DROP_HOP_LIMIT);
				c->emitted = 1;
				c->number = number;
				flood(skb);
				break;
			default:
				settle_if_needed(skb, c);
				verdict = run_step(skb);
			}
			if (verdict != GO_ON)
				return verdict;
		}
		c->set = set->next;
		if (!c->set)
			return finish(skb);
	}
	return drop(skb, DROP_CHAIN_TOO_LONG);
}

#endif
