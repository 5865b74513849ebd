// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counts what happens at listening sockets; decides nothing. docs/kernel.md says why each hook was
 * chosen.
 *
 * A socket without storage is no server socket of ours: one miss and out. The programs always let
 * the packet pass.
 */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include "bpf/forerun.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define TCP_ESTABLISHED 1
#define TCP_CLOSE_WAIT 8
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define PASS 1

#define EDGE_PAUSE_NS 5000000ULL
#define COST_SAMPLE_MASK 63

/* Set before the load. */
const volatile u32 slots_max = 1024;
const volatile u32 stripe_mask = 0;
const volatile u64 connections_max = 262144;
const volatile u32 default_edge_depth = 4;

struct forerun_health health = {};
u32 sockets_numbered = 0;

/* On a listening socket. */
struct listener {
	struct forerun_slot_ref ref;
	u32 number;
	u32 pad;
};

enum role { ROLE_LISTENER, ROLE_CONNECTION, ROLE_IGNORED };
enum direction { TURN_UNKNOWN, TURN_CLIENT, TURN_SERVER };

/*
 * On a connection. A listener carries one as well, which the kernel copies to each child that it
 * accepts: so a child knows its listener without any lookup.
 */
struct connection {
	struct forerun_slot_ref ref;
	u64 established_ns;
	u64 request_ns;
	u32 received; /* the highest sequence number of payload seen from the client, plus one */
	u8 role;
	u8 turn;
	u8 accepted;
	u8 received_known;
	u8 protocol; /* room for what is parsed later: HTTP/2 frames, TLS records */
	u8 parser[31];
	u32 runs;
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

/* Looked up when a socket starts to listen, never for a packet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct forerun_key);
	__type(value, struct forerun_slot_ref);
} addresses SEC(".maps");

struct {
	__uint(type,
	       BPF_MAP_TYPE_STACK); /* the lowest again first: userspace maps only what was used */
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

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} edges SEC(".maps");

static __always_inline struct forerun_slot *slot_of(const struct forerun_slot_ref *ref)
{
	struct forerun_slot *slot = bpf_map_lookup_elem(&slots, &ref->slot);

	return slot && slot->generation == ref->generation ? slot : NULL;
}

static __always_inline struct forerun_counters *counters_of(const struct forerun_slot_ref *ref)
{
	u32 index = ref->slot * (stripe_mask + 1) + (bpf_get_smp_processor_id() & stripe_mask);

	return bpf_map_lookup_elem(&counters, &index);
}

#define ADD(counter, value) __sync_fetch_and_add(&(counter), value)

/* ---- finding the slot of a listener ---- */

static __always_inline void key_of(struct sock *sk, struct forerun_key *key)
{
	key->netns = sk->__sk_common.skc_net.net->ns.inum;
	key->family = sk->__sk_common.skc_family;
	key->port = sk->__sk_common.skc_num;
	__builtin_memset(key->address, 0, sizeof(key->address));
	if (key->family == AF_INET) {
		u32 address = sk->__sk_common.skc_rcv_saddr;

		__builtin_memcpy(key->address, &address, sizeof(address));
	} else {
		struct in6_addr address = sk->__sk_common.skc_v6_rcv_saddr;

		__builtin_memcpy(key->address, &address, sizeof(address));
	}
}

static __always_inline bool take_slot(const struct forerun_key *key, struct forerun_slot_ref *ref)
{
	struct forerun_slot_ref *known = bpf_map_lookup_elem(&addresses, key);
	struct forerun_slot *slot;

	if (known) {
		*ref = *known;
		return true;
	}
	if (bpf_map_pop_elem(&free_slots, ref)) {
		ADD(health.listeners_refused, 1);
		return false;
	}
	slot = bpf_map_lookup_elem(&slots, &ref->slot);
	if (!slot)
		return false;
	slot->key = *key;
	slot->edge_depth = default_edge_depth;
	slot->next_edge = 0;
	slot->last_edge_ns = 0;
	slot->generation = ref->generation;
	if (bpf_map_update_elem(&addresses, key, ref, BPF_NOEXIST) == 0)
		return true;
	/* Another CPU was first with the same address: its slot is the one. */
	slot->generation = 0;
	bpf_map_push_elem(&free_slots, ref, 0);
	known = bpf_map_lookup_elem(&addresses, key);
	if (!known)
		return false;
	*ref = *known;
	return true;
}

/* Marks a listening socket, or mends a mark of a slot that has gone meanwhile. sk is what the
 * caller's context has: the helpers take a pointer of either kind, the compiler does not. */
