/* SPDX-License-Identifier: Apache-2.0 */
/* Consolidation: what is deleted or replaced because it saves, and what keeps others as they are.
 */
#include "plan_disrupt.h"

#define ALL "budgets: [{nodes: \"100%\"}]"
#define OD "{key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}"
#define SPOT "{key: karpenter.sh/capacity-type, operator: In, values: [spot]}"
#define BOTH "{key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}"
#define IN(types) "{key: node.kubernetes.io/instance-type, operator: In, values: [" types "]}"
#define APART                                                                                    \
	"affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSe" \
	"lector: {matchLabels: {app: x}}, topologyKey: kubernetes.io/hostname}]}}"
#define APP .metadata = "labels: {app: x}"
#define S CAPACITY_SPOT

static const struct scenario ONE[] = {
	{.name = "what has room elsewhere goes",
	 .nodes = {{"a1", "m5.large"}, {"b1", "c6a.large"}},
	 .pods = {{"a1"}, {"b1"}},
	 .commands = "underutilized a1"},
	{.name = "what a cheaper one would carry is replaced",
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1", .cpu = "1500m"}},
	 .commands = "underutilized a1 => a:c6a.large/on-demand"},
	{.name = "nothing is cheaper",
	 .nodes = {{"a1", "c6a.large"}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized price"},
	{.name = "a node of the pool's own requirements, not of any",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, OD "," IN("m5.large, m5.2xlarge")}},
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1", .cpu = "1500m"}},
	 .commands = "underutilized a1 => a:m5.large/on-demand"},
	{.name = "one node does not become two",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, OD "," IN("c6a.large, m5.2xlarge")}},
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1", .cpu = "1500m"}, {"a1", .cpu = "1500m"}},
	 .held = "a1 underutilized more-nodes"},
	{.name = "nor where pods keep away from each other",
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1", APP, .spec = APART}, {"a1", APP, .spec = APART}},
	 .held = "a1 underutilized more-nodes"},
	{.name = "pods keep away from those that are elsewhere",
	 .nodes = {{"a1", "c6a.large"}, {"b1", "c6a.large"}},
	 .pods = {{"a1", APP, .spec = APART, .cpu = "100m"},
		  {"b1", APP, .spec = APART, .cpu = "100m"}},
	 .held = "a1 underutilized price; b1 underutilized price"},
	{.name = "a pod without a place",
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1", .spec = "nodeSelector: {made-by: hand}"}},
	 .held = "a1 underutilized no-place"},
	{.name = "do-not-disrupt",
	 .nodes = {{"a1", "m5.2xlarge", .pods_blocked = "pod default/p0"}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized do-not-disrupt"},
	{.name = "terminationGracePeriod does not change that",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, .template_ = "terminationGracePeriod: 1h"}},
	 .nodes = {{"a1", "m5.2xlarge", .pods_blocked = "pod default/p0"}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized do-not-disrupt"},
	{.name = "a price that is not known",
	 .nodes = {{"a1", "m5.2xlarge", .no_price = true}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized unknown"},
	{.name = "a static pool is not consolidated",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, .spec = "replicas: 1"}},
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1"}},
	 .held = ""},
	{.name = "pods do not go into a static pool",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, OD "," IN("m5.2xlarge")},
		   {"b", "consolidateAfter: 0s," ALL, OD, .spec = "replicas: 1"}},
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized price"},
	{.name = "room counts once",
	 .pools = {{"a", "consolidateAfter: 0s, budgets: [{nodes: \"100%\"}]",
		    OD "," IN("c6a.large")}},
	 .nodes = {{"a1", "c6a.large"}, {"b1", "c6a.large"}, {"c1", "c6a.large"}},
	 .pods = {{"a1", .cpu = "900m"}, {"b1", .cpu = "900m"}, {"c1", .cpu = "900m"}},
	 .commands = "underutilized a1",
	 .held = "c1 underutilized price"},
	{.name = "what still starts is no room",
	 .nodes = {{"a1", "c6a.large"}, {"b1", "m5.2xlarge", .starting = true}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized price"},
	{.name = "what somebody else runs is room",
	 .nodes = {{"a1", "m5.large"}, {"x1", "m5.2xlarge", .foreign = true}},
	 .pods = {{"a1"}, {"x1"}},
	 .commands = "underutilized a1",
	 .held = ""},
	{.name = "a pod stays in its zone where others are spread over zones",
	 .nodes = {{"a1", "c6a.large"}, {"b1", "c6a.large", "us-east-1b"}},
	 .pods = {{"a1", APP, .cpu = "100m",
		   .spec = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: "
			   "topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, "
			   "labelSelector: {matchLabels: {app: x}}}]"},
		  {"b1", APP, .cpu = "100m",
		   .spec = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: "
			   "topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, "
			   "labelSelector: {matchLabels: {app: x}}}]"}},
	 .held = "a1 underutilized price; b1 underutilized price"},
	{.name = "the pool's limits hold with both of them",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, .spec = "limits: {cpu: 9}"}},
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1", .cpu = "1500m"}},
	 .held = "a1 underutilized no-place"},
	{.name = "two that run beside each other must be worth it",
	 .nodes = {{"a1", "m6a.large"}},
	 .pods = {{"a1"}},
	 .overlap_s = 600,
	 .held = "a1 underutilized price"},
	{.name = "and are when they save enough",
	 .nodes = {{"a1", "m5.xlarge"}},
	 .pods = {{"a1"}},
	 .overlap_s = 600,
	 .commands = "underutilized a1 => a:c6a.large/on-demand"},
	{.name = "the one that saves the most for its pods first, within the budget",
	 .pools = {{"a", "consolidateAfter: 0s, budgets: [{nodes: \"1\"}]"}},
	 .nodes = {{"a1", "m5.xlarge"}, {"b1", "m5.2xlarge"}},
	 .pods = {{"a1", .cpu = "1800m"}, {"b1", .cpu = "1800m"}},
	 .commands = "underutilized b1",
	 .held = ""},
	{.name = "what a budget holds back is worked out where that is asked for",
	 .pools = {{"a", "consolidateAfter: 0s, budgets: [{nodes: \"0\"}]"}},
	 .nodes = {{"a1", "m5.2xlarge"}},
	 .pods = {{"a1"}},
	 .estimate = true,
	 .held = "a1 underutilized budget"},
};

