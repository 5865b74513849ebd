/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet: whose frames count for which policy, who is a replica, whose clock is believed. */
#include "core_fleet.h"

/* ---- services ---- */

static void a_frame_counts_only_for_the_policies_of_its_services(void **state)
{
	struct world world;

	(void)state;
	fleet_new(&world, 1, 5);
	run_hosts(&world, 1, "web", 25, NS_PER_S);
	assert_int_equal(world.launch_calls, 1);
	assert_string_equal(world.called.at[0].policy, "web-policy");
	assert_int_equal(world.called.at[0].count, 2);
	assert_false(status_of(&world, API)->readings[0].known);
	assert_non_null(strstr(status_of(&world, API)->held, "no host of service api reports"));
	assert_int_equal(status_of(&world, API)->replicas, 0);
	/* A host may run both. */
	report(&world, "both", "api,web", 3);
	run_hosts(&world, 1, "web", 25, 100 * NS_PER_MS);
	assert_float_equal(status_of(&world, API)->readings[0].usage, 3, 1e-9);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 28, 1e-9);
	world_free(&world);
}

static void a_host_that_names_no_service_has_the_one_of_its_tags(void **state)
{
	struct world world;
	struct instance_view views[] = {
		{.id = "i-0a", .state = INSTANCE_RUNNING, .service = "api"},
		{.id = "i-0b",
		 .state = INSTANCE_RUNNING,
		 .owned = true,
		 .policy = "web-policy",
		 .pool = "web"},
		{.id = "i-0c", .state = INSTANCE_RUNNING, .service = "nobody-scales-it"},
	};
	struct fleet_view fleet = {views, ARRAY_SIZE(views), 0};

	(void)state;
	fleet_init(&world, TWO_YAML);
	world_start(&world);
	report_instance(&world, "a", "i-0a", 1);
	assert_false(status_of(&world, API)->readings[0].known);
	fleet.asked_ns = world.now.mono_ns;
	core_fleet(world.core, &fleet, world.now);
	for (int i = 0; i < 3; i++) {
		world_advance(&world, 100 * NS_PER_MS);
		report_instance(&world, "a", "i-0a", 1);
		report_instance(&world, "b", "i-0b", 2);
		report_instance(&world, "c", "i-0c", 4);
	}
	core_tick(world.core, world.now);
	assert_float_equal(status_of(&world, API)->readings[0].usage, 1, 1e-9);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 2, 1e-9);
	world_free(&world);
}

static void hosts_are_replicas_and_own_instances_count_once(void **state)
{
	struct world world;

	(void)state;
	fleet_new(&world, 3, 5);
	assert_int_equal(status_of(&world, WEB)->replicas, 3);
	assert_int_equal(status_of(&world, WEB)->ready, 3);
	run_hosts(&world, 3, "web", 13, NS_PER_S); /* 39 at 10 each: one more */
	assert_int_equal(world.launch_calls, 1);
	answer_all(&world);
	run_hosts(&world, 3, "web", 13, NS_PER_S);
	assert_int_equal(status_of(&world, WEB)->replicas, 4);
	assert_int_equal(status_of(&world, WEB)->ready, 3);
	/* Its agent joins: the same replica. */
	for (int i = 0; i < 3; i++) {
		struct frame frame = frame_of(&world, "new", "web", 0);

		world_advance(&world, 100 * NS_PER_MS);
		snprintf(frame.instance_id, sizeof(frame.instance_id), "%s",
			 world.instances.at[0].view.id);
		core_frame(world.core, &frame, world.now);
	}
	world_describe(&world);
	run_hosts(&world, 3, "web", 13, NS_PER_S);
	assert_int_equal(status_of(&world, WEB)->replicas, 4);
	assert_int_equal(world.launch_calls, 1);
	world_free(&world);
}

static void a_host_is_forgotten_after_ten_minutes_of_silence(void **state)
{
	struct world world;
	struct core_totals totals;

	(void)state;
	fleet_new(&world, 2, 5);
	run_hosts(&world, 1, "web", 5, 590 * NS_PER_S);
	assert_int_equal(status_of(&world, WEB)->replicas, 2);
	core_totals(world.core, &totals);
	assert_int_equal(totals.hosts, 2);
	assert_int_equal(totals.hosts_silent, 1);
	run_hosts(&world, 1, "web", 5, 20 * NS_PER_S);
	assert_int_equal(status_of(&world, WEB)->replicas, 1);
	core_totals(world.core, &totals);
	assert_int_equal(totals.hosts, 1);
	assert_int_equal(totals.hosts_forgotten, 1);
	world_free(&world);
}

