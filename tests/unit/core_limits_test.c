/* SPDX-License-Identifier: Apache-2.0 */
#include "core_world.h"

static const char POOL_HEAD[] = "apiVersion: karpenter.sh/v1\n"
				"kind: NodePool\n"
				"metadata: {name: web}\n"
				"spec:\n";
static const char POOL_TAIL[] =
	"  template:\n"
	"    spec:\n"
	"      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}\n"
	"      requirements:\n";

/* A world whose pool has these limits and requirements, with a queue that wants 3 more. */
static void limited(struct world *world, const char *limits, const char *requirements)
{
	_cleanup_text_ struct text pool = {0};

	text_printf(&pool, "%s%s%s%s---\n", POOL_HEAD, limits, POOL_TAIL, requirements);
	world_init(world, WORLD_YAML, pool.data);
}

static void want_three(struct world *world)
{
	world_start(world);
	world_run(world, NS_PER_S);
	world_queue(world, 35);
	world_run(world, 100 * NS_PER_MS);
}

#define M5_ON_DEMAND                                                                          \
	"      - {key: node.kubernetes.io/instance-type, operator: In, values: [m5.large]}\n" \
	"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}\n"
#define ANY_ON_DEMAND                                                                        \
	"      - {key: karpenter.k8s.aws/instance-category, operator: In, values: [m, c]}\n" \
	"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}\n"

static void the_cpu_of_the_pool_is_not_passed(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {cpu: 4}\n", M5_ON_DEMAND);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 2);
	assert_non_null(strstr(world_decision(&world, 0)->limits, "cpu: 0 of 4"));
	assert_non_null(strstr(world_decision(&world, 0)->limits, "bound"));
	while (world_answer(&world))
		;
	/* What is on its way counts as what runs. */
	world_run(&world, 10 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_HELD);
	assert_non_null(strstr(world_policy(&world)->held, "limits cpu to 4"));
	assert_null(core_decision(world.core, 2));
	world_free(&world);
}

/* EC2 may take any override, so the large ones go where they would not fit. */
/* What was launched under other requirements counts, also after a restart. */
static void what_the_requirements_leave_no_more_counts(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct world world;

	(void)state;
	limited(&world, "  limits: {cpu: 8}\n", M5_ON_DEMAND);
	want_three(&world);
	while (world_answer(&world))
		;
	assert_int_equal(ec2_alive(&world), 3);
	world_crash(&world);
	documents_free(&world.documents);
	text_printf(
		&pool, "%s  limits: {cpu: 8}\n%s%s---\n", POOL_HEAD, POOL_TAIL,
		"      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [c5]}\n");
	world_documents(&world, WORLD_YAML, pool.data);
	world_queue(&world, 95);
	world_restart(&world);
	world_describe(&world);
	world_run(&world, 2 * NS_PER_S);
	assert_int_equal(world.called.count, 0);
	assert_non_null(strstr(world_policy(&world)->held, "cpu to 8: 2 are left"));
	world_free(&world);
}

static void overrides_that_would_pass_a_limit_are_left_out(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {cpu: 7}\n", ANY_ON_DEMAND);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 3);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_string_equal(override->instance_type, "m5.large");
	world_free(&world);
}

static void the_memory_of_the_pool_is_not_passed(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {memory: 9Gi}\n", M5_ON_DEMAND);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 1);
	assert_non_null(strstr(world_decision(&world, 0)->limits, "memory"));
	world_free(&world);
}

/* ---- other resources ---- */

static void the_gpus_of_the_pool_are_not_passed(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {nvidia.com/gpu: 2}\n", M5_ON_DEMAND);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 2);
	assert_non_null(strstr(world_decision(&world, 0)->limits,
			       "NodePool web nvidia.com/gpu: 0 of 2 in use or coming, 2 left: "
			       "bound"));
	while (world_answer(&world))
		;
	/* What is on its way counts as what runs. */
	world_run(&world, 10 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_HELD);
	assert_string_equal(world_policy(&world)->held,
			    "NodePool web limits nvidia.com/gpu to 2: 0 are left, no type is known "
			    "to need no more");
	world_free(&world);
}

