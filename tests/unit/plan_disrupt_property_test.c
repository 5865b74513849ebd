/* SPDX-License-Identifier: Apache-2.0 */
/* Random fleets over time, 10,000 steps: whatever happens, no search goes beyond what budgets let.
 */
#include "plan_disrupt.h"

#define STEPS 10000
#define NODES 30
#define POOLS 3

struct fleet {
	uint64_t random;
	struct disrupt_node nodes[NODES];
	char names[NODES][16];
	const struct pool *pools[POOLS];
	const struct offering *offerings[64]; /* by price */
	size_t offerings_count;
	uint64_t wall_ns;
};

static uint32_t below(struct fleet *fleet, uint32_t n)
{
	fleet->random = fleet->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(fleet->random >> 33) % n;
}

/* A node that goes is one more of the same, unless it is empty. */
static int one_more(void *arg, const uint32_t *nodes, size_t count, double usd_below,
		    struct disrupt_move *move)
{
	struct fleet *fleet = arg;

	(void)usd_below;
	for (size_t i = 0; i < count; i++)
		if (fleet->nodes[nodes[i]].eviction_cost > 0)
			*vec_push(&move->nodes) =
				(struct disrupt_new){fleet->pools[fleet->nodes[nodes[i]].pool],
						     fleet->offerings, fleet->offerings_count};
	return 0;
}

static void launch(struct fleet *fleet, size_t n)
{
	const struct offering *offering =
		fleet->offerings[below(fleet, (uint32_t)fleet->offerings_count)];

	snprintf(fleet->names[n], sizeof(fleet->names[n]), "n%zu", n);
	fleet->nodes[n] = (struct disrupt_node){.name = fleet->names[n],
						.pool = below(fleet, POOLS),
						.offering = offering,
						.usd_per_hour = offering->usd_per_hour,
						.launched_wall_ns = fleet->wall_ns,
						.eviction_cost = below(fleet, 4) ? 1 : 0,
						.ours = n % 10 > 0,
						.ready = true};
}

static void live(struct fleet *fleet)
{
	fleet->wall_ns += below(fleet, 1800) * NS_PER_S;
	for (size_t n = 0; n < NODES; n++) {
		struct disrupt_node *node = &fleet->nodes[n];

		if (node->leaving && !below(fleet, 3))
			launch(fleet, n);
		node->initialized |= !below(fleet, 2);
		node->ready = below(fleet, 12) > 0;
		node->blocked = below(fleet, 12) ? NULL : "it stays";
		if (!node->drifted && !below(fleet, 40)) {
			node->drifted = "drifted";
			node->drifted_wall_ns = fleet->wall_ns;
		}
		if (!below(fleet, 30))
			node->eviction_cost = node->eviction_cost > 0 ? 0 : 1;
	}
}

static uint32_t going(const struct fleet *fleet, uint32_t pool, const bool *chosen, uint32_t *all)
{
	uint32_t count = 0;

	*all = 0;
	for (size_t n = 0; n < NODES; n++) {
		const struct disrupt_node *node = &fleet->nodes[n];

		if (node->pool != pool || !node->ours || !node->initialized)
			continue;
		++*all;
		count += node->leaving || !node->ready || chosen[n];
	}
	return count;
}

/* What Karpenter's arithmetic allows, worked out anew. */
static uint32_t allowed(const struct fleet *fleet, const struct pool *pool, uint32_t nodes,
			enum disrupt_reason reason)
{
	static const uint32_t bits[] = {1U << REASON_EMPTY, 7, 1U << REASON_DRIFTED,
					1U << REASON_UNDERUTILIZED};
	uint32_t least = UINT32_MAX;

	vec_for_each (budget, &pool->budgets)
		if ((budget->reasons & bits[reason]) == bits[reason] &&
		    disruption_budget_active(budget, fleet->wall_ns))
			least = MIN(least, budget->percent
						   ? (uint32_t)ceil(nodes * budget->nodes / 100.0)
						   : budget->nodes);
	return least;
}

