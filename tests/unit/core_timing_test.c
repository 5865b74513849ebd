/* SPDX-License-Identifier: Apache-2.0 */
/* Lead times and the stages of a launch, with agents that report and without. */
#include "core_world.h"

#include "core/core_private.h"

/* ---- what was learned, by itself ---- */

static struct core *bare_core(struct documents *documents)
{
	static const struct core_effects no_effects;
	struct core_config config = {.fleet = true};
	struct problems problems = {0};
	struct core *core;
	_cleanup_text_ struct text yaml = {0};

	core_limits_default(&config.limits);
	text_add(&yaml, WORLD_YAML);
	text_add(&yaml, WORLD_POOL);
	text_add(&yaml, WORLD_CLASS);
	memset(documents, 0, sizeof(*documents));
	assert_int_equal(documents_parse(documents, "w", yaml.data, yaml.length, &problems), 0);
	assert_int_equal(core_new(&config, documents, &no_effects, &core), 0);
	return core;
}

static void bare_free(struct core *core, struct documents *documents)
{
	core_free(core);
	documents_free(documents);
}

static void learn(struct core *core, const char *type, double seconds, size_t times)
{
	while (times--)
		lead_time_learn(core, &core->pools[0], type, seconds, PROOF_RESPONSE);
}

static double in_use(const struct core *core)
{
	return lead_time_seconds(core, &core->pools[0]);
}

static void the_configured_lead_time_holds_until_one_is_learned(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);

	(void)state;
	assert_float_equal(in_use(core), 40, 1e-9);
	learn(core, "m5.large", 25, 1);
	assert_float_equal(in_use(core), 25, 1e-9);
	bare_free(core, &documents);
}

static void three_launches_of_four_are_there_in_time(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);

	(void)state;
	learn(core, "m5.large", 20, 1);
	learn(core, "m5.large", 30, 1);
	learn(core, "m5.large", 50, 1);
	learn(core, "m5.large", 400, 1);
	assert_float_equal(in_use(core), 50, 1e-9);
	bare_free(core, &documents);
}

static void old_launches_are_forgotten(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);

	(void)state;
	learn(core, "m5.large", 90, LEAD_TIMES_KEPT);
	learn(core, "m5.large", 20, LEAD_TIMES_KEPT * 3 / 4 - 1);
	assert_float_equal(in_use(core), 90, 1e-9);
	learn(core, "m5.large", 20, 1);
	assert_float_equal(in_use(core), 20, 1e-9);
	bare_free(core, &documents);
}

/* c5 boots slower. What counts is how many of the newest launches were c5, not how many samples of
 * it there are. */
static void families_weigh_as_they_are_launched(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);

	(void)state;
	learn(core, "c5.xlarge", 80, 60);
	learn(core, "m5.large", 20, LEAD_TIMES_KEPT);
	assert_float_equal(in_use(core), 20, 1e-9);
	learn(core, "c5.xlarge", 80, LEAD_TIMES_KEPT / 4);
	assert_float_equal(in_use(core), 20, 1e-9);
	learn(core, "c5.xlarge", 80, 1);
	assert_float_equal(in_use(core), 80, 1e-9);
	bare_free(core, &documents);
}

static void many_families_stay_small(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);
	struct lead_view *leads;
	size_t count;
	char type[32];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(type, sizeof(type), "f%d.large", i);
		learn(core, type, 10 + i % 7, 1);
	}
	count = core_leads(core, &leads);
	assert_int_equal(count, 1 + LEAD_KINDS_MAX);
	assert_string_equal(leads[0].family, "");
	assert_string_equal(leads[1].family, "f0");
	assert_string_equal(leads[LEAD_KINDS_MAX].family, "other");
	assert_int_equal(leads[LEAD_KINDS_MAX].samples, LEAD_TIMES_KEPT);
	free(leads);
	bare_free(core, &documents);
}

