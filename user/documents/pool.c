/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NodePool (karpenter.sh/v1). Rules from Karpenter: pkg/apis/crds/karpenter.sh_nodepools.yaml,
 * pkg/apis/v1/nodepool_validation.go, nodeclaim_validation.go.
 */
#include "documents/read.h"

#define REQUIREMENTS_MAX 100
#define LABELS_MAX 100

static const char *const KEYS[] = {
	LABEL_INSTANCE_TYPE,
	LABEL_ARCH,
	LABEL_OS,
	LABEL_ZONE,
	LABEL_CAPACITY_TYPE,
	LABEL_INSTANCE_CATEGORY,
	LABEL_INSTANCE_FAMILY,
	LABEL_INSTANCE_GENERATION,
	LABEL_INSTANCE_SIZE,
	LABEL_INSTANCE_CPU,
	LABEL_INSTANCE_MEMORY,
};

static const char *const OPERATORS[] = {"In", "NotIn", "Exists", "DoesNotExist",
					"Gt", "Lt",    "Gte",	 "Lte"};
static const enum label_operator OPERATOR_OF[] = {
	LABEL_IN, LABEL_NOT_IN, LABEL_EXISTS, LABEL_DOES_NOT_EXIST, LABEL_GT, LABEL_LT};

const char *documents_requirement_key(size_t index)
{
	return index < ARRAY_SIZE(KEYS) ? KEYS[index] : NULL;
}

static bool is_requirement_key(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++)
		if (strcmp(key, KEYS[i]) == 0)
			return true;
	return false;
}

/* ---- requirements ---- */

static bool check_key(const struct cursor *at, const char *key)
{
	_cleanup_free_ char *all = NULL;
	const char *near;

	if (is_requirement_key(key))
		return true;
	if (!check_label_key(at, key))
		return false;
	near = nearest_name(key, KEYS, ARRAY_SIZE(KEYS));
	all = names_text(KEYS, ARRAY_SIZE(KEYS));
	if (near)
		cursor_expected(at, "a label of instances; did you mean %s?", near);
	else
		cursor_refuse(at, "not supported yet: requirements on %.100s, expected %s", key,
			      all);
	return false;
}

/* What instances of EC2 can be, where that is a short list. */
struct known_values {
	const char *key;
	const char *values[2];
	size_t count;
	const char *later; /* real, but not honoured yet */
};

static const struct known_values KNOWN[] = {
	{LABEL_ARCH, {"amd64", "arm64"}, 2, NULL},
	{LABEL_CAPACITY_TYPE, {"on-demand", "spot"}, 2, "reserved"},
	{LABEL_OS, {"linux"}, 1, "windows"},
};

static void check_value(const struct cursor *at, const char *key, const char *value)
{
	if (!check_label_value(at, value))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(KNOWN); i++) {
		_cleanup_free_ char *all = NULL;
		bool right = false;

		if (strcmp(key, KNOWN[i].key) != 0)
			continue;
		for (size_t j = 0; j < KNOWN[i].count; j++)
			right |= strcmp(value, KNOWN[i].values[j]) == 0;
		all = names_text(KNOWN[i].values, KNOWN[i].count);
		if (str_equal(value, KNOWN[i].later))
			cursor_refuse(at, "not supported yet: %s %s, expected %s", key, value, all);
		else if (!right)
			cursor_expected(at, "%s", all);
	}
}

static bool is_integer(const char *text)
{
	uint64_t value;

	return parse_u64(text, &value) == 0 && value <= INT32_MAX;
}

