/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every stream: 10,000 random steps, compared with windows computed from scratch. */
#include "tests/unit/signal_stream.h"

#define STEPS 10000

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

struct history {
	uint64_t time_ns[STEPS];
	uint32_t depth[STEPS], peak[STEPS];
	uint64_t requests[STEPS];
};

static void random_step(struct stream *s, uint64_t *seed)
{
	uint32_t limit = s->listener.queue_worst_limit;

	switch (next(seed) % 4) {
	case 0:
		stream_depth(s, 0);
		break;
	case 1:
		stream_depth(s, (uint32_t)(next(seed) % (limit + 2)));
		break;
	default:
		break;
	}
	s->listener.queue_peak = (uint32_t)(next(seed) % (limit + 2));
	s->listener.queue_peak = MAX(s->listener.queue_peak, s->listener.queue_depth);
	if (next(seed) % 3)
		stream_serve(s, next(seed) % 100);
	s->listener.in_flight = (uint32_t)(next(seed) % 50);
	s->listener.syn_queue = (uint32_t)(next(seed) % 10);
	s->listener.open_connections = (uint32_t)(next(seed) % 500);
	s->listener.overflows += next(seed) % 5 ? 0 : next(seed) % 10;
	s->listener.drops += next(seed) % 5 ? 0 : next(seed) % 10;
	s->usage.cpu_ns += next(seed) % (200 * NS_PER_MS);
}

static void check_known(const struct indicator *i, bool first)
{
	static const enum metric always[] = {
		METRIC_ACCEPT_QUEUE_DEPTH, METRIC_ACCEPT_QUEUE_UTILIZATION, METRIC_SYN_QUEUE_DEPTH,
		METRIC_REQUESTS_IN_FLIGHT, METRIC_OPEN_CONNECTIONS,
	};
	static const enum metric rates[] = {
		METRIC_DROPS_PER_SECOND,
		METRIC_OVERFLOWS_PER_SECOND,
		METRIC_CONNECTIONS_PER_SECOND,
		METRIC_ACCEPTS_PER_SECOND,
		METRIC_REQUESTS_PER_SECOND,
		METRIC_RESPONSES_PER_SECOND,
		METRIC_CPU_CORES,
		METRIC_CPU_UTILIZATION,
	};

	for (int st = 0; st < STAT_TREND; st++) {
		for (size_t n = 0; n < ARRAY_SIZE(always); n++)
			assert_false(isnan(i->value[always[n]][st]));
		for (size_t n = 0; n < ARRAY_SIZE(rates); n++)
			assert_int_equal(isnan(i->value[rates[n]][st]) != 0, first);
	}
}

static void check_order(const struct indicator *i)
{
	for (int m = 0; m < METRIC_COUNT; m++) {
		const double *v = i->value[m];

		for (int st = 0; st < STAT_TREND; st++)
			assert_false(v[st] < 0 || isinf(v[st]));
		assert_false(v[STAT_FAST] > v[STAT_FAST_PEAK]);
		assert_false(v[STAT_SLOW] > v[STAT_SLOW_PEAK]);
		assert_false(v[STAT_FAST_PEAK] > v[STAT_SLOW_PEAK]);
		assert_false(v[STAT_LAST] > v[STAT_FAST_PEAK]);
		assert_false(v[STAT_SLOW_P50] > v[STAT_SLOW_P90]);
		assert_false(v[STAT_SLOW_P90] > v[STAT_SLOW_P99]);
		assert_false(v[STAT_SLOW_P99] > v[STAT_SLOW_PEAK]);
	}
	assert_true(i->reason[0] != '\0');
	assert_true((unsigned)i->diagnosis < DIAGNOSIS_COUNT);
}

static void near(double value, double expected)
{
	if (!(fabs(value - expected) <= 1e-6 * fmax(1, fabs(expected))))
		fail_msg("%.12g instead of %.12g", value, expected);
}

/* The windows from scratch. Only where no two samples share a slot. */
static void check_windows(const struct indicator *i, const struct history *h, size_t n,
			  uint64_t window_ns, enum statistic mean, enum statistic peak)
{
	double weighted = 0, weight = 0, highest = 0, requests = 0;
	size_t at = n;

	for (; h->time_ns[n] - h->time_ns[at] < window_ns; at--) {
		double span = at ? (double)(h->time_ns[at] - h->time_ns[at - 1]) : 0;

		weighted += span * h->depth[at];
		weight += span;
		highest = fmax(highest, h->peak[at]);
		requests += at ? (double)(h->requests[at] - h->requests[at - 1]) : 0;
		if (at == 0)
			break;
	}
	near(i->value[METRIC_ACCEPT_QUEUE_DEPTH][peak], highest);
	if (weight > 0) {
		near(i->value[METRIC_ACCEPT_QUEUE_DEPTH][mean], weighted / weight);
		near(i->value[METRIC_REQUESTS_PER_SECOND][mean], requests * 1e9 / weight);
	}
}

