/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection between agents and cores: TLS 1.3, one long-lived connection for each pair. Part
 * of the wire room's door (wire/wire.h). docs/wire.md has it byte by byte.
 */
#ifndef FORERUN_WIRE_SESSION_H
#define FORERUN_WIRE_SESSION_H

#include "base/loop.h"
#include "wire/wire.h"

#define WIRE_PORT 9911
#define WIRE_REASON_SIZE 160

/* Who may speak: mutual TLS, or a shared key for small sites. Exactly one of the two. */
struct wire_auth {
	const char *ca_file, *certificate_file, *key_file; /* PEM */
	const char *shared_key_file; /* one line: 64 hex digits (32 bytes), made by core init */
};

/* What a core reads of an indicator: a bit (1 << enum statistic) for each statistic of each metric.
 * What nobody reads is not sent. */
struct wire_interest {
	uint16_t statistics[METRIC_COUNT];
	/* Connections waiting in one listener of which the core wants to hear at once; 0: it does
	 * not say. */
	uint32_t edge_depth;
};

/* ---- the agent's side ---- */

struct wire_agent;

struct wire_agent_config {
	struct wire_auth auth;
	const char *address; /* of one core: "HOST:PORT"; without a port WIRE_PORT */
	const char *host; /* who we say we are: the certificate must say the same */
	const char *instance_id, *identity_document, *identity_pkcs7; /* "" where there is none */
	/* Uses the keys of that agent instead of reading auth: for many agents in one process.
	 * NULL: its own. */
	const struct wire_agent *keys_of;
	uint64_t full_every_ns; /* a full state at least so often: default 30 s */
	uint64_t backoff_first_ns, backoff_most_ns; /* full jitter: defaults 500 ms, 30 s */
};
struct wire_agent_events {
	void *arg;
	void (*connected)(void *arg); /* the core said welcome; send a full frame */
	void (*lost)(void *arg, const char *reason); /* in words, with what to do */
	void (*interest)(void *arg, const struct wire_interest *interest); /* at each change */
	void (*poll)(void *arg); /* the core asks for the newest state now */
};

/* Connects in the next round of the loop, and again whenever the connection is lost. -EINVAL and
 * the like: the reason says what is wrong with the address, the host or the keys. No agent may be
 * freed from inside its events. */
int wire_agent_new(struct loop *loop, const struct wire_agent_config *config,
		   const struct wire_agent_events *events, struct wire_agent **out,
		   char reason[WIRE_REASON_SIZE]);
void wire_agent_free(struct wire_agent *agent);
/* Sends the frame, as the difference to what this core has. An edge is written at once. While the
 * connection cannot take more, only the newest state is kept; while it is down, none: connected()
 * asks for it. What is sent next counts as an edge if one could not be sent before it. */
void wire_agent_send(struct wire_agent *agent, const struct frame *frame);
/* Reads keys and certificates anew; -errno and the old ones stay when they are no good. */
int wire_agent_reload(struct wire_agent *agent, char reason[WIRE_REASON_SIZE]);

struct wire_agent_status {
	bool connected;
	char address[96], reason[WIRE_REASON_SIZE]; /* why not connected */
	uint64_t connected_ns; /* since when */
	uint64_t frames, edges, full, bytes, connects, replaced; /* replaced: states that a newer
								    one took the place of */
};
void wire_agent_status(const struct wire_agent *agent, struct wire_agent_status *out);

/* ---- the core's side ---- */

struct wire_hello {
	const char *host; /* as the certificate says, or as claimed under a shared key */
	const char *instance_id, *identity_document, *identity_pkcs7;
	const char *version; /* of forerun */
	const char *address; /* of the peer */
};

struct wire_server_config {
	struct wire_auth auth;
	const char *listen; /* ":9911" */
	uint32_t connections_max; /* default 20,000 */
	uint32_t frames_per_second_max; /* of one agent, sustained; bursts of ten times as many:
					   default 50 */
	uint64_t hello_within_ns; /* handshake and hello: default 10 s */
	uint64_t silent_after_ns; /* a connection that says nothing for so long ends: 15 s */
	uint64_t memory_max; /* of what is kept of all agents, in bytes, without TLS: default 1 GiB
			      */
	struct wire_interest interest;
};
/* No server may be freed from inside its events. */
struct wire_server_events {
	void *arg;
	/* The whole state of that host, also when only a difference came; valid during the call. */
	void (*frame)(void *arg, const struct frame *frame);
	/* Whether that host may report; a negative return ends the connection with the reason. */
	int (*admit)(void *arg, const struct wire_hello *hello, char reason[WIRE_REASON_SIZE]);
	void (*joined)(void *arg, const struct wire_hello *hello);
	void (*left)(void *arg, const char *host, const char *reason);
};
struct wire_server;

/* -EADDRINUSE and the like come back as they are; reason says what is wrong with keys. */
int wire_server_new(struct loop *loop, const struct wire_server_config *config,
		    const struct wire_server_events *events, struct wire_server **out,
		    char reason[WIRE_REASON_SIZE]);
void wire_server_free(struct wire_server *server); /* says goodbye to all */
uint16_t wire_server_port(const struct wire_server *server);
void wire_server_poll(struct wire_server *server); /* every agent sends its newest state now */
void wire_server_interest(struct wire_server *server, const struct wire_interest *interest);
int wire_server_reload(struct wire_server *server, char reason[WIRE_REASON_SIZE]);

struct wire_server_status {
	uint32_t connections;
	uint64_t accepted, admitted, refused, ended, frames, edges, bytes, handshakes_failed;
	uint64_t memory_bytes; /* of all connections' states, without TLS */
};
void wire_server_status(const struct wire_server *server, struct wire_server_status *out);

#endif
