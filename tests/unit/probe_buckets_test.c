/* SPDX-License-Identifier: Apache-2.0 */
/* The buckets of response times: what the kernel counts into is what userspace says it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bpf/buckets.h"
#include "probe/probe.h"

static void buckets_cover_every_duration_once(void **state)
{
	uint64_t low, high, end = 0;

	(void)state;
	for (size_t i = 0; i < PROBE_BUCKETS; i++) {
		probe_bucket_bounds(i, &low, &high);
		assert_int_equal(low, end);
		assert_true(high > low);
		end = high;
	}
	assert_true(end == UINT64_MAX);
}

static void the_kernel_counts_into_the_bucket_that_the_bounds_name(void **state)
{
	uint64_t low, high;

	(void)state;
	for (size_t i = 0; i < PROBE_BUCKETS; i++) {
		probe_bucket_bounds(i, &low, &high);
		assert_int_equal(forerun_bucket_of(low), i);
		assert_int_equal(forerun_bucket_of(low + (high - low) / 2), i);
		assert_int_equal(forerun_bucket_of(high - 1), i);
	}
}

static void every_nanosecond_up_to_20_us_falls_within_its_bounds(void **state)
{
	uint64_t low, high;

	(void)state;
	for (uint64_t ns = 0; ns < 20000; ns++) {
		probe_bucket_bounds(forerun_bucket_of(ns), &low, &high);
		assert_true(low <= ns && ns < high);
	}
}

static void the_middle_of_a_bucket_is_within_a_sixteenth_of_what_it_holds(void **state)
{
	uint64_t low, high;

	(void)state;
	for (size_t i = 1; i < PROBE_BUCKETS - 1; i++) {
		probe_bucket_bounds(i, &low, &high);
		assert_true((high - low) * 8 <= low);
	}
}

static void the_last_bucket_takes_what_is_longer_than_134_seconds(void **state)
{
	uint64_t limit = 1000ULL << FORERUN_OCTAVES;

	(void)state;
	assert_int_equal(forerun_bucket_of(limit), PROBE_BUCKETS - 1);
	assert_int_equal(forerun_bucket_of(limit - 1), PROBE_BUCKETS - 2);
	assert_int_equal(forerun_bucket_of(UINT64_MAX / 16), PROBE_BUCKETS - 1);
	assert_int_equal(forerun_bucket_of(UINT64_MAX), PROBE_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_cover_every_duration_once),
		cmocka_unit_test(the_kernel_counts_into_the_bucket_that_the_bounds_name),
		cmocka_unit_test(every_nanosecond_up_to_20_us_falls_within_its_bounds),
		cmocka_unit_test(the_middle_of_a_bucket_is_within_a_sixteenth_of_what_it_holds),
		cmocka_unit_test(the_last_bucket_takes_what_is_longer_than_134_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
