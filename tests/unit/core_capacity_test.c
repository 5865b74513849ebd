/* SPDX-License-Identifier: Apache-2.0 */
#include "core_world.h"

/* From nothing to one CreateFleet, complete, journaled before it was called. */
static void a_queue_over_its_target_launches(void **state)
{
	struct world world;
	const struct launch_order *order;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_send(&world, FRAME_EDGE);
	assert_int_equal(world.launch_calls, 1);
	assert_true(world.launch_was_written);
	order = &world.called.at[0];
	assert_int_equal(order->count, 3);
	assert_int_equal(order->capacity_type, CAPACITY_SPOT);
	assert_string_equal(order->decision, world_decision(&world, 0)->id);
	assert_true(str_starts(order->token, "fr-") && str_ends(order->token, "-1"));
	assert_int_equal(strlen(order->token), 3 + 16 + 2);
	assert_string_equal(order_tag(order, "forerun.dev/count"), "3");
	assert_string_equal(order_tag(order, "forerun.dev/epoch"), "0");
	assert_string_equal(order_tag(order, "forerun.dev/service"), "web");
	assert_string_equal(order_tag(order, "forerun.dev/owner"), "default");
	assert_string_equal(order_tag(order, "forerun.dev/nodepool"), "web");
	assert_string_equal(order_tag(order, "forerun.dev/policy"), "web");
	assert_string_equal(order_tag(order, "forerun.dev/decision"), order->decision);
	assert_string_equal(order_tag(order, "forerun.dev/token"), order->token);
	assert_string_equal(order_tag(order, "team"), "shop");
	assert_string_equal(order_tag(order, "Name"), "forerun/web");
	world_free(&world);
}

/* By price, one subnet a zone (the one with most addresses), the template of its kind. */
static void overrides_are_sorted_by_price(void **state)
{
	struct world world;
	const struct launch_order *order;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_send(&world, FRAME_EDGE);
	order = &world.called.at[0];
	assert_int_equal(order->overrides.count, 3);
	assert_string_equal(order->overrides.at[0].instance_type, "m5.large");
	assert_string_equal(order->overrides.at[0].subnet_id, "subnet-a");
	assert_string_equal(order->overrides.at[0].zone, "us-east-1a");
	assert_string_equal(order->overrides.at[0].launch_template, "forerun-web-spot");
	assert_string_equal(order->overrides.at[1].zone, "us-east-1b");
	assert_string_equal(order->overrides.at[2].instance_type, "c5.xlarge");
	world_free(&world);
}

static void a_standing_queue_launches_once(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_send(&world, FRAME_EDGE);
	while (world_answer(&world))
		;
	for (int i = 0; i < 40; i++) {
		world_run(&world, NS_PER_S);
		world_send(&world, FRAME_EDGE);
		while (world_answer(&world))
			;
		world_describe(&world);
	}
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.instances.count, 3);
	assert_int_equal(world_policy(&world)->replicas, 4);
	world_free(&world);
}

/* Instances that DescribeInstances does not show yet count all the same. */
static void what_is_not_visible_yet_counts(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world.visible_after_ns = 200 * NS_PER_S;
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	while (world_answer(&world))
		;
	for (int i = 0; i < 190; i++) {
		world_run(&world, NS_PER_S);
		world_describe(&world);
	}
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world_policy(&world)->replicas, 4);
	world_free(&world);
}

/* What EC2 took away (spot) is noticed; whether it is replaced is the policy's word. */
static void a_terminated_instance_is_replaced_by_policy(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	while (world_answer(&world))
		;
	world_run(&world, 31 * NS_PER_S);
	world_describe(&world);
	world_run(&world, 21 * NS_PER_S);
	world.instances.at[0].view.state = INSTANCE_TERMINATED;
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.at[0].count, 1);
	world_free(&world);
}

/* DescribeInstances left it out for minutes: it was replaced, but is not forgotten. */
static void an_instance_that_is_shown_again_counts_again(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	while (world_answer(&world))
		;
	world_run(&world, 31 * NS_PER_S);
	world_describe(&world);
	world_queue(&world, 32); /* four replicas stay four, three stay three */
	world_run(&world, NS_PER_S);
	world.instances.at[0].visible_ns = UINT64_MAX;
	world_describe(&world);
	world_run(&world, 61 * NS_PER_S);
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 3);
	world_crash(&world);
	world_restart(&world);
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 3);
	world.instances.at[0].visible_ns = 0;
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 4);
	world_crash(&world);
	world_restart(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 4);
	world_free(&world);
}

/* An image that does not start is not bought every few seconds. */
static void what_dies_before_it_serves_is_replaced_more_and_more_slowly(void **state)
{
	struct world world;
	size_t at_first;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	for (int i = 0; i < 600; i++) {
		world_run(&world, NS_PER_S);
		while (world_answer(&world))
			;
		vec_for_each (instance, &world.instances)
			instance->view.state = INSTANCE_TERMINATED;
		world_describe(&world);
		if (i == 60)
			at_first = world.launch_calls;
	}
	/* 5, 10, 20, 40, 80, 160, 300 s */
	assert_in_range(at_first, 3, 5);
	assert_in_range(world.launch_calls, 6, 8);
	world_queue(&world, 35);
	world_run(&world, NS_PER_S);
	assert_non_null(strstr(world_policy(&world)->held, "before it served"));
	world_free(&world);
}

