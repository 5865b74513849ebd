/* SPDX-License-Identifier: Apache-2.0 */
/* What was spent in a day, what limits are held against, and what EC2 says to a call that is not
 * made. */
#include "core_world.h"

#include <cjson/cJSON.h>

#include "core/core_private.h"

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

/* ---- the hours ---- */

#define HOUR_NS (3600 * NS_PER_S)

static int read_text(struct spend *spend, const char *text)
{
	cJSON *json = cJSON_Parse(text);
	int r = spend_read(spend, json);

	cJSON_Delete(json);
	return r;
}

static void a_day_slides_by_parts_of_an_hour(void **state)
{
	struct spend spend = {0};

	(void)state;
	/* 2 dollars in hour 100, 1 in hour 101. */
	assert_int_equal(read_text(&spend, "{\"wall_s\":367200,\"hour\":101,\"usd\":[1,2]}"), 0);
	assert_float_equal(spend_last_day(&spend, 102 * HOUR_NS), 3, 1e-9);
	assert_float_equal(spend_last_day(&spend, 124 * HOUR_NS), 3, 1e-9);
	assert_float_equal(spend_last_day(&spend, 124 * HOUR_NS + HOUR_NS / 4), 2.5, 1e-9);
	assert_float_equal(spend_last_day(&spend, 125 * HOUR_NS), 1, 1e-9);
	assert_float_equal(spend_last_day(&spend, 125 * HOUR_NS + HOUR_NS / 2), 0.5, 1e-9);
	assert_float_equal(spend_last_day(&spend, 126 * HOUR_NS), 0, 1e-9);
	assert_float_equal(spend_last_day(&spend, 1000000 * HOUR_NS), 0, 1e-9);
}

/* Two that tell of the same hours: the one that saw more of them is right. */
static void of_two_records_the_larger_counts(void **state)
{
	_cleanup_text_ struct text text = {0};
	struct spend spend = {0}, again = {0};

	(void)state;
	read_text(&spend, "{\"wall_s\":367200,\"hour\":101,\"usd\":[1,2]}");
	read_text(&spend, "{\"wall_s\":367000,\"hour\":101,\"usd\":[0.5,2.5,4]}");
	assert_float_equal(spend_last_day(&spend, 102 * HOUR_NS), 1 + 2.5 + 4, 1e-9);
	/* An older one does not bring back what is long ago. */
	read_text(&spend, "{\"wall_s\":1,\"hour\":70,\"usd\":[9,9,9]}");
	assert_float_equal(spend_last_day(&spend, 102 * HOUR_NS), 7.5, 1e-9);
	spend_write(&spend, &text);
	assert_int_equal(read_text(&again, text.data), 0);
	assert_float_equal(spend_last_day(&again, 102 * HOUR_NS), 7.5, 1e-9);
	assert_int_equal(again.wall_ns, 367200 * NS_PER_S);
}

static void a_record_that_makes_no_sense_is_refused(void **state)
{
	static const char *const WRONG[] = {
		"null",
		"[]",
		"{}",
		"{\"wall_s\":-1,\"hour\":1,\"usd\":[]}",
		"{\"wall_s\":1,\"hour\":1e300,\"usd\":[]}",
		"{\"wall_s\":1,\"hour\":\"1\",\"usd\":[]}",
		"{\"wall_s\":1,\"hour\":1,\"usd\":{}}",
	};
	struct spend spend = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(WRONG); i++)
		assert_int_equal(read_text(&spend, WRONG[i]), -EBADMSG);
	/* Wrong figures in a right one count as nothing, and a list without end is cut. */
	assert_int_equal(
		read_text(&spend, "{\"wall_s\":1,\"hour\":2,\"usd\":[-5,\"x\",null,1,1,1]}"), 0);
	assert_float_equal(spend_last_day(&spend, 3 * HOUR_NS), 0, 1e-9);
}

/* ---- dollars a day ---- */