/* How many values the operator takes, and of which kind. */
static void check_values(const struct cursor *at, const struct label_term *term)
{
	struct cursor values = cursor_field(at, "values");
	const struct cursor *place = cursor_present(&values) ? &values : at;

	switch (term->op) {
	case LABEL_IN:
	case LABEL_NOT_IN:
		if (!term->count)
			cursor_refuse(place,
				      "found no values, expected at least one for In and NotIn");
		for (size_t i = 0; i < term->count; i++) {
			struct cursor item = cursor_item(&values, i);

			check_value(&item, term->key, term->values[i]);
		}
		break;
	case LABEL_EXISTS:
	case LABEL_DOES_NOT_EXIST:
		if (term->count)
			cursor_refuse(place,
				      "found values, expected none for Exists and DoesNotExist");
		break;
	case LABEL_GT:
	case LABEL_LT:
	case LABEL_GTE:
	case LABEL_LTE:
		if (term->count != 1 || !is_integer(term->values[0]))
			cursor_refuse(place, "expected one whole number in quotes for Gt and Lt");
		break;
	}
	if (strcmp(term->key, LABEL_OS) == 0 && term->op != LABEL_IN)
		cursor_refuse(at, "not supported yet: operators other than In for " LABEL_OS);
}

static bool read_operator(const struct cursor *at, enum label_operator *op)
{
	size_t chosen = 0;

	if (!read_enum_of(at, OPERATORS, ARRAY_SIZE(OPERATORS), ARRAY_SIZE(OPERATOR_OF), &chosen))
		return false;
	if (chosen >= ARRAY_SIZE(OPERATOR_OF)) {
		cursor_refuse(at, "not supported yet: operator %s, expected Gt or Lt",
			      OPERATORS[chosen]);
		return false;
	}
	*op = OPERATOR_OF[chosen];
	return true;
}

