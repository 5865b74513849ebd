/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places pods one by one: each where it adds the least to the price, be it a node that becomes a
 * larger type. So are placed what is left when nodes were filled, and the few pods that come later.
 */
#include <math.h>

#include "plan/pack.h"

#define GROWTHS_MAX 256 /* nodes that are looked at for growth */

/* The cheapest new node for one pod of the item, of the heaviest pool that can; INFINITY: none. */
static double new_node(struct planner *planner, const struct item *item, struct shape **out)
{
	static const struct bin empty;
	double best = INFINITY;

	if (!bin_room(planner, &empty, item->class, 1))
		return INFINITY;
	for (size_t p = 0; p < planner->pools_count; p++) {
		const struct pool_table *pool = &planner->pools[p];
		struct shape *shape = item->binding->shapes[p];
		double usd;

		if (p && best < INFINITY && pool->weight != planner->pools[p - 1].weight)
			break;
		if (!shape || pool->nodes_used >= pool->nodes_limit ||
		    shape_cheapest(planner, shape, &item->class->need, NULL, &usd) == NO_TYPE)
			continue;
		if (usd < best) {
			best = usd;
			*out = shape;
		}
	}
	return best;
}

/* So many pods go onto the bin, which becomes what the growth says. */
static void place(struct planner *planner, struct bin *bin, struct item *item, uint32_t count,
		  const struct growth *growth)
{
	planner->placed_on = bin;
	if (!bin->existing)
		bin_release(planner, bin);
	bin_add(planner, bin, item->binding, count);
	item->count -= count;
	if (bin->existing)
		return;
	bin->shape = growth->shape;
	bin->type = growth->type;
	bin->usd = growth->usd;
	bin_take(planner, bin);
}

static bool place_on_new(struct planner *planner, struct item *item)
{
	struct shape *shape = NULL;
	struct growth growth;
	struct bin *bin;

	if (!(new_node(planner, item, &shape) < INFINITY))
		return false;
	bin = bin_new(planner, shape);
	if (bin_growth(planner, bin, item->binding, 1, &growth) < INFINITY) {
		place(planner, bin, item, 1, &growth);
		if (bin->counted)
			return true;
		bin_remove(planner, bin, item->binding, 1);
		item->count++;
	}
	bin_free(bin);
	planner->bins.count--;
	return false;
}

/* What may be added to a node that grows must also be within the limits with its minValues. */
static bool may_hold(struct planner *planner, const struct bin *bin, const struct binding *binding,
		     const struct growth *growth)
{
	const struct pool_table *pool;
	struct bin then = {.shape = growth->shape, .type = growth->type, .load = bin->load};
	struct amounts held;

	if (bin->existing)
		return true;
	pool = &planner->pools[growth->shape->pool];
	if (!pool->limited)
		return true;
	for (size_t r = 0; r < planner->resources; r++)
		then.load.of[r] += binding->class->need.of[r];
	return bin_hold(planner, &then, &held) &&
	       limit_allows(planner, pool, &held, bin->counted ? &bin->held : NULL);
}

/* Whether the pod fits onto the node as it is, by amounts alone: what most nodes fail at. */
static bool fits_as_is(const struct planner *planner, const struct bin *bin,
		       const struct amounts *need)
{
	const struct amounts *free = bin->existing
					     ? &bin->existing->free
					     : &planner->pools[bin->shape->pool].free[bin->type];

	for (size_t r = 0; r < planner->resources; r++)
		if (need->of[r] && bin->load.of[r] + need->of[r] > free->of[r])
			return false;
	return true;
}

static void look_at(struct planner *planner, const struct item *item, struct bin *bin,
		    struct growth *out, double *usd, struct bin **best)
{
	struct growth growth = {0};
	double more = bin_growth(planner, bin, item->binding, 1, &growth);

	if (more >= *usd || !may_hold(planner, bin, item->binding, &growth))
		return;
	*usd = more;
	*out = growth;
	*best = bin;
}

/* The place that adds the least: the first where the pod fits as it is, else of the youngest nodes
 * the one that grows for the least. */
