/* SPDX-License-Identifier: Apache-2.0 */
#include "core_world.h"

#include <cjson/cJSON.h>

static void full_story(struct world *world)
{
	world_new(world);
	world_queue(world, 35);
	world_send(world, FRAME_EDGE);
	world->fault.no_capacity = true;
	world_answer(world);
	world->fault.no_capacity = false;
	world_answer(world);
	for (int i = 0; i < 60; i++) {
		world_run(world, NS_PER_S);
		world_describe(world);
	}
}

static void expect(const struct text *text, const char *what)
{
	if (!strstr(text->data, what))
		fail_msg("\"%s\" is missing from:\n%s", what, text->data);
}

static void a_decision_says_why_what_and_when(void **state)
{
	_cleanup_text_ struct text text = {0};
	struct world world;

	(void)state;
	full_story(&world);
	decision_explain(world_decision(&world, 0), &text);
	expect(&text, "on an edge from the kernel");
	expect(&text, "1 before, 4 wanted by the policy, 4 decided");
	expect(&text, "forerun_accept_queue_depth: 35");
	expect(&text, "0.0.0.0:80 (nginx.service): 35");
	expect(&text, "needs-capacity: 35 wait, the CPU is busy");
	expect(&text, "average target 10");
	expect(&text, "launches per minute: 0 of 20 used, 3 wanted: not bound");
	expect(&text, "the queue crossed its threshold in the kernel");
	expect(&text, "       0.050  decided");
	expect(&text, "       0.150  CreateFleet on the wire: 3 spot, 3 overrides");
	expect(&text, "InsufficientInstanceCapacity");
	expect(&text, "request 11111111-2222-3333-4444-555555555555");
	expect(&text, "running");
	expect(&text, "serves");
	expect(&text, "launched  3, failed 0");
	world_free(&world);
}

/* Read back from the journal it says the same. */
static void a_replayed_decision_says_the_same(void **state)
{
	_cleanup_text_ struct text before = {0}, after = {0};
	struct world world;

	(void)state;
	full_story(&world);
	decision_explain(world_decision(&world, 0), &before);
	world_crash(&world);
	world.config.mode = MODE_OBSERVE;
	world_core(&world);
	world_replay(&world);
	decision_explain(world_decision(&world, 0), &after);
	assert_string_equal(before.data, after.data);
	world_free(&world);
}

static void a_decision_as_json_is_json(void **state)
{
	_cleanup_text_ struct text text = {0};
	struct world world;
	cJSON *json;

	(void)state;
	full_story(&world);
	decision_json(world_decision(&world, 0), &text);
	assert_null(strchr(text.data, '\n'));
	json = cJSON_Parse(text.data);
	assert_non_null(json);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "id")),
			    world_decision(&world, 0)->id);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "kind")), "scale-up");
	assert_float_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "edge_to_decision_ms")),
			   0.05, 1e-9);
	assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(json, "steps")) > 6);
	cJSON_Delete(json);
	world_free(&world);
}

static void the_time_from_edge_to_wire_is_told(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	full_story(&world);
	core_totals(world.core, &totals);
	assert_int_equal(totals.edge_to_sent_ns_last, 150 * NS_PER_US);
	assert_int_equal(totals.edges, 1);
	assert_int_equal(totals.instances_launched, 3);
	assert_int_equal(totals.instances_running, 3);
	world_free(&world);
}

/* Decisions that are over are let go at some point; those under way never. */
static void memory_of_decisions_is_bounded(void **state)
{
	struct world world;
	char first[48];
	size_t count = 0;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.limits.launches_per_minute = 100000;
	world_start(&world);
	world_run(&world, 300 * NS_PER_MS);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	memcpy(first, world_decision(&world, 0)->id, sizeof(first));
	for (int i = 0; i < 400; i++) {
		world.listeners[0].diagnosis = DIAGNOSIS_APP_STALLED;
		listener_set(&world.listeners[0], METRIC_ACCEPT_QUEUE_DEPTH, 50, 0);
		world_advance(&world, 61 * NS_PER_S);
		world_send(&world, FRAME_TICK);
		world_advance(&world, 100 * NS_PER_MS);
		world_send(&world, FRAME_TICK);
	}
	while (core_decision(world.core, count))
		count++;
	assert_int_equal(count, 256);
	assert_non_null(core_decision_by_id(world.core, first));
	assert_null(core_decision_by_id(world.core, "fr-none"));
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_decision_says_why_what_and_when),
		cmocka_unit_test(a_replayed_decision_says_the_same),
		cmocka_unit_test(a_decision_as_json_is_json),
		cmocka_unit_test(the_time_from_edge_to_wire_is_told),
		cmocka_unit_test(memory_of_decisions_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
