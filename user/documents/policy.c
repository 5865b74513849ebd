/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HorizontalPodAutoscaler (autoscaling/v2). Rules from Kubernetes, pkg/apis/autoscaling:
 * validation/validation.go and v2/defaults.go. Stricter than the API server in this: what forerun
 * does not honour is refused instead of kept.
 */
#include "documents/read.h"

#define METRICS_MAX 64
#define METRIC_TYPES_HONOURED 3
#define SELECTOR_TERMS_MAX 64
#define DEFAULT_CPU_UTILIZATION 80

/* The labels of indicator_label(), those of the host, and the two that choose a statistic. */
static const char *const SELECTOR_LABELS[] = {
	"address",	"port",	   "netns", "owner_kind",  "owner",  "unit",	  "process",
	"container_id", "pod_uid", "host",  "instance_id", "window", "statistic",
};
static const char *const OPERATORS[] = {"In", "NotIn", "Exists", "DoesNotExist"};
static const enum label_operator OPERATOR_OF[] = {LABEL_IN, LABEL_NOT_IN, LABEL_EXISTS,
						  LABEL_DOES_NOT_EXIST};

static const struct field METRIC_IDENTIFIER[] = {
	{"name", FIELD_REQUIRED, "a metric's name such as forerun_accept_queue_depth"},
	{"selector"},
};
static const struct field SELECTOR[] = {{"matchLabels"}, {"matchExpressions"}};
static const struct field EXPRESSION[] = {
	{"key", FIELD_REQUIRED, "a label's name"},
	{"operator", FIELD_REQUIRED, "In, NotIn, Exists or DoesNotExist"},
	{"values"},
};
static const struct field TARGET[] = {
	{"type", FIELD_REQUIRED, "Value, AverageValue or Utilization"},
	{"value"},
	{"averageValue"},
	{"averageUtilization"},
};

/* ---- selectors ---- */

struct chosen { /* the statistic that a selector asks for */
	char *window, *statistic;
};

static bool check_selector_label(const struct cursor *at, const char *name)
{
	_cleanup_free_ char *all = NULL;
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(SELECTOR_LABELS); i++)
		if (strcmp(name, SELECTOR_LABELS[i]) == 0)
			return true;
	near = nearest_name(name, SELECTOR_LABELS, ARRAY_SIZE(SELECTOR_LABELS));
	all = names_text(SELECTOR_LABELS, ARRAY_SIZE(SELECTOR_LABELS));
	cursor_refuse(at, "unknown label \"%.80s\", expected %s%s%s%s", name, all,
		      near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	return false;
}

/* window and statistic are no labels of a listener: they choose what is read of it. */
static char **chosen_slot(struct chosen *chosen, const char *name)
{
	if (strcmp(name, "window") == 0)
		return &chosen->window;
	if (strcmp(name, "statistic") == 0)
		return &chosen->statistic;
	return NULL;
}

static bool choose(const struct cursor *at, char **slot, const char *value)
{
	if (*slot) {
		cursor_refuse(at, "chosen twice, expected one value");
		return false;
	}
	*slot = strdup(value);
	return true;
}

static void read_match_labels(const struct cursor *labels, struct label_terms *terms,
			      struct chosen *chosen)
{
	struct key_values values = {0};

	read_string_map(labels, &values);
	vec_for_each (it, &values.list) {
		struct cursor at = cursor_field(labels, it->key);
		char **slot = chosen_slot(chosen, it->key);
		struct label_term *term;

		if (!check_selector_label(&at, it->key))
			continue;
		if (slot) {
			choose(&at, slot, it->value);
			continue;
		}
		term = vec_push(&terms->list);
		term->key = TAKE(it->key);
		term->op = LABEL_IN;
		term->values = calloc(1, sizeof(*term->values));
		term->values[0] = TAKE(it->value);
		term->count = 1;
	}
	key_values_free(&values);
}

static bool check_expression_values(const struct cursor *at, const struct label_term *term)
{
	bool takes_values = term->op == LABEL_IN || term->op == LABEL_NOT_IN;
	struct cursor values = cursor_field(at, "values");

	if (takes_values && !term->count)
		cursor_refuse(values.node ? &values : at,
			      "found no values, expected at least one for %s",
			      term->op == LABEL_IN ? "In" : "NotIn");
	else if (!takes_values && term->count)
		cursor_refuse(&values, "found values, expected none for Exists and DoesNotExist");
	else
		return true;
	return false;
}

static void read_expression(const struct cursor *at, struct label_terms *terms,
			    struct chosen *chosen)
{
	struct cursor key = cursor_field(at, "key"), op = cursor_field(at, "operator"),
		      values = cursor_field(at, "values");
	struct label_term term = {0};
	size_t chosen_op = 0;
	char **slot;

