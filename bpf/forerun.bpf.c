// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counts what happens at listening sockets; decides nothing. docs/kernel.md says why each hook was
 * chosen.
 *
 * A socket without storage is no server socket of ours: one miss and out. The programs always let
 * the packet pass.
 */
#include "bpf/state.h"
#include "bpf/listeners.h"
#include "bpf/segments.h"
#include "bpf/protocol.h"
#include "bpf/edges.h"
#include "bpf/unix.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* ---- packets ---- */

/* The helper itself refuses what is no full socket. */
static __always_inline struct connection *connection_of(struct bpf_sock *sk)
{
	return sk ? bpf_sk_storage_get(&connections, sk, 0, 0) : NULL;
}

static __always_inline u64 cost_begins(struct connection *connection)
{
	return connection->runs++ & COST_SAMPLE_MASK ? 0 : bpf_ktime_get_ns();
}

static __always_inline void from_client(struct __sk_buff *skb, struct bpf_sock *sk,
					struct connection *connection)
{
	struct forerun_counters *sums;
	struct segment segment;
	struct span span;
	bool gap;

	if (!segment_of(skb, &segment) || !segment.payload ||
	    !new_part(connection, &segment, &span, &gap) || client_goes_on(connection))
		return;
	sums = counters_of(&connection->ref);
	if (sums)
		client_payload(skb, sk, connection, sums, span, gap);
}

SEC("cgroup_skb/ingress")
int forerun_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct connection *connection = connection_of(sk);
	u64 started;

	if (!connection || connection->role == ROLE_IGNORED)
		return PASS;
	started = cost_begins(connection);
	if (connection->role == ROLE_LISTENER)
		handshake(skb, sk, connection);
	else
		from_client(skb, sk, connection);
	cost_ends(started);
	return PASS;
}

SEC("cgroup_skb/egress")
int forerun_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct connection *connection = connection_of(sk);
	struct forerun_counters *sums;
	struct segment segment;
	struct span span;
	u64 started;

	if (!connection || connection->role != ROLE_CONNECTION || !server_matters(connection))
		return PASS;
	started = cost_begins(connection);
	if (segment_of(skb, &segment) && segment.payload && !is_sent_again(sk, &segment)) {
		span.at = segment.header;
		span.end = segment.header + segment.payload;
		connection->said = segment.sequence + segment.payload;
		sums = counters_of(&connection->ref);
		if (sums)
			server_payload(skb, sk, connection, sums, span);
	}
	cost_ends(started);
	return PASS;
}

/* ---- the life of a socket ---- */

static __always_inline void connection_begins(struct connection *connection,
					      struct forerun_counters *sums, u64 now)
{
	if (ADD(health.connections, 1) >= (s64)connections_max) {
		ADD(health.connections, -1);
		ADD(health.connections_refused, 1);
		connection->role = ROLE_IGNORED;
		return;
	}
	connection->role = ROLE_CONNECTION;
	connection->runs = now;
	ADD(sums->open, 1);
}

/* Whether a request whose bytes are not seen is counted at once: not where it may be the start of a
 * TLS handshake, as far as this listener's other connections tell. */
static __always_inline bool is_counted_unseen(const struct forerun_counters *sums)
{
	return !sums->protocols[FORERUN_PROTOCOL_TLS] &&
	       (sums->protocols[FORERUN_PROTOCOL_HTTP1] || sums->protocols[FORERUN_PROTOCOL_OTHER]);
}

/* The segment that completed a handshake says where the client's payload starts, and may carry the
 * first request: no other hook sees that one with the child's socket, and here its bytes are not
 * shown. */
static __always_inline void first_payload(struct bpf_sock_ops *ops, struct connection *connection,
					  struct forerun_counters *sums)
{
	struct tcphdr *tcp = ops->skb_data;
	u32 payload;

	if ((void *)(tcp + 1) > ops->skb_data_end || tcp->syn)
		return;
	payload = ops->skb_len > tcp->doff * 4U ? ops->skb_len - tcp->doff * 4U : 0;
	connection->received = bpf_ntohl(tcp->seq) + payload;
	connection->received_known = 1;
	if (!payload)
		return;
	connection->joined = 1;
	if (is_counted_unseen(sums)) {
		request_begins(connection, sums);
		return;
	}
	connection->deferred = 1;
	connection->turn = TURN_CLIENT;
	connection->request_ns = bpf_ktime_get_ns();
}

static __always_inline void established(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	struct connection *connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	struct forerun_counters *sums;
	u64 now;

	if (!connection || connection->role != ROLE_LISTENER)
		return;
	sums = counters_of(&connection->ref);
	if (!sums)
		return;
	now = bpf_ktime_get_ns();
	connection->established_ns = now;
	ADD(sums->established, 1);
	connection_begins(connection, sums, now);
	if (connection->role == ROLE_CONNECTION)
		first_payload(ops, connection, sums);
	cost_ends(now & COST_SAMPLE_MASK ? 0 : now);
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
		MARK_LISTENER(sk, &key, 0);
	}
	return PASS;
}

/* Runs before the port is known to be free and before TCP_LISTEN_CB, but in the process that calls
 * listen(2), which sockops may not ask for. */
static __always_inline void listener_begins(struct sock *sk)
{
	struct listener *listener =
		bpf_sk_storage_get(&listeners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!listener)
		return;
	listener->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(listener->comm, sizeof(listener->comm));
}

