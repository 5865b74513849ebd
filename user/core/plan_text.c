/* SPDX-License-Identifier: Apache-2.0 */
/* What a decision says of each limit that was looked at, and whether it bound. */
#include <math.h>

#include "core/core_private.h"

/* spec.limits.nodes; INFINITY: none is given. */
double limit_of_nodes(const struct pool *pool)
{
	vec_for_each (limit, &pool->limits.list)
		if (strcmp(limit->name, "nodes") == 0)
			return limit->amount;
	return INFINITY;
}

const char *bound_text(bool bound)
{
	return bound ? "bound" : "not bound";
}

void say_pool(const struct pool_state *pool, const struct room *room, uint32_t kinds, char *out,
	      size_t size)
{
	if (pool->pool->cpu_limited)
		line_add(out, size, "NodePool %s cpu: %g of %g in use or coming, %g left: %s",
			 pool->pool->name, pool->usage.cpus, pool->pool->limit_cpus,
			 MAX(room->cpus, 0), bound_text(kinds & ROOM_CPU));
	if (pool->pool->memory_limited)
		line_add(out, size, "NodePool %s memory: %.4g of %.4g GiB in use or coming: %s",
			 pool->pool->name, pool->usage.memory_mib / 1024,
			 pool->pool->limit_memory_bytes / (1 << 30),
			 bound_text(kinds & ROOM_MEMORY));
	if (!isinf(room->nodes))
		line_add(out, size, "NodePool %s nodes: %u of %g run or are coming: %s",
			 pool->pool->name, pool->usage.nodes, limit_of_nodes(pool->pool),
			 bound_text(kinds & ROOM_NODES));
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		if (!isinf(room->resources[i]))
			line_add(out, size,
				 "NodePool %s %s: %g of %g in use or coming, %g left: %s",
				 pool->pool->name, pool_resource_text(i), pool->usage.resources[i],
				 pool->resource_limits[i], MAX(room->resources[i], 0),
				 bound_text(kinds & ROOM_RESOURCES << i));
}

void say_usd(const struct core *core, const struct room *room, const struct launch_plan *plan,
	     uint32_t kinds, char *out, size_t size)
{
	const struct core_limits *limits = &core->config.limits;
	double now = core->usd_running + core->usd_coming;

	if (isinf(limits->usd_per_hour))
		line_add(out, size, "usd per hour: no limit (%.4g now)", now);
	else
		line_add(out, size, "usd per hour: %.4g of %.4g, %.4g more at worst: %s", now,
			 limits->usd_per_hour, plan->usd_worst * plan->count,
			 bound_text(kinds & ROOM_USD_HOUR));
	if (!isinf(limits->usd_per_day))
		line_add(out, size,
			 "usd per day: %.4g spent in 24 h, %.4g in the next hour, %.4g more at "
			 "worst, of %.4g: %s",
			 room->usd_day_spent, now, plan->usd_worst * plan->count,
			 limits->usd_per_day, bound_text(kinds & ROOM_USD_DAY));
}

/* What no one can see is counted, and said. */
void say_before(const struct core *core, const struct lane *lane, const struct pool_state *pool,
		char *out, size_t size)
{
	double launches = before_left(core, lane, SHARED_LAUNCHES);
	double usd = before_left(core, lane, SHARED_USD);
	double cpus = before_left(core, lane, SHARED_CPUS(pool));

	if (launches > 0 || usd > 0 || cpus > 0)
		line_add(out, size,
			 "of the leader before, as EC2 may not show it yet: %g launches, %.4g USD "
			 "an hour, %g vCPUs of this NodePool at most",
			 launches, usd, cpus);
	for (size_t i = 0; i < POOL_RESOURCES; i++) {
		double amount = before_left(core, lane, SHARED_RESOURCE(pool, i));

		if (!isinf(pool->resource_limits[i]) && amount > 0)
			line_add(out, size,
				 "of the leader before, as EC2 may not show it yet: %g %s of this "
				 "NodePool at most",
				 amount, pool_resource_text(i));
	}
}

void say_addresses(const struct launch_plan *plan, uint32_t kinds, uint32_t wanted, char *out,
		   size_t size)
{
	if (kinds & ROOM_SUBNET)
		line_add(out, size,
			 "free addresses: no subnet has %u left, %u are asked for: bound", wanted,
			 plan->count);
	if (kinds & ROOM_QUOTA)
		line_add(out, size, "vCPU quota: leaves no room for %u, %u are asked for: bound",
			 wanted, plan->count);
}
