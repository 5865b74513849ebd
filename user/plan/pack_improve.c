/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes what is planned cheaper: a node is dissolved when its pods add less elsewhere than it
 * costs, two are merged, one is divided, a pod moves to where it adds less than it costs. Each step
 * lowers the price, so it ends; a plan of very many nodes is given up on after a number of looks.
 */
#include <math.h>

#include "plan/pack.h"

#define LOOKS_MAX 200000 /* places that are looked at */
#define LEAST_GAIN 1e-9

struct move {
	struct bin *to;
	struct binding *binding;
	struct bin before; /* what the node was: shape, type, price */
};

struct search {
	struct planner *planner;
	size_t looks;
	VEC(struct move) moves;
};

static void set_growth(struct planner *planner, struct bin *bin, const struct growth *growth)
{
	bin_release(planner, bin);
	bin->shape = growth->shape;
	bin->type = growth->type;
	bin->usd = growth->usd;
}

static void move_to(struct search *s, struct bin *from, struct bin *to, struct binding *binding,
		    const struct growth *growth)
{
	struct planner *planner = s->planner;

	*vec_push(&s->moves) = (struct move){.to = to, .binding = binding, .before = *to};
	bin_remove(planner, from, binding, 1);
	if (!to->existing)
		set_growth(planner, to, growth);
	bin_add(planner, to, binding, 1);
	if (!to->existing)
		bin_take(planner, to);
}

static void undo_moves(struct search *s, struct bin *from)
{
	struct planner *planner = s->planner;

	while (s->moves.count) {
		struct move *move = &s->moves.at[--s->moves.count];
		struct bin *to = move->to;

		if (!to->existing)
			bin_release(planner, to);
		bin_remove(planner, to, move->binding, 1);
		bin_add(planner, from, move->binding, 1);
		if (to->existing)
			continue;
		to->shape = move->before.shape;
		to->type = move->before.type;
		to->usd = move->before.usd;
		bin_take(planner, to);
	}
}

/* Where one pod of the binding adds the least, apart from where it is. */
static struct bin *elsewhere(struct search *s, const struct bin *from,
			     const struct binding *binding, double below, struct growth *out,
			     double *usd)
{
	struct planner *planner = s->planner;
	struct bin *best = NULL;

	*usd = below;
	for (size_t i = planner->first_bin; i < planner->bins.count; i++) {
		struct bin *const *it = &planner->bins.at[i];
		struct growth growth = {0};
		double more;

		if (*it == from || (!(*it)->existing && !(*it)->counted))
			continue;
		s->looks++;
		more = bin_growth(planner, *it, binding, 1, &growth);
		if (more >= *usd)
			continue;
		*usd = more;
		*out = growth;
		best = *it;
		if (more <= 0)
			break;
	}
	return best;
}

static void drop_bin(struct planner *planner, struct bin *bin)
{
	for (size_t i = 0; i < planner->bins.count; i++)
		if (planner->bins.at[i] == bin) {
			vec_remove(&planner->bins, i);
			break;
		}
	bin_free(bin);
}

/* All pods of a node to where they add less, together, than it costs. */
static bool dissolve(struct search *s, struct bin *bin)
{
	struct planner *planner = s->planner;
	double left = bin->usd - LEAST_GAIN;

	vec_clear(&s->moves);
	bin_release(planner, bin);
	while (bin->slots.count && s->looks < LOOKS_MAX) {
		struct binding *binding = bin->slots.at[0].binding;
		struct growth growth = {0};
		double usd;
		struct bin *to = follows(binding->class)
					 ? NULL
					 : elsewhere(s, bin, binding, left, &growth, &usd);

		if (!to)
			break;
		left -= usd;
		move_to(s, bin, to, binding, &growth);
	}
	if (!bin->slots.count) {
		drop_bin(planner, bin);
		return true;
	}
	undo_moves(s, bin);
	bin_take(planner, bin);
	return false;
}

/* The price of the node without so many pods of the binding. */
static double usd_without(struct planner *planner, const struct bin *bin,
			  const struct binding *binding, uint32_t count, struct growth *out)
{
	struct shape *shape = bin->pin ? bin->pin : planner->pools[bin->shape->pool].all;
	struct amounts load = bin->load;

	for (size_t r = 0; r < planner->resources; r++)
		load.of[r] -= binding->class->need.of[r] * count;
	vec_for_each (slot, &bin->slots)
		if (shape && (slot->binding != binding || slot->count > count))
			shape = shape_meet(planner, shape, slot->binding->shapes[bin->shape->pool]);
	if (!shape)
		return INFINITY;
	out->shape = shape;
	out->type = shape_cheapest(planner, shape, &load, &bin->held, &out->usd);
	return out->type == NO_TYPE ? INFINITY : out->usd;
}

/* A node of a lighter pool is there for a pod that no heavier pool could have: one has to stay. */
static bool is_opened_by(const struct planner *planner, const struct bin *bin,
			 const struct binding *binding)
{
	for (size_t p = 0; p < planner->pools_count; p++)
		if (planner->pools[p].weight > planner->pools[bin->shape->pool].weight &&
		    binding->shapes[p])
			return false;
	return true;
}

