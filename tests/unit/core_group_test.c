/* SPDX-License-Identifier: Apache-2.0 */
/* Bought through an Auto Scaling group: one number, said whole, and never more than is wanted. */
#include "core_world.h"

#define CAPACITY_ANY UINT32_MAX

static void group_init(struct world *world, uint32_t max)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world->documents.pools.at[0].auto_scaling_group = strdup("web-asg");
	world->group_max = max;
}

/* A second: everything that was called is answered, the group works, and EC2 is looked at. */
static void seconds(struct world *world, uint32_t count, uint32_t capacity)
{
	while (count--) {
		world_run(world, NS_PER_S);
		while (world_answer(world) || world_answer_terminate(world, 0))
			;
		ec2_group_works(world, capacity);
		world_describe(world);
	}
}

static void group_new(struct world *world, uint32_t max)
{
	group_init(world, max);
	world_start(world);
	seconds(world, 2, CAPACITY_ANY);
	assert_int_equal(world->launch_calls, 0);
}

static void it_is_told_the_whole_number(void **state)
{
	struct world world;
	const struct decision *decision;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 45); /* 5: this host and 4 */
	world_run(&world, 200 * NS_PER_MS);
	assert_int_equal(world.called.count, 1);
	assert_true(world.launch_was_written);
	assert_string_equal(world.called.at[0].group, "web-asg");
	assert_int_equal(world.called.at[0].desired, 4);
	assert_int_equal(world_policy(&world)->replicas, 5);
	seconds(&world, 10, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 4);
	assert_int_equal(world.group_sets, 1);
	assert_int_equal(world_policy(&world)->replicas, 5);
	seconds(&world, 60, CAPACITY_ANY);
	decision = world_decision(&world, 0);
	assert_true(decision->closed);
	assert_int_equal(decision->launched, 4);
	assert_int_equal(decision->sources[SOURCE_GROUP].count, 4);
	world_queue(&world, 65);
	seconds(&world, 60, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 6);
	assert_int_equal(ec2_group_members(&world), 6);
	assert_int_equal(world.group_sets, 2);
	world_free(&world);
}

static void what_it_lets_go_is_taken_off_its_number(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 45);
	seconds(&world, 60, CAPACITY_ANY);
	world_queue(&world, 15);
	seconds(&world, 200, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 1);
	assert_int_equal(ec2_group_members(&world), 1);
	assert_int_equal(world.group_sets, 1);
	assert_int_equal(world_policy(&world)->replicas, 2);
	world_free(&world);
}

static void a_lost_answer_is_asked_again_and_sets_it_once(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world.fault.lose_before = true;
	world_queue(&world, 45);
	seconds(&world, 3, CAPACITY_ANY);
	assert_int_equal(world.group_sets, 0);
	world.fault.lose_before = false;
	world.fault.lose_after = true;
	seconds(&world, 10, CAPACITY_ANY);
	world.fault.lose_after = false;
	seconds(&world, 30, CAPACITY_ANY);
	assert_int_equal(world.group_sets, 1);
	assert_int_equal(world.group_desired, 4);
	assert_int_equal(ec2_group_members(&world), 4);
	world_free(&world);
}

static void beyond_its_largest_size_nothing_is_set(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 3);
	world_queue(&world, 45);
	seconds(&world, 20, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 0);
	assert_non_null(strstr(world_policy(&world)->held, "MaxSize"));
	world.group_max = 4;
	seconds(&world, 60, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 4);
	world_free(&world);
}

/* While it has no capacity it is not told more than is wanted, and not again. */
static void without_capacity_it_waits(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 45);
	seconds(&world, 400, 1);
	assert_int_equal(world.group_desired, 4);
	assert_int_equal(world.group_sets, 1);
	seconds(&world, 400, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 4);
	assert_int_equal(ec2_group_members(&world), 4);
	assert_int_equal(world_policy(&world)->replicas, 5);
	world_free(&world);
}

