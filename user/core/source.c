/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where instances come from, the fastest source first: those of a warm pool that still run, those
 * that rest, then CreateFleet: reserved, spot or on demand, so that the pool's share of spot is
 * kept. What each source would give and how long it takes stands in the decision.
 */
#include <math.h>

#include "core/drain.h"

/* Three of four of the newest are there in time, as the forecast reckons. */
#define SOURCE_QUANTILE 0.75

uint32_t plan_total(const struct launch_plan *plan)
{
	return plan->count + plan->later + (uint32_t)plan->starts.count;
}

/* ---- how long each takes ---- */

void source_learn(struct pool_state *pool, enum launch_source source, double seconds)
{
	struct source_times *times = &pool->sources[source];

	if (seconds > 0 && isfinite(seconds))
		times->seconds[times->count++ % LEAD_TIMES_KEPT] = seconds;
}

static int double_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double source_seconds(const struct pool_state *pool, enum launch_source source)
{
	const struct source_times *times = &pool->sources[source];
	size_t count = MIN(times->count, (uint64_t)LEAD_TIMES_KEPT);
	double sorted[LEAD_TIMES_KEPT];

	if (!count)
		return NAN;
	memcpy(sorted, times->seconds, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), double_compare);
	return sorted[(size_t)ceil(SOURCE_QUANTILE * (double)count) - 1];
}

enum launch_source source_of_fleet(enum capacity_type type)
{
	return type == CAPACITY_SPOT	   ? SOURCE_SPOT
	       : type == CAPACITY_RESERVED ? SOURCE_RESERVED
					   : SOURCE_ON_DEMAND;
}

static struct source_choice *choice(struct launch_plan *plan, const struct pool_state *pool,
				    enum launch_source source)
{
	struct source_choice *choice = &plan->sources[source];

	choice->asked = true;
	choice->seconds = source_seconds(pool, source);
	return choice;
}

void plan_sources(const struct launch_plan *plan, struct decision *decision)
{
	memcpy(decision->sources, plan->sources, sizeof(decision->sources));
}

/* ---- what is for one policy ---- */

/* What that policy may buy now: of its own when not all of its pool is for it. */
const struct offers *policy_offers(const struct policy_state *policy, enum capacity_type type)
{
	return policy->narrowed ? &policy->offers[type] : &policy->pool->offers[type];
}

bool policy_fits(const struct policy_state *policy, const struct instance *instance)
{
	const struct pool_state *pool = policy->pool;

	for (size_t i = 0; i < pool->offerings.count; i++) {
		const struct offering *offering = &pool->offerings.at[i];

		if (strcmp(offering->instance_type, instance->instance_type) == 0 &&
		    strcmp(offering->zone, instance->zone) == 0 &&
		    offering->capacity_type == instance->capacity_type)
			return !policy->narrowed || policy->fits.at[i];
	}
	return !pool->offerings.count && !policy->narrowed;
}

/* ---- spot as a kept share ---- */

struct share_count {
	uint32_t all, spot; /* of the pool's instances that are or become replicas */
};

static struct share_count share_count(const struct core *core, const struct pool_state *pool)
{
	struct share_count count = {0};

	vec_for_each (it, &core->lanes) {
		const struct lane *lane = *it;

		if (strcmp(lane->pool, pool->pool->name) != 0 || is_warm_name(lane->policy))
			continue;
		vec_for_each (instance, &lane->instances) {
			bool live = instance_live(*instance) && !instance_leaves(*instance);

			count.all += live;
			count.spot += live && (*instance)->capacity_type == CAPACITY_SPOT;
		}
		vec_for_each (open, &lane->orders) {
			uint32_t coming = order_coming(*open);

			count.all += coming;
			count.spot += (*open)->order.capacity_type == CAPACITY_SPOT ? coming : 0;
		}
	}
	return count;
}

double pool_spot_share(const struct core *core, const struct pool_state *pool)
{
	struct share_count count = share_count(core, pool);

	return count.all ? (double)count.spot / count.all : NAN;
}

/* How many of so many more are to be spot: as many as the band lets, for they cost less. Where no
 * whole number lies in the band, the one nearest to its middle. */
uint32_t spot_of(const struct spot_share *share, uint32_t all, uint32_t spot, uint32_t more)
{
	double total = (double)all + more;
	double most = floor(share->high * total + 1e-9) - spot;
	double least = ceil(share->low * total - 1e-9) - spot;
	double want = most >= least ? most : round((share->low + share->high) / 2 * total) - spot;

	return want <= 0 ? 0 : (uint32_t)MIN(want, (double)more);
}

/* ---- what CreateFleet is asked for ---- */

static bool has_offers(const struct policy_state *policy, const struct record *record,
		       enum capacity_type type)
{
	return offers_left(policy_offers(policy, type), record, type) > 0;
}

