/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consolidation: several nodes at once that need none or one cheaper node in their place, then one
 * by one. As Karpenter's MultiNodeConsolidation and SingleNodeConsolidation; what differs: a launch
 * set keeps offerings and not types, so that nothing in it costs as much as what goes, and several
 * commands are found in one search.
 */
#include "plan/disrupt_private.h"

static void carry_out(struct search *search, const uint32_t *nodes, size_t count,
		      const struct disrupt_move *move, struct option *option)
{
	struct disrupt_command *command =
		search_command(search, DISRUPT_UNDERUTILIZED, nodes, count);
	double saved = option_saves(option);

	search_go(search, nodes, count, move);
	for (size_t i = 0; i < count; i++)
		search->plan->pools[search->input->nodes[nodes[i]].pool].usd_saved +=
			saved * search->input->nodes[nodes[i]].usd_per_hour / option->usd_before;
	command->usd_saved = saved;
	command->usd_after = option->replaces ? option->usd_after : 0;
	if (option->replaces) {
		*vec_push(&command->replacements) = option->launch;
		memset(&option->launch, 0, sizeof(option->launch));
	}
	if (option->replaces)
		snprintf(command->why, sizeof(command->why),
			 "%zu of %.4g USD an hour can be one of %.4g: saves %.4g", count,
			 option->usd_before, option->usd_after, saved);
	else
		snprintf(command->why, sizeof(command->why),
			 "what runs on %s has room elsewhere: saves %.4g USD an hour",
			 count == 1 ? "it" : "them", saved);
}

/* ---- who ---- */

static bool is_candidate(struct search *search, uint32_t n)
{
	const struct disrupt_node *node = &search->input->nodes[n];
	const enum disrupt_reason reason = DISRUPT_UNDERUTILIZED;

	if (node->pool >= search->input->pools_count || is_static(pool_at(search, n)) ||
	    disrupt_node_is_empty(node) || !search_may_choose(search, n, reason, true))
		return false;
	if (pool_at(search, n)->consolidation == CONSOLIDATE_WHEN_EMPTY) {
		search_hold(search, n, reason, HOLD_POLICY, "NodePool %s consolidates WhenEmpty",
			    pool_at(search, n)->name);
		return false;
	}
	if (!node->offering || isnan(node->usd_per_hour)) {
		search_hold(search, n, reason, HOLD_UNKNOWN, "its %s is not known",
			    node->offering ? "price" : "type");
		return false;
	}
	return true;
}

struct candidate {
	uint32_t node;
	uint32_t turn; /* of its pool */
	double usd, disturbance;
};
struct candidates {
	VEC(struct candidate) list;
};

static int by_ratio(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	double left = x->usd * y->disturbance, right = y->usd * x->disturbance;

	if (left != right)
		return left > right ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

static int by_disturbance(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->disturbance != y->disturbance)
		return x->disturbance < y->disturbance ? -1 : 1;
	return by_ratio(a, b);
}

static int by_turn(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->turn != y->turn)
		return x->turn < y->turn ? -1 : 1;
	return by_ratio(a, b);
}

static void sort(struct candidates *candidates, int (*compare)(const void *, const void *))
{
	if (candidates->list.count)
		qsort(candidates->list.at, candidates->list.count, sizeof(struct candidate),
		      compare);
}

static void gather(struct search *search, struct candidates *candidates)
{
	for (uint32_t n = 0; n < search->input->nodes_count; n++) {
		const struct disrupt_node *node = &search->input->nodes[n];

		if (!is_candidate(search, n) ||
		    !search_may_consolidate(search, n, DISRUPT_UNDERUTILIZED))
			continue;
		search->plan->pools[node->pool].eligible[DISRUPT_UNDERUTILIZED]++;
		*vec_push(&candidates->list) = (struct candidate){n, 0, node->usd_per_hour,
								  1 + MAX(node->eviction_cost, 0)};
	}
}

/* ---- several at once ---- */

struct batch {
	uint32_t *nodes;
	size_t count; /* that are found to go together; 0: none */
	double saved;
};

/* As many as their budgets let go. */
static size_t within_budgets(struct search *search, const struct candidates *candidates,
			     uint32_t *nodes)
{
	const size_t most = search->input->config.batch;
	size_t count = 0;

	vec_for_each (it, &candidates->list) {
		uint32_t pool = search->input->nodes[it->node].pool;

		if (count == most || search->taken[it->node] ||
		    !search_left(search, pool, DISRUPT_UNDERUTILIZED))
			continue;
		nodes[count++] = it->node;
		search->pools[pool].going += search->input->nodes[it->node].ready;
	}
	for (size_t i = 0; i < count; i++)
		search->pools[search->input->nodes[nodes[i]].pool].going -=
			search->input->nodes[nodes[i]].ready;
	return count;
}

/* The most of the first ones, by halves. */
static size_t most_together(struct search *search, const uint32_t *nodes, size_t count,
			    double *saved)
{
	size_t low = 2, high = count, found = 0;
	struct disrupt_move move = {0};
	struct option option = {0};

	while (low <= high) {
		size_t middle = (low + high) / 2;

		if (!option_judge(search, nodes, middle, &move, &option))
			break;
		if (!option.found) {
			high = middle - 1;
			continue;
		}
		found = middle;
		*saved = option_saves(&option);
		low = middle + 1;
	}
	option_free(&option);
	disrupt_move_free(&move);
	return found;
}

