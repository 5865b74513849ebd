/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs keep: settings, storage on sockets, slots, counters. */
#ifndef FORERUN_BPF_STATE_H
#define FORERUN_BPF_STATE_H

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include "bpf/forerun.h"

/* A function that the verifier looks at once and alone. */
#define GLOBAL __noinline
/* One with a stack of its own. */
#define OWN_FRAME __noinline
#define PAYLOAD_LOAD(skb, at, to, length) bpf_skb_load_bytes(skb, at, to, length)

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define TCP_ESTABLISHED 1
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LISTEN 10
#define PASS 1

#define ADD(counter, value) __sync_fetch_and_add(&(counter), value)

#include "bpf/connection.h"

/* Set before the load. */
const volatile u32 stripe_mask = 0;
const volatile u64 connections_max = 262144;

/* Set at any time. */
u32 default_edge_depth = 4;
bool adopt_connections = false;
u32 unix_left = 0; /* AF_UNIX listeners that may have a slot besides those that have one */

struct forerun_health health = {};
u32 sockets_numbered = 0;
u32 unix_refused = 0; /* since userspace last set it to 0 */

/* On a listening socket. */
struct listener {
	struct forerun_slot_ref ref;
	u32 number;
	u32 pid; /* who called listen(2), 0: not seen */
	char comm[16];
	/* AF_UNIX: the first in the queue at the last reading, 0: none, and how often it changed.
	 */
	u64 head;
	u32 taken;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct listener);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct connection);
} connections SEC(".maps");

/* Made for connections that turn out to be HTTP/2. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct http2);
} http2s SEC(".maps");

/* Looked up when a socket starts to listen, never for a packet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct forerun_key);
	__type(value, struct forerun_slot_ref);
} addresses SEC(".maps");

/* The lowest again first: userspace maps only the counters that were used. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, struct forerun_slot_ref);
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct forerun_slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct forerun_counters);
} counters SEC(".maps");

/* By slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct forerun_path);
} paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} edges SEC(".maps");

static __always_inline struct forerun_slot *slot_of(const struct forerun_slot_ref *ref)
{
	struct forerun_slot *slot = bpf_map_lookup_elem(&slots, &ref->slot);

	return slot && ref->generation && slot->generation == ref->generation ? slot : NULL;
}

static __always_inline struct forerun_counters *stripe_of(u32 slot, u32 stripe)
{
	u32 index = slot * (stripe_mask + 1) + (stripe & stripe_mask);

	return bpf_map_lookup_elem(&counters, &index);
}

static __always_inline struct forerun_counters *counters_of(const struct forerun_slot_ref *ref)
{
	struct forerun_counters *sums = stripe_of(ref->slot, bpf_get_smp_processor_id());

	return sums && ref->generation && sums->generation == ref->generation ? sums : NULL;
}

/* ---- what the programs cost: one run of 64 is timed and stands for all ---- */

#define COST_SAMPLE_MASK 63

static __always_inline void cost_ends(u64 started)
{
	if (!started)
		return;
	ADD(health.sampled_runs, COST_SAMPLE_MASK + 1);
	ADD(health.sampled_ns, (bpf_ktime_get_ns() - started) * (COST_SAMPLE_MASK + 1));
}

#endif
