/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

#include <yaml.h>

#include "base/map.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define DEPTH_MAX 64

/* A collection that is being filled. */
struct open_node {
	struct yaml_node *node;
	struct map keys; /* of a mapping: hash of the key to the child that has it */
	size_t capacity; /* of its children */
};

struct reader {
	yaml_parser_t parser;
	const char *name;
	struct problems *problems;
	struct yaml_node *root; /* of the document that is being read */
	struct open_node stack[DEPTH_MAX];
	size_t depth;
	/* The key that was read and waits for its value. */
	char *key;
	yaml_mark_t key_mark;
};

static void node_free(struct yaml_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++)
		node_free(node->children[i]);
	free(node->children);
	free(node->key);
	free(node->scalar);
	free(node);
}

void yaml_file_free(struct yaml_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		node_free(file->documents[i]);
	free(file->documents);
	free(file->name);
	*file = (struct yaml_file){0};
}

struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	if (!node || node->kind != YAML_MAPPING)
		return NULL;
	for (size_t i = 0; i < node->count; i++)
		if (str_equal(node->children[i]->key, key))
			return node->children[i];
	return NULL;
}

static bool looks_like_number(const char *text)
{
	double value;

	return parse_double(text, &value) != -EINVAL;
}

const char *yaml_kind_text(const struct yaml_node *node)
{
	if (!node || node->kind == YAML_NULL)
		return "nothing";
	if (node->kind == YAML_SEQUENCE)
		return "a list";
	if (node->kind == YAML_MAPPING)
		return "a mapping";
	return !node->quoted && looks_like_number(node->scalar) ? "a number" : "a string";
}

/* ---- building the tree ---- */

static _printf_(3, 4) int refuse(struct reader *reader, yaml_mark_t mark, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct yaml_node at = {.file = reader->name,
			       .line = (unsigned)mark.line + 1,
			       .column = (unsigned)mark.column + 1};
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	problem_at(reader->problems, &at, "%s", text);
	return -EINVAL;
}

static bool in_mapping(const struct reader *reader)
{
	return reader->depth && reader->stack[reader->depth - 1].node->kind == YAML_MAPPING;
}

static struct yaml_node *new_node(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark)
{
	struct yaml_node *node = calloc(1, sizeof(*node));

	if (!node)
		abort();
	*node = (struct yaml_node){.kind = kind,
				   .file = reader->name,
				   .line = (unsigned)mark.line + 1,
				   .column = (unsigned)mark.column + 1};
	if (in_mapping(reader)) {
		node->key = TAKE(reader->key);
		node->key_line = (unsigned)reader->key_mark.line + 1;
		node->key_column = (unsigned)reader->key_mark.column + 1;
	}
	return node;
}

/* The new node becomes the root, or a child of the collection that is open. */
static void attach(struct reader *reader, struct yaml_node *node)
{
	struct open_node *parent;

	if (reader->depth == 0) {
		reader->root = node;
		return;
	}
	parent = &reader->stack[reader->depth - 1];
	parent->node->children = vec_grow(parent->node->children, &parent->capacity,
					  parent->node->count + 1, sizeof(struct yaml_node *));
	parent->node->children[parent->node->count++] = node;
	if (node->key)
		map_put(&parent->keys, hash_text(node->key), node);
}

static int open_collection(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark)
{
	struct yaml_node *node;

	if (in_mapping(reader) && !reader->key)
		return refuse(reader, mark, "a key must be a plain word, not a list or a mapping");
	if (reader->depth == DEPTH_MAX)
		return refuse(reader, mark, "nested more than %d levels deep", DEPTH_MAX);
	node = new_node(reader, kind, mark);
	attach(reader, node);
	reader->stack[reader->depth++] = (struct open_node){.node = node};
	return 0;
}

static void close_collection(struct reader *reader)
{
	map_free(&reader->stack[--reader->depth].keys);
}

static bool plain_null(const char *text)
{
	return !*text || str_equal(text, "~") || str_equal(text, "null") ||
	       str_equal(text, "Null") || str_equal(text, "NULL");
}

static int take_key(struct reader *reader, const char *key, bool quoted, yaml_mark_t mark)
{
	struct open_node *open = &reader->stack[reader->depth - 1];
	struct yaml_node *before;

	if (!quoted && plain_null(key))
		return refuse(reader, mark, "a key is missing before ':'");
	before = map_get(&open->keys, hash_text(key));
	if (before && !str_equal(before->key, key))
		before = yaml_get(open->node, key); /* another key with the same hash */
	if (before)
		return refuse(reader, mark, "duplicate key \"%s\": it stands already in line %u",
			      key, before->key_line);
	reader->key = strdup(key);
	if (!reader->key)
		abort();
	reader->key_mark = mark;
	return 0;
}

