/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a connection speaks, from its first bytes, and what its payload means then. HTTP/1 and
 * whatever is not known are counted by whose turn it is, HTTP/2 by its frames, TLS by turns of its
 * application data. Nothing is parsed on a connection that is counted by turns.
 */
#ifndef FORERUN_BPF_PROTOCOL_H
#define FORERUN_BPF_PROTOCOL_H

#include "bpf/requests.h"

#define FIRST_BYTES 8
#define PROXY_V1_MAX 107 /* bytes, as its specification says */
#define PROXY_V2_HEAD 16

#define BYTES(a, b, c, d, e, f, g, h)                                                  \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | \
	 (u64)(f) << 40 | (u64)(g) << 48 | (u64)(h) << 56)

/* Branches would multiply in the verifier: which patterns the bytes have, and may yet have, is
 * reckoned instead. */
struct matches {
	u64 first, known; /* known: a mask of the bytes that there are */
	u32 have;
	u32 so, perhaps; /* 0 or 1 */
};

static __always_inline void match(struct matches *m, u64 pattern, u32 length)
{
	u64 difference = (m->first ^ pattern) & m->known & (~0ULL >> (64 - 8 * length));
	u64 differs = difference | -difference; /* in its highest bit */
	u64 lacks = (u64)m->have - length; /* likewise */
	u32 same, whole;

	HIDDEN(differs);
	HIDDEN(lacks);
	same = 1 ^ (u32)(differs >> 63);
	whole = 1 ^ (u32)(lacks >> 63);
	HIDDEN(same);
	HIDDEN(whole);
	m->so |= same & whole;
	m->perhaps |= same;
}

static __always_inline void match_http1(struct matches *m)
{
	match(m, BYTES('G', 'E', 'T', ' ', 0, 0, 0, 0), 4);
	match(m, BYTES('P', 'U', 'T', ' ', 0, 0, 0, 0), 4);
	match(m, BYTES('P', 'O', 'S', 'T', ' ', 0, 0, 0), 5);
	match(m, BYTES('H', 'E', 'A', 'D', ' ', 0, 0, 0), 5);
	match(m, BYTES('P', 'A', 'T', 'C', 'H', ' ', 0, 0), 6);
	match(m, BYTES('T', 'R', 'A', 'C', 'E', ' ', 0, 0), 6);
	match(m, BYTES('D', 'E', 'L', 'E', 'T', 'E', ' ', 0), 7);
	match(m, BYTES('O', 'P', 'T', 'I', 'O', 'N', 'S', ' '), 8);
	match(m, BYTES('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '), 8);
	match(m, BYTES('P', 'R', 'O', 'P', 'F', 'I', 'N', 'D'), 8);
}

/*
 * The enum protocol that these bytes (1 to 8, the rest 0) begin, PROTOCOL_UNKNOWN while more could
 * tell. joined: they are not the connection's first. A global function: the verifier looks at it
 * once and alone, not once for each way that leads here.
 */
GLOBAL u32 forerun_classify(u64 first, u32 have, u32 joined)
{
	struct matches http1 = {.first = first, .have = have}, http2, proxy;
	u32 type = first & 0xff;
	u32 tls = type == TLS_HANDSHAKE || (joined && type >= 20 && type <= TLS_APPLICATION);

	if (have < 1 || have > FIRST_BYTES)
		return PROTOCOL_OTHER;
	if (tls && have < 2)
		return PROTOCOL_UNKNOWN;
	if (tls && (first >> 8 & 0xff) == 3)
		return PROTOCOL_TLS;
	http1.known = ~0ULL >> (64 - 8 * have);
	http2 = proxy = http1;
	match_http1(&http1);
	match(&http2, BYTES('P', 'R', 'I', ' ', '*', ' ', 'H', 'T'), 8);
	match(&proxy, BYTES('P', 'R', 'O', 'X', 'Y', ' ', 0, 0), 6);
	match(&proxy, BYTES('\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q'), 8);
	if (http2.so)
		return PROTOCOL_HTTP2;
	if (proxy.so)
		return PROTOCOL_PROXY;
	if (http1.so)
		return PROTOCOL_HTTP1;
	return http1.perhaps | http2.perhaps | proxy.perhaps ? PROTOCOL_UNKNOWN : PROTOCOL_OTHER;
}

static __always_inline void speaks(struct connection *connection, struct forerun_counters *sums,
				   u32 protocol)
{
	u32 index = protocol - PROTOCOL_HTTP1;

	connection->protocol = protocol;
	/* The verifier must see the bound on the very register that is the index. */
	HIDDEN(index);
	if (index < FORERUN_PROTOCOLS)
		ADD(sums->protocols[index], 1);
}

