/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each pool may buy, worked out when catalog, class or the memory of what had no capacity
 * change, so that a decision only has to take it.
 */
#include <math.h>

#include "core/core_private.h"

bool no_capacity_covers(const struct no_capacity *entry, const char *instance_type,
			const char *zone, enum capacity_type type)
{
	return entry->capacity_type == type &&
	       (!*entry->instance_type || strcmp(entry->instance_type, instance_type) == 0) &&
	       (!*entry->zone || strcmp(entry->zone, zone) == 0);
}

static bool has_no_capacity(const struct core *core, const struct offering *offering)
{
	vec_for_each (entry, &core->no_capacity)
		if (no_capacity_covers(entry, offering->instance_type, offering->zone,
				       offering->capacity_type))
			return true;
	return false;
}

void no_capacity_remember(struct core *core, const char *instance_type, const char *zone,
			  enum capacity_type type, uint64_t now_ns)
{
	uint64_t until_ns = now_ns + core->config.limits.no_capacity_ns;
	struct no_capacity *entry;

	vec_for_each (known, &core->no_capacity)
		if (known->capacity_type == type &&
		    strcmp(known->instance_type, instance_type) == 0 &&
		    strcmp(known->zone, zone) == 0) {
			known->until_ns = until_ns;
			return;
		}
	entry = vec_push(&core->no_capacity);
	set_text(entry->instance_type, instance_type);
	set_text(entry->zone, zone);
	entry->capacity_type = type;
	entry->until_ns = until_ns;
}

/* Forgets what is old; true when something was forgotten. */
bool no_capacity_decay(struct core *core, uint64_t now_ns)
{
	size_t before = core->no_capacity.count;

	for (size_t i = core->no_capacity.count; i-- > 0;)
		if (core->no_capacity.at[i].until_ns <= now_ns)
			vec_remove(&core->no_capacity, i);
	return core->no_capacity.count != before;
}

/* One subnet a zone: the one with most free addresses, as Karpenter chooses. */
static const struct subnet *subnet_of(const struct class_state *class, const char *zone)
{
	const struct subnet *best = NULL;

	vec_for_each (subnet, &class->subnets)
		if (strcmp(subnet->zone, zone) == 0 && subnet->free_addresses > 0 &&
		    (!best || subnet->free_addresses > best->free_addresses))
			best = subnet;
	return best;
}

static int offer_compare(const void *left, const void *right)
{
	const struct offer *a = left, *b = right;
	double pa = isnan(a->override.usd_per_hour) ? INFINITY : a->override.usd_per_hour;
	double pb = isnan(b->override.usd_per_hour) ? INFINITY : b->override.usd_per_hour;
	int order;

	if (pa != pb)
		return pa < pb ? -1 : 1;
	order = strcmp(a->override.instance_type, b->override.instance_type);
	return order ? order : strcmp(a->override.zone, b->override.zone);
}

/* Spot that costs more than the cheapest on-demand is not wanted where both are allowed, as
 * Karpenter's filterUnwantedSpot. */
static void drop_dear_spot(struct offers offers[CAPACITY_TYPES])
{
	struct offers *spot = &offers[CAPACITY_SPOT];
	struct offers *on_demand = &offers[CAPACITY_ON_DEMAND];
	double least;

	if (!on_demand->list.count)
		return;
	least = on_demand->list.at[0].override.usd_per_hour;
	for (size_t i = spot->list.count; i-- > 0 && !isnan(least);)
		if (spot->list.at[i].override.usd_per_hour > least)
			vec_remove(&spot->list, i);
}

/* Whether the pool's requirements leave that reservation, too. */
static bool reservation_wanted(const struct pool *pool, const struct offering *offering,
			       const struct capacity_reservation *reservation)
{
	struct offering of = *offering;

	set_text(of.reservation, reservation->id);
	of.reservation_kind = reservation->kind;
	return offering_matches(&of, pool);
}

/* The one with the most room left; of a better kind (default, block, ...) before that. */
static const struct capacity_reservation *reservation_of(const struct core *core,
							 const struct pool_state *pool,
							 const struct offering *offering)
{
	const struct capacity_reservation *best = NULL;

	vec_for_each (it, &pool->class->reservations) {
		if (strcmp(it->instance_type, offering->instance_type) != 0 ||
		    strcmp(it->zone, offering->zone) != 0 || !it->available ||
		    (it->ends_wall_ns && it->ends_wall_ns <= core->now_wall_ns) ||
		    !reservation_wanted(pool->pool, offering, it))
			continue;
		if (!best || it->kind < best->kind ||
		    (it->kind == best->kind && it->available > best->available))
			best = it;
	}
	return best;
}

