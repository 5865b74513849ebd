/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of core_hpa_rules.h holds; what the algorithm remembers; what it writes for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>

#include "core_hpa_rules.h"

#define NOW (10000 * NS_PER_S)

static uint64_t ago(double seconds)
{
	return NOW - (uint64_t)(seconds * (double)NS_PER_S);
}

static void set_rules(struct scaling_rules *rules, const struct rules_row *row, bool up)
{
	rules->tolerance = row->tolerance == 0 ? 0.1 : fmax(row->tolerance, 0);
	if (!row->set) {
		rules->stabilization_s = up ? 0 : 300;
		if (up)
			*vec_push(&rules->policies) = (struct scaling_policy){SCALING_PODS, 4, 15};
		*vec_push(&rules->policies) = (struct scaling_policy){SCALING_PERCENT, 100, 15};
		return;
	}
	rules->stabilization_s = row->window_s;
	rules->select = row->select;
	for (size_t i = 0; i < ARRAY_SIZE(row->policies) && row->policies[i].value; i++)
		*vec_push(&rules->policies) = row->policies[i];
}

static void set_metric(struct policy *policy, struct reading *reading, const struct metric_row *row)
{
	struct policy_metric *metric = vec_push(&policy->metrics);
	bool cpu = row->kind == UTILIZATION || row->kind == CPU_AVERAGE || row->kind == CPU_UNKNOWN;

	metric->source = cpu ? SOURCE_RESOURCE_CPU : SOURCE_EXTERNAL;
	metric->target = row->target;
	metric->target_type = TARGET_AVERAGE_VALUE;
	if (row->kind == VALUE)
		metric->target_type = TARGET_VALUE;
	else if (row->kind == UTILIZATION || row->kind == CPU_UNKNOWN)
		metric->target_type = TARGET_UTILIZATION;
	*reading = (struct reading){.known = row->kind != UNKNOWN && row->kind != CPU_UNKNOWN,
				    .usage = row->usage,
				    .limit = row->limit,
				    .forecast = row->forecast ? row->forecast : NAN,
				    .matched = 1};
}

static struct policy policy_of(const struct rule *rule, struct reading readings[3])
{
	struct policy policy = {.min_replicas = rule->min ? MAX(rule->min, 0) : 1,
				.max_replicas = rule->max ? rule->max : 100,
				.behavior = rule->behavior};

	for (size_t i = 0; i < 3 && rule->metrics[i].kind; i++)
		set_metric(&policy, &readings[i], &rule->metrics[i]);
	set_rules(&policy.up, &rule->up, true);
	set_rules(&policy.down, &rule->down, false);
	return policy;
}

static void policy_clear(struct policy *policy)
{
	vec_free(&policy->metrics);
	vec_free(&policy->up.policies);
	vec_free(&policy->down.policies);
}

static void remember_past(struct hpa_state *state, const struct rule *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(rule->recommended); i++)
		if (rule->recommended[i].seconds_ago > 0)
			*vec_push(&state->recommendations) = (struct hpa_recommendation){
				ago(rule->recommended[i].seconds_ago), rule->recommended[i].value};
	if (!state->recommendations.count && !rule->first)
		*vec_push(&state->recommendations) =
			(struct hpa_recommendation){ago(4000), rule->current};
	for (size_t i = 0; i < ARRAY_SIZE(rule->scaled); i++)
		if (rule->scaled[i].seconds_ago > 0)
			hpa_scaled(state, ago(rule->scaled[i].seconds_ago), rule->scaled[i].value);
}

static bool holds(const struct rule *rule)
{
	struct reading readings[3];
	struct policy policy = policy_of(rule, readings);
	struct hpa_state state = {0};
	struct hpa_result got;
	char arithmetic[HPA_TEXT_SIZE];
	struct hpa_input input = {.policy = &policy,
				  .readings = readings,
				  .arithmetic = arithmetic,
				  .current = rule->current,
				  .ready = rule->ready ? MAX(rule->ready, 0) : rule->current,
				  .use_forecast = rule->use_forecast,
				  .switched_off = rule->switched_off,
				  .now_ns = NOW};
	bool good;

	remember_past(&state, rule);
	hpa_evaluate(&state, &input, &got);
	good = got.valid == !rule->no_action && got.proposed == rule->proposed &&
	       got.stabilized == rule->stabilized && got.desired == rule->desired &&
	       strcmp(got.reason, rule->reason) == 0;
	if (!good)
		print_error("%s (%s): expected %d/%d/%d %s, got %d/%d/%d %s%s\n%s\n", rule->says,
			    rule->source, rule->proposed, rule->stabilized, rule->desired,
			    rule->reason, got.proposed, got.stabilized, got.desired, got.reason,
			    got.valid ? "" : " (no action)", arithmetic);
	hpa_state_free(&state);
	policy_clear(&policy);
	return good;
}

static void every_rule_of_the_published_algorithm_holds(void **unused)
{
	size_t failed = 0;

	(void)unused;
	assert_true(ARRAY_SIZE(RULES) >= 60);
	for (size_t i = 0; i < ARRAY_SIZE(RULES); i++)
		failed += !holds(&RULES[i]);
	assert_int_equal(failed, 0);
}

/* ---- what is remembered ---- */

static const struct rule GROWING = {.current = 4, FREE, .metrics = {{AVERAGE, 10, 80}}};