#define MARK_LISTENER(sk, key)                                                            \
	({                                                                                \
		struct listener *mark_ = bpf_sk_storage_get(&listeners, sk, 0, 0);        \
		if (!mark_ || !slot_of(&mark_->ref)) {                                    \
			struct forerun_slot_ref ref_ = {};                                \
			mark_ = NULL;                                                     \
			if (take_slot(key, &ref_)) {                                      \
				struct connection *child_;                                \
				mark_ = bpf_sk_storage_get(&listeners, sk, 0,             \
							   BPF_SK_STORAGE_GET_F_CREATE);  \
				child_ = bpf_sk_storage_get(&connections, sk, 0,          \
							    BPF_SK_STORAGE_GET_F_CREATE); \
				if (mark_ && child_) {                                    \
					mark_->ref = ref_;                                \
					mark_->number = ADD(sockets_numbered, 1) + 1;     \
					child_->role = ROLE_LISTENER;                     \
					child_->ref = ref_;                               \
				} else {                                                  \
					ADD(health.listeners_refused, 1);                 \
				}                                                         \
			}                                                                 \
		}                                                                         \
		mark_;                                                                    \
	})

/* ---- requests ---- */

/* Which bucket of forerun.h a duration falls into. */
static __always_inline u32 bucket_of(u64 ns)
{
	u64 us = ns / 1000;
	u32 octave = 0;

	if (us == 0)
		return 0;
	if (us >> FORERUN_OCTAVES)
		return FORERUN_BUCKETS - 1;
	/* The position of the highest bit, in five steps. */
	for (u32 step = 16, rest = us; step; step >>= 1) {
		if (rest >> step) {
			rest >>= step;
			octave += step;
		}
	}
	/* Nanoseconds keep the eighths of the lowest octaves apart. */
	return 1 + octave * FORERUN_BUCKETS_PER_OCTAVE +
	       (u32)(((ns * FORERUN_BUCKETS_PER_OCTAVE / 1000) >> octave) &
		     (FORERUN_BUCKETS_PER_OCTAVE - 1));
}

static __always_inline void request_begins(struct connection *connection,
					   struct forerun_counters *sums)
{
	connection->turn = TURN_CLIENT;
	connection->request_ns = bpf_ktime_get_ns();
	ADD(sums->requests, 1);
	ADD(sums->in_flight, 1);
}

static __always_inline void response_begins(struct connection *connection,
					    struct forerun_counters *sums)
{
	u64 took = bpf_ktime_get_ns() - connection->request_ns;
	u32 bucket = bucket_of(took);

	connection->turn = TURN_SERVER;
	ADD(sums->responses, 1);
	ADD(sums->in_flight, -1);
	ADD(sums->response_ns, took);
	if (bucket < FORERUN_BUCKETS)
		ADD(sums->buckets[bucket], 1);
}

struct segment {
	u32 payload;
	u32 sequence;
	bool syn, ack;
};

/* False: not TCP, or cut. The packet starts with its IP header. */
static __always_inline bool segment_of(struct __sk_buff *skb, struct segment *segment)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	struct ipv6hdr *ip6 = data;
	struct tcphdr *tcp;
	u32 header;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_TCP)
			return false;
		header = ip->ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_TCP)
			return false;
		header = sizeof(*ip6);
	} else {
		return false;
	}
	tcp = data + header;
	if ((void *)(tcp + 1) > end)
		return false;
	header += tcp->doff * 4;
	segment->payload = skb->len > header ? skb->len - header : 0;
	segment->sequence = bpf_ntohl(tcp->seq);
	segment->syn = tcp->syn;
	segment->ack = tcp->ack;
	return true;
}

/* The hook sees segments before TCP has checked them: what was seen already is not a new turn. */
static __always_inline bool is_new(struct connection *connection, const struct segment *segment)
{
	u32 end = segment->sequence + segment->payload;

	if (connection->received_known && (int)(end - connection->received) <= 0)
		return false;
	connection->received = end;
	connection->received_known = 1;
	return true;
}

/* ---- the listener, seen on every SYN and final ACK ---- */

