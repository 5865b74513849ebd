/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of budgets: what is read of them, and the newest moment found by counting minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <time.h>

#include "documents/documents.h"

#define MINUTE_NS (60 * NS_PER_S)
#define DAY_MINUTES (24 * 60)

/* 2026-11-24, a Tuesday, at that time of the day. */
static uint64_t at(unsigned hour, unsigned minute, unsigned second)
{
	return (1795478400ULL + hour * 3600 + minute * 60 + second) * NS_PER_S;
}

static struct cron_schedule parsed(const char *text)
{
	struct cron_schedule schedule = {0};
	const char *why = NULL;
	int r = cron_parse(text, &schedule, &why);

	if (r < 0)
		print_error("%s: %s\n", text, why);
	assert_int_equal(r, 0);
	return schedule;
}

static uint64_t last(const char *text, uint64_t wall_ns)
{
	struct cron_schedule schedule = parsed(text);

	return cron_last(&schedule, wall_ns);
}

static void fields_have_names_ranges_steps_and_lists(void **unused)
{
	struct cron_schedule schedule;

	(void)unused;
	schedule = parsed("*/15 9-17/4 1,15 JAN-mar Mon,sat");
	assert_true(schedule.minutes == (1ULL | 1ULL << 15 | 1ULL << 30 | 1ULL << 45));
	assert_int_equal(schedule.hours, 1U << 9 | 1U << 13 | 1U << 17);
	assert_int_equal(schedule.month_days, 1U << 1 | 1U << 15);
	assert_int_equal(schedule.months, 1U << 1 | 1U << 2 | 1U << 3);
	assert_int_equal(schedule.week_days, 1U << 1 | 1U << 6);
	assert_false(schedule.any_month_day || schedule.any_week_day);
	/* A single value with a step goes on to the end; "?" is "*"; "*" with a step is none. */
	schedule = parsed("50/5 ? */2 * ?");
	assert_true(schedule.minutes == (1ULL << 50 | 1ULL << 55));
	assert_int_equal(schedule.hours, (1U << 24) - 1);
	assert_false(schedule.any_month_day);
	assert_true(schedule.any_week_day);
}

static void descriptors_are_schedules(void **unused)
{
	static const struct {
		const char *name;
		uint64_t last;
	} CASES[] = {
		{"@hourly", 1795510800ULL},   {"@daily", 1795478400ULL},
		{"@midnight", 1795478400ULL}, {"@weekly", 1795305600ULL},
		{"@monthly", 1793491200ULL},  {"@yearly", 1767225600ULL},
		{"@annually", 1767225600ULL},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_true(last(CASES[i].name, at(9, 30, 15)) == CASES[i].last * NS_PER_S);
}

static void what_is_no_schedule_says_why(void **unused)
{
	static const char *const WRONG[] = {
		"",
		"@every 1h",
		"@dayly",
		"* * * *",
		"* * * * * *",
		"60 * * * *",
		"* 24 * * *",
		"* * 0 * *",
		"* * * 13 *",
		"* * * * 7",
		"5-1 * * * *",
		"*/0 * * * *",
		"1-2-3 * * * *",
		"x * * * *",
		"* * * * mon-",
		", * * * *",
		"-1 * * * *",
		"1/2/3 * * * *",
		"0 0 30 feb *",
		"0 0 31 apr,jun *",
		"TZ=UTC 0 0 * *",
		"* * * jan-13 *",
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(WRONG); i++) {
		struct cron_schedule schedule = {0};
		const char *why = NULL;

		if (cron_parse(WRONG[i], &schedule, &why) == 0)
			fail_msg("\"%s\" was read", WRONG[i]);
		assert_non_null(why);
	}
}

static void a_day_matches_as_in_cron(void **unused)
{
	(void)unused;
	/* Either field, when both are named: the 20th or a Monday, which was the 23rd. */
	assert_true(last("0 0 20 * mon", at(9, 0, 0)) == at(0, 0, 0) - DAY_MINUTES * MINUTE_NS);
	/* Only the named one beside "*". */
	assert_true(last("0 0 20 * *", at(9, 0, 0)) == at(0, 0, 0) - 4 * DAY_MINUTES * MINUTE_NS);
	/* The moment itself counts, the nanosecond before it does not. */
	assert_true(last("0 9 * * *", at(9, 0, 0)) == at(9, 0, 0));
	assert_true(last("0 9 * * *", at(9, 0, 0) - 1) == at(9, 0, 0) - DAY_MINUTES * MINUTE_NS);
	/* The last 29th of February was in 2024. */
	assert_true(last("0 0 29 2 *", at(0, 0, 0)) == 1709164800ULL * NS_PER_S);
	/* Nothing before there was any time. */
	assert_true(last("0 9 * * *", 5 * MINUTE_NS) == 0);
}

static bool matches(const struct cron_schedule *schedule, uint64_t minute)
{
	time_t seconds = (time_t)(minute * 60);
	bool month_day, week_day;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	month_day = schedule->month_days >> tm.tm_mday & 1;
	week_day = schedule->week_days >> tm.tm_wday & 1;
	if (!(schedule->minutes >> tm.tm_min & 1) || !(schedule->hours >> tm.tm_hour & 1) ||
	    !(schedule->months >> (tm.tm_mon + 1) & 1))
		return false;
	if (schedule->any_month_day || schedule->any_week_day)
		return month_day && week_day;
	return month_day || week_day;
}

static unsigned draw(uint64_t *state, unsigned count)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(*state >> 33) % count;
}

