/* SPDX-License-Identifier: Apache-2.0 */
/* From the difference to the state of a host. Runs for every frame of every agent: it allocates
 * only where a listener is new, and looks at nothing that did not change. */
#include <math.h>

#include "wire/delta.h"
#include "wire/tables.h"

void frame_reader_init(struct frame_reader *reader, struct owners *owners, struct layout *layout)
{
	*reader = (struct frame_reader){.listeners_max = WIRE_INDICATORS_MAX};
	state_init(&reader->state, owners, layout);
}

void frame_reader_free(struct frame_reader *reader)
{
	state_free(&reader->state);
}

static _printf_(2, 3) int bad(char reason[REASON_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, REASON_SIZE, format, args);
	va_end(args);
	return -EBADMSG;
}

static uint64_t before(uint64_t moment_ns, uint64_t age_ns)
{
	return moment_ns - MIN(moment_ns, age_ns);
}

/* ---- values ---- */

/* The bytes of that form, or more than there can be for one that is not known. */
static size_t form_bytes(unsigned form)
{
	static const uint8_t bytes[] = {
		[VALUE_DOUBLE] = 8, [VALUE_UNKNOWN] = 0, [VALUE_FLOAT] = 4, [VALUE_WHOLE] = 2};

	return form < ARRAY_SIZE(bytes) ? bytes[form] : SIZE_MAX;
}

static double form_value(unsigned form, const uint8_t *at)
{
	uint32_t bits;
	float single;

	switch (form) {
	case VALUE_DOUBLE:
		return double_read(at);
	case VALUE_FLOAT:
		bits = (uint32_t)number_read(at, 4);
		memcpy(&single, &bits, sizeof(single));
		return isnan(single) ? NAN : (double)single;
	case VALUE_WHOLE:
		return (double)number_read(at, 2);
	default:
		return NAN;
	}
}

static int read_values(const struct layout *layout, struct listener_state *listener,
		       struct part part, char reason[REASON_SIZE])
{
	while (part.length >= 2) {
		unsigned metric = part.at[0], statistic = part.at[1] & 0xf;
		unsigned form = part.at[1] >> 4;
		size_t bytes = form_bytes(form);

		if (bytes > part.length - 2)
			return bad(reason, "listener: a value is cut short");
		/* Others are a newer version's, or not of interest any more. */
		if (metric < METRIC_COUNT && statistic < STAT_COUNT &&
		    layout->place[metric][statistic] != LAYOUT_NO_PLACE)
			listener->value[layout->place[metric][statistic]] =
				form_value(form, part.at + 2);
		part.at += 2 + bytes;
		part.length -= 2 + bytes;
	}
	return part.length ? bad(reason, "listener: a value is cut short") : 0;
}

static int read_buckets(struct listener_counters *counters, struct part part,
			char reason[REASON_SIZE])
{
	uint64_t bucket, count;

	while (part.length) {
		if (!varint_take(&part, &bucket) || !varint_take(&part, &count))
			return bad(reason, "listener: the buckets are cut short");
		if (bucket >= PROBE_BUCKETS)
			return bad(reason, "listener: there is no bucket %llu",
				   (unsigned long long)bucket);
		counters->buckets[bucket] = count;
	}
	return 0;
}

/* ---- a listener ---- */

static const enum item_type listener_types[LISTENER_COUNTER + STATE_COUNTERS] = {
	[LISTENER_ADDRESS] = ITEM_BYTES,   [LISTENER_OWNER] = ITEM_BYTES,
	[LISTENER_CAPACITY] = ITEM_DOUBLE, [LISTENER_REASON] = ITEM_BYTES,
	[LISTENER_VALUES] = ITEM_BYTES,	   [LISTENER_BUCKETS] = ITEM_BYTES,
};