static void the_dollars_of_a_day_are_not_passed(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	/* Three at 0.03 an hour, for ten hours and one more. */
	world.config.limits.usd_per_day = 1.0;
	world_start(&world);
	world_run(&world, NS_PER_S);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	answer_all(&world);
	assert_int_equal(ec2_alive(&world), 3);
	for (int i = 0; i < 10 * 60; i++) {
		world_advance(&world, 60 * NS_PER_S);
		world_describe(&world);
		core_tick(world.core, world.now);
	}
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_last_day, 0.9, 0.01);
	world_run(&world, NS_PER_S);
	world_queue(&world, 45);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(world_policy(&world)->held, "--max-usd-per-day 1: 0.89"));
	assert_true(brake_of(&world, BRAKE_USD_PER_DAY).holding);
	/* Also after a restart. */
	world_crash(&world);
	world_restart(&world);
	world_describe(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_last_day, 0.9, 0.01);
	/* A day later, with nothing that ran meanwhile. */
	vec_for_each (instance, &world.instances)
		instance->view.state = INSTANCE_TERMINATED;
	world_describe(&world);
	world_queue(&world, 0);
	for (int i = 0; i < 25; i++) {
		world_advance(&world, 3600 * NS_PER_S);
		core_tick(world.core, world.now);
	}
	world_describe(&world);
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_last_day, 0, 1e-9);
	world_run(&world, NS_PER_S);
	world_queue(&world, 15);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 2);
	assert_true(limit_said(&world, "usd per day: 0 spent in 24 h"));
	world_free(&world);
}

/* The next leader goes on from what the one before it wrote. */
static void what_was_spent_goes_with_the_lease(void **state)
{
	_cleanup_text_ struct text lease = {0};
	struct world world;
	struct core_totals totals;
	char reason[160] = "";

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	answer_all(&world);
	for (int i = 0; i < 120; i++) {
		world_advance(&world, 60 * NS_PER_S);
		world_describe(&world);
		core_tick(world.core, world.now);
	}
	core_state_write(world.core, false, &lease);
	world_crash(&world);
	vec_for_each (line, &world.journal)
		free(*line);
	vec_clear(&world.journal);
	world.config.standby = true;
	world_restart(&world);
	assert_int_equal(core_lead(world.core, 2, lease.data, world.now, reason), 0);
	world_describe(&world);
	core_tick(world.core, world.now);
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_last_day, 0.18, 0.005);
	world_free(&world);
}

/* A spot price that nobody knew yet, and for which the one on demand stood in. */
static void an_assumed_price_gives_way_to_the_one_that_is_known(void **state)
{
	struct offering offering =
		world_offering("m5.large", "us-east-1a", CAPACITY_SPOT, 2, 0.096);
	struct catalog catalog = {.offerings = &offering, .count = 1};
	struct core_totals totals;
	struct world world;

	(void)state;
	offering.price_assumed = true;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_core(&world);
	world_class(&world, true);
	core_catalog(world.core, &catalog);
	core_start(world.core, world.now);
	world_describe(&world);
	world_run(&world, NS_PER_S);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	answer_all(&world);
	world_describe(&world);
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_per_hour, 3 * 0.096, 1e-9);
	offering.price_assumed = false;
	offering.usd_per_hour = 0.03;
	core_catalog(world.core, &catalog);
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_per_hour, 3 * 0.03, 1e-9);
	/* Not known again: the last one that was stays. */
	offering.price_assumed = true;
	offering.usd_per_hour = 0.096;
	core_catalog(world.core, &catalog);
	core_totals(world.core, &totals);
	assert_float_equal(totals.usd_per_hour, 3 * 0.03, 1e-9);
	world_free(&world);
}

/* ---- what limits are held against ---- */

struct sums {
	double cpus, memory_mib, running, coming;
	uint32_t addresses;
};

static struct sums sums_of(struct core *core)
{
	struct sums sums = {.running = core->usd_running, .coming = core->usd_coming};

	for (size_t i = 0; i < core->pools_count; i++) {
		sums.cpus += core->pools[i].usage.cpus;
		sums.memory_mib += core->pools[i].usage.memory_mib;
	}
	vec_for_each (it, &core->subnets)
		sums.addresses += (*it)->taken;
	return sums;
}

/* They are kept up step by step: at any time they are what counting anew gives. */
static void sums_are_of_now(struct core *core)
{
	struct sums kept, anew;

	if (!core->counted)
		return;
	kept = sums_of(core);
	counts_old(core);
	counts_refresh(core);
	anew = sums_of(core);
	assert_float_equal(kept.cpus, anew.cpus, 1e-9);
	assert_float_equal(kept.memory_mib, anew.memory_mib, 1e-6);
	assert_float_equal(kept.running, anew.running, 1e-9);
	assert_float_equal(kept.coming, anew.coming, 1e-9);
	assert_int_equal(kept.addresses, anew.addresses);
}

