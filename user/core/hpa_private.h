/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the HPA algorithm: hpa_metric.c proposes, hpa_limit.c bounds, hpa.c joins. */
#ifndef FORERUN_CORE_HPA_PRIVATE_H
#define FORERUN_CORE_HPA_PRIVATE_H

#include "core/hpa.h"

/* The lines of hpa_input.arithmetic; what does not fit is cut off. Without a place nothing is
 * formatted. */
struct lines {
	char *at; /* NULL: nobody reads them */
	size_t size, length;
};
#define lines_add(lines, ...)                             \
	do {                                              \
		if ((lines)->at)                          \
			lines_append(lines, __VA_ARGS__); \
	} while (0)
void lines_append(struct lines *lines, const char *format, ...) _printf_(2, 3);

/* What one metric proposes. False: it could not be read. */
bool hpa_propose(const struct hpa_input *input, const struct policy_metric *metric,
		 const struct reading *reading, int32_t *replicas, struct lines *lines);
const char *hpa_metric_failure(const struct policy_metric *metric);

/* The proposal within the stabilisation windows; it is remembered. */
int32_t hpa_stabilize(struct hpa_state *state, const struct hpa_input *input, int32_t proposed,
		      struct lines *lines);
/* The stabilised number within rates and minReplicas..maxReplicas. */
int32_t hpa_limit(const struct hpa_state *state, const struct hpa_input *input, int32_t stabilized,
		  const char **reason, struct lines *lines);

#endif
