/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one line of a recording. It may come from anywhere: nothing in it is believed to fit. */
#include <cjson/cJSON.h>
#include <math.h>

#include "lab/lab_private.h"

#define LISTENERS_MAX 65536

static void free_json(cJSON **json)
{
	cJSON_Delete(*json);
}

void recorded_clear(struct recorded *recorded)
{
	recorded->sample = (struct sample){0};
	recorded->host = (struct usage){0};
	vec_clear(&recorded->listeners);
	vec_clear(&recorded->owners);
	vec_clear(&recorded->placed);
}

void recorded_free(struct recorded *recorded)
{
	vec_free(&recorded->listeners);
	vec_free(&recorded->owners);
	vec_free(&recorded->placed);
	free(recorded->buckets);
	recorded->buckets = NULL;
	recorded->buckets_capacity = 0;
}

void recorded_link(struct recorded *recorded)
{
	for (size_t i = 0; i < recorded->listeners.count; i++) {
		recorded->listeners.at[i].response_buckets = recorded->buckets + i * PROBE_BUCKETS;
		recorded->placed.at[i].owner = &recorded->owners.at[i];
	}
	recorded->sample.listeners = recorded->listeners.at;
	recorded->sample.count = recorded->listeners.count;
}

static double number_of(const cJSON *item)
{
	return cJSON_IsNumber(item) && item->valuedouble > 0 ? item->valuedouble : 0;
}

/* The whole numbers of a double: above 2^53 they are no longer exact, and no counter gets there. */
static uint64_t whole_of(const cJSON *item, double most)
{
	return (uint64_t)MIN(number_of(item), most);
}

static void read_field(const cJSON *object, const struct lab_field *field, void *to)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field->name);
	void *at = (char *)to + field->offset;

	switch (field->type) {
	case FIELD_U16:
		*(uint16_t *)at = (uint16_t)whole_of(item, UINT16_MAX);
		break;
	case FIELD_U32:
		*(uint32_t *)at = (uint32_t)whole_of(item, UINT32_MAX);
		break;
	case FIELD_U64:
		*(uint64_t *)at = whole_of(item, 0x1p62);
		break;
	case FIELD_BOOL:
		*(bool *)at = number_of(item) > 0;
		break;
	case FIELD_DOUBLE:
		*(double *)at = number_of(item);
		break;
	}
}

static void read_usage(const cJSON *object, struct usage *usage)
{
	for (size_t i = 0; i < lab_usage_fields_count; i++)
		read_field(object, &lab_usage_fields[i], usage);
}

static void read_text(const cJSON *object, const char *name, char *out, size_t size)
{
	const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	snprintf(out, size, "%s", value ? value : "");
}

static void read_owner(const cJSON *object, struct owner *owner)
{
	char kind[32];

	read_text(object, "kind", kind, sizeof(kind));
	for (int k = OWNER_UNKNOWN; k <= OWNER_POD; k++)
		if (strcmp(kind, owner_kind_text((enum owner_kind)k)) == 0)
			owner->kind = (enum owner_kind)k;
	owner->cgroup_id = whole_of(cJSON_GetObjectItemCaseSensitive(object, "cgroup_id"), 0x1p62);
	read_text(object, "name", owner->name, sizeof(owner->name));
	read_text(object, "unit", owner->unit, sizeof(owner->unit));
	read_text(object, "container_id", owner->container_id, sizeof(owner->container_id));
	read_text(object, "pod_uid", owner->pod_uid, sizeof(owner->pod_uid));
	read_text(object, "process", owner->process, sizeof(owner->process));
	read_text(object, "cgroup_path", owner->cgroup_path, sizeof(owner->cgroup_path));
	read_text(object, "socket_path", owner->socket_path, sizeof(owner->socket_path));
}

static int read_address(const cJSON *object, uint8_t address[16])
{
	char hex[33];

	read_text(object, "address", hex, sizeof(hex));
	if (strlen(hex) != 32 || strspn(hex, "0123456789abcdef") != 32)
		return -EBADMSG;
	for (size_t i = 0; i < 16; i++) {
		char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		address[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return 0;
}

static int read_buckets(const cJSON *object, uint64_t *buckets)
{
	const cJSON *pair;

	memset(buckets, 0, PROBE_BUCKETS * sizeof(*buckets));
	cJSON_ArrayForEach (pair, cJSON_GetObjectItemCaseSensitive(object, "response_buckets")) {
		uint64_t index = whole_of(cJSON_GetArrayItem(pair, 0), 1e6);

		if (index >= PROBE_BUCKETS)
			return -EBADMSG;
		buckets[index] = whole_of(cJSON_GetArrayItem(pair, 1), 0x1p62);
	}
	return 0;
}

static int read_listener(const cJSON *object, struct recorded *out, char reason[160])
{
	size_t index = out->listeners.count;
	struct listener_sample *listener = vec_push(&out->listeners);
	struct owner *owner = vec_push(&out->owners);
	struct placed *placed = vec_push(&out->placed);
	char id[24], *end = NULL;

	read_text(object, "id", id, sizeof(id));
	listener->id = strtoull(id, &end, 16);
	if (!*id || *end) {
		snprintf(reason, 160, "listener %zu: found id \"%s\", expected it in hexadecimal",
			 index, id);
		return -EBADMSG;
	}
	if (read_address(object, listener->address) < 0) {
		snprintf(reason, 160, "listener %zu: expected an address of 32 hexadecimal digits",
			 index);
		return -EBADMSG;
	}
	for (size_t i = 0; i < lab_listener_fields_count; i++)
		read_field(object, &lab_listener_fields[i], listener);
	read_text(object, "comm", listener->comm, sizeof(listener->comm));
	if (read_buckets(object, out->buckets + index * PROBE_BUCKETS) < 0) {
		snprintf(reason, 160, "listener %zu: a response time bucket beyond %d", index,
			 PROBE_BUCKETS - 1);
		return -EBADMSG;
	}
	read_owner(cJSON_GetObjectItemCaseSensitive(object, "owner"), owner);
	read_usage(cJSON_GetObjectItemCaseSensitive(object, "usage"), &placed->usage);
	return 0;
}

int recorded_parse(const char *json, size_t length, struct recorded *out, char reason[160])
{
	_cleanup_(free_json)
	cJSON *line = cJSON_ParseWithLength(json, length);
	const cJSON *listeners = cJSON_GetObjectItemCaseSensitive(line, "listeners");
	const cJSON *listener;
	size_t count = (size_t)cJSON_GetArraySize(listeners);
	int r;

	recorded_clear(out);
	if (!cJSON_IsObject(line) || !cJSON_IsArray(listeners) || count > LISTENERS_MAX ||
	    number_of(cJSON_GetObjectItemCaseSensitive(line, "v")) != 1) {
		snprintf(reason, 160,
			 "expected a JSON object with \"v\":1, \"time_ns\" and \"listeners\"");
		return -EBADMSG;
	}
	out->sample.time_ns = whole_of(cJSON_GetObjectItemCaseSensitive(line, "time_ns"), 0x1p62);
	if (!out->sample.time_ns) {
		snprintf(reason, 160, "expected a \"time_ns\" above 0");
		return -EBADMSG;
	}
	read_usage(cJSON_GetObjectItemCaseSensitive(line, "host"), &out->host);
	out->buckets = vec_grow(out->buckets, &out->buckets_capacity, MAX(count, 1) * PROBE_BUCKETS,
				sizeof(*out->buckets));
	cJSON_ArrayForEach (listener, listeners) {
		r = read_listener(listener, out, reason);
		if (r < 0)
			return r;
	}
	recorded_link(out);
	return 0;
}