	if (!read_mapping(at, EXPRESSION, ARRAY_SIZE(EXPRESSION)) ||
	    !read_string(&key, &term.key) || !check_selector_label(&key, term.key) ||
	    !read_enum(&op, OPERATORS, ARRAY_SIZE(OPERATORS), &chosen_op))
		goto drop;
	term.op = OPERATOR_OF[chosen_op];
	if (cursor_present(&values) && !read_string_list(&values, &term.values, &term.count))
		goto drop;
	if (!check_expression_values(at, &term))
		goto drop;
	slot = chosen_slot(chosen, term.key);
	if (slot && (term.op != LABEL_IN || term.count != 1)) {
		cursor_refuse(at, "%s chooses one value, expected it in matchLabels", term.key);
		goto drop;
	}
	if (!slot) {
		*vec_push(&terms->list) = term;
		return;
	}
	choose(at, slot, term.values[0]);
drop:
	for (size_t i = 0; i < term.count; i++)
		free(term.values[i]);
	free(term.values);
	free(term.key);
}

static void read_selector(const struct cursor *selector, struct policy_metric *metric)
{
	struct cursor labels = cursor_field(selector, "matchLabels");
	struct cursor expressions = cursor_field(selector, "matchExpressions");
	_cleanup_free_ char *window = NULL, *statistic = NULL;
	struct chosen chosen = {0};

	if (read_mapping(selector, SELECTOR, ARRAY_SIZE(SELECTOR))) {
		read_match_labels(&labels, &metric->selector, &chosen);
		if (read_list(&expressions, SELECTOR_TERMS_MAX))
			for (size_t i = 0; i < expressions.node->count; i++) {
				struct cursor item = cursor_item(&expressions, i);

				read_expression(&item, &metric->selector, &chosen);
			}
	}
	window = chosen.window;
	statistic = chosen.statistic;
	if (signal_statistic_parse(window, statistic, &metric->statistic) == 0)
		return;
	cursor_refuse(
		selector,
		"found window \"%.40s\" with statistic \"%.40s\", expected window 100ms with last, "
		"300ms with mean or peak, or 3s with mean, peak, p50, p90 or p99",
		window ? window : "300ms", statistic ? statistic : "mean");
}

/* ---- targets ---- */

static const char *const TARGET_TYPES[] = {"Value", "AverageValue", "Utilization"};
static const char *const TARGET_FIELDS[] = {"value", "averageValue", "averageUtilization"};

/* As upstream, the field that is given decides, not the type beside it. */
static void read_target_field(const struct cursor *target, enum target_type type,
			      struct policy_metric *metric)
{
	struct cursor at = cursor_field(target, TARGET_FIELDS[type]);
	struct cursor type_at = cursor_field(target, "type");
	size_t said = type;
	int64_t percent = 0;

	metric->target_type = type;
	if (type == TARGET_UTILIZATION) {
		if (read_integer(&at, 1, INT32_MAX, &percent))
			metric->target = (double)percent;
	} else if (read_quantity(&at, &metric->target) && metric->target <= 0) {
		cursor_expected(&at, "a quantity above 0");
	}
	if (read_enum(&type_at, TARGET_TYPES, ARRAY_SIZE(TARGET_TYPES), &said) && said != type)
		warning_at(
			target->problems, type_at.node,
			"the type says %s, but %s is given: as in Kubernetes, the latter decides",
			TARGET_TYPES[said], TARGET_FIELDS[type]);
}

/* Exactly one of the two targets that this kind of metric has. */
static void read_target(const struct cursor *source, enum target_type first,
			enum target_type second, struct policy_metric *metric)
{
	struct cursor target = cursor_field(source, "target");
	size_t given = 0;
	enum target_type chosen = first;

