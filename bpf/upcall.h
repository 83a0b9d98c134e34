/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Packets that go up to the agent: who may, how many, and the record in the ring. */
#ifndef AYATORI_UPCALL_H
#define AYATORI_UPCALL_H

#define SECOND_NS 1000000000ULL
/* A token for each packet and one more for each of these: a port cannot fill the ring with super-packets. */
#define BYTES_A_TOKEN 2048

/* Buckets are filled and drained without a lock: two CPUs may at times spend the same token. */
static __always_inline bool spend(struct settings *s, __u32 port, __u32 kind, __u32 cost)
{
	__u32 rate = kind == BUCKET_MISS ? s->miss_rate : kind == BUCKET_SERVICE ? s->service_rate : s->exception_rate;
	__u32 burst = kind == BUCKET_MISS ? s->miss_burst : kind == BUCKET_SERVICE ? s->service_burst : s->exception_burst;
	__u64 now = now_ns(s);
	struct budget *b = bpf_map_lookup_elem(&budgets, &port);

	if (!b) {
		struct budget fresh = {
			.filled_ns = { now, now, now },
			.tokens = { s->miss_burst, s->service_burst, s->exception_burst },
		};
		bpf_map_update_elem(&budgets, &port, &fresh, BPF_NOEXIST);
		b = bpf_map_lookup_elem(&budgets, &port);
		if (!b)
			return false;
	}
	if (kind > BUCKET_EXCEPTION)
		return false;
	__u64 elapsed = now - b->filled_ns[kind];
	if (elapsed > 10 * SECOND_NS)
		elapsed = 10 * SECOND_NS;
	__u64 fresh = elapsed * rate / SECOND_NS;
	__u64 tokens = b->tokens[kind] + fresh;
	if (tokens >= burst) {
		tokens = burst;
		b->filled_ns[kind] = now;
	} else if (fresh) {
		b->filled_ns[kind] += fresh * SECOND_NS / rate;
	}
	bool enough = tokens >= cost;
	b->tokens[kind] = enough ? tokens - cost : tokens;
	return enough;
}

/* While an answer is awaited, a few packets of one key go up, not all. */
__noinline int is_pending(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return 1;
	barrier_value(skb);
	__u64 now = now_ns(s);
	struct pending_value *p = bpf_map_lookup_elem(&pending, &c->key);
	if (!p) {
		struct pending_value first = { .since_ns = now, .packets = 1 };
		bpf_map_update_elem(&pending, &c->key, &first, BPF_ANY);
		return 0;
	}
	if (now - p->since_ns >= s->pending_ms * 1000000ULL) {
		p->since_ns = now;
		p->packets = 1;
		return 0;
	}
	if (p->packets >= s->pending_packets)
		return 1;
	__sync_fetch_and_add(&p->packets, 1);
	return 0;
}

#define SMALL_BYTES 384
#define MEDIUM_BYTES 2048
#define CHUNK_BYTES 1024
#define CHUNKS_MAX 68
struct small_record {
	struct miss_record record;
	__u8 frame[SMALL_BYTES - sizeof(struct miss_record)];
};
struct medium_record {
	struct miss_record record;
	__u8 frame[MEDIUM_BYTES - sizeof(struct miss_record)];
};

static __noinline void fill_record(struct __sk_buff *skb, struct context *c, struct settings *s,
					struct miss_record *record, __u32 frame_bytes)
{
	record->time_ns = bpf_ktime_get_ns() + s->clock_offset_ns;
	record->cause = c->cause;
	record->port = c->key.port;
	record->frame_bytes = frame_bytes;
	record->captured = frame_bytes;
	record->gso_bytes = skb->gso_size;
	record->detail = c->detail;
	memcpy(&record->key, &c->key, sizeof(record->key));
}

static __always_inline int copy_chunk(struct __sk_buff *skb, struct bpf_dynptr *ring, __u32 shift, __u32 at)
{
	__u8 *to = bpf_dynptr_data(ring, sizeof(struct miss_record) + shift + at, CHUNK_BYTES);

	return !to || bpf_skb_load_bytes(skb, at, to, CHUNK_BYTES);
}

