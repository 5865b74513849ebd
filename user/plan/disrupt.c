/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One search over all nodes: who may go at all, in which order the reasons come, what each command
 * is. Empty nodes need nothing; then those that are too old or have drifted, which are replaced;
 * consolidation is last (disrupt_consolidate.c).
 */
#include "plan/disrupt_private.h"

void disrupt_config_default(struct disrupt_config *config)
{
	*config = (struct disrupt_config){.batch = 100};
}

double disrupt_eviction_cost(const struct pod_template *pod)
{
	double cost =
		1 + pod->deletion_cost / (double)(1 << 27) + pod->priority / (double)(1 << 25);

	return MIN(MAX(cost, -10.0), 10.0);
}

bool disrupt_node_is_empty(const struct disrupt_node *node)
{
	return node->eviction_cost <= 0;
}

/* ---- counting ---- */

static void count_node(struct search *search, const struct disrupt_node *node)
{
	struct pool_count *count;

	if (node->pool >= search->input->pools_count || !node->ours || node->ended)
		return;
	count = &search->pools[node->pool];
	count->static_running++;
	if (!node->initialized)
		return;
	count->nodes++;
	count->going += node->leaving || !node->ready;
	count->usd += isnan(node->usd_per_hour) ? 0 : node->usd_per_hour;
	count->disturbance += 1 + MAX(node->eviction_cost, 0);
}

static void count_allowances(struct search *search)
{
	for (size_t p = 0; p < search->input->pools_count; p++)
		for (int r = 0; r < DISRUPT_REASONS; r++)
			disrupt_allowed(search->input->pools[p], search->pools[p].nodes,
					search->pools[p].going, (enum disrupt_reason)r,
					search->input->wall_ns,
					&search->plan->pools[p].allowance[r]);
}

uint32_t search_left(const struct search *search, uint32_t pool, enum disrupt_reason reason)
{
	struct disrupt_allowance allowance;

	disrupt_allowed(search->input->pools[pool], search->pools[pool].nodes,
			search->pools[pool].going, reason, search->input->wall_ns, &allowance);
	return allowance.left;
}

/* ---- who may go ---- */

static bool is_bound_by_grace(const struct pool *pool, enum disrupt_reason reason)
{
	return pool->termination_grace_given &&
	       (reason == DISRUPT_DRIFTED || reason == DISRUPT_EXPIRED);
}

bool search_may_choose(struct search *search, uint32_t n, enum disrupt_reason reason, bool held)
{
	const struct disrupt_node *node = &search->input->nodes[n];
	const char *blocked;

	if (node->pool >= search->input->pools_count || !node->ours || !node->initialized ||
	    node->leaving || node->ended || search->taken[n])
		return false;
	blocked = node->blocked;
	if (!blocked && !is_bound_by_grace(pool_at(search, n), reason))
		blocked = node->pods_blocked;
	if (blocked && held)
		search_hold(search, n, reason, HOLD_BLOCKED, "%s", blocked);
	return !blocked;
}

static uint64_t quiet_since(const struct disrupt_node *node)
{
	return node->quiet_wall_ns ? node->quiet_wall_ns : node->launched_wall_ns;
}

bool search_may_consolidate(struct search *search, uint32_t n, enum disrupt_reason reason)
{
	const struct disrupt_node *node = &search->input->nodes[n];
	const struct pool *pool = pool_at(search, n);
	uint64_t after_s = pool->consolidate_after_s, quiet_s;

	if (after_s == DURATION_NEVER) {
		search_hold(search, n, reason, HOLD_POLICY,
			    "consolidateAfter of NodePool %s is Never", pool->name);
		return false;
	}
	quiet_s = (search->input->wall_ns - MIN(search->input->wall_ns, quiet_since(node))) /
		  NS_PER_S;
	if (quiet_s >= after_s)
		return true;
	search_hold(search, n, reason, HOLD_CONSOLIDATE_AFTER,
		    "nothing has changed on it for %llu s of the %llu s of consolidateAfter",
		    (unsigned long long)quiet_s, (unsigned long long)after_s);
	search_hold_until(search, quiet_since(node) + after_s * NS_PER_S);
	return false;
}