static void hold_nothing_to_buy(const struct core *core, const struct policy_state *policy,
				struct launch_plan *plan)
{
	const struct pool_state *pool = policy->pool;

	if (policy->narrowed && *policy->unfit && pool->offerings.count)
		plan_hold(plan, "offerings", BRAKE_COUNT,
			  "NodePool %s leaves nothing to buy for a replica (%s): %.170s",
			  pool->pool->name,
			  policy->policy->replica ? policy->policy->replica : "on demand",
			  policy->unfit);
	else
		plan_hold(plan, "offerings", BRAKE_COUNT,
			  "NodePool %s leaves nothing to buy: %zu offerings meet its requirements, "
			  "%zu kinds without capacity are remembered, none has a subnet, a launch "
			  "template and capacity",
			  pool->pool->name, pool->offerings.count, core->no_capacity.count);
}

static void share_choose(const struct core *core, const struct policy_state *policy,
			 struct launch_plan *plan)
{
	const struct spot_share *share = &policy->pool->pool->spot_share;
	struct share_count now = share_count(core, policy->pool);
	uint32_t spot;

	now.all += (uint32_t)plan->starts.count;
	spot = spot_of(share, now.all, now.spot, plan->count);
	if (spot && spot < plan->count) {
		plan->later = plan->count - spot; /* on demand, once this order has its end */
		plan->count = spot;
	}
	plan->capacity_type = spot ? CAPACITY_SPOT : CAPACITY_ON_DEMAND;
	snprintf(plan->sources[SOURCE_SPOT].why, sizeof(plan->sources[SOURCE_SPOT].why),
		 "%u of %u are spot, %g-%g %% are kept", now.spot, now.all, 100 * share->low,
		 100 * share->high);
}

/* As many as one reservation has room for; the rest comes from elsewhere. */
static void reserved_choose(const struct policy_state *policy, struct launch_plan *plan)
{
	const struct offers *offers = policy_offers(policy, CAPACITY_RESERVED);
	uint32_t most = 0;

	vec_for_each (offer, &offers->list)
		most = MAX(most, offer->reserved);
	plan->capacity_type = CAPACITY_RESERVED;
	plan->reservation = offers->list.at[0].reservation;
	plan->later = plan->count - MIN(plan->count, most);
	plan->count -= plan->later;
}

/* False: nothing is to be had; plan says why. */
bool choose_capacity_type(struct core *core, const struct policy_state *policy,
			  const struct record *record, struct launch_plan *plan)
{
	const struct pool_state *pool = policy->pool;
	const struct class_state *class = pool->class;
	bool spot = !policy->policy->on_demand && has_offers(policy, record, CAPACITY_SPOT);
	bool on_demand = has_offers(policy, record, CAPACITY_ON_DEMAND);
	struct source_choice *of_spot = &plan->sources[SOURCE_SPOT];

	if (!class || !class->ready) {
		plan_hold(plan, "class", BRAKE_COUNT, "EC2NodeClass %s is not ready: %s",
			  pool->pool->node_class ? pool->pool->node_class : "?",
			  class && *class->problem ? class->problem : "not resolved yet");
		return false;
	}
	if (pool->pool->auto_scaling_group) {
		if (!spot && !on_demand) {
			hold_nothing_to_buy(core, policy, plan);
			return false;
		}
		/* The group chooses; what it may cost at most is reckoned with the dearer kind. */
		choice(plan, pool, SOURCE_GROUP);
		plan->capacity_type = on_demand ? CAPACITY_ON_DEMAND : CAPACITY_SPOT;
		return true;
	}
	choice(plan, pool, SOURCE_SPOT);
	choice(plan, pool, SOURCE_ON_DEMAND);
	if (policy->policy->on_demand)
		set_text(of_spot->why, "it is to be on demand");
	else if (!spot)
		set_text(of_spot->why, "nothing is left to buy");
	if (!policy->want && !(record && record->reserved) &&
	    has_offers(policy, record, CAPACITY_RESERVED)) {
		choice(plan, pool, SOURCE_RESERVED);
		reserved_choose(policy, plan);
	} else if (spot && on_demand && pool->pool->spot_share.given) {
		share_choose(core, policy, plan);
	} else if (spot) {
		plan->capacity_type = CAPACITY_SPOT;
	} else if (on_demand) {
		plan->capacity_type = CAPACITY_ON_DEMAND;
	} else {
		hold_nothing_to_buy(core, policy, plan);
		return false;
	}
	return true;
}

/* ---- what is only to be started ---- */

/* What runs before what rests, then the cheapest, the oldest: whoever chooses, chooses the same. */
static bool goes_before(const struct instance *a, const struct instance *b)
{
	double pa = isnan(a->usd_per_hour) ? INFINITY : a->usd_per_hour;
	double pb = isnan(b->usd_per_hour) ? INFINITY : b->usd_per_hour;

	if ((a->state == INSTANCE_RUNNING) != (b->state == INSTANCE_RUNNING))
		return a->state == INSTANCE_RUNNING;
	if (pa != pb)
		return pa < pb;
	if (a->launched_wall_ns != b->launched_wall_ns)
		return a->launched_wall_ns < b->launched_wall_ns;
	return strcmp(a->id, b->id) < 0;
}

