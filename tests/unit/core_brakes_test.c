/* SPDX-License-Identifier: Apache-2.0 */
/* What holds the core back: pause, surge, addresses, quotas; and that it is said. */
#include "core_world.h"

static struct brake_status brake_of(const struct world *world, enum brake brake)
{
	struct brake_status brakes[BRAKE_COUNT];

	core_brakes(world->core, brakes);
	return brakes[brake];
}

static bool limit_said(const struct world *world, const char *text)
{
	return strstr(world_decision(world, 0)->limits, text) != NULL;
}

static void answer_all(struct world *world)
{
	while (world_answer(world))
		;
}

/* ---- pause ---- */

static void a_pause_launches_nothing_and_is_said(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	world_new(&world);
	world_run(&world, 11 * NS_PER_S);
	world.brakes_began = world.brakes_ended = 0;
	core_pause(world.core, "file", "the game day", world.now);
	assert_true(brake_of(&world, BRAKE_PAUSE).holding);
	assert_int_equal(world.brakes_began, 1);
	assert_non_null(strstr(world.brake_text, "paused by the file: the game day"));
	world_queue(&world, 35);
	world_run(&world, 30 * NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_string_equal(world_policy(&world)->held, "paused by the file: the game day");
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_HELD);
	assert_non_null(strstr(world_decision(&world, 0)->steps.at[0].text, "the game day"));
	assert_null(core_decision(world.core, 1));
	core_totals(world.core, &totals);
	assert_int_equal(totals.held_paused, 1);
	assert_int_equal(brake_of(&world, BRAKE_PAUSE).policies, 1);
	assert_int_equal(world.brakes_began, 1);

	core_pause(world.core, "file", NULL, world.now);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	assert_false(brake_of(&world, BRAKE_PAUSE).holding);
	assert_int_equal(world.brakes_ended, 0);
	world_run(&world, 11 * NS_PER_S);
	assert_int_equal(world.brakes_ended, 1);
	world_free(&world);
}

static void each_pause_is_lifted_by_itself(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	core_pause(world.core, "file", "a", world.now);
	core_pause(world.core, "lock", "b", world.now);
	core_pause(world.core, "file", NULL, world.now);
	core_pause(world.core, "tag", NULL, world.now);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_string_equal(world_policy(&world)->held, "paused by the lock: b");
	core_pause(world.core, "lock", NULL, world.now);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

/* Also what is asked again, and what is left of a decision. */
static void a_pause_asks_nothing_again(void **state)
{
	struct world world;
	uint64_t calls;

	(void)state;
	world_new(&world);
	world.fault.lose_after = true;
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	answer_all(&world);
	core_pause(world.core, "command", "enough", world.now);
	calls = world.launch_calls;
	world_run(&world, 300 * NS_PER_S);
	assert_int_equal(world.launch_calls, calls);
	core_pause(world.core, "command", NULL, world.now);
	world.fault = (struct fault){.at_most = UINT32_MAX};
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, calls + 1);
	answer_all(&world);
	assert_int_equal(ec2_alive(&world), 3);
	assert_int_equal(world.mismatches, 0);
	world_free(&world);
}

static void a_pause_makes_no_further_attempt(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world.fault.no_capacity = true;
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	core_pause(world.core, "command", "enough", world.now);
	answer_all(&world);
	world_run(&world, 20 * NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	core_pause(world.core, "command", NULL, world.now);
	world.fault.no_capacity = false;
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

static void a_pause_terminates_nothing(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	answer_all(&world);
	world_run(&world, 40 * NS_PER_S);
	world_describe(&world);
	core_pause(world.core, "command", "enough", world.now);
	world_queue(&world, 0);
	world_run(&world, 120 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 0);
	core_pause(world.core, "command", NULL, world.now);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	/* One that is open is not asked for again either. */
	core_pause(world.core, "command", "enough", world.now);
	world_answer_terminate(&world, -EAGAIN);
	world_run(&world, 60 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	world_free(&world);
}

static void an_instance_s_tag_pauses(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	answer_all(&world);
	world.instances.at[0].view.pause = true;
	world_describe(&world);
	world_queue(&world, 45);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "has the tag forerun.dev/pause"));
	world.instances.at[0].view.pause = false;
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

static void a_standby_is_a_brake(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.standby = true;
	world_start(&world);
	world_queue(&world, 35);
	world_run(&world, 2 * NS_PER_S);
	assert_true(brake_of(&world, BRAKE_STANDBY).holding);
	assert_int_equal(brake_of(&world, BRAKE_STANDBY).policies, 1);
	world_lead(&world, 1, "");
	world_describe(&world);
	/* What came before the lead is no observation of it. */
	world_advance(&world, 900 * NS_PER_MS);
	core_tick(world.core, world.now);
	world_advance(&world, 200 * NS_PER_MS);
	core_tick(world.core, world.now);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 0);
	assert_true(brake_of(&world, BRAKE_FIRST_OBSERVATION).holding);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	assert_false(brake_of(&world, BRAKE_STANDBY).holding);
	assert_false(brake_of(&world, BRAKE_FIRST_OBSERVATION).holding);
	world_free(&world);
}

/* ---- how many ---- */

static void one_decision_is_no_larger_than_the_surge(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.surge = 2;
	world_start(&world);
	world_run(&world, NS_PER_S);
	world_queue(&world, 65);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.called.at[0].count, 2);
	assert_true(limit_said(&world, "surge: 2 at most in one decision, 6 wanted: bound"));
	assert_int_equal(brake_of(&world, BRAKE_SURGE).occasions, 1);
	answer_all(&world);
	world_run(&world, 2 * NS_PER_S);
	answer_all(&world);
	world_run(&world, 2 * NS_PER_S);
	answer_all(&world);
	assert_int_equal(ec2_alive(&world), 6);
	assert_int_equal(brake_of(&world, BRAKE_SURGE).occasions, 1);
	world_free(&world);
}

