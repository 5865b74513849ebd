/* SPDX-License-Identifier: Apache-2.0 */
/* The way back of an instance: each state, and each way in which it can be cut. */
#include "core_drain.h"

/* ---- with what its own agent says ---- */

static void a_drain_waits_for_open_connections(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, NULL);
	at.connections[0] = 3;
	assert_int_equal(begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT), 0);
	drain_run(&at, 0, 30 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	assert_true(node_of(&at, id_of(&at, 0), &node));
	assert_true(node.retires && node.reason == RETIRE_DRIFTED);
	assert_int_equal(node.drain, DRAIN_DRAINING);
	assert_string_equal(node.waits, "3 connections are open, 1.5 requests in flight");
	at.connections[0] = 0;
	drain_run(&at, 0, 3 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 1);
	drain_run(&at, 0, 3 * NS_PER_S);
	assert_false(node_of(&at, id_of(&at, 0), &node));
	drain_free_world(&at);
}

static void what_it_drains_for_is_tagged_before_anything_is_done(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	at.connections[0] = 1;
	at.mark_error = -EAGAIN;
	assert_int_equal(begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT), 0);
	drain_run(&at, 0, 300 * NS_PER_MS);
	assert_true(at.mark_calls >= 1);
	assert_int_equal(at.deregister_calls, 0);
	at.mark_error = 0;
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_int_equal(at.deregister_calls, 1);
	assert_true(strncmp(at.world.instances.at[0].view.draining, "drifted@fr-", 11) == 0);
	drain_free_world(&at);
}

static void a_tag_that_is_refused_holds_nothing_up(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	at.mark_error = -EINVAL;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_int_equal(at.mark_calls, 1);
	assert_int_equal(at.deregister_calls, 1);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
	drain_free_world(&at);
}

static void its_time_ends_a_drain(void **state)
{
	struct drain_world at;
	struct core_drains drains;

	(void)state;
	drain_new_world(&at, NULL);
	at.connections[0] = 1;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	drain_run(&at, 0, 299 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	drain_run(&at, 0, 2 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 1);
	core_drains(at.world.core, &drains);
	assert_int_equal(drains.out_of_time, 1);
	assert_int_equal(drains.begun[RETIRE_DRIFTED], 1);
	drain_free_world(&at);
}

static void an_agent_that_falls_silent_does_not_say_zero(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, NULL);
	at.world.config.limits.drain_blind_ns = 30 * NS_PER_S;
	at.connections[0] = 2;
	begin_retire(&at, 0, RETIRE_EXPIRED, REPLACE_NOT);
	drain_run(&at, 0, 10 * NS_PER_S);
	at.mute = true;
	drain_run(&at, 0, 28 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	drain_run(&at, 0, 6 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 1);
	drain_free_world(&at);
}

/* ---- target groups ---- */

static void what_can_answer_is_registered_once(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	assert_int_equal(at.registered.count, 3);
	assert_int_equal(at.register_calls, 2); /* as they were launched: two, then one */
	drain_restart(&at, true);
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_int_equal(at.register_calls, 2);
	drain_free_world(&at);
}

static void it_is_taken_out_of_its_target_group_first(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	at.connections[1] = 1;
	begin_retire(&at, 1, RETIRE_EMPTY, REPLACE_NOT);
	drain_run(&at, 0, 2 * NS_PER_S);
	assert_false(group_has(&at, id_of(&at, 1)));
	assert_int_equal(at.registered.count, 2);
	assert_int_equal(at.world.terminate_calls, 0);
	at.connections[1] = 0; /* the group may still say that it drains: the node knows better */
	drain_run(&at, 0, 3 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 1);
	drain_free_world(&at);
}

static void without_an_agent_the_target_group_tells(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	at.mute = true;
	begin_retire(&at, 1, RETIRE_EMPTY, REPLACE_NOT);
	drain_run(&at, 0, 60 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	assert_true(at.health_calls >= 10);
	vec_clear(&at.leaving);
	drain_run(&at, 0, 6 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 1);
	drain_free_world(&at);
}

static void a_target_group_that_is_gone_holds_nothing_up(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	at.group_gone = true;
	begin_retire(&at, 1, RETIRE_EMPTY, REPLACE_NOT);
	drain_run(&at, 0, 4 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 1);
	drain_free_world(&at);
}

/* ---- many, and the arithmetic ---- */

static void no_drain_waits_for_another(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, NULL);
	at.connections[0] = 1;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	begin_retire(&at, 1, RETIRE_EXPIRED, REPLACE_NOT);
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_RUNNING);
	assert_int_equal(at.world.instances.at[1].view.state, INSTANCE_TERMINATED);
	drain_free_world(&at);
}

