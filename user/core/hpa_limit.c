/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stabilisation windows and rates: pkg/controller/podautoscaler/horizontal.go. Every path exists
 * twice there, with spec.behavior and without.
 */
#include "core/hpa_private.h"

#include <math.h>

/* Without spec.behavior upstream bounds the growth of one synchronisation, of which there is one in
 * 15 s; here that bound holds for the last 15 s, however often it is evaluated. */
#define SYNC_PERIOD_S 15
#define SCALE_UP_FACTOR 2.0
#define SCALE_UP_MINIMUM 4.0

static int32_t saturate(double value)
{
	return (int32_t)CLAMP(value, (double)INT32_MIN, (double)INT32_MAX);
}

/* ---- windows ---- */

/* One window's recommendations. Upstream's two paths differ in whether its first instant counts. */
struct window {
	uint64_t now_ns, length_ns;
	bool first_instant;
};

static bool in_window(const struct window *window, uint64_t time_ns)
{
	uint64_t age = window->now_ns > time_ns ? window->now_ns - time_ns : 0;

	return age < window->length_ns || (window->first_instant && age == window->length_ns);
}

/* Adds the newest and drops what no window can choose any more: what is older than both, and what a
 * later one makes neither a lowest nor a highest. */
static void remember(struct hpa_state *state, uint64_t now_ns, int32_t replicas,
		     const struct window *up, const struct window *down)
{
	int32_t lowest = replicas, highest = replicas;
	size_t kept;

	*vec_push(&state->recommendations) = (struct hpa_recommendation){now_ns, replicas};
	kept = state->recommendations.count - 1;
	for (size_t i = kept; i-- > 0;) {
		struct hpa_recommendation it = state->recommendations.at[i];
		bool low = it.replicas < lowest && in_window(up, it.time_ns);
		bool high = it.replicas > highest && in_window(down, it.time_ns);

		lowest = MIN(lowest, it.replicas);
		highest = MAX(highest, it.replicas);
		if (low || high)
			state->recommendations.at[--kept] = it;
	}
	state->recommendations.count -= kept;
	memmove(state->recommendations.at, state->recommendations.at + kept,
		state->recommendations.count * sizeof(*state->recommendations.at));
}

/* stabilizeRecommendation: the highest of the window, in both directions. */
static int32_t stabilize_without_behavior(struct hpa_state *state, const struct hpa_input *input,
					  int32_t proposed)
{
	struct window down = {input->now_ns, input->policy->down.stabilization_s * NS_PER_S, true};
	struct window up = {input->now_ns, 0, false};
	int32_t highest = proposed;

	vec_for_each (it, &state->recommendations)
		if (in_window(&down, it->time_ns))
			highest = MAX(highest, it->replicas);
	remember(state, input->now_ns, proposed, &up, &down);
	return highest;
}

/* stabilizeRecommendationWithBehaviors: up to the lowest of one window, down to the highest of the
 * other. */
static int32_t stabilize_with_behavior(struct hpa_state *state, const struct hpa_input *input,
				       int32_t proposed)
{
	struct window up = {input->now_ns, input->policy->up.stabilization_s * NS_PER_S, false};
	struct window down = {input->now_ns, input->policy->down.stabilization_s * NS_PER_S, false};
	int32_t lowest = proposed, highest = proposed, stabilized = input->current;

	vec_for_each (it, &state->recommendations) {
		if (in_window(&up, it->time_ns))
			lowest = MIN(lowest, it->replicas);
		if (in_window(&down, it->time_ns))
			highest = MAX(highest, it->replicas);
	}
	stabilized = MAX(stabilized, lowest);
	stabilized = MIN(stabilized, highest);
	remember(state, input->now_ns, proposed, &up, &down);
	return stabilized;
}

int32_t hpa_stabilize(struct hpa_state *state, const struct hpa_input *input, int32_t proposed,
		      struct lines *lines)
{
	const struct policy *policy = input->policy;
	int32_t stabilized = policy->behavior ? stabilize_with_behavior(state, input, proposed)
					      : stabilize_without_behavior(state, input, proposed);

	if (stabilized == proposed)
		return stabilized;
	if (proposed >= input->current && policy->behavior)
		lines_add(lines, "stabilised at %d: the lowest of the last %u s\n", stabilized,
			  policy->up.stabilization_s);
	else
		lines_add(lines, "stabilised at %d: the highest of the last %u s\n", stabilized,
			  policy->down.stabilization_s);
	return stabilized;
}

