/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: a tree in which every node has its place, or one problem. */
#include "base/yaml.h"

static void check(const struct yaml_node *node, const struct yaml_node *parent)
{
	if (node->line < 1 || node->column < 1 || !node->file)
		abort();
	if ((parent && parent->kind == YAML_MAPPING) != (node->key != NULL))
		abort();
	if ((node->kind == YAML_SCALAR) != (node->scalar != NULL))
		abort();
	if (node->count && node->kind != YAML_SEQUENCE && node->kind != YAML_MAPPING)
		abort();
	for (size_t i = 0; i < node->count; i++) {
		check(node->children[i], node);
		if (node->kind == YAML_MAPPING &&
		    yaml_get(node, node->children[i]->key) != node->children[i])
			abort(); /* a duplicate key */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems = {0};
	struct yaml_file file = {0};
	int r = yaml_parse("fuzz.yaml", (const char *)data, size, &file, &problems);

	if ((r < 0) != (problems.errors == 1))
		abort();
	for (size_t i = 0; i < file.count; i++)
		check(file.documents[i], NULL);
	yaml_file_free(&file);
	problems_free(&problems);
	return 0;
}
