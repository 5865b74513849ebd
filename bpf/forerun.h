/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel programs and user/probe share: structs with fixed-width fields and no implicit
 * padding, and limits. The includer brings __u32 and its kin (<linux/types.h>).
 */
#ifndef FORERUN_BPF_FORERUN_H
#define FORERUN_BPF_FORERUN_H

#include <linux/types.h>

/*
 * Response times fall into log-linear buckets: 8 to each power of two from 1 us on, so that a
 * bucket's middle is within 6.25 % of every value in it. Bucket 0 is below 1 us, the last one is
 * everything from 2^27 us (134 s) on.
 */
#define FORERUN_BUCKETS_PER_OCTAVE 8
#define FORERUN_OCTAVES 27
#define FORERUN_BUCKETS (1 + FORERUN_OCTAVES * FORERUN_BUCKETS_PER_OCTAVE + 1)

#define FORERUN_STRIPES_MAX 8

/* What a connection speaks, found out from its first bytes; index of forerun_counters.protocols. */
#define FORERUN_PROTOCOL_HTTP1 0
#define FORERUN_PROTOCOL_HTTP2 1
#define FORERUN_PROTOCOL_TLS 2
#define FORERUN_PROTOCOL_OTHER 3
#define FORERUN_PROTOCOL_UPGRADED 4 /* a WebSocket, say: counted as HTTP/1 before */
#define FORERUN_PROTOCOLS 5

/* The address that is listened on. IPv4 in the first four bytes; network order. Of AF_UNIX the
 * socket's inode number in the first eight. */
struct forerun_key {
	__u32 netns; /* inode number */
	__u16 family;
	__u16 port; /* host order */
	__u8 address[16];
};

/* Whose counters: a generation that has passed counts for nobody. */
struct forerun_slot_ref {
	__u32 slot;
	__u32 generation;
};

/* One for each listener; userspace and kernel write different fields. */
struct forerun_slot {
	struct forerun_key key;
	__u32 generation; /* 0: free */
	__u32 edge_depth; /* userspace: threshold in connections waiting */
	__u64 last_edge_ns;
};

/* Counters of one slot in one stripe (stripe = CPU modulo their number): summed by userspace,
 * straight from the mapping. */
struct forerun_counters {
	__u64 syns;
	__u64 overflows;
	__u64 established;
	__u64 closed;
	__u64 requests;
	__u64 responses;
	__u64 accept_waits;
	__u64 accept_wait_ns;
	__u64 response_ns;
	__s64 open; /* only the sum over the stripes means something */
	__u64 unanswered; /* requests whose connection ended without a response */
	__s64 not_accepted; /* lost with their listener's queue, less what waited when it was found
			     */
	__u64 peak; /* since userspace last took it */
	__u64 protocols[FORERUN_PROTOCOLS]; /* connections */
	__u64 lower_bounds; /* occasions from which on the requests of a connection are at least
			       what is counted */
	__u64 spare[2]; /* whole cache lines: stripes stand side by side */
	__u32 generation; /* of the slot, in each stripe: a packet touches no other page */
	__u32 pad;
	__u64 buckets[FORERUN_BUCKETS];
};

/* Where an AF_UNIX listener is bound, one for each slot. */
struct forerun_path {
	__u32 length; /* of what the server named, may be more than there is room for */
	char bytes[108]; /* as in sun_path: an abstract name begins with NUL */
};

/* One listening socket as the iterator writes it. */
struct forerun_row {
	__u64 cgroup_id;
	__u32 slot;
	__u32 generation;
	__u32 depth;
	__u32 limit;
	__u32 syn_queue;
	__u32 syn_queue_young;
	__u32 drops;
	__u32 number; /* of this socket, in the order in which they were found */
	__u32 pid; /* who called listen(2), 0: not seen */
	__u32 taken; /* AF_UNIX: times that the head of the queue was another one than at the last
			reading */
	char comm[16];
};

/* One socket that the file search touched: who holds it. */
struct forerun_holder {
	__u32 slot;
	__u32 generation;
	__u32 pid;
	char comm[16];
};

struct forerun_edge {
	__u64 time_ns;
	__u32 slot;
	__u32 generation;
	__u32 depth;
	__u32 limit;
	__u32 full;
	__u32 pad;
};

struct forerun_health {
	__u64 listeners_refused;
	__u64 connections_refused;
	__u64 edges_lost;
	__s64 connections; /* followed now */
	__u64 sampled_runs;
	__u64 sampled_ns;
};

_Static_assert(sizeof(struct forerun_key) == 24, "no padding");
_Static_assert(sizeof(struct forerun_slot) == 40, "no padding");
_Static_assert(sizeof(struct forerun_counters) == (22 + FORERUN_BUCKETS) * 8, "no padding");
_Static_assert(sizeof(struct forerun_row) == 64, "no padding");
_Static_assert(sizeof(struct forerun_path) == 112, "no padding");
_Static_assert(sizeof(struct forerun_holder) == 28, "no padding");
_Static_assert(sizeof(struct forerun_edge) == 32, "no padding");

#endif
