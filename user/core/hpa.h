/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The algorithm of Kubernetes' HorizontalPodAutoscaler controller (pkg/controller/podautoscaler:
 * horizontal.go, replica_calculator.go), as published, without its 15 s period: evaluated whenever
 * it is called. Pure: time is handed in.
 */
#ifndef FORERUN_CORE_HPA_H
#define FORERUN_CORE_HPA_H

#include "documents/documents.h"

/* What a metric of the policy reads now, same index as policy.metrics. */
struct reading {
	bool known; /* false: no fresh signal, never taken for zero */
	double usage; /* sum over the matching listeners; of CPU: cores in use */
	double limit; /* of utilisation: the cores that 100 % means */
	double forecast; /* usage at the lead time; NaN: none */
	uint32_t matched; /* listeners */
	uint64_t age_ns; /* of the oldest value in it */
	char why[160]; /* why not known, or what was left out of it */
};

struct hpa_event {
	uint64_t time_ns;
	int32_t change; /* replicas added (> 0) or removed (< 0) */
};
struct hpa_recommendation {
	uint64_t time_ns;
	int32_t replicas;
};

/* What the algorithm remembers of one policy. Zeroed at start. Of the recommendations only those
 * are kept that a window may still choose, so that it does not grow with the rate of evaluation. */
struct hpa_state {
	VEC(struct hpa_recommendation) recommendations;
	VEC(struct hpa_event) events;
	uint32_t longest_up_s, longest_down_s; /* period of the policies, from the last evaluation;
						  0: none yet */
};

struct hpa_input {
	const struct policy *policy;
	const struct reading *readings;
	int32_t current; /* replicas that exist or are on their way (scale.status.replicas) */
	int32_t ready; /* of these, serving: ratios are multiplied with these, as upstream does with
			  ready pods */
	bool use_forecast; /* readings[].forecast instead of usage, where it is higher */
	bool switched_off; /* the target was set to 0 replicas by hand: upstream then leaves it
			      alone, unless minReplicas is 0. Where nobody can do that, no replicas
			      are simply too few */
	uint64_t now_ns;
	char *arithmetic; /* HPA_TEXT_SIZE bytes for one line a step, for explain; NULL: not wanted,
			     which is much cheaper */
};

#define HPA_TEXT_SIZE 1024
struct hpa_result {
	bool valid; /* false: no metric could be read, or one could not and the others would scale
		       down; desired is current */
	int32_t proposed; /* by the metrics alone */
	int32_t stabilized; /* after the stabilisation window */
	int32_t desired; /* after policies and min/max */
	uint32_t metric; /* index of the metric that gave proposed */
	bool limited;
	const char *reason; /* a constant: upstream's ScalingLimited reason: "DesiredWithinRange",
			    "TooManyReplicas", "TooFewReplicas", "ScaleUpLimit", "ScaleDownLimit";
			    its ScalingActive reason where that is false: "ScalingDisabled",
			    "FailedGetExternalMetric", ... */
};

/* Remembers the recommendation in state. Does not record a scale event: the caller does when it
 * acts. */
void hpa_evaluate(struct hpa_state *state, const struct hpa_input *input,
		  struct hpa_result *result);
/* What hpa_evaluate() with this input wrote or would have written, once it has been called: leaves
 * state as it is. */
void hpa_explain(const struct hpa_state *state, const struct hpa_input *input,
		 char out[HPA_TEXT_SIZE]);
void hpa_scaled(struct hpa_state *state, uint64_t now_ns, int32_t change);
void hpa_state_free(struct hpa_state *state);

#endif
