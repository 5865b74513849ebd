/* SPDX-License-Identifier: Apache-2.0 */
/* Affinity to nodes and to other pods, and spread over topologies. */
#include "documents/pods_private.h"

#define TERMS_MAX 1000
#define EXPRESSIONS_MAX 1000

/* ---- selectors ---- */

static const char *const OPERATORS[] = {"In", "NotIn", "Exists", "DoesNotExist",
					"Gt", "Lt",    "Gte",	 "Lte"};
static const enum label_operator OPERATOR_OF[] = {
	LABEL_IN, LABEL_NOT_IN, LABEL_EXISTS, LABEL_DOES_NOT_EXIST, LABEL_GT, LABEL_LT};
#define OPERATORS_OF_PODS 4 /* selectors of pods compare no numbers */

static void check_values(const struct cursor *at, const struct label_term *term)
{
	bool set = term->op == LABEL_IN || term->op == LABEL_NOT_IN;
	bool compares = term->op == LABEL_GT || term->op == LABEL_LT;

	if (set && !term->count)
		cursor_refuse(at, "found no values, expected at least one for In and NotIn");
	else if (compares && (term->count != 1 || !*term->values[0] ||
			      term->values[0][strspn(term->values[0], "0123456789")]))
		cursor_refuse(at, "expected one whole number in quotes for Gt and Lt");
	else if (!set && !compares && term->count)
		cursor_refuse(at, "found values, expected none for Exists and DoesNotExist");
}

bool read_label_expression(const struct cursor *at, bool of_nodes, struct label_terms *out)
{
	static const struct field FIELDS[] = {
		{"key", FIELD_REQUIRED, "a label's key"},
		{"operator", FIELD_REQUIRED, "In, NotIn, Exists or DoesNotExist"},
		{"values"},
	};
	struct cursor key = cursor_field(at, "key"), op = cursor_field(at, "operator");
	struct cursor values = cursor_field(at, "values");
	size_t known = of_nodes ? ARRAY_SIZE(OPERATOR_OF) : OPERATORS_OF_PODS, chosen = 0;
	struct label_term *term;

	if (!cursor_present(at)) {
		cursor_expected(at, "a mapping with key and operator");
		return false;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return false;
	term = vec_push(&out->list);
	if (!read_string(&key, &term->key) || !check_label_key(&key, term->key) ||
	    !read_enum(&op, OPERATORS, known, &chosen))
		return false;
	term->op = OPERATOR_OF[chosen];
	if (cursor_present(&values) && !read_string_list(&values, &term->values, &term->count))
		return false;
	check_values(at, term);
	return true;
}

static void read_expressions(const struct cursor *at, bool of_nodes, struct label_terms *out)
{
	if (!read_list(at, EXPRESSIONS_MAX))
		return;
	for (size_t i = 0; i < at->node->count; i++) {
		struct cursor item = cursor_item(at, i);

		read_label_expression(&item, of_nodes, out);
	}
}

static void add_label(struct label_terms *terms, const char *key, enum label_operator op,
		      const char *value)
{
	struct label_term *term = vec_push(&terms->list);

	term->key = strdup(key);
	term->op = op;
	term->values = calloc(1, sizeof(*term->values));
	if (!term->values)
		abort();
	term->values[0] = strdup(value);
	term->count = 1;
}

void read_pod_selector(const struct cursor *at, struct pod_selector *out)
{
	static const struct field FIELDS[] = {{"matchLabels"}, {"matchExpressions"}};
	struct cursor labels = cursor_field(at, "matchLabels");
	struct cursor expressions = cursor_field(at, "matchExpressions");
	struct key_values values = {0};

	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	out->given = true;
	read_string_map(&labels, &values);
	vec_for_each (label, &values.list) {
		struct cursor item = cursor_field(&labels, label->key);

		if (check_label_key(&item, label->key) && check_label_value(&item, label->value))
			add_label(&out->labels, label->key, LABEL_IN, label->value);
	}
	key_values_free(&values);
	read_expressions(&expressions, false, &out->labels);
}

void read_label_keys(const struct cursor *keys, enum label_operator op,
		     const struct key_values *labels, struct pod_selector *out)
{
	char **names = NULL;
	size_t count = 0;

	if (!cursor_present(keys))
		return;
	if (!out->given)
		cursor_refuse(keys, "expected a labelSelector beside it");
	if (read_string_list(keys, &names, &count))
		for (size_t i = 0; i < count; i++) {
			const char *value = key_values_get(labels, names[i]);

			if (value && out->given)
				add_label(&out->labels, names[i], op, value);
		}
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

/* ---- nodes ---- */

/* matchFields knows one field, the node's own name, as a DaemonSet's pods carry it. */
static void read_match_fields(const struct cursor *at, struct node_term *out)
{
	size_t before = out->labels.list.count;

	read_expressions(at, false, &out->labels);
	for (size_t i = before; i < out->labels.list.count; i++)
		if (str_equal(out->labels.list.at[i].key, "metadata.name")) {
			free(out->labels.list.at[i].key);
			out->labels.list.at[i].key = strdup("kubernetes.io/hostname");
		} else if (out->labels.list.at[i].key) {
			cursor_refuse(at, "found the field %s, expected metadata.name",
				      out->labels.list.at[i].key);
		}
}

static void read_node_term(const struct cursor *at, struct node_term *out)
{
	static const struct field FIELDS[] = {{"matchExpressions"}, {"matchFields"}};
	struct cursor expressions = cursor_field(at, "matchExpressions");
	struct cursor fields = cursor_field(at, "matchFields");

	if (!cursor_present(at)) {
		cursor_expected(at, "a node selector term");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_expressions(&expressions, true, &out->labels);
	read_match_fields(&fields, out);
}

static bool read_weight(const struct cursor *at, int32_t *out)
{
	struct cursor weight = cursor_field(at, "weight");
	int64_t value = 0;

	if (!read_integer(&weight, 1, 100, &value))
		return false;
	*out = (int32_t)value;
	return true;
}

/* A term without any expression matches no node: it is left out, as Kubernetes does. */
static void read_node_required(const struct cursor *affinity, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"nodeSelectorTerms", FIELD_REQUIRED, "a list of terms"}};
	struct cursor required =
		cursor_field(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
	struct cursor terms = cursor_field(&required, "nodeSelectorTerms");

	if (!read_mapping(&required, FIELDS, ARRAY_SIZE(FIELDS)) || !read_list(&terms, TERMS_MAX))
		return;
	if (!terms.node->count)
		cursor_expected(&terms, "at least one term");
	for (size_t i = 0; i < terms.node->count; i++) {
		struct cursor item = cursor_item(&terms, i);

		read_node_term(&item, vec_push(&pod->node_required));
	}
}

static void read_node_preferred(const struct cursor *affinity, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"weight", FIELD_REQUIRED, "a whole number from 1 to 100"},
		{"preference", FIELD_REQUIRED, "a node selector term"},
	};
	struct cursor list =
		cursor_field(affinity, "preferredDuringSchedulingIgnoredDuringExecution");

	if (!read_list(&list, TERMS_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);
		struct cursor term = cursor_field(&item, "preference");
		struct node_term *out = vec_push(&pod->node_preferred);

		if (!read_mapping(&item, FIELDS, ARRAY_SIZE(FIELDS)))
			continue;
		read_weight(&item, &out->weight);
		if (cursor_present(&term))
			read_node_term(&term, out);
	}
}

