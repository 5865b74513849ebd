/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a lane, one rule a test; core_sequence_test.c plays them against each other. */
#include "core_world.h"

static const char *number_of(const char *token)
{
	const char *dash = strrchr(token, '-');

	return dash ? dash + 1 : "";
}

static void order_wanted(struct world *world, double depth)
{
	world_queue(world, depth);
	world_run(world, 100 * NS_PER_MS);
}

/* What another core launched under that number, with tags as ours. */
static void another_launched(struct world *world, const char *token, uint32_t count,
			     uint32_t launched, uint64_t visible_after_ns)
{
	struct launch_order order = {.count = count};
	struct launch_override *override = vec_push(&order.overrides);
	const char *tags[][2] = {{"forerun.dev/decision", "fr-other-1"},
				 {"forerun.dev/nodepool", "web"},
				 {"forerun.dev/policy", "web"},
				 {"forerun.dev/token", token},
				 {"forerun.dev/count", NULL}};
	char number[16];

	snprintf(order.token, sizeof(order.token), "%s", token);
	strcpy(override->instance_type, "m5.large");
	strcpy(override->zone, "us-east-1a");
	snprintf(number, sizeof(number), "%u", count);
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		*vec_push(&order.tags.list) = (struct key_value){
			strdup(tags[i][0]), strdup(tags[i][1] ? tags[i][1] : number)};
	world->fault.at_most = launched;
	world->visible_after_ns = visible_after_ns;
	ec2_create_fleet(world, &order);
	world->fault.at_most = UINT32_MAX;
	world->visible_after_ns = 0;
	launch_order_free(&order);
}

static void token_of_lane(struct world *world, uint64_t n, char out[64])
{
	uint64_t key = hash_text("default/web/web");

	(void)world;
	snprintf(out, 64, "fr-%016llx-%llu", (unsigned long long)key, (unsigned long long)n);
}

static void seconds(struct world *world, int count)
{
	while (count--) {
		world_run(world, NS_PER_S);
		world_describe(world);
	}
}

static void more_demand_waits_and_becomes_one_order(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	order_wanted(&world, 25);
	assert_int_equal(world.called.count, 1);
	order_wanted(&world, 45);
	order_wanted(&world, 65);
	assert_int_equal(world.called.count, 1);
	assert_non_null(strstr(world_policy(&world)->held, "has no known end yet"));
	world_answer(&world);
	core_tick(world.core, world.now); /* as after every answer */
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].count, 4);
	assert_string_equal(number_of(world.called.at[0].token), "2");
	while (world_answer(&world))
		;
	assert_int_equal(world.instances.count, 6);
	world_free(&world);
}

static void a_taken_number_holds_until_all_of_it_is_shown(void **state)
{
	struct world world;
	char token[64];

	(void)state;
	world_new(&world);
	token_of_lane(&world, 1, token);
	another_launched(&world, token, 3, 3, 40 * NS_PER_S);
	world.instances.at[2].visible_ns += 10 * NS_PER_S;
	order_wanted(&world, 55);
	assert_string_equal(world.called.at[0].token, token);
	world_answer(&world);
	assert_int_equal(world.mismatches, 1);
	seconds(&world, 30);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, token));
	assert_non_null(strstr(world_policy(&world)->held, "is not of this core"));
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_HELD);
	seconds(&world, 15); /* two of three */
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "2 of 3"));
	seconds(&world, 10);
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 2);
	assert_string_equal(number_of(world.called.at[0].token), "2");
	world_free(&world);
}

/* Also over a restart, from all lines or from the short form: it goes on from when it began. */
static void a_hold_outlives_a_restart(void **state)
{
	struct world world;
	char token[64];

	(void)state;
	for (int shortened = 0; shortened < 2; shortened++) {
		world_new(&world);
		token_of_lane(&world, 1, token);
		another_launched(&world, token, 3, 2, 200 * NS_PER_S);
		order_wanted(&world, 55);
		world_answer(&world);
		seconds(&world, 100);
		if (shortened)
			world_rewrite(&world);
		world_crash(&world);
		world_restart(&world);
		seconds(&world, 195);
		assert_int_equal(world.launch_calls, 1);
		seconds(&world, 10);
		assert_int_equal(world.launch_calls, 2);
		assert_int_equal(world.called.at[0].count, 3);
		world_free(&world);
	}
}

