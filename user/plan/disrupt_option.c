/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could be done with some nodes: nothing needed in their place, one cheaper node, or what
 * stands in the way. A launch set keeps offerings and not types, so that nothing in it costs as
 * much as what goes.
 */
#include "plan/disrupt_private.h"

void option_free(struct option *option)
{
	vec_free(&option->launch.list);
}

static void _printf_(3, 4)
	cannot(struct option *option, enum disrupt_hold by, const char *format, ...)
{
	va_list arguments;

	option->found = false;
	option->by = by;
	va_start(arguments, format);
	vsnprintf(option->why, sizeof(option->why), format, arguments);
	va_end(arguments);
}

double option_saves(const struct option *option)
{
	return option->usd_before - (option->replaces ? option->usd_after : 0);
}

/* ---- the launch set ---- */

static bool all_spot(const struct search *search, const uint32_t *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (search->input->nodes[nodes[i]].offering->capacity_type != CAPACITY_SPOT)
			return false;
	return true;
}

static void no_cheaper(struct option *option)
{
	cannot(option, HOLD_PRICE, "nothing that would do costs less than %.4g USD an hour",
	       option->usd_before);
}

/* Spot for spot: only out of a set so wide that EC2's choice is not looked at again at once. */
static void narrow_spot(const struct search *search, size_t count, struct option *option)
{
	uint32_t types, most = SPOT_TYPES_LEAST;

	offerings_of_spot(&option->launch);
	if (!option->launch.list.count) {
		no_cheaper(option);
		return;
	}
	option->usd_held = option->usd_before - offerings_usd(&option->launch);
	if (!search->input->config.spot_to_spot) {
		cannot(option, HOLD_SPOT_TO_SPOT,
		       "spot is not replaced by spot (it is not switched on)");
		return;
	}
	if (count > 1)
		return;
	types = offerings_types(&option->launch, SPOT_TYPES_LEAST);
	if (types < SPOT_TYPES_LEAST) {
		cannot(option, HOLD_SPOT_TO_SPOT,
		       "spot is replaced by spot out of %d cheaper types at least, there are %u",
		       SPOT_TYPES_LEAST, types);
		return;
	}
	vec_for_each (term, &option->launch.pool->requirements.list)
		if (strcmp(term->key, LABEL_INSTANCE_TYPE) == 0)
			most = MAX(most, term->min_values);
	offerings_most_types(&option->launch, most);
}

static bool has_type(const struct disrupt_offerings *offerings, const char *type)
{
	vec_for_each (it, &offerings->list)
		if (strcmp((*it)->instance_type, type) == 0)
			return true;
	return false;
}

/* Of several nodes that would become one of a type that is among them, that one could have stayed:
 * so the new one must be cheaper than it (Karpenter's filterOutSameInstanceType). */
static void narrow_same_type(const struct search *search, const uint32_t *nodes, size_t count,
			     struct option *option)
{
	double below = INFINITY;

	for (size_t i = 0; i < count; i++) {
		const struct disrupt_node *node = &search->input->nodes[nodes[i]];

		if (node->usd_per_hour < below &&
		    has_type(&option->launch, node->offering->instance_type))
			below = node->usd_per_hour;
	}
	if (!isinf(below))
		offerings_below(&option->launch, below);
	if (!option->launch.list.count)
		cannot(option, HOLD_PRICE,
		       "they would become a node of a type that one of them has already");
}

/* Until the replacement serves both cost money. */
static void narrow_by_overlap(const struct search *search, struct option *option)
{
	double share = search->input->config.overlap_s / 3600;
	double usd = offerings_usd(&option->launch);

	if (share <= 0 || option_saves(option) >= share * usd)
		return;
	cannot(option, HOLD_PRICE,
	       "it would save %.4g USD an hour: not worth two that run beside each other for %.0f "
	       "s",
	       option->usd_before - usd, search->input->config.overlap_s);
}

static void narrow(const struct search *search, const uint32_t *nodes, size_t count,
		   const struct disrupt_new *new, struct option *option)
{
	const char *key;

	option->replaces = option->found = true;
	offerings_copy(&option->launch, new, option->usd_before);
	if (!option->launch.list.count) {
		no_cheaper(option);
		return;
	}
	if (all_spot(search, nodes, count) && offerings_have_spot(&option->launch))
		narrow_spot(search, count, option);
	if (option->found && count > 1)
		narrow_same_type(search, nodes, count, option);
	if (!option->found)
		return;
	offerings_most_types(&option->launch, PLAN_TYPES_MAX);
	option->usd_after = offerings_usd(&option->launch);
	option->usd_held = option_saves(option);
	if (!offerings_min_values(&option->launch, &key))
		cannot(option, HOLD_MIN_VALUES,
		       "what is cheaper leaves fewer values of %s than minValues", key);
	else
		narrow_by_overlap(search, option);
}

/* ---- one option ---- */

static void judge_move(const struct search *search, const uint32_t *nodes, size_t count,
		       const struct disrupt_move *move, struct option *option)
{
	option->usd_before = search_usd(search, nodes, count);
	option->usd_held = NAN;
	if (move->homeless)
		cannot(option, HOLD_PLACE, "%s", move->why);
	else if (move->nodes.count > 1)
		cannot(option, HOLD_NODES, "%zu nodes would be launched in its place",
		       move->nodes.count);
	else if (move->nodes.count)
		narrow(search, nodes, count, &move->nodes.at[0], option);
	else
		option->found = true;
}

/* ---- the balanced policy ---- */

static double pool_usd(const struct search *search, uint32_t pool, const uint32_t *nodes,
		       size_t count, double *disturbance)
{
	double usd = 0;

	*disturbance = 0;
	for (size_t i = 0; i < count; i++) {
		const struct disrupt_node *node = &search->input->nodes[nodes[i]];

		if (node->pool != pool)
			continue;
		usd += node->usd_per_hour;
		*disturbance += 1 + MAX(node->eviction_cost, 0);
	}
	return usd;
}

double balance_score(const struct pool_count *pool, double saved, double disturbance)
{
	if (pool->usd <= 0 || pool->disturbance <= 0 || saved <= 0)
		return 0;
	return saved / pool->usd / (disturbance / pool->disturbance);
}

static void balance(const struct search *search, const uint32_t *nodes, size_t count,
		    struct option *option)
{
	for (uint32_t p = 0; option->found && p < search->input->pools_count; p++) {
		double disturbance, usd, got;

		if (search->input->pools[p]->consolidation != CONSOLIDATE_BALANCED)
			continue;
		usd = pool_usd(search, p, nodes, count, &disturbance);
		if (disturbance <= 0)
			continue;
		got = balance_score(&search->pools[p],
				    option_saves(option) * usd / option->usd_before, disturbance);
		if (got >= 1.0 / BALANCED_K)
			continue;
		option->usd_held = option_saves(option);
		cannot(option, HOLD_BALANCED,
		       "it saves %.2f of what it disturbs of NodePool %s, %.2f is asked", got,
		       search->input->pools[p]->name, 1.0 / BALANCED_K);
	}
}

bool option_judge(struct search *search, const uint32_t *nodes, size_t count,
		  struct disrupt_move *move, struct option *option)
{
	option_free(option);
	*option = (struct option){0};
	if (!search_ask(search, nodes, count, search_usd(search, nodes, count), move))
		return false;
	judge_move(search, nodes, count, move, option);
	balance(search, nodes, count, option);
	return true;
}
