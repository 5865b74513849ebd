/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

struct row {
	const char *says;
	double present, fast, trend, lead, ceiling, expected;
};

static const struct row ROWS[] = {
	{"a line is carried on for the lead time", 100, 100, 2, 40, INFINITY, 180},
	{"from the fast value, not from the peak", 120, 100, 2, 40, INFINITY, 180},
	{"never below the present when it falls", 100, 100, -2, 40, INFINITY, 100},
	{"a spike's slope buys four times the present", 50, 50, 100, 40, INFINITY, 200},
	{"nothing now is nothing later", 0, 0, 100, 40, INFINITY, 0},
	{"a ratio ends at its ceiling", 0.5, 0.5, 0.1, 40, 1, 1},
	{"a present above the ceiling stays", 1.5, 1.5, 0.1, 40, 1, 1.5},
	{"no trend, no forecast", 100, 100, NAN, 40, INFINITY, NAN},
	{"no fast value, no forecast", 100, NAN, 1, 40, INFINITY, NAN},
	{"no lead time, no forecast", 100, 100, 1, NAN, INFINITY, NAN},
	{"never negative", 0, -5, -1, 40, INFINITY, 0},
};

static void the_forecast_is_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		const struct row *row = &ROWS[i];
		double is =
			forecast_of(row->present, row->fast, row->trend, row->lead, row->ceiling);

		if (isnan(row->expected) ? !isnan(is) : !(fabs(is - row->expected) < 1e-9))
			fail_msg("%s: %g, expected %g", row->says, is, row->expected);
	}
}

/* What rises for less than the window of its own trend is a step or a wobble. */
static void only_a_forecast_that_stands_is_believed(void **state)
{
	struct forecast_history history = {0};
	uint64_t now = 1000 * NS_PER_S;

	(void)state;
	for (int i = 0; i < 30; i++, now += 100 * NS_PER_MS)
		assert_true(isnan(forecast_standing(&history, now, 50)));
	assert_float_equal(forecast_standing(&history, now, 50), 50, 1e-9);
	for (int i = 0; i < 29; i++) {
		now += 100 * NS_PER_MS;
		assert_float_equal(forecast_standing(&history, now, 200), 50, 1e-9);
	}
	now += 200 * NS_PER_MS;
	assert_float_equal(forecast_standing(&history, now, 210), 200, 1e-9);
	now += 100 * NS_PER_MS;
	assert_float_equal(forecast_standing(&history, now, 120), 120, 1e-9);
	now += 100 * NS_PER_MS;
	assert_true(isnan(forecast_standing(&history, now, NAN)));
	now += 100 * NS_PER_MS;
	assert_true(isnan(forecast_standing(&history, now, 200)));
	vec_free(&history.points);
}

static void pauses_grow_jitter_and_stay_the_same_for_a_token(void **state)
{
	uint64_t most = 0;
	size_t differ = 0;

	(void)state;
	for (uint32_t tries = 1; tries < 40; tries++) {
		uint64_t wait = backoff_after("fr-0-1-1", tries);
		uint64_t bound = MIN(200 * NS_PER_MS << MIN(tries, 10U), 20 * NS_PER_S);

		assert_true(wait == backoff_after("fr-0-1-1", tries));
		assert_true(wait >= 20 * NS_PER_MS && wait <= bound + 20 * NS_PER_MS);
		differ += wait != backoff_after("fr-0-1-2", tries);
		most = MAX(most, wait);
	}
	assert_true(differ > 30);
	assert_true(most > 10 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_forecast_is_bounded),
		cmocka_unit_test(only_a_forecast_that_stands_is_believed),
		cmocka_unit_test(pauses_grow_jitter_and_stay_the_same_for_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
