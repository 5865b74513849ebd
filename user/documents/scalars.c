/* SPDX-License-Identifier: Apache-2.0 */
/* Scalars as the API server's decoder has them: YAML 1.1, as go-yaml version 2 resolves it. */
#include "documents/read.h"

#include <ctype.h>
#include <math.h>
#include <regex.h>
#include <strings.h>

#define NUMBER_TEXT_MAX 128

static bool one_of(const char *text, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, names[i]) == 0)
			return true;
	return false;
}

/* YAML 1.1 as the API server's decoder has it: yes and on are booleans too. */
static const char *const TRUE_WORDS[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
					 "on",	 "On",	 "ON",	 "y",	"Y"};
static const char *const FALSE_WORDS[] = {"false", "False", "FALSE", "no", "No", "NO",
					  "off",   "Off",   "OFF",   "n",  "N"};

bool scalar_is_bool(const char *text)
{
	return one_of(text, TRUE_WORDS, ARRAY_SIZE(TRUE_WORDS)) ||
	       one_of(text, FALSE_WORDS, ARRAY_SIZE(FALSE_WORDS));
}

/* What is too large for 64 bits, or for a double, is a string. "0x1f", "0o17", "017", "0b101" and
 * "12", as Go's ParseInt with base 0 has them. */
static bool parse_whole(const char *text, double *out)
{
	const char *at = text + (*text == '-' || *text == '+');
	int base = 10;
	char *end = NULL;

	if (at[0] == '0' && at[1]) {
		char letter = (char)tolower((unsigned char)at[1]);

		base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
		at += letter == 'x' || letter == 'b' || letter == 'o' ? 2 : 1;
	}
	if (!isalnum((unsigned char)*at))
		return false;
	errno = 0;
	*out = (double)strtoull(at, &end, base);
	if (*text == '-')
		*out = -*out;
	return *end == '\0' && !errno;
}

/* The digits, point and exponent of a decimal number, nothing around it. */
static bool parse_decimal(const char *text, double *out)
{
	const char *at = text + (*text == '-' || *text == '+');
	size_t whole = strspn(at, "0123456789"), fraction = 0;

	at += whole;
	if (*at == '.') {
		fraction = strspn(at + 1, "0123456789");
		at += 1 + fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*at == 'e' || *at == 'E') {
		at += 1 + (at[1] == '-' || at[1] == '+');
		if (!*at)
			return false;
		at += strspn(at, "0123456789");
	}
	*out = strtod(text, NULL);
	return *at == '\0' && isfinite(*out);
}

bool scalar_number(const char *text, double *out)
{
	const char *at = text + (*text == '-' || *text == '+');
	char plain[NUMBER_TEXT_MAX];
	size_t length = 0;

	*out = NAN;
	if (!isdigit((unsigned char)*at) && *at != '.')
		return false;
	if (strcasecmp(at, ".inf") == 0 || strcasecmp(at, ".nan") == 0)
		return true;
	for (const char *c = text; *c; c++) {
		if (*c == '_')
			continue;
		if (length + 1 == sizeof(plain))
			return false;
		plain[length++] = *c;
	}
	plain[length] = '\0';
	return parse_whole(plain, out) || parse_decimal(plain, out);
}

static bool scalar_is_number(const char *text)
{
	double value;

	return scalar_number(text, &value);
}

bool scalar_is_string(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR &&
	       (node->quoted || (!scalar_is_bool(node->scalar) && !scalar_is_number(node->scalar)));
}

bool read_string_or_empty(const struct cursor *cursor, char **out)
{
	const struct yaml_node *node = cursor->node;

	if (!cursor_present(cursor))
		return false;
	if (node->kind != YAML_SCALAR) {
		cursor_expected(cursor, "a string");
		return false;
	}
	if (!scalar_is_string(node)) {
		cursor_expected(cursor, "a string: write \"%s\" in quotes", node->scalar);
		return false;
	}
	free(*out);
	*out = strdup(node->scalar);
	return *out != NULL;
}

bool read_string(const struct cursor *cursor, char **out)
{
	if (!read_string_or_empty(cursor, out))
		return false;
	if (**out)
		return true;
	cursor_expected(cursor, "a string that is not empty");
	return false;
}

static char *range_text(int64_t low, int64_t high)
{
	if (high >= INT32_MAX)
		return str_printf("a whole number from %lld", (long long)low);
	return str_printf("a whole number from %lld to %lld", (long long)low, (long long)high);
}

