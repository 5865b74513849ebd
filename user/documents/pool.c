/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NodePool (karpenter.sh/v1). Rules from Karpenter: pkg/apis/crds/karpenter.sh_nodepools.yaml,
 * pkg/apis/v1/nodepool_validation.go, nodeclaim_validation.go.
 */
#include "documents/read.h"

#include <math.h>

#define TAINTS_MAX 1000
#define LIMITS_MAX 1000
#define QUANTITY                                                                              \
	"^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?((" \
	"[0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$"
#define QUALIFIED_NAME                                                               \
	"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(/))?([A" \
	"-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"

#define DATE_TIME                                                                              \
	"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]+)?([Zz]|[+-][0-" \
	"9]{2}:[0-9]{2})$"

#define DEFAULT_EXPIRE_AFTER_S ((uint64_t)720 * 3600)

/* ---- taints ---- */

static bool has_taint(const struct taints *taints, const struct taint *taint)
{
	vec_for_each (other, &taints->list)
		if (other != taint && str_equal(other->key, taint->key) &&
		    other->effect == taint->effect)
			return true;
	return false;
}

static void read_taint(const struct cursor *at, struct taint *taint)
{
	static const struct field FIELDS[] = {
		{"key", FIELD_REQUIRED, "a taint's key"},
		{"effect", FIELD_REQUIRED, "NoSchedule, PreferNoSchedule or NoExecute"},
		{"value"},
		{"timeAdded"},
	};
	static const char *const EFFECTS[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};
	struct cursor key = cursor_field(at, "key"), value = cursor_field(at, "value");
	struct cursor effect = cursor_field(at, "effect"), added = cursor_field(at, "timeAdded");
	_cleanup_free_ char *time = NULL;
	uint64_t moment;
	size_t chosen = 0;

	if (!cursor_present(at)) {
		cursor_expected(at, "a taint");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_matching(&key, QUALIFIED_NAME, "a key such as example.com/name", &taint->key))
		check_label_key(&key, taint->key);
	if (read_matching(&value, QUALIFIED_NAME, "a value such as name", &taint->value))
		check_label_key(&value, taint->value);
	if (read_enum(&effect, EFFECTS, ARRAY_SIZE(EFFECTS), &chosen))
		taint->effect = (enum taint_effect)chosen;
	if (read_matching(&added, DATE_TIME, "a time such as 2026-01-31T12:00:00Z", &time) &&
	    time_parse(time, &moment) < 0)
		cursor_expected(&added, "a day and time that there is");
	if (!taint->value)
		taint->value = strdup("");
}

static void read_taints(const struct cursor *spec, const char *name, struct taints *taints,
			const struct taints *others)
{
	struct cursor list = cursor_field(spec, name);

	if (!read_list(&list, TAINTS_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);
		struct taint *taint = vec_push(&taints->list);

		read_taint(&item, taint);
		if (has_taint(taints, taint) || has_taint(others, taint))
			cursor_refuse(&item,
				      "found a second taint \"%.80s\" with this effect, expected "
				      "each once",
				      taint->key);
	}
}

/* ---- the template ---- */