/* ---- the world ---- */

void disrupt_move_free(struct disrupt_move *move)
{
	vec_free(&move->nodes);
	vec_free(&move->onto);
}

bool search_ask(struct search *search, const uint32_t *nodes, size_t count, double usd_below,
		struct disrupt_move *move)
{
	const struct disrupt_world *world = &search->input->world;
	size_t most = search->input->config.simulations;
	int r;

	vec_clear(&move->nodes);
	vec_clear(&move->onto);
	move->homeless = 0;
	move->why[0] = '\0';
	if (search->error || (most && search->plan->simulations >= most)) {
		search->cut = true;
		return false;
	}
	search->plan->simulations++;
	r = world->remove(world->arg, nodes, count, usd_below, move);
	if (r < 0)
		search->error = r;
	return r == 0;
}

double search_usd(const struct search *search, const uint32_t *nodes, size_t count)
{
	double usd = 0;

	for (size_t i = 0; i < count; i++)
		usd += search->input->nodes[nodes[i]].usd_per_hour;
	return usd;
}

struct disrupt_command *search_command(struct search *search, enum disrupt_reason reason,
				       const uint32_t *nodes, size_t count)
{
	struct disrupt_command *command = vec_push(&search->plan->commands);

	command->reason = reason;
	command->usd_before = command->usd_saved = search_usd(search, nodes, count);
	for (size_t i = 0; i < count; i++)
		*vec_push(&command->nodes) = nodes[i];
	return command;
}

void search_go(struct search *search, const uint32_t *nodes, size_t count,
	       const struct disrupt_move *move)
{
	const struct disrupt_world *world = &search->input->world;

	for (size_t i = 0; i < count; i++) {
		const struct disrupt_node *node = &search->input->nodes[nodes[i]];

		search->taken[nodes[i]] = true;
		search->pools[node->pool].going += node->ready;
		if (!move && world->close)
			world->close(world->arg, nodes[i]);
	}
	if (!move)
		return;
	vec_for_each (onto, &move->onto)
		search->taken[*onto] = true;
	if (world->accept && !search->error)
		search->error = MIN(world->accept(world->arg, nodes, count), 0);
}

/* ---- empty ---- */

struct ranked {
	uint32_t node;
	double rank;
	uint64_t time;
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;

	if (left->rank != right->rank)
		return left->rank > right->rank ? -1 : 1;
	if (left->time != right->time)
		return left->time < right->time ? -1 : 1;
	return left->node < right->node ? -1 : left->node > right->node;
}

struct ranking {
	VEC(struct ranked) list;
};

static void rank(struct ranking *ranking, uint32_t node, double rank, uint64_t time)
{
	*vec_push(&ranking->list) = (struct ranked){node, rank, time};
}

static void rank_sort(struct ranking *ranking)
{
	if (ranking->list.count)
		qsort(ranking->list.at, ranking->list.count, sizeof(struct ranked), by_rank);
}

static void rank_empty(struct search *search, struct ranking *empty)
{
	const struct disrupt_input *input = search->input;

	for (uint32_t n = 0; n < input->nodes_count; n++) {
		const struct disrupt_node *node = &input->nodes[n];

		if (!disrupt_node_is_empty(node) || node->pool >= input->pools_count ||
		    is_static(pool_at(search, n)) ||
		    !search_may_choose(search, n, DISRUPT_EMPTY, true) ||
		    !search_may_consolidate(search, n, DISRUPT_EMPTY))
			continue;
		search->plan->pools[node->pool].eligible[DISRUPT_EMPTY]++;
		rank(empty, n, isnan(node->usd_per_hour) ? 0 : node->usd_per_hour, 0);
	}
	rank_sort(empty);
}

