/* SPDX-License-Identifier: Apache-2.0 */
/* What is given back by the core: from what is seen of instances to their end, one after the other.
 */
#include "core_drain.h"

#define POOL(disruption, template_)                                                            \
	"apiVersion: karpenter.sh/v1\n"                                                        \
	"kind: NodePool\n"                                                                     \
	"metadata: {name: web}\n"                                                              \
	"spec:\n"                                                                              \
	"  disruption: {" disruption "}\n"                                                     \
	"  template:\n"                                                                        \
	"    spec:\n" template_                                                                \
	"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"      \
	"      requirements:\n"                                                                \
	"      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [m5, c5]}\n"   \
	"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand, spot]}\n" \
	"---\n"
#define ONE_AT_A_TIME "consolidateAfter: Never, budgets: [{nodes: \"1\"}]"
#define CHEAPER "consolidateAfter: 0s, budgets: [{nodes: \"1\"}]"

static void class_with_image(struct world *world, const char *image)
{
	const struct subnet subnets[] = {{"subnet-a", "us-east-1a", 200},
					 {"subnet-b", "us-east-1b", 100}};
	struct launch_template templates[] = {
		{ARCH_AMD64, CAPACITY_SPOT, "forerun-web-spot", ""},
		{ARCH_AMD64, CAPACITY_ON_DEMAND, "forerun-web-od", ""}};
	struct class_view view = {.name = "web",
				  .ready = true,
				  .subnets = subnets,
				  .subnets_count = ARRAY_SIZE(subnets),
				  .templates = templates,
				  .templates_count = ARRAY_SIZE(templates)};

	for (size_t i = 0; i < ARRAY_SIZE(templates); i++)
		snprintf(templates[i].image_id, sizeof(templates[i].image_id), "%s", image);
	core_class(world->core, &view);
}

static void catalog_on_demand_alone(struct world *world)
{
	const struct offering offerings[] = {
		world_offering("c5.xlarge", "us-east-1a", CAPACITY_ON_DEMAND, 4, 0.17),
	};
	struct catalog catalog = {
		.offerings = offerings, .count = ARRAY_SIZE(offerings), .fetched_wall_ns = 1};

	core_catalog(world->core, &catalog);
}

/* Three instances that serve. */
static void give_world(struct drain_world *at, const char *pool, bool on_demand, bool act)
{
	struct world *world = &at->world;

	memset(at, 0, sizeof(*at));
	world_init(world, DRAIN_YAML, pool);
	world->config.fleet = true;
	world->boot_ns = 5 * NS_PER_S;
	core_limits_default(&world->config.limits);
	world->config.limits.host_replicas = INFINITY;
	world->config.limits.launches_per_minute = 1000;
	drain_core(at);
	world_class(world, true);
	if (on_demand)
		catalog_on_demand_alone(world);
	else
		world_catalog(world);
	core_start(world->core, world->now);
	world_describe(world);
	run_hosts(world, 1, "web", 0, 5 * NS_PER_S);
	while (world_answer(world))
		;
	drain_run(at, 0, 700 * NS_PER_S);
	assert_int_equal(ec2_alive(world), 3);
	vec_for_each (it, &world->instances)
		snprintf(it->view.image_id, sizeof(it->view.image_id), "ami-1");
	if (act)
		return;
	world->config.mode = MODE_OBSERVE;
	drain_restart(at, true);
}

static unsigned leaving(struct drain_world *at)
{
	struct node_view node;
	unsigned count = 0;
	size_t n = 0;

	while (core_node(at->world.core, &n, at->world.now, &node))
		count += node.retires || node.terminating;
	return count;
}

/* So long, and at no moment more on their way out than that, nor fewer alive than there were. */
static void run_within(struct drain_world *at, unsigned most, uint64_t ns)
{
	for (uint64_t end = at->world.now.mono_ns + ns; at->world.now.mono_ns < end;) {
		drain_run(at, 0, NS_PER_S);
		assert_true(leaving(at) <= most);
		assert_true(ec2_alive(&at->world) >= 3);
	}
}

static const struct decision *decision_of(struct drain_world *at, enum decision_kind kind)
{
	const struct decision *decision;

	for (size_t i = 0; (decision = core_decision(at->world.core, i)); i++)
		if (decision->kind == kind)
			return decision;
	return NULL;
}

/* ---- drift ---- */