/* Also after a restart, under other requirements. */
static void gpus_that_run_count_after_a_restart(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct world world;

	(void)state;
	limited(&world, "  limits: {nvidia.com/gpu: 4}\n", M5_ON_DEMAND);
	want_three(&world);
	while (world_answer(&world))
		;
	assert_int_equal(ec2_alive(&world), 3);
	world_crash(&world);
	documents_free(&world.documents);
	text_printf(
		&pool, "%s  limits: {nvidia.com/gpu: 4}\n%s%s---\n", POOL_HEAD, POOL_TAIL,
		"      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [c5]}\n");
	world_documents(&world, WORLD_YAML, pool.data);
	world_queue(&world, 95);
	world_restart(&world);
	world_describe(&world);
	world_run(&world, 2 * NS_PER_S);
	assert_int_equal(world.called.count, 0);
	assert_non_null(strstr(world_policy(&world)->held, "nvidia.com/gpu to 4: 1 are left"));
	world_free(&world);
}

static void overrides_with_too_many_gpus_are_left_out(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {nvidia.com/gpu: 5}\n", ANY_ON_DEMAND);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 3);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_string_equal(override->instance_type, "m5.large");
	world_free(&world);
}

/* An order that is open takes what its largest override has. */
static void an_open_order_takes_the_most_gpus_it_may_have(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {nvidia.com/gpu: 6}\n", ANY_ON_DEMAND);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 3);
	assert_int_equal(world.called.at[0].overrides.count, 3);
	world_queue(&world, 95);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	while (world_answer(&world))
		;
	world_run(&world, 2 * NS_PER_S);
	/* They are m5.large: three are left, of c5.xlarge one. */
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 3);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_string_equal(override->instance_type, "m5.large");
	world_free(&world);
}

static void gpus_of_an_unknown_type_hold(void **state)
{
	const struct offering offering =
		world_offering("c5.xlarge", "us-east-1a", CAPACITY_ON_DEMAND, 4, 0.17);
	const struct instance_type type = {.name = "c5.xlarge", .vcpus = 4};
	const struct catalog catalog = {.offerings = &offering,
					.count = 1,
					.types = &type,
					.types_count = 1,
					.fetched_wall_ns = 2};
	struct world world;

	(void)state;
	limited(&world, "  limits: {nvidia.com/gpu: 100}\n", ANY_ON_DEMAND);
	want_three(&world);
	while (world_answer(&world))
		;
	core_catalog(world.core, &catalog);
	world_queue(&world, 95);
	world_run(&world, 10 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_string_equal(world_policy(&world)->held,
			    "NodePool web limits nvidia.com/gpu and how much of it something has "
			    "that runs or is coming is not known");
	world_free(&world);
}

static void a_type_with_unknown_gpus_is_not_bought(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {nvidia.com/gpu: 100}\n",
		"      - {key: node.kubernetes.io/instance-type, operator: In, values: "
		"[p5.48xlarge]}\n");
	want_three(&world);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "limits nvidia.com/gpu to 100"));
	world_free(&world);
}

static void launches_per_minute_slide(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 2;
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 2);
	while (world_answer(&world))
		;
	world_run(&world, 50 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "--max-launches-per-minute 2"));
	world_run(&world, 11 * NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 1);
	world_free(&world);
}

