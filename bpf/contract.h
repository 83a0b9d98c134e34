/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The bytes that the eBPF program and the agent agree on: keys, actions, map values, marks, numbers.
 * src/flow/ (fields.ts, actions.ts, reasons.ts) and src/datapath/contract.ts are the twins of this file;
 * src/datapath/contract.test.ts compares them with it through BTF. A change here bumps CONTRACT_VERSION,
 * which is part of the pin path: a program never meets tables of another layout.
 *
 * Integers are in host order unless they are marked __be: those are the bytes of the packet.
 */
#ifndef AYATORI_CONTRACT_H
#define AYATORI_CONTRACT_H

#define CONTRACT_VERSION 5

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* Port and flood numbers share one space of 22 bits; 0 is nobody. The other two bits of a 24-bit tunnel key: */
#define NUMBER_BITS 22
#define NUMBER_MASK 0x3fffff
#define KEY_STATE_FRAME 0x400000  /* reserved: the packet is a connection's state, not a frame of a guest */
#define KEY_FORWARDED 0x800000    /* the packet was forwarded once by the old host of a moved port */

#define TUNNEL_UDP_PORT 6677

/* skb->mark of a packet that the agent (or a flood) hands to inject_ingress. 0 in SENSE means: drop. */
#define MARK_SENSE_SHIFT 30
#define SENSE_FROM 1    /* number is a port: treat the packet as if it had entered there */
#define SENSE_DELIVER 2 /* number is a port, or a flood whose members are looked up: deliver it */
#define SENSE_MEMBER 3  /* number is a port: look the packet up as a flooded frame for this member */
/* Set by the program's own copies of a flood, never by the agent: only these may go up when they find no flow. */
#define MARK_FLOODED 0x20000000
/* skb->mark that underlay_ingress puts on tunnel packets of peers and that tunnel_ingress wants to see. */
#define MARK_PEER 0x41594131

/* ---- the flow key -------------------------------------------------------------------------------------- */

/* fragment: */
#define FRAGMENT_NONE 0
#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

/*
 * VLAN words hold the TCI with bit 12 standing for "there is a tag"; 0 is no tag. What a word has no room for is in
 * `vlan_bits`, so that a tag that was taken off can be put back as it was.
 */
#define VLAN_PRESENT 0x1000
#define VLAN_DROP_ELIGIBLE 0x1000 /* bit 12 of a TCI on the wire (DEI) */
#define VLAN_BITS_OUTER_SERVICE 1 /* its TPID is 0x88a8 and not 0x8100 */
#define VLAN_BITS_INNER_SERVICE 2
#define VLAN_BITS_OUTER_DROP_ELIGIBLE 4
#define VLAN_BITS_INNER_DROP_ELIGIBLE 8

/*
 * One layout for both families; IPv4 rides in the last word of an address. Every field that a packet does not
 * have is 0. All of it is hashed, so padding is named and always 0.
 *
 *   ARP             protocol = opcode, source[3] = sender address, destination[3] = target address,
 *                   source[0..1] = sender MAC (bytes 0..5), destination[0..1] = target MAC
 *   ND              (ICMPv6 133..137) translated_destination = target address (135, 136, 137),
 *                   translated_source[0..1] = link-layer address option (bytes 0..5), of the source in
 *                   133, 134, 135, of the target in 136, 137; later options are not looked at
 *   ICMP, ICMPv6    source_port = type, destination_port = code
 *   TCP, UDP, SCTP  source_port, destination_port; later fragments carry those of their first fragment
 */