static struct bin *least_growth(struct planner *planner, const struct item *item,
				struct growth *out, double *usd)
{
	struct bin *best = NULL;
	size_t looks = 0;

	*usd = INFINITY;
	for (size_t i = planner->first_bin; i<planner->bins.count && * usd> 0; i++)
		if (fits_as_is(planner, planner->bins.at[i], &item->class->need))
			look_at(planner, item, planner->bins.at[i], out, usd, &best);
	for (size_t i = planner->bins.count; i-- > planner->first_bin && *usd > 0;)
		if (!planner->bins.at[i]->existing &&
		    (looks++ < GROWTHS_MAX || follows(item->class)))
			look_at(planner, item, planner->bins.at[i], out, usd, &best);
	return best;
}

static bool place_one(struct planner *planner, struct item *item)
{
	struct growth growth;
	struct shape *shape;
	double usd;
	struct bin *bin = least_growth(planner, item, &growth, &usd);

	if (usd > 0 && new_node(planner, item, &shape) < usd && place_on_new(planner, item))
		return true;
	if (!bin)
		return false;
	place(planner, bin, item, 1, &growth);
	return true;
}

bool place_on_planned(struct planner *planner, struct item *item, size_t from)
{
	size_t before = planner->first_bin;
	bool placed;

	planner->first_bin = from;
	placed = place_one(planner, item);
	planner->first_bin = before;
	return placed;
}

/* Those that follow others on a host come last, when these have a place. */
void grow_nodes(struct planner *planner)
{
	for (int following = 0; following < 2; following++)
		vec_for_each (item, &planner->items)
			while (item->count && follows(item->class) == (following == 1) &&
			       place_one(planner, item))
				;
}

/* ---- as Karpenter packs ---- */

struct pick {
	uint32_t item;
	int32_t priority; /* where limits may bind */
	uint32_t pools; /* likewise */
	int64_t cpu, memory;
};

static int by_size(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->pools != y->pools)
		return x->pools < y->pools ? -1 : 1;
	if (x->cpu != y->cpu)
		return x->cpu > y->cpu ? -1 : 1;
	if (x->memory != y->memory)
		return x->memory > y->memory ? -1 : 1;
	return (x->item > y->item) - (x->item < y->item);
}

/* Existing nodes first, then planned ones with few pods before those with many. */
static struct bin *first_fit(struct planner *planner, const struct item *item, struct growth *out)
{
	struct bin *best = NULL;

	for (size_t i = planner->first_bin; i < planner->bins.count; i++) {
		struct bin *const *it = &planner->bins.at[i];
		struct growth growth = {0};

		if (best && (*it)->pods >= best->pods)
			continue;
		if (!(bin_growth(planner, *it, item->binding, 1, &growth) < INFINITY) ||
		    !may_hold(planner, *it, item->binding, &growth))
			continue;
		best = *it;
		*out = growth;
		if (best->existing)
			break;
	}
	return best;
}

void pack_first_fit(struct planner *planner)
{
	_cleanup_free_ struct pick *picks = calloc(planner->items.count + 1, sizeof(*picks));

	if (!picks)
		abort();
	for (size_t i = 0; i < planner->items.count; i++)
		picks[i] = (struct pick){
			.item = (uint32_t)i,
			.priority = planner->limited ? planner->items.at[i].class->priority : 0,
			.pools = planner->limited ? planner->items.at[i].pools : 0,
			.cpu = planner->items.at[i].class->need.of[CPU],
			.memory = planner->items.at[i].class->need.of[MEMORY],
		};
	qsort(picks, planner->items.count, sizeof(*picks), by_size);
	for (size_t i = 0; i < planner->items.count; i++) {
		struct item *item = &planner->items.at[picks[i].item];

		while (item->count) {
			struct growth growth;
			struct bin *bin = first_fit(planner, item, &growth);

			if (bin)
				place(planner, bin, item, 1, &growth);
			else if (!place_on_new(planner, item))
				break;
		}
	}
}
