/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many replicas one metric proposes: pkg/controller/podautoscaler/replica_calculator.go and
 * metrics/utilization.go. As there, values are whole thousandths.
 */
#include "core/hpa_private.h"

#include <math.h>

#define MILLI 1000.0

/* As Quantity.MilliValue() rounds: up, where there is more than what a double itself lost. */
static int64_t to_milli(double value)
{
	double milli = value * MILLI, whole = nearbyint(milli);

	if (fabs(milli - whole) > 1e-9 * fmax(1.0, fabs(milli)))
		whole = ceil(milli);
	if (whole >= (double)INT64_MAX)
		return INT64_MAX;
	if (whole <= (double)INT64_MIN)
		return INT64_MIN;
	return (int64_t)whole;
}

static int32_t to_replicas(double value)
{
	double whole = ceil(value);

	if (isnan(whole))
		return 0;
	return (int32_t)CLAMP(whole, (double)INT32_MIN, (double)INT32_MAX);
}

/* Tolerances.isWithin. */
static bool within(const struct policy *policy, double ratio)
{
	return 1.0 - policy->down.tolerance <= ratio && ratio <= 1.0 + policy->up.tolerance;
}

static const char *metric_text(const struct policy_metric *metric)
{
	if (metric->source == SOURCE_EXTERNAL)
		return signal_metric_name(metric->metric);
	return metric->source == SOURCE_RESOURCE_CPU ? "cpu" : "container cpu";
}

const char *hpa_metric_failure(const struct policy_metric *metric)
{
	switch (metric->source) {
	case SOURCE_EXTERNAL:
		return "FailedGetExternalMetric";
	case SOURCE_CONTAINER_CPU:
		return "FailedGetContainerResourceMetric";
	case SOURCE_RESOURCE_CPU:
		break;
	}
	return "FailedGetResourceMetric";
}

static void add_verdict(const struct hpa_input *input, double ratio, int32_t replicas,
			struct lines *lines)
{
	lines_add(lines, "; ratio %.4g %s %.4g..%.4g -> %d replicas\n", ratio,
		  within(input->policy, ratio) ? "within" : "outside",
		  1.0 - input->policy->down.tolerance, 1.0 + input->policy->up.tolerance, replicas);
}

/* GetExternalPerPodMetricReplicas. */
static int32_t external_average(const struct hpa_input *input, const struct policy_metric *metric,
				double usage, struct lines *lines)
{
	double target = (double)to_milli(metric->target);
	double milli = (double)to_milli(usage), ratio = milli / (target * input->current);
	int32_t replicas = input->current;

	if (!within(input->policy, ratio))
		replicas = to_replicas(milli / target);
	lines_add(lines, " / average target %.6g = %.6g", metric->target, milli / target);
	add_verdict(input, ratio, replicas, lines);
	return replicas;
}

/* GetExternalMetricReplicas, getUsageRatioReplicaCount. */
static int32_t external_value(const struct hpa_input *input, const struct policy_metric *metric,
			      double usage, struct lines *lines)
{
	double ratio = (double)to_milli(usage) / (double)to_milli(metric->target);
	int32_t replicas = input->current;

	if (input->current == 0) {
		replicas = to_replicas(ratio);
		lines_add(lines, " / target %.6g = %.6g, from 0 -> %d replicas\n", metric->target,
			  ratio, replicas);
		return replicas;
	}
	if (!within(input->policy, ratio))
		replicas = to_replicas(ratio * input->ready);
	lines_add(lines, " / target %.6g x %d ready", metric->target, input->ready);
	add_verdict(input, ratio, replicas, lines);
	return replicas;
}

/* Usage over what the target allows, as GetResourceUtilizationRatio and GetMetricUsageRatio have
 * it, when the replicas that serve and those that idle along are counted. */
static double cpu_ratio(const struct hpa_input *input, const struct policy_metric *metric,
			const struct reading *reading, double usage, int32_t idle)
{
	double total = (double)to_milli(usage), ready = input->ready;

	if (metric->target_type == TARGET_UTILIZATION) {
		double limit = (double)to_milli(reading->limit);
		double requests = limit + trunc(limit / ready) * idle;

		return trunc(total * 100.0 / requests) / metric->target;
	}
	return trunc(total / (ready + idle)) / (double)to_milli(metric->target);
}

/* GetResourceReplicas, calcPlainMetricReplicas. Replicas that do not serve yet count as using
 * nothing when it would go up, and not at all when it would go down. */
static int32_t cpu_replicas(const struct hpa_input *input, const struct policy_metric *metric,
			    const struct reading *reading, double usage, struct lines *lines)
{
	int32_t unready = MAX(input->current - input->ready, 0);
	double ratio = cpu_ratio(input, metric, reading, usage, 0);
	int32_t replicas = input->current, counted = input->ready;

	if (unready && ratio > 1.0) {
		double with_unready = cpu_ratio(input, metric, reading, usage, unready);

		counted += unready;
		replicas = to_replicas(with_unready * counted);
		if (within(input->policy, with_unready) || with_unready < 1.0 ||
		    replicas < input->current)
			replicas = input->current;
		ratio = with_unready;
	} else if (!within(input->policy, ratio)) {
		replicas = to_replicas(ratio * counted);
	}
	if (metric->target_type == TARGET_UTILIZATION)
		lines_add(lines, " of %.6g cores / target %.6g %%", reading->limit, metric->target);
	else
		lines_add(lines, " cores / average target %.6g", metric->target);
	lines_add(lines, " x %d%s", counted, counted > input->ready ? " (unready at 0)" : " ready");
	add_verdict(input, ratio, replicas, lines);
	return replicas;
}

static bool cannot_read(const struct hpa_input *input, const struct policy_metric *metric,
			const struct reading *reading, const char **why)
{
	*why = reading->why[0] ? reading->why : "no fresh signal";
	if (!reading->known || isnan(reading->usage))
		return true;
	if (metric->source == SOURCE_EXTERNAL)
		return false;
	*why = "no replica is serving";
	if (input->ready <= 0)
		return true;
	*why = "what 100 % is is not known";
	return metric->target_type == TARGET_UTILIZATION &&
	       !(to_milli(reading->limit) / input->ready > 0);
}

bool hpa_propose(const struct hpa_input *input, const struct policy_metric *metric,
		 const struct reading *reading, int32_t *replicas, struct lines *lines)
{
	const char *why = NULL;
	double usage = reading->usage;
	bool forecast = input->use_forecast && reading->forecast > usage;

	if (cannot_read(input, metric, reading, &why)) {
		lines_add(lines, "%s: not known (%s)\n", metric_text(metric), why);
		return false;
	}
	if (forecast)
		usage = reading->forecast;
	lines_add(lines, "%s %.6g%s", metric_text(metric), usage, forecast ? " (forecast)" : "");
	if (metric->source != SOURCE_EXTERNAL)
		*replicas = cpu_replicas(input, metric, reading, usage, lines);
	else if (metric->target_type == TARGET_AVERAGE_VALUE)
		*replicas = external_average(input, metric, usage, lines);
	else
		*replicas = external_value(input, metric, usage, lines);
	return true;
}
