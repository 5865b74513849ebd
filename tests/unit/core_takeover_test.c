/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that two lanes share, over a change of leaders: whatever the leader before launched in its
 * last moments, what EC2 has in the end is within every limit. */
#include "core_site.h"

#define VISIBLE_NS (20 * NS_PER_S)

/* The leader launches in one lane and dies before its record says so; EC2 shows nothing of it yet.
 * Its successor is asked for all that it may add in the other lane. */
static uint32_t after_a_takeover(struct site *site)
{
	lead(site, 0);
	for (int i = 0; i < CORES; i++)
		site->cores[i].visible_after_ns = VISIBLE_NS;
	say(site, 5, 45, 200 * NS_PER_MS);
	assert_int_equal(answered(site, 0), 3);
	dies(site, 0);
	site_advance(site, NS_PER_S);
	lead(site, 1);
	for (int n = 0; n < 8; n++) {
		say(site, 1000, 5, 300 * NS_PER_MS);
		answered(site, 1);
		world_record(&site->cores[1], &site->record);
	}
	/* And in that one: its number is taken. */
	say(site, 1000, 1000, NS_PER_S);
	return answered(site, 1);
}

static void limits_pool(struct text *out, const char *name, unsigned amount)
{
	text_add_bytes(out, WORLD_POOL, (size_t)(strstr(WORLD_POOL, "  template:") - WORLD_POOL));
	text_printf(out, "  limits: {%s: %u}\n", name, amount);
	text_add(out, strstr(WORLD_POOL, "  template:"));
}

static void pool_of(struct text *out, unsigned cpus)
{
	limits_pool(out, "cpu", cpus);
}

static void launches_a_minute_are_not_passed_by_a_successor(void **state)
{
	struct core_limits limits = limits_of();
	struct site site;
	uint32_t launched;

	(void)state;
	limits.launches_per_minute = 8;
	site_new(&site, WORLD_POOL, &limits);
	launched = after_a_takeover(&site);
	assert_in_range(launched, 7, 8); /* what is left is launched at once */
	site_free(&site);
}

static void a_pool_is_not_filled_beyond_its_limit_by_a_successor(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct core_limits limits = limits_of();
	struct site site;
	uint32_t launched;

	(void)state;
	pool_of(&pool, 32);
	site_new(&site, pool.data, &limits);
	launched = after_a_takeover(&site);
	assert_in_range(launched, 11, 16);
	site_free(&site);
}

static void nodes_are_not_passed_by_a_successor(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct core_limits limits = limits_of();
	struct site site;
	uint32_t launched;

	(void)state;
	limits_pool(&pool, "nodes", 8);
	site_new(&site, pool.data, &limits);
	launched = after_a_takeover(&site);
	assert_in_range(launched, 7, 8); /* what is left is launched at once */
	site_free(&site);
}

static void gpus_are_not_passed_by_a_successor(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct core_limits limits = limits_of();
	struct site site;
	uint32_t launched;

	(void)state;
	limits_pool(&pool, "nvidia.com/gpu", 8);
	site_new(&site, pool.data, &limits);
	launched = after_a_takeover(&site);
	assert_in_range(launched, 7, 8); /* one each */
	site_free(&site);
}

/* A leader that did not limit them promised nothing of them. */
static void gpus_wait_for_a_leader_that_did_not_limit_them(void **state)
{
	_cleanup_text_ struct text pool = {0};
	struct core_limits limits = limits_of();
	struct site site;

	(void)state;
	limits_pool(&pool, "nvidia.com/gpu", 8);
	site_new(&site, pool.data, &limits);
	text_add(&site.record, "{\"v\":1,\"epoch\":1,\"ahead\":{\"launches\":0,\"usd\":0,"
			       "\"pools\":{\"web\":[0,0,0]}},\"lanes\":{}}");
	site.epoch = 1;
	lead(&site, 0);
	say(&site, 1000, 5, NS_PER_S);
	assert_int_equal(answered(&site, 0), 0);
	site_advance(&site, 60 * NS_PER_S);
	world_describe(&site.cores[0]);
	for (int n = 0; n < 8; n++) {
		say(&site, 1000, 5, 300 * NS_PER_MS);
		answered(&site, 0);
		world_record(&site.cores[0], &site.record);
	}
	assert_in_range(ec2_alive(&site.ec2), 7, 8);
	site_free(&site);
}

static void dollars_an_hour_are_not_passed_by_a_successor(void **state)
{
	struct core_limits limits = limits_of();
	struct site site;
	uint32_t launched;

	(void)state;
	limits.usd_per_hour = 0.40;
	site_new(&site, WORLD_POOL, &limits);
	launched = after_a_takeover(&site);
	assert_in_range(launched, 9, 13); /* at 0.03 each */
	site_free(&site);
}

