/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many, and from which offers: within launches per minute, the pool's cpu and memory and the
 * dollars per hour. EC2 may choose any override of a call, so the limits are held with the largest
 * and dearest one that is left in it.
 */
#include <math.h>

#include "core/core_private.h"

#define MINUTE_NS (60 * NS_PER_S)

struct room {
	double cpus, memory_mib, usd; /* INFINITY: no limit */
};

struct usage_now {
	double cpus, memory_mib; /* of the pool */
	double usd; /* of everything */
	bool usd_unknown, size_unknown;
};

void plan_free(struct plan *plan)
{
	vec_free(&plan->overrides);
}

static void plan_hold(struct plan *plan, const char *key, const char *format, ...) _printf_(3, 4);
static void plan_hold(struct plan *plan, const char *key, const char *format, ...)
{
	va_list arguments;

	plan->count = 0;
	set_text(plan->held_key, key);
	va_start(arguments, format);
	vsnprintf(plan->held, sizeof(plan->held), format, arguments);
	va_end(arguments);
}

static uint32_t launches_in_last_minute(struct core *core, uint64_t now_ns)
{
	uint32_t used = 0;

	for (size_t i = core->launches.count; i-- > 0;) {
		if (core->launches.at[i].time_ns + MINUTE_NS <= now_ns)
			vec_remove(&core->launches, i);
		else
			used += core->launches.at[i].count;
	}
	return used;
}

/* What a call did not launch does not count. */
void launches_forget(struct core *core, const char *token, uint32_t unused)
{
	vec_for_each (launch, &core->launches)
		if (strcmp(launch->token, token) == 0)
			launch->count -= MIN(unused, launch->count);
}

static void usage_add(struct usage_now *usage, bool of_pool, double count, uint32_t vcpus,
		      uint64_t memory_mib, double usd)
{
	if (of_pool) {
		usage->cpus += count * vcpus;
		usage->memory_mib += count * (double)memory_mib;
		usage->size_unknown |= !vcpus;
	}
	if (isnan(usd))
		usage->usd_unknown = true;
	else
		usage->usd += count * usd;
}

static struct usage_now usage_count(const struct core *core, const struct pool_state *pool)
{
	struct usage_now usage = {0};

	vec_for_each (it, &core->instances)
		if (instance_billed(*it))
			usage_add(&usage, strcmp((*it)->pool, pool->pool->name) == 0, 1,
				  (*it)->vcpus, (*it)->memory_mib, (*it)->usd_per_hour);
	vec_for_each (it, &core->orders)
		if (order_coming(*it))
			usage_add(&usage, strcmp((*it)->order.pool, pool->pool->name) == 0,
				  order_coming(*it), (*it)->vcpus_worst, (*it)->memory_mib_worst,
				  (*it)->usd_worst);
	return usage;
}

static bool offer_failed(const struct record *record, const struct offer *offer,
			 enum capacity_type type)
{
	if (!record)
		return false;
	vec_for_each (entry, &record->failed)
		if (no_capacity_covers(entry, offer->override.instance_type, offer->override.zone,
				       type))
			return true;
	return false;
}

static bool offer_fits(const struct offer *offer, const struct room *room, uint32_t count)
{
	double price = offer->override.usd_per_hour;

	if (offer->override.vcpus * (double)count > room->cpus ||
	    (double)offer->override.memory_mib * count > room->memory_mib)
		return false;
	/* Within rounding, so that ten of 0.1 are one. */
	return isinf(room->usd) || (!isnan(price) && price * count <= room->usd + 1e-9);
}

static size_t offers_left(const struct offers *offers, const struct record *record,
			  enum capacity_type type)
{
	size_t left = 0;

	vec_for_each (offer, &offers->list)
		left += !offer_failed(record, offer, type);
	return left;
}

static bool new_type(const struct plan *plan, const char *type)
{
	vec_for_each (override, &plan->overrides)
		if (strcmp(override->instance_type, type) == 0)
			return false;
	return true;
}