struct flow_key {
	__u32 mask;                 /* number of the mask, from the mask itself; flows of different masks never collide */
	__u32 port;                 /* ingress port; with SENSE_MEMBER the member */
	__u32 flood;                /* flood number when this is a look-up for a member, else 0 */
	__u8 ethernet_destination[6];
	__u8 ethernet_source[6];
	__be16 vlan;                /* outer tag */
	__be16 inner_vlan;          /* second tag */
	__be16 ether_type;          /* after the tags */
	__u8 protocol;              /* IPv4 protocol, IPv6 upper layer after extension headers */
	__u8 traffic_class;         /* IPv4 TOS, IPv6 traffic class: all eight bits */
	__u8 fragment;
	__u8 tcp_flags;
	__u8 direction;             /* reserved for connections: none new forward reply related */
	__u8 vlan_bits;             /* VLAN_BITS_* */
	__be32 source[4];
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__be32 translated_source[4];      /* reserved for connections; ND: see above */
	__be32 translated_destination[4];
	__be16 translated_source_port;
	__be16 translated_destination_port;
	__u32 source_translation;   /* reserved for connections */
	__u32 destination_translation;
	__u32 unused_tail;
};

#define MASKS_MAX 16
struct mask_list {
	__u32 count;
	__u32 unused;
	struct flow_key mask[MASKS_MAX]; /* `mask` is the number that its flows carry; all unused fields are 0 */
};
/* `masks` has this many lists; settings.masks_at names the valid one, so that a reader never sees half a change */
#define MASK_LISTS 4

/* ---- actions ------------------------------------------------------------------------------------------- */

/*
 * Kind of a step. Numbers are stable; translation, commit, select, meter and mirror will follow.
 * A list checks before it changes: CHECK_LENGTH and DECREMENT_TTL stand before every other step, so a packet
 * that goes up as an exception goes up as it came in.
 */
#define STEP_END 0
#define STEP_SET_ETHERNET 1   /* bytes: destination[6] source[6] */
#define STEP_DECREMENT_TTL 2  /* number: by how much; goes up as UP_TTL when the TTL or hop limit is not larger */
#define STEP_PUSH_VLAN 3      /* number: TCI as on the wire, small: TPID */
#define STEP_POP_VLAN 4
#define STEP_CHECK_LENGTH 5   /* number: MTU (L3 bytes); goes up as UP_TOO_LONG when longer; GSO: its segments count */
#define STEP_OUTPUT 6         /* number: port; local or on another host, as `delivery` says */
#define STEP_FLOOD 7          /* number: flood; local members but the ingress port, one copy a host */
#define STEP_ANSWER_NEIGHBOUR 8 /* bytes: MAC; small bit 0: set the router flag (NA). Sent back out of the ingress port */
#define STEP_TO_AGENT 9       /* number: UP_* cause */
#define STEP_DROP 10          /* number: drop reason */
#define STEP_COUNT 11         /* number: counter id (kind COUNTER_RULE) */

struct step {
	__u8 kind;
	__u8 small_flags;
	__u16 small;
	union {
		__u32 number;
		__u8 bytes[12];
	};
};

#define STEPS_MAX 8       /* a set; longer lists chain, at most CHAIN_MAX sets */
#define CHAIN_MAX 8
struct action_set {
	__u32 generation;     /* must equal flow_value.generation, else the flow is stale and the packet a miss */
	__u32 next;           /* id of the next set, 0: none */
	struct step step[STEPS_MAX];
};

/*
 * `flows`: this -> flow_value, which holds the key itself. Hashing 120 bytes is most of what a look-up costs, and this
 * sum is quicker than the kernel's hash. With w the 32-bit words of the masked key and s those of settings.hash_seed,
 *
 *   hash = sum over i of (w[2i] + s[2i] mod 2^32) * (w[2i+1] + s[2i+1] mod 2^32), mod 2^64
 *
 * (NH of UMAC: Black, Halevi, Krawczyk, Krovetz, Rogaway, CRYPTO 1999). The seed is secret, so nobody can choose keys
 * that meet; of two that do all the same one is not in the table, and its packets go up.
 */
struct flow_name {
	__u64 hash;
};
#define HASH_WORDS 30

