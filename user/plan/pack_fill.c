/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills one node with items: again and again the size of pod that uses best what is left of it, and
 * of that size a pod that may go there. Items of one size are looked at together, so that a node
 * costs as many steps as there are sizes, however many rules tell the pods apart.
 */
#include <math.h>

#include "plan/pack.h"

double item_value(const struct planner *planner, const struct item *item)
{
	double value = value_of(planner, &item->class->need);

	return item->tight ? value + planner->lambda[RESOURCES_MAX] / item->tight : value;
}

uint32_t amounts_fit(const struct planner *planner, const struct amounts *room,
		     const struct amounts *need, uint32_t most)
{
	for (size_t r = 0; r < planner->resources; r++) {
		if (need->of[r] <= 0)
			continue;
		if (room->of[r] < need->of[r])
			return 0;
		if (most > 1)
			most = (uint32_t)MIN((int64_t)most, room->of[r] / need->of[r]);
	}
	return most;
}

/* How well the size uses what is left: large needs where much is left, by what they are worth. */
static double score(const struct filling *f, const struct size *size)
{
	const struct planner *planner = f->planner;
	double sum = 0;

	for (size_t i = 0; i < planner->priced; i++) {
		size_t r = planner->priced_at[i];

		sum += planner->lambda[r] * planner->lambda[r] * (double)size->need.of[r] *
		       (double)f->room.of[r];
	}
	return sum;
}

/* The bin's shape with the item on it; NULL: it cannot be there. */
static struct shape *narrowed(const struct filling *f, const struct item *item)
{
	struct shape *shape = f->bin->shape, *other = item->binding->shapes[shape->pool];

	other = other ? shape_meet(f->planner, shape, other) : NULL;
	return other && types_has(other->types, f->type) ? other : NULL;
}

/* What the item adds to the price of the node, by the domain that it is bound to. */
static double dearer(const struct filling *f, const struct shape *shape)
{
	return shape == f->bin->shape
		       ? 0
		       : (double)shape->usd[f->type] - (double)f->bin->shape->usd[f->type];
}

static bool leaves_values(const struct filling *f, const struct shape *shape,
			  const struct item *item)
{
	struct amounts load = f->bin->load;

	if (!f->planner->pools[shape->pool].min_values.count)
		return true;
	for (size_t r = 0; r < f->planner->resources; r++)
		load.of[r] += item->class->need.of[r];
	return keeps_values(f->planner, shape, &load, NULL);
}

/* Where the first goes, all that want to be with it on the same host have to follow. */
static bool room_for_company(const struct filling *f, const struct item *item)
{
	return amounts_fit(f->planner, &f->room, &item->class->need, item->count) == item->count ||
	       !starts_company(f->planner, f->bin, item->class);
}

static bool may_go(struct filling *f, const struct item *item)
{
	struct shape *shape;

	if (!bin_room(f->planner, f->bin, item->class, 1) || !room_for_company(f, item))
		return false;
	if (f->bin->existing)
		return binding_on_existing(f->planner, f->bin->existing, item->binding);
	shape = narrowed(f, item);
	return shape && dearer(f, shape) <= f->dearer_up_to * item->value &&
	       leaves_values(f, shape, item);
}

/* What may not go once may not go later: rules only get tighter as the bin fills, but for those
 * that follow others on the same host. */
static struct item *item_of_size(struct filling *f, struct size *size, bool tight)
{
	struct planner *planner = f->planner;

	for (size_t i = 0; i < size->items.count; i++) {
		struct item *item = &planner->items.at[size->items.at[i]];

		if (!item->count) {
			vec_remove(&size->items, i--);
			continue;
		}
		if ((tight && !item->tight) || item->refused == f->turn ||
		    (f->captives_only && item->pools))
			continue;
		if (may_go(f, item))
			return item;
		item->refused = f->turn;
	}
	return NULL;
}

static struct item *next_item(struct filling *f, bool tight)
{
	for (;;) {
		struct size *best = NULL;
		struct item *item;
		double most = -1;

		vec_for_each (size, &f->planner->sizes) {
			double s;

			if (!size->items.count || size->refused == f->turn ||
			    !amounts_fit(f->planner, &f->room, &size->need, 1))
				continue;
			s = score(f, size);
			if (s > most) {
				most = s;
				best = size;
			}
		}
		if (!best)
			return NULL;
		item = item_of_size(f, best, tight);
		if (item)
			return item;
		best->refused = f->turn;
	}
}

void fill_put(struct filling *f, struct item *item, uint32_t count)
{
	if (!f->bin->existing)
		f->bin->shape = narrowed(f, item);
	bin_add(f->planner, f->bin, item->binding, count);
	for (size_t r = 0; r < f->planner->resources; r++)
		f->room.of[r] -= item->class->need.of[r] * count;
	item->count -= count;
	f->value += item->value * count;
	*vec_push(&f->given) = (struct given){(size_t)(item - f->planner->items.at), count};
}

