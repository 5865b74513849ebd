/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet: hosts that say nothing, and hosts that say what cannot be. */
#include "core_fleet.h"

/* ---- silence ---- */

/* Ten hosts and two launched instances, of which only hosts report; little load. */
static void ten_and_two(struct world *world)
{
	fleet_new(world, 10, 5);
	run_hosts(world, 10, "web", 12, NS_PER_S);
	assert_int_equal(world->launch_calls, 1);
	assert_int_equal(world->called.at[0].count, 2);
	answer_all(world);
	for (int i = 0; i < 35; i++) {
		run_hosts(world, 10, "web", 12, NS_PER_S);
		world_describe(world);
	}
	assert_int_equal(status_of(world, WEB)->replicas, 12);
}

static void too_much_silence_freezes_scale_down(void **state)
{
	struct world world;
	struct brake_status brakes[BRAKE_COUNT];
	struct core_totals totals;

	(void)state;
	ten_and_two(&world);
	run_hosts(&world, 7, "web", 1, 120 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 0);
	assert_non_null(strstr(status_of(&world, WEB)->held,
			       "3 of 10 hosts of service web are silent, more than 20 %"));
	core_brakes(world.core, brakes);
	assert_true(brakes[BRAKE_SILENCE].holding);
	assert_int_equal(brakes[BRAKE_SILENCE].policies, 1);
	assert_int_equal(brakes[BRAKE_SILENCE].occasions, 1);
	core_totals(world.core, &totals);
	assert_int_equal(totals.held_silent, 1);
	/* They speak again. */
	run_hosts(&world, 10, "web", 1, 15 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	core_brakes(world.core, brakes);
	assert_false(brakes[BRAKE_SILENCE].holding);
	world_free(&world);
}

/* Below the share the silent one counts as a replica at its target. */
static void a_little_silence_counts_as_load(void **state)
{
	struct world world;

	(void)state;
	ten_and_two(&world);
	run_hosts(&world, 9, "web", 1, 8 * NS_PER_S);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 9 + 10, 1e-9);
	assert_non_null(strstr(status_of(&world, WEB)->readings[0].why, "1 of 10 hosts silent"));
	run_hosts(&world, 9, "web", 1, 30 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	world_free(&world);
}

/* All that speak are above their target: the silent one is taken to be so too. */
static void silence_never_makes_load_look_smaller(void **state)
{
	struct world world;

	(void)state;
	ten_and_two(&world);
	run_hosts(&world, 9, "web", 12, 60 * NS_PER_S);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 120, 1e-9);
	assert_int_equal(world.terminate_calls, 0);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

/* ---- one host ---- */

static void one_host_cannot_ask_for_more_than_its_replicas(void **state)
{
	struct world world;
	struct brake_status brakes[BRAKE_COUNT];
	struct core_totals totals;
	const struct decision *decision;

	(void)state;
	fleet_init(&world, TWO_YAML);
	world.config.limits.host_replicas = 4;
	world_start(&world);
	run_hosts(&world, 3, "web", 5, 5 * NS_PER_S);
	report(&world, "host-2", "web", 1e9);
	for (int i = 0; i < 5; i++) {
		run_hosts(&world, 2, "web", 5, 100 * NS_PER_MS);
		report(&world, "host-2", "web", 1e9);
	}
	/* 5 + 5 + 4 x 10 at 10 each. */
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 2);
	decision = world_decision(&world, 0);
	assert_non_null(strstr(decision->signals, "host-2 reports more than 4 replicas"));
	answer_all(&world);
	for (int i = 0; i < 50; i++) {
		run_hosts(&world, 2, "web", 5, 100 * NS_PER_MS);
		report(&world, "host-2", "web", 1e9);
	}
	assert_int_equal(world.launch_calls, 1);
	assert_non_null(strstr(status_of(&world, WEB)->held, "host-2 reports more than 4"));
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_HELD);
	core_brakes(world.core, brakes);
	assert_true(brakes[BRAKE_HOST_REPLICAS].holding);
	core_totals(world.core, &totals);
	assert_int_equal(totals.host_reports_bounded, 1);
	world_free(&world);
}

/* Nor by a trend: what it will have is bounded as what it has. */
static void one_host_cannot_drive_the_forecast(void **state)
{
	struct world world;

	(void)state;
	fleet_init(&world, TWO_YAML);
	world.config.limits.host_replicas = 6;
	world_start(&world);
	run_hosts(&world, 5, "web", 9, 5 * NS_PER_S);
	for (int i = 0; i < 60; i++) {
		struct frame frame;

		world.listeners[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_TREND] = 0;
		run_hosts(&world, 4, "web", 9, 100 * NS_PER_MS);
		frame = frame_of(&world, "host-4", "web", 30);
		world.listeners[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_TREND] = 1e6;
		core_frame(world.core, &frame, world.now);
		answer_all(&world);
	}
	/* 36 + 6 x 10 at 10 each; without the bound it would be four times what there is now. */
	assert_int_equal(status_of(&world, WEB)->replicas, 10);
	world_free(&world);
}

