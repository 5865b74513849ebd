/* SPDX-License-Identifier: Apache-2.0 */
/* Files of pods, as kubectl prints them or a chart renders them. */
#include "documents/pods_private.h"

#define ITEMS_MAX 1000000

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

static void read_any(const struct cursor *document, bool in_list, struct documents *out);

static void read_items(const struct cursor *list, struct documents *out)
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

static void read_any(const struct cursor *document, bool in_list, struct documents *out)
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
	if ((strcmp(kind, "List") == 0 || strcmp(kind, "PodList") == 0) && !in_list)
		read_items(document, out);
	else if (!read_pod_document(document, version, kind, out))
		refuse_kind(&kind_at);
}

int pods_parse(struct documents *documents, const char *file, const char *text, size_t length,
	       struct problems *problems)
{
	struct documents read = {0};
	struct yaml_file yaml = {0};
	size_t before = problems->errors;
	int r = yaml_parse(file, text, length, &yaml, problems);

	if (r < 0)
		return r;
	for (size_t i = 0; i < yaml.count; i++) {
		struct cursor document = {.node = yaml.documents[i], .problems = problems};

		read_any(&document, false, &read);
	}
	if (problems->errors == before) {
		vec_for_each (pod, &read.pods)
			*vec_push(&documents->pods) = *pod;
		vec_clear(&read.pods);
	}
	documents_free(&read);
	yaml_file_free(&yaml);
	return problems->errors > before ? -EINVAL : 0;
}
