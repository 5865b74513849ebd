/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/signal_stream.h"

static void near(double value, double expected)
{
	if (!(fabs(value - expected) <= 1e-9 * fmax(1, fabs(expected))))
		fail_msg("%.12g instead of %.12g", value, expected);
}

static double value(struct stream *s, enum metric metric, enum statistic statistic)
{
	return stream_indicator(s)->value[metric][statistic];
}

static void test_the_first_sample_knows_gauges_but_no_rate(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 9);
	stream_depth(&s, 5);
	s.listener.requests = 1000;
	stream_step(&s, 0);
	for (int statistic = STAT_LAST; statistic < STAT_TREND; statistic++)
		near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, (enum statistic)statistic), 5);
	assert_true(isnan(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_TREND)));
	near(value(&s, METRIC_ACCEPT_QUEUE_UTILIZATION, STAT_LAST), 0.5);
	for (int statistic = 0; statistic < STAT_COUNT; statistic++) {
		assert_true(
			isnan(value(&s, METRIC_REQUESTS_PER_SECOND, (enum statistic)statistic)));
		assert_true(isnan(value(&s, METRIC_CPU_CORES, (enum statistic)statistic)));
	}
	stream_end(&s);
}

static void test_rates_are_differences_over_the_real_interval(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 9);
	stream_step(&s, 0);
	s.listener.requests += 30;
	assert_int_equal(stream_feed_at(&s, s.now_ns + 150 * NS_PER_MS), 0);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_LAST), 200);
	s.listener.requests += 10;
	assert_int_equal(stream_feed_at(&s, s.now_ns + 250 * NS_PER_MS), 0);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_LAST), 100);
	/* 40 in 250 ms, not the mean of 200 and 100 */
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_FAST), 160);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_SLOW), 160);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_SLOW_PEAK), 200);
	stream_end(&s);
}

/* A Unix socket's accepts are a lower bound, and nothing else of it is counted. */
static void test_of_a_unix_socket_only_the_queue_is_known(void **state)
{
	static const enum metric unknown[] = {
		METRIC_CONNECTIONS_PER_SECOND, METRIC_ACCEPTS_PER_SECOND,
		METRIC_REQUESTS_PER_SECOND,    METRIC_RESPONSES_PER_SECOND,
		METRIC_REQUESTS_IN_FLIGHT,     METRIC_OPEN_CONNECTIONS,
		METRIC_DROPS_PER_SECOND,       METRIC_SYN_QUEUE_DEPTH,
	};
	struct stream s;

	(void)state;
	stream_start(&s, 9);
	s.listener.family = AF_UNIX;
	stream_step(&s, 0);
	stream_depth(&s, 2);
	for (int i = 0; i < 5; i++)
		stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST), 2);
	assert_true(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST) >= 0.4);
	s.listener.accepted++;
	stream_step(&s, 0);
	assert_true(isnan(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST)));
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		for (int statistic = 0; statistic < STAT_COUNT; statistic++)
			assert_true(isnan(value(&s, unknown[i], (enum statistic)statistic)));
	stream_end(&s);
}

/* The process stood still for 5 s: nobody knows when in them the peak was. */
static void test_a_peak_of_a_gap_is_of_no_window(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 999);
	stream_step(&s, 0);
	stream_edge(&s, 50 * NS_PER_MS, 300);
	s.listener.queue_peak = 300;
	assert_int_equal(stream_feed_at(&s, s.now_ns + 5 * NS_PER_S), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_PEAK), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_UTILIZATION, STAT_SLOW_PEAK), 0);
	s.listener.queue_peak = 200;
	assert_int_equal(stream_feed_at(&s, s.now_ns + 6 * NS_PER_S), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 200);
	stream_end(&s);
}

static void test_windows_forget_what_is_older(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 999);
	stream_depth(&s, 300);
	stream_step(&s, 0);
	stream_depth(&s, 0);
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 300);
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 300);
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_PEAK), 300);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_P50), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_P99), 300);
	for (int i = 0; i < 27; i++)
		stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_PEAK), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_TREND), 0);
	stream_end(&s);
}