/* Also over a restart. */
static void launches_per_minute_survive_a_restart(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 2;
	want_three(&world);
	while (world_answer(&world))
		;
	world_crash(&world);
	world_restart(&world);
	world_describe(&world);
	world_run(&world, 50 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	world_run(&world, 11 * NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

/* And when the journal is lost: by what EC2 shows, each instance of a call and also what has ended.
 */
static void launches_of_a_lost_journal_count_per_minute(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 2;
	world.config.limits.visible_within_ns = NS_PER_S;
	want_three(&world);
	while (world_answer(&world))
		;
	world.instances.at[1].view.state = INSTANCE_TERMINATED;
	world_crash(&world);
	vec_for_each (line, &world.journal)
		free(*line);
	vec_clear(&world.journal);
	vec_clear(&world.synced);
	world_restart(&world);
	world_describe(&world);
	world_run(&world, 25 * NS_PER_S);
	world_describe(&world);
	world_run(&world, 25 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "2 were launched in the last minute"));
	world_run(&world, 11 * NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

static void what_was_not_launched_does_not_count_per_minute(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 3;
	want_three(&world);
	world.fault.no_capacity = true;
	world_answer(&world);
	world.fault.no_capacity = false;
	while (world_answer(&world))
		;
	assert_int_equal(ec2_alive(&world), 3);
	world_free(&world);
}

static void usd_per_hour_is_not_passed(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	limited(&world, "", M5_ON_DEMAND);
	world.config.limits.usd_per_hour = 0.20;
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 2);
	assert_non_null(strstr(world_decision(&world, 0)->limits, "usd per hour: 0 of 0.2"));
	while (world_answer(&world))
		;
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_per_hour, 0.192, 1e-9);
	world_run(&world, 10 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "--max-usd-per-hour 0.2"));
	world_free(&world);
}

static void an_unknown_price_is_held_when_money_is_limited(void **state)
{
	struct world world;
	const struct offering unpriced =
		world_offering("m5.large", "us-east-1a", CAPACITY_ON_DEMAND, 2, NAN);
	const struct catalog catalog = {.offerings = &unpriced, .count = 1, .fetched_wall_ns = 1};

	(void)state;
	limited(&world, "", M5_ON_DEMAND);
	world.config.limits.usd_per_hour = 100;
	world_start(&world);
	core_catalog(world.core, &catalog);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "no price is known"));
	world_free(&world);
}

static void an_unknown_price_is_fine_when_it_is_not(void **state)
{
	struct world world;
	const struct offering unpriced =
		world_offering("m5.large", "us-east-1a", CAPACITY_ON_DEMAND, 2, NAN);
	const struct catalog catalog = {.offerings = &unpriced, .count = 1, .fetched_wall_ns = 1};

	(void)state;
	limited(&world, "", M5_ON_DEMAND);
	world_start(&world);
	core_catalog(world.core, &catalog);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void a_class_that_is_not_ready_holds(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_start(&world);
	world_class(&world, false);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "no subnet"));
	world_class(&world, true);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void max_replicas_are_not_passed(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 10000);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.called.at[0].count, 9);
	assert_non_null(
		strstr(world_decision(&world, 0)->limits, "maxReplicas 10: TooManyReplicas"));
	world_free(&world);
}

