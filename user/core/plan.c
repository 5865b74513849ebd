/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many, and from which offers: within launches per minute, the largest surge, dollars per hour
 * and day, what the pool limits, free addresses and quotas. EC2 may choose any override of a
 * call, so the limits are held with the largest and dearest one that is left in it.
 */
#include <math.h>

#include "core/core_private.h"

void plan_free(struct launch_plan *plan)
{
	vec_free(&plan->overrides);
	vec_free(&plan->offered);
	vec_free(&plan->starts);
}

void plan_hold(struct launch_plan *plan, const char *key, enum brake brake, const char *format, ...)
{
	va_list arguments;

	plan->count = 0;
	if (brake < BRAKE_COUNT)
		plan->brakes |= 1U << brake;
	set_text(plan->held_key, key);
	va_start(arguments, format);
	vsnprintf(plan->held, sizeof(plan->held), format, arguments);
	va_end(arguments);
}

/* ---- what binds ---- */

static const struct {
	enum room_kind kind;
	enum brake brake;
} ROOM_BRAKES[] = {
	{ROOM_USD_HOUR, BRAKE_USD_PER_HOUR}, {ROOM_USD_DAY, BRAKE_USD_PER_DAY},
	{ROOM_CPU, BRAKE_POOL_LIMITS},	     {ROOM_MEMORY, BRAKE_POOL_LIMITS},
	{ROOM_SUBNET, BRAKE_SUBNET},	     {ROOM_QUOTA, BRAKE_QUOTA},
	{ROOM_NODES, BRAKE_POOL_LIMITS},
};

/* Which kinds leave room for fewer than that, each looked at by itself. */
static uint32_t kinds_below(const struct offers *offers, const struct record *record,
			    const struct launch_plan *plan, const struct room *room,
			    uint32_t wanted)
{
	uint32_t kinds = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ROOM_BRAKES); i++)
		if (most_that_fit(offers, record, plan->capacity_type, room, ROOM_BRAKES[i].kind) <
		    wanted)
			kinds |= ROOM_BRAKES[i].kind;
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		if (!isinf(room->resources[i]) && most_that_fit(offers, record, plan->capacity_type,
								room, ROOM_RESOURCES << i) < wanted)
			kinds |= ROOM_RESOURCES << i;
	return kinds;
}

static void note_brakes(struct launch_plan *plan, uint32_t kinds)
{
	for (size_t i = 0; i < ARRAY_SIZE(ROOM_BRAKES); i++)
		if (kinds & ROOM_BRAKES[i].kind)
			plan->brakes |= 1U << ROOM_BRAKES[i].brake;
	if (kinds >= ROOM_RESOURCES)
		plan->brakes |= 1U << BRAKE_POOL_LIMITS;
}

static void hold_for_usd(struct core *core, struct launch_plan *plan, const struct offers *offers,
			 const struct room *room, uint32_t kinds)
{
	const struct core_limits *limits = &core->config.limits;
	double cheapest = offers->list.at[0].override.usd_per_hour;
	double now = core->usd_running + core->usd_coming;

	if (isnan(cheapest))
		plan_hold(plan, "limit:price", BRAKE_COUNT,
			  "--max-usd-per-%s %.4g is set and no price is known for the NodePool",
			  kinds & ROOM_USD_HOUR ? "hour" : "day",
			  kinds & ROOM_USD_HOUR ? limits->usd_per_hour : limits->usd_per_day);
	else if (kinds & ROOM_USD_HOUR)
		plan_hold(plan, "limit:usd", BRAKE_COUNT,
			  "--max-usd-per-hour %.4g leaves %.4g, the cheapest offer costs %.4g",
			  limits->usd_per_hour, MAX(room->usd_hour, 0), cheapest);
	else
		plan_hold(plan, "limit:usd-day", BRAKE_COUNT,
			  "--max-usd-per-day %.4g: %.4g were spent in 24 hours, what runs or is "
			  "coming costs %.4g in the next hour, the cheapest offer %.4g",
			  limits->usd_per_day, room->usd_day_spent, now, cheapest);
}

