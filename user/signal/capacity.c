/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a replica can serve, learned: while connections wait, it serves at its limit. Spans in which
 * the queue was never empty are measured whole (half a second at least, so that single responses
 * do not matter), and a high percentile of the last spans, the older counting less, is what it can
 * do: lower ones had something in the way, single higher ones were an accident.
 */
#include "signal/private.h"

#define SPAN_NS (500 * NS_PER_MS)
#define SPAN_RESPONSES 10
#define PERCENTILE 0.8
#define HALF_LIFE_NS (60.0 * (double)NS_PER_S)

void capacity_init(struct capacity *capacity)
{
	*capacity = (struct capacity){.learned = NAN};
}

static double weight_of(const struct capacity *c, uint8_t i, uint64_t now_ns)
{
	return exp2(-(double)(now_ns - c->time_ns[i]) / HALF_LIFE_NS);
}

/* Weighted percentile: the lowest value with that share of the weight at or below it. */
static double weighted_percentile(const struct capacity *c, uint64_t now_ns)
{
	double total = 0, lowest = NAN;

	for (uint8_t i = 0; i < c->count; i++)
		total += weight_of(c, i, now_ns);
	for (uint8_t i = 0; i < c->count; i++) {
		double at_or_below = 0;

		for (uint8_t j = 0; j < c->count; j++) {
			if (c->per_second[j] <= c->per_second[i])
				at_or_below += weight_of(c, j, now_ns);
		}
		if (at_or_below >= PERCENTILE * total)
			lowest = fmin(lowest, c->per_second[i]);
	}
	return lowest;
}

void capacity_interval(struct capacity *c, uint64_t now_ns, uint64_t interval_ns,
		       uint64_t responses, bool saturated)
{
	if (!saturated) {
		c->span_ns = c->responses = 0;
		return;
	}
	c->span_ns += interval_ns;
	c->responses += responses;
	if (c->span_ns < SPAN_NS || c->responses < SPAN_RESPONSES)
		return;
	c->per_second[c->next] = (double)c->responses * (double)NS_PER_S / (double)c->span_ns;
	c->time_ns[c->next] = now_ns;
	c->next = (uint8_t)((c->next + 1) % CAPACITY_SPANS);
	c->count = (uint8_t)MIN(c->count + 1, CAPACITY_SPANS);
	c->span_ns = c->responses = 0;
	c->learned = weighted_percentile(c, now_ns);
}