/* It shrinks only once it has been told of nothing that is not there yet, so that the order, asked
 * for again, does not bring back what was taken off. */
static void it_grows_or_shrinks(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 25);
	seconds(&world, 60, CAPACITY_ANY);
	assert_int_equal(ec2_group_members(&world), 2);
	world_queue(&world, 45);
	seconds(&world, 5, 2);
	assert_int_equal(world.group_desired, 4);
	world_queue(&world, 5);
	seconds(&world, 200, 2);
	assert_true(world.group_desired >= 2);
	seconds(&world, 600, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 0);
	assert_int_equal(ec2_group_members(&world), 0);
	world_free(&world);
}

static void killed_at_any_moment_it_is_set_once(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < 8; at++) {
		struct world world;

		group_new(&world, 10);
		world_queue(&world, 45);
		world_run(&world, 200 * NS_PER_MS);
		if (at & 1)
			world_answer(&world);
		if (at & 2)
			ec2_group_works(&world, 2);
		if (at & 4)
			world_describe(&world);
		world_crash(&world);
		world_restart(&world);
		world_describe(&world);
		seconds(&world, 60, CAPACITY_ANY);
		assert_int_equal(world.group_sets, 1);
		assert_int_equal(world.group_desired, 4);
		assert_int_equal(ec2_group_members(&world), 4);
		assert_int_equal(world_policy(&world)->replicas, 5);
		world_free(&world);
	}
}

/* Another core, with an empty disk: the group itself tells it. */
static void an_empty_disk_sets_no_more(void **state)
{
	(void)state;
	for (uint32_t launched = 0; launched <= 4; launched++) {
		struct world world;

		group_new(&world, 10);
		world_queue(&world, 45);
		world_run(&world, 200 * NS_PER_MS);
		world_answer(&world);
		ec2_group_works(&world, launched);
		world_crash(&world);
		vec_for_each (line, &world.journal)
			free(*line);
		vec_clear(&world.journal);
		vec_clear(&world.synced);
		world_start(&world);
		seconds(&world, 60, CAPACITY_ANY);
		assert_int_equal(world.group_desired, 4);
		assert_int_equal(world.group_sets, 1);
		assert_int_equal(ec2_group_members(&world), 4);
		world_free(&world);
	}
}

/* An old leader's call comes late, after the next one wanted more: the number is not set back. */
static void a_late_call_of_before_sets_nothing_back(void **state)
{
	struct world world;
	struct launch_order late;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 25);
	world_run(&world, 200 * NS_PER_MS);
	order_copy(&late, &world.called.at[0]);
	world_crash(&world);
	vec_for_each (line, &world.journal)
		free(*line);
	vec_clear(&world.journal);
	vec_clear(&world.synced);
	world_start(&world);
	world_queue(&world, 45);
	seconds(&world, 10, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 4);
	*vec_push(&world.called) = late;
	seconds(&world, 60, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 4);
	assert_int_equal(ec2_group_members(&world), 4);
	world_free(&world);
}

static void what_somebody_else_adds_counts_and_is_given_back(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 25);
	seconds(&world, 60, CAPACITY_ANY);
	world.group_desired = 5;
	ec2_group_works(&world, CAPACITY_ANY);
	world_describe(&world);
	world_run(&world, 200 * NS_PER_MS);
	assert_int_equal(world.instances.count, 5);
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_SCALE_DOWN);
	assert_int_equal(world_decision(&world, 0)->replicas_before, 6);
	seconds(&world, 300, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 2);
	assert_int_equal(ec2_group_members(&world), 2);
	assert_int_equal(world.group_sets, 1);
	world_free(&world);
}

static void one_that_ends_is_replaced_by_the_group(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 25);
	seconds(&world, 60, CAPACITY_ANY);
	world.instances.at[0].view.state = INSTANCE_TERMINATED;
	seconds(&world, 120, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 2);
	assert_int_equal(ec2_group_members(&world), 2);
	assert_int_equal(world.group_sets, 1);
	world_free(&world);
}

