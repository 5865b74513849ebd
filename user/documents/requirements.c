/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requirements and labels of a NodePool's template. Rules from Karpenter:
 * pkg/apis/crds/karpenter.sh_nodepools.yaml as its provider for AWS ships it, and what its
 * controllers refuse later (pkg/apis/v1/nodeclaim_validation.go).
 */
#include "documents/read.h"

#define REQUIREMENTS_MAX 100
#define REQUIREMENT_KEY_MAX 316
#define LABELS_MAX 100
#define MIN_VALUES_MAX 50

static const char *const KEYS[] = {
	LABEL_INSTANCE_TYPE,
	LABEL_ARCH,
	LABEL_OS,
	LABEL_ZONE,
	LABEL_ZONE_ID,
	LABEL_REGION,
	LABEL_CAPACITY_TYPE,
	LABEL_WINDOWS_BUILD,
	LABEL_INSTANCE_CATEGORY,
	LABEL_INSTANCE_FAMILY,
	LABEL_INSTANCE_GENERATION,
	LABEL_INSTANCE_SIZE,
	LABEL_INSTANCE_CPU,
	LABEL_INSTANCE_CPU_MANUFACTURER,
	LABEL_INSTANCE_CPU_CLOCK,
	LABEL_INSTANCE_MEMORY,
	LABEL_INSTANCE_EBS_BANDWIDTH,
	LABEL_INSTANCE_NETWORK_BANDWIDTH,
	LABEL_INSTANCE_LOCAL_NVME,
	LABEL_INSTANCE_HYPERVISOR,
	LABEL_INSTANCE_ENCRYPTION,
	LABEL_INSTANCE_FLEX,
	LABEL_INSTANCE_TENANCY,
	LABEL_GPU_NAME,
	LABEL_GPU_MANUFACTURER,
	LABEL_GPU_COUNT,
	LABEL_GPU_MEMORY,
	LABEL_ACCELERATOR_NAME,
	LABEL_ACCELERATOR_MANUFACTURER,
	LABEL_ACCELERATOR_COUNT,
	LABEL_RESERVATION_ID,
	LABEL_RESERVATION_TYPE,
	LABEL_RESERVATION_INTERRUPTIBLE,
	LABEL_PLACEMENT_GROUP_ID,
	LABEL_PLACEMENT_GROUP_PARTITION,
	LABEL_NODE_CLASS,
};

static const char *const OPERATORS[] = {"In", "NotIn", "Exists", "DoesNotExist",
					"Gt", "Lt",    "Gte",	 "Lte"};
static const enum label_operator OPERATOR_OF[] = {
	LABEL_IN, LABEL_NOT_IN, LABEL_EXISTS, LABEL_DOES_NOT_EXIST,
	LABEL_GT, LABEL_LT,	LABEL_GTE,    LABEL_LTE};

/* Older names of the same labels (Karpenter, NormalizedLabels). */
static const struct {
	const char *old, *key;
} OLD_KEYS[] = {
	{"failure-domain.beta.kubernetes.io/zone", LABEL_ZONE},
	{"failure-domain.beta.kubernetes.io/region", LABEL_REGION},
	{"topology.ebs.csi.aws.com/zone", LABEL_ZONE},
	{"beta.kubernetes.io/instance-type", LABEL_INSTANCE_TYPE},
	{"beta.kubernetes.io/arch", LABEL_ARCH},
	{"beta.kubernetes.io/os", LABEL_OS},
};

const char *documents_requirement_key(size_t index)
{
	return index < ARRAY_SIZE(KEYS) ? KEYS[index] : NULL;
}

bool is_requirement_key(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++)
		if (strcmp(key, KEYS[i]) == 0)
			return true;
	return false;
}

/* ---- keys ---- */

/* Karpenter's domains hold only the labels that it knows. What has no slash is a domain too. */
static bool is_restricted_key(const char *key)
{
	_cleanup_free_ char *domain = strndup(key, strcspn(key, "/"));

	if (strcmp(key, "kubernetes.io/hostname") == 0)
		return true;
	if (is_requirement_key(key))
		return false;
	return str_ends(domain, "karpenter.sh") || str_ends(domain, "karpenter.k8s.aws");
}