/* A call of which nobody knows any more arrives late: the next order has its number by then. */
static void a_refused_number_goes_to_the_next_order(void **state)
{
	struct launch_order late;
	struct world world;

	(void)state;
	world_new(&world);
	order_wanted(&world, 35);
	order_copy(&late, &world.called.at[0]);
	world_crash(&world);
	while (world.journal.count)
		free(world.journal.at[--world.journal.count]);
	world.synced.count = world.durable = 0;
	world_restart(&world);
	world_describe(&world);
	world_run(&world, 300 * NS_PER_MS);
	world.fault.refuse = true;
	world_answer(&world);
	world.fault.refuse = false;
	seconds(&world, 10); /* past the back-off */
	assert_string_equal(world.called.at[0].token, late.token);
	while (world_answer(&world))
		;
	ec2_create_fleet(&world, &late);
	assert_int_equal(world.mismatches, 1);
	assert_int_equal(world.instances.count, 3);
	launch_order_free(&late);
	world_free(&world);
}

/* It launched fewer than it asked for: then only time can tell. */
static void a_taken_number_holds_for_visible_within_at_most(void **state)
{
	struct world world;
	char token[64];

	(void)state;
	world_new(&world);
	token_of_lane(&world, 1, token);
	another_launched(&world, token, 3, 2, 0);
	order_wanted(&world, 55);
	world_answer(&world);
	seconds(&world, 298);
	assert_int_equal(world.launch_calls, 1);
	seconds(&world, 5);
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 3);
	world_free(&world);
}

/* Nothing tells of the number that is taken: what else was used is not known either. */
static void a_lost_history_goes_on_far_above_it(void **state)
{
	struct world world;
	char token[64], expected[24];

	(void)state;
	world_new(&world);
	token_of_lane(&world, 1, token);
	another_launched(&world, token, 3, 0, 0);
	order_wanted(&world, 35);
	world_answer(&world);
	seconds(&world, 305);
	assert_int_equal(world.called.count, 1);
	snprintf(expected, sizeof(expected), "%llu", 1700000306ULL);
	assert_int_equal(strlen(number_of(world.called.at[0].token)), strlen(expected));
	assert_true(strtoull(number_of(world.called.at[0].token), NULL, 10) > 1700000000);
	while (world_answer(&world))
		;
	seconds(&world, 2);
	order_wanted(&world, 75);
	assert_true(strtoull(number_of(world.called.at[0].token), NULL, 10) > 1700000001);
	assert_int_equal(world.launch_calls, 3);
	world_free(&world);
}

static void an_empty_disk_goes_on_behind_what_is_shown(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	order_wanted(&world, 35);
	while (world_answer(&world))
		;
	seconds(&world, 2);
	world_crash(&world);
	while (world.journal.count)
		free(world.journal.at[--world.journal.count]);
	world.synced.count = world.durable = 0;
	world_restart(&world);
	world_describe(&world);
	world_queue(&world, 55);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	assert_string_equal(number_of(world.called.at[0].token), "2");
	assert_int_equal(world.called.at[0].count, 2);
	world_free(&world);
}

/* Instances of an installation that did not number its launches. */
static void instances_without_numbers_and_without_history_hold(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	another_launched(&world, "fr-552c59e7-loyw3vu0-1", 2, 2, 0);
	world_start(&world);
	world_run(&world, 300 * NS_PER_MS);
	order_wanted(&world, 55);
	seconds(&world, 290);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "history is not known"));
	seconds(&world, 15);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 3);
	assert_string_equal(number_of(world.called.at[0].token), "1");
	world_free(&world);
}

