/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/ini.h"

#include <ctype.h>

#define LINE_BYTES_MAX ((size_t)64 << 10)

struct position {
	struct ini *ini;
	char *section;
	char *parent; /* key whose value was empty: what is indented below it is nested */
	unsigned line;
	char *problem;
};

void ini_free(struct ini *ini)
{
	vec_for_each (entry, &ini->list) {
		free(entry->section);
		free(entry->key);
		free(entry->value);
	}
	vec_free(&ini->list);
}

static int say(struct position *at, const char *what)
{
	snprintf(at->problem, 128, "line %u: %s", at->line, what);
	return -EINVAL;
}

static char *copy_trimmed(const char *start, const char *end)
{
	char *copy;

	while (start < end && isspace((unsigned char)*start))
		start++;
	while (end > start && isspace((unsigned char)end[-1]))
		end--;
	copy = strndup(start, (size_t)(end - start));
	if (!copy)
		abort();
	return copy;
}

static void add_entry(struct position *at, char *key, char *value)
{
	struct ini_entry *entry = vec_push(&at->ini->list);

	entry->section = strdup(at->section);
	entry->key = key;
	entry->value = value;
	entry->line = at->line;
	if (!entry->section)
		abort();
}

/* "[profile  "my one"]" is the section "profile my one". */
static char *section_name(const char *start, const char *end)
{
	char *name = copy_trimmed(start, end);
	char *rest = name + strcspn(name, " \t");
	char *word = rest + strspn(rest, " \t");
	size_t length = strlen(word);

	if (!*rest)
		return name;
	if (length >= 2 && (*word == '"' || *word == '\'') && word[length - 1] == *word) {
		word[length - 1] = '\0';
		word++;
	}
	*rest = ' ';
	memmove(rest + 1, word, strlen(word) + 1);
	return name;
}

static int take_section(struct position *at, const char *start, const char *end)
{
	const char *close = memchr(start, ']', (size_t)(end - start));
	char *empty = strdup("");

	if (!close || !empty) {
		free(empty);
		return say(at, "found [ without ]");
	}
	free(at->section);
	at->section = section_name(start + 1, close);
	free(TAKE(at->parent));
	add_entry(at, empty, strdup(""));
	return 0;
}

static int take_setting(struct position *at, const char *start, const char *end, bool indented)
{
	const char *sign = start;
	char *key, *value;

	while (sign < end && *sign != '=' && *sign != ':')
		sign++;
	if (sign == end || sign == start)
		return say(at, "expected key = value");
	key = copy_trimmed(start, sign);
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	value = copy_trimmed(sign + 1, end);
	if (indented) {
		char *nested = str_printf("%s.%s", at->parent, key);

		free(key);
		key = nested;
	} else {
		free(TAKE(at->parent));
		if (!*value)
			at->parent = strdup(key);
	}
	add_entry(at, key, value);
	return 0;
}

/* An indented line goes on with the value above it. */
static int take_continuation(struct position *at, const char *start, const char *end)
{
	struct ini_entry *last =
		at->ini->list.count ? &at->ini->list.at[at->ini->list.count - 1] : NULL;
	_cleanup_free_ char *more = NULL;
	char *joined;

	if (at->parent)
		return take_setting(at, start, end, true);
	if (!last || !*last->key)
		return say(at, "found an indented line below nothing");
	if (strlen(last->value) > LINE_BYTES_MAX)
		return say(at, "too long a value");
	more = copy_trimmed(start, end);
	joined = str_printf("%s\n%s", last->value, more);
	free(last->value);
	last->value = joined;
	return 0;
}

static int take_line(struct position *at, const char *start, const char *end)
{
	bool indented = start < end && (*start == ' ' || *start == '\t');

	if ((size_t)(end - start) > LINE_BYTES_MAX)
		return say(at, "too long a line");
	if (memchr(start, '\0', (size_t)(end - start)))
		return say(at, "found a NUL byte");
	while (start < end && isspace((unsigned char)*start))
		start++;
	if (start == end || *start == '#' || *start == ';')
		return 0;
	if (*start == '[' && !indented)
		return take_section(at, start, end);
	if (!at->section)
		return say(at, "found a setting before any [section]");
	return indented ? take_continuation(at, start, end) : take_setting(at, start, end, false);
}

int ini_parse(const char *text, size_t length, struct ini *out, char problem[128])
{
	struct position at = {.ini = out, .problem = problem};
	const char *end = text + length;
	int r = 0;

	problem[0] = '\0';
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text < end && r >= 0) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		if (!stop)
			stop = end;
		at.line++;
		r = take_line(&at, text, stop);
		text = stop + 1;
	}
	free(at.section);
	free(at.parent);
	return r;
}

bool ini_has(const struct ini *ini, const char *section)
{
	vec_for_each (entry, &ini->list)
		if (strcmp(entry->section, section) == 0)
			return true;
	return false;
}

const struct ini_entry *ini_get(const struct ini *ini, const char *section, const char *key)
{
	const struct ini_entry *found = NULL;

	vec_for_each (entry, &ini->list)
		if (strcmp(entry->section, section) == 0 && strcmp(entry->key, key) == 0)
			found = entry;
	return found;
}