/* Of a crowd of small pods many at once, but not so many that no mix comes about. */
static uint32_t portion(const struct filling *f, const struct item *item)
{
	uint32_t count = amounts_fit(f->planner, &f->room, &item->class->need, item->count);

	if (!f->bin->existing && f->planner->pools[f->bin->shape->pool].min_values.count)
		return 1; /* each may be the one that leaves too few values */
	count = bin_room(f->planner, f->bin, item->class, count);
	if (starts_company(f->planner, f->bin, item->class))
		return count;
	return MAX(1U, count / 8);
}

/* Those that can be nowhere but where others of their company are. */
static void fill_company(struct filling *f)
{
	vec_for_each (item, &f->planner->items) {
		uint32_t count;

		if (!item->count || !follows(item->class) || !may_go(f, item))
			continue;
		count = amounts_fit(f->planner, &f->room, &item->class->need, item->count);
		count = bin_room(f->planner, f->bin, item->class, count);
		if (count && !f->planner->pools_with_values)
			fill_put(f, item, count);
		while (f->planner->pools_with_values && item->count && count-- && may_go(f, item))
			fill_put(f, item, 1);
	}
}

void fill(struct filling *f)
{
	struct item *item;

	for (int dear = 0; dear < 2; dear++) {
		f->dearer_up_to = dear;
		f->turn = ++f->planner->turn;
		if (f->planner->companies && f->given.count)
			fill_company(f);
		if (f->planner->tight && (item = next_item(f, true)))
			fill_put(f, item, 1);
		f->turn = ++f->planner->turn;
		while ((item = next_item(f, false)))
			fill_put(f, item, portion(f, item));
		if (f->bin->existing)
			break;
	}
}

void fill_undo(struct filling *f)
{
	struct planner *planner = f->planner;

	vec_for_each (it, &f->given) {
		struct item *item = &planner->items.at[it->item];

		bin_remove(planner, f->bin, item->binding, it->count);
		if (!item->count)
			size_note(planner, it->item);
		item->count += it->count;
	}
	vec_clear(&f->given);
	vec_clear(&f->bin->counts);
}

/* ---- sizes ---- */

void size_note(struct planner *planner, size_t index)
{
	struct item *item = &planner->items.at[index];
	struct size *size = &planner->sizes.at[item->size];

	vec_for_each (it, &size->items)
		if (*it == index)
			return;
	*vec_push(&size->items) = (uint32_t)index;
}

void sizes_make(struct planner *planner)
{
	struct map by_need = {0};

	for (size_t i = 0; i < planner->items.count; i++) {
		struct item *item = &planner->items.at[i];
		uint64_t hash = hash_bytes(&item->class->need, sizeof(struct amounts));
		uintptr_t at;

		while ((at = (uintptr_t)map_get(&by_need, hash)) &&
		       memcmp(&planner->sizes.at[at - 1].need, &item->class->need,
			      sizeof(struct amounts)) != 0)
			hash++;
		if (!at) {
			vec_push(&planner->sizes)->need = item->class->need;
			at = planner->sizes.count;
			map_put(&by_need, hash, (void *)at);
		}
		item->size = (uint32_t)at - 1;
		for (size_t p = 0; p < planner->pools_count; p++)
			item->pools += item->binding->shapes[p] != NULL;
		*vec_push(&planner->sizes.at[at - 1].items) = (uint32_t)i;
	}
	map_free(&by_need);
}

void sizes_free(struct planner *planner)
{
	vec_for_each (size, &planner->sizes)
		vec_free(&size->items);
	vec_free(&planner->sizes);
}

/* ---- nodes that stand ---- */

static bool room_of(const struct planner *planner, struct bin *bin, struct filling *f)
{
	*f = (struct filling){.planner = (struct planner *)planner, .bin = bin, .type = bin->type};
	if (bin->existing) {
		bin_left(planner, bin, &f->room);
		return !bin->existing->given.closed;
	}
	for (size_t r = 0; r < planner->resources; r++)
		f->room.of[r] =
			planner->pools[bin->shape->pool].free[bin->type].of[r] - bin->load.of[r];
	return true;
}

/* Those that can be nowhere else go first. */
static void fill_captives(struct planner *planner)
{
	vec_for_each (it, &planner->bins) {
		struct filling f;

		if (!(*it)->existing || !room_of(planner, *it, &f))
			continue;
		f.captives_only = true;
		fill(&f);
		vec_free(&f.given);
	}
}

void fill_standing(struct planner *planner)
{
	bool captives = false;

	vec_for_each (item, &planner->items)
		captives |= !item->pools;
	if (captives)
		fill_captives(planner);
	vec_for_each (it, &planner->bins) {
		struct filling f;

		if (!room_of(planner, *it, &f))
			continue;
		fill(&f);
		if (f.given.count && !(*it)->existing)
			bin_settle(planner, *it);
		vec_free(&f.given);
	}
}
