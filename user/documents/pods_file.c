/* SPDX-License-Identifier: Apache-2.0 */
/* Files of pods, as kubectl prints them or a chart renders them. */
#include "documents/pods_private.h"

#define ITEMS_MAX 1000000
#define BYTES_MAX ((size_t)256 << 20)

/* Of a rendered chart or `kubectl get all`: objects that run no pods of their own. */
static const char *const OTHERS[] = {
	"ConfigMap",
	"ControllerRevision",
	"CronJob",
	"Endpoints",
	"EndpointSlice",
	"Event",
	"HorizontalPodAutoscaler",
	"Ingress",
	"Namespace",
	"NetworkPolicy",
	"Node",
	"PersistentVolumeClaim",
	"PodDisruptionBudget",
	"PriorityClass",
	"Role",
	"RoleBinding",
	"ClusterRole",
	"ClusterRoleBinding",
	"Secret",
	"Service",
	"ServiceAccount",
};

static const char *const KINDS[] = {"Pod",	  "PodTemplate", "Deployment", "StatefulSet",
				    "ReplicaSet", "DaemonSet",	 "Job"};

/* Where the objects of a file go. */
struct objects {
	struct documents documents;
	struct node_objects nodes;
	bool with_nodes;
};

static void objects_free(struct objects *objects)
{
	documents_free(&objects->documents);
	node_objects_free(&objects->nodes);
}

static void read_any(const struct cursor *document, bool in_list, struct objects *out);

static void read_items(const struct cursor *list, struct objects *out)
{
	struct cursor items = cursor_field(list, "items");

	if (!cursor_present(&items)) {
		cursor_refuse(list, "missing field items, expected a list");
		return;
	}
	if (!read_list(&items, ITEMS_MAX))
		return;
	for (size_t i = 0; i < items.node->count; i++) {
		struct cursor item = cursor_item(&items, i);

		read_any(&item, true, out);
	}
}

static void refuse_kind(const struct cursor *kind)
{
	_cleanup_free_ char *all = names_text(KINDS, ARRAY_SIZE(KINDS));
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(OTHERS); i++)
		if (strcmp(kind->node->scalar, OTHERS[i]) == 0)
			return;
	near = nearest_name(kind->node->scalar, KINDS, ARRAY_SIZE(KINDS));
	if (near)
		cursor_expected(kind, "%s; did you mean %s?", all, near);
	else
		cursor_expected(kind, "%s", all);
}

static void read_any(const struct cursor *document, bool in_list, struct objects *out)
{
	struct cursor version_at = cursor_field(document, "apiVersion");
	struct cursor kind_at = cursor_field(document, "kind");
	_cleanup_free_ char *version = NULL, *kind = NULL;

	if (!cursor_present(document) || document->node->kind != YAML_MAPPING) {
		cursor_expected(document, "a Kubernetes object: a mapping with apiVersion, kind, "
					  "metadata and spec");
		return;
	}
	if (!cursor_present(&version_at) || !cursor_present(&kind_at)) {
		cursor_refuse(document,
			      "missing field %s, expected apiVersion and kind of an "
			      "object",
			      cursor_present(&kind_at) ? "apiVersion" : "kind");
		return;
	}
	if (!read_string(&version_at, &version) || !read_string(&kind_at, &kind))
		return;
	if (!in_list && strcmp(version, "v1") == 0 && str_ends(kind, "List"))
		read_items(document, out);
	else if (out->with_nodes && strcmp(kind, "Node") == 0)
		read_node_object(document, vec_push(&out->nodes.list));
	else if (!read_pod_document(document, version, kind, &out->documents))
		refuse_kind(&kind_at);
}

struct json_items {
	struct objects *objects;
	struct problems *problems;
};

static void on_json(void *arg, const struct yaml_node *node, size_t index)
{
	struct json_items *items = arg;
	struct cursor top = {.problems = items->problems};
	struct cursor list = {.above = &top, .name = "items", .problems = items->problems};
	struct cursor item = {
		.above = &list, .node = node, .index = index, .problems = items->problems};

	if (index == SIZE_MAX) {
		top.node = node;
		read_any(&top, false, items->objects);
	} else {
		read_any(&item, true, items->objects);
	}
}

static int parse_yaml(struct objects *read, const char *file, const char *text, size_t length,
		      struct problems *problems)
{
	struct yaml_file yaml = {0};
	int r = yaml_parse_up_to(BYTES_MAX, file, text, length, &yaml, problems);

	for (size_t i = 0; r == 0 && i < yaml.count; i++) {
		struct cursor document = {.node = yaml.documents[i], .problems = problems};

		read_any(&document, false, read);
	}
	yaml_file_free(&yaml);
	return r;
}

/* As JSON where it is, which reads fast; what only looked like it is read again as YAML. */
static int parse(struct objects *read, const char *file, const char *text, size_t length,
		 struct problems *problems)
{
	size_t errors = problems->errors;
	struct problems found = {0};
	struct json_items items = {.objects = read, .problems = &found};
	int r = 0;

	if (yaml_parse_json(file, text, length, on_json, &items)) {
		problems_move(problems, &found);
	} else {
		problems_free(&found);
		objects_free(read);
		r = parse_yaml(read, file, text, length, problems);
	}
	return r < 0 || problems->errors == errors ? r : -EINVAL;
}

int nodes_parse(struct node_objects *nodes, struct documents *documents, const char *file,
		const char *text, size_t length, struct problems *problems)
{
	struct objects read = {.with_nodes = nodes != NULL};
	int r = parse(&read, file, text, length, problems);

	if (r == 0) {
		vec_for_each (pod, &read.documents.pods)
			*vec_push(&documents->pods) = *pod;
		vec_clear(&read.documents.pods);
		if (nodes)
			vec_for_each (node, &read.nodes.list)
				*vec_push(&nodes->list) = *node;
		vec_clear(&read.nodes.list);
	}
	objects_free(&read);
	return r;
}

int pods_parse(struct documents *documents, const char *file, const char *text, size_t length,
	       struct problems *problems)
{
	return nodes_parse(NULL, documents, file, text, length, problems);
}