static void test_percentiles_are_nearest_ranks_of_the_slow_window(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 999);
	for (uint32_t i = 0; i < 60; i++) {
		stream_depth(&s, (i * 7) % 30 + 1);
		stream_step(&s, 0);
	}
	/* the last 30 samples hold 1..30 once each */
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_P50), 15);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_P90), 27);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_P99), 30);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW), 15.5);
	stream_end(&s);
}

static void test_the_trend_of_a_straight_line_is_its_slope(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 9999);
	for (uint32_t i = 0; i < 50; i++) {
		stream_depth(&s, 100 + 4 * i);
		stream_step(&s, 0);
		if (i < 2)
			assert_true(isnan(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_TREND)));
		else
			near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_TREND), 40);
	}
	stream_end(&s);
}

static void test_samples_faster_than_a_slot_share_it(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 9999);
	for (uint32_t i = 0; i < 5000; i++) {
		stream_depth(&s, i % 2 ? 100 : 300);
		s.listener.requests += 3;
		s.now_ns += NS_PER_MS;
		assert_int_equal(stream_feed_at(&s, s.now_ns), 0);
	}
	assert_true(fabs(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW) - 200) < 5);
	assert_true(fabs(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST) - 200) < 5);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST), 100);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 300);
	assert_true(fabs(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_SLOW) - 3000) < 1e-6);
	stream_end(&s);
}

static void test_the_peak_between_two_samples_is_kept(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	s.listener.queue_peak = 50;
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 50);
	near(value(&s, METRIC_ACCEPT_QUEUE_UTILIZATION, STAT_FAST_PEAK), 0.5);
	stream_end(&s);
}

static void test_an_edge_raises_the_depth_at_once_and_stays_in_the_peaks(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	for (int i = 0; i < 40; i++)
		stream_step(&s, 0);
	stream_edge(&s, 50 * NS_PER_MS, 20);
	assert_int_equal(stream_indicator(&s)->time_ns, s.now_ns + 50 * NS_PER_MS);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST), 20);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 20);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_PEAK), 20);
	near(value(&s, METRIC_ACCEPT_QUEUE_UTILIZATION, STAT_LAST), 0.2);
	assert_true(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST) > 0);
	assert_true(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST) < 20);
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_LAST), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 20);
	stream_end(&s);
}

static void test_an_edge_that_the_sample_has_seen_changes_nothing(void **state)
{
	struct stream s;
	struct edge late;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	late = (struct edge){
		.time_ns = s.now_ns - 1, .listener_id = 7, .slot = 3, .depth = 30, .limit = 99};
	assert_int_equal(signal_edge(s.signal, &late), 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 0);
	late.slot = 4;
	assert_int_equal(signal_edge(s.signal, &late), -ENOENT);
	late.slot = 3;
	late.listener_id = 8;
	assert_int_equal(signal_edge(s.signal, &late), -ENOENT);
	stream_end(&s);
}

static void test_samples_out_of_order_are_refused_and_change_nothing(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_depth(&s, 5);
	stream_step(&s, 0);
	stream_depth(&s, 50);
	assert_int_equal(stream_feed_at(&s, s.now_ns), -EINVAL);
	assert_int_equal(stream_feed_at(&s, s.now_ns - 1), -EINVAL);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_FAST_PEAK), 5);
	stream_end(&s);
}

static void test_counters_that_start_anew_give_no_negative_rate(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	for (int i = 0; i < 5; i++) {
		stream_serve(&s, 10);
		stream_step(&s, 0.1);
	}
	s.listener.requests = s.listener.responses = s.listener.established = 3;
	s.listener.accepted = s.listener.closed = s.listener.syns = 3;
	memset(s.buckets, 0, sizeof(s.buckets));
	stream_step(&s, 0.1);
	assert_true(isnan(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_LAST)));
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_FAST), 100);
	stream_serve(&s, 10);
	stream_step(&s, 0.1);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_LAST), 100);
	near(value(&s, METRIC_ACCEPTS_PER_SECOND, STAT_LAST), 100);
	stream_end(&s);
}

