/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog is written as JSON: one type and one zone a line. */
#include <math.h>

#include "plan/snapshot_private.h"

#define FIELD(type, kind, name, member)                            \
	{                                                          \
		name, FIELD_##kind, offsetof(struct type, member), \
			sizeof(((struct type *)0)->member)         \
	}

static const struct field OF_TYPE[] = {
	FIELD(instance_type, NUMBER, "vcpus", vcpus),
	FIELD(instance_type, NUMBER, "memory_mib", memory_mib),
	FIELD(instance_type, FLAG, "bare_metal", bare_metal),
	FIELD(instance_type, TEXT, "hypervisor", hypervisor),
	FIELD(instance_type, TEXT, "cpu_manufacturer", cpu_manufacturer),
	FIELD(instance_type, NUMBER, "cpu_clock_mhz", cpu_clock_mhz),
	FIELD(instance_type, NUMBER, "interfaces", interfaces),
	FIELD(instance_type, NUMBER, "addresses_per_interface", addresses_per_interface),
	FIELD(instance_type, NUMBER, "network_mbps", network_mbps),
	FIELD(instance_type, NUMBER, "ebs_mbps", ebs_mbps),
	FIELD(instance_type, NUMBER, "local_disk_gb", local_disk_gb),
	FIELD(instance_type, NUMBER, "local_nvme_gb", local_nvme_gb),
	FIELD(instance_type, NUMBER, "neuron_devices", neuron_devices),
	FIELD(instance_type, NUMBER, "neuron_cores", neuron_cores),
	FIELD(instance_type, NUMBER, "efa", efa_interfaces),
	FIELD(instance_type, NUMBER, "pod_eni", pod_eni),
	FIELD(instance_type, FLAG, "current_generation", current_generation),
	FIELD(instance_type, FLAG, "burstable", burstable),
	FIELD(instance_type, FLAG, "spot", spot),
	FIELD(instance_type, FLAG, "on_demand", on_demand),
	FIELD(instance_type, FLAG, "encryption_in_transit", encryption_in_transit),
};

static const struct field OF_ACCELERATOR[] = {
	FIELD(accelerator, TEXT, "manufacturer", manufacturer),
	FIELD(accelerator, TEXT, "name", name),
	FIELD(accelerator, NUMBER, "count", count),
	FIELD(accelerator, NUMBER, "memory_mib", memory_mib),
};

const struct fields TYPE_FIELDS = {OF_TYPE, ARRAY_SIZE(OF_TYPE)};
const struct fields ACCELERATOR_FIELDS = {OF_ACCELERATOR, ARRAY_SIZE(OF_ACCELERATOR)};

/* The shortest text that reads back as the same number. */
static void add_price(struct text *out, double usd)
{
	char text[32];

	if (isnan(usd)) {
		text_add(out, "null");
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, usd);
		if (strtod(text, NULL) == usd)
			break;
	}
	text_add(out, text);
}

static uint64_t number_of(const struct field *field, const char *at)
{
	switch (field->size) {
	case sizeof(uint16_t):
		return *(const uint16_t *)at;
	case sizeof(uint32_t):
		return *(const uint32_t *)at;
	default:
		return *(const uint64_t *)at;
	}
}

static void add_fields(struct text *out, const void *object, const struct fields *fields,
		       const char *before)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->at[i];
		const char *at = (const char *)object + field->offset;

		text_printf(out, "%s\"%s\":", i ? "," : before, field->key);
		if (field->kind == FIELD_TEXT)
			text_add_json(out, at);
		else if (field->kind == FIELD_FLAG)
			text_add(out, *(const bool *)at ? "true" : "false");
		else
			text_printf(out, "%llu", (unsigned long long)number_of(field, at));
	}
}

static void add_accelerator(struct text *out, const char *key,
			    const struct accelerator *accelerator)
{
	if (!*accelerator->manufacturer)
		return;
	text_printf(out, ",\"%s\":{", key);
	add_fields(out, accelerator, &ACCELERATOR_FIELDS, "");
	text_add_char(out, '}');
}

static void add_type(struct text *out, const struct instance_type *type)
{
	text_add(out, "{\"name\":");
	text_add_json(out, type->name);
	text_printf(out, ",\"arch\":[%s%s%s]", type->amd64 ? "\"amd64\"" : "",
		    type->amd64 && type->arm64 ? "," : "", type->arm64 ? "\"arm64\"" : "");
	add_fields(out, type, &TYPE_FIELDS, ",");
	add_accelerator(out, "gpus", &type->gpus);
	add_accelerator(out, "accelerators", &type->accelerators);
	text_add(out, ",\"usd_per_hour\":");
	add_price(out, type->usd_per_hour);
	text_add_char(out, '}');
}

/* Each zone once, where its id is known. */
static void add_zone_ids(struct text *out, const struct catalog *catalog)
{
	VEC(const struct type_zone *) seen = {0};

	for (size_t i = 0; i < catalog->zones_count; i++) {
		const struct type_zone *zone = &catalog->zones[i];
		bool known = !*zone->zone_id;

		vec_for_each (other, &seen)
			known |= strcmp((*other)->zone, zone->zone) == 0;
		if (known)
			continue;
		text_add(out, seen.count ? "," : "\"zone_ids\":{");
		*vec_push(&seen) = zone;
		text_add_json(out, zone->zone);
		text_add_char(out, ':');
		text_add_json(out, zone->zone_id);
	}
	if (seen.count)
		text_add(out, "},\n");
	vec_free(&seen);
}

void catalog_write(const struct catalog *catalog, struct text *out)
{
	text_printf(out, "{\"v\":%d,\"region\":", CATALOG_VERSION);
	text_add_json(out, catalog->region);
	if (*catalog->filter) {
		text_add(out, ",\"filter\":");
		text_add_json(out, catalog->filter);
	}
	text_printf(out,
		    ",\"snapshot\":%s,\"fetched_wall_us\":%llu,\"priced_wall_us\":%llu,"
		    "\"spot_wall_us\":%llu,\n",
		    catalog->snapshot ? "true" : "false",
		    (unsigned long long)(catalog->fetched_wall_ns / NS_PER_US),
		    (unsigned long long)(catalog->priced_wall_ns / NS_PER_US),
		    (unsigned long long)(catalog->spot_wall_ns / NS_PER_US));
	add_zone_ids(out, catalog);
	text_add(out, "\"types\":[");
	for (size_t i = 0; i < catalog->types_count; i++) {
		text_add(out, i ? ",\n" : "\n");
		add_type(out, &catalog->types[i]);
	}
	text_add(out, "],\n\"zones\":[");
	for (size_t i = 0; i < catalog->zones_count; i++) {
		text_add(out, i ? ",\n[" : "\n[");
		text_add_json(out, catalog->zones[i].type);
		text_add_char(out, ',');
		text_add_json(out, catalog->zones[i].zone);
		text_add_char(out, ',');
		add_price(out, catalog->zones[i].spot_usd_per_hour);
		text_add_char(out, ']');
	}
	text_add(out, "]}\n");
}
