/* SPDX-License-Identifier: Apache-2.0 */
/* What can be bought: types × zones × capacity types that some pool's requirements leave, with
 * their prices. */
#include "cloud/private.h"

#define TYPES_EVERY_NS (12 * 3600 * NS_PER_S)

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	catalog_fetch_types(arg);
}

static void on_spot_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	catalog_fetch_spot(arg);
}

static void on_price_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	catalog_fetch_prices(arg);
}

int catalog_init(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	int r;

	state->cloud = cloud;
	state->flags = CALL_RETRY;
	r = loop_timer_new(cloud->loop, on_timer, cloud, &state->timer);
	if (r >= 0)
		r = loop_timer_new(cloud->loop, on_spot_timer, cloud, &state->spot_timer);
	if (r >= 0)
		r = loop_timer_new(cloud->loop, on_price_timer, cloud, &state->price_timer);
	return r;
}

void catalog_close(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	if (state->timer)
		loop_timer_free(state->timer);
	if (state->spot_timer)
		loop_timer_free(state->spot_timer);
	if (state->price_timer)
		loop_timer_free(state->price_timer);
	vec_free(&state->types);
	vec_free(&state->zones);
	vec_free(&state->new_types);
	vec_free(&state->new_zones);
	vec_free(&state->offerings);
	vec_free(&state->quotas);
	free(state->price_token);
}

bool documents_want_spot(const struct documents *documents)
{
	vec_for_each (pool, &documents->pools) {
		bool spot = true;

		vec_for_each (term, &pool->requirements.list)
			if (strcmp(term->key, LABEL_CAPACITY_TYPE) == 0)
				spot &= label_term_matches(term, "spot");
		if (spot)
			return true;
	}
	return false;
}

static bool some_pool_takes(const struct cloud *cloud, const struct offering *offering)
{
	vec_for_each (pool, &cloud->documents->pools)
		if (offering_matches(offering, pool))
			return true;
	return false;
}

static bool zone_is_wanted(struct cloud *cloud, const struct type_zone *zone)
{
	const struct type_info *type = catalog_find(&cloud->catalog, zone->type);

	if (!type)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		struct offering offering = {
			.capacity_type = i & 1 ? CAPACITY_SPOT : CAPACITY_ON_DEMAND,
			.architecture = i & 2 ? ARCH_ARM64 : ARCH_AMD64,
			.vcpus = type->vcpus,
			.memory_mib = type->memory_mib,
			.bare_metal = type->bare_metal,
		};

		set_text(offering.instance_type, type->name);
		set_text(offering.zone, zone->zone);
		if ((i & 2 ? type->arm64 : type->amd64) && some_pool_takes(cloud, &offering))
			return true;
	}
	return false;
}

void catalog_prune(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	size_t kept = 0;

	vec_for_each (zone, &state->zones)
		if (zone_is_wanted(cloud, zone))
			state->zones.at[kept++] = *zone;
	state->zones.count = kept;
	kept = 0;
	/* Both are in the same order. */
	for (size_t i = 0, z = 0; i < state->types.count; i++) {
		const char *name = state->types.at[i].name;

		while (z < state->zones.count && strcmp(state->zones.at[z].type, name) < 0)
			z++;
		if (z < state->zones.count && strcmp(state->zones.at[z].type, name) == 0)
			state->types.at[kept++] = state->types.at[i];
	}
	state->types.count = kept;
}

static void offer(struct cloud *cloud, const struct type_info *type, const struct type_zone *zone,
		  enum architecture architecture, enum capacity_type capacity_type)
{
	bool spot = capacity_type == CAPACITY_SPOT;
	struct offering offering = {
		.capacity_type = capacity_type,
		.architecture = architecture,
		.vcpus = type->vcpus,
		.memory_mib = type->memory_mib,
		.bare_metal = type->bare_metal,
		.usd_per_hour = spot ? zone->spot_usd_per_hour : type->usd_per_hour,
	};

	set_text(offering.instance_type, type->name);
	set_text(offering.zone, zone->zone);
	if (some_pool_takes(cloud, &offering))
		*vec_push(&cloud->catalog.offerings) = offering;
}

void catalog_publish(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	vec_clear(&state->offerings);
	vec_for_each (zone, &state->zones) {
		const struct type_info *type = catalog_find(state, zone->type);

		if (!type)
			continue;
		for (int spot = 0; spot < 2; spot++) {
			if (type->amd64)
				offer(cloud, type, zone, ARCH_AMD64, (enum capacity_type)spot);
			if (type->arm64)
				offer(cloud, type, zone, ARCH_ARM64, (enum capacity_type)spot);
		}
	}
	state->view = (struct catalog){.offerings = state->offerings.at,
				       .count = state->offerings.count,
				       .fetched_wall_ns = state->fetched_wall_ns,
				       .quotas = state->quotas.at,
				       .quotas_count = state->quotas.count};
	if (!state->done)
		cloud->events.catalog(cloud->events.arg, &state->view);
}

void catalog_take_quotas(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	vec_clear(&state->quotas);
	vec_for_each (quota, &cloud->quotas.found)
		*vec_push(&state->quotas) = *quota;
	if (state->fetched_wall_ns)
		catalog_publish(cloud);
}

/* What is on disk serves until its time is over; spot prices are asked for at once. */
void catalog_start(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;
	uint64_t wall_ns = time_wall_ns(), age_ns;

	catalog_load(cloud);
	age_ns = wall_ns - MIN(wall_ns, state->fetched_wall_ns);
	if (!state->fetched_wall_ns || age_ns >= TYPES_EVERY_NS) {
		catalog_fetch_types(cloud);
		return;
	}
	loop_timer_at(state->timer, time_mono_ns() + TYPES_EVERY_NS - age_ns);
	if (!state->priced_wall_ns)
		catalog_fetch_prices(cloud);
	catalog_fetch_spot(cloud);
}