/* The client's first bytes, however they are cut. False: more are needed. */
static __always_inline bool take_first(struct __sk_buff *skb, struct connection *connection,
				       const struct span *span, u64 *first)
{
	u32 have = connection->first_have, more = span->end - span->at;

	if (have >= FIRST_BYTES)
		return false;
	if (more > FIRST_BYTES - have)
		more = FIRST_BYTES - have;
	if (!load_some(skb, span->at, connection->first + have, more, FIRST_BYTES))
		return false;
	connection->first_have = have + more;
	__builtin_memcpy(first, connection->first, sizeof(*first));
	if (have + more < FIRST_BYTES)
		*first &= (1ULL << (8 * (have + more))) - 1;
	return true;
}

/* ---- the PROXY protocol, in front of another ---- */

struct proxy_walk {
	struct __sk_buff *skb;
	struct span span;
	u32 ended;
	u32 left; /* bytes that the header may still have */
};

static long proxy1_step(u32 index, void *context)
{
	struct proxy_walk *walk = context;
	u8 byte;

	(void)index;
	if (!walk->left || walk->span.at >= walk->span.end ||
	    PAYLOAD_LOAD(walk->skb, walk->span.at, &byte, sizeof(byte)))
		return 1;
	walk->span.at++;
	walk->left--;
	walk->ended = byte == '\n';
	return walk->ended;
}

enum proxy { PROXY_GOES_ON, PROXY_ENDS, PROXY_IS_NONE };

static __always_inline enum proxy proxy1_passed(struct __sk_buff *skb, struct half *half,
						struct span *span)
{
	struct proxy_walk walk = {.skb = skb, .span = *span, .left = half->left};

	bpf_loop(PROXY_V1_MAX + 1, proxy1_step, &walk, 0);
	*span = walk.span;
	half->left = walk.left;
	return walk.ended ? PROXY_ENDS : walk.left ? PROXY_GOES_ON : PROXY_IS_NONE;
}

static __always_inline enum proxy proxy2_passed(struct __sk_buff *skb, struct half *half,
						struct span *span)
{
	if (!half->left) {
		if (record_next(skb, half, span, PROXY_V2_HEAD) != 1)
			return PROXY_GOES_ON;
		half->left = (u32)half->head[14] << 8 | half->head[15];
	}
	if (half->left)
		record_next(skb, half, span, PROXY_V2_HEAD);
	return half->left ? PROXY_GOES_ON : PROXY_ENDS;
}

/* ---- the client ---- */

/* Counted by turns, and the client's goes on. */
static __always_inline bool client_goes_on(const struct connection *connection)
{
	return connection->turn == TURN_CLIENT && !connection->fresh &&
	       (connection->protocol == PROTOCOL_HTTP1 || connection->protocol == PROTOCOL_OTHER ||
		(connection->protocol == PROTOCOL_TLS && connection->tls >= TLS13_OPEN));
}

static __always_inline void records_from(struct connection *connection, u32 before)
{
	__builtin_memset(&connection->records, 0, sizeof(connection->records));
	__builtin_memcpy(connection->records.head, connection->first, FIRST_BYTES);
	connection->records.have = before;
}

static __always_inline struct http2 *http2_of(struct bpf_sock *sk)
{
	return bpf_sk_storage_get(&http2s, sk, 0, 0);
}

/*
 * The client goes on after what may have been a response or a ticket. It is the same request where
 * the client had not received that yet, where it was more than one record of the same length and
 * nothing else, or where a record goes on or is a full one.
 */
static __always_inline void behind_ticket(struct __sk_buff *skb, struct connection *connection,
					  struct forerun_counters *sums, struct span span)
{
	if (connection->tickets > 1 || (int)(connection->heard - connection->said) < 0 ||
	    tls_is_in_the_middle(skb, span))
		request_goes_on(connection, sums);
	else
		connection->fresh = 0;
}

static __always_inline void tls_from_client(struct __sk_buff *skb, struct connection *connection,
					    struct forerun_counters *sums, struct span span,
					    bool gap)
{
	u8 before = connection->tls;
	bool asks;

	if (connection->fresh && connection->turn == TURN_SERVER)
		behind_ticket(skb, connection, sums, span);

	if (gap) { /* nobody knows where a record starts; once it is open, it asks */
		connection->records.left = connection->records.have = 0;
		asks = connection->tls >= TLS13_OPEN;
		if (!asks)
			connection->tls = TLS13_FLIGHT;
	} else {
		asks = tls_client_payload(skb, &connection->records, &connection->tls, span);
	}
	if (connection->tls == TLS13_OPEN && before != TLS13_OPEN)
		connection->fresh = connection->turn == TURN_UNKNOWN;
	if (connection->tls == TLS13_OPEN || connection->tls == TLS12_OPEN)
		connection->watched = connection->fresh;
	if (!asks || connection->turn == TURN_CLIENT)
		return;
	if (connection->tickets > 1) /* all that servers send came before the request */
		connection->fresh = connection->watched = 0;
	/* What follows up to the answer is not looked at; the next turn starts with a record. */
	if (!connection->fresh)
		connection->records.left = connection->records.have = 0;
	request_begins(connection, sums);
}