static void what_drains_is_no_replica_and_no_edge_of_it_buys(void **state)
{
	struct drain_world at;
	struct frame frame;

	(void)state;
	drain_new_world(&at, NULL);
	at.connections[0] = 5;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	drain_run(&at, 0, 200 * NS_PER_MS);
	/* minReplicas is 3: the policy itself buys one. */
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(at.world.instances.count, 4);
	assert_int_equal(status_of(&at.world, 0)->replicas, 3);
	frame = frame_of(&at.world, "host-x", "web", 400);
	snprintf(frame.host, sizeof(frame.host), "host-%s", id_of(&at, 0));
	snprintf(frame.instance_id, sizeof(frame.instance_id), "%s", id_of(&at, 0));
	frame.kind = FRAME_EDGE;
	core_frame(at.world.core, &frame, at.world.now);
	core_tick(at.world.core, at.world.now);
	assert_int_equal(at.world.called.count, 0);
	drain_free_world(&at);
}

/* ---- replacement ---- */

static void a_replacement_serves_first(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, NULL);
	assert_int_equal(begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_FIRST), 0);
	assert_int_equal(at.world.called.count, 1);
	drain_run(&at, 0, 4 * NS_PER_S);
	assert_true(node_of(&at, id_of(&at, 0), &node));
	assert_int_equal(node.drain, DRAIN_REPLACING);
	assert_int_equal(status_of(&at.world, 0)->replicas, 3);
	assert_int_equal(ec2_alive(&at.world), 4);
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(ec2_alive(&at.world), 3);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
	assert_int_equal(at.world.instances.count, 4);
	drain_free_world(&at);
}

static void many_that_are_replaced_are_one_order(void **state)
{
	struct drain_world at;
	uint64_t calls;

	(void)state;
	drain_new_world(&at, NULL);
	calls = at.world.launch_calls;
	for (size_t i = 0; i < 3; i++)
		begin_retire(&at, i, RETIRE_EXPIRED, REPLACE_FIRST);
	drain_run(&at, 0, 60 * NS_PER_S);
	assert_in_range(at.world.launch_calls - calls, 1, 2);
	assert_int_equal(at.world.instances.count, 6);
	assert_int_equal(ec2_alive(&at.world), 3);
	drain_free_world(&at);
}

static void nothing_is_bought_for_what_is_not_wanted(void **state)
{
	struct drain_world at;
	uint64_t calls;

	(void)state;
	drain_new_world(&at, NULL);
	drain_run(&at, 13, NS_PER_S); /* four are wanted */
	drain_run(&at, 0, 9 * NS_PER_S);
	assert_int_equal(ec2_alive(&at.world), 4);
	at.world.fault.refuse = true;
	begin_retire(&at, 0, RETIRE_EXPIRED, REPLACE_FIRST);
	drain_run(&at, 0, NS_PER_S);
	at.world.fault.refuse = false;
	calls = at.world.launch_calls;
	/* By now three are, and the one that was to be replaced is the one that goes. */
	drain_run(&at, 0, 30 * NS_PER_S);
	assert_int_equal(at.world.launch_calls, calls);
	assert_int_equal(ec2_alive(&at.world), 3);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
	drain_free_world(&at);
}

static void a_replacement_that_fails_is_ordered_again(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, NULL);
	at.world.fault.refuse = true;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_FIRST);
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_RUNNING);
	assert_int_equal(status_of(&at.world, 0)->replicas, 3);
	at.world.fault.refuse = false;
	drain_run(&at, 0, 60 * NS_PER_S);
	assert_int_equal(ec2_alive(&at.world), 3);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
	drain_free_world(&at);
}

/* ---- called back, refused ---- */

static void what_is_called_back_serves_again(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, GROUP);
	at.connections[0] = 1;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	drain_run(&at, 0, 500 * NS_PER_MS);
	assert_int_equal(at.registered.count, 2);
	assert_ptr_equal(retire_last(instance_at(&at, 0)->lane), instance_at(&at, 0));
	assert_int_equal(
		retire_cancel(at.world.core, instance_at(&at, 0), "room that exists", at.world.now),
		0);
	drain_run(&at, 0, 10 * NS_PER_S);
	assert_int_equal(at.registered.count, 3);
	assert_string_equal(at.world.instances.at[0].view.draining, "");
	assert_true(node_of(&at, id_of(&at, 0), &node) && !node.retires);
	drain_run(&at, 0, 400 * NS_PER_S);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_RUNNING);
	assert_int_equal(status_of(&at.world, 0)->replicas, 3);
	drain_free_world(&at);
}

static void what_ec2_does_not_terminate_serves_again(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, GROUP);
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	for (int i = 0; i < 100 && !at.world.terminating.count; i++) {
		world_advance(&at.world, 100 * NS_PER_MS);
		drain_report(&at, 0, 0);
		core_tick(at.world.core, at.world.now);
		while (drain_answer_mark(&at) || drain_answer_targets(&at))
			;
	}
	assert_int_equal(at.world.terminating.count, 1);
	world_answer_terminate(&at.world, -EINVAL);
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_int_equal(at.registered.count, 3);
	assert_int_equal(ec2_alive(&at.world), 3);
	drain_free_world(&at);
}

