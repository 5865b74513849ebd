/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The listener, seen on every SYN and final ACK. */
#ifndef FORERUN_BPF_EDGES_H
#define FORERUN_BPF_EDGES_H

#include "bpf/segments.h"

/* Between two edges of one listener; a queue that gets full after an edge does not wait. */
#define EDGE_PAUSE_NS 5000000ULL
#define EDGE_WAS_FULL ~0U

/* One CPU of those that see the same crossing reports it. */
static __always_inline bool may_report(struct forerun_slot *slot, u64 now, bool at_once)
{
	u64 last = slot->last_edge_ns;

	if (!at_once && now - last < EDGE_PAUSE_NS)
		return false;
	return __sync_val_compare_and_swap(&slot->last_edge_ns, last, now) == last;
}

/*
 * The first edge is the crossing of the threshold; then one each time that the depth has doubled,
 * and one when the queue is full. Below half of the threshold the socket is armed again.
 */
static __always_inline void report_edge(struct forerun_slot *slot, struct connection *listener,
					u32 depth, u32 limit)
{
	u32 next = listener->next_edge ?: slot->edge_depth;
	bool full = depth > limit;
	struct forerun_edge *edge;
	u64 now;

	if (!full && (!depth || depth * 2 < slot->edge_depth)) {
		listener->next_edge = 0;
		return;
	}
	if (next == EDGE_WAS_FULL || (depth < next && !full))
		return;
	now = bpf_ktime_get_ns();
	if (!may_report(slot, now, full && listener->next_edge))
		return;
	listener->next_edge = full ? EDGE_WAS_FULL : depth * 2;
	edge = bpf_ringbuf_reserve(&edges, sizeof(*edge), 0);
	if (!edge) {
		ADD(health.edges_lost, 1);
		return;
	}
	edge->time_ns = now;
	edge->slot = listener->ref.slot;
	edge->generation = listener->ref.generation;
	edge->depth = depth;
	edge->limit = limit;
	edge->full = full;
	edge->pad = 0;
	bpf_ringbuf_submit(edge, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void handshake(struct __sk_buff *skb, struct bpf_sock *sk,
				      struct connection *listener)
{
	struct forerun_counters *sums = counters_of(&listener->ref);
	struct forerun_slot *slot = slot_of(&listener->ref);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct segment segment;
	u32 depth, limit;

	if (!sums || !slot || !tp || !segment_of(skb, &segment) || segment.rst)
		return;
	depth = tp->inet_conn.icsk_inet.sk.sk_ack_backlog;
	limit = tp->inet_conn.icsk_inet.sk.sk_max_ack_backlog;
	if (segment.syn && !segment.ack)
		ADD(sums->syns, 1);
	if (depth > limit) /* this one finds no room */
		ADD(sums->overflows, 1);
	else if (!segment.syn)
		depth++; /* it is about to be queued */
	if (depth > sums->peak)
		sums->peak = depth;
	report_edge(slot, listener, depth, limit);
}

#endif