static void better_batch(struct search *search, struct candidates *candidates,
			 int (*compare)(const void *, const void *), struct batch *best)
{
	uint32_t *nodes = search->order;
	double saved = 0;
	size_t count;

	sort(candidates, compare);
	count = within_budgets(search, candidates, nodes);
	count = count < 2 ? 0 : most_together(search, nodes, count, &saved);
	if (!count || saved <= best->saved)
		return;
	memcpy(best->nodes, nodes, count * sizeof(*nodes));
	best->count = count;
	best->saved = saved;
}

/* Those that save the most for what they disturb come first; where they do not go together, those
 * that disturb the least may. */
static bool several(struct search *search, struct candidates *candidates)
{
	struct batch best = {.nodes = calloc(MAX(search->input->config.batch, 1U), 4)};
	struct disrupt_move move = {0};
	struct option option = {0};
	bool found = false;

	if (best.nodes) {
		better_batch(search, candidates, by_ratio, &best);
		better_batch(search, candidates, by_disturbance, &best);
	} else {
		search->error = -ENOMEM;
	}
	if (best.count && option_judge(search, best.nodes, best.count, &move, &option) &&
	    option.found) {
		carry_out(search, best.nodes, best.count, &move, &option);
		found = true;
	}
	option_free(&option);
	disrupt_move_free(&move);
	free(best.nodes);
	return found;
}

/* ---- one by one ---- */

/* The pools take turns, so that none is starved when the questions are over. */
static void take_turns(struct search *search, struct candidates *candidates)
{
	uint32_t *turns = calloc(MAX(search->input->pools_count, 1U), sizeof(*turns));

	if (!turns) {
		search->error = -ENOMEM;
		return;
	}
	sort(candidates, by_ratio);
	vec_for_each (it, &candidates->list)
		it->turn = turns[search->input->nodes[it->node].pool]++;
	sort(candidates, by_turn);
	free(turns);
}

static bool can_balance(const struct search *search, uint32_t n)
{
	const struct disrupt_node *node = &search->input->nodes[n];
	const struct pool_count *pool = &search->pools[node->pool];

	return pool_at(search, n)->consolidation != CONSOLIDATE_BALANCED ||
	       balance_score(pool, node->usd_per_hour, 1 + node->eviction_cost) >= 1.0 / BALANCED_K;
}

/* Nothing can be done now; what could be otherwise is said. */
static void look_only(struct search *search, uint32_t n, struct disrupt_move *move,
		      struct option *option)
{
	if (!search->input->config.estimate || !option_judge(search, &n, 1, move, option) ||
	    !option->found)
		return;
	search_hold_saves(search, option_saves(option));
	search->plan->pools[search->input->nodes[n].pool].usd_held += option_saves(option);
}

static void alone(struct search *search, uint32_t n, struct disrupt_move *move,
		  struct option *option)
{
	uint32_t pool = search->input->nodes[n].pool;

	if (search->taken[n])
		return;
	if (!search_left(search, pool, DISRUPT_UNDERUTILIZED)) {
		search_hold_for_budget(search, n, DISRUPT_UNDERUTILIZED);
		look_only(search, n, move, option);
		return;
	}
	if (!can_balance(search, n)) {
		search_hold(
			search, n, DISRUPT_UNDERUTILIZED, HOLD_BALANCED,
			"even without a replacement it would save too little for what it disturbs");
		return;
	}
	if (!option_judge(search, &n, 1, move, option))
		return;
	if (option->found) {
		carry_out(search, &n, 1, move, option);
		return;
	}
	search_hold(search, n, DISRUPT_UNDERUTILIZED, option->by, "%s", option->why);
	search_hold_saves(search, option->usd_held);
	if (option->usd_held > 0)
		search->plan->pools[pool].usd_held += option->usd_held;
}

static void one_by_one(struct search *search, struct candidates *candidates)
{
	size_t count = candidates->list.count, from = search->input->config.resume;
	struct disrupt_move move = {0};
	struct option option = {0};

	take_turns(search, candidates);
	for (size_t i = 0; count && i < count; i++) {
		size_t at = (from + i) % count;

		alone(search, candidates->list.at[at].node, &move, &option);
		if (search->error || search->cut) {
			search->plan->resume = search->error ? 0 : at;
			break;
		}
	}
	option_free(&option);
	disrupt_move_free(&move);
}

/* What those that are held by consolidateAfter would save. */
static void look_at_waiting(struct search *search)
{
	struct disrupt_move move = {0};
	struct option option = {0};

	for (size_t i = 0; i < search->plan->held.count && !search->cut; i++) {
		struct disrupt_held *held = &search->plan->held.at[i];

		if (held->by != HOLD_CONSOLIDATE_AFTER || held->reason != DISRUPT_UNDERUTILIZED ||
		    search->taken[held->node])
			continue;
		if (!option_judge(search, &held->node, 1, &move, &option) || !option.found)
			continue;
		held->usd_saved = option_saves(&option);
		search->plan->pools[search->input->nodes[held->node].pool].usd_held +=
			held->usd_saved;
	}
	option_free(&option);
	disrupt_move_free(&move);
}

void search_consolidate(struct search *search)
{
	struct candidates candidates = {0};

	gather(search, &candidates);
	while (!search->error && !search->cut && candidates.list.count > 1 &&
	       search->input->config.batch > 1 && several(search, &candidates))
		;
	one_by_one(search, &candidates);
	if (search->input->config.estimate)
		look_at_waiting(search);
	vec_free(&candidates.list);
}