/* Pods that cost nothing to move may be on it; they need a place all the same. */
static bool empty_goes(struct search *search, uint32_t n, struct disrupt_move *move)
{
	const struct disrupt_node *node = &search->input->nodes[n];

	if (!search_left(search, node->pool, DISRUPT_EMPTY)) {
		search_hold_for_budget(search, n, DISRUPT_EMPTY);
		search_hold_saves(search, node->usd_per_hour);
		return false;
	}
	if (!search_ask(search, &n, 1, 0, move))
		return false;
	if (move->homeless || move->nodes.count) {
		search_hold(search, n, DISRUPT_EMPTY, HOLD_PLACE, "%s",
			    move->homeless ? move->why : "its pods would need a new node");
		return false;
	}
	search_go(search, &n, 1, move);
	return true;
}

/* All that go are one command. */
static void look_at_empty(struct search *search)
{
	struct disrupt_move move = {0};
	struct ranking empty = {0};
	size_t count = 0;

	rank_empty(search, &empty);
	vec_for_each (it, &empty.list)
		if (!search->taken[it->node] && empty_goes(search, it->node, &move))
			search->order[count++] = it->node;
	if (count)
		snprintf(search_command(search, DISRUPT_EMPTY, search->order, count)->why,
			 DISRUPT_TEXT_SIZE, "nothing runs on %s", count == 1 ? "it" : "them");
	vec_free(&empty.list);
	disrupt_move_free(&move);
}

/* ---- too old, or drifted ---- */

static bool has_expired(const struct search *search, const struct disrupt_node *node)
{
	uint64_t after_s = search->input->pools[node->pool]->expire_after_s;
	uint64_t now_ns = search->input->wall_ns;

	return after_s != DURATION_NEVER && node->launched_wall_ns &&
	       (now_ns - MIN(now_ns, node->launched_wall_ns)) / NS_PER_S >= after_s;
}

static bool has_reason(const struct search *search, const struct disrupt_node *node,
		       enum disrupt_reason reason)
{
	if (node->pool >= search->input->pools_count)
		return false;
	return reason == DISRUPT_EXPIRED ? has_expired(search, node) : node->drifted != NULL;
}

static void say_why(const struct search *search, const struct disrupt_node *node,
		    struct disrupt_command *command)
{
	const struct pool *pool = search->input->pools[node->pool];
	uint64_t age_s = (search->input->wall_ns - node->launched_wall_ns) / NS_PER_S;

	if (command->reason == DISRUPT_EXPIRED)
		snprintf(command->why, sizeof(command->why),
			 "launched %llu s ago, NodePool %s has expireAfter %llu s",
			 (unsigned long long)age_s, pool->name,
			 (unsigned long long)pool->expire_after_s);
	else
		snprintf(command->why, sizeof(command->why), "%s", node->drifted);
}

static void replace_as_moved(struct search *search, uint32_t n, enum disrupt_reason reason,
			     const struct disrupt_move *move)
{
	struct disrupt_command *command = search_command(search, reason, &n, 1);

	search_go(search, &n, 1, move);
	vec_for_each (new, &move->nodes) {
		struct disrupt_offerings *to = vec_push(&command->replacements);

		offerings_copy(to, new, INFINITY);
		offerings_most_types(to, PLAN_TYPES_MAX);
		command->usd_after += offerings_usd(to);
	}
	command->usd_saved = command->usd_before - command->usd_after;
	say_why(search, &search->input->nodes[n], command);
}

/* Of a static pool: one more of the same, whatever runs on it. */
static void replace_static(struct search *search, uint32_t n, enum disrupt_reason reason)
{
	struct disrupt_command *command = search_command(search, reason, &n, 1);

	search_go(search, &n, 1, NULL);
	vec_push(&command->replacements)->pool = pool_at(search, n);
	command->usd_after = command->usd_before;
	command->usd_saved = command->usd_before - command->usd_after;
	say_why(search, &search->input->nodes[n], command);
}

static double limit_of_nodes(const struct pool *pool)
{
	vec_for_each (limit, &pool->limits.list)
		if (strcmp(limit->name, "nodes") == 0)
			return limit->amount;
	return INFINITY;
}

