/* SPDX-License-Identifier: Apache-2.0 */
/* Where a field of a document stands, found by reading its file once more. */
#include "cloud/private.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

static bool is_document(const struct yaml_node *document, const char *kind, const char *name)
{
	const struct yaml_node *its_kind = yaml_get(document, "kind");
	const struct yaml_node *its_name = yaml_get(yaml_get(document, "metadata"), "name");

	return its_kind && its_name && str_equal(its_kind->scalar, kind) &&
	       str_equal(its_name->scalar, name);
}

static const struct yaml_node *find_document(const struct yaml_file *file, const char *kind,
					     const char *name)
{
	for (size_t i = 0; i < file->count; i++)
		if (is_document(file->documents[i], kind, name))
			return file->documents[i];
	return NULL;
}

/* The deepest part of "spec.template.spec.requirements" that is there. */
static const struct yaml_node *descend(const struct yaml_node *node, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	char *rest = NULL;

	for (char *key = strtok_r(copy, ".", &rest); key; key = strtok_r(NULL, ".", &rest)) {
		const struct yaml_node *child = yaml_get(node, key);

		if (!child)
			break;
		node = child;
	}
	return node;
}

char *place_of(const struct origin *origin, const char *kind, const char *name, const char *path)
{
	_cleanup_free_ char *text = NULL;
	struct problems ignored = {0};
	struct yaml_file file = {0};
	const struct yaml_node *node;
	char *place = NULL;
	size_t length;

	if (file_read(origin->file, FILE_BYTES_MAX, &text, &length) >= 0 &&
	    yaml_parse(origin->file, text, length, &file, &ignored) >= 0) {
		node = find_document(&file, kind, name);
		if (node)
			node = descend(node, path);
		if (node && node->key)
			place = str_printf("%s:%u:%u", origin->file, node->key_line,
					   node->key_column);
	}
	yaml_file_free(&file);
	problems_free(&ignored);
	return place ? place : str_printf("%s:%u:%u", origin->file, origin->line, origin->column);
}
