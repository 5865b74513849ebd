/* SPDX-License-Identifier: Apache-2.0 */
/* The values of TOML. */
#include <regex.h>

#include "cloud/toml_private.h"

#define DIGITS "[0-9](_?[0-9])*"
#define CLOCK "[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?"

static bool matches(const char *pattern, const char *text)
{
	regex_t regex;
	bool found;

	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB))
		abort();
	found = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return found;
}

/* A number, a date or a time: kept as it is written. */
static bool is_plain_value(const char *text)
{
	static const char *const PATTERNS[] = {
		"^[+-]?(0|[1-9](_?[0-9])*)(\\." DIGITS ")?([eE][+-]?" DIGITS ")?$",
		"^[+-]?(inf|nan)$",
		"^0x[0-9A-Fa-f](_?[0-9A-Fa-f])*$",
		"^0o[0-7](_?[0-7])*$",
		"^0b[01](_?[01])*$",
		"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]" CLOCK "([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$",
		"^" CLOCK "$",
	};

	for (size_t i = 0; i < ARRAY_SIZE(PATTERNS); i++)
		if (matches(PATTERNS[i], text))
			return true;
	return false;
}

static size_t plain_length(const char *at, const char *end)
{
	size_t length = 0;

	while (at + length < end &&
	       (strchr("+-_.:", at[length])
			? at[length] != '\0'
			: (at[length] >= '0' && at[length] <= '9') ||
				  ((at[length] | 0x20) >= 'a' && (at[length] | 0x20) <= 'z')))
		length++;
	/* A date and its time may be one blank apart. */
	if (length == 10 && end - at > 12 && at[4] == '-' && at[10] == ' ' && at[13] == ':')
		return length + 1 + plain_length(at + 11, end);
	return length;
}

static cJSON *read_plain(struct toml_reader *reader)
{
	size_t length = plain_length(reader->at, reader->end);
	char token[80];

	if (!length || length >= sizeof(token)) {
		toml_refuse(reader, "expected a value");
		return NULL;
	}
	memcpy(token, reader->at, length);
	token[length] = '\0';
	reader->at += length;
	if (strcmp(token, "true") == 0 || strcmp(token, "false") == 0)
		return cJSON_CreateBool(token[0] == 't');
	if (is_plain_value(token))
		return cJSON_CreateRaw(token);
	toml_refuse(reader, "%s is no value; strings stand in quotes", token);
	return NULL;
}

static cJSON *read_array(struct toml_reader *reader)
{
	cJSON *array = cJSON_CreateArray(), *item;
	bool more = true;

	toml_mark(reader, array, TOML_WHOLE);
	reader->at++;
	while (toml_skip_lines(reader) && !toml_take(reader, ']')) {
		item = more ? toml_read_value(reader) : NULL;
		if (!item) {
			toml_refuse(reader, "expected , or ] in an array");
			cJSON_Delete(array);
			return NULL;
		}
		cJSON_AddItemToArray(array, item);
		if (!toml_skip_lines(reader))
			break;
		more = toml_take(reader, ',');
	}
	if (!*reader->problem)
		return array;
	cJSON_Delete(array);
	return NULL;
}

/* On one line, without a comma at its end. */
static cJSON *read_inline_table(struct toml_reader *reader)
{
	cJSON *table = cJSON_CreateObject();
	bool good = true;

	reader->at++;
	toml_skip_blanks(reader);
	if (!toml_take(reader, '}')) {
		do {
			toml_skip_blanks(reader);
			good = toml_read_pair(reader, table);
			toml_skip_blanks(reader);
		} while (good && toml_take(reader, ','));
		if (good && !toml_take(reader, '}'))
			good = toml_refuse(reader, "expected , or } in an inline table");
	}
	toml_mark(reader, table, TOML_WHOLE);
	if (good)
		return table;
	cJSON_Delete(table);
	return NULL;
}

static cJSON *read_quoted(struct toml_reader *reader)
{
	_cleanup_free_ char *string = toml_read_string(reader, false);

	return string ? cJSON_CreateString(string) : NULL;
}

cJSON *toml_read_value(struct toml_reader *reader)
{
	char c = reader->at < reader->end ? *reader->at : '\0';
	cJSON *value;

	if (++reader->depth > TOML_DEPTH_MAX) {
		toml_refuse(reader, "more than %d values within each other", TOML_DEPTH_MAX);
		return NULL;
	}
	if (c == '"' || c == '\'')
		value = read_quoted(reader);
	else if (c == '[')
		value = read_array(reader);
	else if (c == '{')
		value = read_inline_table(reader);
	else
		value = read_plain(reader);
	reader->depth--;
	return value;
}