static void plan_take(struct plan *plan, const struct offers *offers, const struct record *record,
		      const struct room *room)
{
	size_t types = 0;

	vec_for_each (offer, &offers->list) {
		if (offer_failed(record, offer, plan->capacity_type) ||
		    !offer_fits(offer, room, plan->count))
			continue;
		if (new_type(plan, offer->override.instance_type) && types++ >= TYPES_PER_ORDER) {
			types = TYPES_PER_ORDER;
			continue;
		}
		*vec_push(&plan->overrides) = offer->override;
		plan->vcpus_worst = MAX(plan->vcpus_worst, offer->override.vcpus);
		plan->memory_mib_worst = MAX(plan->memory_mib_worst, offer->override.memory_mib);
		if (isnan(offer->override.usd_per_hour) || isnan(plan->usd_worst))
			plan->usd_worst = NAN;
		else
			plan->usd_worst = MAX(plan->usd_worst, offer->override.usd_per_hour);
	}
}

/* The most, up to count, of which at least one offer stays within every limit. */
static uint32_t most_that_fit(const struct offers *offers, const struct record *record,
			      enum capacity_type type, const struct room *room, uint32_t count)
{
	for (; count; count--)
		vec_for_each (offer, &offers->list)
			if (!offer_failed(record, offer, type) && offer_fits(offer, room, count))
				return count;
	return 0;
}

static bool choose_capacity_type(struct core *core, struct pool_state *pool,
				 const struct record *record, struct plan *plan)
{
	const struct class_state *class = pool->class;

	if (!class || !class->ready) {
		plan_hold(plan, "class", "EC2NodeClass %s is not ready: %s",
			  pool->pool->node_class ? pool->pool->node_class : "?",
			  class && *class->problem ? class->problem : "not resolved yet");
		return false;
	}
	if (offers_left(&pool->offers[CAPACITY_SPOT], record, CAPACITY_SPOT)) {
		plan->capacity_type = CAPACITY_SPOT;
		return true;
	}
	if (offers_left(&pool->offers[CAPACITY_ON_DEMAND], record, CAPACITY_ON_DEMAND)) {
		plan->capacity_type = CAPACITY_ON_DEMAND;
		return true;
	}
	plan_hold(
		plan, "offerings",
		"NodePool %s leaves nothing to buy: %zu offerings meet its requirements, %zu kinds "
		"without capacity are remembered, none has a subnet, a launch template and "
		"capacity",
		pool->pool->name, pool->offerings.count, core->no_capacity.count);
	return false;
}

/* The tightest limit that leaves no room for a single one says why nothing is launched. */
static void hold_for_room(struct plan *plan, const struct pool_state *pool,
			  const struct offers *offers, const struct room *room, double usd_limit)
{
	struct room one = {INFINITY, INFINITY, room->usd};
	bool priced = false;

	vec_for_each (offer, &offers->list)
		priced |= !isnan(offer->override.usd_per_hour);
	if (!isinf(room->usd) && !priced) {
		plan_hold(plan, "limit:price",
			  "--max-usd-per-hour %.4g is set and no price is known for NodePool %s",
			  usd_limit, pool->pool->name);
		return;
	}
	if (!most_that_fit(offers, NULL, plan->capacity_type, &one, 1)) {
		plan_hold(plan, "limit:usd",
			  "--max-usd-per-hour %.4g leaves %.4g, the cheapest offer costs %.4g",
			  usd_limit, MAX(room->usd, 0), offers->list.at[0].override.usd_per_hour);
		return;
	}
	one = (struct room){room->cpus, INFINITY, INFINITY};
	if (!most_that_fit(offers, NULL, plan->capacity_type, &one, 1)) {
		plan_hold(plan, "limit:cpu", "NodePool %s limits cpu to %g: %g are left",
			  pool->pool->name, pool->pool->limit_cpus, MAX(room->cpus, 0));
		return;
	}
	plan_hold(plan, "limit:room", "the limits of NodePool %s leave no room for one more",
		  pool->pool->name);
}