struct flow_value {
	__u32 actions;        /* id in `actions` (1..) */
	__u32 generation;
	__u64 used_ns;        /* coarse CLOCK_MONOTONIC, written when older than 250 ms */
	__u64 packets;
	__u64 bytes;
	struct flow_key key;  /* masked */
};

/* ---- ports, delivery, hosts ---------------------------------------------------------------------------- */

#define PORT_NEEDS_CONNECTION 1 /* reserved: do the connection look-up */
#define PORT_TAP 2              /* plain redirect; without it redirect_peer into the namespace of the peer */

/* `ports`: interface index -> this. No entry: drop. */
struct port_entry {
	__u32 number;
	__u32 flags;
	__u32 traffic;  /* slot in `traffic`, 0: none was left */
};

/* `delivery`: port number -> this (local interface, or the host where the port is) */
#define DELIVER_LOCAL 1
#define DELIVER_REMOTE 2
struct delivery_entry {
	__u32 kind;
	__u32 flags;    /* PORT_TAP */
	__u32 ifindex;  /* local */
	__u32 host;     /* remote: index in `hosts`; local and moved away: the new host, with kind DELIVER_REMOTE */
	__u32 traffic;  /* local: slot in `traffic`, 0: none was left */
};

/*
 * `places`: number % PLACES -> the same in 16 bytes, for look-ups without a hash. Of numbers that meet there one is here;
 * whoever does not find its own looks in `delivery`. An entry is valid only when `check` is the exclusive or of the other
 * three and PLACE_CHECK: a reader on another CPU may see half of a write.
 */
#define PLACES 65536
#define PLACE_CHECK 0x706c6163
#define PLACE_REMOTE 0x80000000 /* in where: the rest is the index in `hosts`, else of an interface */
#define PLACE_TAP 0x40000000
#define PLACE_INDEX 0x3fffffff
struct place {
	__u32 number;
	__u32 where;
	__u32 traffic;
	__u32 check;
};

/* `floods`: flood number -> this. Chained when there are more. */
#define FLOOD_SLOTS 64
struct flood_entry {
	__u32 members;             /* local member ports, that many in member[] */
	__u32 hosts;               /* hosts with members, that many in host[]; not used for packets from the tunnel */
	__u32 member[FLOOD_SLOTS];
	__u32 host[FLOOD_SLOTS];   /* index in `hosts` */
	__u32 next;                /* number of a continuation entry (top bit set), 0: none */
};

/* `members`: port number -> flood number (__u32) by which frames flooded to that port are looked up */

/* `hosts`: index -> underlay of a peer host */
#define HOST_IPV6 1
#define HOST_BY_DEVICE 2 /* always transmit through the VXLAN device */
struct host_entry {
	__u32 flags;        /* 0 and remote 0: nobody, drop */
	__u32 ifindex;      /* underlay interface */
	__u32 mtu;          /* of the underlay towards it */
	__u32 traffic;      /* slot in `traffic`, 0: none was left */
	__be32 local[4];    /* IPv4 in the last word */
	__be32 remote[4];
};

/* `peers`: underlay source address -> this */
struct peer_key {
	__be32 address[4];
};
struct peer_entry {
	__u32 host;
	__u32 ifindex; /* the underlay interface it must come in on */
};

/* `settings`: one entry */
struct settings {
	__u32 tunnel_ifindex;   /* the collect-metadata VXLAN device */
	__u32 inject_ifindex;   /* the agent's end of the injection pair: redirecting there reaches inject_ingress */
	__u32 record_output;    /* tests: do not redirect, append to `records` */
	__u32 masks_at;         /* index of the valid list in `masks` */
	__u64 clock_offset_ns;  /* tests: added to every reading of the clock */
	/* token buckets, per port: per second and burst */
	__u32 miss_rate, miss_burst;
	__u32 service_rate, service_burst;
	__u32 exception_rate, exception_burst;
	__u32 pending_packets;  /* packets of one key that go up while no answer is there, in pending_ms */
	__u32 pending_ms;
	__u32 tunnel_udp_port;  /* host order */
	__u32 unused;
	__u32 hash_seed[HASH_WORDS]; /* random, chosen once for a generation of tables */
};

