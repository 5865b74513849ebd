/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2 says of an instance's end, and what follows. */
#include "core_drain.h"

static struct notice notice_in(const struct drain_world *at, enum notice_kind kind,
			       uint64_t seconds)
{
	struct notice notice = {.kind = kind, .age_ns = 300 * NS_PER_MS};

	notice.when_wall_ms = at->world.now.wall_ns / NS_PER_MS + seconds * 1000;
	strcpy(notice.what, kind == NOTICE_SPOT ? "terminate" : "instance-retirement");
	return notice;
}

/* What of the steps of that decision holds such words. */
static bool decision_tells(const struct drain_world *at, enum decision_kind kind, const char *words)
{
	const struct decision *decision;
	struct text text = {0};
	bool found = false;

	for (size_t i = 0; (decision = core_decision(at->world.core, i)); i++) {
		if (decision->kind != kind)
			continue;
		text_clear(&text);
		decision_explain(decision, &text);
		found |= strstr(text.data, words) != NULL;
	}
	text_free(&text);
	return found;
}

static void a_spot_notice_replaces_and_drains_at_once(void **state)
{
	struct drain_world at;
	struct node_view node;
	struct core_drains drains;

	(void)state;
	drain_new_world(&at, GROUP);
	at.connections[0] = 2;
	at.notice_of = id_of(&at, 0);
	at.notice = notice_in(&at, NOTICE_SPOT, 120);
	drain_report(&at, 0, 0);
	core_tick(at.world.core, at.world.now);
	/* In the moment in which it is heard: the order is out, and it is on its way out. */
	assert_int_equal(at.world.called.count, 1);
	assert_true(node_of(&at, id_of(&at, 0), &node));
	assert_int_equal(node.drain, DRAIN_DRAINING);
	drain_run(&at, 0, 114 * NS_PER_S);
	assert_false(group_has(&at, id_of(&at, 0)));
	assert_int_equal(at.world.terminate_calls, 0);
	drain_run(&at, 0, 3 * NS_PER_S); /* 5 s before EC2 does */
	assert_int_equal(at.world.terminate_calls, 1);
	assert_int_equal(ec2_alive(&at.world), 3);
	core_drains(at.world.core, &drains);
	assert_int_equal(drains.notices[NOTICE_SPOT][NOTICE_BY_AGENT], 1);
	assert_int_equal(drains.notice_delay[NOTICE_BY_AGENT].count, 1);
	assert_true(decision_tells(&at, DECISION_RETIRE, "EC2 says by the agent: spot terminate"));
	assert_true(decision_tells(&at, DECISION_REPLACE, "takes the place of"));
	drain_free_world(&at);
}

static void both_ways_of_one_notice_are_one_interruption(void **state)
{
	struct drain_world at;
	struct core_drains drains;
	struct notice late;

	(void)state;
	drain_new_world(&at, NULL);
	at.notice_of = id_of(&at, 0);
	at.notice = notice_in(&at, NOTICE_SPOT, 120);
	at.connections[0] = 1;
	drain_run(&at, 0, NS_PER_S);
	late = notice_in(&at, NOTICE_SPOT, 119);
	assert_true(
		core_notice(at.world.core, id_of(&at, 0), &late, NOTICE_BY_QUEUE, at.world.now));
	drain_run(&at, 0, 20 * NS_PER_S);
	core_drains(at.world.core, &drains);
	assert_int_equal(drains.notices[NOTICE_SPOT][NOTICE_BY_AGENT], 1);
	assert_int_equal(drains.notices[NOTICE_SPOT][NOTICE_BY_QUEUE], 0);
	assert_int_equal(drains.notices_again, 1);
	assert_int_equal(at.world.instances.count, 4);
	drain_free_world(&at);
}

static void a_recommendation_is_followed_once_the_replacement_serves(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, NULL);
	at.notice_of = id_of(&at, 1);
	at.notice = (struct notice){.kind = NOTICE_REBALANCE};
	drain_run(&at, 0, 3 * NS_PER_S);
	assert_true(node_of(&at, id_of(&at, 1), &node));
	assert_int_equal(node.drain, DRAIN_REPLACING);
	assert_int_equal(ec2_alive(&at.world), 4);
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(at.world.instances.at[1].view.state, INSTANCE_TERMINATED);
	assert_int_equal(ec2_alive(&at.world), 3);
	drain_free_world(&at);
}

static void spot_after_a_recommendation_does_not_wait_any_more(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, NULL);
	at.world.boot_ns = 100 * NS_PER_S;
	at.connections[1] = 1;
	at.notice_of = id_of(&at, 1);
	at.notice = (struct notice){.kind = NOTICE_REBALANCE};
	drain_run(&at, 0, 3 * NS_PER_S);
	at.notice = notice_in(&at, NOTICE_SPOT, 30);
	drain_run(&at, 0, NS_PER_S);
	assert_true(node_of(&at, id_of(&at, 1), &node));
	assert_int_equal(node.drain, DRAIN_DRAINING);
	assert_int_equal(node.reason, RETIRE_SPOT);
	drain_run(&at, 0, 26 * NS_PER_S);
	assert_int_equal(at.world.instances.at[1].view.state, INSTANCE_TERMINATED);
	assert_int_equal(at.world.instances.count, 4); /* one replacement, not two */
	drain_free_world(&at);
}

