/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/core_private.h"

#define FORECAST_TIMES_MAX 4.0

/*
 * What a metric will read when capacity ordered now serves: its fast value carried on along its
 * trend for the lead time. A straight line is only believed so far:
 *  - never below what is read now (a falling line is no reason to refuse what is needed now, and
 *    scaling down looks at the present alone),
 *  - never above four times what is read now, so that the slope of a spike, multiplied by a lead
 *    time of a minute, does not buy a data centre; where nothing is read now, nothing is forecast,
 *  - never above ceiling, for a metric that has one (a ratio).
 * NaN when trend or lead time are not known.
 */
double forecast_of(double present, double fast, double trend_per_second, double lead_seconds,
		   double ceiling)
{
	double most, ahead;

	if (isnan(present) || isnan(fast) || isnan(trend_per_second) || isnan(lead_seconds))
		return NAN;
	ahead = fast + trend_per_second * lead_seconds;
	most = FORECAST_TIMES_MAX * MAX(present, 0);
	most = MAX(MIN(most, ceiling), present);
	return CLAMP(ahead, present, most);
}