/* Chunks of one size, the last one moved back so that it ends at the end: a dynptr gives out constant lengths only. */
__noinline int submit_large(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return DROP_RING_FULL;
	__u32 shift = skb->vlan_present ? 4 : 0;
	__u32 length = skb->len;
	if (length < CHUNK_BYTES + 12 || length > CHUNK_BYTES * (CHUNKS_MAX - 1))
		return DROP_TOO_LONG;
	struct bpf_dynptr ring;
	const __u32 header = sizeof(struct miss_record);
	if (bpf_ringbuf_reserve_dynptr(&misses, header + shift + length, 0, &ring)) {
		bpf_ringbuf_discard_dynptr(&ring, 0);
		return DROP_RING_FULL;
	}
	struct miss_record *record = bpf_dynptr_data(&ring, 0, sizeof(struct miss_record) + 16);
	if (!record) {
		bpf_ringbuf_discard_dynptr(&ring, 0);
		return DROP_RING_FULL;
	}
	fill_record(skb, c, s, record, length + shift);
	__u8 *start = (__u8 *)(record + 1);
	int failed = bpf_skb_load_bytes(skb, 0, start, 12);
	*(__be16 *)(start + 12) = skb->vlan_proto;
	*(__be16 *)(start + 14) = bpf_htons(skb->vlan_tci);
	__u32 at = 12;
	for (int i = 0; i < CHUNKS_MAX; i++) {
		if (at + CHUNK_BYTES > length)
			break;
		failed |= copy_chunk(skb, &ring, shift, at);
		at += CHUNK_BYTES;
	}
	failed |= copy_chunk(skb, &ring, shift, length - CHUNK_BYTES);
	if (failed) {
		bpf_ringbuf_discard_dynptr(&ring, 0);
		return DROP_MALFORMED;
	}
	bpf_ringbuf_submit_dynptr(&ring, 0);
	return DROP_NONE;
}

__noinline int submit(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return DROP_RING_FULL;
	__u32 frame_bytes = skb->len + (skb->vlan_present ? 4 : 0);
	if (frame_bytes <= sizeof(((struct small_record *)0)->frame)) {
		struct small_record *r = bpf_ringbuf_reserve(&misses, sizeof(*r), 0);
		if (!r)
			return DROP_RING_FULL;
		fill_record(skb, c, s, &r->record, frame_bytes);
		r->record.captured = copy_frame(skb, r->frame, sizeof(r->frame));
		bpf_ringbuf_submit(r, 0);
		return DROP_NONE;
	}
	if (frame_bytes <= sizeof(((struct medium_record *)0)->frame)) {
		struct medium_record *r = bpf_ringbuf_reserve(&misses, sizeof(*r), 0);
		if (!r)
			return DROP_RING_FULL;
		fill_record(skb, c, s, &r->record, frame_bytes);
		r->record.captured = copy_frame(skb, r->frame, sizeof(r->frame));
		bpf_ringbuf_submit(r, 0);
		return DROP_NONE;
	}
	return submit_large(skb);
}

/* Sends the packet up for c->cause. It ends here. */
__noinline int up(struct __sk_buff *skb)
{
	struct context *c = context_of();
	struct settings *s = settings_of();

	if (!c || !s)
		return TC_ACT_SHOT;
	__u32 cause = c->cause;
	__u32 port = c->key.port;
	if (c->entry == ENTRY_AGENT)
		return drop(skb, DROP_INJECTED_MISS);
	bool missed = cause == UP_MISS || cause == UP_MEMBER_MISS;
	if (missed && is_pending(skb))
		return drop(skb, DROP_PENDING);
	__u32 bucket = missed ? BUCKET_MISS : cause == UP_SERVICE ? BUCKET_SERVICE : BUCKET_EXCEPTION;
	/*
	 * What is flooded is paid for by the flood, once for all its members here: neither do they pay for what a
	 * neighbour sends with what they may send themselves, nor does one frame cost more the more they are. Ports and
	 * floods share one space of numbers.
	 */
	__u32 payer = c->key.flood ? c->key.flood : port;
	if (!spend(s, payer, bucket, 1 + skb->len / BYTES_A_TOKEN))
		return drop(skb, bucket == BUCKET_MISS	    ? DROP_MISS_BUDGET
				 : bucket == BUCKET_SERVICE ? DROP_SERVICE_BUDGET
							    : DROP_EXCEPTION_BUDGET);
	int reason = submit(skb);
	if (reason != DROP_NONE)
		return drop(skb, reason);
	count(COUNTER_UP, cause, port, skb->len);
	return TC_ACT_SHOT;
}

#endif
