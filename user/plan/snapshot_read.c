/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's JSON is read piece by piece, so that no tree of the whole is ever in memory. */
#include <math.h>

#include <cjson/cJSON.h>

#include "plan/snapshot_private.h"

#define WARNINGS_MAX 8 /* of one file, said one by one */
#define NUMBER_MAX 9007199254740991.0 /* whole numbers up to here are exact in a double */

struct reader {
	const char *file, *start, *at, *end;
	struct problems *problems;
	size_t warnings;
	bool head; /* the version was seen, and is ours */
	struct catalog facts; /* region and times */
	VEC(struct instance_type) types;
	VEC(struct type_zone) zones;
	VEC(struct zone_id) zone_ids;
};

static struct yaml_node place(const struct reader *reader, const char *at)
{
	struct yaml_node node = {.file = reader->file, .line = 1, .column = 1};

	for (const char *c = reader->start; c < at; c++) {
		node.column = *c == '\n' ? 1 : node.column + 1;
		node.line += *c == '\n';
	}
	return node;
}

static int damaged(struct reader *reader, const char *expected)
{
	struct yaml_node node = place(reader, reader->at);

	problem_at(reader->problems, &node,
		   "no catalog of instance types: %s is expected here; remove the file, or "
		   "fetch it again with forerun plan --refresh",
		   expected);
	return -EBADMSG;
}

static void warn(struct reader *reader, const char *at, const char *what, const char *name,
		 const char *then)
{
	struct yaml_node node;

	if (reader->warnings++ >= WARNINGS_MAX)
		return;
	node = place(reader, at);
	warning_at(reader->problems, &node, "%s%s%s; %s", name, *name ? ": " : "", what, then);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct reader *reader)
{
	while (reader->at < reader->end && is_space(*reader->at))
		reader->at++;
}

static bool take_char(struct reader *reader, char c)
{
	skip_space(reader);
	if (reader->at >= reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* One JSON value; the caller frees. NULL: there is none. */
static cJSON *take_value(struct reader *reader)
{
	const char *end = NULL;
	cJSON *value;

	skip_space(reader);
	value = cJSON_ParseWithLengthOpts(reader->at, (size_t)(reader->end - reader->at), &end,
					  false);
	if (value)
		reader->at = end;
	return value;
}

static const cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool whole_number(const cJSON *value, double most, uint64_t *out)
{
	double number = cJSON_IsNumber(value) ? value->valuedouble : -1;

	if (!(number >= 0 && number <= MIN(most, NUMBER_MAX)) || number != floor(number))
		return false;
	*out = (uint64_t)number;
	return true;
}

static bool set_number(char *at, size_t size, const cJSON *value)
{
	double most = size == sizeof(uint16_t)	 ? UINT16_MAX
		      : size == sizeof(uint32_t) ? UINT32_MAX
						 : NUMBER_MAX;
	uint64_t number;

	if (!whole_number(value, most, &number))
		return false;
	if (size == sizeof(uint16_t))
		*(uint16_t *)at = (uint16_t)number;
	else if (size == sizeof(uint32_t))
		*(uint32_t *)at = (uint32_t)number;
	else
		*(uint64_t *)at = number;
	return true;
}

/* What AWS calls things: printable ASCII, which no terminal and no label minds. */
static bool set_string(char *at, size_t size, const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);
	size_t length = text ? strlen(text) : size;

	if (length >= size)
		return false;
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			return false;
	memcpy(at, text, length + 1);
	return true;
}

/* The field of that name; from: where the one before was found, as they stand in order. */
static const struct field *field_of(const struct fields *fields, const char *key, size_t *from)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->at[(*from + i) % fields->count];

		if (strcmp(field->key, key) == 0) {
			*from += i + 1;
			return field;
		}
	}
	return NULL;
}

/* Fields that are not there stay 0. The key of the first that cannot be; NULL: all are good. */
static const char *read_fields(const cJSON *from, void *object, const struct fields *fields)
{
	const cJSON *value;
	size_t next = 0;

	cJSON_ArrayForEach (value, from) {
		const struct field *field =
			value->string ? field_of(fields, value->string, &next) : NULL;
		char *at = (char *)object + (field ? field->offset : 0);
		bool good = true;

		if (!field)
			continue;
		if (field->kind == FIELD_NUMBER)
			good = set_number(at, field->size, value);
		else if (field->kind == FIELD_TEXT)
			good = set_string(at, field->size, value);
		else if ((good = cJSON_IsBool(value)))
			*(bool *)at = cJSON_IsTrue(value);
		if (!good)
			return field->key;
	}
	return NULL;
}

