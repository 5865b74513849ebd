/* SPDX-License-Identifier: Apache-2.0 */
/* The signals of a decision in words: each metric's reading, and the listeners behind it. */
#include <math.h>

#include "core/core_private.h"

#define HOSTS_NAMED 8

/* The listener that says why more capacity would not help; NULL when none does. */
const struct witness *policy_left_out(const struct policy_state *policy)
{
	vec_for_each (it, &policy->service->members)
		for (size_t i = 0; i < policy->policy->metrics.count; i++) {
			const struct testimony *from = &(*it)->testimonies[policy->metrics_at + i];

			if (from->count && from->at[0].left_out)
				return &from->at[0];
		}
	return NULL;
}

static void metric_name(const struct policy_metric *metric, char *out, size_t size)
{
	switch (metric->source) {
	case SOURCE_EXTERNAL:
		snprintf(out, size, "%s", signal_metric_name(metric->metric));
		break;
	case SOURCE_CONTAINER_CPU:
		snprintf(out, size, "cpu of %s", metric->container);
		break;
	case SOURCE_RESOURCE_CPU:
		snprintf(out, size, "cpu of the host");
		break;
	}
}

static void metric_line(const struct policy_state *policy, size_t i, char *out, size_t size)
{
	const struct reading *all = &policy->readings[i], *up = &policy->readings_up[i];
	char name[128], ahead[64] = "";

	metric_name(&policy->policy->metrics.at[i], name, sizeof(name));
	if (!all->known) {
		line_add(out, size, "%s: not known (%s)", name, all->why);
		return;
	}
	if (up->known && !isnan(up->forecast))
		snprintf(ahead, sizeof(ahead), ", forecast %.4g", up->forecast);
	line_add(out, size, "%s: %.4g%s, %u matching, oldest %.1f ms", name, all->usage, ahead,
		 all->matched, (double)all->age_ns / NS_PER_MS);
	if (*up->why)
		line_add(out, size, "  %s", up->why);
	if (*all->why)
		line_add(out, size, "  %s", all->why);
}

static void witness_line(const struct host_view *view, const struct witness *witness,
			 struct moment now, bool several_hosts, char *out, size_t size)
{
	uint64_t age_ns = witness->age_ns + (now.mono_ns - MIN(now.mono_ns, view->received_ns));

	line_add(out, size, "  %s%s%s (%s): %.4g, %.1f ms old, %s%s%s",
		 several_hosts ? view->host : "", several_hosts ? " " : "", witness->address,
		 *witness->owner ? witness->owner : "owner unknown", witness->value,
		 (double)age_ns / NS_PER_MS, signal_diagnosis_text(witness->diagnosis),
		 *witness->reason ? ": " : "", witness->reason);
}

/* The hosts whose first witness says most, so that of a large fleet those are named that matter. */
struct loudest {
	const struct member *at[HOSTS_NAMED];
	size_t count;
};

static double loudness(const struct member *member, size_t m)
{
	const struct testimony *from = &member->testimonies[m];

	if (!from->count)
		return -1;
	return from->at[0].left_out ? INFINITY : from->at[0].value;
}

static void loudest_find(const struct service *service, size_t m, struct loudest *out)
{
	out->count = 0;
	vec_for_each (it, &service->members) {
		double loud = loudness(*it, m);
		size_t at = out->count;

		if (loud < 0)
			continue;
		while (at && loud > loudness(out->at[at - 1], m))
			at--;
		if (at == HOSTS_NAMED)
			continue;
		if (out->count < HOSTS_NAMED)
			out->count++;
		for (size_t i = out->count - 1; i > at; i--)
			out->at[i] = out->at[i - 1];
		out->at[at] = *it;
	}
}

static void metric_witnesses(const struct policy_state *policy, size_t m, struct moment now,
			     char *out, size_t size)
{
	bool several_hosts = policy->service->members.count > 1;
	struct loudest loudest;

	loudest_find(policy->service, m, &loudest);
	for (size_t i = 0; i < loudest.count; i++) {
		const struct testimony *from = &loudest.at[i]->testimonies[m];

		for (size_t w = 0; w < from->count; w++)
			witness_line(loudest.at[i]->host, &from->at[w], now, several_hosts, out,
				     size);
	}
}

/* One line a metric, and below it the listeners that weigh most. */
void policy_signals_text(const struct policy_state *policy, struct moment now, char *out,
			 size_t size)
{
	*out = '\0';
	for (size_t i = 0; i < policy->policy->metrics.count; i++) {
		metric_line(policy, i, out, size);
		metric_witnesses(policy, policy->metrics_at + i, now, out, size);
	}
}
