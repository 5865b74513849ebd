/* SPDX-License-Identifier: Apache-2.0 */
#include "signal/private.h"

#define EDGE_DEPTH 4

void signal_config_default(struct signal_config *config)
{
	*config = (struct signal_config){
		.fast_ns = 300 * NS_PER_MS,
		.slow_ns = 3 * NS_PER_S,
		.stall_ns = NS_PER_S,
		.edge_depth = EDGE_DEPTH,
	};
}

int signal_new(const struct signal_config *config, struct signal **out)
{
	struct signal_config defaults;
	struct signal *signal;

	signal_config_default(&defaults);
	if (!config)
		config = &defaults;
	if (!config->fast_ns || config->slow_ns < config->fast_ns || !config->stall_ns)
		return -EINVAL;
	signal = calloc(1, sizeof(*signal));
	if (!signal)
		return -ENOMEM;
	signal->config = *config;
	if (!signal->config.edge_depth)
		signal->config.edge_depth = EDGE_DEPTH;
	*out = signal;
	return 0;
}

void signal_free(struct signal *signal)
{
	if (!signal)
		return;
	vec_for_each (listener, &signal->listeners)
		listener_free(*listener);
	vec_free(&signal->listeners);
	vec_free(&signal->indicators);
	free(signal);
}

/* ---- the listeners by slot ---- */

/* Where that slot is, or would be. */
static size_t find_slot(const struct signal *signal, uint32_t slot)
{
	size_t low = 0, high = signal->indicators.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (signal->indicators.at[middle].slot < slot)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct signal *signal, size_t at, uint32_t slot)
{
	return at < signal->indicators.count && signal->indicators.at[at].slot == slot;
}

static void insert(struct signal *signal, size_t at, const struct listener_sample *s)
{
	size_t behind = signal->indicators.count - at;

	vec_push(&signal->indicators);
	vec_push(&signal->listeners);
	memmove(&signal->indicators.at[at + 1], &signal->indicators.at[at],
		behind * sizeof(*signal->indicators.at));
	memmove(&signal->listeners.at[at + 1], &signal->listeners.at[at],
		behind * sizeof(*signal->listeners.at));
	memset(&signal->indicators.at[at], 0, sizeof(*signal->indicators.at));
	signal->listeners.at[at] = listener_new(&signal->config, s);
}

/* A slot with another listener in it starts anew. */
static size_t find_or_insert(struct signal *signal, const struct listener_sample *s)
{
	size_t at = find_slot(signal, s->slot);

	if (!is_at(signal, at, s->slot)) {
		insert(signal, at, s);
	} else if (signal->listeners.at[at]->id != s->id) {
		listener_free(signal->listeners.at[at]);
		signal->listeners.at[at] = listener_new(&signal->config, s);
		memset(&signal->indicators.at[at], 0, sizeof(*signal->indicators.at));
	}
	return at;
}

/* Those that the sample did not have are gone: no data is not zero. */
static void remove_unseen(struct signal *signal)
{
	size_t kept = 0;

	for (size_t i = 0; i < signal->listeners.count; i++) {
		struct listener *l = signal->listeners.at[i];

		if (!l->seen) {
			listener_free(l);
			continue;
		}
		l->seen = false;
		if (kept != i) {
			signal->listeners.at[kept] = l;
			signal->indicators.at[kept] = signal->indicators.at[i];
		}
		kept++;
	}
	signal->listeners.count = signal->indicators.count = kept;
}

int signal_feed(struct signal *signal, const struct sample *sample, const struct placed *placed)
{
	if (sample->time_ns <= signal->time_ns)
		return -EINVAL;
	signal->time_ns = sample->time_ns;
	signal->fresh = 0;
	for (size_t i = 0; i < sample->count; i++) {
		const struct listener_sample *s = &sample->listeners[i];
		size_t at = find_or_insert(signal, s);
		struct listener *l = signal->listeners.at[at];
		struct indicator *indicator = &signal->indicators.at[at];

		/* Two listeners cannot share a slot: the first one stands. */
		if (l->seen)
			continue;
		l->seen = true;
		listener_feed(signal, l, indicator, s, &placed[i], sample->time_ns);
		signal->requests_seen |= l->interval.delta.requests > 0;
		evidence_update(signal, l, indicator);
		diagnose(signal, l, indicator, sample->time_ns);
	}
	remove_unseen(signal);
	return 0;
}

int signal_edge(struct signal *signal, const struct edge *edge)
{
	size_t at = find_slot(signal, edge->slot);
	struct indicator *indicator;

	if (!is_at(signal, at, edge->slot) || signal->indicators.at[at].id != edge->listener_id)
		return -ENOENT;
	indicator = &signal->indicators.at[at];
	/* The newest sample saw it already, as its peak. */
	if (edge->time_ns <= indicator->time_ns)
		return 0;
	listener_edge(signal->listeners.at[at], indicator, edge);
	diagnose(signal, signal->listeners.at[at], indicator, edge->time_ns);
	return 0;
}

size_t signal_indicators_for(struct signal *signal, uint32_t metrics, const struct indicator **out)
{
	for (size_t i = 0; i < signal->listeners.count && (metrics & ~signal->fresh); i++)
		listener_refresh(signal->listeners.at[i], &signal->indicators.at[i], metrics);
	signal->fresh |= metrics;
	*out = signal->indicators.at;
	return signal->indicators.count;
}

size_t signal_indicators(struct signal *signal, const struct indicator **out)
{
	return signal_indicators_for(signal, UINT32_MAX, out);
}
