/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published algorithm of the HPA controller, a row for each rule: what it says, the function of
 * Kubernetes 1.34 (pkg/controller/podautoscaler) that it stands in, a situation, the outcome. The
 * outcomes are worked out by hand from that source, not taken from a run of this code.
 */
#ifndef CORE_HPA_RULES_H
#define CORE_HPA_RULES_H

#include "core/hpa.h"

struct metric_row {
	enum { NONE, VALUE, AVERAGE, UTILIZATION, CPU_AVERAGE, UNKNOWN, CPU_UNKNOWN } kind;
	double target, usage;
	double limit; /* of UTILIZATION: cores of 100 % over all that serve */
	double forecast; /* 0: none */
};

struct rules_row {
	bool set; /* false: the defaults */
	uint32_t window_s;
	enum select_policy select;
	double tolerance; /* 0: 0.1; < 0: exactly 0 */
	struct scaling_policy policies[3];
};

struct past {
	double seconds_ago;
	int32_t value;
};

struct rule {
	const char *says, *source;
	int32_t min, max; /* 0: 1 and 100; min < 0: 0 */
	int32_t current, ready; /* ready 0: all; < 0: none */
	bool behavior, switched_off, use_forecast, first;
	struct metric_row metrics[3];
	struct rules_row up, down;
	struct past recommended[4]; /* none: only one long ago, of what there is */
	struct past scaled[4];
	bool no_action;
	int32_t proposed, stabilized, desired;
	const char *reason;
};

#define WITHIN "DesiredWithinRange"
#define PER_POD "GetExternalPerPodMetricReplicas"
#define EXTERNAL "GetExternalMetricReplicas"
#define RATIO_COUNT "getUsageRatioReplicaCount"
#define RESOURCE "GetResourceReplicas"
#define RAW_RESOURCE "calcPlainMetricReplicas"
#define COMPUTE "computeReplicasForMetrics"
#define RECONCILE "reconcileAutoscaler"
#define STABILIZE "stabilizeRecommendation"
#define STABILIZE_BEHAVIOR "stabilizeRecommendationWithBehaviors"
#define CONVERT "convertDesiredReplicasWithRules"
#define CONVERT_BEHAVIOR "convertDesiredReplicasWithBehaviorRate"
#define UP_LIMIT "calculateScaleUpLimitWithScalingRules"
#define DOWN_LIMIT "calculateScaleDownLimitWithBehaviors"
#define CHANGES "getReplicasChangePerPeriod"

#define FAST_UP                                                                \
	.behavior = true, .up = {                                              \
				  .set = true,                                 \
				  .policies = {{SCALING_PERCENT, 100000, 15}}, \
	}
#define FREE_DOWN .down = {.set = true, .policies = {{SCALING_PERCENT, 100, 15}}}
/* No limits but minReplicas and maxReplicas. */
#define FREE FAST_UP, FREE_DOWN
#define OUTCOME(p, s, d, r) .proposed = p, .stabilized = s, .desired = d, .reason = r

