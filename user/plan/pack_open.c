/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens new nodes. Each is opened for the item that is worth the most (first those that must be
 * alone of their kind, when they decide how many nodes there are); of the types that could carry it
 * the one is taken that, filled up, carries the most worth for its price.
 */
#include <math.h>

#include "plan/pack.h"

#define CANDIDATES 12
#define NEED_MAX 1e18 /* more than any type has */
#define REPRICE_SHARE 0.06 /* of the worth that is left */

struct candidate {
	struct shape *shape;
	uint16_t type;
	double rank;
};

/* By how much a node counts as dearer than it is: docs/capacity.md, "The cost". */
static double risk_of(const struct planner *planner, uint16_t type, double value)
{
	double share = planner->worth > 0 ? fmin(value / planner->worth, 1) : 0;

	return 1 + planner->config.loss_weight * share +
	       planner->config.start_weight * planner->catalog->types[type].bare_metal;
}

/* Fills the bin as that type with the seed first. What it is worth for its price; 0: nothing. */
static double try_type(struct filling *f, struct item *seed, const struct candidate *candidate)
{
	const struct pool_table *pool = &f->planner->pools[candidate->shape->pool];
	double usd;

	f->bin->shape = candidate->shape;
	f->type = candidate->type;
	f->room = pool->free[candidate->type];
	f->value = 0;
	if (!bin_room(f->planner, f->bin, seed->class, 1))
		return 0;
	fill_put(f, seed, 1);
	fill(f);
	f->bin->type = shape_cheapest(f->planner, f->bin->shape, &f->bin->load, NULL, &usd);
	if (f->bin->type == NO_TYPE || !bin_hold(f->planner, f->bin, &f->bin->held) ||
	    !limit_allows(f->planner, pool, &f->bin->held, NULL))
		return 0;
	f->bin->usd = usd;
	return f->value / fmax(usd * risk_of(f->planner, f->bin->type, f->value), 1e-6);
}

/* What a node for the seed has to carry at least: with it all that must be on the same host. */
static void least_load(struct planner *planner, const struct bin *empty, const struct item *seed,
		       struct amounts *out)
{
	bool company = starts_company(planner, empty, seed->class);

	*out = seed->class->need;
	vec_for_each (item, &planner->items) {
		bool same = company && item->class == seed->class;
		uint32_t more = same ? item->count - (item == seed) : 0;

		for (size_t r = 0; more && r < planner->resources; r++)
			out->of[r] = (int64_t)fmin((double)out->of[r] +
							   (double)item->class->need.of[r] * more,
						   NEED_MAX);
	}
}

/* The most promising types for the seed, by what a full node of them could be worth. */
static size_t candidates_in(struct planner *planner, const struct amounts *least,
			    struct shape *shape, struct candidate *out, size_t count)
{
	const struct pool_table *pool = &planner->pools[shape->pool];

	shape_front(planner, shape);
	for (size_t i = 0; i < shape->front_count; i++) {
		struct candidate new = {.shape = shape, .type = shape->front[i].type};
		size_t at = count;

		if (!amounts_fit(planner, &pool->free[new.type], least, 1) ||
		    !limit_allows(planner, pool, &pool->whole[new.type], NULL))
			continue;
		new.rank = (value_of(planner, &pool->free[new.type]) +
			    planner->lambda[RESOURCES_MAX]) /
			   fmax(shape->front[i].usd, 1e-6);
		if (count == CANDIDATES && new.rank <= out[count - 1].rank)
			continue;
		if (count < CANDIDATES)
			count++;
		else
			at = count - 1;
		for (; at > 0 && out[at - 1].rank < new.rank; at--)
			out[at] = out[at - 1];
		out[at] = new;
	}
	return count;
}

/* Pools of the same weight compete by price; a lighter one is asked when no heavier one can. */
static size_t candidates_of(struct planner *planner, const struct item *seed,
			    const struct amounts *least, struct candidate *out)
{
	size_t count = 0;

	for (size_t p = 0; p < planner->pools_count; p++) {
		struct shape *shape = seed->binding->shapes[p];

		if (p && count && planner->pools[p].weight != planner->pools[p - 1].weight)
			break;
		if (shape && planner->pools[p].nodes_used < planner->pools[p].nodes_limit)
			count = candidates_in(planner, least, shape, out, count);
	}
	return count;
}

static struct candidate *best_of(struct filling *f, struct item *seed, struct candidate *candidates,
				 size_t count)
{
	struct candidate *best = NULL;
	double most = 0;

	for (size_t i = 0; i < count; i++) {
		double worth;

		if (candidates[i].rank <= most)
			break; /* even full it would be worth less */
		worth = try_type(f, seed, &candidates[i]);
		fill_undo(f);
		if (worth > most) {
			most = worth;
			best = &candidates[i];
		}
	}
	return best;
}

/* What it is worth; 0: no node can be opened for it. */
static double open_node(struct planner *planner, struct item *seed)
{
	static const struct bin empty;
	struct candidate candidates[CANDIDATES], *best = NULL;
	struct filling f = {.planner = planner};
	struct amounts least;
	size_t count;

	least_load(planner, &empty, seed, &least);
	count = candidates_of(planner, seed, &least, candidates);
	if (!count)
		count = candidates_of(planner, seed, &seed->class->need, candidates);
	if (!count)
		return 0;
	f.bin = bin_new(planner, candidates[0].shape);
	best = best_of(&f, seed, candidates, count);
	if (best) {
		try_type(&f, seed, best);
		bin_take(planner, f.bin);
	} else {
		bin_free(f.bin);
		planner->bins.count--;
	}
	vec_free(&f.given);
	return best ? f.value : 0;
}

/* ---- in which order ---- */

static const struct planner *sorted; /* qsort() hands nothing over */

static int by_value(const void *a, const void *b)
{
	const struct item *x = &sorted->items.at[*(const uint32_t *)a];
	const struct item *y = &sorted->items.at[*(const uint32_t *)b];

	if (sorted->limited && x->class->priority != y->class->priority)
		return x->class->priority > y->class->priority ? -1 : 1;
	if (sorted->limited && x->pools != y->pools) /* the others can go elsewhere */
		return x->pools < y->pools ? -1 : 1;
	if (!x->tight != !y->tight)
		return x->tight ? -1 : 1;
	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return (x > y) - (x < y);
}

static double sort_items(struct planner *planner, uint32_t *order)
{
	double left = 0;

	price_resources(planner);
	for (size_t i = 0; i < planner->items.count; i++) {
		struct item *item = &planner->items.at[i];

		item->value = item_value(planner, item);
		left += item->value * item->count;
		order[i] = (uint32_t)i;
	}
	sorted = planner;
	qsort(order, planner->items.count, sizeof(*order), by_value);
	return left;
}

void open_nodes(struct planner *planner)
{
	_cleanup_free_ uint32_t *order = calloc(planner->items.count + 1, sizeof(*order));
	double left, used = 0;

	if (!order)
		abort();
	planner->worth = left = sort_items(planner, order);
	for (size_t i = 0; i < planner->items.count; i++) {
		struct item *seed = &planner->items.at[order[i]];
		double value = 1;

		while (seed->count && !seed->failed && used <= left * REPRICE_SHARE) {
			value = open_node(planner, seed);
			used += value;
			seed->failed = value <= 0;
		}
		if (used <= left * REPRICE_SHARE)
			continue;
		used = 0;
		left = sort_items(planner, order);
		i = SIZE_MAX; /* begins anew */
	}
}
