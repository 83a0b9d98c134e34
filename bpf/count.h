/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counters, drops, and the records that tests read in place of outputs. */
#ifndef AYATORI_COUNT_H
#define AYATORI_COUNT_H

static __always_inline void count(__u32 kind, __u32 id, __u32 port, __u32 bytes)
{
	struct counter_key key = { .kind = kind, .id = id, .port = port };
	struct counter_value *value = bpf_map_lookup_elem(&counters, &key);

	if (!value) {
		struct counter_value first = { .packets = 1, .bytes = bytes };
		if (!bpf_map_update_elem(&counters, &key, &first, BPF_NOEXIST))
			return;
		/* Another CPU has just made it, or there is no room. */
		value = bpf_map_lookup_elem(&counters, &key);
	}
	if (!value) {
		key.kind = COUNTER_LOST;
		key.id = 0;
		key.port = 0;
		value = bpf_map_lookup_elem(&counters, &key);
	}
	if (!value)
		return;
	value->packets++;
	value->bytes += bytes;
}

/* What is counted for each packet: in its slot, or where there is none as `kind` and `id`. */
static __always_inline void count_traffic(__u32 slot, bool sent, __u32 kind, __u32 id, __u32 bytes)
{
	struct traffic_value *of = slot ? bpf_map_lookup_elem(&traffic, &slot) : NULL;

	if (!of) {
		count(kind, id, 0, bytes);
		return;
	}
	struct counter_value *value = sent ? &of->sent : &of->received;
	value->packets++;
	value->bytes += bytes;
}

#define RECORD_BYTES 2048
struct record_buffer {
	struct output_record record;
	__u8 frame[RECORD_BYTES - sizeof(struct output_record)];
};

/*
 * `more` + 1 bytes of the packet from offset 12, at most `room`. Counted from one less, so that Linux 6.1 sees that the
 * length is not 0. Returns how many were copied.
 */
static __always_inline __u32 copy_rest(struct __sk_buff *skb, __u8 *to, __u32 more, const __u32 room)
{
	if (more > room - 1)
		more = room - 1;
	barrier_value(more);
	if (more > room - 1)
		return 0;
	return bpf_skb_load_bytes(skb, 12, to, more + 1) ? 0 : more + 1;
}

/* Copies the packet with its tags in line, cut to what there is room for. Returns how many bytes it copied. */
static __always_inline __u32 copy_frame(struct __sk_buff *skb, __u8 *to, const __u32 room)
{
	__u32 more = skb->len - 13;

	if (bpf_skb_load_bytes(skb, 0, to, 12))
		return 0;
	if (skb->vlan_present) {
		*(__be16 *)(to + 12) = skb->vlan_proto;
		*(__be16 *)(to + 14) = bpf_htons(skb->vlan_tci);
		return 16 + copy_rest(skb, to + 16, more, room - 16);
	}
	return 12 + copy_rest(skb, to + 12, more, room - 12);
}

static __always_inline int record_now(struct __sk_buff *skb, struct context *c, __u32 kind, __u32 number, __u32 host)
{
	struct record_buffer *buffer = bpf_ringbuf_reserve(&records, sizeof(*buffer), 0);

	if (!buffer)
		return TC_ACT_SHOT;
	c->record.kind = kind;
	c->record.number = number;
	c->record.host = host;
	c->record.captured = copy_frame(skb, buffer->frame, sizeof(buffer->frame));
	buffer->record = c->record;
	bpf_ringbuf_submit(buffer, 0);
	return TC_ACT_SHOT;
}

__noinline int record(struct __sk_buff *skb, __u32 kind, __u32 number, __u32 host)
{
	struct context *c = context_of();

	return c ? record_now(skb, c, kind, number, host) : TC_ACT_SHOT;
}

/* Ends a packet, or in the middle of several outputs one of them. */
__noinline int drop(struct __sk_buff *skb, __u32 reason)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	count(COUNTER_DROP, reason, c->key.port, skb->len);
	if (s->record_output)
		record_now(skb, c, RECORD_DROP, reason, 0);
	return TC_ACT_SHOT;
}

#endif