static const struct rule RULES[] = {
	/* ---- External, averageValue ---- */
	{"the sum over the target, rounded up", PER_POD, .current = 4,
	 .metrics = {{AVERAGE, 10, 312}}, FREE, OUTCOME(32, 32, 32, WITHIN)},
	{"an exact quotient is not rounded up further", PER_POD, .current = 4,
	 .metrics = {{AVERAGE, 10, 80}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"what is ready does not matter to an average", PER_POD, .current = 4, .ready = 1,
	 .metrics = {{AVERAGE, 10, 80}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"within the tolerance above nothing changes", PER_POD, .current = 10,
	 .metrics = {{AVERAGE, 10, 110}}, FREE, OUTCOME(10, 10, 10, WITHIN)},
	{"just over the tolerance above it changes", PER_POD, .current = 10,
	 .metrics = {{AVERAGE, 10, 110.1}}, FREE, OUTCOME(12, 12, 12, WITHIN)},
	{"within the tolerance below nothing changes", PER_POD, .current = 10,
	 .metrics = {{AVERAGE, 10, 90}}, FREE, OUTCOME(10, 10, 10, WITHIN)},
	{"just over the tolerance below it changes", PER_POD, .current = 10,
	 .metrics = {{AVERAGE, 10, 89.9}}, FREE, OUTCOME(9, 9, 9, WITHIN)},
	{"nothing to do means none, and then minReplicas", PER_POD, .current = 5,
	 .metrics = {{AVERAGE, 10, 0}}, FREE, OUTCOME(0, 0, 1, "TooFewReplicas")},
	{"a thousandth over a whole number asks for one more", PER_POD, .current = 1,
	 .metrics = {{AVERAGE, 0.5, 1.001}}, FREE, OUTCOME(3, 3, 3, WITHIN)},
	{"less than a thousandth counts as one, as MilliValue rounds", PER_POD, .current = 1,
	 .metrics = {{AVERAGE, 0.001, 0.0021}}, FREE, OUTCOME(3, 3, 3, WITHIN)},
	{"from none, the average needs no replicas to divide by", PER_POD, .min = -1, .current = 0,
	 .metrics = {{AVERAGE, 10, 35}}, .behavior = true, FREE_DOWN,
	 .up = {.set = true, .policies = {{SCALING_PODS, 50, 15}}}, OUTCOME(4, 4, 4, WITHIN)},
	{"from none and nothing to do, none", PER_POD, .min = -1, .current = 0,
	 .metrics = {{AVERAGE, 10, 0}}, FREE, OUTCOME(0, 0, 0, WITHIN)},
	{"a sum beyond 32 bits is the largest number there is", PER_POD, .max = INT32_MAX,
	 .current = 1, .metrics = {{AVERAGE, 0.001, 1e12}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PODS, INT32_MAX, 15}}},
	 OUTCOME(INT32_MAX, INT32_MAX, INT32_MAX, WITHIN)},
	{"a negative sum, as of a trend, asks for none", COMPUTE, .current = 3,
	 .metrics = {{AVERAGE, 10, -50}}, FREE, OUTCOME(0, 0, 1, "TooFewReplicas")},

	/* ---- External, value ---- */
	{"the ratio times the ready", EXTERNAL, .current = 4, .metrics = {{VALUE, 100, 240}}, FREE,
	 OUTCOME(10, 10, 10, WITHIN)},
	{"only the ready are multiplied", RATIO_COUNT, .current = 4, .ready = 2,
	 .metrics = {{VALUE, 100, 240}}, FREE, OUTCOME(5, 5, 5, WITHIN)},
	{"none ready gives none, and then minReplicas", RATIO_COUNT, .current = 4, .ready = -1,
	 .metrics = {{VALUE, 100, 240}}, FREE, OUTCOME(0, 0, 1, "TooFewReplicas")},
	{"within the tolerance the current stays, whatever is ready", RATIO_COUNT, .current = 4,
	 .ready = 2, .metrics = {{VALUE, 100, 105}}, FREE, OUTCOME(4, 4, 4, WITHIN)},
	{"the edge of the tolerance is within it", RATIO_COUNT, .current = 4,
	 .metrics = {{VALUE, 100, 110}}, FREE, OUTCOME(4, 4, 4, WITHIN)},
	{"below the target it shrinks", EXTERNAL, .current = 10, .metrics = {{VALUE, 100, 42}},
	 FREE, OUTCOME(5, 5, 5, WITHIN)},
	{"from none, the ratio itself", RATIO_COUNT, .min = -1, .current = 0,
	 .metrics = {{VALUE, 100, 240}}, .behavior = true, FREE_DOWN, OUTCOME(3, 3, 3, WITHIN)},
	{"from none, no tolerance", RATIO_COUNT, .min = -1, .current = 0,
	 .metrics = {{VALUE, 100, 1}}, .behavior = true, FREE_DOWN, OUTCOME(1, 1, 1, WITHIN)},
	{"to none where minReplicas is 0", RATIO_COUNT, .min = -1, .current = 2,
	 .metrics = {{VALUE, 100, 0}}, FREE, OUTCOME(0, 0, 0, WITHIN)},

	/* ---- Tolerance ---- */
	{"its own tolerance on the way up", "tolerancesForHpa", .current = 10,
	 .metrics = {{AVERAGE, 10, 140}}, .behavior = true,
	 .up = {.set = true, .tolerance = 0.5, .policies = {{SCALING_PERCENT, 900, 15}}}, FREE_DOWN,
	 OUTCOME(10, 10, 10, WITHIN)},
	{"its own tolerance on the way down", "tolerancesForHpa", .current = 10,
	 .metrics = {{AVERAGE, 10, 60}}, FAST_UP,
	 .down = {.set = true, .tolerance = 0.5, .policies = {{SCALING_PERCENT, 100, 15}}},
	 OUTCOME(10, 10, 10, WITHIN)},
	{"the tolerance up does not hold on the way down", "tolerancesForHpa", .current = 10,
	 .metrics = {{AVERAGE, 10, 60}}, .behavior = true,
	 .up = {.set = true, .tolerance = 0.5, .policies = {{SCALING_PERCENT, 900, 15}}}, FREE_DOWN,
	 OUTCOME(6, 6, 6, WITHIN)},
	{"no tolerance: every difference counts", "Tolerances.isWithin", .current = 10,
	 .metrics = {{AVERAGE, 10, 100.001}}, .behavior = true,
	 .up = {.set = true, .tolerance = -1, .policies = {{SCALING_PERCENT, 900, 15}}}, FREE_DOWN,
	 OUTCOME(11, 11, 11, WITHIN)},

	/* ---- CPU ---- */
	{"utilisation of what is requested, times the ready", RESOURCE, .current = 2,
	 .metrics = {{UTILIZATION, 60, 3.4, 4}}, FREE, OUTCOME(3, 3, 3, WITHIN)},
	{"utilisation is a whole percentage, cut off", "GetResourceUtilizationRatio", .current = 10,
	 .metrics = {{UTILIZATION, 50, 5.59, 10}}, FREE, OUTCOME(10, 10, 10, WITHIN)},
	{"within the tolerance nothing changes", RESOURCE, .current = 3,
	 .metrics = {{UTILIZATION, 80, 2.5, 3}}, FREE, OUTCOME(3, 3, 3, WITHIN)},
	{"little use shrinks", RESOURCE, .current = 10, .metrics = {{UTILIZATION, 80, 2, 10}}, FREE,
	 OUTCOME(3, 3, 3, WITHIN)},
	{"on the way up the unready count as using nothing", RESOURCE, .current = 4, .ready = 2,
	 .metrics = {{UTILIZATION, 50, 4, 2}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"the unready bring it within the tolerance: nothing changes", RESOURCE, .current = 4,
	 .ready = 2, .metrics = {{UTILIZATION, 50, 2, 2}}, FREE, OUTCOME(4, 4, 4, WITHIN)},
	{"the unready would turn the direction: nothing changes", RESOURCE, .current = 8,
	 .ready = 2, .metrics = {{UTILIZATION, 50, 2, 2}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"on the way down the unready do not count", RESOURCE, .current = 4, .ready = 2,
	 .metrics = {{UTILIZATION, 50, 0.5, 2}}, FREE, OUTCOME(1, 1, 1, WITHIN)},
	{"none ready: the metric is invalid", RESOURCE, .current = 4, .ready = -1,
	 .metrics = {{UTILIZATION, 50, 2, 2}}, FREE, .no_action = true,
	 OUTCOME(4, 4, 4, "FailedGetResourceMetric")},
	{"cores a replica over the target, times the ready", RAW_RESOURCE, .current = 4,
	 .metrics = {{CPU_AVERAGE, 0.5, 3}}, FREE, OUTCOME(6, 6, 6, WITHIN)},
	{"cores a replica are whole thousandths, cut off", "GetMetricUsageRatio", .current = 3,
	 .metrics = {{CPU_AVERAGE, 0.1, 0.332}}, FREE, OUTCOME(3, 3, 3, WITHIN)},
	{"the unready count as using nothing, here too", RAW_RESOURCE, .current = 4, .ready = 2,
	 .metrics = {{CPU_AVERAGE, 0.5, 4}}, FREE, OUTCOME(8, 8, 8, WITHIN)},

	/* ---- Several metrics ---- */
	{"the highest proposal wins", COMPUTE, .current = 4,
	 .metrics = {{AVERAGE, 10, 80}, {VALUE, 100, 300}, {AVERAGE, 10, 50}}, FREE,
	 OUTCOME(12, 12, 12, WITHIN)},
	{"all must agree to shrink: the highest wins there too", COMPUTE, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}, {AVERAGE, 10, 70}}, FREE, OUTCOME(7, 7, 7, WITHIN)},
	{"one unknown does not stop the others from growing", COMPUTE, .current = 4,
	 .metrics = {{UNKNOWN, 10, 0}, {AVERAGE, 10, 80}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"one unknown stops the others from shrinking", COMPUTE, .current = 10,
	 .metrics = {{UNKNOWN, 10, 0}, {AVERAGE, 10, 20}}, FREE, .no_action = true,
	 OUTCOME(10, 10, 10, "FailedGetExternalMetric")},
	{"one unknown and no change wanted is no failure", COMPUTE, .current = 8,
	 .metrics = {{UNKNOWN, 10, 0}, {AVERAGE, 10, 80}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"all unknown: no action", COMPUTE, .current = 4, .metrics = {{UNKNOWN, 10, 0}}, FREE,
	 .no_action = true, OUTCOME(4, 4, 4, "FailedGetExternalMetric")},
	{"the first unknown gives the reason", COMPUTE, .current = 4,
	 .metrics = {{CPU_UNKNOWN, 50, 0}, {UNKNOWN, 10, 0}}, FREE, .no_action = true,
	 OUTCOME(4, 4, 4, "FailedGetResourceMetric")},

	/* ---- Before any metric ---- */
	{"0 by hand and minReplicas above: left alone", RECONCILE, .current = 0,
	 .switched_off = true, .metrics = {{AVERAGE, 10, 500}}, FREE,
	 OUTCOME(0, 0, 0, "ScalingDisabled")},
	{"above maxReplicas: maxReplicas, whatever the metrics say", RECONCILE, .max = 5,
	 .current = 9, .metrics = {{AVERAGE, 10, 500}}, FREE, OUTCOME(5, 5, 5, "TooManyReplicas")},
	{"above maxReplicas: at once, without a window", RECONCILE, .max = 5, .current = 9,
	 .metrics = {{UNKNOWN, 10, 0}}, .behavior = true, OUTCOME(5, 5, 5, "TooManyReplicas")},
	{"below minReplicas: minReplicas, whatever the metrics say", RECONCILE, .min = 6,
	 .current = 2, .metrics = {{AVERAGE, 10, 0}}, FREE, OUTCOME(6, 6, 6, "TooFewReplicas")},
	{"below minReplicas: at once, without a rate", RECONCILE, .min = 60, .current = 1,
	 .metrics = {{UNKNOWN, 10, 0}}, OUTCOME(60, 60, 60, "TooFewReplicas")},

	/* ---- Without spec.behavior ---- */
	{"grows to twice the current at most", CONVERT, .current = 5,
	 .metrics = {{AVERAGE, 10, 500}}, OUTCOME(50, 50, 10, "ScaleUpLimit")},
	{"grows to 4 at least", CONVERT, .current = 1, .metrics = {{AVERAGE, 10, 500}},
	 OUTCOME(50, 50, 4, "ScaleUpLimit")},
	{"maxReplicas below that limit", CONVERT, .max = 8, .current = 5,
	 .metrics = {{AVERAGE, 10, 500}}, OUTCOME(50, 50, 8, "TooManyReplicas")},
	{"twice the current is of one synchronisation: what came in the last 15 s is part of it",
	 "calculateScaleUpLimit", .current = 10, .metrics = {{AVERAGE, 10, 500}},
	 .scaled = {{5, 5}}, OUTCOME(50, 50, 10, "ScaleUpLimit")},
	{"a synchronisation later it may double again", "calculateScaleUpLimit", .current = 10,
	 .metrics = {{AVERAGE, 10, 500}}, .scaled = {{15, 5}}, OUTCOME(50, 50, 20, "ScaleUpLimit")},
	{"shrinks to the highest of 300 s", STABILIZE, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, .recommended = {{400, 10}, {200, 7}, {100, 4}},
	 OUTCOME(2, 7, 7, WITHIN)},
	{"the first instant of the window counts", STABILIZE, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, .recommended = {{300, 7}}, OUTCOME(2, 7, 7, WITHIN)},
	{"older than 300 s counts no more", STABILIZE, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, .recommended = {{301, 7}}, OUTCOME(2, 2, 2, WITHIN)},
	{"the highest of the window counts on the way up too", STABILIZE, .current = 5,
	 .metrics = {{AVERAGE, 10, 60}}, .recommended = {{20, 8}}, OUTCOME(6, 8, 8, WITHIN)},
	{"down there is no rate but the window", CONVERT, .current = 50,
	 .metrics = {{AVERAGE, 10, 10}}, OUTCOME(1, 1, 1, WITHIN)},
	{"not below minReplicas", CONVERT, .min = 3, .current = 50, .metrics = {{AVERAGE, 10, 10}},
	 OUTCOME(1, 1, 3, "TooFewReplicas")},
	{"the first evaluation remembers what there is: nothing shrinks at once",
	 "recordInitialRecommendation", .current = 10, .first = true,
	 .metrics = {{AVERAGE, 10, 10}}, OUTCOME(1, 10, 10, WITHIN)},
	{"the first evaluation may grow", "recordInitialRecommendation", .current = 10,
	 .first = true, .metrics = {{AVERAGE, 10, 150}}, OUTCOME(15, 15, 15, WITHIN)},

	/* ---- Stabilisation with spec.behavior ---- */
	{"down to the highest of the window", STABILIZE_BEHAVIOR, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, .behavior = true,
	 .recommended = {{400, 10}, {200, 7}, {100, 4}}, OUTCOME(2, 7, 7, WITHIN)},
	{"the first instant of the window does not count here", STABILIZE_BEHAVIOR, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, .behavior = true, .recommended = {{300, 7}},
	 OUTCOME(2, 2, 2, WITHIN)},
	{"a window of its own on the way down", STABILIZE_BEHAVIOR, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, .behavior = true,
	 .down = {.set = true, .window_s = 60, .policies = {{SCALING_PERCENT, 100, 15}}},
	 .recommended = {{100, 9}, {30, 5}}, OUTCOME(2, 5, 5, WITHIN)},
	{"a window of 0 shrinks at once", STABILIZE_BEHAVIOR, .current = 10,
	 .metrics = {{AVERAGE, 10, 20}}, FREE, .recommended = {{1, 10}}, OUTCOME(2, 2, 2, WITHIN)},
	{"up to the lowest of its window", STABILIZE_BEHAVIOR, .current = 4,
	 .metrics = {{AVERAGE, 10, 300}}, .behavior = true,
	 .up = {.set = true, .window_s = 60, .policies = {{SCALING_PERCENT, 9000, 15}}},
	 .recommended = {{100, 4}, {50, 12}, {20, 7}}, OUTCOME(30, 7, 7, WITHIN)},
	{"no window on the way up: at once", STABILIZE_BEHAVIOR, .current = 4,
	 .metrics = {{AVERAGE, 10, 80}}, FREE, .recommended = {{1, 4}}, OUTCOME(8, 8, 8, WITHIN)},
	{"between the lowest and the highest the current stays", STABILIZE_BEHAVIOR, .current = 6,
	 .metrics = {{AVERAGE, 10, 80}}, .behavior = true,
	 .up = {.set = true, .window_s = 60, .policies = {{SCALING_PERCENT, 9000, 15}}},
	 .recommended = {{50, 5}, {30, 9}}, OUTCOME(8, 6, 6, WITHIN)},
	{"the first evaluation holds growth for the window on the way up",
	 "recordInitialRecommendation", .current = 4, .first = true,
	 .metrics = {{AVERAGE, 10, 300}}, .behavior = true,
	 .up = {.set = true, .window_s = 60, .policies = {{SCALING_PERCENT, 9000, 15}}},
	 OUTCOME(30, 4, 4, WITHIN)},

	/* ---- Rates ---- */
	{"the default up: the larger of 4 and 100 % in 15 s, here 4", UP_LIMIT, .current = 2,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true, OUTCOME(50, 50, 6, "ScaleUpLimit")},
	{"the default up, here 100 %", UP_LIMIT, .current = 10, .metrics = {{AVERAGE, 10, 500}},
	 .behavior = true, OUTCOME(50, 50, 20, "ScaleUpLimit")},
	{"Min takes the smaller change on the way up", UP_LIMIT, .current = 10,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true,
		.select = SELECT_MIN,
		.policies = {{SCALING_PODS, 4, 15}, {SCALING_PERCENT, 100, 15}}},
	 OUTCOME(50, 50, 14, "ScaleUpLimit")},
	{"Disabled does not grow", UP_LIMIT, .current = 10, .metrics = {{AVERAGE, 10, 500}},
	 .behavior = true,
	 .up = {.set = true, .select = SELECT_DISABLED, .policies = {{SCALING_PODS, 4, 15}}},
	 OUTCOME(50, 50, 10, "ScaleUpLimit")},
	{"a percentage is rounded up, so that one can grow", UP_LIMIT, .current = 1,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PERCENT, 10, 15}}},
	 OUTCOME(50, 50, 2, "ScaleUpLimit")},
	{"what was added in the period is part of it", CHANGES, .current = 7,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{30, 3}},
	 OUTCOME(50, 50, 8, "ScaleUpLimit")},
	{"the first instant of the period does not count", CHANGES, .current = 7,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{60, 3}},
	 OUTCOME(50, 50, 11, "ScaleUpLimit")},
	{"each policy has its own period", CHANGES, .current = 7, .metrics = {{AVERAGE, 10, 500}},
	 .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PODS, 4, 60}, {SCALING_PODS, 2, 20}}},
	 .scaled = {{30, 3}}, OUTCOME(50, 50, 9, "ScaleUpLimit")},
	{"what was removed in the period may come back", CHANGES, .current = 7,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{30, -3}},
	 OUTCOME(50, 50, 14, "ScaleUpLimit")},
	{"more was added than the period allows: it stays", CONVERT_BEHAVIOR, .current = 20,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{30, 15}},
	 OUTCOME(50, 50, 20, "ScaleUpLimit")},
	{"maxReplicas below the rate", CONVERT_BEHAVIOR, .max = 12, .current = 10,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true, OUTCOME(50, 50, 12, "TooManyReplicas")},
	{"maxReplicas equal to the rate is maxReplicas", CONVERT_BEHAVIOR, .max = 20, .current = 10,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true, OUTCOME(50, 50, 20, "TooManyReplicas")},
	{"down by so many", DOWN_LIMIT, .current = 10, .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PODS, 2, 60}}},
	 OUTCOME(1, 1, 8, "ScaleDownLimit")},
	{"a percentage down is cut off: 10 % of 15 takes two", DOWN_LIMIT, .current = 15,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PERCENT, 10, 60}}},
	 OUTCOME(1, 1, 13, "ScaleDownLimit")},
	{"Max takes the larger change on the way down", DOWN_LIMIT, .current = 20,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PODS, 4, 60}, {SCALING_PERCENT, 10, 60}}},
	 OUTCOME(1, 1, 16, "ScaleDownLimit")},
	{"Min takes the smaller change on the way down", DOWN_LIMIT, .current = 20,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true,
		  .select = SELECT_MIN,
		  .policies = {{SCALING_PODS, 4, 60}, {SCALING_PERCENT, 10, 60}}},
	 OUTCOME(1, 1, 18, "ScaleDownLimit")},
	{"Disabled does not shrink", DOWN_LIMIT, .current = 20, .metrics = {{AVERAGE, 10, 10}},
	 FAST_UP,
	 .down = {.set = true, .select = SELECT_DISABLED, .policies = {{SCALING_PODS, 4, 60}}},
	 OUTCOME(1, 1, 20, "ScaleDownLimit")},
	{"what was removed in the period is part of it", CHANGES, .current = 17,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{10, -3}},
	 OUTCOME(1, 1, 16, "ScaleDownLimit")},
	{"what was added in the period may go again", CHANGES, .current = 17,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{10, 5}},
	 OUTCOME(1, 1, 8, "ScaleDownLimit")},
	{"more was removed than the period allows: it stays", CONVERT_BEHAVIOR, .current = 10,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PODS, 4, 60}}}, .scaled = {{10, -9}},
	 OUTCOME(1, 1, 10, "ScaleDownLimit")},
	{"minReplicas above the rate", CONVERT_BEHAVIOR, .min = 9, .current = 10,
	 .metrics = {{AVERAGE, 10, 10}}, FAST_UP,
	 .down = {.set = true, .policies = {{SCALING_PODS, 4, 60}}},
	 OUTCOME(1, 1, 9, "TooFewReplicas")},
	{"only percentages up: none grows to none", UP_LIMIT, .min = -1, .current = 0,
	 .metrics = {{AVERAGE, 10, 500}}, .behavior = true,
	 .up = {.set = true, .policies = {{SCALING_PERCENT, 100, 15}}},
	 OUTCOME(50, 50, 0, "ScaleUpLimit")},

	/* ---- forerun's own: which number is read ---- */
	{"the forecast where it is higher", "(forerun)", .current = 4, .use_forecast = true,
	 .metrics = {{AVERAGE, 10, 80, .forecast = 120}}, FREE, OUTCOME(12, 12, 12, WITHIN)},
	{"the present where that is higher", "(forerun)", .current = 4, .use_forecast = true,
	 .metrics = {{AVERAGE, 10, 80, .forecast = 20}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"the forecast only when it is asked for", "(forerun)", .current = 4,
	 .metrics = {{AVERAGE, 10, 80, .forecast = 120}}, FREE, OUTCOME(8, 8, 8, WITHIN)},
	{"no replicas that nobody switched off are too few", "(forerun)", .min = 2, .current = 0,
	 .metrics = {{UNKNOWN, 10, 0}}, OUTCOME(2, 2, 2, "TooFewReplicas")},
};

#endif