static int take_scalar(struct reader *reader, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag;
	bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	struct yaml_node *node;

	if (strlen(text) != event->data.scalar.length)
		return refuse(reader, event->start_mark, "a NUL character is not allowed");
	if (tag && !str_equal(tag, YAML_STR_TAG))
		return refuse(reader, event->start_mark, "the tag \"%s\" is not supported", tag);
	quoted = quoted || tag;
	if (in_mapping(reader) && !reader->key)
		return take_key(reader, text, quoted, event->start_mark);
	if (!quoted && plain_null(text)) {
		attach(reader, new_node(reader, YAML_NULL, event->start_mark));
		return 0;
	}
	node = new_node(reader, YAML_SCALAR, event->start_mark);
	node->quoted = quoted;
	node->scalar = strdup(text);
	if (!node->scalar)
		abort();
	attach(reader, node);
	return 0;
}

static void end_document(struct reader *reader, struct yaml_file *file)
{
	struct yaml_node *root = TAKE(reader->root);

	if (!root || root->kind == YAML_NULL) {
		node_free(root);
		return;
	}
	file->documents = reallocarray(file->documents, file->count + 1, sizeof(*file->documents));
	if (!file->documents)
		abort();
	file->documents[file->count++] = root;
}

static int refuse_anchor(struct reader *reader, const yaml_event_t *event, const yaml_char_t *name)
{
	return refuse(reader, event->start_mark,
		      "anchors and aliases (\"%s\") are not supported: write the value out", name);
}

static int take_collection(struct reader *reader, const yaml_event_t *event, enum yaml_kind kind,
			   const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return refuse_anchor(reader, event, anchor);
	if (tag)
		return refuse(reader, event->start_mark, "the tag \"%s\" is not supported", tag);
	return open_collection(reader, kind, event->start_mark);
}

static int take_event(struct reader *reader, const yaml_event_t *event, struct yaml_file *file)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return refuse_anchor(reader, event, event->data.alias.anchor);
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor)
			return refuse_anchor(reader, event, event->data.scalar.anchor);
		return take_scalar(reader, event);
	case YAML_SEQUENCE_START_EVENT:
		return take_collection(reader, event, YAML_SEQUENCE,
				       event->data.sequence_start.anchor,
				       event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return take_collection(reader, event, YAML_MAPPING,
				       event->data.mapping_start.anchor,
				       event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		close_collection(reader);
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		end_document(reader, file);
		return 0;
	default:
		return 0;
	}
}

static int refuse_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	if (parser->error == YAML_READER_ERROR)
		mark = parser->mark;
	if (parser->context)
		return refuse(reader, mark, "not valid YAML: %s (%s that starts in line %zu)",
			      parser->problem, parser->context, parser->context_mark.line + 1);
	return refuse(reader, mark, "not valid YAML: %s", parser->problem);
}

static int read_events(struct reader *reader, struct yaml_file *file)
{
	bool ended = false;
	int r = 0;

	while (!ended && r >= 0) {
		yaml_event_t event;

		if (!yaml_parser_parse(&reader->parser, &event))
			return refuse_syntax(reader);
		r = take_event(reader, &event, file);
		ended = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	return r;
}

/* libyaml says only at which byte its reader stopped, so what it would stop at is found here: bytes
 * that are no UTF-8, and characters that YAML does not allow (YAML 1.1, section 4.1.1). */
static int check_characters(struct reader *reader, const char *text, size_t length)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < length; mark.column++) {
		unsigned char c = (unsigned char)text[i];
		size_t bytes = utf8_length(text + i, length - i);

		if (bytes == 0)
			return refuse(reader, mark, "not UTF-8: byte 0x%02x", c);
		if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') ||
		    (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0 &&
		     (unsigned char)text[i + 1] != 0x85))
			return refuse(reader, mark, "a control character is not allowed");
		if (c == '\n')
			mark = (yaml_mark_t){.line = mark.line + 1, .column = (size_t)-1};
		i += bytes;
	}
	return 0;
}

static int parse_checked(struct reader *reader, size_t most, const char *text, size_t length,
			 struct yaml_file *file)
{
	int r;

	if (length > most)
		return refuse(reader, (yaml_mark_t){0}, "larger than %zu bytes", most);
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		length -= 3;
	}
	r = check_characters(reader, text, length);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&reader->parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, length);
	r = read_events(reader, file);
	yaml_parser_delete(&reader->parser);
	while (reader->depth)
		close_collection(reader);
	free(reader->key);
	node_free(reader->root);
	return r;
}

int yaml_parse(const char *name, const char *text, size_t length, struct yaml_file *out,
	       struct problems *problems)
{
	return yaml_parse_up_to(FILE_BYTES_MAX, name, text, length, out, problems);
}

int yaml_parse_up_to(size_t most, const char *name, const char *text, size_t length,
		     struct yaml_file *out, struct problems *problems)
{
	struct yaml_file file = {.name = strdup(name)};
	struct reader reader = {.name = file.name, .problems = problems};
	int r;

	if (!file.name)
		return -ENOMEM;
	r = parse_checked(&reader, most, text, length, &file);
	if (r < 0) {
		yaml_file_free(&file);
		return r;
	}
	*out = file;
	return 0;
}