/* The clock measures --serving-after; the first response measures the launch. */
static void what_the_clock_said_is_forgotten_once_a_response_proves_better(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);
	struct pool_state *pool = &core->pools[0];

	(void)state;
	for (int i = 0; i < 10; i++)
		lead_time_learn(core, pool, "m5.large", 55, PROOF_CLOCK);
	assert_float_equal(in_use(core), 55, 1e-9);
	learn(core, "m5.large", 31, 1);
	assert_float_equal(in_use(core), 31, 1e-9);
	lead_time_learn(core, pool, "m5.large", 55, PROOF_CLOCK);
	assert_float_equal(in_use(core), 31, 1e-9);
	bare_free(core, &documents);
}

static void what_is_left_is_told_from_those_that_took_longer(void **state)
{
	struct documents documents;
	struct core *core = bare_core(&documents);
	struct pool_state *pool = &core->pools[0];

	(void)state;
	assert_float_equal(lead_time_left(core, pool, "m5.large", 10), 30, 1e-9);
	assert_true(isnan(lead_time_left(core, pool, "m5.large", 41)));
	learn(core, "m5.large", 20, 3);
	learn(core, "m5.large", 60, 1);
	assert_float_equal(lead_time_left(core, pool, "m5.large", 5), 15, 1e-9);
	assert_float_equal(lead_time_left(core, pool, "m5.large", 25), 35, 1e-9);
	assert_true(isnan(lead_time_left(core, pool, "m5.large", 60)));
	/* Another family: the pool as a whole says. */
	assert_float_equal(lead_time_left(core, pool, "c5.large", 5), 15, 1e-9);
	bare_free(core, &documents);
}

/* ---- a fleet ---- */

static void report(struct world *world, const char *host, const char *instance_id,
		   uint64_t responses)
{
	struct frame frame = {.kind = FRAME_TICK,
			      .sequence = ++world->sequence,
			      .host_cpu_cores = NAN,
			      .indicators = world->listeners,
			      .count = world->listeners_count,
			      .services = "web"};

	snprintf(frame.host, sizeof(frame.host), "%s", host);
	snprintf(frame.instance_id, sizeof(frame.instance_id), "%s", instance_id);
	world->listeners[0].time_ns = world->now.mono_ns;
	world->listeners[0].responses = responses;
	core_frame(world->core, &frame, world->now);
}

/* So many frames of the first host, 100 ms apart, with a queue of that depth. */
static void frames(struct world *world, double depth, unsigned count)
{
	while (count--) {
		world_advance(world, 100 * NS_PER_MS);
		world_queue(world, depth);
		report(world, "first", "", 1);
		core_tick(world->core, world->now);
	}
}

/* EC2 is asked once a second. */
static void pass(struct world *world, double depth, unsigned seconds)
{
	while (seconds--) {
		frames(world, depth, 10);
		world_describe(world);
	}
}

static void fleet_new(struct world *world)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world->config.fleet = true;
	world_start(world);
	pass(world, 5, 3); /* its hosts have joined by then */
}

static const char *launch_one(struct world *world)
{
	frames(world, 15, 1);
	while (world_answer(world))
		;
	assert_int_equal(world->instances.count, 1);
	return world->instances.at[0].view.id;
}

static struct core_times times_of(const struct world *world)
{
	struct core_times times;

	core_times(world->core, world->now, &times);
	return times;
}

static bool has_step(const struct world *world, const char *text)
{
	vec_for_each (step, &world_decision(world, 0)->steps)
		if (strstr(step->text, text))
			return true;
	return false;
}

