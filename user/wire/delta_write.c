/* SPDX-License-Identifier: Apache-2.0 */
/* From a frame and what the other side has to the difference. */
#include <math.h>

#include "wire/delta.h"
#include "wire/tables.h"

#define LENGTH_BYTES 2 /* of a listener's item: LEB128 with a leading zero where one would do */

void frame_writer_init(struct frame_writer *writer, struct owners *owners, struct layout *layout)
{
	*writer = (struct frame_writer){0};
	state_init(&writer->sent, owners, layout);
}

void frame_writer_free(struct frame_writer *writer)
{
	state_free(&writer->sent);
	map_free(&writer->keys);
}

/* ---- values ---- */

/* Of what has no padding, or where a difference there does no harm. */
static bool same_bytes(const void *a, const void *b, size_t length)
{
	return memcmp(a, b, length) == 0;
}

static bool same_bits(double a, double b)
{
	return same_bytes(&a, &b, sizeof(a)) || (isnan(a) && isnan(b));
}

static void add_form(struct text *out, unsigned metric, unsigned statistic, enum value_form form)
{
	const uint8_t bytes[] = {(uint8_t)metric, (uint8_t)(form << 4 | statistic)};

	text_add_bytes(out, bytes, sizeof(bytes));
}

static void add_value(struct text *out, unsigned metric, unsigned statistic, double value)
{
	float single = (float)value;
	uint32_t bits;

	if (isnan(value)) {
		add_form(out, metric, statistic, VALUE_UNKNOWN);
	} else if (value >= 0 && value <= UINT16_MAX && value == floor(value) && !signbit(value)) {
		add_form(out, metric, statistic, VALUE_WHOLE);
		number_add(out, (uint64_t)value, 2);
	} else if ((double)single == value) {
		memcpy(&bits, &single, sizeof(bits));
		add_form(out, metric, statistic, VALUE_FLOAT);
		number_add(out, bits, 4);
	} else {
		add_form(out, metric, statistic, VALUE_DOUBLE);
		double_add(out, value);
	}
}

static size_t begin_item(struct text *out, uint8_t tag)
{
	const char bytes[1 + LENGTH_BYTES] = {(char)(tag << 2 | ITEM_BYTES)};

	text_add_bytes(out, bytes, sizeof(bytes));
	return out->length;
}

static void end_item(struct text *out, size_t mark)
{
	size_t length = out->length - mark;

	out->data[mark - 2] = (char)((length & 0x7f) | 0x80);
	out->data[mark - 1] = (char)(length >> 7);
}

static void take_back(struct text *out, size_t length)
{
	out->length = length;
	out->data[length] = '\0';
}

static void add_values(struct text *out, const struct layout *layout, struct listener_state *sent,
		       const struct indicator *now)
{
	size_t mark = begin_item(out, LISTENER_VALUES);

	for (unsigned i = 0; i < layout->count; i++) {
		double value = now->value[layout->metric[i]][layout->statistic[i]];

		if (same_bits(value, sent->value[i]))
			continue;
		sent->value[i] = value;
		add_value(out, layout->metric[i], layout->statistic[i], value);
	}
	if (out->length == mark)
		take_back(out, mark - 1 - LENGTH_BYTES);
	else
		end_item(out, mark);
}

static void add_buckets(struct text *out, struct listener_counters *sent,
			const struct indicator *now)
{
	size_t mark;

	if (memcmp(sent->buckets, now->response_buckets, sizeof(sent->buckets)) == 0)
		return;
	mark = begin_item(out, LISTENER_BUCKETS);
	for (unsigned i = 0; i < PROBE_BUCKETS; i++) {
		if (sent->buckets[i] == now->response_buckets[i])
			continue;
		sent->buckets[i] = now->response_buckets[i];
		varint_add(out, i);
		varint_add(out, now->response_buckets[i]);
	}
	end_item(out, mark);
}

static void add_counters(struct text *out, struct host_state *state, struct listener_state *sent,
			 const struct indicator *now)
{
	struct listener_counters *counters = state_counters(state, sent);

	for (unsigned i = 0; i < STATE_COUNTERS; i++) {
		uint64_t counter = *indicator_counter((struct indicator *)now, i);

		if (counter != counters->counter[i])
			item_add_number(out, (uint8_t)(LISTENER_COUNTER + i), counter);
		counters->counter[i] = counter;
	}
	add_buckets(out, counters, now);
}

/* ---- a listener ---- */

#define ADD_NUMBER(out, tag, sent, now)                     \
	do {                                                \
		if ((sent) != (now)) {                      \
			item_add_number(out, (tag), (now)); \
			(sent) = (now);                     \
		}                                           \
	} while (0)

static void add_owner(struct text *out, struct host_state *state, struct listener_state *sent,
		      const struct owner *now)
{
	size_t mark;

	if (sent->owner && sent->cgroup_id == now->cgroup_id && owners_same(sent->owner, now))
		return;
	owners_unref(state->owners, sent->owner);
	sent->owner = owners_pack(state->owners, now);
	sent->cgroup_id = now->cgroup_id;
	mark = begin_item(out, LISTENER_OWNER);
	owners_write(sent->owner, sent->cgroup_id, out);
	end_item(out, mark);
}

