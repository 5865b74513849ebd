/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording: one JSON object a line, as the probe and place gave it. Numbers are whole but for
 * cpu_limit_cores; the id, which needs all 64 bits, is a string in hexadecimal; response time
 * buckets are [index, count] pairs of those that are not empty.
 */
#include "lab/lab_private.h"

#define LISTENER(name, type)                                        \
	{                                                           \
#name, offsetof(struct listener_sample, name), type \
	}
const struct lab_field lab_listener_fields[] = {
	LISTENER(slot, FIELD_U32),
	LISTENER(generation, FIELD_U32),
	LISTENER(cgroup_id, FIELD_U64),
	LISTENER(netns, FIELD_U32),
	LISTENER(family, FIELD_U16),
	LISTENER(port, FIELD_U16),
	LISTENER(sockets, FIELD_U32),
	LISTENER(queue_depth, FIELD_U32),
	LISTENER(queue_limit, FIELD_U32),
	LISTENER(queue_worst_depth, FIELD_U32),
	LISTENER(queue_worst_limit, FIELD_U32),
	LISTENER(queue_peak, FIELD_U32),
	LISTENER(syn_queue, FIELD_U32),
	LISTENER(syn_queue_young, FIELD_U32),
	LISTENER(drops, FIELD_U64),
	LISTENER(overflows, FIELD_U64),
	LISTENER(syns, FIELD_U64),
	LISTENER(established, FIELD_U64),
	LISTENER(accepted, FIELD_U64),
	LISTENER(closed, FIELD_U64),
	LISTENER(requests, FIELD_U64),
	LISTENER(responses, FIELD_U64),
	LISTENER(open_connections, FIELD_U32),
	LISTENER(in_flight, FIELD_U32),
	LISTENER(accept_wait_ns, FIELD_U64),
	LISTENER(accept_waits, FIELD_U64),
	LISTENER(response_ns, FIELD_U64),
	LISTENER(pid, FIELD_U32),
};
const size_t lab_listener_fields_count = ARRAY_SIZE(lab_listener_fields);

#define USAGE(name, type)                                 \
	{                                                 \
#name, offsetof(struct usage, name), type \
	}
const struct lab_field lab_usage_fields[] = {
	USAGE(time_ns, FIELD_U64),
	USAGE(psi_time_ns, FIELD_U64),
	USAGE(cpu_known, FIELD_BOOL),
	USAGE(throttle_known, FIELD_BOOL),
	USAGE(cpu_limit_known, FIELD_BOOL),
	USAGE(psi_known, FIELD_BOOL),
	USAGE(cpu_ns, FIELD_U64),
	USAGE(throttled_ns, FIELD_U64),
	USAGE(throttled_periods, FIELD_U64),
	USAGE(periods, FIELD_U64),
	USAGE(cpu_limit_cores, FIELD_DOUBLE),
	USAGE(psi_cpu_some_ns, FIELD_U64),
	USAGE(psi_memory_some_ns, FIELD_U64),
	USAGE(psi_memory_full_ns, FIELD_U64),
};
const size_t lab_usage_fields_count = ARRAY_SIZE(lab_usage_fields);

/* Zeros are left out: most fields of most listeners are zero. */
static void add_field(struct text *out, const struct lab_field *field, const void *from)
{
	const void *at = (const char *)from + field->offset;
	unsigned long long whole = 0;

	switch (field->type) {
	case FIELD_U16:
		whole = *(const uint16_t *)at;
		break;
	case FIELD_U32:
		whole = *(const uint32_t *)at;
		break;
	case FIELD_U64:
		whole = *(const uint64_t *)at;
		break;
	case FIELD_BOOL:
		whole = *(const bool *)at;
		break;
	case FIELD_DOUBLE:
		if (*(const double *)at > 0)
			text_printf(out, ",\"%s\":%.17g", field->name, *(const double *)at);
		return;
	}
	if (whole)
		text_printf(out, ",\"%s\":%llu", field->name, whole);
}

static void add_usage(struct text *out, const char *name, const struct usage *usage)
{
	text_printf(out, ",\"%s\":{\"v\":1", name);
	for (size_t i = 0; i < lab_usage_fields_count; i++)
		add_field(out, &lab_usage_fields[i], usage);
	text_add_char(out, '}');
}

static void add_text(struct text *out, const char *name, const char *value)
{
	if (!*value)
		return;
	text_printf(out, ",\"%s\":", name);
	text_add_json(out, value);
}

static void add_owner(struct text *out, const struct owner *owner)
{
	text_add(out, ",\"owner\":{\"kind\":");
	text_add_json(out, owner_kind_text(owner->kind));
	text_printf(out, ",\"cgroup_id\":%llu", (unsigned long long)owner->cgroup_id);
	add_text(out, "name", owner->name);
	add_text(out, "unit", owner->unit);
	add_text(out, "container_id", owner->container_id);
	add_text(out, "pod_uid", owner->pod_uid);
	add_text(out, "process", owner->process);
	add_text(out, "cgroup_path", owner->cgroup_path);
	add_text(out, "socket_path", owner->socket_path);
	text_add_char(out, '}');
}

static void add_buckets(struct text *out, const uint64_t *buckets)
{
	bool first = true;

	text_add(out, ",\"response_buckets\":[");
	for (size_t i = 0; buckets && i < PROBE_BUCKETS; i++) {
		if (!buckets[i])
			continue;
		text_printf(out, "%s[%zu,%llu]", first ? "" : ",", i,
			    (unsigned long long)buckets[i]);
		first = false;
	}
	text_add_char(out, ']');
}

static void add_listener(struct text *out, const struct listener_sample *listener,
			 const struct placed *placed)
{
	text_printf(out, "{\"id\":\"%llx\",\"address\":\"", (unsigned long long)listener->id);
	for (size_t i = 0; i < sizeof(listener->address); i++)
		text_printf(out, "%02x", listener->address[i]);
	text_add_char(out, '"');
	for (size_t i = 0; i < lab_listener_fields_count; i++)
		add_field(out, &lab_listener_fields[i], listener);
	add_text(out, "comm", listener->comm);
	add_buckets(out, listener->response_buckets);
	if (placed->owner)
		add_owner(out, placed->owner);
	add_usage(out, "usage", &placed->usage);
	text_add_char(out, '}');
}

int lab_record(FILE *file, const struct sample *sample, const struct placed *placed,
	       const struct usage *host)
{
	_cleanup_text_ struct text line = {0};

	text_printf(&line, "{\"v\":1,\"time_ns\":%llu", (unsigned long long)sample->time_ns);
	add_usage(&line, "host", host);
	text_add(&line, ",\"listeners\":[");
	for (size_t i = 0; i < sample->count; i++) {
		if (i)
			text_add_char(&line, ',');
		add_listener(&line, &sample->listeners[i], &placed[i]);
	}
	text_add(&line, "]}\n");
	if (fwrite(line.data, 1, line.length, file) != line.length)
		return errno ? -errno : -EIO;
	return 0;
}