static __always_inline void report_edge(struct forerun_slot *slot,
					const struct forerun_slot_ref *ref, u32 depth, u32 limit)
{
	u64 now = bpf_ktime_get_ns();
	bool full = depth > limit;
	u32 next = slot->next_edge ?: slot->edge_depth;
	struct forerun_edge *edge;

	if (depth < slot->edge_depth / 2) {
		slot->next_edge = 0;
		return;
	}
	if (depth < next && !(full && slot->next_edge != ~0U))
		return;
	if (slot->next_edge && now - slot->last_edge_ns < EDGE_PAUSE_NS)
		return;
	/* The next one when the depth has doubled; a full queue is the last. */
	slot->next_edge = full ? ~0U : depth * 2;
	slot->last_edge_ns = now;
	edge = bpf_ringbuf_reserve(&edges, sizeof(*edge), 0);
	if (!edge) {
		ADD(health.edges_lost, 1);
		return;
	}
	edge->time_ns = now;
	edge->slot = ref->slot;
	edge->generation = ref->generation;
	edge->depth = depth;
	edge->limit = limit;
	edge->full = full;
	edge->pad = 0;
	bpf_ringbuf_submit(edge, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void handshake(struct __sk_buff *skb, struct bpf_sock *sk,
				      struct connection *connection)
{
	struct forerun_slot_ref ref = connection->ref;
	struct forerun_counters *sums = counters_of(&ref);
	struct forerun_slot *slot = slot_of(&ref);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct segment segment;
	u32 depth, limit;

	if (!sums || !slot || !tp || !segment_of(skb, &segment))
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
	report_edge(slot, &ref, depth, limit);
}

/* ---- packets ---- */

static __always_inline struct connection *connection_of(struct __sk_buff *skb,
							struct bpf_sock **out)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return NULL;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return NULL;
	*out = sk;
	return bpf_sk_storage_get(&connections, sk, 0, 0);
}

static __always_inline u64 cost_begins(struct connection *connection)
{
	return connection->runs++ & COST_SAMPLE_MASK ? 0 : bpf_ktime_get_ns();
}

static __always_inline void cost_ends(u64 started)
{
	if (!started)
		return;
	ADD(health.sampled_runs, COST_SAMPLE_MASK + 1);
	ADD(health.sampled_ns, (bpf_ktime_get_ns() - started) * (COST_SAMPLE_MASK + 1));
}

static __always_inline void from_client(struct __sk_buff *skb, struct connection *connection)
{
	struct forerun_counters *sums;
	struct segment segment;

	if (!segment_of(skb, &segment) || !segment.payload || !is_new(connection, &segment) ||
	    connection->turn == TURN_CLIENT)
		return;
	sums = counters_of(&connection->ref);
	if (sums && slot_of(&connection->ref))
		request_begins(connection, sums);
}

SEC("cgroup_skb/ingress")
int forerun_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk;
	struct connection *connection = connection_of(skb, &sk);
	u64 started;

	if (!connection || connection->role == ROLE_IGNORED)
		return PASS;
	started = cost_begins(connection);
	if (connection->role == ROLE_LISTENER)
		handshake(skb, sk, connection);
	else
		from_client(skb, connection);
	cost_ends(started);
	return PASS;
}

SEC("cgroup_skb/egress")
int forerun_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk;
	struct connection *connection = connection_of(skb, &sk);
	struct forerun_counters *sums;
	struct segment segment;
	u64 started;

	if (!connection || connection->role != ROLE_CONNECTION || connection->turn != TURN_CLIENT)
		return PASS;
	started = cost_begins(connection);
	if (segment_of(skb, &segment) && segment.payload) {
		sums = counters_of(&connection->ref);
		if (sums && slot_of(&connection->ref))
			response_begins(connection, sums);
	}
	cost_ends(started);
	return PASS;
}

/* ---- the life of a socket ---- */

static __always_inline void connection_begins(struct connection *connection,
					      struct forerun_counters *sums)
{
	if (ADD(health.connections, 1) >= (s64)connections_max) {
		ADD(health.connections, -1);
		ADD(health.connections_refused, 1);
		connection->role = ROLE_IGNORED;
		return;
	}
	connection->role = ROLE_CONNECTION;
	connection->runs = 1;
	ADD(sums->open, 1);
}

/* The segment that completed a handshake may carry the first request: no other hook sees it with
 * the child's socket. */
static __always_inline void first_payload(struct bpf_sock_ops *ops, struct connection *connection,
					  struct forerun_counters *sums)
{
	struct tcphdr *tcp = ops->skb_data;
	struct segment segment = {};

	if ((void *)(tcp + 1) > ops->skb_data_end || tcp->syn)
		return;
	segment.payload = ops->skb_len > tcp->doff * 4U ? ops->skb_len - tcp->doff * 4U : 0;
	segment.sequence = bpf_ntohl(tcp->seq);
	if (segment.payload && is_new(connection, &segment))
		request_begins(connection, sums);
}

static __always_inline void established(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	struct connection *connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	struct forerun_counters *sums;

	if (!connection || connection->role != ROLE_LISTENER || !slot_of(&connection->ref))
		return;
	sums = counters_of(&connection->ref);
	if (!sums)
		return;
	ADD(sums->established, 1);
	connection->established_ns = bpf_ktime_get_ns();
	connection_begins(connection, sums);
	if (connection->role == ROLE_CONNECTION)
		first_payload(ops, connection, sums);
}

SEC("sockops")
int forerun_sockops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct forerun_key key;
	struct tcp_sock *tp;

	if (!sk)
		return PASS;
	if (ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		established(ops, sk);
	} else if (ops->op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		tp = bpf_skc_to_tcp_sock(sk);
		if (!tp)
			return PASS;
		key_of(&tp->inet_conn.icsk_inet.sk, &key);
		MARK_LISTENER(sk, &key);
	}
	return PASS;
}

