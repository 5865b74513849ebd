/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/signal_stream.h"

static void expect(const struct indicator *i, enum diagnosis diagnosis)
{
	if (i->diagnosis != diagnosis)
		fail_msg("%s instead of %s: %s", signal_diagnosis_text(i->diagnosis),
			 signal_diagnosis_text(diagnosis), i->reason);
}

static void steps(struct stream *s, int count, uint64_t connections, double cores)
{
	for (int i = 0; i < count; i++) {
		stream_serve(s, connections);
		stream_step(s, cores);
	}
}

static void test_silence_is_idle(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	expect(stream_step(&s, 0), DIAGNOSIS_IDLE);
	steps(&s, 5, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_IDLE);
	assert_non_null(strstr(stream_indicator(&s)->reason, "no connection and no request"));
	stream_end(&s);
}

static void test_traffic_without_queue_is_ok_and_idle_after_the_slow_window(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	steps(&s, 10, 20, 0.3);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	assert_non_null(strstr(stream_indicator(&s)->reason, "nothing to do"));
	steps(&s, 29, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	steps(&s, 1, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_IDLE);
	stream_end(&s);
}

static void test_an_edge_on_an_idle_listener_needs_capacity_at_once(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	steps(&s, 40, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_IDLE);
	stream_edge(&s, 3 * NS_PER_MS, 5);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	assert_non_null(strstr(stream_indicator(&s)->reason, "accept queue at 5 of 511"));
	stream_end(&s);
}

static void test_an_edge_without_known_cpu_needs_capacity(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	s.usage.cpu_known = false;
	steps(&s, 40, 0, 0);
	stream_edge(&s, NS_PER_MS, 5);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	assert_non_null(strstr(stream_indicator(&s)->reason, "not known"));
	stream_end(&s);
}

static void test_a_peak_between_two_samples_needs_capacity_and_is_over_after_a_second(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	steps(&s, 20, 10, 0.2);
	s.listener.queue_peak = 40;
	steps(&s, 1, 40, 0.8);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	s.listener.queue_peak = 0;
	steps(&s, 9, 10, 0.2);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	steps(&s, 1, 10, 0.2);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	stream_end(&s);
}

static void test_a_standing_queue_with_accepts_needs_capacity(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	steps(&s, 20, 10, 0.5);
	stream_depth(&s, 200);
	for (int i = 0; i < 50; i++) {
		steps(&s, 1, 12, 1.0);
		expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	}
	stream_end(&s);
}

static void test_a_short_queue_that_stands_needs_capacity(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	steps(&s, 20, 10, 0.5);
	stream_depth(&s, 2);
	steps(&s, 1, 10, 0.5);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	steps(&s, 3, 10, 0.5);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_cpu_at_its_limit_needs_capacity_before_a_queue_forms(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	s.usage.cpu_limit_known = true;
	s.usage.cpu_limit_cores = 1;
	steps(&s, 40, 10, 0.97);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	assert_non_null(strstr(stream_indicator(&s)->reason, "CPU limit"));
	stream_end(&s);
}

static void test_cpu_in_use_while_a_listener_is_new_asks_for_nothing(void **state)
{
	struct stream s;
	const struct indicator *i = NULL;

	(void)state;
	stream_start(&s, 128);
	s.usage.cpu_limit_known = true;
	s.usage.cpu_limit_cores = 1;
	for (int n = 0; n < 25; n++) {
		stream_serve(&s, 1);
		i = stream_step(&s, 1);
		assert_int_not_equal(i->diagnosis, DIAGNOSIS_NEEDS_CAPACITY);
	}
	for (int n = 0; n < 10; n++) {
		stream_serve(&s, 1);
		i = stream_step(&s, 1);
	}
	assert_int_equal(i->diagnosis, DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_low_cpu_with_accepts_going_on_is_no_stall(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	stream_depth(&s, 30);
	steps(&s, 40, 1, 0.01);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	assert_non_null(strstr(stream_indicator(&s)->reason, "something else than CPU"));
	stream_end(&s);
}

static void test_a_queue_that_nobody_takes_from_is_a_stall_after_the_stall_time(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	steps(&s, 20, 10, 0.5);
	stream_depth(&s, 512);
	for (int i = 0; i < 10; i++) {
		steps(&s, 1, 0, 0);
		expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	}
	steps(&s, 1, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	steps(&s, 12, 0, 0);
	assert_string_equal(stream_indicator(&s)->reason,
			    "accept queue stood at 512 of 511 for 2.2 s, nothing was accepted, the "
			    "unit used 0.00 cores: it is stalled, more instances would not help; "
			    "look at its threads (gdb, py-spy) or restart it");
	/* A further edge is no reason to buy. */
	stream_edge(&s, NS_PER_MS, 512);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	stream_end(&s);
}

static void test_a_stall_is_over_when_it_moved_for_as_long(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	stream_depth(&s, 512);
	steps(&s, 15, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	stream_depth(&s, 400);
	for (int i = 0; i < 10; i++) {
		steps(&s, 1, 5, 1.0);
		expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	}
	steps(&s, 1, 5, 1.0);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_a_stall_that_drains_asks_for_nothing(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	stream_depth(&s, 100);
	steps(&s, 15, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	stream_depth(&s, 0);
	s.listener.queue_peak = 100;
	steps(&s, 1, 100, 1.0);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	/* but the next edge does */
	s.listener.queue_peak = 0;
	steps(&s, 1, 5, 0.2);
	stream_edge(&s, NS_PER_MS, 6);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_a_still_queue_with_cpu_in_use_is_a_stall_much_later(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	stream_depth(&s, 300);
	steps(&s, 100, 0, 1.0);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	steps(&s, 1, 0, 1.0);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	assert_non_null(strstr(stream_indicator(&s)->reason, "busy with something else"));
	stream_end(&s);
}

static void test_a_still_queue_without_known_cpu_waits_longer_for_requests_in_flight(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	s.usage.cpu_known = false;
	s.listener.in_flight = 3;
	stream_depth(&s, 300);
	steps(&s, 50, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	steps(&s, 1, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	stream_end(&s);
}

static void test_a_quota_that_holds_it_back_is_no_stall(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	s.usage.throttle_known = s.usage.cpu_limit_known = true;
	s.usage.cpu_limit_cores = 0.1;
	stream_depth(&s, 300);
	for (int i = 0; i < 30; i++) {
		s.usage.throttled_ns += 90 * NS_PER_MS;
		steps(&s, 1, 0, 0.01);
	}
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	assert_non_null(strstr(stream_indicator(&s)->reason, "quota"));
	stream_end(&s);
}

static void test_a_trickle_far_below_the_learned_capacity_is_a_stall(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 511);
	stream_depth(&s, 200);
	steps(&s, 60, 100, 1.0);
	assert_true(fabs(stream_indicator(&s)->capacity_per_second - 1000) < 1);
	for (int i = 0; i < 40; i++)
		steps(&s, 1, i % 10 == 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	stream_end(&s);
}

/* A burst of one interval that overflows a backlog of 8 and is gone at its end. */
static void burst(struct stream *s)
{
	s->listener.queue_peak = 9;
	s->listener.overflows += 6;
	s->listener.drops += 6;
	steps(s, 1, 20, 0.1);
	s->listener.queue_peak = 0;
}

static void test_short_overflows_at_low_utilization_mean_a_small_backlog(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 8);
	steps(&s, 40, 2, 0.02);
	burst(&s);
	expect(stream_indicator(&s), DIAGNOSIS_BACKLOG_TOO_SMALL);
	assert_non_null(strstr(stream_indicator(&s)->reason, "backlog of 8"));
	steps(&s, 20, 2, 0.02);
	/* The next edge meets that evidence. */
	stream_edge(&s, NS_PER_MS, 8);
	expect(stream_indicator(&s), DIAGNOSIS_BACKLOG_TOO_SMALL);
	burst(&s);
	steps(&s, 99, 2, 0.02);
	expect(stream_indicator(&s), DIAGNOSIS_BACKLOG_TOO_SMALL);
	steps(&s, 1, 2, 0.02);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	stream_end(&s);
}

static void test_an_overflow_that_lasts_needs_capacity(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 8);
	steps(&s, 40, 2, 0.02);
	burst(&s);
	stream_depth(&s, 9);
	for (int i = 0; i < 20; i++) {
		s.listener.overflows += 10;
		steps(&s, 1, 20, 0.9);
	}
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_overflows_of_a_busy_queue_need_capacity(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 8);
	for (int i = 0; i < 60; i++) {
		stream_depth(&s, i % 4 == 0 ? 0 : 9);
		s.listener.queue_peak = 9;
		s.listener.overflows += 5;
		steps(&s, 1, 20, 0.9);
	}
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_syns_that_never_complete_are_an_attack(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 128);
	steps(&s, 20, 2, 0.02);
	for (int i = 0; i < 40; i++) {
		s.listener.syns += 100;
		s.listener.syn_queue = 128;
		steps(&s, 1, 2, 0.02);
	}
	expect(stream_indicator(&s), DIAGNOSIS_ATTACK_OR_SCAN);
	assert_non_null(strstr(stream_indicator(&s)->reason, "SYN flood"));
	/* An edge in the middle of it is no reason to buy. */
	stream_edge(&s, NS_PER_MS, 5);
	expect(stream_indicator(&s), DIAGNOSIS_ATTACK_OR_SCAN);
	s.listener.syn_queue = 0;
	steps(&s, 70, 2, 0.02);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	stream_end(&s);
}

static void test_load_under_a_flood_is_still_load(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 128);
	for (int i = 0; i < 40; i++) {
		s.listener.syns += 500;
		stream_depth(&s, 60);
		steps(&s, 1, 50, 0.9);
	}
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	stream_end(&s);
}

static void test_connections_without_requests_are_a_scan(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 128);
	steps(&s, 20, 2, 0.02);
	for (int i = 0; i < 50; i++) {
		s.listener.syns += 20;
		s.listener.established += 20;
		s.listener.accepted += 20;
		s.listener.closed += 20;
		steps(&s, 1, 0, 0.02);
	}
	expect(stream_indicator(&s), DIAGNOSIS_ATTACK_OR_SCAN);
	assert_non_null(strstr(stream_indicator(&s)->reason, "scan"));
	stream_end(&s);
}

static void test_connections_without_requests_are_ok_where_requests_cannot_be_counted(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 128);
	for (int i = 0; i < 50; i++) {
		s.listener.syns += 20;
		s.listener.established += 20;
		s.listener.accepted += 20;
		s.listener.closed += 20;
		steps(&s, 1, 0, 0.02);
	}
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	stream_end(&s);
}

static void test_syns_at_a_full_queue_are_no_attack(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 8);
	stream_depth(&s, 9);
	for (int i = 0; i < 50; i++) {
		s.listener.syns += 50;
		s.listener.overflows += 50;
		steps(&s, 1, 0, 0);
	}
	expect(stream_indicator(&s), DIAGNOSIS_APP_STALLED);
	stream_end(&s);
}

static void test_a_listener_that_is_gone_needs_nothing(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 128);
	stream_depth(&s, 60);
	steps(&s, 20, 5, 1);
	expect(stream_indicator(&s), DIAGNOSIS_NEEDS_CAPACITY);
	s.listener.sockets = 0;
	stream_depth(&s, 0);
	steps(&s, 1, 0, 0);
	expect(stream_indicator(&s), DIAGNOSIS_OK);
	steps(&s, 40, 0, 0);
	assert_non_null(strstr(stream_indicator(&s)->reason, "nobody listens"));
	stream_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence_is_idle),
		cmocka_unit_test(test_traffic_without_queue_is_ok_and_idle_after_the_slow_window),
		cmocka_unit_test(test_an_edge_on_an_idle_listener_needs_capacity_at_once),
		cmocka_unit_test(test_an_edge_without_known_cpu_needs_capacity),
		cmocka_unit_test(
			test_a_peak_between_two_samples_needs_capacity_and_is_over_after_a_second),
		cmocka_unit_test(test_a_standing_queue_with_accepts_needs_capacity),
		cmocka_unit_test(test_a_short_queue_that_stands_needs_capacity),
		cmocka_unit_test(test_cpu_at_its_limit_needs_capacity_before_a_queue_forms),
		cmocka_unit_test(test_cpu_in_use_while_a_listener_is_new_asks_for_nothing),
		cmocka_unit_test(test_low_cpu_with_accepts_going_on_is_no_stall),
		cmocka_unit_test(
			test_a_queue_that_nobody_takes_from_is_a_stall_after_the_stall_time),
		cmocka_unit_test(test_a_stall_is_over_when_it_moved_for_as_long),
		cmocka_unit_test(test_a_stall_that_drains_asks_for_nothing),
		cmocka_unit_test(test_a_still_queue_with_cpu_in_use_is_a_stall_much_later),
		cmocka_unit_test(
			test_a_still_queue_without_known_cpu_waits_longer_for_requests_in_flight),
		cmocka_unit_test(test_a_quota_that_holds_it_back_is_no_stall),
		cmocka_unit_test(test_a_trickle_far_below_the_learned_capacity_is_a_stall),
		cmocka_unit_test(test_short_overflows_at_low_utilization_mean_a_small_backlog),
		cmocka_unit_test(test_an_overflow_that_lasts_needs_capacity),
		cmocka_unit_test(test_overflows_of_a_busy_queue_need_capacity),
		cmocka_unit_test(test_syns_that_never_complete_are_an_attack),
		cmocka_unit_test(test_load_under_a_flood_is_still_load),
		cmocka_unit_test(test_connections_without_requests_are_a_scan),
		cmocka_unit_test(
			test_connections_without_requests_are_ok_where_requests_cannot_be_counted),
		cmocka_unit_test(test_syns_at_a_full_queue_are_no_attack),
		cmocka_unit_test(test_a_listener_that_is_gone_needs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
