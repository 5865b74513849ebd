/* SPDX-License-Identifier: Apache-2.0 */
/* What is acted on and what is not: first observations, stale signals, diagnoses, observe mode. */
#include "core_world.h"

static void nothing_is_done_on_the_first_observation(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_start(&world);
	world_queue(&world, 50);
	world_send(&world, FRAME_TICK);
	assert_int_equal(world.launch_calls, 0);
	assert_false(world_policy(&world)->observed);
	assert_non_null(strstr(world_policy(&world)->held, "first observation"));
	/* Two frames at nearly the same moment are one observation. */
	world_advance(&world, NS_PER_MS);
	world_send(&world, FRAME_EDGE);
	assert_int_equal(world.launch_calls, 0);
	core_totals(world.core, &totals);
	assert_int_equal(totals.held_first_observation, 1);
	world_advance(&world, 99 * NS_PER_MS);
	world_send(&world, FRAME_TICK);
	assert_int_equal(world.launch_calls, 1);
	assert_true(world_policy(&world)->observed);
	world_free(&world);
}

/* So is the first one after signals were away for longer than they are good. */
static void nothing_is_done_on_the_first_observation_after_a_gap(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_advance(&world, 10 * NS_PER_S);
	world_queue(&world, 35);
	world_send(&world, FRAME_TICK);
	assert_int_equal(world.launch_calls, 0);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void nothing_is_done_before_the_fleet_is_known(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world_core(&world);
	world_class(&world, true);
	world_catalog(&world);
	core_start(world.core, world.now);
	world_queue(&world, 50);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "EC2 has not yet said"));
	world_describe(&world);
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

/* An agent that fell silent: its last queue is no reason to buy. */
static void stale_signals_launch_nothing(void **state)
{
	struct world world;
	struct frame frame = {.kind = FRAME_TICK, .host = "here", .sequence = 99};

	(void)state;
	world_new(&world);
	world_queue(&world, 50);
	frame.indicators = world.listeners;
	frame.count = 1;
	frame.age_ns = 4 * NS_PER_S;
	world.listeners[0].time_ns = world.now.mono_ns;
	for (int i = 0; i < 10; i++) {
		world_advance(&world, 100 * NS_PER_MS);
		core_frame(world.core, &frame, world.now);
	}
	assert_int_equal(world.launch_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "stale"));
	assert_false(world_policy(&world)->readings[0].known);
	world_free(&world);
}

/* In one frame, a listener whose own value is old is left out of the sum. */
static void an_old_listener_in_a_fresh_frame_is_left_out(void **state)
{
	struct world world;
	struct frame frame = {.kind = FRAME_TICK, .host = "here", .sequence = 99};

	(void)state;
	world_new(&world);
	world_listener(&world, 80);
	world_queue(&world, 5);
	listener_set(&world.listeners[1], METRIC_ACCEPT_QUEUE_DEPTH, 500, 0);
	world.listeners[1].diagnosis = DIAGNOSIS_NEEDS_CAPACITY;
	frame.indicators = world.listeners;
	frame.count = 2;
	world.listeners[0].time_ns = world.now.mono_ns;
	world.listeners[1].time_ns = world.now.mono_ns - 10 * NS_PER_S;
	core_frame(world.core, &frame, world.now);
	assert_float_equal(world_policy(&world)->readings[0].usage, 5, 1e-9);
	assert_int_equal(world.launch_calls, 0);
	world_free(&world);
}

static void silence_does_not_scale_down(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	while (world_answer(&world))
		;
	world_run(&world, 40 * NS_PER_S);
	world_describe(&world);
	for (int i = 0; i < 600; i++) {
		world_advance(&world, NS_PER_S);
		core_tick(world.core, world.now);
	}
	assert_int_equal(world.terminate_calls, 0);
	assert_int_equal(ec2_alive(&world), 3);
	assert_non_null(strstr(world_policy(&world)->held, "no fresh signal"));
	world_free(&world);
}