static void what_drifted_is_replaced_one_after_the_other(void **state)
{
	struct drain_world at;
	struct giving_totals giving;
	const struct decision *decision;

	(void)state;
	give_world(&at, POOL(ONE_AT_A_TIME, ""), false, true);
	at.world.launch_calls = 0;
	class_with_image(&at.world, "ami-2");
	drain_run(&at, 0, 11 * NS_PER_S);
	assert_int_equal(at.world.launch_calls, 0); /* seen once */
	core_giving(at.world.core, &giving);
	assert_int_equal(giving.pools_count, 1);
	assert_int_equal(giving.pools[0].drifted, 3);
	assert_string_equal(giving.pools[0].drift, "image ami-1, today it would be ami-2");
	assert_int_equal(giving.pools[0].eligible[DISRUPT_DRIFTED], 3);
	assert_int_equal(giving.pools[0].allowance[DISRUPT_DRIFTED].left, 1);
	drain_run(&at, 0, 10 * NS_PER_S);
	assert_int_equal(at.world.launch_calls, 1); /* the replacement first */
	assert_int_equal(at.world.terminate_calls, 0);
	decision = decision_of(&at, DECISION_RETIRE);
	assert_non_null(decision);
	assert_non_null(strstr(decision->arithmetic, "drifted: image ami-1, today it would be "
						     "ami-2"));
	assert_non_null(strstr(decision->limits, "budget of NodePool web: 1 of 3 may go at once"));
	assert_non_null(strstr(decision->limits, "held back: 2 (budget)"));
	run_within(&at, 1, 200 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 3);
	assert_int_equal(at.world.launch_calls, 3);
	assert_int_equal(ec2_alive(&at.world), 3);
	core_giving(at.world.core, &giving);
	assert_int_equal(giving.begun[DISRUPT_DRIFTED], 3);
	assert_int_equal(giving.pools[0].drifted, 0);
	drain_free_world(&at);
}

static void a_takeover_with_an_empty_disk_keeps_the_budget(void **state)
{
	struct drain_world at;

	(void)state;
	give_world(&at, POOL(ONE_AT_A_TIME, ""), false, true);
	for (size_t i = 0; i < ARRAY_SIZE(at.connections); i++)
		at.connections[i] = 1; /* so that it drains for long */
	class_with_image(&at.world, "ami-2");
	run_within(&at, 1, 60 * NS_PER_S);
	assert_int_equal(leaving(&at), 1);
	drain_restart(&at, false);
	class_with_image(&at.world, "ami-2");
	run_within(&at, 1, 100 * NS_PER_S);
	memset(at.connections, 0, sizeof(at.connections));
	run_within(&at, 1, 400 * NS_PER_S);
	vec_for_each (it, &at.world.instances)
		if (strcmp(it->view.image_id, "ami-1") == 0)
			assert_int_equal(it->view.state, INSTANCE_TERMINATED);
	assert_int_equal(ec2_alive(&at.world), 3);
	drain_free_world(&at);
}