static void what_never_turns_up_is_given_up_after_minutes(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world.visible_after_ns = 3600 * NS_PER_S;
	world_queue(&world, 15);
	world_run(&world, NS_PER_S);
	while (world_answer(&world))
		;
	world_queue(&world, 0);
	world_run(&world, 100 * NS_PER_MS);
	world_describe(&world);
	assert_int_equal(world_policy(&world)->replicas, 2);
	world_advance(&world, 301 * NS_PER_S);
	world_run(&world, NS_PER_S);
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 1);
	assert_true(world_decision(&world, 0)->closed);
	world_free(&world);
}

/* call -> capacity serving, the median of the last ones. */
static void lead_times_are_learned(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	world_new(&world);
	core_totals(world.core, &totals);
	assert_float_equal(totals.lead_time_seconds, 40, 1e-9);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	while (world_answer(&world))
		;
	for (int i = 0; i < 60; i++) {
		world_run(&world, NS_PER_S);
		world_describe(&world);
	}
	core_totals(world.core, &totals);
	assert_int_equal(totals.lead_times_learned, 1);
	/* 30 s boot, seen within a second, 20 s until it counts as serving. */
	assert_true(totals.lead_time_seconds > 49.5 && totals.lead_time_seconds < 52);
	assert_int_equal(world_policy(&world)->ready, 2);
	assert_true(world_decision(&world, 0)->closed);
	world_free(&world);
}

static void an_instance_of_the_pool_is_no_base_replica(void **state)
{
	struct world world;
	struct ec2_instance *self;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	strcpy(world.config.instance_id, "i-self");
	self = vec_push(&world.instances);
	strcpy(self->view.id, "i-self");
	strcpy(self->view.instance_type, "m5.large");
	strcpy(self->view.zone, "us-east-1a");
	strcpy(self->view.pool, "web");
	strcpy(self->view.policy, "web");
	self->view.state = INSTANCE_RUNNING;
	world_start(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_policy(&world)->replicas, 1);
	assert_int_equal(world_policy(&world)->ready, 1);
	world_free(&world);
}

static void codes_of_no_capacity_are_known(void **state)
{
	(void)state;
	assert_true(launch_code_is_no_capacity("InsufficientInstanceCapacity"));
	assert_true(launch_code_is_no_capacity("MaxSpotInstanceCountExceeded"));
	assert_true(launch_code_is_no_capacity("UnfulfillableCapacity"));
	assert_false(launch_code_is_no_capacity("UnauthorizedOperation"));
	assert_false(launch_code_is_no_capacity("InvalidParameterValue"));
	assert_false(launch_code_is_no_capacity(""));
	assert_false(launch_code_is_no_capacity(NULL));
}

/* Where the first place has none, the next attempt of the same decision goes elsewhere at once. */
static void no_capacity_is_retried_elsewhere_at_once(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.no_capacity = true;
	world_answer(&world);
	world.fault.no_capacity = false;
	assert_int_equal(world.launch_calls, 2);
	assert_int_equal(world.called.count, 1);
	assert_true(str_ends(world.called.at[0].token, "-2"));
	assert_string_equal(world.called.at[0].decision, world_decision(&world, 0)->id);
	assert_string_equal(world.called.at[0].decision, world_decision(&world, 0)->id);
	vec_for_each (override, &world.called.at[0].overrides)
		assert_false(strcmp(override->instance_type, "m5.large") == 0 &&
			     strcmp(override->zone, "us-east-1a") == 0);
	while (world_answer(&world))
		;
	assert_int_equal(ec2_alive(&world), 3);
	core_totals(world.core, &totals);
	assert_int_equal(totals.no_capacity_errors, 1);
	assert_int_equal(totals.decisions, 1);
	world_free(&world);
}

/* And is remembered for three minutes. */
static void no_capacity_is_remembered_and_forgotten(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.no_capacity = true;
	world_answer(&world);
	world.fault.no_capacity = false;
	while (world_answer(&world))
		;
	world_queue(&world, 25);
	world_run(&world, 2 * NS_PER_S);
	assert_int_equal(world.called.count, 1);
	assert_string_not_equal(world.called.at[0].overrides.at[0].zone, "us-east-1a");
	while (world_answer(&world))
		;
	world_run(&world, 181 * NS_PER_S);
	world_queue(&world, 35);
	world_run(&world, 2 * NS_PER_S);
	assert_int_equal(world.called.count, 1);
	assert_string_equal(world.called.at[0].overrides.at[0].zone, "us-east-1a");
	world_free(&world);
}

/* Spot first; on-demand when spot is nowhere to be had. */
static void spot_gives_way_to_on_demand(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.no_capacity = true;
	for (int i = 0; i < 3; i++)
		world_answer(&world);
	world.fault.no_capacity = false;
	assert_int_equal(world.called.count, 1);
	assert_int_equal(world.called.at[0].capacity_type, CAPACITY_ON_DEMAND);
	assert_string_equal(world.called.at[0].overrides.at[0].launch_template, "forerun-web-od");
	while (world_answer(&world))
		;
	assert_int_equal(ec2_alive(&world), 1);
	world_free(&world);
}