/* Too old and of another image: the group decides how they look and when they go. */
static void its_members_are_not_given_back(void **state)
{
	struct world world;
	struct giving_totals giving;
	const struct subnet subnets[] = {{"subnet-a", "us-east-1a", 200}};
	struct launch_template templates[] = {
		{ARCH_AMD64, CAPACITY_SPOT, "forerun-web-spot", ""},
		{ARCH_AMD64, CAPACITY_ON_DEMAND, "forerun-web-od", ""}};
	const struct class_view view = {.name = "web",
					.ready = true,
					.subnets = subnets,
					.subnets_count = ARRAY_SIZE(subnets),
					.templates = templates,
					.templates_count = ARRAY_SIZE(templates)};

	(void)state;
	group_init(&world, 10);
	world.documents.pools.at[0].expire_after_s = 120;
	world_start(&world);
	world_queue(&world, 25);
	seconds(&world, 60, CAPACITY_ANY);
	vec_for_each (it, &world.instances)
		snprintf(it->view.image_id, sizeof(it->view.image_id), "ami-1");
	for (size_t i = 0; i < ARRAY_SIZE(templates); i++)
		snprintf(templates[i].image_id, sizeof(templates[i].image_id), "ami-2");
	core_class(world.core, &view);
	seconds(&world, 300, CAPACITY_ANY);
	core_giving(world.core, &giving);
	assert_int_equal(giving.pools_count, 1);
	assert_int_equal(giving.pools[0].drifted, 0);
	assert_true(giving.pools[0].held[HOLD_BLOCKED] >= 2);
	assert_non_null(strstr(giving.pools[0].holds[HOLD_BLOCKED], "the group's own business"));
	assert_int_equal(ec2_group_members(&world), 2);
	assert_int_equal(world.group_sets, 1);
	assert_int_equal(world.terminate_calls, 0);
	world_free(&world);
}

/* Asked for again before EC2 has shown whose member it is: it still goes by the group's call. */
static void after_a_restart_it_still_goes_by_the_groups_call(void **state)
{
	struct world world;

	(void)state;
	group_new(&world, 10);
	world_queue(&world, 45);
	seconds(&world, 60, CAPACITY_ANY);
	world_queue(&world, 15);
	for (unsigned i = 0; i < 300 && !world.terminating.count; i++) {
		world_run(&world, NS_PER_S);
		world_describe(&world);
	}
	assert_int_equal(world.terminating.count, 1);
	assert_string_equal(world.terminating.at[0].group, "web-asg");
	world_crash(&world);
	world_restart(&world);
	assert_int_equal(world.terminating.count, 1);
	assert_string_equal(world.terminating.at[0].group, "web-asg");
	seconds(&world, 60, CAPACITY_ANY);
	assert_int_equal(world.group_desired, 1);
	assert_int_equal(ec2_group_members(&world), 1);
	assert_int_equal(world.group_sets, 1);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_the_whole_number),
		cmocka_unit_test(what_it_lets_go_is_taken_off_its_number),
		cmocka_unit_test(a_lost_answer_is_asked_again_and_sets_it_once),
		cmocka_unit_test(beyond_its_largest_size_nothing_is_set),
		cmocka_unit_test(without_capacity_it_waits),
		cmocka_unit_test(it_grows_or_shrinks),
		cmocka_unit_test(killed_at_any_moment_it_is_set_once),
		cmocka_unit_test(an_empty_disk_sets_no_more),
		cmocka_unit_test(a_late_call_of_before_sets_nothing_back),
		cmocka_unit_test(what_somebody_else_adds_counts_and_is_given_back),
		cmocka_unit_test(one_that_ends_is_replaced_by_the_group),
		cmocka_unit_test(its_members_are_not_given_back),
		cmocka_unit_test(after_a_restart_it_still_goes_by_the_groups_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
