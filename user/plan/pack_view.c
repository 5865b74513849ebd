/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as others read it: nodes with their pods and with all that they may still become. */
#include <math.h>

#include "plan/pack.h"

static void node_free(struct plan_node *node)
{
	vec_free(&node->requests.list);
	vec_free(&node->pods);
	vec_free(&node->offerings);
	free(node);
}

void view_clear(struct planner *planner)
{
	vec_for_each (it, &planner->nodes)
		node_free(*it);
	vec_free(&planner->nodes);
	vec_for_each (it, &planner->failures)
		free(it->why);
	vec_free(&planner->failures);
	planner->viewed = false;
}

static void view_requests(const struct planner *planner, const struct bin *bin,
			  struct plan_node *node)
{
	struct amounts sum = bin->load;

	for (size_t r = 0; r < planner->resources; r++) {
		if (bin->shape)
			sum.of[r] += planner->pools[bin->shape->pool].daemons[bin->type].of[r];
		if (sum.of[r])
			*vec_push(&node->requests.list) =
				(struct resource_amount){.name = (char *)planner->resource_names[r],
							 .amount = (double)sum.of[r] / 1000};
	}
}

static int by_price(const void *a, const void *b)
{
	const struct offering *x = *(const struct offering *const *)a;
	const struct offering *y = *(const struct offering *const *)b;
	double p = x->usd_per_hour >= 0 ? x->usd_per_hour : NO_PRICE;
	double q = y->usd_per_hour >= 0 ? y->usd_per_hour : NO_PRICE;

	if (p != q)
		return p < q ? -1 : 1;
	return (x > y) - (x < y);
}

static void add_offerings(const struct planner *planner, const struct shape *shape, size_t type,
			  struct plan_node *node)
{
	for (size_t z = 0; z < planner->zones_count; z++)
		for (size_t c = 0; (shape->zones >> z & 1) && c < CAPACITY_TYPES; c++) {
			int32_t index =
				planner->offer[(type * planner->zones_count + z) * CAPACITY_TYPES +
					       c];

			if ((shape->capacity_types >> c & 1) && index >= 0)
				*vec_push(&node->offerings) = &planner->catalog->offerings[index];
		}
}

void view_offerings(const struct planner *planner, const struct bin *bin, struct plan_node *node)
{
	const struct pool_table *pool = &planner->pools[bin->shape->pool];
	uint16_t types[PLAN_TYPES_MAX];
	struct amounts most;

	bin_most(planner, bin, pool->nodes_new, &most);
	node->types = (uint32_t)types_left(planner, bin->shape, &bin->load, &most, types);
	for (size_t i = 0; i < node->types; i++)
		add_offerings(planner, bin->shape, types[i], node);
	qsort(node->offerings.at, node->offerings.count, sizeof(*node->offerings.at), by_price);
}

static void view_bin(struct planner *planner, const struct bin *bin, size_t *given)
{
	struct plan_node *node = calloc(1, sizeof(*node));

	if (!node)
		abort();
	*vec_push(&planner->nodes) = node;
	node->usd_per_hour = bin->usd < NO_PRICE ? bin->usd : NAN;
	if (bin->existing) {
		node->existing = &bin->existing->given;
		vec_for_each (pod, &bin->existing->bound)
			*vec_push(&node->pods) = *pod;
	}
	vec_for_each (slot, &bin->slots) {
		struct pod_class *class = slot->binding->class;

		for (uint32_t n = slot->bound; n < slot->count && given[class->id] < class->taken;
		     n++)
			*vec_push(&node->pods) = class->pods.at[given[class->id]++];
	}
	node->new_pods = node->pods.count - (bin->existing ? bin->existing->bound.count : 0);
	view_requests(planner, bin, node);
	if (!bin->shape)
		return;
	node->pool = planner->pools[bin->shape->pool].pool;
	node->node_class = planner->pools[bin->shape->pool].node_class;
	view_offerings(planner, bin, node);
	planner->usd += bin->usd;
}

static void view_failures(struct planner *planner)
{
	vec_for_each (it, &planner->classes) {
		struct pod_class *class = *it;
		_cleanup_free_ char *why = NULL;

		if (class->taken == class->pods.count)
			continue;
		why = why_not(planner, class);
		for (size_t i = class->taken; i < class->pods.count; i++)
			*vec_push(&planner->failures) =
				(struct plan_failure){.pod = class->pods.at[i], .why = strdup(why)};
	}
}

void view_build(struct planner *planner)
{
	_cleanup_free_ size_t *given = calloc(planner->classes.count + 1, sizeof(*given));

	if (!given)
		abort();
	view_clear(planner);
	planner->usd = 0;
	vec_for_each (bin, &planner->bins)
		view_bin(planner, *bin, given);
	view_failures(planner);
	planner->viewed = true;
}