static void hold_for_quota(struct launch_plan *plan, const struct offers *offers)
{
	vec_for_each (offer, &offers->list)
		if (offer->quota) {
			plan_hold(plan, "limit:quota", BRAKE_COUNT,
				  "the quota \"%s\" of %g vCPUs leaves no room: %g run or are "
				  "coming",
				  offer->quota->quota.name, offer->quota->quota.vcpus,
				  offer->quota->vcpus_used);
			return;
		}
}

static void hold_for_subnet(struct launch_plan *plan, const struct offers *offers)
{
	const struct subnet_state *subnet = offers->list.at[0].subnet;

	plan_hold(plan, "limit:subnet", BRAKE_COUNT,
		  "no subnet has an address left: of %s %u were free, %u are taken by what was "
		  "launched since or is coming",
		  subnet->id, subnet->free_addresses, subnet->taken);
}

static void hold_for_resource(struct launch_plan *plan, const struct pool_state *pool,
			      const struct room *room, uint32_t kinds)
{
	size_t i = 0;

	while (!(kinds & ROOM_RESOURCES << i))
		i++;
	plan_hold(plan, "limit:resource", BRAKE_COUNT,
		  "NodePool %s limits %s to %g: %g are left, no type is known to need no more",
		  pool->pool->name, pool_resource_text(i), pool->resource_limits[i],
		  MAX(room->resources[i], 0));
}

/* The limit that leaves no room for a single one says why nothing is launched. */
static void hold_for_room(struct core *core, struct launch_plan *plan,
			  const struct pool_state *pool, const struct offers *offers,
			  const struct room *room)
{
	uint32_t kinds = kinds_below(offers, NULL, plan, room, 1);

	if (kinds & (ROOM_USD_HOUR | ROOM_USD_DAY))
		hold_for_usd(core, plan, offers, room, kinds);
	else if (kinds & ROOM_CPU)
		plan_hold(plan, "limit:cpu", BRAKE_COUNT,
			  "NodePool %s limits cpu to %g: %g are left", pool->pool->name,
			  pool->pool->limit_cpus, MAX(room->cpus, 0));
	else if (kinds & ROOM_NODES)
		plan_hold(plan, "limit:nodes", BRAKE_COUNT,
			  "NodePool %s limits nodes to %g: %g are left", pool->pool->name,
			  limit_of_nodes(pool->pool), MAX(room->nodes, 0));
	else if (kinds >= ROOM_RESOURCES)
		hold_for_resource(plan, pool, room, kinds);
	else if (kinds & ROOM_QUOTA)
		hold_for_quota(plan, offers);
	else if (kinds & ROOM_SUBNET)
		hold_for_subnet(plan, offers);
	else
		plan_hold(plan, "limit:room", BRAKE_COUNT,
			  "the limits of NodePool %s leave no room for one more", pool->pool->name);
	note_brakes(plan, kinds ? kinds : ROOM_CPU);
}

/* ---- the plan ---- */

/* What is not limited is not counted; what leaders before had no limit for may be without end. */
static double limit_left(const struct core *core, const struct lane *lane, double limit,
			 double used, size_t shared)
{
	if (isinf(limit))
		return INFINITY;
	return limit - used - MIN(before_left(core, lane, shared), limit);
}

/* For an order in that lane. */
static struct room room_of(struct core *core, const struct lane *lane,
			   const struct pool_state *pool, struct moment now)
{
	const struct core_limits *limits = &core->config.limits;
	struct room room = {INFINITY, INFINITY, INFINITY, INFINITY, 0, INFINITY, {0}};
	double usd = core->usd_running + core->usd_coming + before_left(core, lane, SHARED_USD);

	if (pool->pool->cpu_limited)
		room.cpus = pool->pool->limit_cpus - pool->usage.cpus -
			    before_left(core, lane, SHARED_CPUS(pool));
	if (pool->pool->memory_limited)
		room.memory_mib = pool->pool->limit_memory_bytes / (1 << 20) -
				  pool->usage.memory_mib -
				  before_left(core, lane, SHARED_MEMORY(pool));
	room.nodes = limit_left(core, lane, limit_of_nodes(pool->pool), pool->usage.nodes,
				SHARED_NODES(pool));
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		room.resources[i] = limit_left(core, lane, pool->resource_limits[i],
					       pool->usage.resources[i], SHARED_RESOURCE(pool, i));
	if (!isinf(limits->usd_per_hour))
		room.usd_hour = limits->usd_per_hour - usd;
	if (isinf(limits->usd_per_day))
		return room;
	/* What was spent, and one hour more of what runs, of what is coming and of this. */
	spend_tick(core, now);
	room.usd_day_spent = spend_last_day(&core->spend, now.wall_ns);
	room.usd_day = limits->usd_per_day - room.usd_day_spent - usd;
	return room;
}

