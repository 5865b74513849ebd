/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of a connection: agent.c speaks, agent_new.c makes and ends it. */
#ifndef FORERUN_WIRE_AGENT_PRIVATE_H
#define FORERUN_WIRE_AGENT_PRIVATE_H

#include "base/listen.h"
#include "base/tls.h"
#include "wire/delta.h"
#include "wire/dial.h"

enum agent_phase {
	AGENT_WAITING, /* for the next attempt */
	AGENT_DIALLING,
	AGENT_SHAKING, /* until the core's welcome */
	AGENT_OPEN,
	AGENT_ENDING, /* goodbye was said, by either side */
};

struct wire_agent {
	struct loop *loop;
	struct loop_timer *timer; /* the only one: what it means follows from the phase */
	struct wire_agent_config config; /* texts are its own */
	struct wire_agent_events events;
	char core_host[ADDRESS_HOST_SIZE];
	uint16_t core_port;
	struct tls_context *context;
	enum agent_phase phase;
	struct dial *dial;
	struct tls_stream *stream;
	struct inbox inbox;
	char problem[REASON_SIZE]; /* with what the core said last */
	char bye[WIRE_REASON_SIZE]; /* why it ends, as far as somebody said so */
	uint64_t backoff_ns; /* most of the next wait */
	uint64_t speak_within_ns, silent_after_ns; /* 0: not said */
	uint64_t spoken_ns, heard_ns, full_ns;

	struct owners owners;
	struct layout *layout; /* what this core reads; NULL: not connected */
	struct frame_writer writer;
	bool full_wanted;
	struct text kept; /* the newest frame, while none can be sent, as frame_encode() has it */
	uint64_t kept_ns; /* when it was handed over */
	uint64_t unsent_edge_ns; /* of the first edge since then, 0: none */
	struct wire_agent_status status;
};

/* The first attempt is made in the next round of the loop. */
void agent_start(struct wire_agent *agent);
int agent_timer_new(struct wire_agent *agent);
/* When to speak or to give up next, in AGENT_OPEN. */
void agent_set_timer(struct wire_agent *agent);
/* What is left of a connection. */
void agent_drop_connection(struct wire_agent *agent);

#endif
