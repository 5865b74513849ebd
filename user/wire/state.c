/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/state.h"

#include <math.h>

void state_init(struct host_state *state, struct owners *owners, struct layout *layout)
{
	*state = (struct host_state){
		.owners = owners,
		.layout = layout_ref(layout),
		.host_cpu_cores = NAN,
		.host_cpus = NAN,
	};
}

static size_t listener_bytes(const struct host_state *state)
{
	return sizeof(struct listener_state) + state->layout->count * sizeof(double);
}

void state_remove(struct host_state *state, size_t key)
{
	struct listener_state *listener = state->listeners[key];

	if (!listener)
		return;
	state->listeners[key] = NULL;
	state->count--;
	state->bytes -= listener_bytes(state) + listener->reason_room;
	if (listener->counters)
		state->bytes -= sizeof(*listener->counters);
	owners_unref(state->owners, listener->owner);
	free(listener->reason);
	free(listener->counters);
	free(listener);
}

void state_set_text(struct host_state *state, char **to, const char *text, size_t length)
{
	if (*to)
		state->bytes -= strlen(*to) + 1;
	free(*to);
	*to = NULL;
	if (!length)
		return;
	*to = strndup(text, length);
	if (!*to)
		abort();
	state->bytes += strlen(*to) + 1;
}

void state_clear(struct host_state *state)
{
	for (size_t key = 0; key < state->keys; key++)
		state_remove(state, key);
	state->keys = 0;
	state->host_cpu_cores = state->host_cpus = NAN;
	state_set_text(state, &state->instance_id, NULL, 0);
	state_set_text(state, &state->services, NULL, 0);
	state_set_notices(state, NULL, 0);
	if (state->usage)
		state->bytes -= sizeof(*state->usage);
	free(state->usage);
	state->usage = NULL;
}

void state_free(struct host_state *state)
{
	state_clear(state);
	layout_unref(state->layout);
	free(state->listeners);
	*state = (struct host_state){0};
}

void state_use_layout(struct host_state *state, struct layout *layout)
{
	state_clear(state);
	layout_ref(layout);
	layout_unref(state->layout);
	state->layout = layout;
}

size_t state_free_key(const struct host_state *state)
{
	if (state->count == state->keys)
		return state->keys;
	for (size_t key = 0; key < state->keys; key++)
		if (!state->listeners[key])
			return key;
	return state->keys;
}

static void make_room(struct host_state *state, size_t key)
{
	size_t room = MAX(state->room, (size_t)8);
	struct listener_state **grown;

	while (room <= key)
		room *= 2;
	if (room != state->room) {
		grown = realloc(state->listeners, room * sizeof(*grown));
		if (!grown)
			abort();
		state->bytes += (room - state->room) * sizeof(*grown);
		state->listeners = grown;
		state->room = room;
	}
	while (state->keys <= key)
		state->listeners[state->keys++] = NULL;
}

struct listener_state *state_add(struct host_state *state, size_t key)
{
	struct listener_state *listener = calloc(1, listener_bytes(state));

	if (!listener)
		abort();
	make_room(state, key);
	state_remove(state, key);
	for (unsigned i = 0; i < state->layout->count; i++)
		listener->value[i] = NAN;
	listener->capacity_per_second = NAN;
	state->listeners[key] = listener;
	state->count++;
	state->bytes += listener_bytes(state);
	return listener;
}

/* Sentences change with their figures but keep about their length: the memory stays. */
void state_set_reason(struct host_state *state, struct listener_state *listener, const char *text,
		      size_t length)
{
	if (length >= listener->reason_room) {
		size_t room = MIN((length + 32) & ~(size_t)15, (size_t)UINT8_MAX);

		free(listener->reason);
		listener->reason = malloc(room);
		if (!listener->reason)
			abort();
		state->bytes += room - listener->reason_room;
		listener->reason_room = (uint8_t)room;
	}
	memcpy(listener->reason, text, length);
	listener->reason[length] = '\0';
}

struct listener_counters *state_counters(struct host_state *state, struct listener_state *listener)
{
	if (listener->counters)
		return listener->counters;
	listener->counters = calloc(1, sizeof(*listener->counters));
	if (!listener->counters)
		abort();
	state->bytes += sizeof(*listener->counters);
	return listener->counters;
}

uint64_t *indicator_counter(struct indicator *indicator, unsigned number)
{
	uint64_t *const counters[STATE_COUNTERS] = {
		&indicator->requests,  &indicator->responses, &indicator->established,
		&indicator->accepted,  &indicator->closed,    &indicator->drops,
		&indicator->overflows, &indicator->syns,      &indicator->response_ns,
	};

	return counters[number];
}