bool read_integer(const struct cursor *cursor, int64_t low, int64_t high, int64_t *out)
{
	const struct yaml_node *node = cursor->node;
	_cleanup_free_ char *range = range_text(low, high);
	double value = 0;

	if (!cursor_present(cursor))
		return false;
	if (node->kind != YAML_SCALAR || !scalar_number(node->scalar, &value) ||
	    floor(value) != value) {
		cursor_expected(cursor, "%s", range);
		return false;
	}
	if (node->quoted) {
		cursor_expected(cursor, "%s without quotes", range);
		return false;
	}
	if (value < (double)low) {
		cursor_expected(cursor, "%s", range);
		return false;
	}
	if (value > (double)high || value >= INT64_END) {
		cursor_expected(cursor, "at most %lld", (long long)high);
		return false;
	}
	*out = (int64_t)value;
	return true;
}

bool read_bool(const struct cursor *cursor, bool *out)
{
	const struct yaml_node *node = cursor->node;

	if (!cursor_present(cursor))
		return false;
	if (node->kind != YAML_SCALAR || node->quoted || !scalar_is_bool(node->scalar)) {
		cursor_expected(cursor, "true or false%s",
				node->kind == YAML_SCALAR && node->quoted ? " without quotes" : "");
		return false;
	}
	*out = one_of(node->scalar, TRUE_WORDS, ARRAY_SIZE(TRUE_WORDS));
	return true;
}

bool read_quantity(const struct cursor *cursor, double *out)
{
	if (!cursor_present(cursor))
		return false;
	if (cursor->node->kind != YAML_SCALAR || quantity_parse(cursor->node->scalar, out) < 0) {
		cursor_expected(cursor, "a quantity such as 10, 500m or 16Gi");
		return false;
	}
	return true;
}

bool read_enum_of(const struct cursor *cursor, const char *const *names, size_t count,
		  size_t honoured, size_t *out)
{
	_cleanup_free_ char *text = NULL, *all = names_text(names, honoured);
	const char *near;

	if (!read_string(cursor, &text))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = i;
			return true;
		}
	}
	near = count > 2 ? nearest_name(text, names, count) : NULL;
	if (near)
		cursor_expected(cursor, "%s; did you mean %s?", all, near);
	else
		cursor_expected(cursor, "%s", all);
	return false;
}

bool read_enum(const struct cursor *cursor, const char *const *names, size_t count, size_t *out)
{
	return read_enum_of(cursor, names, count, count, out);
}

bool text_matches(const char *text, const char *pattern)
{
	regex_t compiled;
	bool matches;

	if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		abort(); /* a pattern is a constant */
	matches = regexec(&compiled, text, 0, NULL, 0) == 0;
	regfree(&compiled);
	return matches;
}

bool read_matching(const struct cursor *cursor, const char *pattern, const char *expected,
		   char **out)
{
	if (!cursor_present(cursor))
		return false;
	if (scalar_is_string(cursor->node) && text_matches(cursor->node->scalar, pattern))
		return read_string_or_empty(cursor, out);
	cursor_expected(cursor, "%s", expected);
	return false;
}

uint64_t duration_seconds(const char *text)
{
	uint64_t total = 0;

	while (*text) {
		uint64_t number = 0, unit = 1, part = 0;

		for (; isdigit((unsigned char)*text); text++)
			if (__builtin_mul_overflow(number, 10, &number) ||
			    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
				number = DURATION_NEVER;
		if (*text == 'h' || *text == 'm')
			unit = *text == 'h' ? 3600 : 60;
		if (__builtin_mul_overflow(number, unit, &part) ||
		    __builtin_add_overflow(total, part, &total))
			return DURATION_NEVER - 1;
		text++;
	}
	return MIN(total, DURATION_NEVER - 1);
}

bool read_duration(const struct cursor *cursor, bool never, uint64_t *seconds)
{
	_cleanup_free_ char *text = NULL;

	if (!read_matching(cursor, never ? "^(([0-9]+(s|m|h))+|Never)$" : "^([0-9]+(s|m|h))+$",
			   never ? "a duration such as 30s, 5m or 1h30m, or Never"
				 : "a duration such as 30s, 5m or 1h30m",
			   &text))
		return false;
	*seconds = strcmp(text, "Never") == 0 ? DURATION_NEVER : duration_seconds(text);
	return true;
}
