/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) from outside, without keys: which records are a handshake
 * or an alert, and which are the application's. From TLS 1.3 on the end of the handshake and alerts
 * are dressed up as application data; their place and their lengths, which are fixed, give them
 * away.
 */
#ifndef FORERUN_BPF_TLS_H
#define FORERUN_BPF_TLS_H

#include "bpf/records.h"

#define TLS_RECORD_HEAD 5
#define TLS_RECORDS_MAX 256 /* in one segment */
#define TLS_ALERT 21
#define TLS_HANDSHAKE 22
#define TLS_APPLICATION 23
#define TLS_CLIENT_HELLO 1
#define TLS_SERVER_HELLO 2
#define TLS_EXTENSION_ALPN 16
#define TLS_EXTENSION_VERSIONS 43
#define TLS_EXTENSIONS_MAX 16

/* Ciphertext of TLS 1.3: message, one byte of type, 16 of tag (RFC 8446, 5.2). */
#define TLS13_OVERHEAD 17
#define TLS13_ALERT (2 + TLS13_OVERHEAD)
#define TLS13_KEY_UPDATE (5 + TLS13_OVERHEAD)
/* NewSessionTicket: header, lifetime, age_add, nonce, ticket, extensions (RFC 8446, 4.6.1). */
#define TLS13_TICKET_LEAST (4 + 4 + 4 + 1 + 3 + 2 + TLS13_OVERHEAD)
#define TLS13_TICKETS_MAX 8 /* in one segment */
#define TLS_FULL_RECORD 16384 /* a record that long is not the last of what is written */
#define TLS13_FINISHED_SHA256 (4 + 32 + TLS13_OVERHEAD)
#define TLS13_FINISHED_SHA384 (4 + 48 + TLS13_OVERHEAD)

enum tls_state {
	TLS_HELLO, /* the server has not answered yet: what the client sends is early data */
	TLS13_HANDSHAKE, /* the client's Finished is to come */
	TLS13_FLIGHT, /* ... and something of it came */
	TLS13_OPEN,
	TLS12_OPEN, /* here the record's type tells everything */
};

struct tls_walk {
	struct __sk_buff *skb;
	struct half *half;
	struct span span;
	u32 state;
	u32 application; /* records of the application were found */
};

static __always_inline bool tls13_is_control(u32 length)
{
	return length == TLS13_ALERT || length == TLS13_KEY_UPDATE;
}

/* One record of the client: whether it is the application's. */
static __always_inline bool tls_client_record(struct tls_walk *walk, u8 type, u32 length)
{
	if (type != TLS_APPLICATION)
		return false;
	if (walk->state == TLS13_HANDSHAKE || walk->state == TLS13_FLIGHT) {
		walk->state = length == TLS13_FINISHED_SHA256 || length == TLS13_FINISHED_SHA384
				      ? TLS13_OPEN
				      : TLS13_FLIGHT;
		return false;
	}
	return walk->state != TLS13_OPEN || !tls13_is_control(length);
}

/* Handshake messages in the open after the ServerHello, other than a second ClientHello, are of TLS
 * 1.2: so it is known as well where the ServerHello was cut. */
static __always_inline void tls12_tells(struct tls_walk *walk, u8 type)
{
	u8 message;

	if (type != TLS_HANDSHAKE || walk->state != TLS13_HANDSHAKE ||
	    walk->span.at >= walk->span.end ||
	    PAYLOAD_LOAD(walk->skb, walk->span.at, &message, sizeof(message)))
		return;
	if (message != TLS_CLIENT_HELLO)
		walk->state = TLS12_OPEN;
}

static long tls_step(u32 index, void *context)
{
	struct tls_walk *walk = context;
	struct half *half = walk->half;
	int r = record_next(walk->skb, half, &walk->span, TLS_RECORD_HEAD);

	(void)index;
	if (r < 0)
		return 1;
	if (r == 0)
		return 0;
	if (half->head[1] != 3 || half->head[0] < 20 || half->head[0] > TLS_APPLICATION + 1) {
		walk->span.at = walk->span.end; /* in the middle of a record: the next turn tells */
		return 1;
	}
	half->left = (u32)half->head[3] << 8 | half->head[4];
	tls12_tells(walk, half->head[0]);
	walk->application |= tls_client_record(walk, half->head[0], half->left);
	return 0;
}

/* The client's payload outside of a request: whether one begins in it. */
static __always_inline bool tls_client_payload(struct __sk_buff *skb, struct half *half, u8 *state,
					       struct span span)
{
	struct tls_walk walk = {.skb = skb, .half = half, .span = span, .state = *state};

	bpf_loop(2 * TLS_RECORDS_MAX, tls_step, &walk, 0);
	*state = walk.state;
	return walk.application;
}

struct tls_extensions {
	struct __sk_buff *skb;
	u32 at, end;
	u32 is_13;
	u32 alpn_h2;
};