static const char *limited_resource(const struct pool_state *pool)
{
	size_t i = 0;

	while (isinf(pool->resource_limits[i]))
		i++;
	return pool_resource_text(i);
}

/* A limit cannot be held against what is not known. */
static bool hold_for_unknown(const struct core *core, const struct pool_state *pool,
			     struct launch_plan *plan)
{
	const struct core_limits *limits = &core->config.limits;
	bool hour = !isinf(limits->usd_per_hour);

	if ((hour || !isinf(limits->usd_per_day)) && core->usd_unknown)
		plan_hold(plan, "limit:price", hour ? BRAKE_USD_PER_HOUR : BRAKE_USD_PER_DAY,
			  "--max-usd-per-%s %.4g is set and the price of something that runs or "
			  "is coming is not known",
			  hour ? "hour" : "day", hour ? limits->usd_per_hour : limits->usd_per_day);
	else if ((pool->pool->cpu_limited || pool->pool->memory_limited) &&
		 pool->usage.size_unknown)
		plan_hold(plan, "limit:size", BRAKE_POOL_LIMITS,
			  "NodePool %s has limits and the size of something in it that runs or is "
			  "coming is not known",
			  pool->pool->name);
	else if (pool->resources_limited && pool->usage.resources_unknown)
		plan_hold(plan, "limit:resource-size", BRAKE_POOL_LIMITS,
			  "NodePool %s limits %s and how much of it something has that runs or is "
			  "coming is not known",
			  pool->pool->name, limited_resource(pool));
	else
		return false;
	return true;
}

/* ---- what the lease's record lets be launched beyond it ---- */

static void plan_within_promise(struct launch_plan *plan, uint32_t most, char *limits, size_t size)
{
	line_add(limits, size,
		 "the lease's record leaves room for %u until it is written again, %u wanted: "
		 "bound",
		 most, plan->count);
	if (!most)
		plan_hold(plan, "record", BRAKE_COUNT,
			  "waits until the lease's record has room for more: it is being written");
	plan->count = most;
	plan->waits = !most;
}

static struct room room_promised(const struct core *core, const struct pool_state *pool,
				 const struct room *room, const struct launch_plan *plan)
{
	struct room within = *room;

	within.cpus = MIN(room->cpus, promise_left(core, SHARED_CPUS(pool)) - plan->start_vcpus);
	within.memory_mib = MIN(room->memory_mib, promise_left(core, SHARED_MEMORY(pool)) -
							  (double)plan->start_memory_mib);
	within.usd_hour = MIN(room->usd_hour, promise_left(core, SHARED_USD) - plan->start_usd);
	within.nodes = MIN(room->nodes, promise_left(core, SHARED_NODES(pool)) - plan->start_nodes);
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		if (!isinf(room->resources[i]))
			within.resources[i] = MIN(room->resources[i],
						  promise_left(core, SHARED_RESOURCE(pool, i)) -
							  plan->start_resources[i]);
	return within;
}