static void a_limit_holds_the_replacement_and_so_the_end(void **state)
{
	struct drain_world at;

	(void)state;
	give_world(&at, POOL(ONE_AT_A_TIME, ""), false, true);
	at.world.config.limits.launches_per_minute = 0;
	drain_restart(&at, true);
	class_with_image(&at.world, "ami-2");
	run_within(&at, 1, 100 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	drain_free_world(&at);
}

static void no_budget_nothing_goes(void **state)
{
	struct drain_world at;
	struct giving_totals giving;

	(void)state;
	give_world(&at, POOL("consolidateAfter: Never, budgets: [{nodes: \"0\"}]", ""), false,
		   true);
	at.world.launch_calls = 0;
	class_with_image(&at.world, "ami-2");
	run_within(&at, 0, 60 * NS_PER_S);
	assert_int_equal(at.world.launch_calls, 0);
	core_giving(at.world.core, &giving);
	assert_int_equal(giving.pools[0].held[HOLD_BUDGET], 3);
	assert_non_null(strstr(giving.pools[0].holds[HOLD_BUDGET], "the budget of 0 nodes"));
	drain_free_world(&at);
}

static void observe_mode_says_it_once_and_calls_nothing(void **state)
{
	struct drain_world at;
	unsigned said = 0;
	const struct decision *decision;

	(void)state;
	give_world(&at, POOL(ONE_AT_A_TIME, ""), false, false);
	at.world.launch_calls = 0;
	class_with_image(&at.world, "ami-2");
	drain_run(&at, 0, 100 * NS_PER_S);
	for (size_t i = 0; (decision = core_decision(at.world.core, i)); i++)
		said += decision->kind == DECISION_RETIRE;
	assert_int_equal(said, 1);
	assert_int_equal(at.world.terminate_calls, 0);
	assert_int_equal(leaving(&at), 0);
	drain_free_world(&at);
}

/* ---- expiry ---- */

static void what_is_too_old_is_replaced(void **state)
{
	struct drain_world at;
	struct giving_totals giving;

	(void)state;
	give_world(&at, POOL(ONE_AT_A_TIME, "      expireAfter: 30m\n"), false, true);
	core_giving(at.world.core, &giving);
	assert_true(*giving.pools[0].next);
	assert_true(giving.pools[0].next_wall_ns > at.world.now.wall_ns);
	run_within(&at, 1, 2300 * NS_PER_S); /* the third was launched ten minutes later */
	core_giving(at.world.core, &giving);
	assert_int_equal(at.world.terminate_calls, 3);
	assert_int_equal(giving.begun[DISRUPT_EXPIRED], 3);
	drain_free_world(&at);
}

/* ---- cheaper ---- */

static void what_is_sold_cheaper_is_replaced_for_that_price(void **state)
{
	struct drain_world at;
	struct giving_totals giving;

	(void)state;
	give_world(&at, POOL(CHEAPER, ""), true, true);
	vec_for_each (it, &at.world.instances)
		assert_string_equal(it->view.instance_type, "c5.xlarge");
	at.world.launch_calls = 0;
	world_catalog(&at.world);
	drain_run(&at, 0, 11 * NS_PER_S);
	core_giving(at.world.core, &giving);
	assert_true(giving.pools[0].usd_saves + giving.pools[0].usd_held > 3 * 0.13);
	run_within(&at, 1, 400 * NS_PER_S);
	assert_int_equal(at.world.launch_calls, 3);
	assert_int_equal(at.world.terminate_calls, 3);
	core_giving(at.world.core, &giving);
	assert_true(fabs(giving.usd_saved - 3 * (0.17 - 0.03)) < 1e-6);
	assert_int_equal(giving.begun[DISRUPT_UNDERUTILIZED], 3);
	vec_for_each (it, &at.world.instances)
		if (it->view.state == INSTANCE_RUNNING)
			assert_int_equal(it->view.capacity_type, CAPACITY_SPOT);
	drain_free_world(&at);
}

/* ---- nobody's ---- */

static void what_no_policy_wants_goes_once_nothing_is_open_on_it(void **state)
{
	struct drain_world at;
	struct ec2_instance *orphan;
	struct giving_totals giving;
	const char *const id = "i-00000000000000abc";

	(void)state;
	give_world(&at, POOL("consolidateAfter: 1m, budgets: [{nodes: \"1\"}]", ""), false, true);
	orphan = vec_push(&at.world.instances);
	orphan->view = at.world.instances.at[0].view;
	snprintf(orphan->view.id, sizeof(orphan->view.id), "%s", id);
	snprintf(orphan->view.policy, sizeof(orphan->view.policy), "gone");
	orphan->view.token[0] = '\0';
	at.connections[3] = 2;
	/* It runs the service, so one of the policy's own is not needed beside it. */
	drain_run(&at, 0, 30 * NS_PER_S);
	run_within(&at, 0, 200 * NS_PER_S);
	core_giving(at.world.core, &giving);
	assert_int_equal(giving.pools[0].held[HOLD_BLOCKED], 1);
	at.connections[3] = 0;
	run_within(&at, 0, 55 * NS_PER_S);
	drain_run(&at, 0, 60 * NS_PER_S);
	vec_for_each (it, &at.world.instances)
		if (strcmp(it->view.id, id) == 0)
			assert_int_equal(it->view.state, INSTANCE_TERMINATED);
	assert_int_equal(ec2_alive(&at.world), 3);
	core_giving(at.world.core, &giving);
	assert_int_equal(giving.begun[DISRUPT_EMPTY], 1);
	drain_free_world(&at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_drifted_is_replaced_one_after_the_other),
		cmocka_unit_test(a_takeover_with_an_empty_disk_keeps_the_budget),
		cmocka_unit_test(a_limit_holds_the_replacement_and_so_the_end),
		cmocka_unit_test(no_budget_nothing_goes),
		cmocka_unit_test(observe_mode_says_it_once_and_calls_nothing),
		cmocka_unit_test(what_is_too_old_is_replaced),
		cmocka_unit_test(what_is_sold_cheaper_is_replaced_for_that_price),
		cmocka_unit_test(what_no_policy_wants_goes_once_nothing_is_open_on_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