static void a_journal_without_numbers_is_settled_under_its_own_tokens(void **state)
{
	static const char *const lines[] = {
		"{\"v\":1,\"t\":\"decision\",\"wall_us\":1699999990000000,\"id\":\"fr-old-1\","
		"\"kind\":\"scale-up\",\"mode\":\"act\",\"policy\":\"web\",\"pool\":\"web\","
		"\"mono_us\":990000000,\"edge_us\":0,\"before\":1,\"wanted\":3,\"decided\":3,"
		"\"count\":2,\"signals\":\"\",\"arithmetic\":\"\",\"limits\":\"\"}",
		"{\"v\":1,\"t\":\"order\",\"wall_us\":1699999990000000,\"decision\":\"fr-old-1\","
		"\"token\":\"fr-old-1\",\"pool\":\"web\",\"policy\":\"web\",\"capacity_type\":"
		"\"spot\",\"attempt\":1,\"count\":2,\"failed\":0,\"overrides\":[[\"m5.large\","
		"\"subnet-a\",\"us-east-1a\",\"forerun-web-spot\",-1,0.03,2,8192]],\"tags\":["
		"[\"forerun.dev/nodepool\",\"web\"],[\"forerun.dev/policy\",\"web\"],"
		"[\"forerun.dev/decision\",\"fr-old-1\"],[\"forerun.dev/token\",\"fr-old-1\"],"
		"[\"forerun.dev/count\",\"2\"]]}"};
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		world_line(&world, lines[i], strlen(lines[i]));
	world_restart(&world);
	assert_string_equal(world.called.at[0].token, "fr-old-1");
	world.fault.lose_after = true;
	world_answer(&world);
	world.fault.lose_after = false;
	seconds(&world, 1); /* asked again, and shown before there was an answer */
	assert_int_equal(world_decision(&world, 0)->launched, 2);
	assert_string_equal(world.called.at[0].token, "fr-old-1");
	while (world_answer(&world))
		;
	order_wanted(&world, 55);
	assert_int_equal(world.called.count, 1);
	assert_int_equal(strlen(world.called.at[0].token), 3 + 16 + 2);
	assert_string_equal(number_of(world.called.at[0].token), "1");
	assert_int_equal(world.called.at[0].count, 3);
	world_free(&world);
}

/* ---- the lead ---- */

static void lead(struct world *world, uint64_t epoch, const char *record)
{
	world_lead(world, epoch, record);
}

static void standby_new(struct world *world)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world->config.standby = true;
	world_start(world);
	world_run(world, NS_PER_S);
}

static void a_standby_calls_nothing_and_decides_nothing(void **state)
{
	struct world world;

	(void)state;
	standby_new(&world);
	world_queue(&world, 55);
	seconds(&world, 10);
	assert_int_equal(world.launch_calls, 0);
	assert_null(core_decision(world.core, 0));
	assert_non_null(strstr(world_policy(&world)->held, "another core leads"));
	assert_int_equal(world.journal.count, 0);
	world_free(&world);
}

/* The picture of before, and what was observed before, are no reason to act. */
static void the_first_observation_of_a_lead_launches_nothing(void **state)
{
	struct world world;

	(void)state;
	standby_new(&world);
	world_queue(&world, 35);
	seconds(&world, 2);
	world_advance(&world, NS_PER_MS);
	lead(&world, 3, "");
	world_send(&world, FRAME_EDGE);
	assert_int_equal(world.launch_calls, 0);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0); /* EC2 was not asked yet */
	world_describe(&world);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	assert_string_equal(order_tag(&world.called.at[0], "forerun.dev/epoch"), "3");
	world_free(&world);
}

static void after_the_lead_is_lost_nothing_is_called(void **state)
{
	struct world world;

	(void)state;
	standby_new(&world);
	lead(&world, 1, "");
	world_describe(&world);
	world_run(&world, 300 * NS_PER_MS);
	order_wanted(&world, 35);
	world.fault.lose_before = true;
	world_answer(&world); /* to be asked again */
	core_yield(world.core, "the lease was lost", world.now);
	world_queue(&world, 75);
	seconds(&world, 60);
	assert_int_equal(world.launch_calls, 1);
	/* And again: the same order, under the same number. */
	lead(&world, 2, "");
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 3);
	assert_string_equal(number_of(world.called.at[0].token), "1");
	assert_string_equal(order_tag(&world.called.at[0], "forerun.dev/epoch"), "1");
	world_free(&world);
}