/* Karpenter's StaticDrift: not while it shrinks, and never beyond the limit. */
static bool static_may_grow(struct search *search, uint32_t n, enum disrupt_reason reason)
{
	struct pool_count *count = &search->pools[search->input->nodes[n].pool];
	const struct pool *pool = pool_at(search, n);

	if (count->static_running > (uint64_t)pool->replicas) {
		search_hold(search, n, reason, HOLD_LIMIT,
			    "%u nodes are there or coming, %lld are wanted", count->static_running,
			    (long long)pool->replicas);
		return false;
	}
	if (count->static_running + count->going >= limit_of_nodes(pool)) {
		search_hold(search, n, reason, HOLD_LIMIT,
			    "limits.nodes of NodePool %s leaves no room for its replacement",
			    pool->name);
		return false;
	}
	return true;
}

static void look_at_one(struct search *search, uint32_t n, enum disrupt_reason reason)
{
	uint32_t pool = search->input->nodes[n].pool;
	struct disrupt_move move = {0};

	if (search->taken[n])
		return;
	search->plan->pools[pool].eligible[reason]++;
	if (!search_left(search, pool, reason)) {
		search_hold_for_budget(search, n, reason);
	} else if (is_static(search->input->pools[pool])) {
		if (static_may_grow(search, n, reason))
			replace_static(search, n, reason);
	} else if (search_ask(search, &n, 1, INFINITY, &move)) {
		if (move.homeless)
			search_hold(search, n, reason, HOLD_PLACE, "%s", move.why);
		else
			replace_as_moved(search, n, reason, &move);
	}
	disrupt_move_free(&move);
}

/* Static pools first, then empty ones: what moves from the others could land there. */
static void look_at_aged(struct search *search, enum disrupt_reason reason)
{
	const struct disrupt_input *input = search->input;
	struct ranking aged = {0};

	for (uint32_t n = 0; n < input->nodes_count; n++) {
		const struct disrupt_node *node = &input->nodes[n];

		if (!has_reason(search, node, reason) ||
		    !search_may_choose(search, n, reason, true))
			continue;
		rank(&aged, n,
		     is_static(pool_at(search, n)) ? 2
		     : disrupt_node_is_empty(node) ? 1
						   : 0,
		     reason == DISRUPT_EXPIRED ? node->launched_wall_ns : node->drifted_wall_ns);
	}
	rank_sort(&aged);
	vec_for_each (it, &aged.list)
		look_at_one(search, it->node, reason);
	vec_free(&aged.list);
}

/* ---- all of it ---- */

int disrupt_search(const struct disrupt_input *input, struct disrupt_plan *out)
{
	struct search search = {.input = input, .plan = out};

	*out = (struct disrupt_plan){0};
	out->pools = calloc(MAX(input->pools_count, 1U), sizeof(*out->pools));
	search.pools = calloc(MAX(input->pools_count, 1U), sizeof(*search.pools));
	search.taken = calloc(MAX(input->nodes_count, 1U), sizeof(*search.taken));
	search.order = calloc(MAX(input->nodes_count, 1U), sizeof(*search.order));
	if (out->pools && search.pools && search.taken && search.order) {
		for (size_t n = 0; n < input->nodes_count; n++)
			count_node(&search, &input->nodes[n]);
		count_allowances(&search);
		look_at_empty(&search);
		look_at_aged(&search, DISRUPT_EXPIRED);
		look_at_aged(&search, DISRUPT_DRIFTED);
		search_consolidate(&search);
	} else {
		search.error = -ENOMEM;
	}
	free(search.pools);
	free(search.taken);
	free(search.order);
	if (search.error)
		disrupt_plan_free(out);
	return search.error;
}

void disrupt_plan_free(struct disrupt_plan *plan)
{
	vec_for_each (command, &plan->commands) {
		vec_for_each (replacement, &command->replacements)
			vec_free(&replacement->list);
		vec_free(&command->replacements);
		vec_free(&command->nodes);
	}
	vec_free(&plan->commands);
	vec_free(&plan->held);
	free(plan->pools);
	*plan = (struct disrupt_plan){0};
}