static const char *read_accelerator(const cJSON *from, struct accelerator *out)
{
	return from ? read_fields(from, out, &ACCELERATOR_FIELDS) : NULL;
}

static double read_price(struct reader *reader, const char *at, const cJSON *value,
			 const char *name)
{
	if (!value || cJSON_IsNull(value))
		return NAN;
	if (cJSON_IsNumber(value) && isfinite(value->valuedouble) && value->valuedouble > 0)
		return value->valuedouble;
	warn(reader, at, "its price is no number above 0", name, "it is taken as not known");
	return NAN;
}

static const char *read_type_fields(const cJSON *from, struct instance_type *type)
{
	const cJSON *arch;
	const char *wrong;

	if (!set_string(type->name, sizeof(type->name), member(from, "name")) || !*type->name)
		return "name";
	cJSON_ArrayForEach (arch, member(from, "arch")) {
		type->amd64 |= str_equal(cJSON_GetStringValue(arch), "amd64");
		type->arm64 |= str_equal(cJSON_GetStringValue(arch), "arm64");
	}
	if (!type->amd64 && !type->arm64)
		return "arch";
	wrong = read_fields(from, type, &TYPE_FIELDS);
	if (!wrong)
		wrong = read_accelerator(member(from, "gpus"), &type->gpus);
	if (!wrong)
		wrong = read_accelerator(member(from, "accelerators"), &type->accelerators);
	if (!wrong && (!type->vcpus || !type->memory_mib))
		wrong = type->vcpus ? "memory_mib" : "vcpus";
	return wrong;
}

static void read_type(struct reader *reader, const char *at, const cJSON *from)
{
	struct instance_type type = {0};
	const char *wrong = read_type_fields(from, &type);
	char what[96];

	if (wrong) {
		snprintf(what, sizeof(what), "\"%s\" is missing or cannot be", wrong);
		warn(reader, at, what, *type.name ? type.name : "an instance type",
		     "it is left out");
		return;
	}
	type.usd_per_hour = read_price(reader, at, member(from, "usd_per_hour"), type.name);
	*vec_push(&reader->types) = type;
}

static void read_zone(struct reader *reader, const char *at, const cJSON *from)
{
	struct type_zone zone = {0};

	if (!set_string(zone.type, sizeof(zone.type), cJSON_GetArrayItem(from, 0)) ||
	    !set_string(zone.zone, sizeof(zone.zone), cJSON_GetArrayItem(from, 1)) || !*zone.zone) {
		warn(reader, at, "not [type, zone, price]", "a zone", "it is left out");
		return;
	}
	zone.spot_usd_per_hour = read_price(reader, at, cJSON_GetArrayItem(from, 2), zone.type);
	*vec_push(&reader->zones) = zone;
}

static int read_list(struct reader *reader, const char *expected,
		     void (*fn)(struct reader *reader, const char *at, const cJSON *from))
{
	if (!take_char(reader, '['))
		return damaged(reader, expected);
	if (take_char(reader, ']'))
		return 0;
	do {
		const char *at;
		cJSON *item;

		skip_space(reader);
		at = reader->at;
		item = take_value(reader);
		if (!item)
			return damaged(reader, "JSON");
		fn(reader, at, item);
		cJSON_Delete(item);
	} while (take_char(reader, ','));
	return take_char(reader, ']') ? 0 : damaged(reader, "\",\" or \"]\"");
}

static int other_version(struct reader *reader)
{
	struct yaml_node node = place(reader, reader->at);

	problem_at(reader->problems, &node,
		   "a catalog of another version; this forerun reads version %d: fetch it again "
		   "with forerun plan --refresh",
		   CATALOG_VERSION);
	return -ESTALE;
}