static long tls_extension(u32 index, void *context)
{
	struct tls_extensions *walk = context;
	u8 head[4], value[5] = {};

	(void)index;
	if (walk->at + sizeof(head) > walk->end ||
	    PAYLOAD_LOAD(walk->skb, walk->at, head, sizeof(head)))
		return 1;
	if (head[0] == 0 && head[1] == TLS_EXTENSION_VERSIONS &&
	    !PAYLOAD_LOAD(walk->skb, walk->at + 4, value, 2))
		walk->is_13 = value[0] == 3 && value[1] == 4;
	if (head[0] == 0 && head[1] == TLS_EXTENSION_ALPN &&
	    !PAYLOAD_LOAD(walk->skb, walk->at + 4, value, 5))
		walk->alpn_h2 = value[2] == 2 && value[3] == 'h' && value[4] == '2';
	walk->at += sizeof(head) + ((u32)head[2] << 8 | head[3]);
	return 0;
}

/* The server's first payload: its ServerHello says the version, and up to TLS 1.2 the protocol
 * inside. Returns the state that follows; one that cannot be read is taken for TLS 1.3, which needs
 * the more care. */
static __always_inline u8 tls_server_hello(struct __sk_buff *skb, struct span span, bool *alpn_h2)
{
	struct tls_extensions walk = {.skb = skb, .end = span.end};
	u8 fixed[6], session, sizes[5];
	u32 at = span.at;

	*alpn_h2 = false;
	if (PAYLOAD_LOAD(skb, at, fixed, sizeof(fixed)))
		return TLS13_HANDSHAKE;
	if (fixed[0] != TLS_HANDSHAKE || fixed[5] != TLS_SERVER_HELLO)
		return TLS12_OPEN; /* an alert: it ends here */
	at += TLS_RECORD_HEAD + 4 + 2 + 32; /* header of the message, version, random */
	if (PAYLOAD_LOAD(skb, at, &session, sizeof(session)))
		return TLS13_HANDSHAKE;
	at += sizeof(session) + session;
	if (PAYLOAD_LOAD(skb, at, sizes, sizeof(sizes)))
		return TLS13_HANDSHAKE; /* cut, or without extensions: the client's answer tells */
	walk.at = at + sizeof(sizes); /* behind cipher, compression and their length */
	bpf_loop(TLS_EXTENSIONS_MAX, tls_extension, &walk, 0);
	*alpn_h2 = walk.alpn_h2;
	return walk.is_13 ? TLS13_HANDSHAKE : TLS12_OPEN;
}

struct tls_tickets {
	struct __sk_buff *skb;
	struct span span;
	u32 length; /* that each has, 0: any */
	u32 count;
};

static long tls_ticket(u32 index, void *context)
{
	struct tls_tickets *walk = context;
	u8 head[TLS_RECORD_HEAD];
	u32 length;

	(void)index;
	if (walk->span.at >= walk->span.end)
		return 1;
	if (PAYLOAD_LOAD(walk->skb, walk->span.at, head, sizeof(head)))
		return 1;
	length = (u32)head[3] << 8 | head[4];
	if (head[0] != TLS_APPLICATION || head[1] != 3 || length < TLS13_TICKET_LEAST ||
	    (walk->length && walk->length != length))
		return 1;
	walk->length = length;
	walk->span.at += sizeof(head) + length;
	walk->count++;
	return 0;
}

/* The server's payload right behind the handshake: how many records it is if they may all be
 * tickets, which are equally long; 0: something else is among them. */
static __always_inline u32 tls_tickets(struct __sk_buff *skb, struct span span, u16 *length)
{
	struct tls_tickets walk = {.skb = skb, .span = span, .length = *length};

	bpf_loop(TLS13_TICKETS_MAX, tls_ticket, &walk, 0);
	if (walk.span.at != walk.span.end)
		return 0;
	*length = walk.length;
	return walk.count;
}

/* The client's payload behind a segment that may have been a ticket: whether its bytes are no start
 * of a request. */
static __always_inline bool tls_is_in_the_middle(struct __sk_buff *skb, struct span span)
{
	u8 head[TLS_RECORD_HEAD];

	if (PAYLOAD_LOAD(skb, span.at, head, sizeof(head)))
		return false;
	return head[0] < 20 || head[0] > TLS_APPLICATION || head[1] != 3 ||
	       ((u32)head[3] << 8 | head[4]) >= TLS_FULL_RECORD;
}

/* The server's payload while a request waits: whether it is the response. */
static __always_inline bool tls_is_response(struct __sk_buff *skb, struct span span, u8 state)
{
	u8 head[TLS_RECORD_HEAD];

	if (PAYLOAD_LOAD(skb, span.at, head, sizeof(head)))
		return true;
	if (head[1] != 3 || head[0] == TLS_APPLICATION)
		return !(state == TLS13_OPEN && head[1] == 3 &&
			 ((u32)head[3] << 8 | head[4]) == TLS13_ALERT);
	return false;
}

#endif