static void an_occasion_is_told_once(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 1;
	world_start(&world);
	world_run(&world, NS_PER_S);
	world.brakes_began = 0;
	world_queue(&world, 35);
	for (int i = 0; i < 30; i++) {
		world_run(&world, NS_PER_S);
		answer_all(&world);
	}
	assert_int_equal(brake_of(&world, BRAKE_LAUNCHES_PER_MINUTE).occasions, 1);
	assert_true(brake_of(&world, BRAKE_LAUNCHES_PER_MINUTE).holding);
	assert_int_equal(world.brakes_began, 1);
	assert_non_null(strstr(brake_of(&world, BRAKE_LAUNCHES_PER_MINUTE).text, "web: "));
	world_free(&world);
}

/* ---- addresses ---- */

static void subnets_have(struct world *world, uint32_t a, uint32_t b)
{
	const struct subnet subnets[] = {{"subnet-a", "us-east-1a", a},
					 {"subnet-b", "us-east-1b", b}};
	const struct launch_template templates[] = {
		{ARCH_AMD64, CAPACITY_SPOT, "forerun-web-spot", "ami-1"},
		{ARCH_AMD64, CAPACITY_ON_DEMAND, "forerun-web-od", "ami-1"}};
	struct class_view view = {.name = "web", .ready = true};

	view.subnets = subnets;
	view.subnets_count = ARRAY_SIZE(subnets);
	view.templates = templates;
	view.templates_count = ARRAY_SIZE(templates);
	core_class(world->core, &view);
}

static void an_exhausted_subnet_is_known_before_the_call(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	subnets_have(&world, 2, 4);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	/* Three fit into one subnet alone. */
	assert_int_equal(world.called.at[0].count, 3);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_string_equal(override->subnet_id, "subnet-b");
	answer_all(&world);
	/* What was launched since counts: 2 and 1 are left. */
	world_queue(&world, 85);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.called.at[0].count, 2);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_string_equal(override->subnet_id, "subnet-a");
	assert_true(limit_said(&world, "free addresses: no subnet has 5 left, 2 are asked for"));
	assert_true(brake_of(&world, BRAKE_SUBNET).holding);
	world_free(&world);
}

static void without_an_address_nothing_is_asked_for(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	subnets_have(&world, 1, 0);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	answer_all(&world);
	world_queue(&world, 45);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "no subnet has an address left"));
	/* EC2 counts them anew: what runs is in its figure. */
	subnets_have(&world, 2, 0);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 2);
	world_free(&world);
}

/* ---- quotas ---- */

static void quota_is(struct world *world, double standard)
{
	const struct offering offerings[] = {
		world_offering("m5.large", "us-east-1a", CAPACITY_SPOT, 2, 0.03),
		world_offering("c5.xlarge", "us-east-1a", CAPACITY_SPOT, 4, 0.07),
	};
	const struct vcpu_quota quotas[] = {
		{"Running Dedicated p instances", CAPACITY_SPOT, "p", 0},
		{"All Standard Spot Instance Requests", CAPACITY_SPOT, "a,c,d,h,i,m,r,t,z",
		 standard},
		{"Running On-Demand Standard instances", CAPACITY_ON_DEMAND, "a,c,d,h,i,m,r,t,z",
		 0},
	};
	struct catalog catalog = {.offerings = offerings,
				  .count = ARRAY_SIZE(offerings),
				  .fetched_wall_ns = 1,
				  .quotas = quotas,
				  .quotas_count = ARRAY_SIZE(quotas)};

	core_catalog(world->core, &catalog);
}

static void the_quota_of_vcpus_is_known_before_the_call(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	quota_is(&world, 7);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	/* Three of 2 vCPUs; three of 4 would not be allowed. */
	assert_int_equal(world.called.at[0].count, 3);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_string_equal(override->instance_type, "m5.large");
	answer_all(&world);
	world_queue(&world, 65);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held,
			       "the quota \"All Standard Spot Instance Requests\" of 7 vCPUs"));
	assert_true(brake_of(&world, BRAKE_QUOTA).holding);
	quota_is(&world, 100);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pause_launches_nothing_and_is_said),
		cmocka_unit_test(each_pause_is_lifted_by_itself),
		cmocka_unit_test(a_pause_asks_nothing_again),
		cmocka_unit_test(a_pause_makes_no_further_attempt),
		cmocka_unit_test(a_pause_terminates_nothing),
		cmocka_unit_test(an_instance_s_tag_pauses),
		cmocka_unit_test(a_standby_is_a_brake),
		cmocka_unit_test(one_decision_is_no_larger_than_the_surge),
		cmocka_unit_test(an_occasion_is_told_once),
		cmocka_unit_test(an_exhausted_subnet_is_known_before_the_call),
		cmocka_unit_test(without_an_address_nothing_is_asked_for),
		cmocka_unit_test(the_quota_of_vcpus_is_known_before_the_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
