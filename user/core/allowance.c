/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that several lanes share, from one leader to the next. What a leader launches in its last
 * moments its successor learns of only when EC2 shows it. So the lease's record says beforehand how
 * much the leader may launch beyond it (a promise: it launches no more than that until another
 * record is written), and the successor counts all of it as launched until EC2 must have shown it.
 *
 * What one lane alone can use needs no bound: the successor orders in that lane under the very
 * number that the leader may have used, so that EC2 lets one of the two have an effect.
 */
#include <math.h>

#include "core/core_private.h"

#define RECORDS_A_SECOND 10

int allowance_new(struct core *core)
{
	bool made = true;

	core->shared_count = SHARED_OF_ALL + SHARED_OF_POOL * core->pools_count;
	core->before = calloc(core->shared_count, sizeof(*core->before));
	core->found = calloc(core->shared_count, sizeof(*core->found));
	core->wanted = calloc(core->shared_count, sizeof(*core->wanted));
	for (int kind = 0; kind < PROMISE_KINDS; kind++) {
		struct promise *promise = &core->promises[kind];

		promise->left = calloc(core->shared_count, sizeof(*promise->left));
		made &= promise->left != NULL;
	}
	return made && core->before && core->found && core->wanted ? 0 : -ENOMEM;
}

void allowance_free(struct core *core)
{
	free(core->before);
	free(core->found);
	free(core->wanted);
	for (int kind = 0; kind < PROMISE_KINDS; kind++)
		free(core->promises[kind].left);
}

/* ---- what leaders before may have launched ---- */

double before_left(const struct core *core, const struct lane *lane, size_t shared)
{
	const struct share *before = &core->before[shared];

	if (!core->has_before || (lane && before->lane == lane->key))
		return 0;
	return MAX(before->amount - core->found[shared], 0);
}

/* The record counts every instance that is young enough for EC2 not to show it, too. */
bool is_of_before(const struct core *core, const struct instance *instance)
{
	const struct lane *lane = instance->lane;

	if (!core->has_before || !lane || instance->epoch >= core->epoch)
		return false;
	if (core->record_is_cut && !lane->record_next)
		return false;
	return instance->sequence > lane->record_seen;
}

/* It runs and is counted by itself. */
void before_found(struct core *core, const struct instance *instance)
{
	struct pool_state *pool = pool_find(core, instance->pool);
	const double *resources;

	if (!is_of_before(core, instance))
		return;
	if (instance->sequence >= instance->lane->record_next)
		core->found[SHARED_LAUNCHES]++;
	if (!isnan(instance->usd_per_hour))
		core->found[SHARED_USD] += instance->usd_per_hour;
	if (!pool)
		return;
	core->found[SHARED_CPUS(pool)] += instance->vcpus;
	core->found[SHARED_MEMORY(pool)] += (double)instance->memory_mib;
	core->found[SHARED_NODES(pool)]++;
	resources = pool_resources_of(pool, instance->instance_type);
	for (size_t i = 0; resources && i < POOL_RESOURCES; i++)
		core->found[SHARED_RESOURCE(pool, i)] += resources[i];
}

void before_ends(struct core *core, uint64_t asked_ns)
{
	if (!core->has_before || asked_ns <= core->lead_ns + visible_within(core))
		return;
	core->has_before = false;
	counts_old(core);
	core->last_evaluated_ns = 0;
}

/* ---- what this leader may launch beyond its record ---- */

bool needs_promise(const struct core *core)
{
	return core->config.standby && core->config.mode == MODE_ACT;
}

double promise_left(const struct core *core, size_t shared)
{
	double least = INFINITY;

	if (!needs_promise(core))
		return INFINITY;
	if (!core->promises[PROMISE_STORED].is)
		return 0;
	for (int kind = 0; kind < PROMISE_KINDS; kind++)
		if (core->promises[kind].is)
			least = MIN(least, core->promises[kind].left[shared]);
	return MAX(least, 0);
}

void promise_spend(struct core *core, const struct open_order *open)
{
	const struct pool_state *pool = pool_find(core, open->order.pool);
	double count = open->order.count, worst[POOL_RESOURCES] = {0};

	if (pool)
		order_resources(pool, open, worst);
	for (int kind = 0; kind < PROMISE_KINDS; kind++) {
		double *left = core->promises[kind].left;

		left[SHARED_LAUNCHES] -= count;
		if (!isnan(open->usd_worst))
			left[SHARED_USD] -= count * open->usd_worst;
		if (!pool)
			continue;
		left[SHARED_CPUS(pool)] -= count * open->vcpus_worst;
		left[SHARED_MEMORY(pool)] -= count * (double)open->memory_mib_worst;
		left[SHARED_NODES(pool)] -= count;
		for (size_t i = 0; i < POOL_RESOURCES; i++)
			left[SHARED_RESOURCE(pool, i)] -= count * worst[i];
	}
}

/* At once, but not without end: what does not fit by a hair waits for the lease's next turn. */
static void record_now(struct core *core)
{
	uint64_t second = core->now_ns / NS_PER_S;

	if (second != core->asked_second)
		core->asked_for_records = 0;
	core->asked_second = second;
	if (core->effects.outdated && core->asked_for_records++ < RECORDS_A_SECOND)
		core->effects.outdated(core->effects.arg);
}

void promise_want(struct core *core, size_t shared, double amount)
{
	core->wanted[shared] = MAX(core->wanted[shared], amount);
	if (!core->waits_for_record)
		record_now(core);
	core->waits_for_record = true;
}

void promises_forget(struct core *core)
{
	for (int kind = 0; kind < PROMISE_KINDS; kind++)
		core->promises[kind].is = false;
	core->waits_for_record = false;
}

void promise_begin(struct core *core)
{
	struct promise *unsure = &core->promises[PROMISE_UNSURE];
	struct promise *newest = &core->promises[PROMISE_NEWEST];

	if (newest->is)
		for (size_t i = 0; i < core->shared_count; i++)
			unsure->left[i] = unsure->is ? MIN(unsure->left[i], newest->left[i])
						     : newest->left[i];
	unsure->is |= newest->is;
	newest->is = true;
}

void core_state_stored(struct core *core)
{
	struct promise *stored = &core->promises[PROMISE_STORED];
	struct promise *newest = &core->promises[PROMISE_NEWEST];

	if (!newest->is)
		return;
	for (size_t i = 0; i < core->shared_count; i++)
		stored->left[i] = newest->left[i];
	stored->is = true;
	newest->is = core->promises[PROMISE_UNSURE].is = false;
	starts_stored(core);
	if (!core->waits_for_record)
		return;
	core->waits_for_record = false;
	core->last_evaluated_ns = 0;
}