/* Of the dearest and the largest offer, for EC2 may take any. */
static void want_room(struct core *core, const struct pool_state *pool, const struct offers *offers,
		      double count)
{
	promise_want(core, SHARED_NODES(pool), count);
	vec_for_each (offer, &offers->list) {
		const struct launch_override *override = &offer->override;

		if (!isnan(override->usd_per_hour))
			promise_want(core, SHARED_USD, count * override->usd_per_hour);
		promise_want(core, SHARED_CPUS(pool), count * override->vcpus);
		promise_want(core, SHARED_MEMORY(pool), count * (double) override->memory_mib);
		for (size_t i = 0; offer->resources && i < POOL_RESOURCES; i++)
			promise_want(core, SHARED_RESOURCE(pool, i), count * offer->resources[i]);
	}
}

/* What the instances that are to be started leave of it. */
static void room_less_starts(struct room *room, const struct launch_plan *plan)
{
	room->cpus -= plan->start_vcpus;
	room->memory_mib -= (double)plan->start_memory_mib;
	room->usd_hour -= plan->start_usd;
	room->usd_day -= plan->start_usd;
	room->nodes -= plan->start_nodes;
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		room->resources[i] -= plan->start_resources[i];
}

static void hold_for_values(const struct pool_state *pool, const struct missing_values *missing,
			    struct launch_plan *plan)
{
	plan_hold(plan, "limit:min-values", BRAKE_COUNT,
		  "NodePool %s: minValues of %s asks for %u different ones, what limits and "
		  "capacity leave of an order has %u",
		  pool->pool->name, missing->key, missing->needs, missing->has);
}

/* As many of plan->count as leave minValues what they ask for. */
static bool plan_choose(struct core *core, const struct policy_state *policy,
			const struct record *record, const struct room *room,
			const struct room *within, struct launch_plan *plan, char *limits,
			size_t size)
{
	const struct offers *offers = policy_offers(policy, plan->capacity_type);
	struct missing_values missing;
	uint32_t wanted = plan->count;

	if (plan_take(policy, record, within, plan, &missing)) {
		if (plan->count < wanted)
			line_add(limits, size, "minValues %u of %s: kept by an order for %u: bound",
				 missing.needs, missing.key, plan->count);
		return true;
	}
	plan->count = wanted;
	if (plan_take(policy, record, room, plan, &missing)) {
		want_room(core, policy->pool, offers, plan->count);
		plan_within_promise(plan, 0, limits, size);
	} else {
		hold_for_values(policy->pool, &missing, plan);
		line_add(limits, size, "%s: bound", plan->held);
	}
	return false;
}

static void plan_room(struct core *core, const struct policy_state *policy, uint32_t wanted,
		      const struct record *record, struct moment now, struct launch_plan *plan,
		      char *limits, size_t size)
{
	const struct offers *offers = policy_offers(policy, plan->capacity_type);
	struct pool_state *pool = policy->pool;
	struct room room, within;
	uint32_t allowed = plan->count, most, kinds;

	room = room_of(core, policy->lane, pool, now);
	room_less_starts(&room, plan);
	if (hold_for_unknown(core, pool, plan)) {
		line_add(limits, size, "%s: bound", plan->held);
		return;
	}
	most = most_that_fit(offers, record, plan->capacity_type, &room, ROOM_ALL);
	plan->count = MIN(allowed, most);
	if (!plan->count) {
		hold_for_room(core, plan, pool, offers, &room);
		line_add(limits, size, "%s: bound", plan->held);
		return;
	}
	kinds = most < allowed ? kinds_below(offers, record, plan, &room, allowed) : 0;
	note_brakes(plan, kinds);
	within = room_promised(core, pool, &room, plan);
	most = most_that_fit(offers, record, plan->capacity_type, &within, ROOM_ALL);
	if (most < plan->count) {
		want_room(core, pool, offers, plan->count);
		plan_within_promise(plan, most, limits, size);
	}
	if (!plan->count)
		return;
	if (!plan_choose(core, policy, record, &room, &within, plan, limits, size))
		return;
	say_pool(pool, &room, kinds, limits, size);
	say_usd(core, &room, plan, kinds, limits, size);
	say_addresses(plan, kinds, wanted, limits, size);
}