static bool read_fact(struct reader *reader, const char *key, const cJSON *value)
{
	static const struct {
		const char *key;
		size_t offset;
	} TIMES[] = {{"fetched_wall_us", offsetof(struct catalog, fetched_wall_ns)},
		     {"priced_wall_us", offsetof(struct catalog, priced_wall_ns)},
		     {"spot_wall_us", offsetof(struct catalog, spot_wall_ns)}};

	if (strcmp(key, "region") == 0)
		return set_string(reader->facts.region, sizeof(reader->facts.region), value);
	if (strcmp(key, "filter") == 0)
		return set_string(reader->facts.filter, sizeof(reader->facts.filter), value);
	if (strcmp(key, "snapshot") == 0) {
		reader->facts.snapshot = cJSON_IsTrue(value);
		return cJSON_IsBool(value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(TIMES); i++) {
		uint64_t us = 0;

		if (strcmp(key, TIMES[i].key) != 0)
			continue;
		if (!whole_number(value, (double)(INT64_MAX / NS_PER_US), &us))
			return false;
		*(uint64_t *)((char *)&reader->facts + TIMES[i].offset) = us * NS_PER_US;
	}
	return true;
}

static bool read_zone_ids(struct reader *reader, const cJSON *value)
{
	const cJSON *id;

	cJSON_ArrayForEach (id, value) {
		struct zone_id zone = {0};
		size_t length = id->string ? strlen(id->string) : sizeof(zone.zone);

		if (length >= sizeof(zone.zone) || !set_string(zone.id, sizeof(zone.id), id))
			return false;
		memcpy(zone.zone, id->string, length);
		*vec_push(&reader->zone_ids) = zone;
	}
	return cJSON_IsObject(value);
}

static void name_zones(struct reader *reader)
{
	vec_for_each (zone, &reader->zones)
		vec_for_each (known, &reader->zone_ids)
			if (strcmp(known->zone, zone->zone) == 0)
				memcpy(zone->zone_id, known->id, sizeof(zone->zone_id));
}

/* The value of one key of the whole. */
static int read_member(struct reader *reader, const char *key)
{
	bool known = true, current = true;
	cJSON *value;

	if (strcmp(key, "types") == 0)
		return read_list(reader, "a list of instance types", read_type);
	if (strcmp(key, "zones") == 0)
		return read_list(reader, "a list of zones", read_zone);
	value = take_value(reader);
	if (!value)
		return damaged(reader, "JSON");
	if (strcmp(key, "v") == 0 || strcmp(key, "version") == 0) {
		current = *key == 'v' && !key[1] && cJSON_IsNumber(value) &&
			  value->valuedouble == CATALOG_VERSION;
		reader->head = current;
	} else if (strcmp(key, "zone_ids") == 0) {
		known = read_zone_ids(reader, value);
	} else {
		known = read_fact(reader, key, value);
	}
	cJSON_Delete(value);
	if (!current)
		return other_version(reader);
	return known ? 0 : damaged(reader, "another value");
}

static int read_members(struct reader *reader)
{
	int r = 0;

	if (!take_char(reader, '{'))
		return damaged(reader, "\"{\"");
	do {
		cJSON *key = take_value(reader);

		if (!cJSON_IsString(key) || !take_char(reader, ':'))
			r = damaged(reader, "a key in quotes and \":\"");
		else
			r = read_member(reader, key->valuestring);
		cJSON_Delete(key);
	} while (r == 0 && take_char(reader, ','));
	if (r == 0 && !take_char(reader, '}'))
		r = damaged(reader, "\",\" or \"}\"");
	if (r == 0 && !reader->head)
		r = other_version(reader);
	if (r == 0 && !*reader->facts.region)
		r = damaged(reader, "\"region\"");
	return r;
}

static void warn_the_rest(struct reader *reader, const struct catalog *catalog)
{
	size_t dropped = reader->types.count - catalog->types_count;
	struct yaml_node node = place(reader, reader->at);

	if (dropped)
		warning_at(reader->problems, &node,
			   "instance types named twice: %zu; one of each counts", dropped);
	dropped = reader->zones.count - catalog->zones_count;
	if (dropped)
		warning_at(reader->problems, &node,
			   "zones of unknown types or named twice: %zu; left out", dropped);
	if (reader->warnings > WARNINGS_MAX)
		warning_at(reader->problems, &node, "%zu more like those before",
			   reader->warnings - WARNINGS_MAX);
}

int catalog_read(const char *file, const char *text, size_t length, struct catalog **out,
		 struct problems *problems)
{
	struct reader reader = {.file = file,
				.start = text,
				.at = text,
				.end = text + length,
				.problems = problems};
	int r = read_members(&reader);

	*out = NULL;
	if (r == 0) {
		struct catalog *catalog;

		name_zones(&reader);
		catalog = catalog_new(reader.types.at, reader.types.count, reader.zones.at,
				      reader.zones.count);

		memcpy(catalog->region, reader.facts.region, sizeof(catalog->region));
		memcpy(catalog->filter, reader.facts.filter, sizeof(catalog->filter));
		catalog->snapshot = reader.facts.snapshot;
		catalog->fetched_wall_ns = reader.facts.fetched_wall_ns;
		catalog->priced_wall_ns = reader.facts.priced_wall_ns;
		catalog->spot_wall_ns = reader.facts.spot_wall_ns;
		warn_the_rest(&reader, catalog);
		*out = catalog;
	}
	vec_free(&reader.types);
	vec_free(&reader.zones);
	vec_free(&reader.zone_ids);
	return r;
}
