/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Flow look-up: the key under each live mask, in order; the first hit wins. Flows that overlap agree. */
#ifndef AYATORI_LOOKUP_H
#define AYATORI_LOOKUP_H

#define USED_RESOLUTION_NS 250000000ULL
#define KEY_WORDS (sizeof(struct flow_key) / sizeof(__u64))

_Static_assert(sizeof(struct flow_key) % sizeof(__u64) == 0, "the key is masked in words");
_Static_assert(sizeof(struct flow_key) == HASH_WORDS * sizeof(__u32), "each word has its seed");

/* A word of the key under a mask. The first one also holds the number of the mask, which the packet's key does not. */
static __always_inline __u64 masked_word(const struct flow_key *key, const struct flow_key *mask, __u32 word)
{
	__u64 masked = ((const __u64 *)key)[word] & ((const __u64 *)mask)[word];

	return word == 0 ? masked | mask->mask : masked;
}

static __always_inline struct flow_name name_of(const struct flow_key *key, const struct flow_key *mask,
						const struct settings *s)
{
	struct flow_name name = {};

#pragma clang loop unroll(full)
	for (__u32 word = 0; word < KEY_WORDS; word++) {
		__u64 masked = masked_word(key, mask, word);
		__u32 low = (__u32)masked + s->hash_seed[2 * word];
		__u32 high = (__u32)(masked >> 32) + s->hash_seed[2 * word + 1];
		name.hash += (__u64)low * high;
	}
	return name;
}

static __always_inline bool is_masked(const struct flow_key *key, const struct flow_key *mask,
				      const struct flow_key *masked)
{
	__u64 different = 0;

#pragma clang loop unroll(full)
	for (__u32 word = 0; word < KEY_WORDS; word++)
		different |= masked_word(key, mask, word) ^ ((const __u64 *)masked)[word];
	return !different;
}

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
		const struct flow_key *mask = &list->mask[i];
		struct flow_name name = name_of(&c->key, mask, s);
		struct flow_value *flow = bpf_map_lookup_elem(&flows, &name);
		if (!flow || !is_masked(&c->key, mask, &flow->key))
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