/* One call is for one kind of reservation: the first that there is. */
static void drop_other_kinds(struct offers *offers)
{
	enum reservation_kind kind = RESERVATION_DEFAULT;

	vec_for_each (offer, &offers->list)
		if (offer == offers->list.at || offer->reservation < kind)
			kind = offer->reservation;
	for (size_t i = offers->list.count; i-- > 0;)
		if (offers->list.at[i].reservation != kind)
			vec_remove(&offers->list, i);
}

static void offer_add(struct core *core, const struct pool_state *pool,
		      const struct offering *offering, struct offers offers[CAPACITY_TYPES])
{
	const struct subnet *subnet = subnet_of(pool->class, offering->zone);
	const struct capacity_reservation *reservation =
		offering->capacity_type == CAPACITY_RESERVED ? reservation_of(core, pool, offering)
							     : NULL;
	const struct launch_template *template =
		launch_template_for(pool->class->templates.at, pool->class->templates.count,
				    offering, pool->pool->name, reservation ? reservation->id : "");
	struct offer *offer;

	if (!subnet || !template || (offering->capacity_type == CAPACITY_RESERVED && !reservation))
		return;
	offer = vec_push(&offers[offering->capacity_type].list);
	offer->offering = (size_t)(offering - pool->offerings.at);
	offer->override.vcpus = offering->vcpus;
	offer->override.memory_mib = offering->memory_mib;
	set_text(offer->override.instance_type, offering->instance_type);
	set_text(offer->override.zone, offering->zone);
	set_text(offer->override.subnet_id, subnet->id);
	set_text(offer->override.launch_template, template->name);
	offer->override.usd_per_hour = offering->usd_per_hour;
	offer->override.priority = -1;
	offer->resources = pool_resources_of(pool, offering->instance_type);
	offer->reservation = reservation ? reservation->kind : RESERVATION_DEFAULT;
	offer->reserved = reservation ? reservation->available : 0;
	offer->subnet = subnet_find(core, subnet->id);
	offer->quota = quota_find(core, offering->instance_type, offering->capacity_type);
}

/* Without narrowed, all that the pool may buy; else what of it is for that policy. */
static void offers_rebuild(struct core *core, const struct pool_state *pool,
			   const struct policy_state *narrowed,
			   struct offers offers[CAPACITY_TYPES])
{
	for (size_t t = 0; t < CAPACITY_TYPES; t++)
		vec_clear(&offers[t].list);
	if (!pool->class || !pool->class->ready)
		return;
	for (size_t i = 0; i < pool->offerings.count; i++)
		if ((!narrowed || narrowed->fits.at[i]) &&
		    !has_no_capacity(core, &pool->offerings.at[i]))
			offer_add(core, pool, &pool->offerings.at[i], offers);
	for (size_t t = 0; t < CAPACITY_TYPES; t++)
		if (offers[t].list.count)
			qsort(offers[t].list.at, offers[t].list.count, sizeof(struct offer),
			      offer_compare);
	drop_dear_spot(offers);
	drop_other_kinds(&offers[CAPACITY_RESERVED]);
}

void offers_rebuild_all(struct core *core)
{
	for (size_t i = 0; i < core->pools_count; i++)
		offers_rebuild(core, &core->pools[i], NULL, core->pools[i].offers);
	for (size_t i = 0; i < core->policies_count; i++) {
		struct policy_state *policy = &core->policies[i];

		if (policy->narrowed)
			offers_rebuild(core, policy->pool, policy, policy->offers);
	}
}

struct pool_state *pool_find(struct core *core, const char *name)
{
	struct pool_state *pool = map_get(&core->pools_by_name, hash_text(name));

	return pool && strcmp(pool->pool->name, name) == 0 ? pool : NULL;
}

/* Size and price of an instance, from its pool's offerings. What spot costs is what it costs now;
 * an assumed price only stands in until one is known. */
void instance_describe(struct core *core, struct instance *instance)
{
	struct pool_state *pool = pool_find(core, instance->pool);

	if (!pool || (instance->capacity_type != CAPACITY_SPOT && instance->vcpus &&
		      !isnan(instance->usd_per_hour)))
		return;
	vec_for_each (offering, &pool->offerings)
		if (strcmp(offering->instance_type, instance->instance_type) == 0) {
			instance->vcpus = offering->vcpus;
			instance->memory_mib = offering->memory_mib;
			if (strcmp(offering->zone, instance->zone) == 0 &&
			    offering->capacity_type == instance->capacity_type &&
			    (isnan(instance->usd_per_hour) || !offering->price_assumed))
				instance->usd_per_hour = offering->usd_per_hour;
		}
}