static void test_a_derived_counter_that_steps_back_is_waited_out(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_serve(&s, 10);
	stream_step(&s, 0);
	s.listener.accepted -= 2;
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPTS_PER_SECOND, STAT_LAST), 0);
	s.listener.accepted += 5;
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPTS_PER_SECOND, STAT_LAST), 30);
	stream_end(&s);
}

static void test_another_generation_starts_anew(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	for (int i = 0; i < 40; i++) {
		stream_serve(&s, 10);
		stream_depth(&s, 90);
		stream_step(&s, 1);
	}
	s.listener.id = 8;
	s.listener.generation = 2;
	s.listener.requests = 1000000;
	stream_depth(&s, 0);
	stream_step(&s, 1);
	assert_int_equal(stream_indicator(&s)->id, 8);
	assert_int_equal(stream_indicator(&s)->first_seen_ns, s.now_ns);
	near(value(&s, METRIC_ACCEPT_QUEUE_DEPTH, STAT_SLOW_PEAK), 0);
	assert_true(isnan(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_SLOW_PEAK)));
	assert_true(isnan(stream_indicator(&s)->capacity_per_second));
	stream_end(&s);
}

static void test_a_listener_without_sample_is_left_out(void **state)
{
	struct sample none = {0};
	const struct indicator *indicators;
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	none.time_ns = s.now_ns + STEP_NS;
	assert_int_equal(signal_feed(s.signal, &none, NULL), 0);
	assert_int_equal(signal_indicators(s.signal, &indicators), 0);
	stream_end(&s);
}

static void test_an_indicator_keeps_the_time_of_its_newest_sample(void **state)
{
	struct stream s;
	uint64_t first;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	first = s.now_ns;
	stream_step(&s, 0);
	assert_int_equal(stream_indicator(&s)->time_ns, s.now_ns);
	assert_int_equal(stream_indicator(&s)->first_seen_ns, first);
	stream_end(&s);
}

static void test_a_pause_of_the_sampler_gives_one_long_interval(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	for (int i = 0; i < 10; i++) {
		stream_serve(&s, 10);
		stream_step(&s, 0.5);
	}
	s.listener.requests += 100;
	s.listener.established += 100;
	s.now_ns += 10 * NS_PER_S;
	assert_int_equal(stream_feed_at(&s, s.now_ns), 0);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_SLOW), 10);
	near(value(&s, METRIC_REQUESTS_PER_SECOND, STAT_SLOW_PEAK), 10);
	stream_end(&s);
}

static void test_listeners_come_in_the_order_of_their_slots(void **state)
{
	static const uint32_t slots[] = {9, 2, 30, 4, 1};
	struct listener_sample listeners[ARRAY_SIZE(slots)] = {0};
	struct placed placed[ARRAY_SIZE(slots)] = {0};
	struct sample sample = {.time_ns = 1, .listeners = listeners, .count = ARRAY_SIZE(slots)};
	const struct indicator *indicators;
	struct owner owner = {0};
	struct signal *signal;

	(void)state;
	assert_int_equal(signal_new(NULL, &signal), 0);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		listeners[i].slot = slots[i];
		listeners[i].id = 100 + slots[i];
		listeners[i].open_connections = slots[i];
		placed[i].owner = &owner;
	}
	assert_int_equal(signal_feed(signal, &sample, placed), 0);
	assert_int_equal(signal_indicators(signal, &indicators), 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(indicators[i].id, 100 + indicators[i].slot);
		near(indicators[i].value[METRIC_OPEN_CONNECTIONS][STAT_LAST], indicators[i].slot);
		assert_true(i == 0 || indicators[i - 1].slot < indicators[i].slot);
	}
	sample.time_ns = 2;
	sample.count = 2;
	assert_int_equal(signal_feed(signal, &sample, placed), 0);
	assert_int_equal(signal_indicators(signal, &indicators), 2);
	assert_int_equal(indicators[0].slot, 2);
	assert_int_equal(indicators[1].slot, 9);
	signal_free(signal);
}

