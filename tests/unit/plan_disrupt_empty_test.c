/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes with nothing on them, and the budgets that say how many of them may go at once. */
#include "plan_disrupt.h"

#define FREE "consolidateAfter: 0s, budgets: [{nodes: \"100%\"}]"
#define BUDGETS(list) "consolidateAfter: 0s, budgets: [" list "]"

static const struct scenario EMPTY[] = {
	{.name = "an empty node goes",
	 .nodes = {{"a1", "m5.large"}, {"b1", "c6a.large"}},
	 .pods = {{"b1", .cpu = "1700m"}},
	 .commands = "empty a1",
	 .held = "b1 underutilized price"},
	{.name = "all that are empty are one command, the dearest first",
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.2xlarge"}, {"c1", "m5.xlarge"}},
	 .commands = "empty b1 c1 a1"},
	{.name = "consolidateAfter has not passed",
	 .pools = {{"a", "consolidateAfter: 5m"}},
	 .nodes = {{"a1", "m5.large", .quiet_s = 299}, {"b1", "m5.large", .quiet_s = 300}},
	 .commands = "empty b1",
	 .held = "a1 empty consolidate-after"},
	{.name = "consolidateAfter counts from the launch where no pod ever came",
	 .pools = {{"a", "consolidateAfter: 5m"}},
	 .nodes = {{"a1", "m5.large", .age_s = 60, .quiet_s = 60}},
	 .held = "a1 empty consolidate-after"},
	{.name = "consolidateAfter Never",
	 .pools = {{"a", "consolidateAfter: Never"}},
	 .nodes = {{"a1", "m5.large"}},
	 .held = "a1 empty policy"},
	{.name = "WhenEmpty takes empty nodes and no others",
	 .pools = {{"a", "consolidateAfter: 0s, consolidationPolicy: WhenEmpty, budgets: "
			 "[{nodes: \"100%\"}]"}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.2xlarge"}},
	 .pods = {{"b1"}},
	 .commands = "empty a1",
	 .held = "b1 underutilized policy"},
	{.name = "a static pool keeps what is empty",
	 .pools = {{"a", FREE, .spec = "replicas: 1"}},
	 .nodes = {{"a1", "m5.large"}},
	 .held = ""},
	{.name = "what is not ours is never chosen",
	 .nodes = {{"a1", "m5.large", .foreign = true}, {"b1", "m5.large"}},
	 .commands = "empty b1",
	 .held = ""},
	{.name = "a pool that is none of the documents is left alone",
	 .nodes = {{"a1", "m5.large", .pool = "gone"}},
	 .held = ""},
	{.name = "what still starts is not chosen",
	 .nodes = {{"a1", "m5.large", .starting = true}},
	 .held = ""},
	{.name = "do-not-disrupt on the node",
	 .nodes = {{"a1", "m5.large", .blocked = "karpenter.sh/do-not-disrupt on the node"}},
	 .held = "a1 empty do-not-disrupt"},
	{.name = "what leaves is not chosen again",
	 .nodes = {{"a1", "m5.large", .leaving = true}, {"b1", "m5.large"}},
	 .commands = "empty b1"},
	{.name = "pods that cost nothing to move get a place all the same",
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}},
	 .pods = {{"a1", .metadata = "annotations: {controller.kubernetes.io/pod-deletion-cost: "
				     "\"-2147483647\"}"},
		  {"b1", .cpu = "1200m"}},
	 .commands = "empty a1"},
	{.name = "and stay where there is none",
	 .nodes = {{"a1", "m5.large"}},
	 .pods = {{"a1", .metadata = "annotations: {controller.kubernetes.io/pod-deletion-cost: "
				     "\"-2147483647\"}"}},
	 .held = "a1 empty no-place"},
};