/* The rest of a decision is the next leader's to decide anew. */
static void the_rest_of_a_decision_goes_with_the_lead(void **state)
{
	struct world world;

	(void)state;
	standby_new(&world);
	lead(&world, 1, "");
	world_describe(&world);
	world_run(&world, 300 * NS_PER_MS);
	order_wanted(&world, 35);
	core_yield(world.core, "the lease was lost", world.now);
	world.fault.at_most = 1;
	world_answer(&world);
	seconds(&world, 5);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world_decision(&world, 0)->launched, 1);
	assert_int_equal(world_decision(&world, 0)->failed, 2);
	world_free(&world);
}

/* user/cloud did not let it out: nothing happened, the number is free, the pool did not fail. */
static void a_call_that_was_not_let_out_uses_no_number(void **state)
{
	struct launch_result result = {.outcome = LAUNCH_REFUSED, .error_code = "NotLeader"};
	struct world world;

	(void)state;
	world_new(&world);
	order_wanted(&world, 35);
	memcpy(result.token, world.called.at[0].token, sizeof(result.token));
	launch_order_free(&world.called.at[0]);
	vec_clear(&world.called);
	core_launched(world.core, &result, world.now);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.called.count, 1);
	assert_string_equal(number_of(world.called.at[0].token), "1");
	world_free(&world);
}

static void an_ended_launch_under_our_token_is_looked_for_by_tags(void **state)
{
	struct launch_result result = {.outcome = LAUNCH_REFUSED,
				       .error_code = "IdempotentInstanceTerminated"};
	struct world world;

	(void)state;
	world_new(&world);
	order_wanted(&world, 35);
	memcpy(result.token, world.called.at[0].token, sizeof(result.token));
	world.fault.lose_after = true;
	world_answer(&world);
	vec_for_each (instance, &world.instances)
		instance->view.state = INSTANCE_TERMINATED;
	core_launched(world.core, &result, world.now);
	world_queue(&world, 0);
	world_describe(&world);
	assert_int_equal(world_decision(&world, 0)->launched, 3);
	assert_true(world_decision(&world, 0)->closed);
	world_free(&world);
}

/* ---- the record ---- */

static void the_record_stays_small_and_keeps_what_cannot_be_seen(void **state)
{
	_cleanup_text_ struct text record = {0}, written = {0};
	struct world world;

	(void)state;
	standby_new(&world);
	text_add(&record, "{\"v\":1,\"lanes\":{\"00000000000000ff\":[9,6,[[8,3]]]");
	for (unsigned i = 0; i < 40000; i++)
		text_printf(&record, ",\"%016x\":%u", i + 0x1000, i + 2);
	text_add(&record, ",\"fffffffffffffff0\":[12,11,[]]}}");
	lead(&world, 2, record.data);
	world_record(&world, &written);
	assert_true(written.length > 290000 && written.length <= 300000);
	assert_non_null(strstr(written.data, "\"00000000000000ff\":[9,6,[[8,3]]]"));
	core_yield(world.core, "to be read again", world.now);
	lead(&world, 3, written.data);
	world_free(&world);
}

static void a_record_that_makes_no_sense_does_not_lead(void **state)
{
	static const char *const records[] = {
		"nonsense",
		"[]",
		"{}",
		"{\"v\":2,\"lanes\":{}}",
		"{\"v\":1,\"lanes\":[]}",
		"{\"v\":1,\"lanes\":{\"12\":3}}",
		"{\"v\":1,\"lanes\":{\"00000000000000fg\":3}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":0}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":-4}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":\"5\"}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":[3,3,[]]}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":[3,1,[[7,1]]]}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":[3,1,[[2,-1]]]}}",
		"{\"v\":1,\"lanes\":{\"00000000000000ff\":[3,1,[2]]}}",
	};
	struct world world;
	char reason[160];

	(void)state;
	standby_new(&world);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		reason[0] = '\0';
		assert_int_equal(core_lead(world.core, 2, records[i], world.now, reason), -EBADMSG);
		assert_non_null(strstr(reason, "the lease's record"));
	}
	order_wanted(&world, 55);
	seconds(&world, 3);
	assert_int_equal(world.launch_calls, 0);
	world_free(&world);
}

