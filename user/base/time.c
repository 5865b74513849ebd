/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t time_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t time_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

struct moment time_now(void)
{
	return (struct moment){.mono_ns = time_mono_ns(), .wall_ns = time_wall_ns()};
}

void time_format(uint64_t wall_ns, char out[TIME_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;
	char text[64];

	gmtime_r(&seconds, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (int)(wall_ns % NS_PER_S / NS_PER_MS));
	memcpy(out, text, TIME_TEXT_SIZE - 1);
	out[TIME_TEXT_SIZE - 1] = '\0';
}

/* Exactly so many digits; moves on behind them. */
static bool take_digits(const char **text, int digits, int *value)
{
	*value = 0;
	for (int i = 0; i < digits; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		*value = *value * 10 + (**text - '0');
	}
	return true;
}

static bool take_char(const char **text, const char *any_of)
{
	if (!**text || !strchr(any_of, **text))
		return false;
	(*text)++;
	return true;
}

static bool take_fraction(const char **text, uint64_t *ns)
{
	uint64_t unit = NS_PER_S / 10;

	*ns = 0;
	if (!take_char(text, "."))
		return true;
	if (**text < '0' || **text > '9')
		return false;
	for (; **text >= '0' && **text <= '9'; (*text)++, unit /= 10)
		*ns += (uint64_t)(**text - '0') * unit;
	return true;
}

static bool take_offset(const char **text, int *seconds)
{
	int sign, hours, minutes;

	*seconds = 0;
	if (take_char(text, "Zz"))
		return true;
	sign = **text == '-' ? -1 : 1;
	if (!take_char(text, "+-") || !take_digits(text, 2, &hours) || !take_char(text, ":") ||
	    !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

int time_parse(const char *text, uint64_t *wall_ns)
{
	struct tm tm = {0};
	uint64_t fraction_ns;
	int offset;
	time_t seconds;

	if (!take_digits(&text, 4, &tm.tm_year) || !take_char(&text, "-") ||
	    !take_digits(&text, 2, &tm.tm_mon) || !take_char(&text, "-") ||
	    !take_digits(&text, 2, &tm.tm_mday) || !take_char(&text, "Tt ") ||
	    !take_digits(&text, 2, &tm.tm_hour) || !take_char(&text, ":") ||
	    !take_digits(&text, 2, &tm.tm_min) || !take_char(&text, ":") ||
	    !take_digits(&text, 2, &tm.tm_sec) || !take_fraction(&text, &fraction_ns) ||
	    !take_offset(&text, &offset) || *text)
		return -EINVAL;
	/* Second 60 is a leap second. */
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon) || tm.tm_hour > 23 ||
	    tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	seconds = timegm(&tm) - offset;
	if (seconds < 0 || (uint64_t)seconds >= UINT64_MAX / NS_PER_S)
		return -ERANGE;
	*wall_ns = (uint64_t)seconds * NS_PER_S + fraction_ns;
	return 0;
}

/* The unit at the front of the text in nanoseconds, 0 when there is none. Longer names first, so
 * that "ms" is not read as "m". */
static uint64_t take_unit(const char **text)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"ns", 1},
		     {"us", NS_PER_US},
		     {"\xc2\xb5s", NS_PER_US},
		     {"\xce\xbcs", NS_PER_US},
		     {"ms", NS_PER_MS},
		     {"s", NS_PER_S},
		     {"m", 60 * NS_PER_S},
		     {"h", 3600 * NS_PER_S}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (str_starts(*text, units[i].name)) {
			*text += strlen(units[i].name);
			return units[i].ns;
		}
	return 0;
}

/* One "NUMBER[.FRACTION]UNIT". The fraction is exact to the nanosecond, as in Go. */
static int take_duration_part(const char **text, uint64_t *ns)
{
	const char *whole = *text, *fraction = "";
	size_t whole_digits = strspn(whole, "0123456789"), fraction_digits = 0;
	uint64_t unit, value = 0;
	long double part = 0, scale = 1;

	*text += whole_digits;
	if (take_char(text, ".")) {
		fraction = *text;
		fraction_digits = strspn(fraction, "0123456789");
		*text += fraction_digits;
	}
	unit = take_unit(text);
	if (whole_digits + fraction_digits == 0 || unit == 0)
		return -EINVAL;
	for (size_t i = 0; i < whole_digits; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(whole[i] - '0'), &value))
			return -ERANGE;
	for (size_t i = 0; i < MIN(fraction_digits, 18U); i++) {
		part = part * 10 + (fraction[i] - '0');
		scale *= 10;
	}
	if (__builtin_mul_overflow(value, unit, &value) ||
	    __builtin_add_overflow(value, (uint64_t)(part * (long double)unit / scale), &value))
		return -ERANGE;
	*ns = value;
	return 0;
}

int parse_duration_ns(const char *text, uint64_t *ns)
{
	uint64_t sum = 0, part;
	int r;

	if (str_equal(text, "0")) {
		*ns = 0;
		return 0;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		r = take_duration_part(&text, &part);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
	}
	*ns = sum;
	return 0;
}