static void a_host_whose_instance_ended_is_none_any_more(void **state)
{
	struct world world;
	struct instance_view view = {.id = "i-0a", .state = INSTANCE_RUNNING, .service = "web"};
	struct fleet_view fleet = {&view, 1, 0};

	(void)state;
	fleet_new(&world, 1, 5);
	core_fleet(world.core, &fleet, world.now);
	report_instance(&world, "a", "i-0a", 1);
	run_hosts(&world, 1, "web", 5, 100 * NS_PER_MS);
	assert_int_equal(status_of(&world, WEB)->replicas, 2);
	view.state = INSTANCE_SHUTTING_DOWN;
	fleet.asked_ns = world.now.mono_ns;
	core_fleet(world.core, &fleet, world.now);
	/* It still speaks for a while, and counts no more. */
	report_instance(&world, "a", "i-0a", 1);
	run_hosts(&world, 1, "web", 5, 100 * NS_PER_MS);
	assert_int_equal(status_of(&world, WEB)->replicas, 1);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 5, 1e-9);
	world_free(&world);
}

/* ---- the start ---- */

static const char MINIMUM_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  minReplicas: 4\n"
	"  maxReplicas: 10\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric: {name: forerun_accept_queue_depth, selector: {matchLabels: {port: "
	"\"80\"}}}\n"
	"      target: {type: AverageValue, averageValue: \"10\"}\n"
	"---\n";

/* Hosts come back one by one after a core was restarted: those that are not back yet are not
 * missing. */
static void nothing_is_launched_while_hosts_still_join(void **state)
{
	struct world world;

	(void)state;
	fleet_init(&world, MINIMUM_YAML);
	world_start(&world);
	for (unsigned hosts = 1; hosts <= 4; hosts++) {
		run_hosts(&world, hosts, "web", 5, 1500 * NS_PER_MS);
		assert_int_equal(world.launch_calls, 0);
		if (hosts < 4)
			assert_non_null(strstr(status_of(&world, WEB)->held, "still join"));
	}
	run_hosts(&world, 4, "web", 5, 5 * NS_PER_S);
	assert_int_equal(world.launch_calls, 0);
	assert_int_equal(status_of(&world, WEB)->replicas, 4);
	world_free(&world);
}

static void what_is_missing_when_all_have_joined_is_launched(void **state)
{
	struct world world;

	(void)state;
	fleet_init(&world, MINIMUM_YAML);
	world_start(&world);
	run_hosts(&world, 3, "web", 5, 1900 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 0);
	run_hosts(&world, 3, "web", 5, 300 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world.called.at[0].count, 1);
	world_free(&world);
}

/* ---- clocks and order ---- */

static void no_clock_of_another_host_is_believed(void **state)
{
	struct world world;
	struct frame frame;

	(void)state;
	fleet_new(&world, 1, 5);
	for (int i = 0; i < 3; i++) {
		world_advance(&world, 100 * NS_PER_MS);
		frame = frame_of(&world, "ahead", "web", 15);
		world.listeners[0].time_ns = world.now.mono_ns + 1000000 * NS_PER_S;
		frame.age_ns = NS_PER_MS;
		core_frame(world.core, &frame, world.now);
		frame = frame_of(&world, "behind", "web", 15);
		world.listeners[0].time_ns = 1;
		frame.age_ns = NS_PER_MS;
		core_frame(world.core, &frame, world.now);
	}
	world_advance(&world, 100 * NS_PER_MS);
	frame.kind = FRAME_EDGE;
	frame.edge_ns = 5;
	frame.age_ns = 2 * NS_PER_MS;
	core_frame(world.core, &frame, world.now);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 35, 1e-9);
	assert_true(status_of(&world, WEB)->readings[0].age_ns < 500 * NS_PER_MS);
	world_free(&world);
}

static void an_edge_says_when_it_was_by_the_core_s_clock(void **state)
{
	struct world world;
	struct frame frame;

	(void)state;
	fleet_new(&world, 1, 5);
	frame = frame_of(&world, "host-0", "web", 25);
	frame.kind = FRAME_EDGE;
	frame.edge_ns = 77;
	frame.age_ns = 2 * NS_PER_MS;
	core_frame(world.core, &frame, world.now);
	assert_int_equal(world.launch_calls, 1);
	assert_int_equal(world_decision(&world, 0)->edge_ns, world.now.mono_ns - 2 * NS_PER_MS);
	world_free(&world);
}

static void ticks_are_gathered_and_edges_are_not(void **state)
{
	struct world world;
	struct core_totals before, after;
	uint64_t due_ns;
	struct frame frame;

	(void)state;
	fleet_new(&world, 1, 5);
	world_advance(&world, 60 * NS_PER_MS);
	report(&world, "host-0", "web", 5);
	core_totals(world.core, &before);
	world_advance(&world, 10 * NS_PER_MS);
	frame = frame_of(&world, "host-0", "web", 25);
	due_ns = core_frame(world.core, &frame, world.now);
	core_totals(world.core, &after);
	assert_int_equal(after.evaluations, before.evaluations);
	assert_int_equal(due_ns, world.now.mono_ns + 40 * NS_PER_MS);
	assert_int_equal(world.launch_calls, 0);
	world_advance(&world, 40 * NS_PER_MS);
	core_tick(world.core, world.now);
	assert_int_equal(world.launch_calls, 1);
	/* An edge does not wait. */
	answer_all(&world);
	world_advance(&world, NS_PER_MS);
	frame = frame_of(&world, "host-0", "web", 45);
	frame.kind = FRAME_EDGE;
	core_frame(world.core, &frame, world.now);
	assert_int_equal(world.launch_calls, 2);
	world_free(&world);
}

