/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a NodePool limits beside cpu, memory and nodes: how much of it each type has, by the pool's
 * class. It is looked up by the type's name whenever it is needed, so orders and the journal do not
 * carry it.
 */
#include <math.h>

#include "core/core_private.h"
#include "plan/plan.h"

/* All that node_capacity() knows; of anything else no node has any. */
static const char *const NAMES[POOL_RESOURCES] = {
	"ephemeral-storage",
	"pods",
	"nvidia.com/gpu",
	"amd.com/gpu",
	"habana.ai/gaudi",
	"aws.amazon.com/neuron",
	"aws.amazon.com/neuroncore",
	"vpc.amazonaws.com/efa",
	"vpc.amazonaws.com/pod-eni",
};

const char *pool_resource_text(size_t resource)
{
	return NAMES[resource];
}

void pool_resources_new(struct pool_state *pool)
{
	for (size_t i = 0; i < POOL_RESOURCES; i++) {
		pool->resource_limits[i] = INFINITY;
		vec_for_each (limit, &pool->pool->limits.list)
			if (strcmp(limit->name, NAMES[i]) == 0)
				pool->resource_limits[i] = limit->amount;
		pool->resources_limited |= !isinf(pool->resource_limits[i]);
	}
}

static void amounts_of(const struct pool_state *pool, const struct instance_type *type,
		       struct type_resources *out)
{
	const struct node_class *node_class = pool->class ? pool->class->node_class : NULL;
	struct node_capacity node;

	*out = (struct type_resources){0};
	set_text(out->name, type->name);
	/* What virtual machines lose of their memory is of no matter for these. */
	node_capacity(type, node_class, 0, &node);
	vec_for_each (amount, &node.capacity.list)
		for (size_t i = 0; i < POOL_RESOURCES; i++)
			if (strcmp(amount->name, NAMES[i]) == 0)
				out->amounts[i] = amount->amount;
	node_capacity_free(&node);
}

void pool_resources_rebuild(struct pool_state *pool, const struct catalog *catalog)
{
	vec_clear(&pool->types);
	if (!pool->resources_limited)
		return;
	for (size_t i = 0; i < catalog->types_count; i++)
		amounts_of(pool, &catalog->types[i], vec_push(&pool->types));
}

static int compare_name(const void *name, const void *type)
{
	return strcmp(name, ((const struct type_resources *)type)->name);
}

const double *pool_resources_of(const struct pool_state *pool, const char *type)
{
	const struct type_resources *found = NULL;

	if (pool->types.count)
		found = bsearch(type, pool->types.at, pool->types.count, sizeof(*found),
				compare_name);
	return found ? found->amounts : NULL;
}

static void worst_add(const struct pool_state *pool, const char *type, double *worst)
{
	const double *amounts = pool_resources_of(pool, type);

	for (size_t i = 0; i < POOL_RESOURCES; i++)
		worst[i] = amounts && !isnan(worst[i]) ? MAX(worst[i], amounts[i]) : NAN;
}

void order_resources(const struct pool_state *pool, const struct open_order *open,
		     double worst[POOL_RESOURCES])
{
	memset(worst, 0, POOL_RESOURCES * sizeof(*worst));
	if (!pool->resources_limited)
		return;
	vec_for_each (start, &open->order.starts)
		worst_add(pool, start->instance_type, worst);
	vec_for_each (override, &open->order.overrides)
		worst_add(pool, override->instance_type, worst);
}

void count_resources(struct pool_state *pool, double count, const double *amounts)
{
	if (!pool->resources_limited)
		return;
	for (size_t i = 0; i < POOL_RESOURCES; i++)
		if (amounts && !isnan(amounts[i]))
			pool->usage.resources[i] += count * amounts[i];
		else
			pool->usage.resources_unknown = true;
}