static void what_is_remembered_does_not_grow_with_the_rate_of_evaluation(void **unused)
{
	struct reading readings[3];
	struct policy policy = policy_of(&GROWING, readings);
	struct hpa_state state = {0};
	struct hpa_result result;

	(void)unused;
	policy.down.stabilization_s = 3600;
	policy.up.stabilization_s = 3600;
	for (int i = 0; i < 100000; i++) {
		struct hpa_input input = {.policy = &policy,
					  .readings = readings,
					  .current = 4,
					  .ready = 4,
					  .now_ns = NOW + (uint64_t)i * 100 * NS_PER_MS};

		readings[0].usage = 40 + (i * 7919) % 100;
		hpa_evaluate(&state, &input, &result);
		assert_true(state.recommendations.count <= 32);
	}
	hpa_state_free(&state);
	policy_clear(&policy);
}

static void a_scale_event_takes_the_place_of_one_that_no_longer_counts(void **unused)
{
	struct reading readings[3];
	struct policy policy = policy_of(&GROWING, readings);
	struct hpa_state state = {0};
	struct hpa_result result;
	struct hpa_input input = {
		.policy = &policy, .readings = readings, .current = 4, .ready = 4, .now_ns = NOW};

	(void)unused;
	hpa_evaluate(&state, &input, &result);
	hpa_scaled(&state, NOW, 4);
	hpa_scaled(&state, NOW + 5 * NS_PER_S, -1);
	hpa_scaled(&state, NOW + 15 * NS_PER_S, 2);
	assert_int_equal(state.events.count, 3); /* 15 s old is not older than 15 s */
	hpa_scaled(&state, NOW + 16 * NS_PER_S, 3);
	assert_int_equal(state.events.count, 3);
	assert_int_equal(state.events.at[0].change, 3);
	assert_int_equal(state.events.at[1].change, -1);
	hpa_scaled(&state, NOW + 17 * NS_PER_S, 0);
	assert_int_equal(state.events.count, 3);
	hpa_state_free(&state);
	policy_clear(&policy);
}

/* Before the first evaluation, as when a journal is replayed, no event may be lost. */
static void events_from_before_the_first_evaluation_all_stay(void **unused)
{
	struct hpa_state state = {0};

	(void)unused;
	for (int i = 0; i < 10; i++)
		hpa_scaled(&state, (uint64_t)i * 100 * NS_PER_S, 1);
	assert_int_equal(state.events.count, 10);
	hpa_state_free(&state);
}

/* ---- what people read ---- */

static void the_arithmetic_can_be_followed_line_by_line(void **unused)
{
	static const struct rule RULE = {
		.current = 4,
		.max = 20,
		.behavior = true,
		.up = {.set = true, .policies = {{SCALING_PERCENT, 100, 10}}},
		.metrics = {{AVERAGE, 10, 312}, {UNKNOWN, 10, 0}},
	};
	struct reading readings[3];
	struct policy policy = policy_of(&RULE, readings);
	struct hpa_state state = {0};
	struct hpa_result result;
	char arithmetic[HPA_TEXT_SIZE], explained[HPA_TEXT_SIZE];
	struct hpa_input input = {.policy = &policy,
				  .readings = readings,
				  .current = 4,
				  .ready = 4,
				  .now_ns = NOW,
				  .arithmetic = arithmetic};

	(void)unused;
	policy.metrics.at[0].metric = METRIC_ACCEPT_QUEUE_DEPTH;
	policy.metrics.at[1].metric = METRIC_REQUESTS_IN_FLIGHT;
	snprintf(readings[1].why, sizeof(readings[1].why), "no listener matches");
	hpa_evaluate(&state, &input, &result);
	assert_string_equal(
		arithmetic,
		"forerun_accept_queue_depth 312 / average target 10 = 31.2; ratio 7.8 outside "
		"0.9..1.1 -> 32 replicas\n"
		"forerun_requests_in_flight: not known (no listener matches)\n"
		"up 100 % in 10 s from 4: 8\n"
		"4 -> 8 replicas (ScaleUpLimit; 1 to 20)");
	/* Also afterwards, when the recommendation is remembered already. */
	hpa_explain(&state, &input, explained);
	assert_string_equal(explained, arithmetic);
	hpa_state_free(&state);
	policy_clear(&policy);
}

static void the_metric_that_decides_is_named(void **unused)
{
	static const struct rule RULE = {
		.current = 4, FREE, .metrics = {{AVERAGE, 10, 80}, {VALUE, 100, 300}}};
	struct reading readings[3];
	struct policy policy = policy_of(&RULE, readings);
	struct hpa_state state = {0};
	struct hpa_result result;
	struct hpa_input input = {
		.policy = &policy, .readings = readings, .current = 4, .ready = 4, .now_ns = NOW};

	(void)unused;
	hpa_evaluate(&state, &input, &result);
	assert_int_equal(result.metric, 1);
	assert_false(result.limited);
	hpa_state_free(&state);
	policy_clear(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_of_the_published_algorithm_holds),
		cmocka_unit_test(what_is_remembered_does_not_grow_with_the_rate_of_evaluation),
		cmocka_unit_test(a_scale_event_takes_the_place_of_one_that_no_longer_counts),
		cmocka_unit_test(events_from_before_the_first_evaluation_all_stay),
		cmocka_unit_test(the_arithmetic_can_be_followed_line_by_line),
		cmocka_unit_test(the_metric_that_decides_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
