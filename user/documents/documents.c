/* SPDX-License-Identifier: Apache-2.0 */
#include "documents/read.h"

#include <limits.h>

#include "documents/pods_private.h"

#define LIST_MAX 4096

/* ---- one document ---- */

enum document_kind { KIND_POLICY, KIND_POOL, KIND_CLASS, KIND_COUNT };

static const struct {
	const char *kind, *version;
} DOCUMENT_KINDS[KIND_COUNT] = {
	[KIND_POLICY] = {"HorizontalPodAutoscaler", "autoscaling/v2"},
	[KIND_POOL] = {"NodePool", "karpenter.sh/v1"},
	[KIND_CLASS] = {"EC2NodeClass", "karpenter.k8s.aws/v1"},
};

static struct origin origin_of(const struct yaml_node *node)
{
	return (struct origin){.file = strdup(node->file ? node->file : ""),
			       .line = node->line,
			       .column = node->column};
}

static void read_one(const struct cursor *document, enum document_kind kind, struct documents *out)
{
	if (kind == KIND_POLICY) {
		struct policy *policy = vec_push(&out->policies);

		policy->origin = origin_of(document->node);
		read_policy(document, policy);
	} else if (kind == KIND_POOL) {
		struct pool *pool = vec_push(&out->pools);

		pool->origin = origin_of(document->node);
		read_pool(document, pool);
	} else {
		struct node_class *node_class = vec_push(&out->classes);

		node_class->origin = origin_of(document->node);
		read_node_class(document, node_class);
	}
}

static void read_documents_of_list(const struct cursor *list, struct documents *out);

/* By kind and apiVersion; the items of a List likewise, but no List in a List. */
static void read_document(const struct cursor *document, bool in_list, struct documents *out)
{
	struct cursor version_at = cursor_field(document, "apiVersion");
	struct cursor kind_at = cursor_field(document, "kind");
	_cleanup_free_ char *version = NULL, *kind = NULL;

	if (!cursor_present(document) || document->node->kind != YAML_MAPPING) {
		cursor_expected(document,
				"a Kubernetes object: a mapping with apiVersion, kind, metadata "
				"and spec");
		return;
	}
	if (!cursor_present(&version_at) || !cursor_present(&kind_at)) {
		cursor_refuse(document,
			      "missing field %s, expected apiVersion and kind of an object",
			      cursor_present(&kind_at) ? "apiVersion" : "kind");
		return;
	}
	if (!read_string(&version_at, &version) || !read_string(&kind_at, &kind))
		return;
	if (strcmp(kind, "List") == 0 && strcmp(version, "v1") == 0 && !in_list) {
		read_documents_of_list(document, out);
		return;
	}
	if (read_pod_document(document, version, kind, out))
		return;
	for (int i = 0; i < KIND_COUNT; i++) {
		if (strcmp(kind, DOCUMENT_KINDS[i].kind) != 0)
			continue;
		if (strcmp(version, DOCUMENT_KINDS[i].version) == 0)
			read_one(document, (enum document_kind)i, out);
		else
			cursor_expected(&version_at, "%s", DOCUMENT_KINDS[i].version);
		return;
	}
	cursor_expected(&kind_at,
			"HorizontalPodAutoscaler (autoscaling/v2), NodePool (karpenter.sh/v1) or "
			"EC2NodeClass (karpenter.k8s.aws/v1)");
}

static void read_documents_of_list(const struct cursor *list, struct documents *out)
{
	static const struct field FIELDS[] = {
		{"apiVersion"}, {"kind"}, {"metadata"}, {"items", FIELD_REQUIRED, "a list"}};
	struct cursor items = cursor_field(list, "items");

	if (!read_mapping(list, FIELDS, ARRAY_SIZE(FIELDS)) || !read_list(&items, LIST_MAX))
		return;
	for (size_t i = 0; i < items.node->count; i++) {
		struct cursor item = cursor_item(&items, i);

		read_document(&item, true, out);
	}
}

/* ---- the public side ---- */

#define MOVE(to, from)                       \
	do {                                 \
		vec_for_each (it, from)      \
			*vec_push(to) = *it; \
		vec_free(from);              \
	} while (0)

int documents_parse(struct documents *documents, const char *file, const char *text, size_t length,
		    struct problems *problems)
{
	struct documents read = {0};
	struct yaml_file yaml = {0};
	size_t before = problems->errors;
	int r;

	r = yaml_parse(file, text, length, &yaml, problems);
	if (r < 0)
		return r;
	for (size_t i = 0; i < yaml.count; i++) {
		struct cursor document = {.node = yaml.documents[i], .problems = problems};

		read_document(&document, false, &read);
	}
	if (problems->errors > before) {
		r = -EINVAL;
	} else {
		MOVE(&documents->policies, &read.policies);
		MOVE(&documents->pools, &read.pools);
		MOVE(&documents->classes, &read.classes);
		MOVE(&documents->pods, &read.pods);
	}
	documents_free(&read);
	yaml_file_free(&yaml);
	return r;
}

const struct pool *documents_pool(const struct documents *documents, const char *name)
{
	vec_for_each (pool, &documents->pools)
		if (str_equal(pool->name, name))
			return pool;
	return NULL;
}

const struct node_class *documents_class(const struct documents *documents, const char *name)
{
	vec_for_each (node_class, &documents->classes)
		if (str_equal(node_class->name, name))
			return node_class;
	return NULL;
}

static bool has_value(const struct label_term *term, const char *value)
{
	for (size_t i = 0; i < term->count; i++)
		if (strcmp(term->values[i], value) == 0)
			return true;
	return false;
}

static bool compares(const struct label_term *term, const char *value)
{
	char *end = NULL;
	long long left, right;

	if (!value || !*value || term->count != 1)
		return false;
	left = strtoll(value, &end, 10);
	if (*end)
		return false;
	right = strtoll(term->values[0], &end, 10);
	if (*end)
		return false;
	switch (term->op) {
	case LABEL_GT:
		return left > right;
	case LABEL_GTE:
		return left >= right;
	case LABEL_LT:
		return left < right;
	default:
		return left <= right;
	}
}

bool label_term_matches(const struct label_term *term, const char *value)
{
	switch (term->op) {
	case LABEL_IN:
		return value && has_value(term, value);
	case LABEL_NOT_IN:
		return !value || !has_value(term, value);
	case LABEL_EXISTS:
		return value != NULL;
	case LABEL_DOES_NOT_EXIST:
		return value == NULL;
	case LABEL_GT:
	case LABEL_LT:
	case LABEL_GTE:
	case LABEL_LTE:
		return compares(term, value);
	}
	return false;
}