	if (!read_mapping(&target, TARGET, ARRAY_SIZE(TARGET)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(TARGET_FIELDS); i++) {
		struct cursor at = cursor_field(&target, TARGET_FIELDS[i]);

		if (!cursor_present(&at))
			continue;
		if (i != (size_t)first && i != (size_t)second) {
			cursor_refuse(&at, "has no meaning here, expected %s or %s",
				      TARGET_FIELDS[first], TARGET_FIELDS[second]);
			return;
		}
		chosen = (enum target_type)i;
		given++;
	}
	if (given == 1)
		read_target_field(&target, chosen, metric);
	else
		cursor_refuse(&target, "found %s, expected either %s or %s",
			      given ? "both" : "neither", TARGET_FIELDS[first],
			      TARGET_FIELDS[second]);
}

/* ---- metrics ---- */

static void read_metric_name(const struct cursor *at, struct policy_metric *metric)
{
	const char *names[METRIC_COUNT];
	_cleanup_free_ char *name = NULL, *all = NULL;
	const char *near;

	if (!read_string(at, &name) || signal_metric_parse(name, &metric->metric) == 0)
		return;
	for (int i = 0; i < METRIC_COUNT; i++)
		names[i] = signal_metric_name((enum metric)i);
	near = nearest_name(name, names, METRIC_COUNT);
	all = names_text(names, METRIC_COUNT);
	if (near)
		cursor_expected(at, "a metric of forerun; did you mean %s?", near);
	else
		cursor_expected(at, "a metric of forerun: %s", all);
}

static void read_external(const struct cursor *source, struct policy_metric *metric)
{
	static const struct field FIELDS[] = {
		{"metric", FIELD_REQUIRED, "a mapping with the metric's name"},
		{"target", FIELD_REQUIRED, "a mapping with value or averageValue"},
	};
	struct cursor identifier = cursor_field(source, "metric");
	struct cursor name = cursor_field(&identifier, "name");
	struct cursor selector = cursor_field(&identifier, "selector");

	metric->source = SOURCE_EXTERNAL;
	if (!read_mapping(source, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_mapping(&identifier, METRIC_IDENTIFIER, ARRAY_SIZE(METRIC_IDENTIFIER))) {
		read_metric_name(&name, metric);
		read_selector(&selector, metric);
	}
	read_target(source, TARGET_VALUE, TARGET_AVERAGE_VALUE, metric);
}

static void read_cpu(const struct cursor *source, bool container, struct policy_metric *metric)
{
	static const struct field FIELDS[] = {
		{"name", FIELD_REQUIRED, "cpu"},
		{"target", FIELD_REQUIRED, "a mapping with averageUtilization or averageValue"},
		{"container", FIELD_REQUIRED, "the name of a unit, container or process"},
	};
	struct cursor name_at = cursor_field(source, "name");
	struct cursor container_at = cursor_field(source, "container");
	_cleanup_free_ char *name = NULL;

	metric->source = container ? SOURCE_CONTAINER_CPU : SOURCE_RESOURCE_CPU;
	if (!read_mapping(source, FIELDS, ARRAY_SIZE(FIELDS) - !container))
		return;
	if (read_string(&name_at, &name) && strcmp(name, "cpu") != 0)
		cursor_refuse(&name_at, "not supported yet: resource \"%.60s\", expected cpu",
			      name);
	if (container)
		read_string(&container_at, &metric->container);
	read_target(source, TARGET_UTILIZATION, TARGET_AVERAGE_VALUE, metric);
}

static const char *const METRIC_TYPES[] = {"External", "Resource", "ContainerResource", "Object",
					   "Pods"};
static const char *const SOURCE_FIELDS[] = {"external", "resource", "containerResource", "object",
					    "pods"};

static const struct field METRIC[] = {
	{"type", FIELD_REQUIRED, "External, Resource or ContainerResource"},
	{"external"},
	{"resource"},
	{"containerResource"},
	{"object", FIELD_LATER},
	{"pods", FIELD_LATER},
};

static bool read_metric_type(const struct cursor *at, size_t *type)
{
	struct cursor type_at = cursor_field(at, "type");
	bool good = true;

	if (!read_mapping(at, METRIC, ARRAY_SIZE(METRIC)) ||
	    !read_enum_of(&type_at, METRIC_TYPES, ARRAY_SIZE(METRIC_TYPES), METRIC_TYPES_HONOURED,
			  type))
		return false;
	if (*type >= METRIC_TYPES_HONOURED) {
		cursor_refuse(&type_at, "not supported yet: metrics of type %s",
			      METRIC_TYPES[*type]);
		return false;
	}
	for (size_t i = 0; i < METRIC_TYPES_HONOURED; i++) {
		struct cursor other = cursor_field(at, SOURCE_FIELDS[i]);

		if (i == *type || !cursor_present(&other))
			continue;
		cursor_refuse(&other, "has no meaning in a metric of type %s, expected %s only",
			      METRIC_TYPES[*type], SOURCE_FIELDS[*type]);
		good = false;
	}
	return good;
}

static void read_metric(const struct cursor *at, struct policy *policy)
{
	struct policy_metric *metric;
	struct cursor source;
	size_t type = 0;

	if (!cursor_present(at)) {
		cursor_expected(at, "a metric");
		return;
	}
	if (!read_metric_type(at, &type))
		return;
	source = cursor_field(at, SOURCE_FIELDS[type]);
	if (!cursor_present(&source)) {
		_cleanup_free_ char *path = cursor_path(&source);

		problem_at(at->problems, at->node,
			   "missing field %s, expected what a metric of type %s reads", path,
			   METRIC_TYPES[type]);
		return;
	}
	metric = vec_push(&policy->metrics);
	metric->statistic = STAT_FAST;
	if (type == 0)
		read_external(&source, metric);
	else
		read_cpu(&source, type == 2, metric);
}

static void read_metrics(const struct cursor *spec, struct policy *policy)
{
	struct cursor metrics = cursor_field(spec, "metrics");
	size_t external = 0;

	if (cursor_present(&metrics) && !read_list(&metrics, METRICS_MAX))
		return;
	if (!cursor_present(&metrics) || !metrics.node->count) {
		*vec_push(&policy->metrics) =
			(struct policy_metric){.source = SOURCE_RESOURCE_CPU,
					       .target_type = TARGET_UTILIZATION,
					       .target = DEFAULT_CPU_UTILIZATION};
	} else {
		for (size_t i = 0; i < metrics.node->count; i++) {
			struct cursor item = cursor_item(&metrics, i);

			read_metric(&item, policy);
		}
	}
	vec_for_each (metric, &policy->metrics)
		external += metric->source == SOURCE_EXTERNAL;
	if (policy->min_replicas == 0 && !external)
		cursor_refuse(
			cursor_present(&metrics) ? &metrics : spec,
			"found no External metric, expected at least one where minReplicas is 0");
}

/* ---- the whole ---- */

static void read_scale_target(const struct cursor *spec, struct policy *policy)
{
	static const struct field FIELDS[] = {
		{"apiVersion"},
		{"kind", FIELD_REQUIRED, "NodePool"},
		{"name", FIELD_REQUIRED, "the name of a NodePool"},
	};
	struct cursor target = cursor_field(spec, "scaleTargetRef");
	struct cursor version = cursor_field(&target, "apiVersion");
	struct cursor kind = cursor_field(&target, "kind"), name = cursor_field(&target, "name");
	_cleanup_free_ char *version_text = NULL, *kind_text = NULL;

	if (!read_mapping(&target, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_string(&kind, &kind_text) && strcmp(kind_text, "NodePool") != 0)
		cursor_expected(&kind, "NodePool: a replica is an instance");
	else if (!cursor_present(&version))
		cursor_refuse(&target, "missing field apiVersion, expected karpenter.sh/v1");
	else if (read_string(&version, &version_text) &&
		 strcmp(version_text, "karpenter.sh/v1") != 0)
		cursor_expected(&version, "karpenter.sh/v1");
	if (!read_string(&name, &policy->pool))
		return;
	check_subdomain(&name, policy->pool);
	policy->pool_line = name.node->line;
	policy->pool_column = name.node->column;
}

static void read_replicas(const struct cursor *spec, struct policy *policy)
{
	struct cursor low = cursor_field(spec, "minReplicas");
	struct cursor high = cursor_field(spec, "maxReplicas");
	int64_t value = 0;

	policy->min_replicas = 1;
	if (read_integer(&low, 0, INT32_MAX, &value))
		policy->min_replicas = (int32_t)value;
	if (!read_integer(&high, 1, INT32_MAX, &value))
		return;
	policy->max_replicas = (int32_t)value;
	if (policy->max_replicas < policy->min_replicas)
		cursor_expected(&high, "at least minReplicas, which is %d", policy->min_replicas);
}

void read_policy(const struct cursor *document, struct policy *policy)
{
	static const struct field DOCUMENT[] = {
		{"apiVersion"},
		{"kind"},
		{"metadata", FIELD_REQUIRED, "a mapping with the object's name"},
		{"spec", FIELD_REQUIRED, "a mapping"},
		{"status"},
	};
	static const struct field SPEC[] = {
		{"scaleTargetRef", FIELD_REQUIRED, "a reference to a NodePool"},
		{"minReplicas"},
		{"maxReplicas", FIELD_REQUIRED, "a whole number from 1"},
		{"metrics"},
		{"behavior"},
	};
	size_t before = document->problems->errors;
	struct cursor spec = cursor_field(document, "spec");
	struct cursor behavior = cursor_field(&spec, "behavior");

	if (!read_mapping(document, DOCUMENT, ARRAY_SIZE(DOCUMENT)))
		return;
	read_metadata(document, &policy->name);
	if (document->problems->errors == before)
		read_policy_annotations(document, policy);
	if (!read_mapping(&spec, SPEC, ARRAY_SIZE(SPEC)))
		return;
	read_scale_target(&spec, policy);
	read_replicas(&spec, policy);
	read_metrics(&spec, policy);
	read_behavior(&behavior, policy);
}