static void read_requirement(const struct cursor *at, struct pool *pool)
{
	static const struct field FIELDS[] = {
		{"key", FIELD_REQUIRED, "a label's key"},
		{"operator", FIELD_REQUIRED, "In, NotIn, Exists, DoesNotExist, Gt or Lt"},
		{"values"},
		{"minValues", FIELD_LATER},
	};
	struct cursor key = cursor_field(at, "key"), op = cursor_field(at, "operator");
	struct cursor values = cursor_field(at, "values");
	struct label_term *term;

	if (!cursor_present(at)) {
		cursor_expected(at, "a requirement");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	term = vec_push(&pool->requirements.list);
	if (!read_string(&key, &term->key) || !check_key(&key, term->key) ||
	    !read_operator(&op, &term->op))
		return;
	if (cursor_present(&values) && !read_string_list(&values, &term->values, &term->count))
		return;
	check_values(at, term);
}

/* ---- labels ---- */

/* Karpenter lays labels over the requirements: one with a requirement's key is one. */
static void label_as_requirement(const struct cursor *at, const struct key_value *label,
				 struct pool *pool)
{
	struct label_term *term;

	if (!is_requirement_key(label->key))
		return;
	check_value(at, label->key, label->value);
	term = vec_push(&pool->requirements.list);
	term->key = strdup(label->key);
	term->op = LABEL_IN;
	term->values = calloc(1, sizeof(*term->values));
	term->values[0] = strdup(label->value);
	term->count = 1;
}

static bool is_restricted_label(const char *key)
{
	const char *slash = strchr(key, '/');
	size_t domain = slash ? (size_t)(slash - key) : 0;
	const size_t karpenter = strlen("karpenter.sh");

	if (strcmp(key, LABEL_CAPACITY_TYPE) == 0)
		return false;
	return strcmp(key, "kubernetes.io/hostname") == 0 || str_starts(key, "forerun.dev/") ||
	       (domain >= karpenter &&
		strncmp(key + domain - karpenter, "karpenter.sh", karpenter) == 0);
}

static void read_labels(const struct cursor *metadata, struct pool *pool)
{
	static const struct field FIELDS[] = {{"labels"}, {"annotations", FIELD_LATER}};
	struct cursor labels = cursor_field(metadata, "labels");

	if (!read_mapping(metadata, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_string_map(&labels, &pool->labels);
	if (pool->labels.list.count > LABELS_MAX)
		cursor_refuse(&labels, "found %zu labels, expected at most %d",
			      pool->labels.list.count, LABELS_MAX);
	vec_for_each (label, &pool->labels.list) {
		struct cursor at = cursor_field(&labels, label->key);

		if (is_restricted_label(label->key))
			cursor_refuse(&at, "the label is restricted, expected one of your own");
		else if (check_label_key(&at, label->key) && check_label_value(&at, label->value))
			label_as_requirement(&at, label, pool);
	}
}

/* ---- the whole ---- */

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
		{"startupTaints", FIELD_LATER},
		{"taints", FIELD_LATER},
		{"terminationGracePeriod", FIELD_LATER},
	};
	struct cursor template = cursor_field(spec, "template");
	struct cursor metadata = cursor_field(&template, "metadata");
	struct cursor inner = cursor_field(&template, "spec");
	struct cursor requirements = cursor_field(&inner, "requirements");
	struct cursor expire = cursor_field(&inner, "expireAfter");

	if (!read_mapping(&template, TEMPLATE, ARRAY_SIZE(TEMPLATE)))
		return;
	read_labels(&metadata, pool);
	if (!read_mapping(&inner, TEMPLATE_SPEC, ARRAY_SIZE(TEMPLATE_SPEC)))
		return;
	read_class_reference(&inner, pool);
	/* Instances of forerun do not expire: only the value that says so is honoured. */
	if (cursor_present(&expire) &&
	    (expire.node->kind != YAML_SCALAR || strcmp(expire.node->scalar, "Never") != 0))
		cursor_refuse_later(&expire);
	if (!read_list(&requirements, REQUIREMENTS_MAX))
		return;
	for (size_t i = 0; i < requirements.node->count; i++) {
		struct cursor item = cursor_item(&requirements, i);

		read_requirement(&item, pool);
	}
}

static void read_limit(const struct cursor *limits, const char *name, bool *limited, double *out)
{
	struct cursor at = cursor_field(limits, name);

	if (!read_quantity(&at, out))
		return;
	*limited = true;
	if (*out < 0)
		cursor_expected(&at, "a quantity from 0");
}

static void read_limits(const struct cursor *spec, struct pool *pool)
{
	struct cursor limits = cursor_field(spec, "limits");

	if (!cursor_present(&limits))
		return;
	if (limits.node->kind != YAML_MAPPING) {
		cursor_expected(&limits, "a mapping of cpu and memory");
		return;
	}
	yaml_for_each (child, limits.node) {
		struct cursor at = cursor_field(&limits, child->key);

		/* Any resource may be limited in Karpenter: another name is not a slip. */
		if (strcmp(child->key, "cpu") != 0 && strcmp(child->key, "memory") != 0)
			cursor_refuse_later(&at);
	}
	read_limit(&limits, "cpu", &pool->cpu_limited, &pool->limit_cpus);
	read_limit(&limits, "memory", &pool->memory_limited, &pool->limit_memory_bytes);
}

/* Each of its fields by name; all of them come with the way back of consolidation. */
static void refuse_disruption(const struct cursor *spec)
{
	static const struct field FIELDS[] = {
		{"budgets", FIELD_LATER},
		{"consolidateAfter", FIELD_LATER},
		{"consolidationPolicy", FIELD_LATER},
	};
	struct cursor disruption = cursor_field(spec, "disruption");

	if (!cursor_present(&disruption))
		return;
	if (disruption.node->kind == YAML_MAPPING && disruption.node->count)
		read_mapping(&disruption, FIELDS, ARRAY_SIZE(FIELDS));
	else
		cursor_refuse_later(&disruption);
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
		{"replicas", FIELD_LATER},
	};
	struct cursor spec = cursor_field(document, "spec");
	struct cursor weight = cursor_field(&spec, "weight");
	int64_t value = 0;

	if (!read_mapping(document, DOCUMENT, ARRAY_SIZE(DOCUMENT)))
		return;
	read_metadata(document, &pool->name);
	if (!read_mapping(&spec, SPEC, ARRAY_SIZE(SPEC)))
		return;
	read_template(&spec, pool);
	refuse_disruption(&spec);
	read_limits(&spec, pool);
	if (read_integer(&weight, 1, 100, &value))
		pool->weight = (int32_t)value;
}
