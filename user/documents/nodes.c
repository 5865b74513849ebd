/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of a cluster, as kubectl prints them. */
#include "documents/pods_private.h"

static void read_taints(const struct cursor *spec, struct node_object *out)
{
	static const struct field FIELDS[] = {
		{"key", FIELD_REQUIRED, "the taint's key"},
		{"value"},
		{"effect", FIELD_REQUIRED, "NoSchedule, PreferNoSchedule or NoExecute"},
		{"timeAdded"},
	};
	struct cursor list = cursor_field(spec, "taints");

	if (!read_list(&list, SIZE_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);
		struct cursor key = cursor_field(&item, "key"),
			      value = cursor_field(&item, "value");
		struct cursor effect = cursor_field(&item, "effect");
		struct taint *taint;

		if (!read_mapping(&item, FIELDS, ARRAY_SIZE(FIELDS)))
			continue;
		taint = vec_push(&out->taints.list);
		read_string(&key, &taint->key);
		read_string_or_empty(&value, &taint->value);
		if (!taint->value)
			taint->value = strdup("");
		read_taint_effect(&effect, &taint->effect);
	}
}

static void read_amounts(const struct cursor *at, struct resources *out)
{
	if (!cursor_present(at))
		return;
	if (at->node->kind != YAML_MAPPING) {
		cursor_expected(at, "a mapping of resources to quantities");
		return;
	}
	yaml_for_each (child, at->node) {
		struct cursor item = cursor_field(at, child->key);
		double amount = 0;

		if (read_quantity(&item, &amount))
			*vec_push(&out->list) = (struct resource_amount){.name = strdup(child->key),
									 .amount = amount};
	}
}

void read_node_object(const struct cursor *document, struct node_object *out)
{
	struct cursor metadata = cursor_field(document, "metadata");
	struct cursor name = cursor_field(&metadata, "name");
	struct cursor labels = cursor_field(&metadata, "labels");
	struct cursor spec = cursor_field(document, "spec");
	struct cursor closed = cursor_field(&spec, "unschedulable");
	struct cursor status = cursor_field(document, "status");
	struct cursor capacity = cursor_field(&status, "capacity");
	struct cursor allocatable = cursor_field(&status, "allocatable");

	out->origin = (struct origin){
		.file = strdup(document->node->file ? document->node->file : ""),
		.line = document->node->line,
		.column = document->node->column,
	};
	if (!cursor_present(&name)) {
		cursor_refuse(document, "missing field metadata.name, expected the node's name");
		return;
	}
	read_string(&name, &out->name);
	read_string_map(&labels, &out->labels);
	read_taints(&spec, out);
	read_bool(&closed, &out->unschedulable);
	read_amounts(&capacity, &out->capacity);
	read_amounts(cursor_present(&allocatable) ? &allocatable : &capacity, &out->allocatable);
}

static void amounts_free(struct resources *resources)
{
	vec_for_each (it, &resources->list)
		free(it->name);
	vec_free(&resources->list);
}

void node_objects_free(struct node_objects *nodes)
{
	vec_for_each (node, &nodes->list) {
		vec_for_each (taint, &node->taints.list) {
			free(taint->key);
			free(taint->value);
		}
		vec_free(&node->taints.list);
		key_values_free(&node->labels);
		amounts_free(&node->capacity);
		amounts_free(&node->allocatable);
		free(node->origin.file);
		free(node->name);
	}
	vec_free(&nodes->list);
}