static void a_response_makes_an_instance_serve(void **state)
{
	struct world world;
	struct core_times times;
	struct core_totals totals;
	const char *id;

	(void)state;
	fleet_new(&world);
	id = launch_one(&world);
	pass(&world, 5, 33);
	report(&world, "second", id, 0);
	assert_true(has_step(&world, "agent connected"));
	pass(&world, 5, 4);
	report(&world, "second", id, 0);
	assert_int_equal(times_of(&world).served, 0);
	report(&world, "second", id, 1);
	assert_true(has_step(&world, "serves: its first response"));
	assert_true(world_decision(&world, 0)->closed);

	times = times_of(&world);
	assert_int_equal(times.latency.count, 1);
	assert_true(times.latency_p50 > 36 && times.latency_p50 < 40);
	assert_float_equal(times.share_over_15, 1, 1e-9);
	assert_float_equal(times.share_over_60, 0, 1e-9);
	assert_true(times.stages[STAGE_CALLED].sum_seconds < 0.01);
	assert_true(times.stages[STAGE_RUNNING].sum_seconds > 28);
	assert_true(times.stages[STAGE_CONNECTED].sum_seconds > 1);
	assert_float_equal(times.stages[STAGE_SERVING].sum_seconds, 4, 0.1);
	core_totals(world.core, &totals);
	assert_true(totals.lead_time_seconds > 36 && totals.lead_time_seconds < 40);
	/* m5.large spot at 0.03 an hour for some 38 s. */
	assert_float_equal(times.usd_per_replica, 0.03 * 38 / 3600, 0.03 * 2 / 3600);
	world_free(&world);
}

static void an_agent_without_traffic_serves_in_the_end_and_teaches_nothing(void **state)
{
	struct world world;
	struct core_totals totals;
	const char *id;

	(void)state;
	fleet_new(&world);
	id = launch_one(&world);
	pass(&world, 8, 33);
	for (int i = 0; i < 59; i++) {
		report(&world, "second", id, 0);
		pass(&world, 8, 1);
	}
	assert_int_equal(times_of(&world).served, 0);
	pass(&world, 8, 2);
	assert_int_equal(times_of(&world).served, 1);
	assert_int_equal(times_of(&world).latency.count, 0);
	core_totals(world.core, &totals);
	assert_float_equal(totals.lead_time_seconds, 40, 1e-9);
	assert_true(world_decision(&world, 0)->closed);
	world_free(&world);
}

static void without_agents_the_clock_says_who_serves(void **state)
{
	struct world world;

	(void)state;
	fleet_new(&world);
	launch_one(&world);
	pass(&world, 5, 49);
	assert_int_equal(times_of(&world).served, 0);
	pass(&world, 5, 4);
	assert_int_equal(times_of(&world).served, 1);
	assert_int_equal(times_of(&world).stages[STAGE_CONNECTED].count, 0);
	assert_float_equal(times_of(&world).stages[STAGE_SERVING].sum_seconds, 20, 0.2);
	world_free(&world);
}

static void what_was_learned_outlives_a_restart(void **state)
{
	struct world world;
	struct core_times before, after;
	struct core_totals totals;
	const char *id;

	(void)state;
	fleet_new(&world);
	id = launch_one(&world);
	pass(&world, 5, 33);
	report(&world, "second", id, 0);
	pass(&world, 5, 2);
	report(&world, "second", id, 9);
	before = times_of(&world);
	world_crash(&world);
	world_restart(&world);
	after = times_of(&world);
	assert_int_equal(after.latency.count, 1);
	assert_float_equal(after.latency_p95, before.latency_p95, 1e-6);
	assert_float_equal(after.usd_per_replica, before.usd_per_replica, 1e-6);
	for (int s = 0; s < STAGE_COUNT; s++)
		assert_float_equal(after.stages[s].sum_seconds, before.stages[s].sum_seconds, 1e-5);
	core_totals(world.core, &totals);
	assert_int_equal(totals.lead_times_learned, 1);
	assert_true(totals.lead_time_seconds > 34 && totals.lead_time_seconds < 38);
	assert_true(world.core->pools[0].agents_known);
	world_free(&world);
}

static void lines_of_before_are_still_read(void **state)
{
	static const char line[] =
		"{\"v\":1,\"t\":\"lead\",\"wall_us\":5,\"pool\":\"web\",\"seconds\":33}";
	struct documents documents;
	struct core *core = bare_core(&documents);
	char reason[160];

	(void)state;
	assert_int_equal(core_replay(core, line, strlen(line), reason), 0);
	assert_float_equal(in_use(core), 33, 1e-9);
	bare_free(core, &documents);
}