static bool keeps_opener(const struct planner *planner, const struct bin *bin,
			 const struct slot *leaving, uint32_t count)
{
	vec_for_each (slot, &bin->slots)
		if ((slot != leaving || slot->count > count) &&
		    is_opened_by(planner, bin, slot->binding))
			return true;
	return false;
}

/* One pod to where it adds less than its going saves. */
static bool move_one(struct search *s, struct bin *bin)
{
	struct planner *planner = s->planner;

	for (size_t i = 0; i < bin->slots.count && bin->pods > 1; i++) {
		struct binding *binding = bin->slots.at[i].binding;
		struct growth left = {0}, growth = {0};
		double saves = bin->usd - usd_without(planner, bin, binding, 1, &left), usd;
		struct bin *to;

		if (follows(binding->class) || saves <= LEAST_GAIN ||
		    !keeps_opener(planner, bin, &bin->slots.at[i], 1))
			continue;
		to = elsewhere(s, bin, binding, saves - LEAST_GAIN, &growth, &usd);
		if (!to)
			continue;
		vec_clear(&s->moves);
		bin_release(planner, bin);
		move_to(s, bin, to, binding, &growth);
		set_growth(planner, bin, &left);
		bin_take(planner, bin);
		return true;
	}
	return false;
}

/* The cheapest new node for all pods of the slot, of the heaviest pools that can. */
static double node_for(struct planner *planner, const struct slot *slot, struct growth *out)
{
	static const struct bin empty;
	const struct pod_class *class = slot->binding->class;
	struct amounts load = {0};
	double best = INFINITY;

	if (bin_room(planner, &empty, class, slot->count) < slot->count)
		return INFINITY;
	for (size_t r = 0; r < planner->resources; r++)
		load.of[r] = class->need.of[r] * slot->count;
	for (size_t p = 0; p < planner->pools_count; p++) {
		const struct pool_table *pool = &planner->pools[p];
		struct growth growth = {.shape = slot->binding->shapes[p]};

		if (p && best < INFINITY && pool->weight != planner->pools[p - 1].weight)
			break;
		if (!growth.shape || pool->nodes_used >= pool->nodes_limit)
			continue;
		growth.type = shape_cheapest(planner, growth.shape, &load, NULL, &growth.usd);
		if (growth.type == NO_TYPE || growth.usd >= best)
			continue;
		best = growth.usd;
		*out = growth;
	}
	return best;
}

/* All pods of a class onto a node of their own, where both together cost less: one that wants a
 * dear kind of node makes no node of many dear. */
static bool divide(struct search *s, struct bin *bin)
{
	struct planner *planner = s->planner;

	for (size_t i = 0; i < bin->slots.count && bin->slots.count > 1; i++) {
		struct slot slot = bin->slots.at[i];
		struct growth left = {0}, own = {0};
		struct bin *new;

		s->looks++;
		if (planner->companies ||
		    !keeps_opener(planner, bin, &bin->slots.at[i], slot.count) ||
		    usd_without(planner, bin, slot.binding, slot.count, &left) +
				    node_for(planner, &slot, &own) >=
			    bin->usd - LEAST_GAIN)
			continue;
		bin_release(planner, bin);
		bin_remove(planner, bin, slot.binding, slot.count);
		set_growth(planner, bin, &left);
		bin_take(planner, bin);
		new = bin_new(planner, own.shape);
		new->type = own.type;
		new->usd = own.usd;
		bin_add(planner, new, slot.binding, slot.count);
		if (bin_take(planner, new))
			return true;
		bin_remove(planner, new, slot.binding, slot.count);
		drop_bin(planner, new);
		bin_add(planner, bin, slot.binding, slot.count);
		bin_settle(planner, bin);
	}
	return false;
}

static int by_price(const void *a, const void *b)
{
	const struct bin *x = *(struct bin *const *)a, *y = *(struct bin *const *)b;

	if (x->usd != y->usd)
		return x->usd > y->usd ? -1 : 1;
	return (x->pods > y->pods) - (x->pods < y->pods);
}

static bool improve_each(struct search *s)
{
	struct planner *planner = s->planner;
	VEC(struct bin *) order = {0};
	bool better = false;

	for (size_t i = planner->first_bin; i < planner->bins.count; i++)
		if (!planner->bins.at[i]->existing && planner->bins.at[i]->counted)
			*vec_push(&order) = planner->bins.at[i];
	if (order.count)
		qsort(order.at, order.count, sizeof(*order.at), by_price);
	vec_for_each (it, &order) {
		if (s->looks >= LOOKS_MAX)
			break;
		if (dissolve(s, *it)) {
			better = true;
			continue;
		}
		while (s->looks < LOOKS_MAX && (move_one(s, *it) || divide(s, *it)))
			better = true;
	}
	vec_free(&order);
	return better;
}

void improve_nodes(struct planner *planner)
{
	struct search search = {.planner = planner};

	for (int round = 0; round < 8 && search.looks < LOOKS_MAX; round++)
		if (!improve_each(&search))
			break;
	vec_free(&search.moves);
}