/* What only prepares takes half of a minute's launches at most: the rest is for what is wanted. */
static bool plan_rate(struct core *core, const struct lane *lane, bool preparing, uint32_t wanted,
		      struct moment now, struct launch_plan *plan, char *limits, size_t size)
{
	uint32_t per_minute = preparing ? (core->config.limits.launches_per_minute + 1) / 2
					: core->config.limits.launches_per_minute;
	double before = before_left(core, lane, SHARED_LAUNCHES);
	uint32_t used = launches_in_last_minute(core, now.mono_ns) +
			(uint32_t)MIN(ceil(before), per_minute);
	uint32_t surge = core->config.limits.surge;

	plan->count = MIN(wanted, surge);
	if (plan->count < wanted) {
		line_add(limits, size, "surge: %u at most in one decision, %u wanted: bound", surge,
			 wanted);
		plan->brakes |= 1U << BRAKE_SURGE;
	}
	wanted = plan->count;
	plan->count = MIN(wanted, per_minute - MIN(per_minute, used));
	line_add(limits, size, "launches per minute: %u of %u used, %u wanted: %s", used,
		 per_minute, wanted, bound_text(plan->count < wanted));
	if (plan->count < wanted)
		plan->brakes |= 1U << BRAKE_LAUNCHES_PER_MINUTE;
	if (!wanted)
		plan_hold(plan, "limit:surge", BRAKE_SURGE, "the largest surge is 0");
	else if (!plan->count)
		plan_hold(plan, "limit:launches", BRAKE_LAUNCHES_PER_MINUTE,
			  "--max-launches-per-minute %u: %u were launched in the last minute",
			  per_minute, used);
	return plan->count > 0;
}

static bool plan_rate_promised(struct core *core, struct launch_plan *plan, char *limits,
			       size_t size)
{
	double promised = promise_left(core, SHARED_LAUNCHES);

	if (plan->count <= promised)
		return true;
	promise_want(core, SHARED_LAUNCHES, plan->count);
	plan_within_promise(plan, (uint32_t)promised, limits, size);
	return plan->count > 0;
}

/* Of what is started nothing is left open: its price and size are known. */
static void plan_warm(struct core *core, const struct policy_state *policy,
		      const struct record *record, struct moment now, struct launch_plan *plan)
{
	struct room room = room_of(core, policy->lane, policy->pool, now), within;
	struct launch_plan held = {0};

	/* What is to save is bought for its price. */
	if ((record && record->usd_below > 0) || hold_for_unknown(core, policy->pool, &held))
		return;
	within = room_promised(core, policy->pool, &room, plan);
	plan_starts(core, policy, record, &within, now, plan);
}

static void plan_fleet(struct core *core, const struct policy_state *policy, uint32_t wanted,
		       const struct record *record, struct moment now, struct launch_plan *plan,
		       char *limits, size_t size)
{
	if (!choose_capacity_type(core, policy, record, plan)) {
		line_add(limits, size, "%s", plan->held);
		return;
	}
	plan_room(core, policy, wanted, record, now, plan, limits, size);
	plan->later = plan->count ? plan->later : 0;
	plan->sources[policy->pool->pool->auto_scaling_group ? SOURCE_GROUP
							     : source_of_fleet(plan->capacity_type)]
		.count = plan->count;
	if (plan->capacity_type == CAPACITY_SPOT)
		plan->sources[SOURCE_ON_DEMAND].count = plan->later;
}

/* What is started and what CreateFleet is asked for, together as many as limits leave room for. */
void plan_make(struct core *core, const struct policy_state *policy, uint32_t wanted,
	       const struct record *record, struct moment now, struct launch_plan *plan,
	       char *limits, size_t limits_size)
{
	bool preparing = policy->want && policy->want == policy->pool->warm;

	memset(plan, 0, sizeof(*plan));
	counts_refresh(core);
	say_before(core, policy->lane, policy->pool, limits, limits_size);
	if (!plan_rate(core, policy->lane, preparing, wanted, now, plan, limits, limits_size) ||
	    !plan_rate_promised(core, plan, limits, limits_size))
		return;
	plan_warm(core, policy, record, now, plan);
	if (plan->count)
		plan_fleet(core, policy, plan->count, record, now, plan, limits, limits_size);
	if (plan->starts.count)
		plan->waits = false;
}
