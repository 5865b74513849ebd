/* SPDX-License-Identifier: Apache-2.0 */
/* The warm pool: prepared, stopped, kept at its size, and the first that is taken. */
#include "core_world.h"

static uint32_t in_state(const struct world *world, enum instance_state state)
{
	uint32_t count = 0;

	vec_for_each (it, &world->instances)
		count += it->view.state == state;
	return count;
}

static uint32_t replicas(const struct world *world)
{
	uint32_t count = 0;

	vec_for_each (it, &world->instances)
		count += (it->view.state == INSTANCE_PENDING ||
			  it->view.state == INSTANCE_RUNNING) &&
			 strcmp(it->view.policy, "web") == 0;
	return count;
}

/* A second: everything that was called is answered, and EC2 is looked at. */
static void seconds(struct world *world, uint32_t count)
{
	while (count--) {
		world_run(world, NS_PER_S);
		while (world_answer(world) || world_answer_stop(world, 0) ||
		       world_answer_terminate(world, 0))
			;
		world_describe(world);
	}
}

static void warm_init(struct world *world, uint32_t size)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world->documents.pools.at[0].warm =
		(struct warm_pool){.size = size, .refresh_s = DURATION_NEVER};
}

/* Prepared and at rest. */
static void warm_new(struct world *world, uint32_t size)
{
	warm_init(world, size);
	world_start(world);
	seconds(world, 60);
	assert_int_equal(in_state(world, INSTANCE_STOPPED), size);
	assert_int_equal(world->instances.count, size);
}

static void it_is_prepared_by_a_first_boot_that_ends_in_stop(void **state)
{
	struct world world;

	(void)state;
	warm_init(&world, 2);
	world_start(&world);
	seconds(&world, 3);
	assert_int_equal(in_state(&world, INSTANCE_PENDING), 2);
	vec_for_each (it, &world.instances) {
		assert_string_equal(it->view.policy, "warm/web");
		/* One-time spot instances cannot be stopped. */
		assert_int_equal(it->view.capacity_type, CAPACITY_ON_DEMAND);
	}
	seconds(&world, 45);
	assert_int_equal(in_state(&world, INSTANCE_RUNNING), 2);
	assert_int_equal(world.stop_calls, 0);
	seconds(&world, 10);
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 2);
	seconds(&world, 600);
	assert_int_equal(world.stop_calls, 2);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world_policy(&world)->replicas, 1);
	assert_true(world_decision(&world, 0)->closed);
	world_free(&world);
}

static void what_rests_goes_first_and_the_rest_is_bought_at_once(void **state)
{
	struct world world;

	(void)state;
	warm_new(&world, 2);
	world_queue(&world, 45); /* 4 more */
	world_run(&world, 200 * NS_PER_MS);
	/* Both are on their way before either is answered. */
	assert_int_equal(world.called.count, 2);
	assert_int_equal(world.called.at[0].starts.count, 2);
	assert_int_equal(world.called.at[1].count, 2);
	assert_true(world.launch_was_written);
	assert_int_equal(world_policy(&world)->replicas, 5);
	seconds(&world, 1);
	assert_int_equal(replicas(&world), 4);
	assert_int_equal(world_policy(&world)->replicas, 5);
	world_queue(&world, 45);
	seconds(&world, 30);
	assert_int_equal(replicas(&world), 4);
	world_queue(&world, 49);
	seconds(&world, 100);
	assert_int_equal(replicas(&world), 4);
	/* And what was taken is prepared again. */
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 2);
	world_free(&world);
}

static const struct decision *scale_up(struct world *world)
{
	const struct decision *decision;

	for (size_t i = 0; (decision = core_decision(world->core, i)); i++)
		if (decision->kind == DECISION_SCALE_UP && strcmp(decision->policy, "web") == 0)
			return decision;
	fail_msg("no decision");
	return NULL;
}

static void the_sources_are_told_with_their_times(void **state)
{
	_cleanup_text_ struct text text = {0};
	struct world world;
	const struct decision *decision;

	(void)state;
	warm_new(&world, 1);
	world_queue(&world, 15);
	seconds(&world, 60);
	world_queue(&world, 35);
	seconds(&world, 2);
	decision = scale_up(&world);
	assert_int_equal(decision->sources[SOURCE_STOPPED].count, 1);
	assert_int_equal(decision->sources[SOURCE_SPOT].count, 1);
	/* A start of a quarter of a boot, and 20 s until it counts as serving. */
	assert_true(decision->sources[SOURCE_STOPPED].seconds > 27 &&
		    decision->sources[SOURCE_STOPPED].seconds < 31);
	decision_explain(decision, &text);
	assert_non_null(strstr(text.data, "stopped         1  2"));
	assert_non_null(strstr(text.data, "spot            1  time not known yet"));
	world_free(&world);
}