/* before: how many of the first bytes came in earlier segments. */
static __always_inline void begin_tls(struct connection *connection, u32 before)
{
	records_from(connection, before);
	connection->tls = connection->joined ? TLS13_OPEN : TLS_HELLO;
	connection->watched = !connection->joined;
}

static __always_inline void begin_proxy(struct connection *connection, u32 before)
{
	records_from(connection, before);
	if (connection->first[0] == 'P') {
		connection->records.have = 0;
		connection->records.left = PROXY_V1_MAX - before;
	}
}

static __always_inline bool begin_http2(struct bpf_sock *sk, struct connection *connection,
					u32 before)
{
	struct http2 *http2 = bpf_sk_storage_get(&http2s, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!http2)
		return false;
	http2->halves[0].left = H2_PREFACE - before;
	connection->watched = 1;
	return true;
}

/* Says what it is, once the first bytes tell; true when there is payload of it in span. */
static __always_inline bool begins(struct __sk_buff *skb, struct bpf_sock *sk,
				   struct connection *connection, struct forerun_counters *sums,
				   struct span *span)
{
	u32 before = connection->first_have, protocol;
	u64 first;

	if (!take_first(skb, connection, span, &first))
		return false;
	protocol = forerun_classify(first, connection->first_have, connection->joined);
	if (protocol == PROTOCOL_UNKNOWN || before >= FIRST_BYTES)
		return false;
	if (protocol == PROTOCOL_PROXY && connection->proxied) /* there is only one */
		protocol = PROTOCOL_OTHER;
	if (protocol == PROTOCOL_HTTP2 && !begin_http2(sk, connection, before))
		protocol = PROTOCOL_OTHER;
	if (protocol == PROTOCOL_TLS)
		begin_tls(connection, before);
	if (protocol == PROTOCOL_PROXY)
		begin_proxy(connection, before);
	if (connection->joined && protocol == PROTOCOL_OTHER)
		ADD(sums->lower_bounds, 1);
	speaks(connection, sums, protocol);
	return true;
}

/* The header in front is over: what follows are a connection's first bytes. */
static __always_inline void proxy_ends(struct connection *connection)
{
	connection->protocol = PROTOCOL_UNKNOWN;
	connection->proxied = 1;
	connection->first_have = 0;
}

static OWN_FRAME int begin_connection(struct __sk_buff *skb, struct connection *connection,
				      struct forerun_counters *sums, struct span *span)
{
	struct bpf_sock *sk = skb->sk;
	enum proxy passed;

	if (!sk)
		return 0;
	if (connection->protocol == PROTOCOL_UNKNOWN && !begins(skb, sk, connection, sums, span))
		return 0;
	if (connection->protocol != PROTOCOL_PROXY)
		return 1;
	passed = connection->first[0] == 'P' ? proxy1_passed(skb, &connection->records, span)
					     : proxy2_passed(skb, &connection->records, span);
	if (passed == PROXY_GOES_ON)
		return 0;
	if (passed == PROXY_IS_NONE) {
		speaks(connection, sums, PROTOCOL_OTHER);
		return 1;
	}
	proxy_ends(connection);
	return span->at < span->end && begins(skb, sk, connection, sums, span);
}

/* A segment is missing in front of this one: frames cannot be told any more. */
static __always_inline void http2_from_client(struct __sk_buff *skb, struct bpf_sock *sk,
					      struct forerun_counters *sums, struct span span,
					      bool gap)
{
	struct http2 *http2 = http2_of(sk);

	if (http2 && gap)
		h2_lose(http2, sums);
	else if (http2)
		h2_payload(skb, http2, sums, span, 0);
}

/* The new part of a client's segment. */
static __always_inline void client_payload(struct __sk_buff *skb, struct bpf_sock *sk,
					   struct connection *connection,
					   struct forerun_counters *sums, struct span span,
					   bool gap)
{
	if (connection->protocol == PROTOCOL_UNKNOWN || connection->protocol == PROTOCOL_PROXY) {
		/* One whose first bytes no hook showed is told by the server's answer. */
		if (connection->turn == TURN_CLIENT ||
		    !begin_connection(skb, connection, sums, &span))
			return;
	}
	if (connection->protocol == PROTOCOL_HTTP2)
		http2_from_client(skb, sk, sums, span, gap);
	else if (connection->protocol == PROTOCOL_TLS)
		tls_from_client(skb, connection, sums, span, gap);
	else if (connection->protocol != PROTOCOL_UPGRADED && connection->turn != TURN_CLIENT)
		request_begins(connection, sums);
}