static void add_identity(struct text *out, struct host_state *state, struct listener_state *sent,
			 const struct indicator *now)
{
	ADD_NUMBER(out, LISTENER_ID, sent->id, now->id);
	ADD_NUMBER(out, LISTENER_SLOT, sent->slot, now->slot);
	ADD_NUMBER(out, LISTENER_NETNS, sent->netns, now->netns);
	ADD_NUMBER(out, LISTENER_FAMILY, sent->family, now->family);
	ADD_NUMBER(out, LISTENER_PORT, sent->port, now->port);
	if (memcmp(sent->address, now->address, sizeof(sent->address)) != 0) {
		memcpy(sent->address, now->address, sizeof(sent->address));
		item_add_bytes(out, LISTENER_ADDRESS, now->address, sizeof(now->address));
	}
	ADD_NUMBER(out, LISTENER_SOCKETS, sent->sockets, now->sockets);
	ADD_NUMBER(out, LISTENER_QUEUE_LIMIT, sent->queue_limit, now->queue_limit);
	add_owner(out, state, sent, &now->owner);
}

static void add_reason(struct text *out, struct host_state *state, struct listener_state *sent,
		       const struct indicator *now)
{
	size_t length = strnlen(now->reason, sizeof(now->reason) - 1);

	if (sent->reason ? strncmp(sent->reason, now->reason, length + 1) == 0 : !length)
		return;
	state_set_reason(state, sent, now->reason, length);
	item_add_bytes(out, LISTENER_REASON, now->reason, length);
}

static void add_content(struct text *out, struct host_state *state, struct listener_state *sent,
			const struct indicator *now, uint64_t newest_ns)
{
	uint64_t behind_ns = newest_ns - now->time_ns;

	add_identity(out, state, sent, now);
	ADD_NUMBER(out, LISTENER_BEHIND, sent->behind_ns, behind_ns);
	if (sent->first_seen_ns != now->first_seen_ns) {
		sent->first_seen_ns = now->first_seen_ns;
		item_add_number(out, LISTENER_FIRST_SEEN,
				newest_ns - MIN(newest_ns, now->first_seen_ns));
	}
	if (!same_bits(sent->capacity_per_second, now->capacity_per_second)) {
		sent->capacity_per_second = now->capacity_per_second;
		item_add_double(out, LISTENER_CAPACITY, now->capacity_per_second);
	}
	ADD_NUMBER(out, LISTENER_DIAGNOSIS, sent->diagnosis, (uint8_t)now->diagnosis);
	add_reason(out, state, sent, now);
	add_values(out, state->layout, sent, now);
	if (state->layout->everything)
		add_counters(out, state, sent, now);
}

/* ---- a frame ---- */

/* The message that is full ends, and what came after `from` begins the next one. */
static void split(struct text *out, size_t *message, size_t from)
{
	static const char room[MESSAGE_HEAD_BYTES];
	uint8_t before = (uint8_t)out->data[*message + 3];
	size_t length = out->length - from;

	message_set_head(out, *message, from - *message - MESSAGE_HEAD_BYTES, MESSAGE_FRAME,
			 before | MESSAGE_CONTINUES);
	text_add_bytes(out, room, sizeof(room));
	memmove(out->data + from + MESSAGE_HEAD_BYTES, out->data + from, length);
	message_set_head(out, from, 0, MESSAGE_FRAME, MESSAGE_CONTINUED);
	*message = from;
}

static void keep_within(struct text *out, size_t *message, size_t from)
{
	if (out->length - *message - MESSAGE_HEAD_BYTES > MESSAGE_BYTES_MAX)
		split(out, message, from);
}

static void add_listener(struct frame_writer *writer, const struct indicator *now,
			 uint64_t newest_ns, struct text *out, size_t *message)
{
	struct host_state *state = &writer->sent;
	size_t key = (size_t)(uintptr_t)map_get(&writer->keys, now->id), from = out->length;
	struct listener_state *sent;
	size_t mark, begun;
	bool new = !key--;

	if (new) {
		key = state_free_key(state);
		sent = state_add(state, key);
		map_put(&writer->keys, now->id, (void *)(uintptr_t)(key + 1));
	} else {
		sent = state->listeners[key];
	}
	sent->stamp = writer->stamp;
	mark = begin_item(out, FRAME_LISTENER);
	varint_add(out, key);
	begun = out->length;
	add_content(out, state, sent, now, newest_ns);
	if (out->length == begun && !new) {
		take_back(out, from);
		return;
	}
	end_item(out, mark);
	keep_within(out, message, from);
}

static void add_gone(struct frame_writer *writer, struct text *out, size_t *message)
{
	struct host_state *state = &writer->sent;

	for (size_t key = 0; key < state->keys; key++) {
		struct listener_state *listener = state->listeners[key];
		size_t from = out->length;

		if (!listener || listener->stamp == writer->stamp)
			continue;
		item_add_number(out, FRAME_GONE, key);
		keep_within(out, message, from);
		map_remove(&writer->keys, listener->id);
		state_remove(state, key);
	}
}

