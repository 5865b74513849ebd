/* SPDX-License-Identifier: Apache-2.0 */
/* Response-time quantiles from buckets, against the quantiles of the values themselves. */
#include "tests/unit/signal_stream.h"

/* The bucket that bpf/forerun.h describes: 8 to each power of two from 1 us on. */
static size_t bucket_of(double seconds)
{
	double us = seconds * 1e6;
	int octave;
	size_t bucket;

	if (us < 1)
		return 0;
	octave = (int)floor(log2(us));
	if (octave >= FORERUN_OCTAVES)
		return PROBE_BUCKETS - 1;
	bucket = (size_t)((us / exp2(octave) - 1) * FORERUN_BUCKETS_PER_OCTAVE);
	return 1 + (size_t)octave * FORERUN_BUCKETS_PER_OCTAVE + MIN(bucket, (size_t)7);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static double uniform(uint64_t *seed)
{
	return (double)(next(seed) >> 11) / 9007199254740992.0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void add(struct stream *s, double seconds)
{
	s->buckets[bucket_of(seconds)]++;
	s->listener.responses++;
	s->listener.requests++;
}

static void within(double estimate, const double *sorted, size_t count, double q)
{
	size_t rank = (size_t)ceil(q * (double)count);
	double exact = sorted[CLAMP(rank, 1, count) - 1];
	double width = exact < 1e-6 ? 1e-6 : 0.125 * exact;

	/* In the same bucket; half a bucket is 6.25 %. */
	if (fabs(estimate - exact) > width)
		fail_msg("q %.2f: %.9f instead of %.9f", q, estimate, exact);
}

static void test_quantiles_stay_in_the_bucket_of_the_exact_one(void **state)
{
	static double values[20000];
	uint64_t seed = 88172645463325252ULL;

	(void)state;
	for (int round = 0; round < 40; round++) {
		size_t count = 1 + next(&seed) % ARRAY_SIZE(values);
		struct stream s;
		const struct indicator *i;

		stream_start(&s, 9);
		stream_step(&s, 0);
		for (size_t v = 0; v < count; v++) {
			values[v] = exp2(uniform(&seed) * (double)(round % 26)) * 1e-6;
			add(&s, values[v]);
		}
		qsort(values, count, sizeof(*values), by_value);
		i = stream_step(&s, 0);
		within(i->value[METRIC_RESPONSE_TIME_P50_SECONDS][STAT_LAST], values, count, 0.5);
		within(i->value[METRIC_RESPONSE_TIME_P90_SECONDS][STAT_FAST], values, count, 0.9);
		within(i->value[METRIC_RESPONSE_TIME_P99_SECONDS][STAT_SLOW], values, count, 0.99);
		stream_end(&s);
	}
}

/* Many values spread over each bucket: interpolation is then far better than the bucket. */
static void test_interpolation_stays_within_a_sixteenth(void **state)
{
	struct stream s;
	const struct indicator *i;
	static const double q[] = {0.5, 0.9, 0.99};
	static const enum metric metric[] = {METRIC_RESPONSE_TIME_P50_SECONDS,
					     METRIC_RESPONSE_TIME_P90_SECONDS,
					     METRIC_RESPONSE_TIME_P99_SECONDS};

	(void)state;
	stream_start(&s, 9);
	stream_step(&s, 0);
	for (int v = 1; v <= 100000; v++)
		add(&s, 1e-3 + 1e-6 * v);
	i = stream_step(&s, 0);
	for (size_t n = 0; n < ARRAY_SIZE(q); n++) {
		double exact = 1e-3 + 0.1 * q[n];

		assert_true(fabs(i->value[metric[n]][STAT_LAST] - exact) <= 0.0625 * exact);
	}
	stream_end(&s);
}

/* A single value anywhere in a bucket is at most half a bucket from what is told. */
static void test_one_response_is_told_within_a_sixteenth_at_the_median(void **state)
{
	(void)state;
	for (double seconds = 1.01e-6; seconds < 100; seconds *= 1.37) {
		struct stream s;
		const struct indicator *i;
		double median;

		stream_start(&s, 9);
		stream_step(&s, 0);
		add(&s, seconds);
		i = stream_step(&s, 0);
		median = i->value[METRIC_RESPONSE_TIME_P50_SECONDS][STAT_LAST];
		if (fabs(median - seconds) > 0.0625 * seconds)
			fail_msg("%.9f instead of %.9f", median, seconds);
		stream_end(&s);
	}
}

static void test_the_bounds_are_those_of_the_probe(void **state)
{
	(void)state;
	for (size_t b = 1; b + 1 < PROBE_BUCKETS; b++) {
		uint64_t low_ns, high_ns;
		struct stream s;
		double median;

		probe_bucket_bounds(b, &low_ns, &high_ns);
		stream_start(&s, 9);
		stream_step(&s, 0);
		s.buckets[b] = s.listener.responses = 1;
		median = stream_step(&s, 0)->value[METRIC_RESPONSE_TIME_P50_SECONDS][STAT_LAST];
		assert_true(median * 1e9 >= (double)low_ns * 0.9999);
		assert_true(median * 1e9 <= (double)high_ns * 1.0001);
		stream_end(&s);
	}
}

static void test_without_responses_nothing_is_known(void **state)
{
	struct stream s;

	(void)state;
	stream_start(&s, 9);
	for (int n = 0; n < 10; n++)
		stream_step(&s, 0);
	for (int st = 0; st < STAT_COUNT; st++)
		assert_true(
			isnan(stream_indicator(&s)->value[METRIC_RESPONSE_TIME_P99_SECONDS][st]));
	stream_end(&s);
}

static void test_what_was_answered_before_the_first_sample_does_not_count(void **state)
{
	struct stream s;
	const struct indicator *i;

	(void)state;
	stream_start(&s, 9);
	for (int n = 0; n < 1000; n++)
		add(&s, 5.0);
	stream_step(&s, 0);
	add(&s, 0.001);
	i = stream_step(&s, 0);
	assert_true(i->value[METRIC_RESPONSE_TIME_P99_SECONDS][STAT_SLOW] < 0.0012);
	stream_end(&s);
}

static void test_windows_hold_the_responses_of_their_time(void **state)
{
	struct stream s;
	const struct indicator *i;

	(void)state;
	stream_start(&s, 9);
	stream_step(&s, 0);
	add(&s, 1.0);
	i = stream_step(&s, 0);
	assert_true(i->value[METRIC_RESPONSE_TIME_P50_SECONDS][STAT_FAST] > 0.9);
	for (int n = 0; n < 5; n++) {
		add(&s, 0.01);
		i = stream_step(&s, 0);
	}
	assert_true(i->value[METRIC_RESPONSE_TIME_P99_SECONDS][STAT_FAST] < 0.011);
	assert_true(i->value[METRIC_RESPONSE_TIME_P99_SECONDS][STAT_SLOW] > 0.9);
	for (int n = 0; n < 30; n++)
		i = stream_step(&s, 0);
	assert_true(isnan(i->value[METRIC_RESPONSE_TIME_P99_SECONDS][STAT_SLOW]));
	stream_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles_stay_in_the_bucket_of_the_exact_one),
		cmocka_unit_test(test_interpolation_stays_within_a_sixteenth),
		cmocka_unit_test(test_one_response_is_told_within_a_sixteenth_at_the_median),
		cmocka_unit_test(test_the_bounds_are_those_of_the_probe),
		cmocka_unit_test(test_without_responses_nothing_is_known),
		cmocka_unit_test(test_what_was_answered_before_the_first_sample_does_not_count),
		cmocka_unit_test(test_windows_hold_the_responses_of_their_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
