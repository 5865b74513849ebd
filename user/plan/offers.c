/* SPDX-License-Identifier: Apache-2.0 */
/* A catalog made of instance types and the zones that offer them. */
#include <math.h>

#include "plan/catalog.h"

struct owned {
	struct catalog catalog; /* first: what others see of it */
	VEC(struct instance_type) types;
	VEC(struct type_zone) zones;
	struct offerings offerings;
};

static int compare_types(const void *a, const void *b)
{
	return strcmp(((const struct instance_type *)a)->name,
		      ((const struct instance_type *)b)->name);
}

static int compare_zones(const void *a, const void *b)
{
	const struct type_zone *left = a, *right = b;
	int order = strcmp(left->type, right->type);

	return order ? order : strcmp(left->zone, right->zone);
}

const struct instance_type *catalog_type(const struct catalog *catalog, const char *name)
{
	struct instance_type key = {0};
	size_t length = strlen(name);

	if (!catalog->types_count || length >= sizeof(key.name))
		return NULL;
	memcpy(key.name, name, length);
	return bsearch(&key, catalog->types, catalog->types_count, sizeof(key), compare_types);
}

static void take_types(struct owned *owned, const struct instance_type *types, size_t count)
{
	size_t kept = 0;

	if (!count)
		return;
	owned->types.at = vec_grow(NULL, &owned->types.capacity, count, sizeof(*types));
	memcpy(owned->types.at, types, count * sizeof(*types));
	qsort(owned->types.at, count, sizeof(*types), compare_types);
	for (size_t i = 0; i < count; i++)
		if (!kept || compare_types(&owned->types.at[kept - 1], &owned->types.at[i]) != 0)
			owned->types.at[kept++] = owned->types.at[i];
	owned->types.count = kept;
	owned->catalog.types = owned->types.at;
	owned->catalog.types_count = kept;
}

/* Types and zones are in the same order. */
static void take_zones(struct owned *owned, const struct type_zone *zones, size_t count)
{
	size_t kept = 0, type = 0;

	if (!count)
		return;
	owned->zones.at = vec_grow(NULL, &owned->zones.capacity, count, sizeof(*zones));
	memcpy(owned->zones.at, zones, count * sizeof(*zones));
	qsort(owned->zones.at, count, sizeof(*zones), compare_zones);
	for (size_t i = 0; i < count; i++) {
		const struct type_zone *zone = &owned->zones.at[i];

		while (type < owned->types.count &&
		       strcmp(owned->types.at[type].name, zone->type) < 0)
			type++;
		if (type == owned->types.count ||
		    strcmp(owned->types.at[type].name, zone->type) != 0 ||
		    (kept && compare_zones(&owned->zones.at[kept - 1], zone) == 0))
			continue;
		owned->zones.at[kept++] = *zone;
	}
	owned->zones.count = kept;
	owned->catalog.zones = owned->zones.at;
	owned->catalog.zones_count = kept;
}

static struct offering make(const struct instance_type *type, const struct type_zone *zone,
			    enum capacity_type capacity_type)
{
	struct offering offering = {
		.capacity_type = capacity_type,
		.architecture = type->amd64 ? ARCH_AMD64 : ARCH_ARM64,
		.vcpus = type->vcpus,
		.memory_mib = type->memory_mib,
		.bare_metal = type->bare_metal,
		.usd_per_hour = type->usd_per_hour,
		.type = type,
	};

	if (capacity_type == CAPACITY_SPOT) {
		offering.price_assumed = isnan(zone->spot_usd_per_hour);
		if (!offering.price_assumed)
			offering.usd_per_hour = zone->spot_usd_per_hour;
	}
	memcpy(offering.instance_type, type->name, sizeof(offering.instance_type));
	memcpy(offering.zone, zone->zone, sizeof(offering.zone));
	memcpy(offering.zone_id, zone->zone_id, sizeof(offering.zone_id));
	return offering;
}

void catalog_offer(const struct catalog *catalog,
		   bool (*wanted)(void *arg, const struct offering *offering), void *arg,
		   struct offerings *out)
{
	static const enum capacity_type BOTH[] = {CAPACITY_ON_DEMAND, CAPACITY_SPOT};
	size_t at = 0;

	for (size_t i = 0; i < catalog->zones_count; i++) {
		const struct type_zone *zone = &catalog->zones[i];
		const struct instance_type *type;

		while (at < catalog->types_count && strcmp(catalog->types[at].name, zone->type) < 0)
			at++;
		if (at == catalog->types_count)
			return;
		type = &catalog->types[at];
		for (size_t j = 0; j < ARRAY_SIZE(BOTH) && !strcmp(type->name, zone->type); j++) {
			struct offering offering = make(type, zone, BOTH[j]);

			if (BOTH[j] == CAPACITY_SPOT ? !type->spot : !type->on_demand)
				continue;
			if (!wanted || wanted(arg, &offering))
				*vec_push(&out->list) = offering;
		}
	}
}

struct catalog *catalog_new(const struct instance_type *types, size_t types_count,
			    const struct type_zone *zones, size_t zones_count)
{
	struct owned *owned = calloc(1, sizeof(*owned));

	if (!owned)
		abort();
	take_types(owned, types, types_count);
	take_zones(owned, zones, zones_count);
	catalog_offer(&owned->catalog, NULL, NULL, &owned->offerings);
	owned->catalog.offerings = owned->offerings.list.at;
	owned->catalog.count = owned->offerings.list.count;
	return &owned->catalog;
}

void catalog_free(struct catalog *catalog)
{
	struct owned *owned = (struct owned *)catalog;

	if (!owned)
		return;
	vec_free(&owned->types);
	vec_free(&owned->zones);
	vec_free(&owned->offerings.list);
	free(owned);
}