/* ---- what the record tells of ---- */

/* Answered, and in the record, and not shown to the successor: whether or not its leader saw it. */
static void what_is_not_shown_is_counted(bool leader_saw)
{
	_cleanup_text_ struct text pool = {0};
	struct core_limits limits = limits_of();
	struct site site;

	pool_of(&pool, 10);
	site_new(&site, pool.data, &limits);
	lead(&site, 0);
	site.cores[0].visible_after_ns = leader_saw ? 0 : VISIBLE_NS;
	say(&site, 5, 25, 200 * NS_PER_MS);
	assert_int_equal(answered(&site, 0), 2);
	if (leader_saw)
		world_describe(&site.cores[0]);
	/* It gives the lease up, so that nothing is left promised that could hide a gap. */
	text_clear(&site.record);
	core_state_write(site.cores[0].core, true, &site.record);
	vec_for_each (instance, &site.ec2.instances)
		instance->visible_ns = site.ec2.now.mono_ns + VISIBLE_NS;
	dies(&site, 0);
	site_advance(&site, NS_PER_S);
	lead(&site, 1);
	for (int n = 0; n < 8; n++) {
		say(&site, 1000, 5, 300 * NS_PER_MS);
		answered(&site, 1);
		world_record(&site.cores[1], &site.record);
	}
	assert_int_equal(ec2_alive(&site.ec2), 5);
	/* Shown, it takes no room twice. */
	site_advance(&site, VISIBLE_NS);
	vec_for_each (instance, &site.ec2.instances)
		if (instance->view.epoch == 2)
			instance->view.state = INSTANCE_TERMINATED;
	world_describe(&site.cores[1]);
	for (int n = 0; n < 4; n++) {
		say(&site, 1000, 5, 30 * NS_PER_S);
		answered(&site, 1);
		world_record(&site.cores[1], &site.record);
	}
	assert_int_equal(ec2_alive(&site.ec2), 5);
	site_free(&site);
}

static void what_was_answered_counts_before_it_is_shown(void **state)
{
	(void)state;
	what_is_not_shown_is_counted(false);
}

static void what_one_core_was_shown_counts_for_one_that_was_not(void **state)
{
	(void)state;
	what_is_not_shown_is_counted(true);
}

/* It was within the limits of its own lead. Two leads later they may be used by others. */
static void an_order_is_not_asked_again_after_another_core_led(void **state)
{
	struct core_limits limits = limits_of();
	struct site site;
	struct world *world = &site.cores[0];

	(void)state;
	site_new(&site, WORLD_POOL, &limits);
	lead(&site, 0);
	say(&site, 25, 5, 200 * NS_PER_MS);
	assert_int_equal(world->launch_calls, 1);
	world_crash(world);
	site_advance(&site, NS_PER_S);
	lead(&site, 1);
	core_yield(site.cores[1].core, "its turn is over", site.ec2.now);
	world_restart(world);
	lead(&site, 0);
	assert_int_equal(world->launch_calls, 1);
	/* Of its own last lead it is asked again, at once. */
	site_advance(&site, 2 * limits.visible_within_ns);
	world_describe(world);
	say(&site, 25, 5, 300 * NS_PER_MS);
	assert_int_equal(world->launch_calls, 2);
	core_yield(world->core, "the lease was lost", site.ec2.now);
	lead(&site, 0);
	assert_int_equal(world->launch_calls, 3);
	site_free(&site);
}

/* A leader that ends leaves nothing behind that it might launch. */
static void a_lease_that_is_given_up_promises_nothing(void **state)
{
	_cleanup_text_ struct text record = {0};
	struct core_limits limits = limits_of();
	struct site site;

	(void)state;
	site_new(&site, WORLD_POOL, &limits);
	lead(&site, 0);
	core_state_write(site.cores[0].core, true, &record);
	assert_non_null(strstr(record.data, "\"ahead\":{\"launches\":0,\"usd\":0,\"pools\":{}}"));
	site_free(&site);
}

/* ---- what is left is used ---- */

/* Once EC2 must have shown everything, all of the limit is there again. */
static void what_was_promised_and_not_used_comes_back(void **state)
{
	struct core_limits limits = limits_of();
	struct site site;

	(void)state;
	limits.launches_per_minute = 8;
	site_new(&site, WORLD_POOL, &limits);
	lead(&site, 0);
	dies(&site, 0);
	site_advance(&site, NS_PER_S);
	lead(&site, 1);
	say(&site, 1000, 5, 500 * NS_PER_MS);
	answered(&site, 1);
	assert_in_range(ec2_alive(&site.ec2), 1, 4);
	for (int i = 0; i < 130; i++) {
		world_record(&site.cores[1], &site.record);
		say(&site, 1000, 5, NS_PER_S);
		world_describe(&site.cores[1]);
		answered(&site, 1);
	}
	assert_in_range(ec2_alive(&site.ec2), 12, 20); /* 8 a minute */
	site_free(&site);
}