/* Which of these are taken by which requirements. */
static void requirements_choose_offerings(void **state)
{
	static const struct {
		const char *requirement;
		const char *type;
		const char *zone;
		bool taken;
	} rows[] = {
		{"{key: node.kubernetes.io/instance-type, operator: In, values: [m5.large]}",
		 "m5.large", "us-east-1a", true},
		{"{key: node.kubernetes.io/instance-type, operator: NotIn, values: [m5.large]}",
		 "m5.large", "us-east-1a", false},
		{"{key: karpenter.k8s.aws/instance-family, operator: In, values: [m5]}",
		 "m5d.large", "us-east-1a", false},
		{"{key: karpenter.k8s.aws/instance-family, operator: In, values: [m5d]}",
		 "m5d.large", "us-east-1a", true},
		{"{key: karpenter.k8s.aws/instance-category, operator: In, values: [m]}",
		 "m7gd.large", "us-east-1a", true},
		{"{key: karpenter.k8s.aws/instance-category, operator: In, values: [m]}",
		 "mac2.metal", "us-east-1a", false},
		{"{key: karpenter.k8s.aws/instance-generation, operator: Gt, values: [\"5\"]}",
		 "m5.large", "us-east-1a", false},
		{"{key: karpenter.k8s.aws/instance-generation, operator: Gt, values: [\"5\"]}",
		 "c7gn.large", "us-east-1a", true},
		{"{key: karpenter.k8s.aws/instance-generation, operator: Lt, values: [\"2\"]}",
		 "u-6tb1.56xlarge", "us-east-1a", true},
		{"{key: karpenter.k8s.aws/instance-size, operator: In, values: [large]}",
		 "c7gn.xlarge", "us-east-1a", false},
		{"{key: karpenter.k8s.aws/instance-size, operator: NotIn, values: [nano, micro]}",
		 "t3.micro", "us-east-1a", false},
		{"{key: karpenter.k8s.aws/instance-cpu, operator: Gt, values: [\"1\"]}", "m5.large",
		 "us-east-1a", true},
		{"{key: karpenter.k8s.aws/instance-memory, operator: Lt, values: [\"8192\"]}",
		 "m5.large", "us-east-1a", false},
		{"{key: kubernetes.io/arch, operator: In, values: [arm64]}", "m5.large",
		 "us-east-1a", false},
		{"{key: kubernetes.io/arch, operator: Exists}", "m5.large", "us-east-1a", true},
		{"{key: kubernetes.io/arch, operator: DoesNotExist}", "m5.large", "us-east-1a",
		 false},
		{"{key: topology.kubernetes.io/zone, operator: In, values: [us-east-1b]}",
		 "m5.large", "us-east-1a", false},
		{"{key: karpenter.sh/capacity-type, operator: In, values: [spot]}", "m5.large",
		 "us-east-1a", false},
		{"{key: kubernetes.io/os, operator: In, values: [linux]}", "m5.metal", "us-east-1a",
		 false},
		{"{key: node.kubernetes.io/instance-type, operator: In, values: [m5.metal]}",
		 "m5.metal", "us-east-1a", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world world;
		struct offering offering =
			world_offering(rows[i].type, rows[i].zone, CAPACITY_ON_DEMAND, 2, 0.1);
		struct catalog catalog = {.offerings = &offering, .count = 1, .fetched_wall_ns = 1};
		char requirement[256];

		offering.bare_metal = strstr(rows[i].type, "metal") != NULL;
		snprintf(requirement, sizeof(requirement), "      - %s\n", rows[i].requirement);
		limited(&world, "", requirement);
		world_start(&world);
		core_catalog(world.core, &catalog);
		world_queue(&world, 35);
		world_run(&world, NS_PER_S);
		if (world.launch_calls != rows[i].taken)
			fail_msg("%s with %s: %s", rows[i].type, rows[i].requirement,
				 world_policy(&world)->held);
		world_free(&world);
	}
}

/* Spot that costs more than on-demand is not wanted. */
static void dear_spot_is_left_out(void **state)
{
	struct world world;
	const struct offering offerings[] = {
		world_offering("m5.large", "us-east-1a", CAPACITY_SPOT, 2, 0.2),
		world_offering("m5.large", "us-east-1a", CAPACITY_ON_DEMAND, 2, 0.1),
	};
	const struct catalog catalog = {.offerings = offerings, .count = 2, .fetched_wall_ns = 1};

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_start(&world);
	core_catalog(world.core, &catalog);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.called.at[0].capacity_type, CAPACITY_ON_DEMAND);
	world_free(&world);
}

static void an_order_names_at_most_sixty_types(void **state)
{
	struct world world;
	VEC(struct offering) offerings = {0};
	struct catalog catalog;

	(void)state;
	for (int i = 0; i < 100; i++)
		for (int zone = 0; zone < 2; zone++) {
			char type[32];

			snprintf(type, sizeof(type), "m5.%dxlarge", i + 2);
			*vec_push(&offerings) =
				world_offering(type, zone ? "us-east-1b" : "us-east-1a",
					       CAPACITY_ON_DEMAND, 2, 0.1 + i);
		}
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_start(&world);
	catalog = (struct catalog){
		.offerings = offerings.at, .count = offerings.count, .fetched_wall_ns = 1};
	core_catalog(world.core, &catalog);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.called.at[0].overrides.count, 120);
	vec_free(&offerings);
	world_free(&world);
}

/* ---- minValues ---- */

#define TWO_FAMILIES                                                                        \
	"      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [m5, c5], " \
	"minValues: 2}\n"                                                                   \
	"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}\n"

static void an_order_keeps_min_values(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "", TWO_FAMILIES);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 3);
	assert_int_equal(world.called.at[0].overrides.count, 3);
	world_free(&world);
}