static const struct scenario SEVERAL[] = {
	{.name = "two become one",
	 .pools = {{"a", "consolidateAfter: 0s," ALL,
		    OD "," IN("m5.large, m5.2xlarge, c6a.xlarge")}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}},
	 .pods = {{"a1", .cpu = "1500m"}, {"b1", .cpu = "1500m"}},
	 .commands = "underutilized a1 b1 => a:c6a.xlarge/on-demand"},
	{.name = "not of a type that one of them has, at the same price",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, OD "," IN("m5.xlarge, m5.large")}},
	 .nodes = {{"a1", "m5.xlarge"}, {"b1", "m5.large"}},
	 .pods = {{"a1", .cpu = "2500m"}, {"b1", .cpu = "1400m"}},
	 .commands = "underutilized b1"},
	{.name = "all that budgets let go together",
	 .pools = {{"a", "consolidateAfter: 0s, budgets: [{nodes: \"2\"}]",
		    OD "," IN("m5.large, c6a.xlarge")}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}, {"c1", "m5.large"}},
	 .pods = {{"a1", .cpu = "1500m"}, {"b1", .cpu = "1500m"}, {"c1", .cpu = "1500m"}},
	 .commands = "underutilized a1 b1 => a:c6a.xlarge/on-demand",
	 .held = "c1 underutilized budget"},
	{.name = "several spot nodes for one need no fifteen types",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, SPOT "," IN("m5.large, c6a.xlarge")}},
	 .nodes = {{"a1", "m5.large", .capacity_type = S}, {"b1", "m5.large", .capacity_type = S}},
	 .pods = {{"a1", .cpu = "1500m"}, {"b1", .cpu = "1500m"}},
	 .spot_to_spot = true,
	 .commands = "underutilized a1 b1 => a:c6a.xlarge/spot"},
	{.name = "all at once onto one that has room",
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.large"}, {"x1", "m5.2xlarge", .foreign = true}},
	 .pods = {{"a1"}, {"b1"}, {"x1"}},
	 .commands = "underutilized a1 b1"},
	{.name = "a first reason leaves the rest to the next",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, .template_ = "expireAfter: 48h"}},
	 .nodes = {{"a1", "m5.large"},
		   {"b1", "m5.large", .age_s = 50 * 3600},
		   {"c1", "m5.large", .drifted_s = 60},
		   {"d1", "m5.2xlarge"}},
	 .pods = {{"b1", .cpu = "1500m"},
		  {"c1", .cpu = "1900m"},
		  {"d1", .cpu = "6500m"},
		  {"d1", .cpu = "900m"}},
	 .commands = "empty a1; expired b1 => a:c6a.large/on-demand; drifted c1 => "
		     "a:c6a.large/on-demand; underutilized d1 => a:c5.2xlarge/on-demand"},
};

