/* SPDX-License-Identifier: Apache-2.0 */
#include "documents/read.h"

#include <ctype.h>

#define NEAREST_LENGTH_MAX 96
#define SLIPS_MAX ((size_t)3)

/* ---- where it is ---- */

struct cursor cursor_field(const struct cursor *above, const char *name)
{
	return (struct cursor){.above = above,
			       .node = yaml_get(above->node, name),
			       .name = name,
			       .problems = above->problems};
}

struct cursor cursor_item(const struct cursor *above, size_t index)
{
	return (struct cursor){.above = above,
			       .node = above->node->children[index],
			       .index = index,
			       .problems = above->problems};
}

bool cursor_present(const struct cursor *cursor)
{
	return cursor->node && cursor->node->kind != YAML_NULL;
}

static void path_add(const struct cursor *cursor, struct text *out)
{
	if (!cursor->above)
		return;
	path_add(cursor->above, out);
	if (!cursor->name) {
		text_printf(out, "[%zu]", cursor->index);
		return;
	}
	if (out->length)
		text_add_char(out, '.');
	text_add(out, cursor->name);
}

char *cursor_path(const struct cursor *cursor)
{
	_cleanup_text_ struct text path = {0};

	path_add(cursor, &path);
	if (!path.length)
		text_add(&path, "the document");
	return text_take(&path);
}

/* ---- what is wrong with it ---- */

/* The text shortened for a message, control characters made visible. */
static void quote(const char *text, struct text *out)
{
	size_t left = 60;

	text_add_char(out, '"');
	for (; *text && left; text++, left--) {
		if (iscntrl((unsigned char)*text))
			text_printf(out, "\\x%02x", (unsigned char)*text);
		else
			text_add_char(out, *text);
	}
	text_add(out, *text ? "...\"" : "\"");
}

char *found_text(const struct yaml_node *node)
{
	_cleanup_text_ struct text out = {0};
	double number;

	if (!node || node->kind == YAML_NULL) {
		text_add(&out, "nothing");
	} else if (node->kind != YAML_SCALAR) {
		if (node->count)
			text_add(&out, yaml_kind_text(node));
		else
			text_add(&out, node->kind == YAML_SEQUENCE ? "an empty list"
								   : "an empty mapping");
	} else {
		if (node->quoted)
			text_add(&out, "the string ");
		else if (scalar_is_bool(node->scalar))
			text_add(&out, "the boolean ");
		else if (scalar_number(node->scalar, &number))
			text_add(&out, "the number ");
		if (out.length && !node->quoted)
			text_add(&out, node->scalar);
		else
			quote(node->scalar, &out);
	}
	return text_take(&out);
}

void cursor_expected(const struct cursor *cursor, const char *format, ...)
{
	_cleanup_free_ char *path = cursor_path(cursor), *found = found_text(cursor->node);
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	problem_at(cursor->problems, cursor->node, "%s: found %s, expected %s", path, found,
		   text ? text : "");
}

void cursor_refuse(const struct cursor *cursor, const char *format, ...)
{
	_cleanup_free_ char *path = cursor_path(cursor), *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	problem_at(cursor->problems, cursor->node, "%s: %s", path, text ? text : "");
}

void cursor_refuse_later(const struct cursor *cursor)
{
	_cleanup_free_ char *path = cursor_path(cursor);

	problem_at_key(cursor->problems, cursor->node, "not supported yet: %s", path);
}

/* Letters added, left out, exchanged or swapped with their neighbour (optimal string alignment),
 * case apart. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_LENGTH_MAX + 1] = {0};
	size_t width = strlen(b);

	for (size_t j = 0; j <= width; j++)
		rows[0][j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		const size_t *before = rows[(i + 1) % 3], *last = rows[(i - 1) % 3];
		size_t *row = rows[i % 3];

		row[0] = i;
		for (size_t j = 1; j <= width; j++) {
			int x = tolower((unsigned char)a[i - 1]);
			int y = tolower((unsigned char)b[j - 1]);
			size_t best = MIN(last[j], row[j - 1]) + 1;

			best = MIN(best, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]))
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
	}
	return rows[strlen(a) % 3][width];
}

const char *nearest_name(const char *text, const char *const *names, size_t count)
{
	size_t length = strlen(text), best = CLAMP(length / 3, (size_t)1, SLIPS_MAX) + 1;
	const char *found = NULL;

	if (length < 2 || length > NEAREST_LENGTH_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t distance;

		if (strlen(names[i]) > NEAREST_LENGTH_MAX)
			continue;
		distance = edit_distance(text, names[i]);
		if (distance < best) {
			best = distance;
			found = names[i];
		}
	}
	return found;
}

char *names_text(const char *const *names, size_t count)
{
	_cleanup_text_ struct text out = {0};

	for (size_t i = 0; i < count; i++) {
		if (i)
			text_add(&out, i + 1 == count ? " or " : ", ");
		text_add(&out, names[i]);
	}
	return text_take(&out);
}

/* ---- mappings and lists ---- */