static void read_number(const struct frame_reader *reader, struct listener_state *listener,
			const struct item *item)
{
	switch (item->tag) {
	case LISTENER_ID:
		listener->id = item->number;
		break;
	case LISTENER_SLOT:
		listener->slot = (uint32_t)item->number;
		break;
	case LISTENER_NETNS:
		listener->netns = (uint32_t)item->number;
		break;
	case LISTENER_FAMILY:
		listener->family = (uint16_t)item->number;
		break;
	case LISTENER_PORT:
		listener->port = (uint16_t)item->number;
		break;
	case LISTENER_SOCKETS:
		listener->sockets = (uint32_t)item->number;
		break;
	case LISTENER_QUEUE_LIMIT:
		listener->queue_limit = (uint32_t)item->number;
		break;
	case LISTENER_BEHIND:
		listener->behind_ns = item->number;
		break;
	case LISTENER_FIRST_SEEN:
		listener->first_seen_ns = before(reader->newest_ns, item->number);
		break;
	case LISTENER_DIAGNOSIS:
		/* One that only a newer version knows launches nothing here. */
		listener->diagnosis =
			item->number < DIAGNOSIS_COUNT ? (uint8_t)item->number : DIAGNOSIS_OK;
		break;
	default:
		break;
	}
}

static int read_owner(struct host_state *state, struct listener_state *listener, struct part part,
		      char reason[REASON_SIZE])
{
	struct packed_owner *owner;
	int r;

	r = owners_read(state->owners, part, &owner, &listener->cgroup_id, reason);
	if (r < 0)
		return r;
	owners_unref(state->owners, listener->owner);
	listener->owner = owner;
	return 0;
}

static int read_bytes(struct host_state *state, struct listener_state *listener,
		      const struct item *item, char reason[REASON_SIZE])
{
	struct part bytes = item->bytes;

	switch (item->tag) {
	case LISTENER_ADDRESS:
		if (bytes.length != sizeof(listener->address))
			return bad(reason, "listener: an address has %zu bytes", bytes.length);
		memcpy(listener->address, bytes.at, sizeof(listener->address));
		return 0;
	case LISTENER_OWNER:
		return read_owner(state, listener, bytes, reason);
	case LISTENER_REASON:
		if (bytes.length >= sizeof(((struct indicator *)0)->reason) ||
		    memchr(bytes.at, '\0', bytes.length))
			return bad(reason, "listener: its reason is no text");
		state_set_reason(state, listener, (const char *)bytes.at, bytes.length);
		return 0;
	case LISTENER_VALUES:
		return read_values(state->layout, listener, bytes, reason);
	default: /* LISTENER_BUCKETS */
		if (!state->layout->everything)
			return 0;
		return read_buckets(state_counters(state, listener), bytes, reason);
	}
}

static int read_item(struct frame_reader *reader, struct listener_state *listener,
		     const struct item *item, char reason[REASON_SIZE])
{
	struct host_state *state = &reader->state;

	if (!item->tag || item->tag >= ARRAY_SIZE(listener_types))
		return 0; /* a newer version's */
	if (item->type != listener_types[item->tag])
		return bad(reason, "listener: item %u has another type", item->tag);
	if (item->type == ITEM_BYTES)
		return read_bytes(state, listener, item, reason);
	if (item->tag == LISTENER_CAPACITY)
		listener->capacity_per_second = item->value;
	else if (item->tag < LISTENER_COUNTER)
		read_number(reader, listener, item);
	else if (state->layout->everything)
		state_counters(state, listener)->counter[item->tag - LISTENER_COUNTER] =
			item->number;
	return 0;
}