static const struct scenario SPOTS[] = {
	{.name = "spot is not replaced by spot unless that is switched on",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, SPOT}},
	 .nodes = {{"a1", "m5.2xlarge", .capacity_type = S}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized spot-to-spot"},
	{.name = "out of fifteen cheaper types it is",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, SPOT}},
	 .nodes = {{"a1", "m5.2xlarge", .capacity_type = S}},
	 .pods = {{"a1"}},
	 .spot_to_spot = true,
	 .commands = "underutilized a1 => a:c6a.large/spot"},
	{.name = "out of fewer it is not",
	 .pools = {{"a", "consolidateAfter: 0s," ALL,
		    SPOT "," IN("m5.large, m6i.large, m6a.large, m7i.large, c5.large, c6i.large, "
				"c6a.large, c7i.large, c7a.large, m5.xlarge, c5.xlarge, "
				"c6i.xlarge, c6a.xlarge, c7i.xlarge, m5.2xlarge")}},
	 .nodes = {{"a1", "m5.2xlarge", .capacity_type = S}},
	 .pods = {{"a1"}},
	 .spot_to_spot = true,
	 .held = "a1 underutilized spot-to-spot"},
	{.name = "what has room elsewhere needs no rule of spot",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, SPOT}},
	 .nodes = {{"a1", "m5.large", .capacity_type = S}, {"b1", "c6a.large", .capacity_type = S}},
	 .pods = {{"a1"}, {"b1"}},
	 .commands = "underutilized a1"},
	{.name = "on demand becomes spot where both are allowed",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, BOTH}},
	 .nodes = {{"a1", "c6a.large"}},
	 .pods = {{"a1"}},
	 .commands = "underutilized a1 => a:c6a.large/spot"},
	{.name = "spot that both are allowed for stays",
	 .pools = {{"a", "consolidateAfter: 0s," ALL, BOTH}},
	 .nodes = {{"a1", "c6a.large", .capacity_type = S}},
	 .pods = {{"a1"}},
	 .spot_to_spot = true,
	 .held = "a1 underutilized price"},
	{.name = "minValues must stay possible",
	 .pools = {{"a", "consolidateAfter: 0s," ALL,
		    OD ", {key: node.kubernetes.io/instance-type, operator: In, values: [m5.large, "
		       "c6a.large, m5.xlarge], minValues: 3}"}},
	 .nodes = {{"a1", "m5.xlarge"}},
	 .pods = {{"a1"}},
	 .held = "a1 underutilized min-values"},
	{.name = "and may",
	 .pools = {{"a", "consolidateAfter: 0s," ALL,
		    OD ", {key: node.kubernetes.io/instance-type, operator: In, values: [m5.large, "
		       "c6a.large, m5.xlarge], minValues: 2}"}},
	 .nodes = {{"a1", "m5.xlarge"}},
	 .pods = {{"a1"}},
	 .commands = "underutilized a1 => a:c6a.large/on-demand"},
};

#define BALANCED "consolidateAfter: 0s, consolidationPolicy: Balanced," ALL

