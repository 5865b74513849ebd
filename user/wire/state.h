/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one host reported last, compact: an agent keeps what a core has, a core keeps what an agent
 * said. A struct indicator has 4,128 bytes, its listener here about 150 and what is of interest.
 */
#ifndef FORERUN_WIRE_STATE_H
#define FORERUN_WIRE_STATE_H

#include "wire/layout.h"
#include "wire/owners.h"

#define STATE_COUNTERS 9

/* Only where everything is of interest. */
struct listener_counters {
	uint64_t counter[STATE_COUNTERS];
	uint64_t buckets[PROBE_BUCKETS];
};

struct listener_state {
	uint64_t id;
	uint64_t behind_ns; /* how much older than the newest of the frame */
	uint64_t first_seen_ns; /* on our own clock */
	uint64_t cgroup_id;
	double capacity_per_second;
	struct packed_owner *owner; /* NULL: not said yet */
	char *reason; /* NULL: none */
	struct listener_counters *counters; /* NULL: all 0 */
	uint32_t slot, netns, sockets, queue_limit;
	uint32_t stamp; /* of who goes through a frame */
	uint16_t family, port;
	uint8_t address[16];
	uint8_t diagnosis;
	uint8_t reason_room;
	double value[]; /* by the layout */
};

/* Of the host's end. What they have for an age is since when they stand, on our own clock. */
struct state_notices {
	struct notice at[NOTICES_MAX];
	uint32_t count;
};

struct host_state {
	struct owners *owners;
	struct layout *layout;
	struct listener_state **listeners; /* by key; NULL: gone */
	size_t keys, room, count; /* count: without those gone */
	uint64_t sequence; /* of the last frame, in this connection */
	double host_cpu_cores, host_cpus;
	struct usage *usage; /* NULL: not said */
	char *instance_id, *services; /* NULL: none */
	struct state_notices *notices; /* NULL: none */
	size_t bytes; /* of memory, without owners */
};

/* A frame that is being put together from a state, memory that many states use in turn. */
struct scratch {
	struct indicator *indicators;
	size_t room;
	struct layout *layout; /* whose values may stand in it; all others are NaN */
};

void state_init(struct host_state *state, struct owners *owners, struct layout *layout);
/* Forgets all listeners and what was said of the host; the sequence stays. */
void state_clear(struct host_state *state);
void state_free(struct host_state *state);
/* From now on, with nothing in it. */
void state_use_layout(struct host_state *state, struct layout *layout);

/* A new listener under the lowest key that is free, or under that one. */
struct listener_state *state_add(struct host_state *state, size_t key);
size_t state_free_key(const struct host_state *state);
void state_remove(struct host_state *state, size_t key);
void state_set_reason(struct host_state *state, struct listener_state *listener, const char *text,
		      size_t length);
struct listener_counters *state_counters(struct host_state *state, struct listener_state *listener);
/* NULL or an empty text: none. */
void state_set_text(struct host_state *state, char **to, const char *text, size_t length);

/* An empty list takes no memory. */
void state_set_notices(struct host_state *state, const struct notice *notices, uint32_t count);

/* The nine counters of an indicator in the order of their tags. */
uint64_t *indicator_counter(struct indicator *indicator, unsigned number);

/* Fills frame->indicators with all listeners, in scratch; newest_ns is on our own clock. */
void state_expand(const struct host_state *state, uint64_t newest_ns, struct scratch *scratch,
		  struct frame *frame);
void scratch_free(struct scratch *scratch);

#endif
