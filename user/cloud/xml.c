/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/xml.h"

#include <expat.h>
#include <limits.h>

#include "base/text.h"

#define DEPTH_MAX 32
#define TEXT_BYTES_MAX ((size_t)64 << 10)
#define PATH_BYTES_MAX 1024

struct reader {
	XML_Parser parser;
	xml_fn fn;
	void *arg;
	char *root;
	struct text path, text;
	size_t ends[DEPTH_MAX]; /* length of the path before each open element */
	unsigned depth;
	bool refused;
};

static void refuse(struct reader *reader)
{
	reader->refused = true;
	XML_StopParser(reader->parser, XML_FALSE);
}

static const char *local_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

static void on_start(void *arg, const char *name, const char **attributes)
{
	struct reader *reader = arg;

	(void)attributes;
	name = local_name(name);
	if (reader->depth >= DEPTH_MAX || reader->path.length + strlen(name) + 1 > PATH_BYTES_MAX) {
		refuse(reader);
		return;
	}
	if (reader->depth == 0) {
		snprintf(reader->root, XML_NAME_SIZE, "%s", name);
	} else {
		reader->ends[reader->depth] = reader->path.length;
		if (reader->depth > 1)
			text_add_char(&reader->path, '/');
		text_add(&reader->path, name);
	}
	reader->depth++;
	text_clear(&reader->text);
}

static void on_end(void *arg, const char *name)
{
	struct reader *reader = arg;

	(void)name;
	reader->depth--;
	if (reader->depth == 0)
		return;
	if (reader->fn)
		reader->fn(reader->arg, reader->path.data,
			   reader->text.data ? reader->text.data : "");
	reader->path.length = reader->ends[reader->depth];
	reader->path.data[reader->path.length] = '\0';
	text_clear(&reader->text);
}

static void on_text(void *arg, const char *data, int length)
{
	struct reader *reader = arg;

	if (reader->text.length + (size_t)length > TEXT_BYTES_MAX)
		refuse(reader);
	else
		text_add_bytes(&reader->text, data, (size_t)length);
}

/* AWS sends none, and entities could make much of little. */
static void on_doctype(void *arg, const char *name, const char *system, const char *public,
		       int has_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	refuse(arg);
}

int xml_read(const char *body, size_t length, xml_fn fn, void *arg, char root[XML_NAME_SIZE])
{
	struct reader reader = {.fn = fn, .arg = arg, .root = root};
	int r = -EBADMSG;

	root[0] = '\0';
	if (length > INT_MAX)
		return -EBADMSG;
	reader.parser = XML_ParserCreate(NULL);
	if (!reader.parser)
		return -ENOMEM;
	XML_SetUserData(reader.parser, &reader);
	XML_SetElementHandler(reader.parser, on_start, on_end);
	XML_SetCharacterDataHandler(reader.parser, on_text);
	XML_SetStartDoctypeDeclHandler(reader.parser, on_doctype);
	if (XML_Parse(reader.parser, body, (int)length, 1) == XML_STATUS_OK && !reader.refused)
		r = 0;
	XML_ParserFree(reader.parser);
	text_free(&reader.path);
	text_free(&reader.text);
	return r;
}