void state_set_notices(struct host_state *state, const struct notice *notices, uint32_t count)
{
	if (!count) {
		state->bytes -= state->notices ? sizeof(*state->notices) : 0;
		free(TAKE(state->notices));
		return;
	}
	if (!state->notices) {
		state->notices = calloc(1, sizeof(*state->notices));
		if (!state->notices)
			abort();
		state->bytes += sizeof(*state->notices);
	}
	state->notices->count = MIN(count, NOTICES_MAX);
	memmove(state->notices->at, notices, state->notices->count * sizeof(*notices));
}

/* ---- back to indicators ---- */

static void expand_counters(const struct listener_state *listener, struct indicator *to)
{
	static const struct listener_counters none;
	const struct listener_counters *from = listener->counters ? listener->counters : &none;

	for (unsigned i = 0; i < STATE_COUNTERS; i++)
		*indicator_counter(to, i) = from->counter[i];
	memcpy(to->response_buckets, from->buckets, sizeof(to->response_buckets));
}

static void expand(const struct layout *layout, const struct listener_state *listener,
		   uint64_t newest_ns, struct indicator *to)
{
	to->id = listener->id;
	to->slot = listener->slot;
	to->netns = listener->netns;
	to->family = listener->family;
	to->port = listener->port;
	memcpy(to->address, listener->address, sizeof(to->address));
	to->sockets = listener->sockets;
	to->queue_limit = listener->queue_limit;
	if (listener->owner)
		owners_unpack(listener->owner, &to->owner);
	else
		to->owner = (struct owner){0};
	to->owner.cgroup_id = listener->cgroup_id;
	to->time_ns = newest_ns - MIN(newest_ns, listener->behind_ns);
	to->first_seen_ns = listener->first_seen_ns;
	to->capacity_per_second = listener->capacity_per_second;
	to->diagnosis = (enum diagnosis)listener->diagnosis;
	if (listener->reason)
		memcpy(to->reason, listener->reason, strlen(listener->reason) + 1);
	else
		to->reason[0] = '\0';
	for (unsigned i = 0; i < layout->count; i++)
		to->value[layout->metric[i]][layout->statistic[i]] = listener->value[i];
	if (layout->everything)
		expand_counters(listener, to);
}

/* What another layout's states have written must not be taken for values of this one's. */
static void blank(struct scratch *scratch, size_t from)
{
	for (size_t i = from; i < scratch->room; i++) {
		struct indicator *indicator = &scratch->indicators[i];

		*indicator = (struct indicator){0};
		for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
			for (unsigned statistic = 0; statistic < STAT_COUNT; statistic++)
				indicator->value[metric][statistic] = NAN;
	}
}

static void prepare(struct scratch *scratch, struct layout *layout, size_t count)
{
	size_t before = scratch->room;

	if (count > scratch->room) {
		struct indicator *grown;

		scratch->room = MAX(count, 2 * before);
		grown = realloc(scratch->indicators, scratch->room * sizeof(*grown));
		if (!grown)
			abort();
		scratch->indicators = grown;
		blank(scratch, before);
	}
	if (scratch->layout == layout)
		return;
	blank(scratch, 0);
	layout_ref(layout);
	layout_unref(scratch->layout);
	scratch->layout = layout;
}

void state_expand(const struct host_state *state, uint64_t newest_ns, struct scratch *scratch,
		  struct frame *frame)
{
	size_t count = 0;

	prepare(scratch, state->layout, state->count);
	for (size_t key = 0; key < state->keys; key++)
		if (state->listeners[key])
			expand(state->layout, state->listeners[key], newest_ns,
			       &scratch->indicators[count++]);
	frame->indicators = scratch->indicators;
	frame->count = count;
	frame->host_cpu_cores = state->host_cpu_cores;
	frame->host_cpus = state->host_cpus;
	if (state->usage)
		frame->host_usage = *state->usage;
	snprintf(frame->instance_id, sizeof(frame->instance_id), "%s",
		 state->instance_id ? state->instance_id : "");
	snprintf(frame->services, sizeof(frame->services), "%s",
		 state->services ? state->services : "");
	if (!state->notices)
		return;
	memcpy(frame->notices, state->notices->at, sizeof(frame->notices));
	frame->notices_count = state->notices->count;
}

void scratch_free(struct scratch *scratch)
{
	layout_unref(scratch->layout);
	free(scratch->indicators);
	*scratch = (struct scratch){0};
}