static void without_capacity_at_the_start_it_is_bought_at_once(void **state)
{
	struct world world;

	(void)state;
	warm_new(&world, 2);
	world.fault.start_most = 1;
	world_queue(&world, 25);
	world_run(&world, 200 * NS_PER_MS);
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].starts.count, 2);
	world_answer(&world);
	/* In the same decision, without a timer. */
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].starts.count, 0);
	assert_int_equal(world.called.at[0].count, 1);
	assert_string_equal(world.called.at[0].decision, scale_up(&world)->id);
	world_answer(&world);
	assert_int_equal(replicas(&world), 2);
	seconds(&world, 2);
	assert_int_equal(world_policy(&world)->replicas, 3);
	assert_int_equal(scale_up(&world)->launched, 2);
	assert_int_equal(scale_up(&world)->failed, 0);
	world_free(&world);
}

static void one_in_a_wrong_state_is_left_alone(void **state)
{
	struct world world;

	(void)state;
	warm_new(&world, 1);
	world.fault.start_most = 0;
	world.fault.start_code = "IncorrectInstanceState";
	world_queue(&world, 15);
	world_run(&world, 200 * NS_PER_MS);
	while (world_answer(&world))
		;
	assert_int_equal(replicas(&world), 1);
	seconds(&world, 2);
	assert_int_equal(world_policy(&world)->replicas, 2);
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 1);
	world_free(&world);
}

static void a_start_that_is_not_shown_yet_counts(void **state)
{
	struct world world;

	(void)state;
	warm_new(&world, 1);
	world.start_shown_after_ns = 40 * NS_PER_S;
	world_queue(&world, 15);
	for (int i = 0; i < 35; i++) {
		seconds(&world, 1);
		assert_true(world_policy(&world)->replicas == 2);
	}
	assert_int_equal(replicas(&world), 1);
	seconds(&world, 60);
	assert_int_equal(replicas(&world), 1);
	world_free(&world);
}

static void what_still_runs_is_taken_before_what_rests(void **state)
{
	struct world world;

	(void)state;
	warm_init(&world, 1);
	world_start(&world);
	seconds(&world, 35);
	assert_int_equal(in_state(&world, INSTANCE_RUNNING), 1);
	world_queue(&world, 15);
	seconds(&world, 2);
	assert_int_equal(scale_up(&world)->sources[SOURCE_ROOM].count, 1);
	assert_string_equal(world.instances.at[0].view.policy, "web");
	assert_int_equal(world.instances.at[0].starts, 0);
	seconds(&world, 60);
	assert_int_equal(world.instances.at[0].stops, 0);
	assert_int_equal(replicas(&world), 1);
	world_free(&world);
}

static void a_restart_at_any_moment_starts_once(void **state)
{
	struct world world;

	(void)state;
	for (int cut = 0; cut < 4; cut++) {
		warm_new(&world, 2);
		world.start_shown_after_ns = 5 * NS_PER_S;
		world_queue(&world, 25);
		world_run(&world, 200 * NS_PER_MS);
		assert_int_equal(world.called.count, 1);
		if (cut == 1)
			world.fault.lose_after = true;
		if (cut)
			world_answer(&world);
		world.fault.lose_after = false;
		if (cut == 3)
			world_rewrite(&world);
		world_crash(&world);
		world_restart(&world);
		world_describe(&world);
		seconds(&world, 10);
		assert_int_equal(replicas(&world), 2);
		assert_int_equal(world_policy(&world)->replicas, 3);
		seconds(&world, 60);
		assert_int_equal(replicas(&world), 2);
		world_free(&world);
	}
}

static void without_a_journal_it_waits_until_starts_must_be_shown(void **state)
{
	struct world world;

	(void)state;
	warm_new(&world, 2);
	world.start_shown_after_ns = 200 * NS_PER_S;
	world_queue(&world, 15);
	world_run(&world, 200 * NS_PER_MS);
	world_answer(&world);
	world_crash(&world);
	vec_for_each (line, &world.journal)
		free(*line);
	vec_clear(&world.journal);
	vec_clear(&world.synced);
	/* Another policy of before: its tags are not shown either. */
	strcpy(world.instances.at[0].view.policy, "warm/web");
	world_restart(&world);
	world_describe(&world);
	seconds(&world, 100);
	assert_non_null(strstr(world_policy(&world)->held, "nothing tells which instances"));
	assert_int_equal(world.called.count, 0);
	strcpy(world.instances.at[0].view.policy, "web");
	seconds(&world, 120);
	assert_int_equal(replicas(&world), 1);
	world_free(&world);
}

static void an_outdated_one_is_replaced_first(void **state)
{
	struct world world;

	(void)state;
	warm_new(&world, 2);
	strcpy(world.instances.at[0].view.class_hash, "0123456789abcdef");
	world_crash(&world);
	world_restart(&world);
	world_describe(&world);
	seconds(&world, 30);
	assert_int_equal(world.instances.count, 3);
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 2);
	/* Never started: it has drifted. */
	seconds(&world, 60);
	assert_int_equal(world.instances.at[0].view.state, INSTANCE_TERMINATED);
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 2);
	seconds(&world, 600);
	assert_int_equal(world.instances.count, 3);
	world_free(&world);
}

