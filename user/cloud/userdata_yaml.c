/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as YAML in block style: what is no plain string beyond doubt stands in double quotes. */
#include "cloud/private.h"
#include "cloud/userdata.h"

static bool is_word(const char *text)
{
	static const char *const WORDS[] = {"true", "false", "yes", "no", "on",
					    "off",  "y",     "n",   "~",  "null"};

	for (size_t i = 0; i < ARRAY_SIZE(WORDS); i++)
		if (strcasecmp(text, WORDS[i]) == 0)
			return true;
	return false;
}

/* Numbers of YAML 1.1 too: 1_000, 0x10, 12:30:45; and dates. */
static bool is_number(const char *text)
{
	char plain[64];
	size_t length = 0;
	char *end;

	if (strspn(text, "0123456789-:") == strlen(text) || str_starts(text, "0x") ||
	    str_starts(text, "0o") || str_starts(text, "0b"))
		return true;
	for (const char *c = text; *c && length < sizeof(plain) - 1; c++)
		if (*c != '_')
			plain[length++] = *c;
	plain[length] = '\0';
	strtod(plain, &end);
	return end != plain && !*end;
}

static bool is_plain(const char *text)
{
	static const char FIRST[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789/.";
	size_t length = strlen(text);
	bool flag = str_starts(text, "--") && length > 2;

	if (!length || (!flag && !strchr(FIRST, text[0])) || is_word(text) || is_number(text))
		return false;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f ||
		    (*c == ':' && (!c[1] || c[1] == ' ')))
			return false;
	return true;
}

static void write_scalar(const cJSON *value, struct text *out)
{
	if (cJSON_IsBool(value))
		text_add(out, cJSON_IsTrue(value) ? "true" : "false");
	else if (cJSON_IsNumber(value))
		text_printf(out, "%.17g", value->valuedouble);
	else if (is_plain(value->valuestring))
		text_add(out, value->valuestring);
	else
		text_add_json(out, value->valuestring);
	text_add_char(out, '\n');
}

static void write_node(const cJSON *node, int indent, bool continues, struct text *out);

static void write_member(const cJSON *item, int indent, struct text *out)
{
	bool object = cJSON_IsObject(item), array = cJSON_IsArray(item);
	cJSON key = {.type = cJSON_String, .valuestring = item->string};

	write_scalar(&key, out);
	out->length--; /* its newline */
	if ((object || array) && !item->child) {
		text_printf(out, ": %s\n", object ? "{}" : "[]");
		return;
	}
	text_add(out, object || array ? ":\n" : ": ");
	if (object || array)
		write_node(item, object ? indent + 2 : indent, false, out);
	else
		write_scalar(item, out);
}

/* continues: the first line's indent is already there, behind a "- ". */
static void write_node(const cJSON *node, int indent, bool continues, struct text *out)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, node) {
		if (!continues)
			text_printf(out, "%*s", indent, "");
		continues = false;
		if (cJSON_IsObject(node)) {
			write_member(item, indent, out);
			continue;
		}
		text_add(out, "- ");
		if (cJSON_IsObject(item))
			write_node(item, indent + 2, true, out);
		else
			write_scalar(item, out);
	}
}

void yaml_write(const cJSON *tree, struct text *out)
{
	write_node(tree, 0, false, out);
}
