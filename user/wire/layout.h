/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a compact state which value of an indicator stands: only those that somebody reads have
 * a place. States share it. */
#ifndef FORERUN_WIRE_LAYOUT_H
#define FORERUN_WIRE_LAYOUT_H

#include "wire/wire.h"

#define LAYOUT_VALUES_MAX (METRIC_COUNT * STAT_COUNT)
#define LAYOUT_NO_PLACE (-1)

struct layout {
	unsigned references;
	bool everything; /* nobody said what is of interest: all values, counters, usage */
	unsigned count; /* of values */
	int16_t place[METRIC_COUNT][STAT_COUNT]; /* LAYOUT_NO_PLACE: not kept */
	uint8_t metric[LAYOUT_VALUES_MAX], statistic[LAYOUT_VALUES_MAX]; /* by place */
};

/* An interest in nothing is one in everything. Out of memory aborts the process. */
struct layout *layout_new(const struct wire_interest *interest);
struct layout *layout_ref(struct layout *layout);
void layout_unref(struct layout *layout);

#endif