static const char CPU_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  maxReplicas: 1000\n"
	"  metrics:\n"
	"  - type: Resource\n"
	"    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}\n"
	"  behavior: {scaleUp: {policies: [{type: Pods, value: 1000, periodSeconds: 1}]}}\n"
	"---\n";

static void report_cpu(struct world *world, const char *host, double cores, double cpus)
{
	world->host_cpu_cores = cores;
	world->host_cpus = cpus;
	report(world, host, "web", 0);
}

/* Ten hosts that use 0.8 of 2 cores each, and one with figures of its own. */
static void cpu_fleet(struct world *world, double cores, double cpus)
{
	fleet_init(world, CPU_YAML);
	world->config.limits.host_replicas = 4;
	world_start(world);
	for (int i = 0; i < 50; i++) {
		world_advance(world, 100 * NS_PER_MS);
		for (int host = 0; host < 10; host++) {
			char name[32];

			snprintf(name, sizeof(name), "host-%d", host);
			report_cpu(world, name, 0.8, 2);
		}
		report_cpu(world, "liar", cores, cpus);
		core_tick(world->core, world->now);
	}
}

/* All of 11 at 40 %; one that claims a million cores in use may ask for four replicas at most. */
static void one_host_cannot_drive_a_utilisation(void **state)
{
	struct world world;

	(void)state;
	cpu_fleet(&world, 1e6, 1e6);
	assert_true(status_of(&world, WEB)->replicas <= 11 + 4);
	world_free(&world);
	/* One that says it is half idle and huge does not make the others' load look small. */
	cpu_fleet(&world, 0, 1e6);
	assert_true(status_of(&world, WEB)->readings[0].limit <= 20 + 4 * 2 + 1e-9);
	world_free(&world);
	/* An honest one that is as large as three. */
	cpu_fleet(&world, 2.4, 6);
	assert_float_equal(status_of(&world, WEB)->readings[0].limit, 26, 1e-9);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 10.4, 1e-9);
	assert_int_equal(world.launch_calls, 0);
	world_free(&world);
}

static void figures_that_no_host_can_have_count_as_unknown(void **state)
{
	static const double WRONG[] = {NAN, INFINITY, -INFINITY, -1e9};
	struct world world;

	(void)state;
	fleet_new(&world, 3, 5);
	for (size_t i = 0; i < ARRAY_SIZE(WRONG); i++) {
		run_hosts(&world, 3, "web", 5, 100 * NS_PER_MS);
		report(&world, "host-2", "web", WRONG[i]);
		world_advance(&world, 60 * NS_PER_MS);
		core_tick(world.core, world.now);
		assert_float_equal(status_of(&world, WEB)->readings[0].usage, 10, 1e-9);
	}
	assert_int_equal(world.launch_calls, 0);
	world_free(&world);
}

/* A host that has just started has no trend yet: that does not blind the service. */
static void a_new_host_does_not_take_the_forecast_away(void **state)
{
	struct world world;

	(void)state;
	fleet_new(&world, 2, 9);
	for (int i = 0; i < 40; i++) {
		struct frame frame;

		world_advance(&world, 100 * NS_PER_MS);
		for (int host = 0; host < 3; host++) {
			char name[32];

			snprintf(name, sizeof(name), "host-%d", host);
			frame = frame_of(&world, name, "web", 6);
			world.listeners[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_TREND] =
				host < 2 ? 0.1 : NAN;
			core_frame(world.core, &frame, world.now);
		}
	}
	/* 12 + 2 x 0.1 x 40 s, and 6. */
	assert_float_equal(status_of(&world, WEB)->readings[0].forecast, 26, 1e-6);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_much_silence_freezes_scale_down),
		cmocka_unit_test(a_little_silence_counts_as_load),
		cmocka_unit_test(silence_never_makes_load_look_smaller),
		cmocka_unit_test(one_host_cannot_ask_for_more_than_its_replicas),
		cmocka_unit_test(one_host_cannot_drive_the_forecast),
		cmocka_unit_test(one_host_cannot_drive_a_utilisation),
		cmocka_unit_test(figures_that_no_host_can_have_count_as_unknown),
		cmocka_unit_test(a_new_host_does_not_take_the_forecast_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