static void random_field(uint64_t *state, unsigned low, unsigned high, char *out, size_t size)
{
	unsigned from = low + draw(state, high - low + 1);
	unsigned to = from + draw(state, high - from + 1), step = 1 + draw(state, 7);

	switch (draw(state, 6)) {
	case 0:
	case 1:
		snprintf(out, size, "*");
		break;
	case 2:
		snprintf(out, size, "*/%u", step);
		break;
	case 3:
		snprintf(out, size, "%u-%u/%u", from, to, step);
		break;
	case 4:
		snprintf(out, size, "%u,%u", from, to);
		break;
	default:
		snprintf(out, size, "%u", from);
	}
}

/* Minute by minute back from it, over ten weeks: then it must lie before them. */
static void the_newest_moment_is_what_counting_finds(void **unused)
{
	uint64_t state = 7;
	size_t found = 0;

	(void)unused;
	for (int i = 0; i < 300; i++) {
		char minute[32], hour[32], day[32], month[32], week_day[32], text[192];
		uint64_t wall = at(0, 0, 0) + (uint64_t)draw(&state, 2000000) * 7 * NS_PER_S;
		uint64_t start = wall / MINUTE_NS, back = 0, got;
		struct cron_schedule schedule = {0};
		const char *why;

		random_field(&state, 0, 59, minute, sizeof(minute));
		random_field(&state, 0, 23, hour, sizeof(hour));
		random_field(&state, 1, 31, day, sizeof(day));
		random_field(&state, 1, 12, month, sizeof(month));
		random_field(&state, 0, 6, week_day, sizeof(week_day));
		snprintf(text, sizeof(text), "%s %s %s %s %s", minute, hour, day, month, week_day);
		if (cron_parse(text, &schedule, &why) < 0)
			continue;
		got = cron_last(&schedule, wall);
		while (back < 70 * DAY_MINUTES && !matches(&schedule, start - back))
			back++;
		if (back < 70 * DAY_MINUTES)
			assert_true(got == (start - back) * MINUTE_NS);
		else
			assert_true(got && got < (start - back + 1) * MINUTE_NS &&
				    matches(&schedule, got / MINUTE_NS));
		found += back < 70 * DAY_MINUTES;
	}
	assert_true(found > 150);
}

static void a_budget_is_active_for_its_duration(void **unused)
{
	struct disruption_budget budget = {.scheduled = true, .duration_s = 8 * 3600};

	(void)unused;
	budget.schedule = parsed("0 9 * * mon-fri");
	assert_false(disruption_budget_active(&budget, at(8, 59, 59)));
	assert_true(disruption_budget_active(&budget, at(9, 0, 0)));
	assert_true(disruption_budget_active(&budget, at(16, 59, 59)));
	assert_false(disruption_budget_active(&budget, at(17, 0, 0)));
	budget.scheduled = false;
	assert_true(disruption_budget_active(&budget, at(3, 0, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_have_names_ranges_steps_and_lists),
		cmocka_unit_test(descriptors_are_schedules),
		cmocka_unit_test(what_is_no_schedule_says_why),
		cmocka_unit_test(a_day_matches_as_in_cron),
		cmocka_unit_test(the_newest_moment_is_what_counting_finds),
		cmocka_unit_test(a_budget_is_active_for_its_duration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