static bool is_chosen(const struct launch_plan *plan, const struct instance *instance)
{
	vec_for_each (it, &plan->starts)
		if (strcmp(it->id, instance->id) == 0)
			return true;
	return false;
}

static bool has_failed(const struct record *record, const struct instance *instance)
{
	if (!record || instance->state == INSTANCE_RUNNING)
		return false;
	vec_for_each (entry, &record->failed)
		if (no_capacity_covers(entry, instance->instance_type, instance->zone,
				       instance->capacity_type))
			return true;
	return false;
}

static void best_of(const struct core *core, const struct policy_state *policy,
		    const struct lane *lane, const struct record *record,
		    const struct launch_plan *plan, struct moment now, struct instance **best)
{
	vec_for_each (it, &lane->instances)
		if (instance_startable(core, policy, *it, now) && !is_chosen(plan, *it) &&
		    !has_failed(record, *it) && (!*best || goes_before(*it, *best)))
			*best = *it;
}

enum launch_source source_of_start(const struct pool_state *pool, const struct instance *instance)
{
	if (instance->state == INSTANCE_RUNNING)
		return SOURCE_ROOM;
	return pool->pool->warm.state == WARM_HIBERNATED ? SOURCE_HIBERNATED : SOURCE_STOPPED;
}

/* Within every limit that holds for it; a subnet's address it has already. */
static bool start_has_room(struct core *core, const struct pool_state *pool,
			   const struct instance *instance, const struct launch_plan *plan,
			   const struct room *room)
{
	struct offer offer = {.override = {.usd_per_hour = instance->usd_per_hour,
					   .vcpus = instance->vcpus,
					   .memory_mib = instance->memory_mib},
			      .resources = pool_resources_of(pool, instance->instance_type)};
	struct room left = *room;
	bool limited = !isinf(room->cpus) || !isinf(room->memory_mib);

	/* One that runs is counted already. */
	if (instance->state == INSTANCE_RUNNING)
		return true;
	if (limited && !instance->vcpus)
		return false;
	left.cpus -= plan->start_vcpus;
	left.memory_mib -= (double)plan->start_memory_mib;
	left.usd_hour -= plan->start_usd;
	left.usd_day -= plan->start_usd;
	left.nodes -= plan->start_nodes;
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		left.resources[i] -= plan->start_resources[i];
	offer.quota = core->quotas.count
			      ? quota_find(core, instance->instance_type, instance->capacity_type)
			      : NULL;
	if (offer.quota && offer.quota->vcpus_used + plan->start_vcpus + instance->vcpus >
				   offer.quota->quota.vcpus + 1e-9)
		return false;
	return offer_room(&offer, &left, ROOM_ALL & ~(ROOM_SUBNET | ROOM_QUOTA)) > 0;
}

static void start_take(struct core *core, struct pool_state *pool, struct instance *instance,
		       struct launch_plan *plan)
{
	struct launched_instance *start = vec_push(&plan->starts);
	const double *resources = pool_resources_of(pool, instance->instance_type);

	(void)core;
	set_text(start->id, instance->id);
	set_text(start->instance_type, instance->instance_type);
	set_text(start->zone, instance->zone);
	choice(plan, pool, source_of_start(pool, instance))->count++;
	plan->count--;
	if (instance->state == INSTANCE_RUNNING)
		return;
	plan->start_nodes++;
	plan->start_vcpus += instance->vcpus;
	plan->start_memory_mib += instance->memory_mib;
	if (!isnan(instance->usd_per_hour))
		plan->start_usd += instance->usd_per_hour;
	for (size_t i = 0; resources && i < POOL_RESOURCES; i++)
		plan->start_resources[i] += resources[i];
}

/* As many of plan->count as there are to start and limits leave room for. */
void plan_starts(struct core *core, const struct policy_state *policy, const struct record *record,
		 const struct room *room, struct moment now, struct launch_plan *plan)
{
	struct pool_state *pool = policy->pool;

	if (policy->want && policy->want == pool->warm)
		return;
	if (pool->warm) {
		choice(plan, pool, SOURCE_ROOM);
		choice(plan, pool,
		       pool->pool->warm.state == WARM_HIBERNATED ? SOURCE_HIBERNATED
								 : SOURCE_STOPPED);
	}
	while (plan->count) {
		struct instance *best = NULL;

		if (pool->warm)
			best_of(core, policy, pool->warm->state.lane, record, plan, now, &best);
		best_of(core, policy, policy->lane, record, plan, now, &best);
		if (!best || !start_has_room(core, pool, best, plan, room))
			return;
		start_take(core, pool, best, plan);
	}
}
