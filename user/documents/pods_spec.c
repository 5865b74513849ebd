/* SPDX-License-Identifier: Apache-2.0 */
/* The spec of a pod: all its fields by name, those that bear on where it may run by value. */
#include "documents/pods_private.h"

#define TOLERATIONS_MAX 1000
#define GRACE_MAX 86400000

static const struct field SPEC[] = {
	{"containers", FIELD_REQUIRED, "a list of containers"},
	{"initContainers"},
	{"ephemeralContainers"},
	{"overhead"},
	{"resources"},
	{"nodeSelector"},
	{"affinity"},
	{"tolerations"},
	{"topologySpreadConstraints"},
	{"priority"},
	{"priorityClassName"},
	{"nodeName"},
	{"hostNetwork"},
	{"terminationGracePeriodSeconds"},
	{"activeDeadlineSeconds"},
	{"automountServiceAccountToken"},
	{"dnsConfig"},
	{"dnsPolicy"},
	{"enableServiceLinks"},
	{"hostAliases"},
	{"hostIPC"},
	{"hostPID"},
	{"hostUsers"},
	{"hostname"},
	{"hostnameOverride"},
	{"imagePullSecrets"},
	{"os"},
	{"preemptionPolicy"},
	{"readinessGates"},
	{"resourceClaims"},
	{"restartPolicy"},
	{"runtimeClassName"},
	{"schedulerName"},
	{"schedulingGates"},
	{"securityContext"},
	{"serviceAccount"},
	{"serviceAccountName"},
	{"setHostnameAsFQDN"},
	{"shareProcessNamespace"},
	{"subdomain"},
	{"volumes"},
	{"workloadRef"},
};

bool read_taint_effect(const struct cursor *at, enum taint_effect *out)
{
	static const char *const EFFECTS[] = {
		[TAINT_NO_SCHEDULE] = "NoSchedule",
		[TAINT_PREFER_NO_SCHEDULE] = "PreferNoSchedule",
		[TAINT_NO_EXECUTE] = "NoExecute",
	};
	size_t chosen = 0;

	if (!cursor_present(at) || (at->node->kind == YAML_SCALAR && !*at->node->scalar) ||
	    !read_enum(at, EFFECTS, ARRAY_SIZE(EFFECTS), &chosen))
		return false;
	*out = (enum taint_effect)chosen;
	return true;
}

static void read_toleration(const struct cursor *at, struct toleration *out)
{
	static const struct field FIELDS[] = {
		{"key"}, {"operator"}, {"value"}, {"effect"}, {"tolerationSeconds"}};
	static const char *const OPERATORS[] = {
		[TOLERATE_EQUAL] = "Equal", [TOLERATE_EXISTS] = "Exists"};
	struct cursor key = cursor_field(at, "key"), op = cursor_field(at, "operator");
	struct cursor value = cursor_field(at, "value"), effect = cursor_field(at, "effect");
	size_t chosen = TOLERATE_EQUAL;

	if (!cursor_present(at)) {
		cursor_expected(at, "a toleration");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (cursor_present(&op) && *(op.node->scalar ? op.node->scalar : "x"))
		read_enum(&op, OPERATORS, ARRAY_SIZE(OPERATORS), &chosen);
	out->op = (enum toleration_operator)chosen;
	if (read_string_or_empty(&key, &out->key) && *out->key)
		check_label_key(&key, out->key);
	read_string_or_empty(&value, &out->value);
	out->effect_given = read_taint_effect(&effect, &out->effect);
	if (out->key && !*out->key) {
		free(out->key);
		out->key = NULL;
	}
	if (!out->key && out->op == TOLERATE_EQUAL)
		cursor_refuse(at, "without a key it tolerates every taint: expected operator "
				  "Exists");
	if (out->op == TOLERATE_EXISTS && out->value && *out->value)
		cursor_expected(&value, "no value beside operator Exists");
}

static void read_tolerations(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor list = cursor_field(spec, "tolerations");

	if (!read_list(&list, TOLERATIONS_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		read_toleration(&item, vec_push(&pod->tolerations));
	}
}

static void read_node_selector(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor selector = cursor_field(spec, "nodeSelector");

	read_string_map(&selector, &pod->node_selector);
	vec_for_each (label, &pod->node_selector.list) {
		struct cursor at = cursor_field(&selector, label->key);

		if (check_label_key(&at, label->key))
			check_label_value(&at, label->value);
	}
}

/* The two classes that every cluster has; what others are worth is said by spec.priority, which
 * the API server fills in. */
static void read_priority(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor priority = cursor_field(spec, "priority");
	struct cursor class_name = cursor_field(spec, "priorityClassName");
	_cleanup_free_ char *name = NULL;
	int64_t value = 0;

	read_string_or_empty(&class_name, &name);
	if (str_equal(name, "system-node-critical"))
		value = 2000001000;
	else if (str_equal(name, "system-cluster-critical"))
		value = 2000000000;
	read_integer(&priority, INT32_MIN, INT32_MAX, &value);
	pod->priority = (int32_t)value;
}

/* A gated pod is not looked at by the scheduler. */
static void read_gates(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor gates = cursor_field(spec, "schedulingGates");

	if (read_list(&gates, SIZE_MAX) && gates.node->count)
		pod->replicas = 0;
}

void read_pod_spec(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor node = cursor_field(spec, "nodeName");
	struct cursor grace = cursor_field(spec, "terminationGracePeriodSeconds");
	int64_t seconds = 30;

	if (!read_mapping(spec, SPEC, ARRAY_SIZE(SPEC)))
		return;
	read_pod_requests(spec, pod);
	read_node_selector(spec, pod);
	read_tolerations(spec, pod);
	read_pod_affinity(spec, pod);
	read_pod_spread(spec, pod);
	read_priority(spec, pod);
	read_gates(spec, pod);
	if (read_string_or_empty(&node, &pod->node_name) && !*pod->node_name) {
		free(pod->node_name);
		pod->node_name = NULL;
	}
	read_integer(&grace, 0, GRACE_MAX, &seconds);
	pod->termination_grace_s = (uint64_t)seconds;
}