/* 3 of the predecessor's last launch, of which one is not shown yet. */
static void a_successor_waits_for_what_its_predecessor_launched(void **state)
{
	_cleanup_text_ struct text record = {0};
	struct world world;
	char token[64];

	(void)state;
	standby_new(&world);
	token_of_lane(&world, 4, token);
	another_launched(&world, token, 5, 3, 0);
	world.instances.at[1].visible_ns += 20 * NS_PER_S;
	text_printf(&record, "{\"v\":1,\"lanes\":{\"%.16s\":[5,3,[[4,3]]]}}", token + 3);
	lead(&world, 8, record.data);
	order_wanted(&world, 55);
	seconds(&world, 15);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "2 of 3"));
	seconds(&world, 10);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 2);
	assert_string_equal(number_of(world.called.at[0].token), "5");
	world_free(&world);
}

/* ---- what others launched ---- */

static void what_another_core_launched_counts_in_the_minute(void **state)
{
	struct world world;
	char token[64];

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 4;
	token_of_lane(&world, 1, token);
	another_launched(&world, token, 3, 3, 0);
	world_advance(&world, NS_PER_S);
	world_start(&world);
	world_run(&world, 300 * NS_PER_MS);
	order_wanted(&world, 75);
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].count, 1);
	world_free(&world);
}

/* Whoever may write tags can burn numbers, and no more. */
static void a_number_beyond_all_bounds_is_nobodys(void **state)
{
	_cleanup_text_ struct text record = {0};
	struct world world;
	char token[64];

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	token_of_lane(&world, UINT64_MAX, token);
	another_launched(&world, token, 1, 1, 0);
	token_of_lane(&world, 900000000000000ULL, token);
	another_launched(&world, token, 1, 1, 0);
	world_start(&world);
	world_run(&world, 300 * NS_PER_MS);
	world_record(&world, &record);
	assert_non_null(strstr(record.data, "[900000000000001,"));
	lead(&world, 2, record.data);
	world_free(&world);
}

static void instances_of_another_owner_are_none_of_ours(void **state)
{
	struct world world;
	char token[64];

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	token_of_lane(&world, 7, token);
	another_launched(&world, token, 2, 2, 0);
	vec_for_each (instance, &world.instances)
		instance->view.owned = false;
	world_start(&world);
	world_run(&world, 300 * NS_PER_MS);
	assert_int_equal(world_policy(&world)->replicas, 1);
	order_wanted(&world, 35);
	assert_string_equal(number_of(world.called.at[0].token), "1");
	world_free(&world);
}

static void a_sync_that_fails_stops_all_acting(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	core_journal_failed(world.core, -EIO);
	order_wanted(&world, 55);
	seconds(&world, 3);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "journal"));
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_demand_waits_and_becomes_one_order),
		cmocka_unit_test(a_taken_number_holds_until_all_of_it_is_shown),
		cmocka_unit_test(a_hold_outlives_a_restart),
		cmocka_unit_test(a_refused_number_goes_to_the_next_order),
		cmocka_unit_test(a_taken_number_holds_for_visible_within_at_most),
		cmocka_unit_test(a_lost_history_goes_on_far_above_it),
		cmocka_unit_test(an_empty_disk_goes_on_behind_what_is_shown),
		cmocka_unit_test(instances_without_numbers_and_without_history_hold),
		cmocka_unit_test(a_journal_without_numbers_is_settled_under_its_own_tokens),
		cmocka_unit_test(a_standby_calls_nothing_and_decides_nothing),
		cmocka_unit_test(the_first_observation_of_a_lead_launches_nothing),
		cmocka_unit_test(after_the_lead_is_lost_nothing_is_called),
		cmocka_unit_test(the_rest_of_a_decision_goes_with_the_lead),
		cmocka_unit_test(a_call_that_was_not_let_out_uses_no_number),
		cmocka_unit_test(an_ended_launch_under_our_token_is_looked_for_by_tags),
		cmocka_unit_test(the_record_stays_small_and_keeps_what_cannot_be_seen),
		cmocka_unit_test(a_record_that_makes_no_sense_does_not_lead),
		cmocka_unit_test(a_successor_waits_for_what_its_predecessor_launched),
		cmocka_unit_test(what_another_core_launched_counts_in_the_minute),
		cmocka_unit_test(a_number_beyond_all_bounds_is_nobodys),
		cmocka_unit_test(instances_of_another_owner_are_none_of_ours),
		cmocka_unit_test(a_sync_that_fails_stops_all_acting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