/* One of two listeners fell silent: what is left reads low, and is not believed. */
static void a_signal_that_is_partly_stale_does_not_scale_down(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_listener(&world, 80);
	listener_set(&world.listeners[1], METRIC_ACCEPT_QUEUE_DEPTH, 20, 0);
	world_queue(&world, 15);
	world_run(&world, 300 * NS_PER_MS);
	while (world_answer(&world))
		;
	world_run(&world, 40 * NS_PER_S);
	world_describe(&world);
	world_queue(&world, 0);
	for (int i = 0; i < 1000; i++) {
		struct frame frame = {.kind = FRAME_TICK, .host = "here", .count = 2};

		world_advance(&world, 100 * NS_PER_MS);
		world.listeners[0].time_ns = world.now.mono_ns;
		frame.indicators = world.listeners;
		core_frame(world.core, &frame, world.now);
	}
	assert_int_equal(world.terminate_calls, 0);
	assert_non_null(strstr(world_policy(&world)->held, "no data is not zero"));
	world_free(&world);
}

static void diagnosed(struct world *world, enum diagnosis diagnosis, const char *reason)
{
	struct core_totals totals;
	const struct decision *decision;

	world_new(world);
	world_queue(world, 200);
	world->listeners[0].diagnosis = diagnosis;
	strcpy(world->listeners[0].reason, reason);
	world_run(world, 5 * NS_PER_S);
	assert_int_equal(world->launch_calls, 0);
	core_totals(world->core, &totals);
	assert_int_equal(totals.held_by_diagnosis, 1);
	decision = world_decision(world, 0);
	assert_int_equal(decision->kind, DECISION_HELD);
	assert_true(decision->closed);
	assert_non_null(strstr(decision->signals, reason));
	assert_non_null(strstr(decision->steps.at[0].text, reason));
	assert_null(core_decision(world->core, 1));
	assert_non_null(strstr(world_policy(world)->held, reason));
	world_free(world);
}

/* A full queue is not always a reason to buy: held, told once, with the listener's own reason. */
static void capacity_that_would_not_help_is_not_bought(void **state)
{
	struct world world;

	(void)state;
	diagnosed(&world, DIAGNOSIS_APP_STALLED, "nothing was taken for 3 s");
	diagnosed(&world, DIAGNOSIS_BACKLOG_TOO_SMALL, "the backlog of 16 overflows");
	diagnosed(&world, DIAGNOSIS_ATTACK_OR_SCAN, "SYNs without requests");
}

static void a_stalled_listener_does_not_hide_one_that_needs_capacity(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_listener(&world, 80);
	listener_set(&world.listeners[1], METRIC_ACCEPT_QUEUE_DEPTH, 500, 0);
	world.listeners[1].diagnosis = DIAGNOSIS_APP_STALLED;
	world_queue(&world, 25);
	world_run(&world, 300 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 2);
	world_free(&world);
}

