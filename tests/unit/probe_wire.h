/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel programs' protocol code in userspace: one connection whose segments a test hands in.
 * The headers of bpf/ are the very ones that the kernel runs; the helpers are these.
 */
#ifndef FORERUN_TESTS_PROBE_WIRE_H
#define FORERUN_TESTS_PROBE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define GLOBAL static
#define OWN_FRAME
#define ADD(counter, value) ((counter) += (value))
#define PAYLOAD_LOAD(skb, at, to, length) wire_load(skb, at, to, length)
#define BPF_SK_STORAGE_GET_F_CREATE 1
#define bpf_sk_storage_get(map, sk, value, flags) wire_storage(sk, flags)
#define bpf_ktime_get_ns() wire_now_ns
#define bpf_loop(count, step, context, flags) wire_loop(count, step, context)

struct http2;
struct bpf_sock {
	struct http2 *http2;
};
struct __sk_buff {
	const u8 *data;
	u32 length;
	struct bpf_sock *sk;
};

static u64 wire_now_ns = 1000000000;

static int wire_load(const struct __sk_buff *skb, u32 at, void *to, u32 length)
{
	if (at > skb->length || length > skb->length - at)
		return -1;
	memcpy(to, skb->data + at, length);
	return 0;
}

static void wire_loop(u32 count, long (*step)(u32 index, void *context), void *context)
{
	for (u32 i = 0; i < count; i++)
		if (step(i, context))
			return;
}

static void *wire_storage(struct bpf_sock *sk, int flags);

#include "bpf/protocol.h"

static void *wire_storage(struct bpf_sock *sk, int flags)
{
	if (!sk->http2 && flags & BPF_SK_STORAGE_GET_F_CREATE)
		sk->http2 = calloc(1, sizeof(*sk->http2));
	return sk->http2;
}

struct wire {
	struct connection connection;
	struct forerun_counters sums;
	struct bpf_sock sk;
	u32 sequence; /* of the client's next byte */
	u32 answer; /* of the server's next byte */
	u32 unheard; /* bytes of the server's that the client does not acknowledge yet */
};

/* Established before our eyes, so that its first byte is known. */
static inline void wire_start(struct wire *wire, bool joined)
{
	memset(wire, 0, sizeof(*wire));
	wire->sequence = wire->answer = 0xfffffff0; /* wraps soon */
	wire->connection.joined = joined;
	wire->connection.received = wire->sequence;
	wire->connection.received_known = !joined;
}

static inline void wire_end(struct wire *wire)
{
	free(wire->sk.http2);
	wire->sk.http2 = NULL;
}

/* As forerun_ingress. Headers of 20 bytes stand in front, so that offsets matter. */
static inline void wire_client_at(struct wire *wire, u32 sequence, const void *payload, u32 length)
{
	u8 *packet = calloc(1, 20 + length);
	struct __sk_buff skb = {packet, 20 + length, &wire->sk};
	struct segment segment = {.payload = length,
				  .header = 20,
				  .sequence = sequence,
				  .acknowledged = wire->answer - wire->unheard};
	struct span span;
	bool gap;

	if (length)
		memcpy(packet + 20, payload, length);
	if (length && new_part(&wire->connection, &segment, &span, &gap) &&
	    !client_goes_on(&wire->connection))
		client_payload(&skb, &wire->sk, &wire->connection, &wire->sums, span, gap);
	free(packet);
}

static inline void wire_client(struct wire *wire, const void *payload, u32 length)
{
	wire_client_at(wire, wire->sequence, payload, length);
	wire->sequence += length;
}

/* As forerun_egress. */
static inline void wire_server(struct wire *wire, const void *payload, u32 length)
{
	u8 *packet = calloc(1, 20 + length);
	struct __sk_buff skb = {packet, 20 + length, &wire->sk};
	struct span span = {20, 20 + length};

	if (length)
		memcpy(packet + 20, payload, length);
	wire->answer += length;
	if (length && server_matters(&wire->connection)) {
		wire->connection.said = wire->answer;
		server_payload(&skb, &wire->sk, &wire->connection, &wire->sums, span);
	}
	free(packet);
}

#endif