/* Counters with the moment when they were read, which travels as an age. */
static void add_usage(struct text *out, struct host_state *state, const struct usage *now,
		      uint64_t now_ns)
{
	struct usage aged = *now;
	size_t mark;

	if (state->usage && same_bytes(state->usage, now, sizeof(*now)))
		return;
	if (!state->usage) {
		state->usage = calloc(1, sizeof(*now));
		if (!state->usage)
			abort();
		state->bytes += sizeof(*now);
	}
	memcpy(state->usage, now, sizeof(*now));
	aged.time_ns = now->time_ns ? now_ns - MIN(now_ns, now->time_ns) + 1 : 0;
	aged.psi_time_ns = now->psi_time_ns ? now_ns - MIN(now_ns, now->psi_time_ns) + 1 : 0;
	mark = begin_item(out, FRAME_USAGE);
	fields_add(out, &usage_table, &aged);
	end_item(out, mark);
}

static void add_text(struct text *out, struct host_state *state, uint8_t tag, char **sent,
		     const char *now, size_t size)
{
	size_t length = strnlen(now, size - 1);

	if (*sent ? strncmp(*sent, now, length + 1) == 0 : !length)
		return;
	state_set_text(state, sent, now, length);
	item_add_bytes(out, tag, now, length);
}

static bool same_notices(const struct state_notices *sent, const struct frame *now)
{
	if ((sent ? sent->count : 0) != now->notices_count)
		return false;
	for (size_t i = 0; i < now->notices_count; i++)
		if (sent->at[i].kind != now->notices[i].kind ||
		    sent->at[i].when_wall_ms != now->notices[i].when_wall_ms ||
		    strcmp(sent->at[i].what, now->notices[i].what) != 0)
			return false;
	return true;
}

/* All of them where one changed; one without content where there is none any more. */
static void add_notices(struct text *out, struct host_state *state, const struct frame *frame)
{
	if (same_notices(state->notices, frame))
		return;
	state_set_notices(state, frame->notices, frame->notices_count);
	if (!frame->notices_count)
		item_add_bytes(out, FRAME_NOTICE, "", 0);
	for (size_t i = 0; i < frame->notices_count; i++) {
		size_t mark = begin_item(out, FRAME_NOTICE);

		fields_add(out, &notice_table, &frame->notices[i]);
		end_item(out, mark);
	}
}

static void add_host(struct text *out, struct host_state *state, const struct frame *frame,
		     uint64_t now_ns)
{
	if (!same_bits(state->host_cpu_cores, frame->host_cpu_cores))
		item_add_double(out, FRAME_CPU_CORES, frame->host_cpu_cores);
	if (!same_bits(state->host_cpus, frame->host_cpus))
		item_add_double(out, FRAME_CPUS, frame->host_cpus);
	state->host_cpu_cores = frame->host_cpu_cores;
	state->host_cpus = frame->host_cpus;
	if (state->layout->everything)
		add_usage(out, state, &frame->host_usage, now_ns);
	add_text(out, state, FRAME_INSTANCE_ID, &state->instance_id, frame->instance_id,
		 sizeof(frame->instance_id));
	add_text(out, state, FRAME_SERVICES, &state->services, frame->services,
		 sizeof(frame->services));
	add_notices(out, state, frame);
}

static void add_head(struct text *out, struct host_state *state, const struct frame *frame,
		     bool full, uint64_t now_ns)
{
	unsigned flags =
		(full ? FRAME_FLAG_FULL : 0) | (frame->kind == FRAME_EDGE ? FRAME_FLAG_EDGE : 0);

	item_add_number(out, FRAME_SEQUENCE, ++state->sequence);
	if (flags)
		item_add_number(out, FRAME_FLAGS, flags);
	item_add_number(out, FRAME_AGE, frame->age_ns);
	if (frame->kind == FRAME_EDGE && frame->edge_ns)
		item_add_number(out, FRAME_EDGE_AGE, now_ns - MIN(now_ns, frame->edge_ns));
}

int frame_write(struct frame_writer *writer, const struct frame *frame, bool full, uint64_t now_ns,
		struct text *out)
{
	struct host_state *state = &writer->sent;
	size_t message = out->length;
	uint64_t newest_ns = 0;

	if (frame->count > WIRE_INDICATORS_MAX)
		return -EMSGSIZE;
	if (full) {
		state_clear(state);
		map_free(&writer->keys);
	}
	writer->stamp++;
	message_begin(out, MESSAGE_FRAME);
	add_head(out, state, frame, full, now_ns);
	add_host(out, state, frame, now_ns);
	for (size_t i = 0; i < frame->count; i++)
		newest_ns = MAX(newest_ns, frame->indicators[i].time_ns);
	for (size_t i = 0; i < frame->count; i++)
		add_listener(writer, &frame->indicators[i], newest_ns, out, &message);
	add_gone(writer, out, &message);
	message_set_head(out, message, out->length - message - MESSAGE_HEAD_BYTES, MESSAGE_FRAME,
			 (uint8_t)out->data[message + 3]);
	return 0;
}