/* On another machine, with a journal of its own. */
static void a_successor_knows_the_lead_times_of_the_leader_before(void **state)
{
	struct documents documents, others;
	struct core *before = bare_core(&documents), *after = bare_core(&others);
	struct moment now = {1000 * NS_PER_S, 1700000000 * NS_PER_S};
	_cleanup_text_ struct text record = {0}, again = {0};
	char reason[160];

	(void)state;
	learn(before, "m5.large", 23, 4);
	core_state_write(before, false, &record);
	assert_int_equal(core_lead(after, 2, record.data, now, reason), 0);
	assert_float_equal(in_use(after), 23, 1e-9);
	core_state_write(after, false, &again);
	assert_non_null(strstr(again.data, "\"leads\":{\"web\":23.0}"));
	learn(after, "m5.large", 31, 1);
	assert_float_equal(in_use(after), 31, 1e-9);
	bare_free(before, &documents);
	bare_free(after, &others);
}

static void lead_times_that_make_no_sense_are_left_out(void **state)
{
	static const char *const records[] = {
		"{\"v\":1,\"lanes\":{}}",
		"{\"v\":1,\"lanes\":{},\"leads\":[7,8]}",
		"{\"v\":1,\"lanes\":{},\"leads\":{\"web\":-1}}",
		"{\"v\":1,\"lanes\":{},\"leads\":{\"web\":1e99}}",
		"{\"v\":1,\"lanes\":{},\"leads\":{\"web\":\"x\",\"other\":5}}",
	};
	struct moment now = {1000 * NS_PER_S, 1700000000 * NS_PER_S};
	char reason[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		struct documents documents;
		struct core *core = bare_core(&documents);

		assert_int_equal(core_lead(core, 2, records[i], now, reason), 0);
		assert_float_equal(in_use(core), 40, 1e-9);
		bare_free(core, &documents);
	}
}

static void an_interrupted_spot_instance_is_counted_once(void **state)
{
	struct world world;
	struct core_times times;

	(void)state;
	fleet_new(&world);
	launch_one(&world);
	pass(&world, 15, 3600);
	assert_int_equal(times_of(&world).spot_interruptions, 0);
	world.instances.at[0].view.state = INSTANCE_TERMINATED;
	pass(&world, 5, 5);
	times = times_of(&world);
	assert_int_equal(times.spot_interruptions, 1);
	assert_float_equal(times.spot_hours, 1, 0.01);
	assert_float_equal(times.interruptions_per_hour, 1, 0.01);
	world_crash(&world);
	world_restart(&world);
	times = times_of(&world);
	assert_int_equal(times.spot_interruptions, 1);
	assert_float_equal(times.spot_hours, 1, 0.01);
	world_free(&world);
}

static void what_is_on_its_way_says_how_long(void **state)
{
	struct world world;
	struct coming_view coming;
	struct node_view node;
	struct pool_view *pools;
	size_t at = 0;

	(void)state;
	fleet_new(&world);
	pass(&world, 15, 1);
	assert_true(core_coming(world.core, &at, world.now, &coming));
	assert_int_equal(coming.stage, STAGE_CALLED);
	assert_int_equal(coming.count, 1);
	assert_true(coming.expected_seconds > 38 && coming.expected_seconds <= 40);
	assert_false(core_coming(world.core, &at, world.now, &coming));
	while (world_answer(&world))
		;
	pass(&world, 5, 32);
	at = 0;
	assert_true(core_coming(world.core, &at, world.now, &coming));
	assert_int_equal(coming.stage, STAGE_RUNNING);
	assert_true(coming.expected_seconds > 5 && coming.expected_seconds < 9);
	at = 0;
	assert_true(core_node(world.core, &at, world.now, &node));
	assert_string_equal(node.instance_type, "m5.large");
	assert_int_equal(node.agent, AGENT_NONE);
	assert_false(core_node(world.core, &at, world.now, &node));
	assert_int_equal(core_pools(world.core, &pools), 1);
	assert_int_equal(pools[0].running, 1);
	assert_float_equal(pools[0].cpus, 2, 1e-9);
	assert_float_equal(pools[0].usd_per_hour, 0.03, 1e-9);
	assert_true(pools[0].ready);
	free(pools);
	world_free(&world);
}