static void read_class_reference(const struct cursor *spec, struct pool *pool)
{
	static const struct field FIELDS[] = {
		{"group", FIELD_REQUIRED, "karpenter.k8s.aws"},
		{"kind", FIELD_REQUIRED, "EC2NodeClass"},
		{"name", FIELD_REQUIRED, "the name of an EC2NodeClass"},
	};
	static const char *const GROUPS[] = {"karpenter.k8s.aws"};
	static const char *const KINDS[] = {"EC2NodeClass"};
	struct cursor reference = cursor_field(spec, "nodeClassRef");
	struct cursor group = cursor_field(&reference, "group");
	struct cursor kind = cursor_field(&reference, "kind");
	struct cursor name = cursor_field(&reference, "name");
	size_t chosen = 0;

	if (!read_mapping(&reference, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_enum(&group, GROUPS, ARRAY_SIZE(GROUPS), &chosen);
	read_enum(&kind, KINDS, ARRAY_SIZE(KINDS), &chosen);
	if (!read_string(&name, &pool->node_class))
		return;
	pool->node_class_line = name.node->line;
	pool->node_class_column = name.node->column;
}

static void read_template_metadata(const struct cursor *template, struct pool *pool)
{
	static const struct field FIELDS[] = {{"labels"}, {"annotations"}};
	struct cursor metadata = cursor_field(template, "metadata");
	struct cursor annotations = cursor_field(&metadata, "annotations");

	if (read_mapping(&metadata, FIELDS, ARRAY_SIZE(FIELDS)))
		read_string_map(&annotations, &pool->annotations);
}

static void read_template(const struct cursor *spec, struct pool *pool)
{
	static const struct field TEMPLATE[] = {
		{"metadata"},
		{"spec", FIELD_REQUIRED, "a mapping with nodeClassRef and requirements"},
	};
	static const struct field TEMPLATE_SPEC[] = {
		{"nodeClassRef", FIELD_REQUIRED, "a reference to an EC2NodeClass"},
		{"requirements", FIELD_REQUIRED, "a list, which may be empty"},
		{"expireAfter"},
		{"startupTaints"},
		{"taints"},
		{"terminationGracePeriod"},
	};
	struct cursor template = cursor_field(spec, "template");
	struct cursor inner = cursor_field(&template, "spec");
	struct cursor expire = cursor_field(&inner, "expireAfter");
	struct cursor grace = cursor_field(&inner, "terminationGracePeriod");

	pool->expire_after_s = DEFAULT_EXPIRE_AFTER_S;
	if (!read_mapping(&template, TEMPLATE, ARRAY_SIZE(TEMPLATE)))
		return;
	read_template_metadata(&template, pool);
	if (!read_mapping(&inner, TEMPLATE_SPEC, ARRAY_SIZE(TEMPLATE_SPEC)))
		return;
	read_class_reference(&inner, pool);
	read_duration(&expire, true, &pool->expire_after_s);
	pool->termination_grace_given = read_duration(&grace, false, &pool->termination_grace_s);
	read_taints(&inner, "taints", &pool->taints, &pool->startup_taints);
	read_taints(&inner, "startupTaints", &pool->startup_taints, &pool->taints);
	read_requirements(&template, pool);
}

/* ---- limits ---- */

/* A whole number or a quantity in a string. */
static bool read_limit(const struct cursor *at, double *amount)
{
	const struct yaml_node *node = at->node;
	double number = 0;

	if (!cursor_present(at))
		return false;
	if (node->kind == YAML_SCALAR && !node->quoted && scalar_number(node->scalar, &number) &&
	    fabs(number) < INT64_END && floor(number) == number) {
		*amount = number;
		return true;
	}
	if (scalar_is_string(node) && text_matches(node->scalar, QUANTITY) &&
	    quantity_parse(node->scalar, amount) == 0)
		return true;
	cursor_expected(at, "a quantity such as 10, 500m or 16Gi, with a fraction in quotes");
	return false;
}

static void read_limits(const struct cursor *spec, struct pool *pool)
{
	struct cursor limits = cursor_field(spec, "limits");

	if (!cursor_present(&limits))
		return;
	if (limits.node->kind != YAML_MAPPING) {
		cursor_expected(&limits, "a mapping of resources such as cpu, memory and nodes");
		return;
	}
	yaml_for_each (child, limits.node) {
		struct cursor at = cursor_field(&limits, child->key);
		double amount = 0;

		if (!read_limit(&at, &amount))
			continue;
		*vec_push(&pool->limits.list) =
			(struct resource_amount){.name = strdup(child->key), .amount = amount};
		if (strcmp(child->key, "cpu") == 0) {
			pool->cpu_limited = true;
			pool->limit_cpus = amount;
		} else if (strcmp(child->key, "memory") == 0) {
			pool->memory_limited = true;
			pool->limit_memory_bytes = amount;
		}
	}
}

/* ---- the whole ---- */

/* A pool of fixed size is not weighed against others and counts nodes only. */
static void check_static(const struct cursor *spec)
{
	struct cursor weight = cursor_field(spec, "weight");
	struct cursor limits = cursor_field(spec, "limits");

	if (cursor_present(&weight))
		cursor_refuse(&weight, "has no meaning beside replicas, expected none");
	if (!cursor_present(&limits) || limits.node->kind != YAML_MAPPING)
		return;
	yaml_for_each (child, limits.node) {
		struct cursor at = cursor_field(&limits, child->key);

		if (strcmp(child->key, "nodes") != 0 && cursor_present(&at))
			cursor_refuse(&at, "has no meaning beside replicas, expected nodes only");
	}
}

void read_pool(const struct cursor *document, struct pool *pool)
{
	static const struct field DOCUMENT[] = {
		{"apiVersion"},
		{"kind"},
		{"metadata", FIELD_REQUIRED, "a mapping with the object's name"},
		{"spec", FIELD_REQUIRED, "a mapping"},
		{"status"},
	};
	static const struct field SPEC[] = {
		{"template", FIELD_REQUIRED, "a mapping with spec"},
		{"disruption"},
		{"limits"},
		{"weight"},
		{"replicas"},
	};
	struct cursor spec = cursor_field(document, "spec");
	struct cursor weight = cursor_field(&spec, "weight");
	struct cursor replicas = cursor_field(&spec, "replicas");
	int64_t value = 0;

	pool->replicas = -1;
	if (!read_mapping(document, DOCUMENT, ARRAY_SIZE(DOCUMENT)))
		return;
	read_metadata(document, &pool->name);
	read_pool_annotations(document, pool);
	if (!read_mapping(&spec, SPEC, ARRAY_SIZE(SPEC)))
		return;
	read_template(&spec, pool);
	read_disruption(&spec, pool);
	read_limits(&spec, pool);
	if (read_integer(&weight, 1, 100, &value))
		pool->weight = (int32_t)value;
	if (read_integer(&replicas, 0, INT64_MAX, &pool->replicas))
		check_static(&spec);
}
