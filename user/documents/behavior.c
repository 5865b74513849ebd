/* SPDX-License-Identifier: Apache-2.0 */
/* spec.behavior of a HorizontalPodAutoscaler: limits from Kubernetes,
 * pkg/apis/autoscaling/validation/validation.go, defaults from pkg/apis/autoscaling/v2/defaults.go,
 * and from the controller manager for what depends on its flags (stabilisation 300 s, tolerance
 * 0.1: pkg/controller/podautoscaler/config/v1alpha1/defaults.go). */
#include "documents/read.h"

#define STABILIZATION_S_MAX 3600
#define PERIOD_S_MAX 1800
#define POLICIES_MAX 64
#define DEFAULT_TOLERANCE 0.1
#define DEFAULT_DOWN_STABILIZATION_S 300

static void default_rules(struct scaling_rules *rules, bool up)
{
	rules->select = SELECT_MAX;
	rules->tolerance = DEFAULT_TOLERANCE;
	rules->stabilization_s = up ? 0 : DEFAULT_DOWN_STABILIZATION_S;
	if (up)
		*vec_push(&rules->policies) = (struct scaling_policy){SCALING_PODS, 4, 15};
	*vec_push(&rules->policies) = (struct scaling_policy){SCALING_PERCENT, 100, 15};
}

static void read_scaling_policy(const struct cursor *at, struct scaling_rules *rules)
{
	static const struct field FIELDS[] = {
		{"type", FIELD_REQUIRED, "Pods or Percent"},
		{"value", FIELD_REQUIRED, "a whole number from 1"},
		{"periodSeconds", FIELD_REQUIRED, "a whole number from 1 to 1800"},
	};
	static const char *const TYPES[] = {"Pods", "Percent"};
	struct cursor type = cursor_field(at, "type"), value = cursor_field(at, "value");
	struct cursor period = cursor_field(at, "periodSeconds");
	int64_t number = 0, seconds = 0;
	size_t chosen = 0;

	if (!cursor_present(at)) {
		cursor_expected(at, "a scaling policy");
		return;
	}
	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_enum(&type, TYPES, ARRAY_SIZE(TYPES), &chosen);
	read_integer(&value, 1, INT32_MAX, &number);
	read_integer(&period, 1, PERIOD_S_MAX, &seconds);
	*vec_push(&rules->policies) = (struct scaling_policy){
		chosen ? SCALING_PERCENT : SCALING_PODS, (int32_t)number, (uint32_t)seconds};
}

static void read_rules(const struct cursor *at, struct scaling_rules *rules)
{
	static const struct field FIELDS[] = {
		{"stabilizationWindowSeconds"},
		{"selectPolicy"},
		{"policies"},
		{"tolerance"},
	};
	static const char *const SELECT[] = {"Max", "Min", "Disabled"};
	struct cursor window = cursor_field(at, "stabilizationWindowSeconds");
	struct cursor select = cursor_field(at, "selectPolicy");
	struct cursor policies = cursor_field(at, "policies");
	struct cursor tolerance = cursor_field(at, "tolerance");
	int64_t seconds = 0;
	size_t chosen = 0;

	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (read_integer(&window, 0, STABILIZATION_S_MAX, &seconds))
		rules->stabilization_s = (uint32_t)seconds;
	if (read_enum(&select, SELECT, ARRAY_SIZE(SELECT), &chosen))
		rules->select = (enum select_policy)chosen;
	if (read_quantity(&tolerance, &rules->tolerance) && rules->tolerance < 0)
		cursor_expected(&tolerance, "a quantity from 0");
	if (!read_list(&policies, POLICIES_MAX))
		return;
	if (!policies.node->count)
		cursor_expected(&policies, "at least one scaling policy");
	vec_clear(&rules->policies);
	for (size_t i = 0; i < policies.node->count; i++) {
		struct cursor item = cursor_item(&policies, i);

		read_scaling_policy(&item, rules);
	}
}

void read_behavior(const struct cursor *behavior, struct policy *policy)
{
	static const struct field FIELDS[] = {{"scaleUp"}, {"scaleDown"}};
	struct cursor up = cursor_field(behavior, "scaleUp");
	struct cursor down = cursor_field(behavior, "scaleDown");

	default_rules(&policy->up, true);
	default_rules(&policy->down, false);
	policy->behavior = read_mapping(behavior, FIELDS, ARRAY_SIZE(FIELDS));
	if (!policy->behavior)
		return;
	read_rules(&up, &policy->up);
	read_rules(&down, &policy->down);
}