static const struct scenario BUDGET[] = {
	{.name = "ten percent of three is one, rounded up",
	 .pools = {{"a", "consolidateAfter: 0s"}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}, {"c1", "m5.large"}},
	 .commands = "empty a1",
	 .held = "b1 empty budget; c1 empty budget"},
	{.name = "half of five is three",
	 .pools = {{"a", BUDGETS("{nodes: \"50%\"}")}},
	 .nodes = {{"a1", "m5.large"},
		   {"b1", "m5.large"},
		   {"c1", "m5.large"},
		   {"d1", "m5.large"},
		   {"e1", "m5.large"}},
	 .commands = "empty a1 b1 c1"},
	{.name = "none",
	 .pools = {{"a", BUDGETS("{nodes: \"0\"}")}},
	 .nodes = {{"a1", "m5.large"}},
	 .held = "a1 empty budget"},
	{.name = "a list without any holds nothing back",
	 .pools = {{"a", "consolidateAfter: 0s, budgets: []"}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}},
	 .commands = "empty a1 b1"},
	{.name = "what is not ready has used it",
	 .pools = {{"a", BUDGETS("{nodes: \"1\"}")}},
	 .nodes = {{"a1", "m5.large", .not_ready = true}, {"b1", "m5.large"}},
	 .held = "a1 empty budget; b1 empty budget"},
	{.name = "what leaves has used it, for whatever reason",
	 .pools = {{"a", BUDGETS("{nodes: \"2\"}")}},
	 .nodes = {{"a1", "m5.large", .leaving = true}, {"b1", "m5.large"}, {"c1", "m5.large"}},
	 .commands = "empty b1",
	 .held = "c1 empty budget"},
	{.name = "what has been terminated counts no more",
	 .pools = {{"a", BUDGETS("{nodes: \"1\"}")}},
	 .nodes = {{"a1", "m5.large", .leaving = true, .ended = true}, {"b1", "m5.large"}},
	 .commands = "empty b1"},
	{.name = "what still starts is not in the total",
	 .pools = {{"a", BUDGETS("{nodes: \"50%\"}")}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}, {"c1", "m5.large", .starting = true}},
	 .commands = "empty a1",
	 .held = "b1 empty budget"},
	{.name = "a budget of one reason is for that one",
	 .pools = {{"a", BUDGETS("{nodes: \"0\", reasons: [Empty]}")}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}},
	 .commands = "drifted a1",
	 .held = "a1 empty budget"},
	{.name = "of two the smaller",
	 .pools = {{"a", BUDGETS("{nodes: \"100%\"}, {nodes: \"1\"}")}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}},
	 .commands = "empty a1"},
	{.name = "a schedule that is on: Mondays from eight for eight hours",
	 .pools = {{"a", BUDGETS("{nodes: \"0\", schedule: \"0 8 * * mon\", duration: 8h}")}},
	 .nodes = {{"a1", "m5.large"}},
	 .held = "a1 empty budget"},
	{.name = "a schedule that is over since a minute",
	 .pools = {{"a", BUDGETS("{nodes: \"0\", schedule: \"0 8 * * mon\", duration: 3h59m}")}},
	 .nodes = {{"a1", "m5.large"}},
	 .commands = "empty a1"},
	{.name = "a schedule of another day",
	 .pools = {{"a", BUDGETS("{nodes: \"0\", schedule: \"0 8 * * tue\", duration: 8h}")}},
	 .nodes = {{"a1", "m5.large"}},
	 .commands = "empty a1"},
	{.name = "each pool has its own",
	 .pools = {{"a", BUDGETS("{nodes: \"1\"}")}, {"b", BUDGETS("{nodes: \"2\"}")}},
	 .nodes = {{"a1", "m5.large"},
		   {"a2", "m5.large"},
		   {"b1", "m5.large", .pool = "b"},
		   {"b2", "m5.large", .pool = "b"}},
	 .commands = "empty a1 b1 b2",
	 .held = "a2 empty budget"},
	{.name = "one budget over all reasons of one search",
	 .pools = {{"a", BUDGETS("{nodes: \"2\"}"), .template_ = "expireAfter: 48h"}},
	 .nodes = {{"a1", "m5.large"},
		   {"b1", "m5.large", .age_s = 50 * 3600},
		   {"c1", "m5.large", .drifted_s = 60},
		   {"d1", "m5.2xlarge"}},
	 .pods = {{"b1", .cpu = "1500m"}, {"c1", .cpu = "1500m"}, {"d1", .cpu = "1500m"}},
	 .commands = "empty a1; expired b1",
	 .held = "c1 drifted budget; c1 underutilized budget"},
};

static void what_is_empty_goes(void **state)
{
	(void)state;
	run_scenarios(EMPTY, ARRAY_SIZE(EMPTY));
}

static void no_more_at_once_than_the_budgets_let(void **state)
{
	(void)state;
	run_scenarios(BUDGET, ARRAY_SIZE(BUDGET));
}

static void a_budget_says_how_much_and_until_when(void **state)
{
	struct case_world world;
	const struct disrupt_held *held;

	(void)state;
	case_new(&world, &BUDGET[10]);
	assert_int_equal(world.plan.held.count, 1);
	held = &world.plan.held.at[0];
	assert_string_equal(held->why,
			    "the budget of 0 nodes that is on until 2026-01-19 16:00 UTC "
			    "lets 0 of 1 nodes go at once, 0 go already or are not "
			    "ready");
	assert_true(held->until_wall_ns == NOW_NS + 4 * 3600 * NS_PER_S);
	assert_int_equal(world.plan.pools[0].eligible[DISRUPT_EMPTY], 1);
	assert_int_equal(world.plan.pools[0].allowance[DISRUPT_EMPTY].left, 0);
	case_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_empty_goes),
		cmocka_unit_test(no_more_at_once_than_the_budgets_let),
		cmocka_unit_test(a_budget_says_how_much_and_until_when),
	};

	return cmocka_run_group_tests(tests, catalog_setup, catalog_teardown);
}