/* Nothing is launched before the record of this lead is there, and no more than it says. */
static void a_leader_launches_what_its_record_says(void **state)
{
	struct core_limits limits = limits_of();
	struct site site;
	struct world *world = &site.cores[0];
	char reason[160];

	(void)state;
	limits.launches_per_minute = 8;
	site_new(&site, WORLD_POOL, &limits);
	assert_int_equal(core_lead(world->core, 1, "", world->now, reason), 0);
	core_state_write(world->core, false, &site.record);
	site_advance(&site, NS_PER_MS);
	world_describe(world);
	say(&site, 5, 5, 5 * NS_PER_S);
	say(&site, 1000, 5, 200 * NS_PER_MS);
	assert_int_equal(world->launch_calls, 0);
	assert_non_null(strstr(status_of(world, WEB)->held, "record"));
	core_state_stored(world->core);
	core_tick(world->core, world->now);
	assert_int_equal(world->launch_calls, 1);
	assert_int_equal(world->called.at[0].count, 4);
	/* More is wanted: the next record has room for all that is left. */
	answered(&site, 0);
	say(&site, 1000, 5, 200 * NS_PER_MS);
	assert_int_equal(world->launch_calls, 1);
	world_record(world, &site.record);
	core_tick(world->core, world->now);
	assert_int_equal(world->launch_calls, 2);
	assert_int_equal(answered(&site, 0), 8);
	site_free(&site);
}

/* A record that may or may not have been written binds as well as the one before it. */
static void an_unsure_record_binds(void **state)
{
	struct core_limits limits = limits_of();
	_cleanup_text_ struct text unsure = {0};
	struct site site;
	struct world *world = &site.cores[0];

	(void)state;
	limits.launches_per_minute = 8;
	site_new(&site, WORLD_POOL, &limits);
	lead(&site, 0);
	say(&site, 25, 5, 200 * NS_PER_MS);
	assert_int_equal(answered(&site, 0), 2); /* of 4 that the record promises */
	core_state_write(world->core, false, &unsure); /* promises 3 of the 6 that are left */
	say(&site, 25, 1000, 200 * NS_PER_MS);
	assert_int_equal(answered(&site, 0), 4);
	say(&site, 25, 1000, 200 * NS_PER_MS);
	assert_int_equal(answered(&site, 0), 4);
	site_free(&site);
}

/* With one lane alone its own numbers tell: the successor has all of the limit at once. */
static void one_lane_needs_no_promise(void **state)
{
	_cleanup_text_ struct text record = {0};
	struct world first, second;

	(void)state;
	world_init(&first, WORLD_YAML, WORLD_POOL);
	world_init(&second, WORLD_YAML, WORLD_POOL);
	second.shares = &first;
	first.config.standby = second.config.standby = true;
	world_start(&first);
	world_lead(&first, 1, "");
	world_record(&first, &record);
	assert_non_null(strstr(record.data, "{\"launches\":\""));
	world_crash(&first);
	world_start(&second);
	world_advance(&second, NS_PER_S);
	world_lead(&second, 2, record.data);
	world_advance(&second, NS_PER_MS);
	world_describe(&second);
	world_run(&second, NS_PER_S);
	world_queue(&second, 95);
	world_run(&second, 100 * NS_PER_MS);
	assert_int_equal(second.called.count, 1);
	assert_int_equal(second.called.at[0].count, 9);
	world_free(&second);
	world_free(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(launches_a_minute_are_not_passed_by_a_successor),
		cmocka_unit_test(a_pool_is_not_filled_beyond_its_limit_by_a_successor),
		cmocka_unit_test(nodes_are_not_passed_by_a_successor),
		cmocka_unit_test(gpus_are_not_passed_by_a_successor),
		cmocka_unit_test(gpus_wait_for_a_leader_that_did_not_limit_them),
		cmocka_unit_test(dollars_an_hour_are_not_passed_by_a_successor),
		cmocka_unit_test(what_was_answered_counts_before_it_is_shown),
		cmocka_unit_test(what_one_core_was_shown_counts_for_one_that_was_not),
		cmocka_unit_test(an_order_is_not_asked_again_after_another_core_led),
		cmocka_unit_test(a_lease_that_is_given_up_promises_nothing),
		cmocka_unit_test(what_was_promised_and_not_used_comes_back),
		cmocka_unit_test(a_leader_launches_what_its_record_says),
		cmocka_unit_test(an_unsure_record_binds),
		cmocka_unit_test(one_lane_needs_no_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
