/* SPDX-License-Identifier: Apache-2.0 */
/* One evaluation: reconcileAutoscaler and computeReplicasForMetrics of
 * pkg/controller/podautoscaler/horizontal.go. */
#include "core/hpa_private.h"

void lines_append(struct lines *lines, const char *format, ...)
{
	size_t room = lines->size - lines->length;
	va_list arguments;
	int added;

	va_start(arguments, format);
	added = vsnprintf(lines->at + lines->length, room, format, arguments);
	va_end(arguments);
	if (added > 0)
		lines->length += MIN((size_t)added, room - 1);
}

/* The highest proposal. False: no metric could be read, or one could not and the others propose
 * less than there is. */
static bool propose_all(const struct hpa_input *input, struct hpa_result *result,
			struct lines *lines)
{
	const struct policy *policy = input->policy;
	const char *failure = NULL;
	size_t invalid = 0;
	int32_t highest = 0;

	for (size_t i = 0; i < policy->metrics.count; i++) {
		const struct policy_metric *metric = &policy->metrics.at[i];
		int32_t replicas = 0;

		if (!hpa_propose(input, metric, &input->readings[i], &replicas, lines)) {
			failure = failure ? failure : hpa_metric_failure(metric);
			invalid++;
		} else if (highest == 0 || replicas > highest) {
			highest = replicas;
			result->metric = (uint32_t)i;
		}
	}
	result->proposed = MAX(highest, 0);
	if (invalid < policy->metrics.count && (!invalid || highest >= input->current))
		return true;
	if (invalid < policy->metrics.count)
		lines_add(lines, "a metric is not known: no scale-down from %d to %d\n",
			  input->current, result->proposed);
	result->reason = failure ? failure : "";
	return false;
}

static void decide(struct hpa_result *result, int32_t desired, const char *reason)
{
	result->valid = true;
	result->proposed = result->stabilized = result->desired = desired;
	result->reason = reason;
}

/* What is decided before any metric is read. */
static bool decide_by_bounds(const struct hpa_input *input, struct hpa_result *result,
			     struct lines *lines)
{
	const struct policy *policy = input->policy;

	if (input->current == 0 && policy->min_replicas != 0 && input->switched_off) {
		decide(result, 0, "ScalingDisabled");
		lines_add(lines, "set to 0 replicas by hand: left alone\n");
	} else if (input->current > policy->max_replicas) {
		decide(result, policy->max_replicas, "TooManyReplicas");
		result->limited = true;
		lines_add(lines, "%d replicas are above maxReplicas %d\n", input->current,
			  policy->max_replicas);
	} else if (input->current < policy->min_replicas) {
		decide(result, policy->min_replicas, "TooFewReplicas");
		result->limited = true;
		lines_add(lines, "%d replicas are below minReplicas %d\n", input->current,
			  policy->min_replicas);
	} else {
		return false;
	}
	return true;
}

static uint32_t longest_period(const struct scaling_rules *rules)
{
	uint32_t longest = 0;

	vec_for_each (rate, &rules->policies)
		longest = MAX(longest, rate->period_s);
	return longest;
}

/* recordInitialRecommendation: what there was at the start does not shrink too soon. */
static void remember_start(struct hpa_state *state, const struct hpa_input *input)
{
	if (!state->recommendations.count)
		*vec_push(&state->recommendations) =
			(struct hpa_recommendation){input->now_ns, input->current};
}

void hpa_evaluate(struct hpa_state *state, const struct hpa_input *input, struct hpa_result *result)
{
	struct lines lines = {.at = input->arithmetic, .size = HPA_TEXT_SIZE};
	const char *reason = "";

	*result = (struct hpa_result){.reason = ""};
	if (lines.at)
		*lines.at = '\0';
	state->longest_up_s = longest_period(&input->policy->up);
	state->longest_down_s = longest_period(&input->policy->down);
	remember_start(state, input);
	if (decide_by_bounds(input, result, &lines))
		return;
	if (!propose_all(input, result, &lines)) {
		result->proposed = result->stabilized = result->desired = input->current;
		return;
	}
	result->valid = true;
	result->stabilized = hpa_stabilize(state, input, result->proposed, &lines);
	result->desired = hpa_limit(state, input, result->stabilized, &reason, &lines);
	result->limited = result->desired != result->stabilized;
	result->reason = reason;
	lines_add(&lines, "%d -> %d replicas (%s; %d to %d)", input->current, result->desired,
		  reason, input->policy->min_replicas, input->policy->max_replicas);
}

/* Again on a copy. That the same recommendation is in it twice changes neither a lowest nor a
 * highest. */
void hpa_explain(const struct hpa_state *state, const struct hpa_input *input,
		 char out[HPA_TEXT_SIZE])
{
	struct hpa_input again = *input;
	struct hpa_state copy = {0};
	struct hpa_result result;

	vec_for_each (it, &state->recommendations)
		*vec_push(&copy.recommendations) = *it;
	vec_for_each (it, &state->events)
		*vec_push(&copy.events) = *it;
	again.arithmetic = out;
	hpa_evaluate(&copy, &again, &result);
	hpa_state_free(&copy);
}

/* storeScaleEvent: takes the place of one that no policy of its own direction counts any more. */
void hpa_scaled(struct hpa_state *state, uint64_t now_ns, int32_t change)
{
	uint32_t longest_s = change > 0 ? state->longest_up_s : state->longest_down_s;
	struct hpa_event *old = NULL;

	if (change == 0)
		return;
	vec_for_each (event, &state->events)
		if (longest_s && (event->change > 0) == (change > 0) &&
		    event->time_ns + longest_s * NS_PER_S < now_ns)
			old = event;
	if (!old)
		old = vec_push(&state->events);
	*old = (struct hpa_event){now_ns, change};
}

void hpa_state_free(struct hpa_state *state)
{
	vec_free(&state->recommendations);
	vec_free(&state->events);
}