static void run(uint64_t seed, uint64_t least_ns, uint64_t spread_ns)
{
	struct stream s;

	stream_start(&s, 20);
	for (size_t n = 0; n < STEPS; n++) {
		const struct indicator *i;

		/* Long quiet times too, so that windows become constant and leave it again. */
		if (n % 500 < 400)
			random_step(&s, &seed);
		else
			s.listener.queue_peak = s.listener.queue_depth;
		s.now_ns += least_ns + next(&seed) % spread_ns;
		s.usage.time_ns = s.now_ns;
		assert_int_equal(stream_feed_at(&s, s.now_ns), 0);
		i = stream_indicator(&s);
		check_known(i, n == 0);
		check_order(i);
		if (next(&seed) % 10 == 0) {
			stream_edge(&s, 1 + next(&seed) % least_ns, (uint32_t)(next(&seed) % 22));
			check_order(stream_indicator(&s));
		}
	}
	stream_end(&s);
}

static void test_ten_thousand_random_steps_at_ten_hertz(void **state)
{
	(void)state;
	run(1, 80 * NS_PER_MS, 40 * NS_PER_MS);
}

static void test_ten_thousand_random_steps_at_any_pace(void **state)
{
	(void)state;
	run(2, NS_PER_MS, 700 * NS_PER_MS);
	run(3, NS_PER_MS, 3 * NS_PER_MS);
}

static void test_windows_equal_those_computed_from_scratch(void **state)
{
	static struct history h;
	uint64_t seed = 4;
	struct stream s;

	(void)state;
	stream_start(&s, 20);
	for (size_t n = 0; n < STEPS; n++) {
		const struct indicator *i;

		if (n % 300 < 200)
			random_step(&s, &seed);
		else
			s.listener.queue_peak = s.listener.queue_depth;
		s.now_ns += 80 * NS_PER_MS + next(&seed) % (40 * NS_PER_MS);
		s.usage.time_ns = s.now_ns;
		assert_int_equal(stream_feed_at(&s, s.now_ns), 0);
		i = stream_indicator(&s);
		h.time_ns[n] = s.now_ns;
		h.depth[n] = s.listener.queue_depth;
		h.peak[n] = s.listener.queue_peak;
		h.requests[n] = s.listener.requests;
		check_windows(i, &h, n, 300 * NS_PER_MS, STAT_FAST, STAT_FAST_PEAK);
		check_windows(i, &h, n, 3 * NS_PER_S, STAT_SLOW, STAT_SLOW_PEAK);
	}
	stream_end(&s);
}

/* Whatever the kernel side would send: nothing crashes and nothing overflows. */
static void test_nonsense_does_no_harm(void **state)
{
	uint64_t seed = 5;
	struct stream s;

	(void)state;
	stream_start(&s, 20);
	for (int n = 0; n < 3000; n++) {
		uint64_t *counters[] = {
			&s.listener.drops,	  &s.listener.overflows,
			&s.listener.syns,	  &s.listener.established,
			&s.listener.accepted,	  &s.listener.closed,
			&s.listener.requests,	  &s.listener.responses,
			&s.listener.accept_waits, &s.listener.accept_wait_ns,
			&s.usage.cpu_ns,	  &s.usage.psi_cpu_some_ns,
			&s.usage.throttled_ns,	  &s.buckets[next(&seed) % PROBE_BUCKETS]};

		for (size_t c = 0; c < ARRAY_SIZE(counters); c++)
			*counters[c] = next(&seed) >> (next(&seed) % 64);
		s.listener.queue_depth = (uint32_t)next(&seed);
		s.listener.queue_worst_depth = (uint32_t)next(&seed);
		s.listener.queue_worst_limit = (uint32_t)(next(&seed) >> (next(&seed) % 64));
		s.listener.queue_peak = (uint32_t)next(&seed);
		s.listener.sockets = (uint32_t)(next(&seed) % 3);
		s.usage.psi_known = s.usage.throttle_known = next(&seed) % 2;
		s.listener.generation = (uint32_t)(next(&seed) % 20 == 0);
		s.now_ns += 1 + (next(&seed) >> (24 + next(&seed) % 40));
		s.usage.time_ns = next(&seed) % 4 ? s.now_ns : next(&seed);
		assert_int_equal(stream_feed_at(&s, s.now_ns), 0);
		assert_true(stream_indicator(&s)->reason[0] != '\0');
	}
	stream_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_thousand_random_steps_at_ten_hertz),
		cmocka_unit_test(test_ten_thousand_random_steps_at_any_pace),
		cmocka_unit_test(test_windows_equal_those_computed_from_scratch),
		cmocka_unit_test(test_nonsense_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