static int read_listener(struct frame_reader *reader, struct part part, char reason[REASON_SIZE])
{
	struct host_state *state = &reader->state;
	struct listener_state *listener;
	struct item item;
	uint64_t key;
	int r;

	if (!varint_take(&part, &key))
		return bad(reason, "listener: its number is cut short");
	/* New ones take the next number or that of one that is gone: numbers stay dense. */
	if (key > state->keys)
		return bad(reason, "listener %llu comes before %zu", (unsigned long long)key,
			   state->keys);
	listener = key < state->keys ? state->listeners[key] : NULL;
	if (!listener) {
		if (state->count >= reader->listeners_max)
			return bad(reason, "more than %zu listeners", reader->listeners_max);
		listener = state_add(state, (size_t)key);
	}
	while ((r = item_next(&part, &item, reason)) > 0) {
		r = read_item(reader, listener, &item, reason);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- a frame ---- */

static int read_usage(struct frame_reader *reader, struct part part, uint64_t now_ns,
		      char reason[REASON_SIZE])
{
	struct host_state *state = &reader->state;
	struct part value = {0};
	uint16_t tag = 0;
	int r;

	if (!state->layout->everything)
		return 0;
	if (!state->usage) {
		state->usage = calloc(1, sizeof(*state->usage));
		if (!state->usage)
			abort();
		state->bytes += sizeof(*state->usage);
	}
	fields_default(&usage_table, state->usage);
	while ((r = field_next(&part, &tag, &value, reason)) > 0) {
		r = field_read(&usage_table, tag, value, state->usage, reason);
		if (r < 0)
			return r;
	}
	if (state->usage->time_ns)
		state->usage->time_ns = before(now_ns, state->usage->time_ns - 1);
	if (state->usage->psi_time_ns)
		state->usage->psi_time_ns = before(now_ns, state->usage->psi_time_ns - 1);
	return r;
}

static int read_text(struct host_state *state, char **to, const struct item *item, size_t size,
		     char reason[REASON_SIZE])
{
	if (item->bytes.length >= size || memchr(item->bytes.at, '\0', item->bytes.length))
		return bad(reason, "frame: item %u is no text of less than %zu bytes", item->tag,
			   size);
	state_set_text(state, to, (const char *)item->bytes.at, item->bytes.length);
	return 0;
}

static int remove_listener(struct host_state *state, uint64_t key, char reason[REASON_SIZE])
{
	if (key >= state->keys || !state->listeners[key])
		return bad(reason, "frame: listener %llu is gone but never was",
			   (unsigned long long)key);
	state_remove(state, (size_t)key);
	return 0;
}

static const enum item_type frame_types[] = {
	[FRAME_CPU_CORES] = ITEM_DOUBLE,  [FRAME_CPUS] = ITEM_DOUBLE,	 [FRAME_USAGE] = ITEM_BYTES,
	[FRAME_INSTANCE_ID] = ITEM_BYTES, [FRAME_LISTENER] = ITEM_BYTES, [FRAME_GONE] = ITEM_NUMBER,
	[FRAME_SERVICES] = ITEM_BYTES,	  [FRAME_NOTICE] = ITEM_BYTES,
};

/* The first of a frame begins the list anew. */
static int read_notice(struct frame_reader *reader, struct part part, uint64_t now_ns,
		       char reason[REASON_SIZE])
{
	struct host_state *state = &reader->state;
	struct state_notices list = {0};
	int r;

	if (state->notices && reader->notices_begun)
		list = *state->notices;
	reader->notices_begun = true;
	if (part.length && list.count < NOTICES_MAX) {
		r = notice_read(part, &list.at[list.count], reason);
		if (r < 0)
			return r;
		list.at[list.count].age_ns = before(now_ns, list.at[list.count].age_ns);
		list.count++;
	}
	state_set_notices(state, list.at, list.count);
	return 0;
}

static int read_content(struct frame_reader *reader, const struct item *item, uint64_t now_ns,
			char reason[REASON_SIZE])
{
	struct host_state *state = &reader->state;

	switch (item->tag) {
	case FRAME_LISTENER:
		return read_listener(reader, item->bytes, reason);
	case FRAME_GONE:
		return remove_listener(state, item->number, reason);
	case FRAME_CPU_CORES:
		state->host_cpu_cores = item->value;
		return 0;
	case FRAME_CPUS:
		state->host_cpus = item->value;
		return 0;
	case FRAME_USAGE:
		return read_usage(reader, item->bytes, now_ns, reason);
	case FRAME_INSTANCE_ID:
		return read_text(state, &state->instance_id, item,
				 sizeof(((struct frame *)0)->instance_id), reason);
	case FRAME_SERVICES:
		return read_text(state, &state->services, item,
				 sizeof(((struct frame *)0)->services), reason);
	case FRAME_NOTICE:
		return read_notice(reader, item->bytes, now_ns, reason);
	default:
		return 0;
	}
}

static void read_head(struct frame_reader *reader, const struct item *item, uint64_t now_ns)
{
	switch (item->tag) {
	case FRAME_SEQUENCE:
		reader->sequence = item->number;
		break;
	case FRAME_FLAGS:
		reader->flags = item->number;
		break;
	case FRAME_AGE:
		reader->age_ns = item->number;
		reader->newest_ns = before(now_ns, item->number);
		break;
	default: /* FRAME_EDGE_AGE */
		reader->edge_ns = before(now_ns, item->number);
	}
}

/* The head is whole. TLS keeps others from repeating or leaving out what an agent said; one that
 * does so itself has lost count of what this side knows. */
static int begin(struct frame_reader *reader, struct layout *layout, char reason[REASON_SIZE])
{
	unsigned long long got = reader->sequence, last = reader->state.sequence;

	reader->begun = true;
	if (got <= last)
		return bad(reason, "frame %llu comes after frame %llu: it is a repetition", got,
			   last);
	if (got != last + 1)
		return bad(reason, "frame %llu comes after frame %llu: frames are missing", got,
			   last);
	if (got == 1 && !(reader->flags & FRAME_FLAG_FULL))
		return bad(reason, "the first frame is not a full one");
	reader->state.sequence = got;
	if (reader->flags & FRAME_FLAG_FULL)
		state_use_layout(&reader->state, layout);
	return 0;
}

static int read_frame_item(struct frame_reader *reader, const struct item *item,
			   struct layout *layout, uint64_t now_ns, char reason[REASON_SIZE])
{
	int r;

	if (!item->tag || item->tag >= ARRAY_SIZE(frame_types))
		return 0; /* a newer version's */
	if (item->type != frame_types[item->tag])
		return bad(reason, "frame: item %u has another type", item->tag);
	if (item->tag <= FRAME_EDGE_AGE) {
		if (reader->begun)
			return bad(reason, "frame: item %u stands too late", item->tag);
		read_head(reader, item, now_ns);
		return 0;
	}
	if (!reader->begun) {
		r = begin(reader, layout, reason);
		if (r < 0)
			return r;
	}
	return read_content(reader, item, now_ns, reason);
}

static int check_part(struct frame_reader *reader, const struct message *message, uint64_t now_ns,
		      char reason[REASON_SIZE])
{
	if (reader->open != !!(message->flags & MESSAGE_CONTINUED))
		return bad(reason, "%s",
			   reader->open ? "a frame begins within another one"
					: "a frame goes on that has not begun");
	if (reader->open)
		return 0;
	reader->age_ns = reader->edge_ns = 0;
	reader->notices_begun = false;
	reader->read_ns = now_ns;
	reader->newest_ns = now_ns;
	reader->begun = false;
	reader->flags = reader->sequence = 0;
	return 0;
}

int frame_read(struct frame_reader *reader, const struct message *message, struct layout *layout,
	       uint64_t now_ns, char reason[REASON_SIZE])
{
	struct part body = message->body;
	struct item item;
	int r;

	r = check_part(reader, message, now_ns, reason);
	while (r >= 0 && (r = item_next(&body, &item, reason)) > 0)
		r = read_frame_item(reader, &item, layout, now_ns, reason);
	if (r >= 0 && !reader->begun)
		r = begin(reader, layout, reason);
	if (r < 0)
		return r;
	reader->open = message->flags & MESSAGE_CONTINUES;
	return !reader->open;
}

void frame_reader_expand(const struct frame_reader *reader, struct scratch *scratch,
			 struct frame *out)
{
	bool edge = reader->flags & FRAME_FLAG_EDGE;

	*out = (struct frame){
		.kind = edge ? FRAME_EDGE : FRAME_TICK,
		.sequence = reader->sequence,
		.age_ns = reader->age_ns,
		.edge_ns = edge ? reader->edge_ns : 0,
	};
	state_expand(&reader->state, reader->newest_ns, scratch, out);
	for (size_t i = 0; i < out->notices_count; i++)
		out->notices[i].age_ns =
			reader->read_ns - MIN(reader->read_ns, out->notices[i].age_ns);
}