static uint64_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static void step(struct world *world, uint64_t *seed)
{
	world->fault = (struct fault){.at_most = UINT32_MAX};
	switch (draw(seed) % 8) {
	case 0:
		world->fault.lose_after = true;
		break;
	case 1:
		world->fault.at_most = 1;
		break;
	case 2:
		world->fault.no_capacity = true;
		break;
	case 3:
		world->fault.throttle = true;
		break;
	case 4:
		if (world->instances.count)
			world->instances.at[draw(seed) % world->instances.count].view.state =
				INSTANCE_TERMINATED;
		break;
	default:
		break;
	}
	world_queue(world, (double)(draw(seed) % 90));
	world_run(world, 300 * NS_PER_MS + draw(seed) % 3 * NS_PER_S);
	sums_are_of_now(world->core);
	while (world->called.count && draw(seed) % 3) {
		world_answer(world);
		sums_are_of_now(world->core);
	}
	if (draw(seed) % 3 == 0)
		world_describe(world);
	sums_are_of_now(world->core);
	world_answer_terminate(world, 0);
	sums_are_of_now(world->core);
}

static void sums_are_what_counting_anew_gives(void **state)
{
	(void)state;
	for (uint64_t schedule = 1; schedule <= 20; schedule++) {
		uint64_t seed = schedule;
		struct world world;

		world_new(&world);
		for (int i = 0; i < 60; i++)
			step(&world, &seed);
		assert_true(world.launch_calls > 3);
		world_free(&world);
	}
}

/* ---- observe mode ---- */

static void observing(struct world *world)
{
	world_init(world, WORLD_YAML, WORLD_POOL);
	world->config.mode = MODE_OBSERVE;
	world_start(world);
	world_run(world, NS_PER_S);
	world_queue(world, 35);
	world_run(world, 10 * NS_PER_S);
}

static void answer_dry_run(struct world *world, const char *code, const char *text)
{
	struct launch_result result = {.outcome = LAUNCH_REFUSED, .request_id = "r-1"};

	snprintf(result.token, sizeof(result.token), "%s", world_decision(world, 0)->id);
	snprintf(result.error_code, sizeof(result.error_code), "%s", code);
	snprintf(result.error_text, sizeof(result.error_text), "%s", text);
	core_launched(world->core, &result, world->now);
}

static const char *last_step(const struct world *world)
{
	const struct decision *decision = world_decision(world, 0);

	return decision->steps.at[decision->steps.count - 1].text;
}

static void ec2_is_asked_once_whether_it_would_have_allowed_it(void **state)
{
	struct world world;

	(void)state;
	observing(&world);
	assert_int_equal(world.dry_runs, 1);
	assert_int_equal(world.launch_calls, 0);
	answer_dry_run(&world, "DryRunOperation", "Request would have succeeded");
	assert_string_equal(last_step(&world), "EC2 would have allowed it, request r-1");
	world_run(&world, 10 * NS_PER_S);
	assert_int_equal(world.dry_runs, 1);
	world_queue(&world, 45);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.dry_runs, 2);
	answer_dry_run(&world, "UnauthorizedOperation", "no ec2:CreateFleet");
	assert_string_equal(last_step(&world),
			    "EC2 would not have allowed it: UnauthorizedOperation: no "
			    "ec2:CreateFleet, request r-1");
	assert_int_equal(world_policy(&world)->replicas, 1);
	/* The journal tells of it, and of no order. */
	for (size_t i = 0; i < world.journal.count; i++)
		assert_null(strstr(world.journal.at[i], "\"t\":\"order\""));
	world_crash(&world);
	world_restart(&world);
	assert_non_null(strstr(last_step(&world), "UnauthorizedOperation"));
	world_free(&world);
}

/* The decision may come before anything is known of AWS. */
static void ec2_is_asked_when_it_can_be(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.mode = MODE_OBSERVE;
	world_core(&world);
	core_start(world.core, world.now);
	world_run(&world, NS_PER_S);
	world_queue(&world, 35);
	world_run(&world, 2 * NS_PER_S);
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_SCALE_UP);
	assert_int_equal(world.dry_runs, 0);
	world_class(&world, true);
	world_catalog(&world);
	world_run(&world, 2 * NS_PER_S);
	assert_int_equal(world.dry_runs, 1);
	answer_dry_run(&world, "DryRunOperation", "");
	assert_string_equal(last_step(&world), "EC2 would have allowed it, request r-1");
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_day_slides_by_parts_of_an_hour),
		cmocka_unit_test(of_two_records_the_larger_counts),
		cmocka_unit_test(a_record_that_makes_no_sense_is_refused),
		cmocka_unit_test(the_dollars_of_a_day_are_not_passed),
		cmocka_unit_test(what_was_spent_goes_with_the_lease),
		cmocka_unit_test(an_assumed_price_gives_way_to_the_one_that_is_known),
		cmocka_unit_test(sums_are_what_counting_anew_gives),
		cmocka_unit_test(ec2_is_asked_once_whether_it_would_have_allowed_it),
		cmocka_unit_test(ec2_is_asked_when_it_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
