/* SPDX-License-Identifier: Apache-2.0 */
/* Packs in more than one way where that is quick, and keeps what places more, or costs less. */
#include <math.h>

#include "plan/pack.h"

#define FIRST_FIT_PODS_MAX 600 /* above it this way costs too much time */

/* What one way of packing came to, apart from the planner while another is tried. */
struct outcome {
	VEC(struct bin *) bins;
	VEC(uint32_t) left; /* of each item */
	uint64_t unplaced;
	double usd;
};

static void take_out(struct planner *planner, size_t from, struct outcome *out)
{
	out->usd = 0;
	out->unplaced = 0;
	for (size_t i = from; i < planner->bins.count; i++) {
		struct bin *bin = planner->bins.at[i];

		*vec_push(&out->bins) = bin;
		out->usd += bin->usd;
		bin_release(planner, bin);
		vec_for_each (it, &bin->counts)
			planner->counters.at[it->counter]->total -= it->count;
	}
	planner->bins.count = from;
	vec_for_each (item, &planner->items) {
		*vec_push(&out->left) = item->count;
		out->unplaced += item->count;
	}
}

static void put_back(struct planner *planner, struct outcome *out)
{
	vec_for_each (it, &out->bins) {
		*vec_push(&planner->bins) = *it;
		vec_for_each (count, &(*it)->counts)
			planner->counters.at[count->counter]->total += count->count;
		bin_take(planner, *it);
	}
	for (size_t i = 0; i < out->left.count; i++)
		planner->items.at[i].count = out->left.at[i];
}

static void outcome_free(struct outcome *out, bool bins_too)
{
	if (bins_too)
		vec_for_each (it, &out->bins)
			bin_free(*it);
	vec_free(&out->bins);
	vec_free(&out->left);
}

static bool is_better(const struct outcome *a, const struct outcome *b)
{
	if (a->unplaced != b->unplaced)
		return a->unplaced < b->unplaced;
	return a->usd < b->usd;
}

static void by_worth(struct planner *planner)
{
	open_nodes(planner);
	grow_nodes(planner);
	improve_nodes(planner);
}

static void by_first_fit(struct planner *planner)
{
	pack_first_fit(planner);
	improve_nodes(planner);
}

void place_items(struct planner *planner)
{
	static void (*const ways[])(struct planner *) = {by_worth, by_first_fit};
	struct outcome outcomes[ARRAY_SIZE(ways)] = {0};
	_cleanup_free_ uint32_t *wanted = calloc(planner->items.count + 1, sizeof(*wanted));
	size_t from = planner->bins.count, best = 0, tried;
	uint64_t pods = 0;

	if (!wanted)
		abort();
	planner->first_bin = from;
	for (size_t i = 0; i < planner->items.count; i++)
		pods += wanted[i] = planner->items.at[i].count;
	for (tried = 0; tried < (pods > FIRST_FIT_PODS_MAX ? 1 : ARRAY_SIZE(ways)); tried++) {
		for (size_t i = 0; i < planner->items.count; i++) {
			planner->items.at[i].count = wanted[i];
			planner->items.at[i].failed = false;
			size_note(planner, i);
		}
		ways[tried](planner);
		take_out(planner, from, &outcomes[tried]);
		if (is_better(&outcomes[tried], &outcomes[best]))
			best = tried;
	}
	put_back(planner, &outcomes[best]);
	for (size_t i = 0; i < tried; i++)
		outcome_free(&outcomes[i], i != best);
	planner->first_bin = 0;
	if (outcomes[best].unplaced)
		grow_nodes(planner);
}