static void a_target_exceeded_by_idle_listeners_launches_nothing(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 50);
	world.listeners[0].diagnosis = DIAGNOSIS_IDLE;
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_int_equal(world_decision(&world, 0)->kind, DECISION_HELD);
	world.listeners[0].diagnosis = DIAGNOSIS_OK;
	world_run(&world, 100 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void other_listeners_are_not_counted(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_listener(&world, 443);
	listener_set(&world.listeners[1], METRIC_ACCEPT_QUEUE_DEPTH, 500, 0);
	world.listeners[1].diagnosis = DIAGNOSIS_NEEDS_CAPACITY;
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	/* The same place in the frame, another listener: its labels are looked at anew. */
	world.listeners[1].id = 77;
	world.listeners[1].port = 80;
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void observe_mode_records_and_calls_nothing(void **state)
{
	struct world world;
	size_t decisions = 0;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	world.config.mode = MODE_OBSERVE;
	world_core(&world); /* no class, no catalog, no fleet: a laptop */
	core_start(world.core, world.now);
	world_run(&world, NS_PER_S);
	world_queue(&world, 35);
	world_send(&world, FRAME_EDGE);
	world_run(&world, 40 * NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_int_equal(world.terminate_calls, 0);
	while (core_decision(world.core, decisions))
		decisions++;
	assert_int_equal(decisions, 1);
	assert_int_equal(world_decision(&world, 0)->replicas_wanted, 4);
	assert_int_equal(world_decision(&world, 0)->mode, MODE_OBSERVE);
	assert_true(world_decision(&world, 0)->closed);
	vec_for_each (synced, &world.synced)
		assert_false(*synced);
	/* Less is not news, more is. */
	world_queue(&world, 25);
	world_run(&world, NS_PER_S);
	assert_null(core_decision(world.core, 1));
	world_queue(&world, 45);
	world_run(&world, NS_PER_S);
	assert_int_equal(world_decision(&world, 0)->replicas_wanted, 5);
	assert_null(core_decision(world.core, 2));
	world_free(&world);
}

static void observe_mode_does_not_ask_for_old_orders(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	world_crash(&world);
	world.config.mode = MODE_OBSERVE;
	world_restart(&world);
	world_run(&world, 60 * NS_PER_S);
	assert_int_equal(world.called.count, 0);
	world_free(&world);
}

static void the_youngest_go_first_and_only_after_stabilisation(void **state)
{
	struct world world;
	int synced = 0;

	(void)state;
	world_new(&world);
	world_queue(&world, 35);
	world_run(&world, 100 * NS_PER_MS);
	while (world_answer(&world))
		;
	for (int i = 0; i < 40; i++) {
		world_run(&world, NS_PER_S);
		world_describe(&world);
	}
	world_queue(&world, 15);
	world_run(&world, 58 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 0);
	world_run(&world, 4 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	assert_int_equal(world.terminating.at[0].instances.count, 2);
	assert_string_equal(world.terminating.at[0].instances.at[0].id,
			    world.instances.at[2].view.id);
	assert_string_equal(world.terminating.at[0].instances.at[1].id,
			    world.instances.at[1].view.id);
	for (size_t i = 0; i < world.journal.count; i++)
		if (strstr(world.journal.at[i], "\"t\":\"terminate\""))
			synced += world.synced.at[i];
	assert_int_equal(synced, 1);
	world_free(&world);
}

/* Nothing of anybody else's, not this host, and never below the base. */
static void only_its_own_instances_are_terminated(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, WORLD_YAML, WORLD_POOL);
	strcpy(world.config.instance_id, "i-00000000000000003");
	world_start(&world);
	for (int i = 0; i < 5; i++) {
		struct ec2_instance *instance = vec_push(&world.instances);

		snprintf(instance->view.id, sizeof(instance->view.id), "i-%017d", i);
		instance->view.owned = i != 4;
		strcpy(instance->view.pool, i == 1 ? "other" : "web");
		strcpy(instance->view.policy, i == 2 ? "other" : "web");
		instance->view.state = INSTANCE_RUNNING;
	}
	world_describe(&world);
	world_run(&world, 90 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	assert_int_equal(world.terminating.at[0].instances.count, 1);
	assert_string_equal(world.terminating.at[0].instances.at[0].id, "i-00000000000000000");
	world_free(&world);
}

static void a_termination_is_asked_for_until_it_is_known(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	while (world_answer(&world))
		;
	world_run(&world, 40 * NS_PER_S);
	world_describe(&world);
	world_queue(&world, 0);
	world_run(&world, 70 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	world_answer_terminate(&world, -EAGAIN);
	world_run(&world, 5 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 2);
	world_crash(&world);
	world_restart(&world);
	assert_int_equal(world.terminate_calls, 3);
	world_answer_terminate(&world, 0);
	world_describe(&world);
	world_run(&world, 100 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 3);
	assert_int_equal(ec2_alive(&world), 0);
	assert_int_equal(world_policy(&world)->replicas, 1);
	world_free(&world);
}

/* EC2 says of an instance that ended an hour ago that there is none of that id. */
static void a_termination_is_over_when_the_instance_is_gone(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_queue(&world, 15);
	world_run(&world, 100 * NS_PER_MS);
	while (world_answer(&world))
		;
	world_run(&world, 40 * NS_PER_S);
	world_describe(&world);
	world_queue(&world, 0);
	world_run(&world, 70 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	vec_clear(&world.instances);
	for (int i = 0; i < 90; i++) {
		world_answer_terminate(&world, -EAGAIN);
		world_run(&world, NS_PER_S);
		world_describe(&world);
	}
	assert_int_equal(world.terminating.count, 0);
	assert_true(world_decision(&world, 0)->closed);
	world.terminate_calls = 0;
	world_run(&world, 300 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 0);
	world_crash(&world);
	world_restart(&world);
	assert_int_equal(world.terminate_calls, 0);
	world_free(&world);
}

/* What was bought on the forecast is not given back at once because the present wants less. */
static void what_the_forecast_bought_stays_for_the_window(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	world_run(&world, 120 * NS_PER_S);
	world_queue(&world, 9);
	world.listeners[0].value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_TREND] = 5;
	world_run(&world, 2900 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 0);
	world_run(&world, 300 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 3); /* 4 x 9 / 10 */
	while (world_answer(&world))
		;
	world_queue(&world, 9);
	world_run(&world, 40 * NS_PER_S);
	world_describe(&world);
	world_run(&world, 10 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 0);
	world_run(&world, 15 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	world_free(&world);
}

static const char CPU_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  maxReplicas: 10\n"
	"  metrics:\n"
	"  - type: Resource\n"
	"    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}\n"
	"  - type: ContainerResource\n"
	"    containerResource:\n"
	"      name: cpu\n"
	"      container: nginx.service\n"
	"      target: {type: Utilization, averageUtilization: 50}\n"
	"---\n";

/* Nothing comes in at the listener that is looked at; the unit's CPU is in use all the same. */
static void a_busy_unit_with_an_idle_listener_scales(void **state)
{
	const char *yaml = strstr(CPU_YAML, "  - type: ContainerResource");
	_cleanup_text_ struct text policy = {0};
	struct world world;

	(void)state;
	text_add_bytes(&policy, CPU_YAML,
		       (size_t)(strstr(CPU_YAML, "  - type: Resource") - CPU_YAML));
	text_add(&policy, yaml);
	world_init(&world, policy.data, WORLD_POOL);
	listener_set(&world.listeners[0], METRIC_CPU_CORES, 1.5, 0);
	listener_set(&world.listeners[0], METRIC_CPU_UTILIZATION, 0.75, 0);
	world.listeners[0].diagnosis = DIAGNOSIS_IDLE;
	world_start(&world);
	world_run(&world, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 1); /* 0.75 at 0.5: two */
	world_free(&world);
}

static void cpu_of_host_and_unit_are_read(void **state)
{
	struct world world;
	const struct policy_status *status;

	(void)state;
	world_init(&world, CPU_YAML, WORLD_POOL);
	world.host_cpus = 4;
	world.host_cpu_cores = 1;
	/* Two listeners of one unit: its CPU counts once. */
	listener_set(&world.listeners[0], METRIC_CPU_CORES, 1.5, 0);
	listener_set(&world.listeners[0], METRIC_CPU_UTILIZATION, 0.75, 0);
	world_listener(&world, 443);
	world.listeners[1].owner = world.listeners[0].owner;
	listener_set(&world.listeners[1], METRIC_CPU_CORES, 1.5, 0);
	listener_set(&world.listeners[1], METRIC_CPU_UTILIZATION, 0.75, 0);
	world_start(&world);
	world_run(&world, 300 * NS_PER_MS);
	status = world_policy(&world);
	assert_float_equal(status->readings[0].usage, 1, 1e-9);
	assert_float_equal(status->readings[0].limit, 4, 1e-9);
	assert_float_equal(status->readings[1].usage, 1.5, 1e-9);
	assert_float_equal(status->readings[1].limit, 2, 1e-9);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 1);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_done_on_the_first_observation),
		cmocka_unit_test(nothing_is_done_on_the_first_observation_after_a_gap),
		cmocka_unit_test(nothing_is_done_before_the_fleet_is_known),
		cmocka_unit_test(stale_signals_launch_nothing),
		cmocka_unit_test(an_old_listener_in_a_fresh_frame_is_left_out),
		cmocka_unit_test(silence_does_not_scale_down),
		cmocka_unit_test(a_signal_that_is_partly_stale_does_not_scale_down),
		cmocka_unit_test(capacity_that_would_not_help_is_not_bought),
		cmocka_unit_test(a_stalled_listener_does_not_hide_one_that_needs_capacity),
		cmocka_unit_test(a_target_exceeded_by_idle_listeners_launches_nothing),
		cmocka_unit_test(other_listeners_are_not_counted),
		cmocka_unit_test(observe_mode_records_and_calls_nothing),
		cmocka_unit_test(observe_mode_does_not_ask_for_old_orders),
		cmocka_unit_test(the_youngest_go_first_and_only_after_stabilisation),
		cmocka_unit_test(only_its_own_instances_are_terminated),
		cmocka_unit_test(a_termination_is_asked_for_until_it_is_known),
		cmocka_unit_test(a_termination_is_over_when_the_instance_is_gone),
		cmocka_unit_test(what_the_forecast_bought_stays_for_the_window),
		cmocka_unit_test(cpu_of_host_and_unit_are_read),
		cmocka_unit_test(a_busy_unit_with_an_idle_listener_scales),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
