/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the real HPA controller does in tests/peers/hpa/cases.txt, forerun does. A line is one
 * situation and its outcome, written by tests/peers/hpa/generate.sh from Kubernetes 1.34.2:
 *
 *	behavior min max current ready, count of metrics,
 *	for each: kind target known usage limit (thousandths; percent for a utilisation),
 *	up, down: window select tolerance, count of policies, for each: percent value period,
 *	recommendations, additions, removals: count, for each: age in ms and value,
 *	valid desired reason
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>

#include "core/hpa.h"

#define CASES "tests/peers/hpa/cases.txt"
#define CASES_AT_LEAST 1000
#define NOW (100000 * NS_PER_S)
#define METRICS_MAX 4

enum peer_kind { PEER_VALUE = 1, PEER_AVERAGE, PEER_UTILIZATION, PEER_CPU_AVERAGE };

/* Reads the numbers of a line from left to right. */
struct numbers {
	char *at;
};

static long long next(struct numbers *numbers)
{
	char *end = NULL;
	long long value = strtoll(numbers->at, &end, 10);

	assert_ptr_not_equal(end, numbers->at);
	numbers->at = end;
	return value;
}

struct situation {
	struct policy policy;
	struct reading readings[METRICS_MAX];
	struct hpa_state state;
	int32_t current, ready;
};

static void read_metric(struct numbers *line, struct situation *situation, size_t index)
{
	enum peer_kind kind = (enum peer_kind)next(line);
	struct policy_metric *metric = vec_push(&situation->policy.metrics);
	struct reading *reading = &situation->readings[index];
	bool external = kind == PEER_VALUE || kind == PEER_AVERAGE;

	metric->source = external ? SOURCE_EXTERNAL : SOURCE_RESOURCE_CPU;
	metric->target_type = kind == PEER_VALUE	 ? TARGET_VALUE
			      : kind == PEER_UTILIZATION ? TARGET_UTILIZATION
							 : TARGET_AVERAGE_VALUE;
	metric->target = (double)next(line) / (kind == PEER_UTILIZATION ? 1 : 1000);
	*reading = (struct reading){.forecast = NAN, .matched = 1};
	reading->known = next(line);
	reading->usage = (double)next(line) / 1000;
	reading->limit = (double)next(line) / 1000;
}

static void read_rules(struct numbers *line, struct scaling_rules *rules)
{
	long long count;

	rules->stabilization_s = (uint32_t)next(line);
	rules->select = (enum select_policy)next(line);
	rules->tolerance = (double)next(line) / 1000;
	count = next(line);
	while (count--) {
		struct scaling_policy *rate = vec_push(&rules->policies);

		rate->type = next(line) ? SCALING_PERCENT : SCALING_PODS;
		rate->value = (int32_t)next(line);
		rate->period_s = (uint32_t)next(line);
	}
}

static void read_events(struct numbers *line, struct hpa_state *state, int sign)
{
	long long count = next(line);

	while (count--) {
		struct hpa_event *event = vec_push(&state->events);

		event->time_ns = NOW - (uint64_t)next(line) * NS_PER_MS;
		event->change = sign * (int32_t)next(line);
	}
}

static void read_situation(struct numbers *line, struct situation *out)
{
	long long count;

	out->policy.behavior = next(line);
	out->policy.min_replicas = (int32_t)next(line);
	out->policy.max_replicas = (int32_t)next(line);
	out->current = (int32_t)next(line);
	out->ready = (int32_t)next(line);
	count = next(line);
	assert_in_range(count, 1, METRICS_MAX);
	for (long long i = 0; i < count; i++)
		read_metric(line, out, (size_t)i);
	read_rules(line, &out->policy.up);
	read_rules(line, &out->policy.down);
	for (count = next(line); count; count--) {
		struct hpa_recommendation *it = vec_push(&out->state.recommendations);

		it->time_ns = NOW - (uint64_t)next(line) * NS_PER_MS;
		it->replicas = (int32_t)next(line);
	}
	read_events(line, &out->state, 1);
	read_events(line, &out->state, -1);
}

static void situation_free(struct situation *situation)
{
	vec_free(&situation->policy.metrics);
	vec_free(&situation->policy.up.policies);
	vec_free(&situation->policy.down.policies);
	hpa_state_free(&situation->state);
}

/* Where the controller says no reason, it decided before it came to the limits. */
static bool reason_is(const struct hpa_result *got, const char *reason)
{
	if (strcmp(reason, "-") == 0)
		return strcmp(got->reason, "TooManyReplicas") == 0 ||
		       strcmp(got->reason, "TooFewReplicas") == 0;
	return strcmp(got->reason, reason) == 0;
}

static bool does_the_same(const char *text, size_t number)
{
	_cleanup_free_ char *copy = strdup(text);
	struct numbers line = {copy};
	struct situation situation = {0};
	struct hpa_result got;
	struct hpa_input input = {.policy = &situation.policy,
				  .readings = situation.readings,
				  .switched_off = true,
				  .now_ns = NOW};
	char reason[64] = "", arithmetic[HPA_TEXT_SIZE], explained[HPA_TEXT_SIZE];
	int32_t desired;
	bool valid, same;

	read_situation(&line, &situation);
	valid = next(&line);
	desired = (int32_t)next(&line);
	assert_int_equal(sscanf(line.at, "%63s", reason), 1);
	input.current = situation.current;
	input.ready = situation.ready;
	input.arithmetic = arithmetic;
	hpa_explain(&situation.state, &input, explained);
	hpa_evaluate(&situation.state, &input, &got);
	assert_string_equal(explained, arithmetic);
	same = got.valid == valid && got.desired == desired && reason_is(&got, reason);
	if (!same)
		print_error("line %zu: %sthe controller: %d %s%s\nforerun: %d %s%s\n%s\n\n", number,
			    text, desired, reason, valid ? "" : " (no action)", got.desired,
			    got.reason, got.valid ? "" : " (no action)", arithmetic);
	situation_free(&situation);
	return same;
}

static void what_the_real_controller_does_is_done(void **unused)
{
	_cleanup_file_ FILE *file = fopen(CASES, "re");
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0, count = 0, different = 0;

	(void)unused;
	assert_non_null(file);
	while (getline(&line, &capacity, file) > 0)
		different += !does_the_same(line, ++count);
	assert_int_equal(different, 0);
	assert_true(count >= CASES_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_real_controller_does_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
