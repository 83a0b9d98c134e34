/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Flow look-up: the key under each live mask, in order; the first hit wins. Flows that overlap agree. */
#ifndef AYATORI_LOOKUP_H
#define AYATORI_LOOKUP_H

#define USED_RESOLUTION_NS 250000000ULL
#define KEY_WORDS (sizeof(struct flow_key) / sizeof(__u64))

_Static_assert(sizeof(struct flow_key) % sizeof(__u64) == 0, "the key is masked in words");

/* Returns whether there is a flow; c->set and c->generation say which actions it has. */
__noinline int lookup(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return 0;
	__u32 at = s->masks_at;
	struct mask_list *list = bpf_map_lookup_elem(&masks, &at);
	if (!list)
		return 0;
	for (__u32 i = 0; i < MASKS_MAX; i++) {
		if (i >= list->count)
			return 0;
		const __u64 *mask = (const __u64 *)&list->mask[i];
		const __u64 *key = (const __u64 *)&c->key;
		__u64 *masked = (__u64 *)&c->masked;
#pragma clang loop unroll(full)
		for (__u32 word = 0; word < KEY_WORDS; word++)
			masked[word] = key[word] & mask[word];
		c->masked.mask = list->mask[i].mask;
		struct flow_value *flow = bpf_map_lookup_elem(&flows, &c->masked);
		if (!flow)
			continue;
		__u64 now = now_ns(s);
		if (now - flow->used_ns > USED_RESOLUTION_NS)
			flow->used_ns = now;
		__sync_fetch_and_add(&flow->packets, 1);
		__sync_fetch_and_add(&flow->bytes, skb->len);
		c->set = flow->actions;
		c->generation = flow->generation;
		return 1;
	}
	return 0;
}

#endif