static void an_old_one_is_prepared_anew(void **state)
{
	struct world world;

	(void)state;
	warm_init(&world, 1);
	world.documents.pools.at[0].warm.refresh_s = 3600;
	world_start(&world);
	seconds(&world, 3500);
	assert_int_equal(world.instances.count, 1);
	seconds(&world, 300);
	assert_int_equal(world.instances.count, 2);
	assert_int_equal(world.instances.at[0].view.state, INSTANCE_TERMINATED);
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 1);
	world_free(&world);
}

static void hibernation_is_asked_for_until_it_can(void **state)
{
	struct world world;

	(void)state;
	warm_init(&world, 1);
	world.documents.pools.at[0].warm.state = WARM_HIBERNATED;
	world_start(&world);
	for (int i = 0; i < 55; i++) {
		world_run(&world, NS_PER_S);
		while (world_answer(&world) || world_answer_stop(&world, -EINVAL))
			;
		world_describe(&world);
	}
	assert_int_equal(in_state(&world, INSTANCE_RUNNING), 1);
	assert_true(world.stop_calls >= 1 && world.stop_calls < 10);
	seconds(&world, 100);
	assert_true(world.instances.at[0].hibernated);
	world_queue(&world, 15);
	seconds(&world, 2);
	assert_int_equal(scale_up(&world)->sources[SOURCE_HIBERNATED].count, 1);
	world_free(&world);
}

static void preparing_leaves_room_for_what_is_wanted(void **state)
{
	struct world world;

	(void)state;
	warm_init(&world, 15);
	world.config.limits.launches_per_minute = 10;
	world_start(&world);
	seconds(&world, 5);
	assert_int_equal(world.instances.count, 5);
	world_queue(&world, 45);
	seconds(&world, 2);
	assert_int_equal(replicas(&world), 4);
	world_free(&world);
}

static void a_limit_of_the_pool_holds_for_starts(void **state)
{
	struct world world;

	(void)state;
	warm_init(&world, 2);
	world.documents.pools.at[0].cpu_limited = true;
	world.documents.pools.at[0].limit_cpus = 4;
	world_start(&world);
	seconds(&world, 60);
	assert_int_equal(in_state(&world, INSTANCE_STOPPED), 2);
	world_queue(&world, 45);
	seconds(&world, 30);
	assert_int_equal(replicas(&world), 2);
	/* And nothing is prepared while the pool is full. */
	assert_int_equal(ec2_alive(&world), 2);
	world_free(&world);
}

static void one_that_somebody_stops_is_started_again(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.documents.policies.at[0].on_demand = true;
	world_start(&world);
	world_queue(&world, 15);
	seconds(&world, 60);
	assert_int_equal(replicas(&world), 1);
	assert_int_equal(world.instances.at[0].view.capacity_type, CAPACITY_ON_DEMAND);
	world.instances.at[0].view.state = INSTANCE_STOPPED;
	world_queue(&world, 15);
	seconds(&world, 5);
	assert_int_equal(world.instances.count, 1);
	assert_int_equal(world.instances.at[0].starts, 1);
	assert_int_equal(replicas(&world), 1);
	world_free(&world);
}

static void a_fixed_number_is_kept(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, "", WORLD_POOL);
	world.documents.pools.at[0].replicas = 3;
	world_start(&world);
	seconds(&world, 60);
	assert_int_equal(world.instances.count, 3);
	world.instances.at[1].view.state = INSTANCE_TERMINATED;
	seconds(&world, 30);
	assert_int_equal(world.instances.count, 4);
	assert_int_equal(ec2_alive(&world), 3);
	assert_string_equal(world.instances.at[3].view.policy, "replicas/web");
	world_crash(&world);
	world.documents.pools.at[0].replicas = 1;
	world_restart(&world);
	world_describe(&world);
	seconds(&world, 30);
	assert_int_equal(ec2_alive(&world), 1);
	assert_int_equal(world.instances.count, 4);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_prepared_by_a_first_boot_that_ends_in_stop),
		cmocka_unit_test(what_rests_goes_first_and_the_rest_is_bought_at_once),
		cmocka_unit_test(the_sources_are_told_with_their_times),
		cmocka_unit_test(without_capacity_at_the_start_it_is_bought_at_once),
		cmocka_unit_test(one_in_a_wrong_state_is_left_alone),
		cmocka_unit_test(a_start_that_is_not_shown_yet_counts),
		cmocka_unit_test(what_still_runs_is_taken_before_what_rests),
		cmocka_unit_test(a_restart_at_any_moment_starts_once),
		cmocka_unit_test(without_a_journal_it_waits_until_starts_must_be_shown),
		cmocka_unit_test(an_outdated_one_is_replaced_first),
		cmocka_unit_test(an_old_one_is_prepared_anew),
		cmocka_unit_test(hibernation_is_asked_for_until_it_can),
		cmocka_unit_test(preparing_leaves_room_for_what_is_wanted),
		cmocka_unit_test(a_limit_of_the_pool_holds_for_starts),
		cmocka_unit_test(one_that_somebody_stops_is_started_again),
		cmocka_unit_test(a_fixed_number_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