/* ---- rates ---- */

/* getReplicasChangePerPeriod: added minus removed since then. */
static int64_t change_within(const struct hpa_state *state, uint64_t now_ns, uint32_t period_s)
{
	struct window period = {now_ns, period_s * NS_PER_S, false};
	int64_t change = 0;

	vec_for_each (event, &state->events)
		if (in_window(&period, event->time_ns))
			change += event->change;
	return change;
}

static void add_rate(struct lines *lines, const struct scaling_policy *rate, bool up, double start,
		     int32_t allowed)
{
	lines_add(lines, "%s %d %s in %u s from %.0f: %d\n", up ? "up" : "down", rate->value,
		  rate->type == SCALING_PODS ? "replicas" : "%", rate->period_s, start, allowed);
}

/* calculateScaleUpLimitWithScalingRules, calculateScaleDownLimitWithBehaviors. Max is the largest
 * change: the highest number on the way up, the lowest on the way down. */
static int32_t rate_limit(const struct hpa_state *state, const struct hpa_input *input, bool up,
			  struct lines *lines)
{
	const struct scaling_rules *rules = up ? &input->policy->up : &input->policy->down;
	bool highest = (rules->select == SELECT_MAX) == up;
	int32_t limit = highest ? INT32_MIN : INT32_MAX;

	if (rules->select == SELECT_DISABLED)
		return input->current;
	vec_for_each (rate, &rules->policies) {
		double start = (double)(input->current -
					change_within(state, input->now_ns, rate->period_s));
		double allowed;

		if (rate->type == SCALING_PODS)
			allowed = up ? start + rate->value : start - rate->value;
		else if (up)
			allowed = ceil(start * (1.0 + rate->value / 100.0));
		else
			allowed = trunc(start * (1.0 - rate->value / 100.0));
		add_rate(lines, rate, up, start, saturate(allowed));
		limit = highest ? MAX(limit, saturate(allowed)) : MIN(limit, saturate(allowed));
	}
	return limit;
}

/* convertDesiredReplicasWithBehaviorRate. */
static int32_t limit_with_behavior(const struct hpa_state *state, const struct hpa_input *input,
				   int32_t stabilized, const char **reason, struct lines *lines)
{
	const struct policy *policy = input->policy;
	int32_t allowed;

	if (stabilized > input->current) {
		allowed = rate_limit(state, input, true, lines);
		allowed = MAX(allowed, input->current);
		*reason = policy->max_replicas > allowed ? "ScaleUpLimit" : "TooManyReplicas";
		allowed = MIN(allowed, policy->max_replicas);
		if (stabilized > allowed)
			return allowed;
	} else if (stabilized < input->current) {
		allowed = rate_limit(state, input, false, lines);
		allowed = MIN(allowed, input->current);
		*reason = policy->min_replicas < allowed ? "ScaleDownLimit" : "TooFewReplicas";
		allowed = MAX(allowed, policy->min_replicas);
		if (stabilized < allowed)
			return allowed;
	}
	*reason = "DesiredWithinRange";
	return stabilized;
}

/* convertDesiredReplicasWithRules, calculateScaleUpLimit. */
static int32_t limit_without_behavior(const struct hpa_state *state, const struct hpa_input *input,
				      int32_t stabilized, const char **reason, struct lines *lines)
{
	const struct policy *policy = input->policy;
	double start =
		(double)(input->current - change_within(state, input->now_ns, SYNC_PERIOD_S));
	int32_t grown = saturate(fmax(SCALE_UP_FACTOR * start, SCALE_UP_MINIMUM));
	int32_t allowed = MIN(policy->max_replicas, MAX(grown, input->current));

	if (stabilized > input->current)
		lines_add(lines, "up to twice %.0f or 4 in %d s: %d\n", start, SYNC_PERIOD_S,
			  grown);
	if (stabilized < policy->min_replicas) {
		*reason = "TooFewReplicas";
		return policy->min_replicas;
	}
	if (stabilized > allowed) {
		*reason = policy->max_replicas > allowed ? "ScaleUpLimit" : "TooManyReplicas";
		return allowed;
	}
	*reason = "DesiredWithinRange";
	return stabilized;
}

int32_t hpa_limit(const struct hpa_state *state, const struct hpa_input *input, int32_t stabilized,
		  const char **reason, struct lines *lines)
{
	if (input->policy->behavior)
		return limit_with_behavior(state, input, stabilized, reason, lines);
	return limit_without_behavior(state, input, stabilized, reason, lines);
}