static void attempts_are_bounded(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.no_capacity = true;
	while (world_answer(&world))
		;
	assert_int_equal(world.launch_calls, 6);
	assert_int_equal(world.instances.count, 0);
	assert_int_equal(world_decision(&world, 0)->failed, 3);
	assert_true(world_decision(&world, 0)->closed);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 6);
	assert_non_null(strstr(world_policy(&world)->held, "after a failure"));
	world_free(&world);
}

static void partial_fulfilment_is_completed(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.at_most = 1;
	while (world_answer(&world))
		;
	assert_int_equal(ec2_alive(&world), 3);
	assert_int_equal(world.launch_calls, 3);
	assert_int_equal(world_decision(&world, 0)->launched, 3);
	world_free(&world);
}

/* The same token and the same bytes until the outcome is known, with growing pauses. */
static void an_unknown_outcome_is_asked_again_with_the_same_token(void **state)
{
	struct world world;
	char token[64];

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	memcpy(token, world.called.at[0].token, sizeof(token));
	world.fault.lose_after = true;
	world_answer(&world);
	assert_int_equal(world.instances.count, 3);
	for (int i = 0; i < 30 && !world.called.count; i++)
		world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.called.count, 1);
	assert_string_equal(world.called.at[0].token, token);
	world.fault.lose_after = false;
	world_answer(&world);
	assert_int_equal(world.instances.count, 3);
	assert_int_equal(world.mismatches, 0);
	assert_int_equal(world_decision(&world, 0)->launched, 3);
	world_run(&world, 30 * NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

/* Refused after an answer that was lost: only the tags can tell, and they do. */
static void a_refusal_after_an_unknown_outcome_is_settled_by_tags(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.lose_after = true;
	world_answer(&world);
	world.fault = (struct fault){.refuse = true, .at_most = UINT32_MAX};
	for (int i = 0; i < 50; i++) {
		world_run(&world, 100 * NS_PER_MS);
		while (world_answer(&world))
			;
	}
	assert_int_equal(world_policy(&world)->replicas, 4);
	assert_int_equal(world_decision(&world, 0)->launched, 0);
	world_describe(&world);
	assert_int_equal(world_decision(&world, 0)->launched, 3);
	world_run(&world, 30 * NS_PER_S);
	assert_int_equal(world.instances.count, 3);
	world_free(&world);
}

static void a_throttled_call_keeps_its_token(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	world.fault.throttle = true;
	world_answer(&world);
	assert_int_equal(world.called.count, 0);
	world.fault.throttle = false;
	world_run(&world, 3 * NS_PER_S);
	assert_int_equal(world.called.count, 1);
	assert_true(str_ends(world.called.at[0].token, "-1"));
	core_totals(world.core, &totals);
	assert_int_equal(totals.throttles, 1);
	world_free(&world);
}

/* A pool that cannot be launched is not hammered. */
static void a_refused_pool_is_left_alone_for_longer_and_longer(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world.fault.refuse = true;
	for (int i = 0; i < 600; i++) {
		world_run(&world, 100 * NS_PER_MS);
		while (world_answer(&world))
			;
	}
	/* 5, 10, 20, 40 s */
	assert_in_range(world.launch_calls, 3, 5);
	assert_non_null(strstr(world_policy(&world)->held, "UnauthorizedOperation"));
	assert_int_equal(world.instances.count, 0);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_over_its_target_launches),
		cmocka_unit_test(overrides_are_sorted_by_price),
		cmocka_unit_test(a_standing_queue_launches_once),
		cmocka_unit_test(what_is_not_visible_yet_counts),
		cmocka_unit_test(a_terminated_instance_is_replaced_by_policy),
		cmocka_unit_test(an_instance_that_is_shown_again_counts_again),
		cmocka_unit_test(what_dies_before_it_serves_is_replaced_more_and_more_slowly),
		cmocka_unit_test(what_never_turns_up_is_given_up_after_minutes),
		cmocka_unit_test(lead_times_are_learned),
		cmocka_unit_test(an_instance_of_the_pool_is_no_base_replica),
		cmocka_unit_test(codes_of_no_capacity_are_known),
		cmocka_unit_test(no_capacity_is_retried_elsewhere_at_once),
		cmocka_unit_test(no_capacity_is_remembered_and_forgotten),
		cmocka_unit_test(spot_gives_way_to_on_demand),
		cmocka_unit_test(attempts_are_bounded),
		cmocka_unit_test(partial_fulfilment_is_completed),
		cmocka_unit_test(an_unknown_outcome_is_asked_again_with_the_same_token),
		cmocka_unit_test(a_refusal_after_an_unknown_outcome_is_settled_by_tags),
		cmocka_unit_test(a_throttled_call_keeps_its_token),
		cmocka_unit_test(a_refused_pool_is_left_alone_for_longer_and_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