#define BUCKET_MISS 0
#define BUCKET_SERVICE 1
#define BUCKET_EXCEPTION 2
struct budget {
	__u64 filled_ns[3];
	__u32 tokens[3];
	__u32 unused;
};

/*
 * `fragments`: slot of a port -> datagram, and L4 ports of its first fragment. A first fragment takes its slot from
 * whatever was there, so that a port harms nobody but itself. The slot is
 *
 *   (id + fold(words of source and destination, protocol)) % FRAGMENT_SLOTS    fold: h = (h ^ word) * FRAGMENT_HASH,
 *                                                                              its upper 16 bits; words as host order
 *
 * so that datagrams with ids in sequence, as one sender gives them, do not meet. Copies of floods have slots of their
 * own: what others flood to a port leaves what its guest sends alone.
 */
#define FRAGMENT_SLOTS 64
#define FRAGMENT_FLOODED 64 /* in slot: a copy for a member, not what the port's guest sent */
#define FRAGMENT_HASH 0x9e3779b1
struct fragment_key {
	__u32 port;     /* ingress port, or the member */
	__u32 slot;
};
struct fragment_value {
	__u32 id;
	__be32 source[4];
	__be32 destination[4];
	__be16 vlan;
	__be16 inner_vlan;
	__u8 protocol;
	__u8 family;    /* 4 or 6 */
	__u8 vlan_bits;
	__u8 unused[1];
	__be16 source_port;
	__be16 destination_port;
};

/* `pending` (LRU): unmasked flow_key -> */
struct pending_value {
	__u64 since_ns;
	__u32 packets;
	__u32 unused;
};

/* ---- counters ------------------------------------------------------------------------------------------ */

#define COUNTER_PORT_RX 1  /* id: port. What came from the guest */
#define COUNTER_PORT_TX 2  /* id: port. What was handed to the guest here */
#define COUNTER_RULE 3     /* id: rule number */
#define COUNTER_DROP 4     /* id: drop reason, port: where it came in (0: from the tunnel) */
#define COUNTER_UP 5       /* id: UP_* cause, port: where it came in */
#define COUNTER_TUNNEL_RX 6 /* id: host index */
#define COUNTER_TUNNEL_TX 7
#define COUNTER_LOST 8      /* what found no room in the table; the agent makes this entry before there is any other */
#define PORT_GONE 0xffffffff /* as port of COUNTER_DROP and COUNTER_UP: the agent adds those of unplugged ports up here */
struct counter_key {
	__u32 kind;
	__u32 id;
	__u32 port;
};
struct counter_value { /* per CPU */
	__u64 packets;
	__u64 bytes;
};

/*
 * `traffic`: slot -> this, per CPU. What is counted for each packet is counted here, in a slot that the entry at hand names,
 * which costs nothing beside a look-up in `counters`. A port or host without a slot is counted there.
 */
#define TRAFFIC_SLOTS 8192 /* slot 0 is nobody's */
struct traffic_value {
	struct counter_value received; /* COUNTER_PORT_RX, COUNTER_TUNNEL_RX */
	struct counter_value sent;     /* COUNTER_PORT_TX, COUNTER_TUNNEL_TX */
};

/* ---- what goes up to the agent ------------------------------------------------------------------------- */

/* cause; src/flow/reasons.ts has the same numbers */
#define UP_MISS 1            /* no flow */
#define UP_MEMBER_MISS 2     /* no flow for {flood, member, frame} */
#define UP_SERVICE 3         /* a flow said so: DHCP, router solicitation */
#define UP_PACKET 4          /* a flow said so: each packet is decided by the agent (answers, rejects) */
#define UP_TTL 5             /* exception: TTL or hop limit is used up */
#define UP_TOO_LONG 6        /* exception: longer than the MTU that the class checks */

