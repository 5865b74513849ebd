/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an order takes of the offers: each that has room for all of it, the cheapest types first,
 * and of a pool that asks for different values of a label (minValues) no fewer than those.
 */
#include <math.h>

#include "core/core_private.h"

static bool offer_failed(const struct record *record, const struct offer *offer,
			 enum capacity_type type)
{
	if (!record)
		return false;
	if (record->usd_below > 0 && !(offer->override.usd_per_hour < record->usd_below))
		return true;
	vec_for_each (entry, &record->failed)
		if (no_capacity_covers(entry, offer->override.instance_type, offer->override.zone,
				       type))
			return true;
	return false;
}

size_t offers_left(const struct offers *offers, const struct record *record,
		   enum capacity_type type)
{
	size_t left = 0;

	vec_for_each (offer, &offers->list)
		left += !offer_failed(record, offer, type);
	return left;
}

/* The most of which at least one offer stays within every limit of these kinds. */
uint32_t most_that_fit(const struct offers *offers, const struct record *record,
		       enum capacity_type type, const struct room *room, uint32_t kinds)
{
	uint32_t most = 0;

	vec_for_each (offer, &offers->list)
		if (!offer_failed(record, offer, type))
			most = MAX(most, offer_room(offer, room, kinds));
	return most;
}

static void take_nothing(struct launch_plan *plan)
{
	vec_clear(&plan->overrides);
	vec_clear(&plan->offered);
	plan->vcpus_worst = 0;
	plan->memory_mib_worst = 0;
	plan->usd_worst = 0;
}

static bool new_type(const struct launch_plan *plan, const char *type)
{
	vec_for_each (override, &plan->overrides)
		if (strcmp(override->instance_type, type) == 0)
			return false;
	return true;
}

static void take(struct launch_plan *plan, const struct offers *offers, const struct record *record,
		 const struct room *room)
{
	size_t types = 0;

	take_nothing(plan);
	vec_for_each (offer, &offers->list) {
		if (offer_failed(record, offer, plan->capacity_type) ||
		    offer_room(offer, room, ROOM_ALL) < plan->count)
			continue;
		if (new_type(plan, offer->override.instance_type) && types++ >= TYPES_PER_ORDER) {
			types = TYPES_PER_ORDER;
			continue;
		}
		*vec_push(&plan->overrides) = offer->override;
		*vec_push(&plan->offered) = offer->offering;
		plan->vcpus_worst = MAX(plan->vcpus_worst, offer->override.vcpus);
		plan->memory_mib_worst = MAX(plan->memory_mib_worst, offer->override.memory_mib);
		if (isnan(offer->override.usd_per_hour) || isnan(plan->usd_worst))
			plan->usd_worst = NAN;
		else
			plan->usd_worst = MAX(plan->usd_worst, offer->override.usd_per_hour);
	}
}

/* The fewer are ordered, the more types have room for all of them: so many that minValues are kept.
 */
bool plan_take(const struct policy_state *policy, const struct record *record,
	       const struct room *room, struct launch_plan *plan, struct missing_values *missing)
{
	const struct offers *offers = policy_offers(policy, plan->capacity_type);
	uint32_t kept = 0, lost = plan->count;

	*missing = (struct missing_values){0};
	take(plan, offers, record, room);
	if (!values_missing(policy, plan, missing))
		return true;
	while (lost - kept > 1) {
		plan->count = kept + (lost - kept) / 2;
		take(plan, offers, record, room);
		if (values_missing(policy, plan, missing))
			lost = plan->count;
		else
			kept = plan->count;
	}
	plan->count = kept;
	take_nothing(plan);
	if (kept)
		take(plan, offers, record, room);
	return kept > 0;
}
