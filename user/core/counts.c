/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs and what is on its way, summed up for each pool, subnet and quota, and altogether: in
 * one pass when something of it changed, so that a plan looks at no instance.
 */
#include <math.h>

#include "core/core_private.h"

void counts_old(struct core *core)
{
	core->counted = false;
	core->changes++;
}

static void counts_clear(struct core *core)
{
	core->usd_unknown = false;
	core->usd_running = core->usd_coming = 0;
	memset(core->found, 0, core->shared_count * sizeof(*core->found));
	for (size_t i = 0; i < core->pools_count; i++)
		core->pools[i].usage = (struct usage_now){0};
	vec_for_each (it, &core->subnets)
		(*it)->taken = 0;
	vec_for_each (it, &core->quotas)
		it->vcpus_used = 0;
}

static void count_pool(struct pool_state *pool, double count, uint32_t vcpus, uint64_t memory_mib)
{
	if (!pool)
		return;
	pool->usage.nodes += (uint32_t)count;
	pool->usage.cpus += count * vcpus;
	pool->usage.memory_mib += count * (double)memory_mib;
	pool->usage.size_unknown |= !vcpus;
}

static void count_usd(struct core *core, double *sum, double count, double usd)
{
	if (isnan(usd))
		core->usd_unknown = true;
	else
		*sum += count * usd;
}

static void count_instance(struct core *core, const struct instance *instance)
{
	struct pool_state *pool = pool_find(core, instance->pool);
	struct quota_state *quota;

	if (!instance_billed(instance))
		return;
	count_pool(pool, 1, instance->vcpus, instance->memory_mib);
	if (pool)
		count_resources(pool, 1, pool_resources_of(pool, instance->instance_type));
	before_found(core, instance);
	count_usd(core, &core->usd_running, 1, instance->usd_per_hour);
	if (instance->subnet && instance->known_ns > instance->subnet->seen_ns)
		instance->subnet->taken++;
	quota = core->quotas.count
			? quota_find(core, instance->instance_type, instance->capacity_type)
			: NULL;
	if (quota)
		quota->vcpus_used += instance->vcpus;
}

/* All of it may come from any of its overrides: each subnet and each quota that one of them has
 * takes it whole. */
static void count_overrides(struct core *core, const struct launch_override *overrides,
			    size_t count, enum capacity_type type, uint32_t coming)
{
	for (size_t i = 0; i < core->quotas.count; i++)
		core->quotas.at[i].coming = 0;
	for (size_t i = 0; i < count; i++) {
		struct subnet_state *subnet = subnet_find(core, overrides[i].subnet_id);
		struct quota_state *quota =
			core->quotas.count ? quota_find(core, overrides[i].instance_type, type)
					   : NULL;

		if (subnet && subnet->order != core->orders_counted) {
			subnet->order = core->orders_counted;
			subnet->taken += coming;
		}
		if (quota)
			quota->coming = MAX(quota->coming, (double)coming * overrides[i].vcpus);
	}
	for (size_t i = 0; i < core->quotas.count; i++)
		core->quotas.at[i].vcpus_used += core->quotas.at[i].coming;
	core->orders_counted++;
}

void counts_ordered(struct core *core, const struct open_order *open)
{
	struct pool_state *pool = pool_find(core, open->order.pool);
	uint32_t coming = order_coming(open);
	double worst[POOL_RESOURCES];

	if (!core->counted || !coming)
		return;
	count_pool(pool, coming, open->vcpus_worst, open->memory_mib_worst);
	if (pool) {
		order_resources(pool, open, worst);
		count_resources(pool, coming, worst);
	}
	count_usd(core, &core->usd_coming, coming, open->usd_worst);
	count_overrides(core, open->order.overrides.at, open->order.overrides.count,
			open->order.capacity_type, coming);
}

void counts_refresh(struct core *core)
{
	if (core->counted)
		return;
	core->counted = true;
	core->orders_counted = MAX(core->orders_counted, 1);
	counts_clear(core);
	vec_for_each (it, &core->instances)
		count_instance(core, *it);
	vec_for_each (it, &core->orders)
		counts_ordered(core, *it);
}