/*
 * A tracepoint and not BPF_SOCK_OPS_STATE_CB, because that one has to be asked for on each socket
 * from a sockops program, which connections that are older than the agent never pass. It runs on
 * state changes, not on packets.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(forerun_state, struct sock *sk, int from, int to)
{
	struct connection *connection;
	struct forerun_counters *sums;

	if (to != TCP_CLOSE)
		return 0;
	connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!connection || connection->role != ROLE_CONNECTION)
		return 0;
	connection->role = ROLE_IGNORED;
	ADD(health.connections, -1);
	sums = counters_of(&connection->ref);
	if (!sums || !slot_of(&connection->ref))
		return 0;
	ADD(sums->closed, 1);
	ADD(sums->open, -1);
	if (connection->turn == TURN_CLIENT)
		ADD(sums->in_flight, -1);
	return 0;
}

/* accept(2) with room for an address asks for the peer's name: the moment at which the connection
 * left the queue. */
static __always_inline int accepted(struct bpf_sock_addr *context)
{
	struct bpf_sock *sk = context->sk;
	struct connection *connection;
	struct forerun_counters *sums;

	if (!sk)
		return PASS;
	connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!connection || connection->role != ROLE_CONNECTION || connection->accepted ||
	    !connection->established_ns)
		return PASS;
	connection->accepted = 1;
	sums = counters_of(&connection->ref);
	if (sums && slot_of(&connection->ref)) {
		ADD(sums->accept_waits, 1);
		ADD(sums->accept_wait_ns, bpf_ktime_get_ns() - connection->established_ns);
	}
	return PASS;
}

SEC("cgroup/getpeername4")
int forerun_accept4(struct bpf_sock_addr *context)
{
	return accepted(context);
}

SEC("cgroup/getpeername6")
int forerun_accept6(struct bpf_sock_addr *context)
{
	return accepted(context);
}

/* ---- reading, and what was there before ---- */

SEC("iter/bpf_sk_storage_map")
int forerun_rows(struct bpf_iter__bpf_sk_storage_map *context)
{
	struct sock *sk = context->sk;
	struct listener *listener = context->value;
	struct forerun_row row = {};
	struct tcp_sock *tp;

	if (!sk || !listener || sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	row.cgroup_id = sk->sk_cgrp_data.cgroup->kn->id;
	row.slot = listener->ref.slot;
	row.generation = listener->ref.generation;
	row.depth = sk->sk_ack_backlog;
	row.limit = sk->sk_max_ack_backlog;
	row.syn_queue = tp->inet_conn.icsk_accept_queue.qlen.counter;
	row.syn_queue_young = tp->inet_conn.icsk_accept_queue.young.counter;
	row.drops = sk->sk_drops.counter;
	row.number = listener->number;
	bpf_seq_write(context->meta->seq, &row, sizeof(row));
	return 0;
}

/* The slot of the listener that an established socket came from, by its local address; none: it is
 * a client. */
static __always_inline struct forerun_slot_ref *listener_of(struct forerun_key *key)
{
	struct forerun_slot_ref *ref = bpf_map_lookup_elem(&addresses, key);

	if (ref)
		return ref;
	__builtin_memset(key->address, 0, sizeof(key->address));
	return bpf_map_lookup_elem(&addresses, key);
}

static __always_inline void adopt(struct sock *sk)
{
	struct connection *connection;
	struct forerun_slot_ref *ref;
	struct forerun_counters *sums;
	struct forerun_key key;

	if (bpf_sk_storage_get(&connections, sk, 0, 0))
		return;
	key_of(sk, &key);
	ref = listener_of(&key);
	if (!ref)
		return;
	connection = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!connection)
		return;
	connection->ref = *ref;
	sums = counters_of(&connection->ref);
	if (sums)
		connection_begins(connection, sums);
}

bool adopt_connections = false;

SEC("iter/task_file")
int forerun_files(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct forerun_holder holder = {};
	struct listener *listener;
	struct forerun_key key;
	struct socket *socket;
	struct sock *sk;

	if (!file || !task)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP ||
	    (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return 0;
	if (adopt_connections) {
		if (sk->__sk_common.skc_state == TCP_ESTABLISHED ||
		    sk->__sk_common.skc_state == TCP_CLOSE_WAIT)
			adopt(sk);
		return 0;
	}
	if (sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	key_of(sk, &key);
	listener = MARK_LISTENER(sk, &key);
	if (!listener)
		return 0;
	holder.slot = listener->ref.slot;
	holder.generation = listener->ref.generation;
	holder.pid = task->tgid;
	__builtin_memcpy(holder.comm, task->comm, sizeof(holder.comm));
	bpf_seq_write(context->meta->seq, &holder, sizeof(holder));
	return 0;
}