static const char *nearest_key(const char *key)
{
	return nearest_name(key, KEYS, ARRAY_SIZE(KEYS));
}

static bool check_key(const struct cursor *at, const char *key)
{
	const char *near = nearest_key(key);

	if (is_restricted_key(key)) {
		if (near)
			cursor_refuse(at, "the label %.100s is restricted; did you mean %s?", key,
				      near);
		else
			cursor_refuse(at,
				      "the label %.100s is restricted, expected one that Karpenter "
				      "knows, or one of your own outside of its domains",
				      key);
		return false;
	}
	if (strlen(key) > REQUIREMENT_KEY_MAX || !check_label_key(at, key))
		return false;
	if (near && !is_requirement_key(key))
		warning_at(at->problems, at->node,
			   "the label %.100s is none that instances have by themselves; did you "
			   "mean %s?",
			   key, near);
	return true;
}

static void use_new_key(struct label_term *term)
{
	for (size_t i = 0; i < ARRAY_SIZE(OLD_KEYS); i++) {
		if (strcmp(term->key, OLD_KEYS[i].old) != 0)
			continue;
		free(term->key);
		term->key = strdup(OLD_KEYS[i].key);
	}
}

/* ---- values ---- */

/* What instances of EC2 can be, where that is a short list. */
static const struct known_values {
	const char *key;
	const char *values[3];
	size_t count;
} KNOWN[] = {
	{LABEL_ARCH, {"amd64", "arm64"}, 2},
	{LABEL_CAPACITY_TYPE, {"on-demand", "spot", "reserved"}, 3},
	{LABEL_OS, {"linux", "windows"}, 2},
	{LABEL_INSTANCE_TENANCY, {"default", "dedicated"}, 2},
};

static bool is_known(const struct known_values *known, const char *value)
{
	for (size_t i = 0; i < known->count; i++)
		if (strcmp(value, known->values[i]) == 0)
			return true;
	return false;
}

/* As Karpenter: values that nothing has are passed over, unless no other is left. */
static void check_known(const struct cursor *values, const struct label_term *term)
{
	for (size_t i = 0; i < ARRAY_SIZE(KNOWN); i++) {
		_cleanup_free_ char *all = names_text(KNOWN[i].values, KNOWN[i].count);
		size_t right = 0;

		if (strcmp(term->key, KNOWN[i].key) != 0)
			continue;
		for (size_t j = 0; j < term->count; j++)
			right += is_known(&KNOWN[i], term->values[j]);
		for (size_t j = 0; j < term->count; j++) {
			struct cursor item = values->node->kind == YAML_SEQUENCE
						     ? cursor_item(values, j)
						     : *values;

			if (is_known(&KNOWN[i], term->values[j]))
				continue;
			if (right < MAX(term->min_values, 1))
				cursor_expected(&item, "%s", all);
			else
				warning_at(item.problems, item.node,
					   "no instance has %s %.60s, expected %s", term->key,
					   term->values[j], all);
		}
	}
}

static bool is_integer(const char *text)
{
	errno = 0;
	return text_matches(text, "^(\\+?[0-9]+|-0+)$") && strtoll(text, NULL, 10) >= 0 && !errno;
}

/* How many values the operator takes, and of which kind. */
static void check_values(const struct cursor *at, const struct label_term *term)
{
	struct cursor values = cursor_field(at, "values");
	const struct cursor *place = cursor_present(&values) ? &values : at;

	switch (term->op) {
	case LABEL_IN:
		if (!term->count)
			cursor_refuse(place, "found no values, expected at least one for In");
		else if (term->count < term->min_values)
			cursor_refuse(place,
				      "found %zu values, expected at least as many as minValues, "
				      "which is %u",
				      term->count, term->min_values);
		else
			check_known(&values, term);
		break;
	case LABEL_NOT_IN:
		break;
	case LABEL_EXISTS:
	case LABEL_DOES_NOT_EXIST:
		if (term->count)
			warning_at(at->problems, place->node,
				   "values have no meaning for Exists and DoesNotExist");
		break;
	case LABEL_GT:
	case LABEL_LT:
	case LABEL_GTE:
	case LABEL_LTE:
		if (term->count != 1 || !is_integer(term->values[0]))
			cursor_refuse(place,
				      "expected one whole number from 0 in quotes for Gt, Lt, Gte "
				      "and Lte");
		break;
	}
	for (size_t i = 0; i < term->count; i++) {
		struct cursor item = cursor_item(&values, i);

		check_label_value(&item, term->values[i]);
	}
}