static void say_room(const struct pool_state *pool, const struct usage_now *usage,
		     const struct room *room, double usd_limit, const struct plan *plan,
		     uint32_t wanted, char *out, size_t size)
{
	bool bound = plan->count < wanted;

	if (pool->pool->cpu_limited)
		line_add(out, size, "NodePool %s cpu: %g of %g in use or coming, %g left: %s",
			 pool->pool->name, usage->cpus, pool->pool->limit_cpus, MAX(room->cpus, 0),
			 bound && plan->vcpus_worst * (double)wanted > room->cpus ? "bound"
										  : "not bound");
	if (pool->pool->memory_limited)
		line_add(out, size, "NodePool %s memory: %.4g of %.4g GiB in use or coming: %s",
			 pool->pool->name, usage->memory_mib / 1024,
			 pool->pool->limit_memory_bytes / (1 << 30),
			 bound && (double)plan->memory_mib_worst * wanted > room->memory_mib
				 ? "bound"
				 : "not bound");
	if (isinf(usd_limit))
		line_add(out, size, "usd per hour: no limit (%.4g now)", usage->usd);
	else
		line_add(out, size, "usd per hour: %.4g of %.4g, %.4g more at worst: %s",
			 usage->usd, usd_limit, plan->usd_worst * plan->count,
			 bound && !(plan->usd_worst * wanted <= room->usd + 1e-9) ? "bound"
										  : "not bound");
}

static void plan_room(struct core *core, struct pool_state *pool, uint32_t wanted,
		      const struct record *record, struct plan *plan, char *limits, size_t size)
{
	const struct offers *offers = &pool->offers[plan->capacity_type];
	double usd_limit = core->config.limits.usd_per_hour;
	struct usage_now usage = usage_count(core, pool);
	struct room room = {INFINITY, INFINITY, INFINITY};
	uint32_t allowed = plan->count;

	if (pool->pool->cpu_limited)
		room.cpus = pool->pool->limit_cpus - usage.cpus;
	if (pool->pool->memory_limited)
		room.memory_mib = pool->pool->limit_memory_bytes / (1 << 20) - usage.memory_mib;
	if (!isinf(usd_limit))
		room.usd = usd_limit - usage.usd;
	if (!isinf(usd_limit) && usage.usd_unknown) {
		plan_hold(plan, "limit:price",
			  "--max-usd-per-hour %.4g is set and the price of something that runs or "
			  "is coming is not known",
			  usd_limit);
		line_add(limits, size, "usd per hour: %s: bound", plan->held);
		return;
	}
	if ((pool->pool->cpu_limited || pool->pool->memory_limited) && usage.size_unknown) {
		plan_hold(plan, "limit:size",
			  "NodePool %s has limits and the size of something in it that runs or is "
			  "coming is not known",
			  pool->pool->name);
		line_add(limits, size, "limits: %s: bound", plan->held);
		return;
	}
	plan->count = most_that_fit(offers, record, plan->capacity_type, &room, allowed);
	if (!plan->count) {
		hold_for_room(plan, pool, offers, &room, usd_limit);
		line_add(limits, size, "%s: bound", plan->held);
		return;
	}
	plan_take(plan, offers, record, &room);
	say_room(pool, &usage, &room, usd_limit, plan, wanted, limits, size);
}

void plan_make(struct core *core, struct pool_state *pool, uint32_t wanted,
	       const struct record *record, struct moment now, struct plan *plan, char *limits,
	       size_t limits_size)
{
	uint32_t per_minute = core->config.limits.launches_per_minute;
	uint32_t used = launches_in_last_minute(core, now.mono_ns);

	memset(plan, 0, sizeof(*plan));
	plan->count = MIN(wanted, per_minute - MIN(per_minute, used));
	line_add(limits, limits_size, "launches per minute: %u of %u used, %u wanted: %s", used,
		 per_minute, wanted, plan->count < wanted ? "bound" : "not bound");
	if (!plan->count) {
		plan_hold(plan, "limit:launches",
			  "--max-launches-per-minute %u: %u were launched in the last minute",
			  per_minute, used);
		return;
	}
	if (!choose_capacity_type(core, pool, record, plan)) {
		line_add(limits, limits_size, "%s", plan->held);
		return;
	}
	plan_room(core, pool, wanted, record, plan, limits, limits_size);
}