static const struct scenario BALANCE[] = {
	{.name = "a large saving for few pods",
	 .pools = {{"a", BALANCED}},
	 .nodes = {{"a1", "m5.2xlarge"}, {"b1", "c6a.large", .blocked = "it stays"}},
	 .pods = {{"a1"}, {"b1", .cpu = "1900m"}},
	 .commands = "underutilized a1 => a:c6a.large/on-demand"},
	{.name = "a small one for many",
	 .pools = {{"a", BALANCED}},
	 .nodes = {{"a1", "m5.large"}, {"b1", "m5.2xlarge", .blocked = "it stays"}},
	 .pods = {{"a1", .cpu = "400m"},
		  {"a1", .cpu = "400m"},
		  {"a1", .cpu = "400m"},
		  {"a1", .cpu = "400m"},
		  {"b1", .cpu = "7800m"}},
	 .held = "b1 underutilized do-not-disrupt; a1 underutilized balanced"},
};

static void one_node_at_a_time(void **state)
{
	(void)state;
	run_scenarios(ONE, ARRAY_SIZE(ONE));
}

static void several_nodes_at_once(void **state)
{
	(void)state;
	run_scenarios(SEVERAL, ARRAY_SIZE(SEVERAL));
}

static void rules_of_spot_and_min_values(void **state)
{
	(void)state;
	run_scenarios(SPOTS, ARRAY_SIZE(SPOTS));
}

static void the_balanced_policy_weighs(void **state)
{
	(void)state;
	run_scenarios(BALANCE, ARRAY_SIZE(BALANCE));
}

static void a_spot_launch_set_is_fifteen_types(void **state)
{
	struct case_world world;
	const struct disrupt_command *command;
	size_t types = 0;

	(void)state;
	case_new(&world, &SPOTS[1]);
	command = &world.plan.commands.at[0];
	vec_for_each (it, &command->replacements.at[0].list)
		types += strcmp((*it)->zone, "us-east-1a") == 0;
	assert_int_equal(types, 15);
	case_free(&world);
}

static void what_is_held_back_has_its_price(void **state)
{
	struct case_world world;

	(void)state;
	case_new(&world, &ONE[ARRAY_SIZE(ONE) - 1]);
	assert_true(world.plan.held.at[0].usd_saved > 0.3);
	assert_true(fabs(world.plan.pools[0].usd_held - world.plan.held.at[0].usd_saved) < 1e-9);
	assert_int_equal(world.plan.pools[0].eligible[DISRUPT_UNDERUTILIZED], 1);
	case_free(&world);
}

/* Where the questions end the next search goes on. */
static void a_search_goes_on_where_it_ended(void **state)
{
	const struct scenario two = {
		.name = "two that stay",
		.nodes = {{"a1", "c6a.large"}, {"b1", "c6a.large"}},
		.pods = {{"a1", .cpu = "1900m"}, {"b1", .cpu = "1900m"}},
	};
	struct case_world world;

	(void)state;
	case_new(&world, &two);
	disrupt_plan_free(&world.plan);
	world.input.config.batch = 0;
	world.input.config.simulations = 1;
	assert_int_equal(disrupt_search(&world.input, &world.plan), 0);
	assert_int_equal(world.plan.resume, 1);
	assert_int_equal(world.plan.held.count, 1);
	assert_int_equal(world.plan.held.at[0].node, 0);
	world.input.config.resume = world.plan.resume;
	disrupt_plan_free(&world.plan);
	assert_int_equal(disrupt_search(&world.input, &world.plan), 0);
	assert_int_equal(world.plan.held.at[0].node, 1);
	case_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_node_at_a_time),
		cmocka_unit_test(several_nodes_at_once),
		cmocka_unit_test(rules_of_spot_and_min_values),
		cmocka_unit_test(the_balanced_policy_weighs),
		cmocka_unit_test(a_spot_launch_set_is_fifteen_types),
		cmocka_unit_test(what_is_held_back_has_its_price),
		cmocka_unit_test(a_search_goes_on_where_it_ended),
	};

	return cmocka_run_group_tests(tests, catalog_setup, catalog_teardown);
}
