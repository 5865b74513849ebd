/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "cmd/status_page.h"

#define LINE_SIZE 1024

/* ---- what the answer says ---- */

const cJSON *answer_part(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *answer_words(const cJSON *object, const char *key)
{
	const char *value = cJSON_GetStringValue(answer_part(object, key));

	return value ? value : "";
}

double answer_number(const cJSON *object, const char *key)
{
	const cJSON *item = answer_part(object, key);

	return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

bool answer_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(answer_part(object, key));
}

/* ---- lines ---- */

static void put_bytes(struct page *page, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		text_add_char(page->out, c < 0x20 || c > 0x7e ? '?' : (char)c);
	}
}

/* What does not fit goes on below, at a space, indented. */
static void put_wrapped(struct page *page, unsigned indent, const char *text)
{
	unsigned room = page->width;
	bool first = true;

	do {
		size_t length = strnlen(text, first ? room : room - indent);

		if (text[length])
			for (size_t at = length; at > length / 2; at--)
				if (text[at] == ' ') {
					length = at;
					break;
				}
		if (!first)
			text_printf(page->out, "%*s", (int)indent, "");
		put_bytes(page, text, length);
		text_add_char(page->out, '\n');
		text += length;
		text += strspn(text, " ");
		first = false;
	} while (*text);
}

void page_put(struct page *page, unsigned indent, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	put_wrapped(page, indent, line);
}

const char *span_text(double seconds, char out[24])
{
	double whole = floor(seconds);

	if (!isfinite(seconds))
		snprintf(out, 24, "-");
	else if (seconds < 9.95)
		snprintf(out, 24, "%.1f s", seconds);
	else if (whole < 60)
		snprintf(out, 24, "%.0f s", whole);
	else if (whole < 3600)
		snprintf(out, 24, "%.0f min %.0f s", floor(whole / 60), fmod(whole, 60));
	else if (whole < 86400)
		snprintf(out, 24, "%.0f h %.0f min", floor(whole / 3600),
			 floor(fmod(whole, 3600) / 60));
	else
		snprintf(out, 24, "%.0f d %.0f h", floor(fmin(whole / 86400, 1e6)),
			 floor(fmod(whole, 86400) / 3600));
	return out;
}

const char *figure_text(double value, char out[24])
{
	if (!isfinite(value))
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%.4g", value);
	return out;
}

const char *plural_text(double count)
{
	return count == 1 ? "" : "s";
}

const char *used_text(double value, double limit, double unit, char out[48])
{
	if (isnan(limit))
		snprintf(out, 48, "%.4g", value / unit);
	else
		snprintf(out, 48, "%.4g of %.4g", value / unit, limit / unit);
	return out;
}
