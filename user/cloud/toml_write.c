/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as TOML. */
#include "cloud/toml_private.h"

static void write_string(const char *string, struct text *out)
{
	text_add_char(out, '"');
	for (const char *c = string; *c; c++) {
		if (*c == '"' || *c == '\\')
			text_printf(out, "\\%c", *c);
		else if (*c == '\n')
			text_add(out, "\\n");
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			text_printf(out, "\\u%04X", (unsigned)*c);
		else
			text_add_char(out, *c);
	}
	text_add_char(out, '"');
}

static void write_key(const char *key, struct text *out)
{
	static const char BARE[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	if (*key && !key[strspn(key, BARE)])
		text_add(out, key);
	else
		write_string(key, out);
}

static void write_value(const cJSON *value, struct text *out)
{
	const char *before = cJSON_IsArray(value) ? "[" : "{";
	const cJSON *item;

	if (cJSON_IsString(value)) {
		write_string(value->valuestring, out);
	} else if (cJSON_IsBool(value)) {
		text_add(out, cJSON_IsTrue(value) ? "true" : "false");
	} else if (cJSON_IsRaw(value)) {
		text_add(out, value->valuestring);
	} else if (cJSON_IsNumber(value)) {
		text_printf(out, "%.17g", value->valuedouble);
	} else {
		cJSON_ArrayForEach (item, value) {
			text_add(out, before);
			before = ", ";
			if (cJSON_IsObject(value)) {
				write_key(item->string, out);
				text_add(out, " = ");
			}
			write_value(item, out);
		}
		if (!value->child)
			text_add(out, before);
		text_add_char(out, cJSON_IsArray(value) ? ']' : '}');
	}
}

static bool is_tables(const cJSON *value)
{
	const cJSON *item;

	if (!cJSON_IsArray(value) || !value->child)
		return false;
	cJSON_ArrayForEach (item, value)
		if (!cJSON_IsObject(item))
			return false;
	return true;
}

static void write_table(const cJSON *table, const char *path, struct text *out);

static void write_header(const char *path, const char *brackets, struct text *out)
{
	size_t half = strlen(brackets) / 2;

	if (out->length)
		text_add_char(out, '\n');
	text_add_bytes(out, brackets, half);
	text_add(out, path);
	text_add(out, brackets + half);
	text_add_char(out, '\n');
}

/* A table of tables alone needs no header of its own. */
static bool has_values(const cJSON *table)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, table)
		if (!cJSON_IsObject(item) && !is_tables(item))
			return true;
	return !table->child;
}

static void write_below(const cJSON *value, const char *path, struct text *out)
{
	_cleanup_text_ struct text name = {0};
	const cJSON *item;

	text_add(&name, path);
	if (*path)
		text_add_char(&name, '.');
	write_key(value->string, &name);
	if (cJSON_IsObject(value)) {
		if (has_values(value))
			write_header(name.data, "[]", out);
		write_table(value, name.data, out);
		return;
	}
	cJSON_ArrayForEach (item, value) {
		write_header(name.data, "[[]]", out);
		write_table(item, name.data, out);
	}
}

static void write_table(const cJSON *table, const char *path, struct text *out)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, table) {
		if (cJSON_IsObject(item) || is_tables(item) || cJSON_IsNull(item))
			continue;
		write_key(item->string, out);
		text_add(out, " = ");
		write_value(item, out);
		text_add_char(out, '\n');
	}
	cJSON_ArrayForEach (item, table)
		if (cJSON_IsObject(item) || is_tables(item))
			write_below(item, path, out);
}

void toml_write(const cJSON *tree, struct text *out)
{
	write_table(tree, "", out);
}
