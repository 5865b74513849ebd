/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of the algorithm whatever it is fed: random policies and loads over simulated
 * hours, beside a memory that forgets nothing. The seed is fixed, so a failure comes again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>

#include "core/hpa.h"

#define RUNS 300
#define STEPS 200

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static int32_t between(uint64_t *seed, int32_t low, int32_t high)
{
	return low + (int32_t)(next_random(seed) % (uint64_t)(high - low + 1));
}

static void random_rules(struct scaling_rules *rules, uint64_t *seed)
{
	int32_t count = between(seed, 1, 3);

	rules->stabilization_s = (uint32_t)between(seed, 0, 2) * (uint32_t)between(seed, 0, 300);
	rules->select = (enum select_policy)between(seed, 0, 2);
	rules->tolerance = between(seed, 0, 3) * 0.1;
	for (int32_t i = 0; i < count; i++) {
		struct scaling_policy *rate = vec_push(&rules->policies);

		rate->type = (enum scaling_type)between(seed, 0, 1);
		rate->value = between(seed, 1, rate->type == SCALING_PODS ? 10 : 200);
		rate->period_s = (uint32_t)between(seed, 1, 120);
	}
}

static void random_policy(struct policy *policy, uint64_t *seed)
{
	*policy = (struct policy){.min_replicas = between(seed, 0, 5),
				  .behavior = between(seed, 0, 3) != 0};
	policy->max_replicas = policy->min_replicas + between(seed, 1, 60);
	*vec_push(&policy->metrics) = (struct policy_metric){
		.target_type = between(seed, 0, 1) ? TARGET_VALUE : TARGET_AVERAGE_VALUE,
		.target = between(seed, 1, 50)};
	random_rules(&policy->up, seed);
	random_rules(&policy->down, seed);
}

static void policy_clear(struct policy *policy)
{
	vec_free(&policy->metrics);
	vec_free(&policy->up.policies);
	vec_free(&policy->down.policies);
}

static struct hpa_state state_copy(const struct hpa_state *state)
{
	struct hpa_state copy = {.longest_up_s = state->longest_up_s,
				 .longest_down_s = state->longest_down_s};

	vec_for_each (it, &state->recommendations)
		*vec_push(&copy.recommendations) = *it;
	vec_for_each (it, &state->events)
		*vec_push(&copy.events) = *it;
	return copy;
}

/* Evaluates without leaving a trace in the state. */
static struct hpa_result what_if(const struct hpa_state *state, const struct hpa_input *input,
				 double usage)
{
	struct hpa_state copy = state_copy(state);
	struct reading reading = {.known = true, .usage = usage, .forecast = NAN};
	struct hpa_input changed = *input;
	struct hpa_result result;

	changed.readings = &reading;
	hpa_evaluate(&copy, &changed, &result);
	hpa_state_free(&copy);
	return result;
}

/* Every recommendation there ever was. */
struct history {
	VEC(struct hpa_recommendation) list;
};

static int32_t extreme(const struct history *history, uint64_t now_ns, uint32_t window_s,
		       bool highest, bool first_instant, int32_t start)
{
	uint64_t window_ns = window_s * NS_PER_S;

	vec_for_each (it, &history->list) {
		uint64_t age = now_ns - it->time_ns;

		if (age > window_ns || (age == window_ns && !first_instant))
			continue;
		start = highest ? MAX(start, it->replicas) : MIN(start, it->replicas);
	}
	return start;
}

static int32_t stabilized_by_definition(const struct history *history,
					const struct hpa_input *input, int32_t proposed)
{
	const struct policy *policy = input->policy;
	int32_t low, high;

	if (!policy->behavior)
		return extreme(history, input->now_ns, policy->down.stabilization_s, true, true,
			       proposed);
	low = extreme(history, input->now_ns, policy->up.stabilization_s, false, false, proposed);
	high = extreme(history, input->now_ns, policy->down.stabilization_s, true, false, proposed);
	return MIN(MAX(input->current, low), high);
}

static void check_step(const struct hpa_state *state, const struct hpa_input *input,
		       const struct history *history, const struct hpa_result *got, double usage)
{
	const struct policy *policy = input->policy;
	struct hpa_result again = what_if(state, input, usage);
	struct hpa_result more = what_if(state, input, usage * 1.5 + 1);

	assert_true(got->valid);
	assert_in_range(got->desired, policy->min_replicas, policy->max_replicas);
	assert_int_equal(again.desired, got->desired);
	assert_true(more.proposed >= got->proposed);
	assert_true(more.desired >= got->desired);
	if (input->current < policy->min_replicas || input->current > policy->max_replicas)
		return;
	assert_int_equal(got->stabilized, stabilized_by_definition(history, input, got->proposed));
	if (policy->behavior && policy->up.select == SELECT_DISABLED)
		assert_true(got->desired <= input->current);
	if (policy->behavior && policy->down.select == SELECT_DISABLED)
		assert_true(got->desired >= input->current);
	assert_int_equal(got->limited, got->desired != got->stabilized);
}

