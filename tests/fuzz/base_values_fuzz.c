/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a number, a duration, a time, a string to be quoted. */
#include "base/text.h"

#include <math.h>

static void check_numbers(const char *text)
{
	uint64_t whole;
	double decimal;

	if (parse_u64(text, &whole) == 0 &&
	    (parse_double(text, &decimal) < 0 || fabs(decimal - (double)whole) > 0))
		abort();
	if (parse_double(text, &decimal) == 0 && !isfinite(decimal))
		abort();
}

static void check_times(const char *text)
{
	uint64_t ns, again;
	char formatted[TIME_TEXT_SIZE];

	parse_duration_ns(text, &ns);
	if (time_parse(text, &ns) < 0)
		return;
	time_format(ns, formatted);
	if (time_parse(formatted, &again) < 0 || again != ns - ns % NS_PER_MS)
		abort();
}

/* What is quoted for JSON is UTF-8 and has no bare quote or control character inside. */
static void check_quoting(const char *string)
{
	struct text text = {0};

	text_add_json(&text, string);
	for (size_t i = 1, bytes; i + 1 < text.length; i += bytes) {
		bytes = utf8_length(text.data + i, text.length - i);
		if (bytes == 0 || (unsigned char)text.data[i] < 0x20 || text.data[i] == '"')
			abort();
		if (text.data[i] == '\\')
			bytes = 2;
	}
	text_clear(&text);
	text_add_form(&text, string);
	if (strspn(text.data ? text.data : "",
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~+%") !=
	    text.length)
		abort();
	text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check_numbers(text);
	check_times(text);
	check_quoting(text);
	return 0;
}