static void unknown_field(const struct cursor *field, const struct field *fields, size_t count)
{
	_cleanup_free_ char *path = cursor_path(field), *all = NULL;
	_cleanup_free_ const char **names = calloc(count + 1, sizeof(*names));
	const char *near;

	for (size_t i = 0; i < count; i++)
		names[i] = fields[i].name;
	near = nearest_name(field->name, names, count);
	all = names_text(names, count);
	if (near)
		problem_at_key(field->problems, field->node, "unknown field %s; did you mean %s?",
			       path, near);
	else
		problem_at_key(field->problems, field->node, "unknown field %s, expected %s", path,
			       all);
}

static const struct field *find_field(const struct field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

bool read_mapping(const struct cursor *cursor, const struct field *fields, size_t count)
{
	if (!cursor_present(cursor))
		return false;
	if (cursor->node->kind != YAML_MAPPING) {
		cursor_expected(cursor, "a mapping");
		return false;
	}
	yaml_for_each (child, cursor->node) {
		struct cursor at = {.above = cursor,
				    .node = child,
				    .name = child->key,
				    .problems = cursor->problems};
		const struct field *field = find_field(fields, count, child->key);

		if (!field)
			unknown_field(&at, fields, count);
		else if (field->rule == FIELD_LATER && child->kind != YAML_NULL)
			cursor_refuse_later(&at);
	}
	for (size_t i = 0; i < count; i++) {
		struct cursor at = cursor_field(cursor, fields[i].name);
		_cleanup_free_ char *path = NULL;

		if (fields[i].rule != FIELD_REQUIRED || cursor_present(&at))
			continue;
		path = cursor_path(&at);
		problem_at(cursor->problems, at.node ? at.node : cursor->node,
			   "missing field %s, expected %s", path, fields[i].expected);
	}
	return true;
}

bool read_list(const struct cursor *cursor, size_t most)
{
	if (!cursor_present(cursor))
		return false;
	if (cursor->node->kind != YAML_SEQUENCE) {
		cursor_expected(cursor, "a list");
		return false;
	}
	if (cursor->node->count > most) {
		cursor_refuse(cursor, "found %zu items, expected at most %zu", cursor->node->count,
			      most);
		return false;
	}
	return true;
}

bool read_string_map(const struct cursor *cursor, struct key_values *out)
{
	bool good = true;

	if (!cursor_present(cursor))
		return false;
	if (cursor->node->kind != YAML_MAPPING) {
		cursor_expected(cursor, "a mapping of strings");
		return false;
	}
	yaml_for_each (child, cursor->node) {
		struct cursor at = {.above = cursor,
				    .node = child,
				    .name = child->key,
				    .problems = cursor->problems};
		char *value = NULL;

		if (!cursor_present(&at)) {
			warning_at(at.problems, child,
				   "\"%.80s\" has no value and is left out, as the API server does",
				   child->key);
		} else if (read_string_or_empty(&at, &value)) {
			*vec_push(&out->list) =
				(struct key_value){.key = strdup(child->key), .value = value};
		} else {
			good = false;
		}
	}
	return good;
}

bool read_string_list(const struct cursor *cursor, char ***out, size_t *count)
{
	bool good = true;

	if (!read_list(cursor, SIZE_MAX))
		return false;
	*out = calloc(cursor->node->count + 1, sizeof(**out));
	if (!*out)
		return false;
	for (size_t i = 0; i < cursor->node->count; i++) {
		struct cursor item = cursor_item(cursor, i);

		if (!cursor_present(&item))
			cursor_expected(&item, "a string");
		if (read_string_or_empty(&item, &(*out)[*count]))
			(*count)++;
		else
			good = false;
	}
	return good;
}