/* For three c5.xlarge there is no room, for one there is. */
static void min_values_make_an_order_smaller(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {cpu: 7}\n", TWO_FAMILIES);
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 1);
	assert_int_equal(world.called.at[0].overrides.count, 3);
	assert_non_null(strstr(world_decision(&world, 0)->limits,
			       "minValues 2 of karpenter.k8s.aws/instance-family: kept by an "
			       "order for 1: bound"));
	world_free(&world);
}

static void fewer_values_than_asked_for_hold(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "  limits: {cpu: 3}\n", TWO_FAMILIES);
	want_three(&world);
	assert_int_equal(world.launch_calls, 0);
	assert_string_equal(world_policy(&world)->held,
			    "NodePool web: minValues of karpenter.k8s.aws/instance-family asks for "
			    "2 different ones, what limits and capacity leave of an order has 1");
	world_free(&world);
}

/* What had no capacity is no choice. */
static void what_has_no_capacity_is_no_value(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "",
		"      - {key: topology.kubernetes.io/zone, operator: Exists, minValues: 2}\n"
		"      - {key: node.kubernetes.io/instance-type, operator: In, values: "
		"[m5.large]}\n"
		"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}\n");
	want_three(&world);
	assert_int_equal(world.called.at[0].overrides.count, 2);
	world.fault.no_capacity = true;
	world_answer(&world);
	world.fault.no_capacity = false;
	world_run(&world, 30 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held,
			       "minValues of topology.kubernetes.io/zone"
			       " asks for 2"));
	world_free(&world);
}

/* An order is of one capacity type; both may be bought with its types. */
static void capacity_types_count_beyond_one_order(void **state)
{
	struct world world;

	(void)state;
	limited(&world, "",
		"      - {key: node.kubernetes.io/instance-type, operator: In, values: "
		"[m5.large]}\n"
		"      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand, "
		"spot], "
		"minValues: 2}\n");
	want_three(&world);
	assert_int_equal(world.called.at[0].count, 3);
	assert_int_equal(world.called.at[0].capacity_type, CAPACITY_SPOT);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cpu_of_the_pool_is_not_passed),
		cmocka_unit_test(what_the_requirements_leave_no_more_counts),
		cmocka_unit_test(overrides_that_would_pass_a_limit_are_left_out),
		cmocka_unit_test(the_memory_of_the_pool_is_not_passed),
		cmocka_unit_test(the_gpus_of_the_pool_are_not_passed),
		cmocka_unit_test(gpus_that_run_count_after_a_restart),
		cmocka_unit_test(overrides_with_too_many_gpus_are_left_out),
		cmocka_unit_test(an_open_order_takes_the_most_gpus_it_may_have),
		cmocka_unit_test(gpus_of_an_unknown_type_hold),
		cmocka_unit_test(a_type_with_unknown_gpus_is_not_bought),
		cmocka_unit_test(launches_per_minute_slide),
		cmocka_unit_test(launches_per_minute_survive_a_restart),
		cmocka_unit_test(launches_of_a_lost_journal_count_per_minute),
		cmocka_unit_test(what_was_not_launched_does_not_count_per_minute),
		cmocka_unit_test(usd_per_hour_is_not_passed),
		cmocka_unit_test(an_unknown_price_is_held_when_money_is_limited),
		cmocka_unit_test(an_unknown_price_is_fine_when_it_is_not),
		cmocka_unit_test(a_class_that_is_not_ready_holds),
		cmocka_unit_test(max_replicas_are_not_passed),
		cmocka_unit_test(requirements_choose_offerings),
		cmocka_unit_test(dear_spot_is_left_out),
		cmocka_unit_test(an_order_names_at_most_sixty_types),
		cmocka_unit_test(an_order_keeps_min_values),
		cmocka_unit_test(min_values_make_an_order_smaller),
		cmocka_unit_test(fewer_values_than_asked_for_hold),
		cmocka_unit_test(what_has_no_capacity_is_no_value),
		cmocka_unit_test(capacity_types_count_beyond_one_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