static void listeners_may_come_in_any_order(void **state)
{
	struct world world;

	(void)state;
	fleet_init(&world, TWO_YAML);
	for (uint16_t port = 1000; port < 1004; port++)
		world_listener(&world, port);
	world_start(&world);
	for (int i = 0; i < 30; i++) {
		size_t a = (size_t)i % 5, b = (size_t)(i * 3 + 1) % 5;
		struct indicator kept;
		struct frame frame = frame_of(&world, "host-0", "web", 5);

		kept = world.listeners[a];
		world.listeners[a] = world.listeners[b];
		world.listeners[b] = kept;
		for (size_t n = 0; n < 5; n++)
			listener_set(&world.listeners[n], METRIC_ACCEPT_QUEUE_DEPTH,
				     world.listeners[n].port == 80 ? 7 : 1000, 0);
		world_advance(&world, 100 * NS_PER_MS);
		core_frame(world.core, &frame, world.now);
		assert_float_equal(status_of(&world, WEB)->readings[0].usage, 7, 1e-9);
	}
	world_free(&world);
}

static const char ONE_HOST_YAML[] =
	"apiVersion: autoscaling/v2\n"
	"kind: HorizontalPodAutoscaler\n"
	"metadata: {name: web}\n"
	"spec:\n"
	"  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}\n"
	"  maxReplicas: 10\n"
	"  metrics:\n"
	"  - type: External\n"
	"    external:\n"
	"      metric:\n"
	"        name: forerun_accept_queue_depth\n"
	"        selector: {matchLabels: {host: host-1}}\n"
	"      target: {type: Value, value: \"10\"}\n"
	"---\n";

static void a_selector_may_name_hosts(void **state)
{
	struct world world;

	(void)state;
	fleet_init(&world, ONE_HOST_YAML);
	world_start(&world);
	for (int i = 0; i < 3; i++) {
		world_advance(&world, 100 * NS_PER_MS);
		report(&world, "host-0", "web", 3);
		report(&world, "host-1", "web", 4);
	}
	core_tick(world.core, world.now);
	world_advance(&world, 100 * NS_PER_MS);
	core_tick(world.core, world.now);
	assert_float_equal(status_of(&world, WEB)->readings[0].usage, 4, 1e-9);
	world_free(&world);
}

/* What it recommended to itself while it stood by and knew nothing is no reason to shrink. */
static void who_takes_the_lead_shrinks_nothing_before_the_window_has_passed(void **state)
{
	struct world world;

	(void)state;
	fleet_new(&world, 1, 5);
	run_hosts(&world, 1, "web", 30, NS_PER_S);
	answer_all(&world);
	assert_int_equal(ec2_alive(&world), 2);
	world_crash(&world);
	world.config.standby = true;
	world.config.limits.visible_within_ns = NS_PER_S;
	world_restart(&world);
	run_hosts(&world, 0, "web", 0, 12 * NS_PER_S);
	run_hosts(&world, 1, "web", 5, 5 * NS_PER_S);
	world_lead(&world, 2, "");
	world_describe(&world);
	run_hosts(&world, 1, "web", 5, 9 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 0);
	run_hosts(&world, 1, "web", 5, 3 * NS_PER_S);
	assert_int_equal(world.terminate_calls, 1);
	world_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_counts_only_for_the_policies_of_its_services),
		cmocka_unit_test(a_host_that_names_no_service_has_the_one_of_its_tags),
		cmocka_unit_test(hosts_are_replicas_and_own_instances_count_once),
		cmocka_unit_test(a_host_is_forgotten_after_ten_minutes_of_silence),
		cmocka_unit_test(a_host_whose_instance_ended_is_none_any_more),
		cmocka_unit_test(nothing_is_launched_while_hosts_still_join),
		cmocka_unit_test(what_is_missing_when_all_have_joined_is_launched),
		cmocka_unit_test(no_clock_of_another_host_is_believed),
		cmocka_unit_test(an_edge_says_when_it_was_by_the_core_s_clock),
		cmocka_unit_test(ticks_are_gathered_and_edges_are_not),
		cmocka_unit_test(listeners_may_come_in_any_order),
		cmocka_unit_test(a_selector_may_name_hosts),
		cmocka_unit_test(who_takes_the_lead_shrinks_nothing_before_the_window_has_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