/* `misses` (ring buffer): this, then `captured` bytes of the frame (tags in line, as on the wire) */
struct miss_record {
	__u64 time_ns;
	__u32 cause;
	__u32 port;         /* ingress port, or the member */
	__u32 frame_bytes;  /* of the whole frame; a GSO packet counts whole */
	__u32 captured;
	__u32 gso_bytes;    /* gso_size, 0 when it is no GSO packet */
	__u32 detail;       /* UP_TOO_LONG: the MTU */
	struct flow_key key; /* not masked, mask 0 */
};

/* `records` (ring buffer, tests): what an output would have done; then `captured` bytes of the frame */
#define RECORD_LOCAL 1   /* number: port */
#define RECORD_TUNNEL 2  /* number: tunnel key, host: index */
#define RECORD_MEMBER 3  /* number: member port that would be looked up */
#define RECORD_BACK 4    /* number: port that gets its answer */
#define RECORD_DROP 5    /* number: drop reason */
struct output_record {
	__u32 kind;
	__u32 number;
	__u32 host;
	__u32 captured;
};

/*
 * cb[0] of a packet in a test-run of test_entry: cb[1] is the port, with cb[2] its slot in `traffic`, the mark, or the
 * tunnel key, with cb[2] the host
 */
#define TEST_GUEST 0
#define TEST_AGENT 1
#define TEST_TUNNEL 2

/* ---- drop reasons: src/flow/reasons.ts has the same numbers and the words ------------------------------- */

#define DROP_NONE 0
#define DROP_POLICY 1            /* a rule said drop */
#define DROP_REJECTED 2          /* a rule or route said reject; the sender was told if it may be */
#define DROP_UNKNOWN_INTERFACE 3
#define DROP_MALFORMED 4
#define DROP_ADMIN_DOWN 5
#define DROP_NO_ROUTE 6
#define DROP_BLACKHOLE 7
#define DROP_TTL 8
#define DROP_TOO_LONG 9
#define DROP_NEIGHBOUR_UNRESOLVED 10
#define DROP_HOP_LIMIT 11        /* the walk passed too many devices: a loop in the topology */
#define DROP_SPOOFED 12
#define DROP_GROUP_SOURCE 13     /* source MAC is a group address */
#define DROP_VLAN 14
#define DROP_SAME_PORT 15        /* destination is behind the ingress port */
#define DROP_NOT_FOR_ROUTER 16   /* at a router port, but not to its MAC or no protocol of a router */
#define DROP_UNPLUGGED 17        /* port without peer or binding */
#define DROP_NO_DELIVERY 18      /* port not up anywhere, or not here */
#define DROP_NO_PEER 19          /* tunnel packet from no member of the zone */
#define DROP_MISS_BUDGET 20
#define DROP_SERVICE_BUDGET 21
#define DROP_EXCEPTION_BUDGET 22
#define DROP_PENDING 23
#define DROP_RING_FULL 24
#define DROP_LATER_FRAGMENT_FIRST 25
#define DROP_INJECTED_MISS 26
#define DROP_NO_UNDERLAY 27      /* host index unknown or without address */
#define DROP_UNDERLAY_TOO_SMALL 28 /* reserved: what does not fit the underlay is fragmented there */
#define DROP_CHAIN_TOO_LONG 29
#define DROP_STATE_FRAME 30      /* reserved key bits are not spoken yet */
#define DROP_LOCAL_ONLY 31       /* answered or consumed here; never forwarded (own address, IPv6 link-local) */
#define DROP_UNPARSED_EXTENSION 32
#define DROP_AGENT 33            /* the agent could not decide in time or had no room to park it */
#define DROP_TABLE_FULL 34       /* reserved: packets that find no room for a flow go one by one */
#define DROP_FRAGMENT_REJECTED 35 /* first fragment dropped by a filter of a router; the sender was told */
#define DROP_REASONS 36

#endif