static void maintenance_begins_in_time_even_without_a_replacement(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, NULL);
	at.world.fault.refuse = true;
	at.connections[0] = 1;
	at.notice_of = id_of(&at, 0);
	at.notice = notice_in(&at, NOTICE_MAINTENANCE, 900);
	drain_run(&at, 0, 580 * NS_PER_S);
	assert_true(node_of(&at, id_of(&at, 0), &node));
	assert_int_equal(node.drain, DRAIN_REPLACING);
	drain_run(&at, 0, 20 * NS_PER_S); /* 300 s and a margin before */
	assert_true(node_of(&at, id_of(&at, 0), &node));
	assert_int_equal(node.drain, DRAIN_DRAINING);
	drain_free_world(&at);
}

static void what_was_not_launched_here_is_nobodys_business(void **state)
{
	struct drain_world at;
	struct core_drains drains;
	struct notice notice;

	(void)state;
	drain_new_world(&at, NULL);
	notice = notice_in(&at, NOTICE_SPOT, 120);
	assert_true(core_notice(at.world.core, "i-0someoneelses0000", &notice, NOTICE_BY_QUEUE,
				at.world.now));
	drain_run(&at, 0, 10 * NS_PER_S);
	core_drains(at.world.core, &drains);
	assert_int_equal(drains.notices_foreign, 1);
	assert_int_equal(at.world.terminate_calls, 0);
	assert_int_equal(at.world.instances.count, 3);
	drain_free_world(&at);
}

static void what_cannot_be_acted_on_is_to_be_said_again(void **state)
{
	struct drain_world at;
	struct notice notice;

	(void)state;
	drain_new_world(&at, NULL);
	notice = notice_in(&at, NOTICE_SPOT, 120);
	core_pause(at.world.core, "file", "a test", at.world.now);
	assert_false(
		core_notice(at.world.core, id_of(&at, 0), &notice, NOTICE_BY_QUEUE, at.world.now));
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_int_equal(at.world.instances.count, 3);
	core_pause(at.world.core, "file", NULL, at.world.now);
	assert_true(
		core_notice(at.world.core, id_of(&at, 0), &notice, NOTICE_BY_QUEUE, at.world.now));
	drain_run(&at, 0, 20 * NS_PER_S);
	assert_int_equal(at.world.instances.count, 4);
	drain_free_world(&at);
}

static void a_state_that_the_queue_tells_is_believed(void **state)
{
	struct drain_world at;
	struct node_view node;

	(void)state;
	drain_new_world(&at, NULL);
	at.mute = true;
	at.world.instances.at[0].view.state = INSTANCE_SHUTTING_DOWN;
	assert_true(core_instance_state(at.world.core, id_of(&at, 0), INSTANCE_SHUTTING_DOWN,
					at.world.now));
	assert_false(node_of(&at, id_of(&at, 0), &node));
	drain_free_world(&at);
}

static void this_host_says_so_and_does_nothing(void **state)
{
	struct drain_world at;
	struct notice notice;

	(void)state;
	drain_new_world(&at, NULL);
	strcpy(at.world.config.instance_id, id_of(&at, 0));
	drain_restart(&at, true);
	notice = notice_in(&at, NOTICE_SPOT, 120);
	assert_true(
		core_notice(at.world.core, id_of(&at, 0), &notice, NOTICE_BY_AGENT, at.world.now));
	assert_non_null(strstr(core_own_notice(at.world.core), "spot terminate"));
	drain_run(&at, 0, 10 * NS_PER_S);
	assert_int_equal(at.world.terminate_calls, 0);
	drain_free_world(&at);
}

static void in_observe_mode_it_is_only_told(void **state)
{
	struct drain_world at;

	(void)state;
	drain_new_world(&at, NULL);
	at.world.config.mode = MODE_OBSERVE;
	drain_restart(&at, true);
	at.notice_of = id_of(&at, 0);
	at.notice = notice_in(&at, NOTICE_SPOT, 120);
	drain_run(&at, 0, 5 * NS_PER_S);
	assert_true(decision_tells(&at, DECISION_RETIRE, "spot terminate"));
	assert_int_equal(at.world.instances.count, 3);
	assert_int_equal(at.world.terminate_calls, 0);
	drain_free_world(&at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spot_notice_replaces_and_drains_at_once),
		cmocka_unit_test(both_ways_of_one_notice_are_one_interruption),
		cmocka_unit_test(a_recommendation_is_followed_once_the_replacement_serves),
		cmocka_unit_test(spot_after_a_recommendation_does_not_wait_any_more),
		cmocka_unit_test(maintenance_begins_in_time_even_without_a_replacement),
		cmocka_unit_test(what_was_not_launched_here_is_nobodys_business),
		cmocka_unit_test(what_cannot_be_acted_on_is_to_be_said_again),
		cmocka_unit_test(a_state_that_the_queue_tells_is_believed),
		cmocka_unit_test(this_host_says_so_and_does_nothing),
		cmocka_unit_test(in_observe_mode_it_is_only_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