static void what_is_not_ours_is_not_touched(void **state)
{
	struct drain_world at;
	struct retire_request request = {.reason = RETIRE_DRIFTED};

	(void)state;
	drain_new_world(&at, NULL);
	strcpy(at.world.config.instance_id, id_of(&at, 0));
	drain_restart(&at, true);
	assert_int_equal(retire_begin(at.world.core, instance_at(&at, 0), &request, at.world.now),
			 -EINVAL);
	core_pause(at.world.core, "file", "a test", at.world.now);
	assert_int_equal(begin_retire(&at, 1, RETIRE_DRIFTED, REPLACE_NOT), -EPERM);
	drain_free_world(&at);
}

/* ---- restarts and takeovers ---- */

static void a_restart_goes_on_where_it_was(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	for (int shortened = 0; shortened < 2; shortened++) {
		drain_new_world(&at, GROUP);
		at.connections[0] = 1;
		begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
		drain_run(&at, 0, 100 * NS_PER_S);
		if (shortened)
			world_rewrite(&at.world);
		drain_restart(&at, true);
		drain_run(&at, 0, 100 * NS_PER_S);
		assert_true(node_of(&at, id_of(&at, 0), &node));
		assert_int_equal(node.drain, DRAIN_DRAINING);
		assert_int_equal(at.world.terminate_calls, 0);
		drain_run(&at, 0, 102 * NS_PER_S); /* of 300 in all */
		assert_int_equal(at.world.terminate_calls, 1);
		drain_free_world(&at);
	}
}

static void an_empty_disk_goes_on_by_the_tags(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, GROUP);
	at.connections[0] = 1;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	drain_run(&at, 0, 10 * NS_PER_S);
	drain_restart(&at, false);
	drain_run(&at, 0, 10 * NS_PER_S);
	assert_true(node_of(&at, id_of(&at, 0), &node));
	assert_true(node.retires && node.reason == RETIRE_DRIFTED);
	assert_false(group_has(&at, id_of(&at, 0)));
	at.connections[0] = 0;
	drain_run(&at, 0, 3 * NS_PER_S);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
	drain_free_world(&at);
}

static void who_lost_the_lead_does_nothing_more(void **state)
{
	struct drain_world at;
	char reason[160];

	(void)state;
	drain_new_world(&at, GROUP);
	at.connections[0] = 1;
	begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_NOT);
	drain_run(&at, 0, 10 * NS_PER_S);
	core_yield(at.world.core, "the lease was lost", at.world.now);
	at.connections[0] = 0;
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	assert_int_equal(core_lead(at.world.core, 2, "", at.world.now, reason), 0);
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
	drain_free_world(&at);
}

/* Whatever moment it dies in: one is replaced, one goes, and three are left. */
static void killed_at_any_moment_it_ends_the_same(void **state)
{
	(void)state;
	for (int cut = 1; cut < 90; cut += 2) {
		struct drain_world at;

		drain_new_world(&at, GROUP);
		begin_retire(&at, 0, RETIRE_DRIFTED, REPLACE_FIRST);
		drain_run(&at, 0, (uint64_t)cut * 100 * NS_PER_MS);
		if (cut % 3 == 0)
			world_rewrite(&at.world);
		drain_restart(&at, true);
		drain_run(&at, 0, 90 * NS_PER_S);
		assert_int_equal(ec2_alive(&at.world), 3);
		assert_int_equal(at.world.instances.count, 4);
		assert_int_equal(at.world.instances.at[0].view.state, INSTANCE_TERMINATED);
		assert_int_equal(at.registered.count, 3);
		drain_free_world(&at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drain_waits_for_open_connections),
		cmocka_unit_test(what_it_drains_for_is_tagged_before_anything_is_done),
		cmocka_unit_test(a_tag_that_is_refused_holds_nothing_up),
		cmocka_unit_test(its_time_ends_a_drain),
		cmocka_unit_test(an_agent_that_falls_silent_does_not_say_zero),
		cmocka_unit_test(what_can_answer_is_registered_once),
		cmocka_unit_test(it_is_taken_out_of_its_target_group_first),
		cmocka_unit_test(without_an_agent_the_target_group_tells),
		cmocka_unit_test(a_target_group_that_is_gone_holds_nothing_up),
		cmocka_unit_test(no_drain_waits_for_another),
		cmocka_unit_test(what_drains_is_no_replica_and_no_edge_of_it_buys),
		cmocka_unit_test(a_replacement_serves_first),
		cmocka_unit_test(many_that_are_replaced_are_one_order),
		cmocka_unit_test(nothing_is_bought_for_what_is_not_wanted),
		cmocka_unit_test(a_replacement_that_fails_is_ordered_again),
		cmocka_unit_test(what_is_called_back_serves_again),
		cmocka_unit_test(what_ec2_does_not_terminate_serves_again),
		cmocka_unit_test(what_is_not_ours_is_not_touched),
		cmocka_unit_test(a_restart_goes_on_where_it_was),
		cmocka_unit_test(an_empty_disk_goes_on_by_the_tags),
		cmocka_unit_test(who_lost_the_lead_does_nothing_more),
		cmocka_unit_test(killed_at_any_moment_it_ends_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