static void check_command(struct fleet *fleet, const struct disrupt_command *command, bool *chosen)
{
	size_t replicas = 0;

	vec_for_each (n, &command->nodes) {
		const struct disrupt_node *node = &fleet->nodes[*n];
		uint32_t all, count;

		assert_true(node->ours && node->initialized && !node->leaving && !node->blocked);
		assert_false(chosen[*n]);
		count = going(fleet, node->pool, chosen, &all);
		/* Where it was not ready it was counted before it was chosen. */
		assert_true(count < allowed(fleet, fleet->pools[node->pool], all, command->reason));
		chosen[*n] = true;
		replicas += node->eviction_cost > 0;
	}
	assert_int_equal(command->replacements.count, replicas);
	if (command->reason == DISRUPT_UNDERUTILIZED)
		assert_true(command->usd_saved > 0);
	vec_for_each (n, &command->nodes)
		fleet->nodes[*n].leaving = below(fleet, 5) > 0;
}

static size_t step(struct fleet *fleet)
{
	bool chosen[NODES] = {false};
	struct disrupt_plan plan;
	struct disrupt_input input = {.pools = fleet->pools,
				      .pools_count = POOLS,
				      .nodes = fleet->nodes,
				      .nodes_count = NODES,
				      .world = {.arg = fleet, .remove = one_more},
				      .wall_ns = fleet->wall_ns};
	size_t commands;

	disrupt_config_default(&input.config);
	input.config.batch = below(fleet, 2) ? 100 : 0;
	input.config.estimate = below(fleet, 2);
	input.config.spot_to_spot = below(fleet, 2);
	assert_int_equal(disrupt_search(&input, &plan), 0);
	vec_for_each (command, &plan.commands) {
		struct disrupt_node before[NODES];

		memcpy(before, fleet->nodes, sizeof(before));
		check_command(fleet, command, chosen);
		/* All of one search are judged on the fleet that it saw. */
		memcpy(fleet->nodes, before, sizeof(before));
	}
	for (size_t n = 0; n < NODES; n++)
		fleet->nodes[n].leaving |= chosen[n];
	commands = plan.commands.count;
	disrupt_plan_free(&plan);
	return commands;
}

static void no_search_goes_beyond_the_budgets(void **state)
{
	const struct scenario s = {
		.name = "random",
		.pools = {{"a", "consolidateAfter: 10m", .template_ = "expireAfter: 12h"},
			  {"b", "consolidateAfter: 0s, budgets: [{nodes: \"3\"}, {nodes: \"50%\", "
				"reasons: [Drifted]}, {nodes: \"0\", schedule: \"0 9 * * *\", "
				"duration: 8h}]"},
			  {"c", "consolidateAfter: 0s, consolidationPolicy: WhenEmpty, budgets: "
				"[{nodes: \"1\", reasons: [Empty]}, {nodes: \"100%\", reasons: "
				"[Drifted]}]"}}};
	struct fleet fleet = {.random = 42, .wall_ns = NOW_NS};
	struct case_world world;
	size_t commands = 0;

	(void)state;
	case_new(&world, &s);
	memcpy(fleet.pools, world.pools, sizeof(fleet.pools));
	for (size_t i = 0; i < ARRAY_SIZE(TYPES); i += 2)
		for (int t = CAPACITY_ON_DEMAND; t <= CAPACITY_SPOT; t++)
			fleet.offerings[fleet.offerings_count++] =
				offering_of(TYPES[i], "us-east-1a", (enum capacity_type)t);
	for (size_t i = 1; i < fleet.offerings_count; i++)
		for (size_t j = i;
		     j && fleet.offerings[j]->usd_per_hour < fleet.offerings[j - 1]->usd_per_hour;
		     j--) {
			const struct offering *swap = fleet.offerings[j];

			fleet.offerings[j] = fleet.offerings[j - 1];
			fleet.offerings[j - 1] = swap;
		}
	for (size_t n = 0; n < NODES; n++)
		launch(&fleet, n);
	for (size_t i = 0; i < STEPS; i++) {
		live(&fleet);
		commands += step(&fleet);
	}
	assert_true(commands > STEPS / 10);
	case_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_search_goes_beyond_the_budgets),
	};

	return cmocka_run_group_tests(tests, catalog_setup, catalog_teardown);
}
