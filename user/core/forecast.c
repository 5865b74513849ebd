/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/core_private.h"

#define FORECAST_TIMES_MAX 4.0
#define FORECAST_STANDS_NS (3 * NS_PER_S)

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

/*
 * The lowest forecast of the last 3 s, NaN until there are so many seconds without a gap. A trend
 * is fitted over 3 s, so a step or a wobble looks like a slope for that long and no longer: only
 * what still rises after that is believed. The present needs no such proof, so an edge is acted on
 * at once.
 */
double forecast_standing(struct forecast_history *history, uint64_t now_ns, double forecast)
{
	struct forecast_point *point;

	if (isnan(forecast)) {
		vec_clear(&history->points);
		history->since_ns = 0;
		return NAN;
	}
	if (!history->since_ns)
		history->since_ns = now_ns;
	while (history->points.count &&
	       history->points.at[history->points.count - 1].value >= forecast)
		history->points.count--;
	point = vec_push(&history->points);
	*point = (struct forecast_point){now_ns, forecast};
	while (history->points.at[0].time_ns + FORECAST_STANDS_NS < now_ns)
		vec_remove(&history->points, 0);
	if (now_ns < history->since_ns + FORECAST_STANDS_NS)
		return NAN;
	return history->points.at[0].value;
}