static void one_life(uint64_t *seed)
{
	struct policy policy;
	struct hpa_state state = {0};
	struct history history = {0};
	uint64_t now_ns = 7200 * NS_PER_S;
	int32_t current;

	random_policy(&policy, seed);
	current = between(seed, MAX(policy.min_replicas, 1), policy.max_replicas);
	for (int step = 0; step < STEPS; step++) {
		double usage = between(seed, 0, 400) * (between(seed, 0, 4) ? 1.0 : 0.1);
		struct reading reading = {.known = true, .usage = usage, .forecast = NAN};
		struct hpa_input input = {.policy = &policy,
					  .readings = &reading,
					  .current = current,
					  .ready = current,
					  .now_ns = now_ns};
		struct hpa_result result;
		bool bounded = current < policy.min_replicas || current > policy.max_replicas;

		if (!history.list.count)
			*vec_push(&history.list) = (struct hpa_recommendation){now_ns, current};
		hpa_evaluate(&state, &input, &result);
		check_step(&state, &input, &history, &result, usage);
		if (!bounded)
			*vec_push(&history.list) =
				(struct hpa_recommendation){now_ns, result.proposed};
		if (between(seed, 0, 2) && result.desired != current) {
			hpa_scaled(&state, now_ns, result.desired - current);
			current = result.desired;
		}
		now_ns += (uint64_t)between(seed, 1, 30000) * NS_PER_MS;
	}
	hpa_state_free(&state);
	vec_free(&history.list);
	policy_clear(&policy);
}

static void limits_windows_and_order_hold_in_every_life(void **unused)
{
	uint64_t seed = 0x9e3779b97f4a7c15ULL;

	(void)unused;
	for (int run = 0; run < RUNS; run++)
		one_life(&seed);
}

/* ---- rates, however often it is evaluated ---- */

/* In every span of the period, no more is added than the only policy allows. */
static void a_rate_holds_over_every_period_at_ten_evaluations_a_second(void **unused)
{
	struct policy policy = {.min_replicas = 1, .max_replicas = 1000, .behavior = true};
	struct hpa_state state = {0};
	struct reading reading = {.known = true, .usage = 1e6, .forecast = NAN};
	VEC(struct hpa_event) added = {0};
	int32_t current = 1;

	(void)unused;
	*vec_push(&policy.metrics) =
		(struct policy_metric){.target_type = TARGET_AVERAGE_VALUE, .target = 1};
	*vec_push(&policy.up.policies) = (struct scaling_policy){SCALING_PODS, 5, 10};
	*vec_push(&policy.down.policies) = (struct scaling_policy){SCALING_PERCENT, 100, 15};
	for (int step = 0; step < 600; step++) {
		struct hpa_input input = {.policy = &policy,
					  .readings = &reading,
					  .current = current,
					  .ready = current,
					  .now_ns = 7200 * NS_PER_S +
						    (uint64_t)step * 100 * NS_PER_MS};
		struct hpa_result result;
		int32_t in_period = 0;

		hpa_evaluate(&state, &input, &result);
		if (result.desired != current) {
			hpa_scaled(&state, input.now_ns, result.desired - current);
			*vec_push(&added) =
				(struct hpa_event){input.now_ns, result.desired - current};
			current = result.desired;
		}
		vec_for_each (it, &added)
			if (input.now_ns - it->time_ns < 10 * NS_PER_S)
				in_period += it->change;
		assert_true(in_period <= 5);
	}
	assert_int_equal(current, 31); /* five at 0 s, 10 s, ... 50 s */
	vec_free(&added);
	hpa_state_free(&state);
	policy_clear(&policy);
}

/* Without spec.behavior: the same growth as a controller that looks every 15 s. */
static void without_behavior_it_doubles_once_in_15_s_however_often_it_is_evaluated(void **unused)
{
	struct policy policy = {.min_replicas = 1, .max_replicas = 1000};
	struct hpa_state state = {0};
	struct reading reading = {.known = true, .usage = 1e6, .forecast = NAN};
	int32_t current = 1, at_15_s[5] = {0};

	(void)unused;
	*vec_push(&policy.metrics) =
		(struct policy_metric){.target_type = TARGET_AVERAGE_VALUE, .target = 1};
	for (int step = 0; step <= 600; step++) {
		struct hpa_input input = {.policy = &policy,
					  .readings = &reading,
					  .current = current,
					  .ready = current,
					  .now_ns = 7200 * NS_PER_S +
						    (uint64_t)step * 100 * NS_PER_MS};
		struct hpa_result result;

		hpa_evaluate(&state, &input, &result);
		hpa_scaled(&state, input.now_ns, result.desired - current);
		current = result.desired;
		if (step % 150 == 0)
			at_15_s[step / 150] = current;
	}
	assert_int_equal(at_15_s[0], 4);
	assert_int_equal(at_15_s[1], 8);
	assert_int_equal(at_15_s[2], 16);
	assert_int_equal(at_15_s[3], 32);
	assert_int_equal(at_15_s[4], 64);
	hpa_state_free(&state);
	policy_clear(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_windows_and_order_hold_in_every_life),
		cmocka_unit_test(a_rate_holds_over_every_period_at_ten_evaluations_a_second),
		cmocka_unit_test(
			without_behavior_it_doubles_once_in_15_s_however_often_it_is_evaluated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