static void test_the_wait_is_measured_where_accept_is_visible(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	stream_serve(&s, 4);
	s.listener.accept_waits += 4;
	s.listener.accept_wait_ns += 4 * 20 * NS_PER_MS;
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST), 0.020);
	stream_serve(&s, 12);
	s.listener.accept_waits += 12;
	s.listener.accept_wait_ns += 12 * 100 * NS_PER_MS;
	stream_step(&s, 0);
	near(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST), 0.100);
	/* mean of the connections, not of the intervals */
	assert_true(fabs(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_FAST) - 0.080) < 1e-6);
	stream_end(&s);
}

static void test_the_wait_follows_littles_law_where_accept_is_not_visible(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 999);
	stream_depth(&s, 50);
	stream_step(&s, 0.5);
	for (int i = 0; i < 10; i++) {
		stream_serve(&s, 10);
		stream_step(&s, 0.5);
		/* 50 wait, 100 are taken in a second */
		near(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST), 0.5);
	}
	/* Nothing is taken: the first one waits at least since then. */
	for (int i = 0; i < 5; i++)
		stream_step(&s, 0.5);
	near(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST), 0.5);
	stream_step(&s, 0.5);
	near(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST), 0.6);
	stream_depth(&s, 0);
	stream_serve(&s, 50);
	stream_step(&s, 0.5);
	stream_step(&s, 0.5);
	near(value(&s, METRIC_ACCEPT_QUEUE_WAIT_SECONDS, STAT_LAST), 0);
	stream_end(&s);
}

static void test_cpu_follows_the_owners_counters(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	stream_step(&s, 1.5);
	near(value(&s, METRIC_CPU_CORES, STAT_LAST), 1.5);
	near(value(&s, METRIC_CPU_UTILIZATION, STAT_LAST), 1.5 / 4);
	s.usage.cpu_limit_known = true;
	s.usage.cpu_limit_cores = 2;
	stream_step(&s, 1.5);
	near(value(&s, METRIC_CPU_UTILIZATION, STAT_LAST), 0.75);
	assert_true(isnan(value(&s, METRIC_CPU_THROTTLED_RATIO, STAT_LAST)));
	assert_true(isnan(value(&s, METRIC_CPU_PRESSURE_RATIO, STAT_LAST)));
	s.usage.cpu_known = false;
	stream_step(&s, 0);
	assert_true(isnan(value(&s, METRIC_CPU_CORES, STAT_LAST)));
	near(value(&s, METRIC_CPU_CORES, STAT_FAST), 1.5);
	stream_end(&s);
}

static void test_pressure_and_throttling_are_shares_of_time(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	s.usage.psi_known = s.usage.throttle_known = true;
	stream_step(&s, 0);
	s.usage.psi_cpu_some_ns += 25 * NS_PER_MS;
	s.usage.psi_memory_some_ns += 50 * NS_PER_MS;
	s.usage.throttled_ns += 300 * NS_PER_MS;
	stream_step(&s, 0);
	near(value(&s, METRIC_CPU_PRESSURE_RATIO, STAT_LAST), 0.25);
	near(value(&s, METRIC_MEMORY_PRESSURE_RATIO, STAT_LAST), 0.5);
	near(value(&s, METRIC_CPU_THROTTLED_RATIO, STAT_LAST), 1);
	stream_end(&s);
}

static void test_figures_given_again_keep_the_last_value(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	stream_step(&s, 1);
	s.now_ns += STEP_NS;
	assert_int_equal(stream_feed_at(&s, s.now_ns), 0);
	near(value(&s, METRIC_CPU_CORES, STAT_LAST), 1);
	/* the next reading covers two intervals */
	stream_step(&s, 1);
	near(value(&s, METRIC_CPU_CORES, STAT_LAST), 0.5);
	stream_end(&s);
}