static bool read_requirement(const struct cursor *at, struct label_term *term)
{
	static const struct field FIELDS[] = {
		{"key", FIELD_REQUIRED, "a label's key"},
		{"operator", FIELD_REQUIRED, "In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte"},
		{"values"},
		{"minValues"},
	};
	struct cursor key = cursor_field(at, "key"), op = cursor_field(at, "operator");
	struct cursor values = cursor_field(at, "values");
	struct cursor min_values = cursor_field(at, "minValues");
	size_t before = at->problems->errors, chosen = 0;
	int64_t number = 0;

	if (!cursor_present(at)) {
		cursor_expected(at, "a requirement");
		return false;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return false;
	if (read_integer(&min_values, 1, MIN_VALUES_MAX, &number))
		term->min_values = (uint32_t)number;
	if (!read_string(&key, &term->key) || !check_key(&key, term->key) ||
	    !read_enum(&op, OPERATORS, ARRAY_SIZE(OPERATORS), &chosen))
		return false;
	use_new_key(term);
	term->op = OPERATOR_OF[chosen];
	if (cursor_present(&values) && !read_string_list(&values, &term->values, &term->count))
		return false;
	if (at->problems->errors == before)
		check_values(at, term);
	return at->problems->errors == before;
}

/* ---- labels ---- */

/* Karpenter lays labels over the requirements: one with a requirement's key is one. */
static void label_as_requirement(const struct cursor *at, const struct key_value *label,
				 struct pool *pool, struct placed_terms *placed)
{
	struct label_term *term;

	if (!is_requirement_key(label->key))
		return;
	term = vec_push(&pool->requirements.list);
	term->key = strdup(label->key);
	term->op = LABEL_IN;
	term->values = calloc(1, sizeof(*term->values));
	term->values[0] = strdup(label->value);
	term->count = 1;
	check_known(at, term);
	*vec_push(&placed->list) = at->node;
}

static void read_labels(const struct cursor *metadata, struct pool *pool,
			struct placed_terms *placed)
{
	struct cursor labels = cursor_field(metadata, "labels");

	read_string_map(&labels, &pool->labels);
	if (pool->labels.list.count > LABELS_MAX)
		cursor_refuse(&labels, "found %zu labels, expected at most %d",
			      pool->labels.list.count, LABELS_MAX);
	vec_for_each (label, &pool->labels.list) {
		struct cursor at = cursor_field(&labels, label->key);

		if (is_restricted_key(label->key))
			cursor_refuse(&at, "the label is restricted, expected one of your own");
		else if (check_label_key(&at, label->key) && check_label_value(&at, label->value))
			label_as_requirement(&at, label, pool, placed);
	}
}

/* ---- the whole ---- */

void read_requirements(const struct cursor *template, struct pool *pool)
{
	struct cursor metadata = cursor_field(template, "metadata");
	struct cursor spec = cursor_field(template, "spec");
	struct cursor list = cursor_field(&spec, "requirements");
	size_t before = template->problems->errors;
	struct placed_terms placed = {0};

	if (cursor_present(&metadata) && metadata.node->kind == YAML_MAPPING)
		read_labels(&metadata, pool, &placed);
	if (read_list(&list, REQUIREMENTS_MAX)) {
		for (size_t i = 0; i < list.node->count; i++) {
			struct cursor item = cursor_item(&list, i);

			read_requirement(&item, vec_push(&pool->requirements.list));
			*vec_push(&placed.list) = item.node;
		}
	}
	if (template->problems->errors == before)
		check_contradictions(template->problems, &pool->requirements, &placed);
	vec_free(&placed.list);
}
