/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of cron, as Karpenter reads them: github.com/robfig/cron, parser.go and spec.go, in
 * UTC. */
#include "documents/documents.h"

#include <ctype.h>
#include <strings.h>
#include <time.h>

#define FIELDS 5
#define FIELD_MAX 1024
#define SECONDS_PER_DAY ((uint64_t)86400)
/* A 29th of February is at most 8 years away from the next. */
#define DAYS_MAX (8 * 366 + 1)

struct bounds {
	unsigned low, high;
	const char *const *names; /* of the values from low */
	size_t count;
};

static const char *const MONTHS[] = {"jan", "feb", "mar", "apr", "may", "jun",
				     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const WEEK_DAYS[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
static const struct bounds BOUNDS[FIELDS] = {{0, 59, NULL, 0},
					     {0, 23, NULL, 0},
					     {1, 31, NULL, 0},
					     {1, 12, MONTHS, ARRAY_SIZE(MONTHS)},
					     {0, 6, WEEK_DAYS, ARRAY_SIZE(WEEK_DAYS)}};

static const struct {
	const char *name, *same_as;
} DESCRIPTORS[] = {
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

/* ---- reading ---- */

static bool parse_number(const char *text, unsigned *out)
{
	uint64_t value;

	if (parse_u64(text + (*text == '+'), &value) < 0 || value > UINT16_MAX)
		return false;
	*out = (unsigned)value;
	return true;
}

static bool parse_value(const char *text, const struct bounds *bounds, unsigned *out)
{
	for (size_t i = 0; i < bounds->count; i++) {
		if (strcasecmp(text, bounds->names[i]) != 0)
			continue;
		*out = bounds->low + (unsigned)i;
		return true;
	}
	return parse_number(text, out);
}

/* "*", "5", "1-5", each with "/step". Cuts the text up. */
static const char *parse_range(char *text, const struct bounds *bounds, uint64_t *bits, bool *any)
{
	char *slash = strchr(text, '/'), *dash;
	unsigned from = bounds->low, to = bounds->high, step = 1;
	bool star;

	if (slash)
		*slash++ = '\0';
	dash = strchr(text, '-');
	if (dash)
		*dash++ = '\0';
	star = strcmp(text, "*") == 0 || strcmp(text, "?") == 0;
	if (!star) {
		if (!parse_value(text, bounds, &from))
			return "not a number or name of this field of the schedule";
		to = !dash && slash ? bounds->high : from;
		if (dash && strchr(dash, '-'))
			return "a range of the schedule has more than one '-'";
		if (dash && !parse_value(dash, bounds, &to))
			return "not a number or name of this field of the schedule";
	}
	if (slash && !parse_number(slash, &step))
		return "not a number after '/' in the schedule";
	if (from < bounds->low || to > bounds->high)
		return "expected minute 0-59, hour 0-23, day of month 1-31, month 1-12, day of "
		       "week 0-6";
	if (from > to || step == 0)
		return "a range of the schedule runs backwards, or its step is 0";
	for (unsigned value = from; value <= to; value += step)
		*bits |= 1ULL << value;
	*any |= star && step == 1;
	return NULL;
}

static const char *parse_field(char *text, const struct bounds *bounds, uint64_t *bits, bool *any)
{
	char *rest = NULL;

	*bits = 0;
	*any = false;
	for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		const char *why = parse_range(part, bounds, bits, any);

		if (why)
			return why;
	}
	return *bits ? NULL : "a field of the schedule has no value";
}

static const char *parse_fields(char *text, uint64_t bits[FIELDS], bool any[FIELDS])
{
	char *rest = NULL, *fields[FIELDS + 1];
	size_t count = 0;

	for (char *field = strtok_r(text, " \t\n\v\f\r", &rest); field;
	     field = strtok_r(NULL, " \t\n\v\f\r", &rest)) {
		if (count == FIELDS)
			return "expected five fields: minute, hour, day of month, month, day of "
			       "week, in UTC";
		fields[count++] = field;
	}
	if (count != FIELDS)
		return "expected five fields: minute, hour, day of month, month, day of week";
	for (size_t i = 0; i < FIELDS; i++) {
		const char *why = parse_field(fields[i], &BOUNDS[i], &bits[i], &any[i]);

		if (why)
			return why;
	}
	return NULL;
}

/* A day of the month that none of its months has comes never. */
static bool has_a_day(const struct cron_schedule *schedule)
{
	static const uint32_t LONG_MONTHS = 0x15aa, FEBRUARY = 0x4;

	if (!schedule->any_week_day || schedule->any_month_day)
		return true;
	if (schedule->months & LONG_MONTHS)
		return true;
	if (schedule->months & ~FEBRUARY)
		return schedule->month_days & ~(1U << 31);
	return schedule->month_days & ~(1U << 31 | 1U << 30);
}

int cron_parse(const char *text, struct cron_schedule *out, const char **why)
{
	_cleanup_free_ char *copy = NULL;
	uint64_t bits[FIELDS] = {0};
	bool any[FIELDS] = {false};

	*why = "expected @yearly, @monthly, @weekly, @daily or @hourly";
	if (strlen(text) > FIELD_MAX) {
		*why = "the schedule is too long";
		return -EINVAL;
	}
	for (size_t i = 0; *text == '@' && i < ARRAY_SIZE(DESCRIPTORS); i++)
		if (strcmp(text, DESCRIPTORS[i].name) == 0)
			text = DESCRIPTORS[i].same_as;
	if (*text == '@')
		return -EINVAL;
	copy = strdup(text);
	*why = parse_fields(copy, bits, any);
	if (*why)
		return -EINVAL;
	*out = (struct cron_schedule){
		.minutes = bits[0],
		.hours = (uint32_t)bits[1],
		.month_days = (uint32_t)bits[2],
		.months = (uint32_t)bits[3],
		.week_days = (uint8_t)bits[4],
		.any_month_day = any[2],
		.any_week_day = any[4],
	};
	if (has_a_day(out))
		return 0;
	*why = "no month of the schedule has that day";
	return -EINVAL;
}

/* ---- moments ---- */

static bool day_matches(const struct cron_schedule *schedule, const struct tm *day)
{
	bool month_day = schedule->month_days >> day->tm_mday & 1;
	bool week_day = schedule->week_days >> day->tm_wday & 1;

	if (!(schedule->months >> (day->tm_mon + 1) & 1))
		return false;
	if (schedule->any_month_day || schedule->any_week_day)
		return month_day && week_day;
	return month_day || week_day;
}

/* The latest minute of the day at or before that one; -1: none. */
static int minute_of_day(const struct cron_schedule *schedule, int before)
{
	for (int hour = before / 60; hour >= 0; hour--) {
		int last = hour == before / 60 ? before % 60 : 59;
		uint64_t minutes = schedule->minutes & (~0ULL >> (63 - last));

		if ((schedule->hours >> hour & 1) && minutes)
			return hour * 60 + 63 - __builtin_clzll(minutes);
	}
	return -1;
}

uint64_t cron_last(const struct cron_schedule *schedule, uint64_t wall_ns)
{
	uint64_t seconds = wall_ns / NS_PER_S, day = seconds / SECONDS_PER_DAY;
	int before = (int)(seconds % SECONDS_PER_DAY / 60);

	for (int i = 0; i < DAYS_MAX; i++, day--, before = 24 * 60 - 1) {
		time_t start = (time_t)(day * SECONDS_PER_DAY);
		struct tm date;
		int minute;

		gmtime_r(&start, &date);
		minute = day_matches(schedule, &date) ? minute_of_day(schedule, before) : -1;
		if (minute >= 0)
			return ((uint64_t)start + (uint64_t)minute * 60) * NS_PER_S;
		if (!day)
			break;
	}
	return 0;
}
