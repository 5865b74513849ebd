/* SPDX-License-Identifier: Apache-2.0 */
/* What more pods make of a node, and what its pool counts for it. */
#include <math.h>

#include "plan/pack.h"

void bin_left(const struct planner *planner, const struct bin *bin, struct amounts *out)
{
	const struct existing *existing = bin->existing;

	for (size_t r = 0; r < planner->resources; r++)
		out->of[r] = existing->free.of[r] - bin->load.of[r] -
			     MAX(0, existing->expected.of[r] - existing->there.of[r]);
}

static bool grown_load(const struct planner *planner, const struct bin *bin,
		       const struct pod_class *class, uint32_t count, struct amounts *out)
{
	*out = bin->load;
	for (size_t r = 0; r < planner->resources; r++)
		out->of[r] += class->need.of[r] * count;
	return true;
}

static double growth_of_existing(const struct planner *planner, const struct bin *bin,
				 const struct binding *binding, uint32_t count)
{
	struct amounts left;

	if (bin->existing->given.closed)
		return INFINITY;
	bin_left(planner, bin, &left);
	if (amounts_fit(planner, &left, &binding->class->need, count) < count ||
	    bin_room(planner, bin, binding->class, count) < count ||
	    !binding_on_existing(planner, bin->existing, binding))
		return INFINITY;
	return 0;
}

/* Whether the node may stay the type that it is: the usual case, and found without a search. */
static bool stays(const struct planner *planner, const struct bin *bin, const struct shape *shape,
		  const struct amounts *load)
{
	const struct pool_table *pool = &planner->pools[shape->pool];

	if (shape != bin->shape || bin->type == NO_TYPE || pool->min_values.count)
		return false;
	for (size_t r = 0; r < planner->resources; r++)
		if (load->of[r] > pool->free[bin->type].of[r])
			return false;
	return true;
}

double bin_growth(struct planner *planner, struct bin *bin, const struct binding *binding,
		  uint32_t count, struct growth *out)
{
	struct amounts load;
	struct shape *shape;

	if (bin->existing)
		return growth_of_existing(planner, bin, binding, count);
	shape = binding->shapes[bin->shape->pool];
	if (!shape || bin_room(planner, bin, binding->class, count) < count)
		return INFINITY;
	shape = shape_meet(planner, bin->shape, shape);
	if (!shape || !grown_load(planner, bin, binding->class, count, &load))
		return INFINITY;
	*out = (struct growth){.shape = shape, .type = bin->type, .usd = bin->usd};
	if (stays(planner, bin, shape, &load))
		return 0;
	out->type =
		shape_cheapest(planner, shape, &load, bin->counted ? &bin->held : NULL, &out->usd);
	return out->type == NO_TYPE ? INFINITY : out->usd - (bin->counted ? bin->usd : 0);
}

void bin_release(struct planner *planner, struct bin *bin)
{
	struct pool_table *pool = &planner->pools[bin->shape->pool];

	if (!bin->counted)
		return;
	bin->counted = false;
	pool->nodes_used--;
	pool->nodes_new--;
	for (size_t r = 0; r < planner->resources; r++)
		pool->used.of[r] -= bin->held.of[r];
}

bool bin_take(struct planner *planner, struct bin *bin)
{
	struct pool_table *pool = &planner->pools[bin->shape->pool];

	if (!bin_hold(planner, bin, &bin->held) || !limit_allows(planner, pool, &bin->held, NULL) ||
	    pool->nodes_used >= pool->nodes_limit)
		return false;
	bin->counted = true;
	pool->nodes_used++;
	pool->nodes_new++;
	for (size_t r = 0; r < planner->resources; r++)
		pool->used.of[r] += bin->held.of[r];
	return true;
}

bool bin_settle(struct planner *planner, struct bin *bin)
{
	struct shape *shape = bin->pin ? bin->pin : planner->pools[bin->shape->pool].all;

	bin_release(planner, bin);
	vec_for_each (slot, &bin->slots) {
		struct shape *own = slot->binding->shapes[bin->shape->pool];

		shape = own && shape ? shape_meet(planner, shape, own) : NULL;
	}
	if (!shape)
		return false;
	bin->shape = shape;
	bin->type = shape_cheapest(planner, shape, &bin->load, NULL, &bin->usd);
	return bin->type != NO_TYPE && bin_take(planner, bin);
}