/* A core that starts with an empty disk, or takes over: how long they have served nobody here
 * knows.
 */
static void what_another_launched_is_neither_timed_nor_paid(void **state)
{
	struct world world;
	struct core_times times;
	const char *id;

	(void)state;
	fleet_new(&world);
	id = launch_one(&world);
	pass(&world, 15, 3600);
	world_crash(&world);
	vec_for_each (line, &world.journal)
		free(*line);
	vec_clear(&world.journal);
	vec_clear(&world.synced);
	world_restart(&world);
	pass(&world, 15, 2);
	report(&world, "second", id, 7);
	pass(&world, 15, 1);
	times = times_of(&world);
	assert_int_equal(times.served, 0);
	assert_int_equal(times.latency.count, 0);
	assert_float_equal(times.usd_before_serving, 0, 1e-12);
	assert_true(times.spot_hours < 0.01);
	assert_float_equal(in_use(world.core), 40, 1e-9);
	world_free(&world);
}

/* An empty disk, and an instance of the lane's third launch is there: what of the first two? */
static void a_lane_that_is_held_is_named(void **state)
{
	struct world world;
	struct lane_view lane;
	size_t at = 0;
	char *token;

	(void)state;
	fleet_new(&world);
	launch_one(&world);
	pass(&world, 15, 1);
	assert_false(core_lane_held(world.core, &at, world.now, &lane));
	world_crash(&world);
	vec_for_each (line, &world.journal)
		free(*line);
	vec_clear(&world.journal);
	vec_clear(&world.synced);
	token = world.instances.at[0].view.token;
	snprintf(strrchr(token, '-'), 3, "-3");
	world.instances.at[0].view.sequence = 3;
	world_restart(&world);
	pass(&world, 15, 1);
	at = 0;
	assert_true(core_lane_held(world.core, &at, world.now, &lane));
	assert_string_equal(lane.policy, "web");
	assert_string_equal(lane.pool, "web");
	assert_true(strlen(lane.why) > 20);
	assert_false(core_lane_held(world.core, &at, world.now, &lane));
	pass(&world, 15, 310);
	at = 0;
	assert_false(core_lane_held(world.core, &at, world.now, &lane));
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_configured_lead_time_holds_until_one_is_learned),
		cmocka_unit_test(three_launches_of_four_are_there_in_time),
		cmocka_unit_test(old_launches_are_forgotten),
		cmocka_unit_test(families_weigh_as_they_are_launched),
		cmocka_unit_test(many_families_stay_small),
		cmocka_unit_test(what_the_clock_said_is_forgotten_once_a_response_proves_better),
		cmocka_unit_test(what_is_left_is_told_from_those_that_took_longer),
		cmocka_unit_test(a_response_makes_an_instance_serve),
		cmocka_unit_test(an_agent_without_traffic_serves_in_the_end_and_teaches_nothing),
		cmocka_unit_test(without_agents_the_clock_says_who_serves),
		cmocka_unit_test(what_was_learned_outlives_a_restart),
		cmocka_unit_test(lines_of_before_are_still_read),
		cmocka_unit_test(a_successor_knows_the_lead_times_of_the_leader_before),
		cmocka_unit_test(lead_times_that_make_no_sense_are_left_out),
		cmocka_unit_test(an_interrupted_spot_instance_is_counted_once),
		cmocka_unit_test(what_is_on_its_way_says_how_long),
		cmocka_unit_test(a_lane_that_is_held_is_named),
		cmocka_unit_test(what_another_launched_is_neither_timed_nor_paid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
