/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is kept of one connection. This header and those that it includes need no kernel: userspace
 * tests and fuzzes the very functions that the kernel runs. Whoever includes it brings the integer
 * types, ADD, PAYLOAD_LOAD(skb, at, to, length) and the helpers.
 */
#ifndef FORERUN_BPF_CONNECTION_H
#define FORERUN_BPF_CONNECTION_H

#include "bpf/forerun.h"
#include "bpf/http2.h"
#include "bpf/tls.h"

enum role { ROLE_LISTENER, ROLE_CONNECTION, ROLE_IGNORED };
enum turn { TURN_UNKNOWN, TURN_CLIENT, TURN_SERVER };

/* PROTOCOL_X - 1 is FORERUN_PROTOCOL_X where it is counted. */
enum protocol {
	PROTOCOL_UNKNOWN,
	PROTOCOL_HTTP1,
	PROTOCOL_HTTP2,
	PROTOCOL_TLS,
	PROTOCOL_OTHER,
	PROTOCOL_UPGRADED,
	PROTOCOL_PROXY, /* a header in front of any of the others */
};

/*
 * On a connection. A listener carries one as well, which the kernel copies to each child that it
 * accepts: so a child knows its listener without any lookup.
 */
struct connection {
	struct forerun_slot_ref ref;
	u64 established_ns; /* 0: older than the programs */
	u64 request_ns;
	u32 received; /* the highest sequence number of payload seen from the client, plus one */
	u8 role;
	u8 turn;
	u8 accepted;
	u8 received_known;
	u32 said, heard; /* sequence numbers: the end of the server's payload when a ticket was last
			    seen, and what the client's newest segment acknowledges */
	u32 runs; /* starts anywhere, so that short connections are timed as often as long ones */
	u32 next_edge; /* of a listener: the depth that makes the next edge; 0: armed */
	u8 protocol;
	u8 watched; /* the server's payload is looked at also while no request waits */
	u8 tls; /* enum tls_state */
	u8 deferred; /* a request that came with the handshake and is not counted yet */
	u8 joined; /* its first bytes passed before the programs were there */
	u8 proxied; /* the PROXY protocol's header has passed */
	u8 first_have;
	u8 fresh; /* TLS 1.3: the server has sent nothing but tickets since the handshake */
	u8 tickets; /* how many records of their length, at most 2 */
	u16 ticket; /* bytes of each, 0: none yet */
	u8 answered; /* what counted as the response was a ticket: the next one does not count */
	u8 first[16]; /* of the client's first bytes; 8 decide, the rest is for the verifier */
	struct half records; /* of the client, while it does not ask: TLS, PROXY protocol */
};

/* A TCP segment as it passes by; offsets are from the start of the packet. */
struct segment {
	u32 payload; /* bytes */
	u32 header; /* where the payload starts */
	u32 sequence;
	u32 acknowledged;
	bool syn, ack, rst;
};

#endif