/* ---- the server ---- */

static __always_inline bool server_matters(const struct connection *connection)
{
	return connection->turn == TURN_CLIENT || connection->watched;
}

/*
 * The server's first payload behind the handshake may be tickets: they are no response while a
 * record of the client is under way. Where none is, they count as one, and what the client sends
 * then tells.
 */
static __always_inline void fresh_from_server(struct __sk_buff *skb, struct connection *connection,
					      struct forerun_counters *sums, struct span span)
{
	u16 length = connection->ticket;
	u32 found = tls_tickets(skb, span, &length);

	if (!found) {
		connection->fresh = 0;
		connection->watched = 0;
		if (connection->turn == TURN_CLIENT && tls_is_response(skb, span, TLS13_OPEN))
			response_begins(connection, sums);
		return;
	}
	connection->ticket = length;
	connection->tickets = found > 1 || connection->tickets ? 2 : 1;
	if (connection->turn == TURN_CLIENT && !connection->records.left &&
	    !connection->records.have)
		response_begins(connection, sums);
}

static __always_inline void tls_from_server(struct __sk_buff *skb, struct connection *connection,
					    struct forerun_counters *sums, struct span span)
{
	bool alpn_h2;

	if (connection->tls == TLS_HELLO) {
		connection->tls = tls_server_hello(skb, span, &alpn_h2);
		if (alpn_h2)
			ADD(sums->lower_bounds, 1);
		connection->watched = connection->tls != TLS12_OPEN;
		return;
	}
	if (connection->fresh) {
		fresh_from_server(skb, connection, sums, span);
		return;
	}
	/* It goes on speaking: the client's last flight is over, whatever its records were. */
	if (connection->tls == TLS13_FLIGHT) {
		connection->tls = TLS13_OPEN;
		connection->watched = 0;
	}
	if (connection->turn == TURN_CLIENT && tls_is_response(skb, span, connection->tls))
		response_begins(connection, sums);
}

static __always_inline void http1_from_server(struct __sk_buff *skb, struct connection *connection,
					      struct forerun_counters *sums, struct span span)
{
	u32 status = special_status(skb, &span);

	if (status == 100)
		return;
	response_begins(connection, sums);
	if (status == 101)
		speaks(connection, sums, PROTOCOL_UPGRADED);
}

/* A request that came with the handshake, of which no hook showed the bytes: the answer says what
 * it was. */
static __always_inline void deferred_from_server(struct __sk_buff *skb,
						 struct connection *connection,
						 struct forerun_counters *sums, struct span span)
{
	u8 start[4] = {};
	bool alpn_h2;

	PAYLOAD_LOAD(skb, span.at, start, sizeof(start));
	if (start[0] >= 20 && start[0] <= TLS_APPLICATION && start[1] == 3) {
		connection->turn = TURN_UNKNOWN;
		connection->tls = tls_server_hello(skb, span, &alpn_h2);
		if (alpn_h2)
			ADD(sums->lower_bounds, 1);
		connection->watched = connection->tls != TLS12_OPEN;
		speaks(connection, sums, PROTOCOL_TLS);
		if (!connection->deferred)
			ADD(sums->unanswered, 1);
		connection->deferred = 0;
		return;
	}
	if (connection->deferred)
		ADD(sums->requests, 1);
	if (!start[0] && !start[1] && start[3] == 4) /* SETTINGS of HTTP/2 */
		ADD(sums->lower_bounds, 1);
	connection->deferred = 0;
	response_begins(connection, sums);
	speaks(connection, sums,
	       start[0] == 'H' && start[1] == 'T' && start[2] == 'T' && start[3] == 'P'
		       ? PROTOCOL_HTTP1
		       : PROTOCOL_OTHER);
}

static __always_inline void server_payload(struct __sk_buff *skb, struct bpf_sock *sk,
					   struct connection *connection,
					   struct forerun_counters *sums, struct span span)
{
	struct http2 *http2;

	switch (connection->protocol) {
	case PROTOCOL_HTTP2:
		http2 = http2_of(sk);
		if (http2)
			h2_payload(skb, http2, sums, span, 1);
		break;
	case PROTOCOL_TLS:
		tls_from_server(skb, connection, sums, span);
		break;
	case PROTOCOL_HTTP1:
		http1_from_server(skb, connection, sums, span);
		break;
	case PROTOCOL_UNKNOWN:
		deferred_from_server(skb, connection, sums, span);
		break;
	default:
		response_begins(connection, sums);
	}
}

#endif