/* Runs before the queue is thrown away: nobody will accept what waits in it. */
static __always_inline void listener_ends(struct sock *sk)
{
	struct listener *listener = bpf_sk_storage_get(&listeners, sk, 0, 0);
	struct forerun_counters *sums;

	if (!listener)
		return;
	sums = counters_of(&listener->ref);
	if (sums && sk->sk_ack_backlog)
		ADD(sums->not_accepted, sk->sk_ack_backlog);
	listener->ref.generation = 0;
}

static __always_inline void streams_end(struct sock *sk, struct forerun_counters *sums)
{
	struct http2 *http2 = bpf_sk_storage_get(&http2s, sk, 0, 0);

	if (http2 && http2->open)
		ADD(sums->unanswered, http2->open);
}

static __always_inline void connection_ends(struct sock *sk)
{
	struct connection *connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	struct forerun_counters *sums;

	if (!connection || connection->role != ROLE_CONNECTION)
		return;
	connection->role = ROLE_IGNORED;
	ADD(health.connections, -1);
	sums = counters_of(&connection->ref);
	if (!sums)
		return;
	ADD(sums->closed, 1);
	ADD(sums->open, -1);
	if (connection->protocol == PROTOCOL_HTTP2) {
		streams_end(sk, sums);
		return;
	}
	if (connection->deferred)
		ADD(sums->requests, 1);
	if (connection->turn == TURN_CLIENT)
		ADD(sums->unanswered, 1);
}

/*
 * A tracepoint and not BPF_SOCK_OPS_STATE_CB, because that one has to be asked for on each socket
 * from a sockops program, which connections that are older than the agent never pass. It runs on
 * state changes, not on packets.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(forerun_state, struct sock *sk, int from, int to)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (to == TCP_LISTEN)
		listener_begins(sk);
	else if (from == TCP_LISTEN)
		listener_ends(sk);
	else if (to == TCP_CLOSE)
		connection_ends(sk);
	return 0;
}

/* accept(2) with room for an address asks for the peer's name: the moment at which the connection
 * left the queue. One that was answered already was accepted without, and getpeername(2) asks. */
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
	if (sums && connection->turn != TURN_SERVER) {
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

static __always_inline bool tcp_row(struct sock *sk, struct forerun_row *row)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (!tp)
		return false;
	row->depth = sk->sk_ack_backlog;
	row->limit = sk->sk_max_ack_backlog;
	row->syn_queue = tp->inet_conn.icsk_accept_queue.qlen.counter;
	row->syn_queue_young = tp->inet_conn.icsk_accept_queue.young.counter;
	row->drops = sk->sk_drops.counter;
	return true;
}

SEC("iter/bpf_sk_storage_map")
int forerun_rows(struct bpf_iter__bpf_sk_storage_map *context)
{
	struct sock *sk = context->sk;
	struct listener *listener = context->value;
	struct forerun_row row = {};

	if (!sk || !listener || sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	if (sk->__sk_common.skc_family == AF_UNIX)
		unix_row(sk, listener, &row);
	else if (!tcp_row(sk, &row))
		return 0;
	row.cgroup_id = sk->sk_cgrp_data.cgroup->kn->id;
	row.slot = listener->ref.slot;
	row.generation = listener->ref.generation;
	row.number = listener->number;
	row.pid = listener->pid;
	__builtin_memcpy(row.comm, listener->comm, sizeof(row.comm));
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

/* A child that its listener could not count, because the listener had lost its slot, is adopted
 * too. */
static __always_inline void adopt(struct sock *sk)
{
	struct connection *connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	struct forerun_slot_ref *ref;
	struct forerun_counters *sums;
	struct forerun_key key;

	if (connection && connection->role != ROLE_LISTENER)
		return;
	key_of(sk, &key);
	ref = listener_of(&key);
	if (!ref)
		return;
	connection = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!connection) {
		ADD(health.connections_refused, 1);
		return;
	}
	connection->ref = *ref;
	connection->joined = 1;
	sums = counters_of(&connection->ref);
	if (sums)
		connection_begins(connection, sums, bpf_ktime_get_ns());
}

/* NULL: no listener, or there is no room. */
static __always_inline struct listener *mark_tcp(struct sock *sk)
{
	struct forerun_key key;

	if (sk->sk_protocol != IPPROTO_TCP ||
	    (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return NULL;
	if (adopt_connections) {
		if (sk->__sk_common.skc_state == TCP_ESTABLISHED ||
		    sk->__sk_common.skc_state == TCP_CLOSE_WAIT)
			adopt(sk);
		return NULL;
	}
	if (sk->__sk_common.skc_state != TCP_LISTEN)
		return NULL;
	key_of(sk, &key);
	return MARK_LISTENER(sk, &key, sk->sk_ack_backlog);
}

SEC("iter/task_file")
int forerun_files(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct forerun_holder holder = {};
	struct listener *listener;
	struct socket *socket;
	struct sock *sk;

	if (!file || !task)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	if (sk->__sk_common.skc_family == AF_UNIX)
		listener = mark_unix(sk, file);
	else
		listener = mark_tcp(sk);
	if (!listener)
		return 0;
	holder.slot = listener->ref.slot;
	holder.generation = listener->ref.generation;
	holder.pid = task->tgid;
	__builtin_memcpy(holder.comm, task->comm, sizeof(holder.comm));
	bpf_seq_write(context->meta->seq, &holder, sizeof(holder));
	return 0;
}
