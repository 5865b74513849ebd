/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/layout.h"

static bool any(const struct wire_interest *interest)
{
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
		if (interest->statistics[metric])
			return true;
	return false;
}

static void place_value(struct layout *layout, unsigned metric, unsigned statistic)
{
	layout->place[metric][statistic] = (int16_t)layout->count;
	layout->metric[layout->count] = (uint8_t)metric;
	layout->statistic[layout->count] = (uint8_t)statistic;
	layout->count++;
}

struct layout *layout_new(const struct wire_interest *interest)
{
	struct layout *layout = calloc(1, sizeof(*layout));

	if (!layout)
		abort();
	layout->references = 1;
	layout->everything = !any(interest);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
		for (unsigned statistic = 0; statistic < STAT_COUNT; statistic++) {
			layout->place[metric][statistic] = LAYOUT_NO_PLACE;
			if (layout->everything || interest->statistics[metric] >> statistic & 1)
				place_value(layout, metric, statistic);
		}
	return layout;
}

struct layout *layout_ref(struct layout *layout)
{
	layout->references++;
	return layout;
}

void layout_unref(struct layout *layout)
{
	if (layout && !--layout->references)
		free(layout);
}