static void read_node_affinity(const struct cursor *affinity, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"requiredDuringSchedulingIgnoredDuringExecution"},
		{"preferredDuringSchedulingIgnoredDuringExecution"},
	};
	struct cursor node = cursor_field(affinity, "nodeAffinity");

	if (!read_mapping(&node, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_node_required(&node, pod);
	read_node_preferred(&node, pod);
}

/* ---- pods ---- */

/* The labels of namespaces are not known here, but for the one that all of them have. */
static void read_namespace_selector(const struct cursor *at, struct pod_selector *out)
{
	read_pod_selector(at, out);
	vec_for_each (term, &out->labels.list)
		if (!str_equal(term->key, LABEL_NAMESPACE_NAME))
			cursor_refuse(at,
				      "found a term on %s, expected only " LABEL_NAMESPACE_NAME
				      ": no other label of namespaces is known here",
				      term->key ? term->key : "no key");
}

static void read_namespaces(const struct cursor *at, struct pod_affinity_term *out)
{
	char **names = NULL;
	size_t count = 0;

	if (!read_string_list(at, &names, &count) && !names)
		return;
	for (size_t i = 0; i < count; i++)
		*vec_push(&out->namespaces) = names[i];
	free(names);
}

static void read_pod_term(const struct cursor *at, const struct pod_template *pod,
			  struct pod_affinity_term *out)
{
	static const struct field FIELDS[] = {
		{"labelSelector"},  {"topologyKey", FIELD_REQUIRED, "a label of nodes"},
		{"namespaces"},	    {"namespaceSelector"},
		{"matchLabelKeys"}, {"mismatchLabelKeys"},
	};
	struct cursor selector = cursor_field(at, "labelSelector");
	struct cursor key = cursor_field(at, "topologyKey");
	struct cursor namespaces = cursor_field(at, "namespaces");
	struct cursor by_label = cursor_field(at, "namespaceSelector");
	struct cursor match = cursor_field(at, "matchLabelKeys");
	struct cursor mismatch = cursor_field(at, "mismatchLabelKeys");

	if (!cursor_present(at)) {
		cursor_expected(at, "a pod affinity term");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_string(&key, &out->topology_key))
		check_label_key(&key, out->topology_key);
	read_pod_selector(&selector, &out->selector);
	read_label_keys(&match, LABEL_IN, &pod->labels, &out->selector);
	read_label_keys(&mismatch, LABEL_NOT_IN, &pod->labels, &out->selector);
	read_namespaces(&namespaces, out);
	read_namespace_selector(&by_label, &out->namespace_selector);
}

static void read_pod_preferred(const struct cursor *list, const struct pod_template *pod,
			       struct pod_affinity_terms *out)
{
	static const struct field FIELDS[] = {
		{"weight", FIELD_REQUIRED, "a whole number from 1 to 100"},
		{"podAffinityTerm", FIELD_REQUIRED, "a pod affinity term"},
	};

	if (!read_list(list, TERMS_MAX))
		return;
	for (size_t i = 0; i < list->node->count; i++) {
		struct cursor item = cursor_item(list, i);
		struct cursor term = cursor_field(&item, "podAffinityTerm");
		struct pod_affinity_term *added = vec_push(&out->list);

		if (!read_mapping(&item, FIELDS, ARRAY_SIZE(FIELDS)))
			continue;
		read_weight(&item, &added->weight);
		if (cursor_present(&term))
			read_pod_term(&term, pod, added);
	}
}

static void read_pod_terms(const struct cursor *affinity, const char *field,
			   const struct pod_template *pod, struct pod_affinity_terms *required,
			   struct pod_affinity_terms *preferred)
{
	static const struct field FIELDS[] = {
		{"requiredDuringSchedulingIgnoredDuringExecution"},
		{"preferredDuringSchedulingIgnoredDuringExecution"},
	};
	struct cursor at = cursor_field(affinity, field);
	struct cursor hard = cursor_field(&at, FIELDS[0].name);
	struct cursor soft = cursor_field(&at, FIELDS[1].name);

	if (!read_mapping(&at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_list(&hard, TERMS_MAX))
		for (size_t i = 0; i < hard.node->count; i++) {
			struct cursor item = cursor_item(&hard, i);

			read_pod_term(&item, pod, vec_push(&required->list));
		}
	read_pod_preferred(&soft, pod, preferred);
}

void read_pod_affinity(const struct cursor *spec, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"nodeAffinity"}, {"podAffinity"}, {"podAntiAffinity"}};
	struct cursor affinity = cursor_field(spec, "affinity");

	if (!read_mapping(&affinity, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_node_affinity(&affinity, pod);
	read_pod_terms(&affinity, "podAffinity", pod, &pod->affinity, &pod->affinity_preferred);
	read_pod_terms(&affinity, "podAntiAffinity", pod, &pod->anti_affinity,
		       &pod->anti_affinity_preferred);
}

/* ---- spread ---- */

static bool read_choice(const struct cursor *at, const char *const *names, size_t chosen_first,
			bool *second)
{
	size_t chosen = chosen_first;

	if (!read_enum(at, names, 2, &chosen))
		return false;
	*second = chosen == 1;
	return true;
}

static void read_spread(const struct cursor *at, const struct pod_template *pod,
			struct spread_constraint *out)
{
	static const struct field FIELDS[] = {
		{"maxSkew", FIELD_REQUIRED, "a whole number from 1"},
		{"topologyKey", FIELD_REQUIRED, "a label of nodes"},
		{"whenUnsatisfiable", FIELD_REQUIRED, "DoNotSchedule or ScheduleAnyway"},
		{"labelSelector"},
		{"minDomains"},
		{"nodeAffinityPolicy"},
		{"nodeTaintsPolicy"},
		{"matchLabelKeys"},
	};
	static const char *const UNSATISFIABLE[] = {"DoNotSchedule", "ScheduleAnyway"};
	static const char *const POLICIES[] = {"Honor", "Ignore"};
	struct cursor skew = cursor_field(at, "maxSkew"), key = cursor_field(at, "topologyKey");
	struct cursor when = cursor_field(at, "whenUnsatisfiable");
	struct cursor domains = cursor_field(at, "minDomains");
	struct cursor affinity = cursor_field(at, "nodeAffinityPolicy");
	struct cursor taints = cursor_field(at, "nodeTaintsPolicy");
	struct cursor selector = cursor_field(at, "labelSelector");
	struct cursor match = cursor_field(at, "matchLabelKeys");
	int64_t value = 1;
	bool ignore_taints = true;

	if (!cursor_present(at)) {
		cursor_expected(at, "a topology spread constraint");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_integer(&skew, 1, INT32_MAX, &value);
	out->max_skew = (int32_t)value;
	value = 0;
	read_integer(&domains, 1, INT32_MAX, &value);
	out->min_domains = (int32_t)value;
	if (read_string(&key, &out->topology_key))
		check_label_key(&key, out->topology_key);
	read_choice(&when, UNSATISFIABLE, 0, &out->schedule_anyway);
	if (out->min_domains && out->schedule_anyway)
		cursor_refuse(&domains, "expected whenUnsatisfiable: DoNotSchedule beside it");
	read_choice(&affinity, POLICIES, 0, &out->ignore_affinity);
	read_choice(&taints, POLICIES, 1, &ignore_taints);
	out->honor_taints = !ignore_taints;
	read_pod_selector(&selector, &out->selector);
	read_label_keys(&match, LABEL_IN, &pod->labels, &out->selector);
}

void read_pod_spread(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor list = cursor_field(spec, "topologySpreadConstraints");

	if (!read_list(&list, TERMS_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		read_spread(&item, pod, vec_push(&pod->spread));
	}
}
