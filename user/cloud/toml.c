/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and tables of TOML: what may be said where, and only once. */
#include "cloud/toml_private.h"

bool toml_refuse(struct toml_reader *reader, const char *format, ...)
{
	char words[TOML_PROBLEM_SIZE];
	va_list args;

	if (*reader->problem)
		return false;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	snprintf(reader->problem, TOML_PROBLEM_SIZE, "line %u: %.130s", reader->line, words);
	return false;
}

/* ---- blanks ---- */

void toml_skip_blanks(struct toml_reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t'))
		reader->at++;
}

bool toml_take(struct toml_reader *reader, char c)
{
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

static bool skip_comment(struct toml_reader *reader)
{
	for (; reader->at < reader->end && *reader->at != '\n'; reader->at++) {
		unsigned char c = (unsigned char)*reader->at;

		if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
			return toml_refuse(reader, "a control character stands in a comment");
	}
	return true;
}

static bool take_newline(struct toml_reader *reader)
{
	if (reader->at + 1 < reader->end && reader->at[0] == '\r' && reader->at[1] == '\n')
		reader->at++;
	if (!toml_take(reader, '\n'))
		return false;
	reader->line++;
	return true;
}

bool toml_skip_lines(struct toml_reader *reader)
{
	for (;;) {
		toml_skip_blanks(reader);
		if (reader->at == reader->end)
			return reader->depth ? toml_refuse(reader, "an array does not end") : true;
		if (*reader->at == '#' ? !skip_comment(reader) : !take_newline(reader))
			return !*reader->problem;
	}
}

/* ---- keys ---- */

void toml_key_free(struct toml_key *key)
{
	vec_for_each (part, &key->parts)
		free(*part);
	vec_free(&key->parts);
}

static bool is_bare(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
	       c == '-';
}

static char *read_part(struct toml_reader *reader)
{
	const char *start = reader->at;

	if (start < reader->end && (*start == '"' || *start == '\''))
		return toml_read_string(reader, true);
	while (reader->at < reader->end && is_bare(*reader->at))
		reader->at++;
	if (reader->at > start)
		return strndup(start, (size_t)(reader->at - start));
	toml_refuse(reader, "expected a key");
	return NULL;
}

bool toml_read_key(struct toml_reader *reader, struct toml_key *key)
{
	do {
		char *part;

		toml_skip_blanks(reader);
		if (key->parts.count == TOML_DEPTH_MAX)
			return toml_refuse(reader, "a key of more than %d parts", TOML_DEPTH_MAX);
		part = read_part(reader);
		if (!part)
			return false;
		*vec_push(&key->parts) = part;
		toml_skip_blanks(reader);
	} while (toml_take(reader, '.'));
	return true;
}

/* ---- tables ---- */

void toml_mark(struct toml_reader *reader, const cJSON *node, enum toml_origin origin)
{
	*vec_push(&reader->marks) = (struct toml_mark){node, origin};
}

static struct toml_mark *mark_of(struct toml_reader *reader, const cJSON *node)
{
	vec_for_each (mark, &reader->marks)
		if (mark->node == node)
			return mark;
	return NULL;
}

static cJSON *add_table(struct toml_reader *reader, cJSON *table, const char *key,
			enum toml_origin origin)
{
	cJSON *made = cJSON_AddObjectToObject(table, key);

	toml_mark(reader, made, origin);
	return made;
}

static bool twice(struct toml_reader *reader, const char *key)
{
	return toml_refuse(reader, "%s is said twice", key);
}

/* The table one step down; what a header names goes on into the newest of an array of tables. */
static cJSON *descend(struct toml_reader *reader, cJSON *table, const char *key, bool header)
{
	cJSON *next = cJSON_GetObjectItemCaseSensitive(table, key);
	const struct toml_mark *mark = next ? mark_of(reader, next) : NULL;

	if (!next)
		return add_table(reader, table, key, header ? TOML_IMPLICIT : TOML_DOTTED);
	if (mark && mark->origin == TOML_TABLES && header)
		return cJSON_GetArrayItem(next, cJSON_GetArraySize(next) - 1);
	if (mark && cJSON_IsObject(next) && mark->origin != TOML_WHOLE &&
	    (header || mark->origin == TOML_DOTTED))
		return next;
	twice(reader, key);
	return NULL;
}

bool toml_read_pair(struct toml_reader *reader, cJSON *table)
{
	_cleanup_(toml_key_free)
	struct toml_key key = {0};
	const char *last;
	cJSON *value;

	if (!toml_read_key(reader, &key))
		return false;
	for (size_t i = 0; i + 1 < key.parts.count && table; i++)
		table = descend(reader, table, key.parts.at[i], false);
	if (!table)
		return false;
	last = key.parts.at[key.parts.count - 1];
	if (!toml_take(reader, '='))
		return toml_refuse(reader, "expected = after %s", last);
	toml_skip_blanks(reader);
	if (cJSON_GetObjectItemCaseSensitive(table, last))
		return twice(reader, last);
	value = toml_read_value(reader);
	if (value)
		cJSON_AddItemToObject(table, last, value);
	return value != NULL;
}

/* [a.b]: a table of that name, once; it may have come about as the way to another. */
static bool open_table(struct toml_reader *reader, cJSON *table, const char *key)
{
	cJSON *there = cJSON_GetObjectItemCaseSensitive(table, key);
	struct toml_mark *mark = there ? mark_of(reader, there) : NULL;

	if (there && (!mark || mark->origin != TOML_IMPLICIT))
		return twice(reader, key);
	if (mark)
		mark->origin = TOML_HEADER;
	reader->table = there ? there : add_table(reader, table, key, TOML_HEADER);
	return true;
}

/* [[a.b]]: one more. */
static bool open_item(struct toml_reader *reader, cJSON *table, const char *key)
{
	cJSON *array = cJSON_GetObjectItemCaseSensitive(table, key);
	const struct toml_mark *mark = array ? mark_of(reader, array) : NULL;

	if (array && (!mark || mark->origin != TOML_TABLES))
		return twice(reader, key);
	if (!array) {
		array = cJSON_AddArrayToObject(table, key);
		toml_mark(reader, array, TOML_TABLES);
	}
	reader->table = cJSON_CreateObject();
	cJSON_AddItemToArray(array, reader->table);
	toml_mark(reader, reader->table, TOML_HEADER);
	return true;
}

static bool read_header(struct toml_reader *reader)
{
	_cleanup_(toml_key_free)
	struct toml_key key = {0};
	cJSON *table = reader->root;
	bool item;

	reader->at++;
	item = toml_take(reader, '[');
	if (!toml_read_key(reader, &key))
		return false;
	if (!toml_take(reader, ']') || (item && !toml_take(reader, ']')))
		return toml_refuse(reader, "expected %s at the end of a header", item ? "]]" : "]");
	for (size_t i = 0; i + 1 < key.parts.count && table; i++)
		table = descend(reader, table, key.parts.at[i], true);
	if (!table)
		return false;
	return item ? open_item(reader, table, key.parts.at[key.parts.count - 1])
		    : open_table(reader, table, key.parts.at[key.parts.count - 1]);
}

static bool read_line(struct toml_reader *reader)
{
	if (*reader->at == '[' ? !read_header(reader) : !toml_read_pair(reader, reader->table))
		return false;
	toml_skip_blanks(reader);
	if (reader->at < reader->end && *reader->at == '#' && !skip_comment(reader))
		return false;
	if (reader->at < reader->end && !take_newline(reader))
		return toml_refuse(reader, "expected the end of the line");
	return true;
}

cJSON *toml_read(const char *text, size_t length, char problem[TOML_PROBLEM_SIZE])
{
	struct toml_reader reader = {
		.at = text, .end = text + length, .line = 1, .problem = problem};

	problem[0] = '\0';
	reader.root = reader.table = cJSON_CreateObject();
	while (toml_skip_lines(&reader) && reader.at < reader.end)
		if (!read_line(&reader))
			break;
	vec_free(&reader.marks);
	if (!*problem)
		return reader.root;
	cJSON_Delete(reader.root);
	return NULL;
}