static void test_another_owner_gives_no_jump(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 99);
	stream_step(&s, 0);
	stream_step(&s, 1);
	s.owner.cgroup_id = 77;
	s.usage.cpu_ns = 3600 * NS_PER_S;
	stream_step(&s, 1);
	assert_true(isnan(value(&s, METRIC_CPU_CORES, STAT_LAST)));
	stream_step(&s, 1);
	near(value(&s, METRIC_CPU_CORES, STAT_LAST), 1);
	stream_end(&s);
}

static void test_capacity_is_learned_while_the_queue_is_not_empty(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 999);
	for (int i = 0; i < 30; i++) {
		stream_serve(&s, 40);
		stream_step(&s, 1);
	}
	assert_true(isnan(stream_indicator(&s)->capacity_per_second));
	stream_depth(&s, 20);
	for (int i = 0; i < 60; i++) {
		stream_serve(&s, i % 2 ? 11 : 9);
		stream_step(&s, 1);
	}
	assert_true(fabs(stream_indicator(&s)->capacity_per_second - 100) < 10);
	/* One accident does not change it, */
	for (int i = 0; i < 5; i++) {
		stream_serve(&s, 500);
		stream_step(&s, 1);
	}
	assert_true(stream_indicator(&s)->capacity_per_second < 110);
	/* a server that became slower does, in time, */
	for (int i = 0; i < 600; i++) {
		stream_serve(&s, 5);
		stream_step(&s, 1);
	}
	assert_true(fabs(stream_indicator(&s)->capacity_per_second - 50) < 5);
	/* and an empty queue leaves it alone. */
	stream_depth(&s, 0);
	for (int i = 0; i < 100; i++) {
		stream_serve(&s, 1);
		stream_step(&s, 0.1);
	}
	assert_true(fabs(stream_indicator(&s)->capacity_per_second - 50) < 5);
	stream_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_sample_knows_gauges_but_no_rate),
		cmocka_unit_test(test_rates_are_differences_over_the_real_interval),
		cmocka_unit_test(test_windows_forget_what_is_older),
		cmocka_unit_test(test_of_a_unix_socket_only_the_queue_is_known),
		cmocka_unit_test(test_a_peak_of_a_gap_is_of_no_window),
		cmocka_unit_test(test_percentiles_are_nearest_ranks_of_the_slow_window),
		cmocka_unit_test(test_the_trend_of_a_straight_line_is_its_slope),
		cmocka_unit_test(test_samples_faster_than_a_slot_share_it),
		cmocka_unit_test(test_the_peak_between_two_samples_is_kept),
		cmocka_unit_test(test_an_edge_raises_the_depth_at_once_and_stays_in_the_peaks),
		cmocka_unit_test(test_an_edge_that_the_sample_has_seen_changes_nothing),
		cmocka_unit_test(test_samples_out_of_order_are_refused_and_change_nothing),
		cmocka_unit_test(test_counters_that_start_anew_give_no_negative_rate),
		cmocka_unit_test(test_a_derived_counter_that_steps_back_is_waited_out),
		cmocka_unit_test(test_another_generation_starts_anew),
		cmocka_unit_test(test_a_listener_without_sample_is_left_out),
		cmocka_unit_test(test_an_indicator_keeps_the_time_of_its_newest_sample),
		cmocka_unit_test(test_a_pause_of_the_sampler_gives_one_long_interval),
		cmocka_unit_test(test_listeners_come_in_the_order_of_their_slots),
		cmocka_unit_test(test_the_wait_is_measured_where_accept_is_visible),
		cmocka_unit_test(test_the_wait_follows_littles_law_where_accept_is_not_visible),
		cmocka_unit_test(test_cpu_follows_the_owners_counters),
		cmocka_unit_test(test_pressure_and_throttling_are_shares_of_time),
		cmocka_unit_test(test_figures_given_again_keep_the_last_value),
		cmocka_unit_test(test_another_owner_gives_no_jump),
		cmocka_unit_test(test_capacity_is_learned_while_the_queue_is_not_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
