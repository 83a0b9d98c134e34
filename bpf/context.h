/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is known of the packet in hand. It lives in a per-CPU array and not on the stack: the stack has 512 bytes, and
 * the verifier does not track what is in map memory, so that every stage is verified once and quickly. A stage is a
 * global function that takes the packet and looks the context up again.
 * One slot is enough: ingress programs run with softirqs off, and no device that a copy is sent to runs one of these
 * programs before the copy has been queued.
 */
#ifndef AYATORI_CONTEXT_H
#define AYATORI_CONTEXT_H

/* How the packet came in */
#define ENTRY_GUEST 0   /* from the interface of a port */
#define ENTRY_AGENT 1   /* the agent sent it: it never goes up again */
#define ENTRY_FLOODED 2 /* the copy of a flood for one member */
#define ENTRY_TUNNEL 3

/* Verdict of a stage: go on with the next one. No TC_ACT_* has this number. */
#define GO_ON 1000
/* The action set is not the one that the flow meant. */
#define STALE 1001

struct context {
	struct flow_key key; /* first: looked at in words of eight bytes */

	__u32 entry;
	__u32 back_ifindex; /* interface of the ingress port, 0 when it is not here */

	__u32 l3_at;        /* offsets in the packet's linear order; a tag beside the packet does not count */
	__u32 l4_at;        /* 0: none was read (later fragment, other protocol) */
	__u32 l4_bytes;     /* header length */
	__u32 end_at;       /* what follows is padding */
	__u32 hop_limit;
	__u32 fragment_id;
	__u32 fragment_header; /* IPv6: one was there */

	__u32 cause;        /* of going up */
	__u32 detail;

	__u32 set;          /* next action set */
	__u32 generation;
	__u32 ttl_by;       /* to be taken off before the next change or output */
	__u32 held;         /* an output that waits to know whether it is the last one: 0 none, else the port */
	__u32 emitted;      /* something was put out */
	__u32 copy;         /* outputs: send a clone and keep the packet */
	__u32 number;       /* of the port or flood to deliver to */
	__u32 host;
	__u32 key_bits;     /* KEY_* beside the number in the tunnel key */
	__u32 flood;        /* entry of `floods` in hand */
	__u32 flood_local;  /* hosts get no copy */

	/* From here on nothing is cleared for a new packet. */
	struct fragment_value fragment __attribute__((aligned(8)));
	struct step step;
	struct output_record record;
	__u8 bytes[128] __attribute__((aligned(8))); /* headers being read or built */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct context);
} scratch SEC(".maps");

static __always_inline struct context *context_of(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline struct settings *settings_of(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline __u64 now_ns(const struct settings *s)
{
	return bpf_ktime_get_coarse_ns() + s->clock_offset_ns;
}

/* Keeps clang from folding a bound that the verifier has to see. */
#define barrier_value(v) asm volatile("" : "+r"(v))

#define memset __builtin_memset
#define memcpy __builtin_memcpy

#endif
