/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy reads now: the contributions of all hosts, without those that are too old. */
#include <math.h>

#include "core/core_private.h"

struct sum {
	struct contribution all;
	uint32_t stale_hosts;
	uint64_t age_ns;
};

static void sum_hosts(const struct core *core, size_t m, struct moment now, struct sum *sum)
{
	vec_for_each (it, &core->hosts) {
		const struct contribution *from = &(*it)->contributions[m];
		uint64_t since_ns = now.mono_ns - MIN(now.mono_ns, (*it)->received_ns);

		if (!from->matched)
			continue;
		sum->all.matched += from->matched;
		if (from->age_ns + since_ns > core->config.limits.stale_ns) {
			sum->stale_hosts++;
			sum->all.stale += from->matched;
			continue;
		}
		sum->all.stale += from->stale;
		sum->all.unknown += from->unknown;
		sum->all.left_out += from->left_out;
		sum->all.pressing += from->pressing;
		sum->all.usage += from->usage;
		sum->all.usage_up += from->usage_up;
		sum->all.fast_up += from->fast_up;
		sum->all.trend_up += from->trend_up;
		sum->all.limit += from->limit;
		sum->age_ns = MAX(sum->age_ns, from->age_ns + since_ns);
	}
}

static bool is_ratio(const struct policy_metric *metric)
{
	if (metric->source != SOURCE_EXTERNAL)
		return false;
	switch (metric->metric) {
	case METRIC_ACCEPT_QUEUE_UTILIZATION:
	case METRIC_CPU_UTILIZATION:
	case METRIC_CPU_THROTTLED_RATIO:
	case METRIC_CPU_PRESSURE_RATIO:
	case METRIC_MEMORY_PRESSURE_RATIO:
		return true;
	default:
		return false;
	}
}

static void why_unknown(const struct sum *sum, struct reading *reading)
{
	if (!sum->all.matched)
		set_text(reading->why, "no listener matches");
	else if (sum->all.stale == sum->all.matched)
		set_text(reading->why, "stale: the newest value is too old");
	else if (sum->all.left_out)
		set_text(reading->why, "more capacity would not help the listeners that match");
	else
		set_text(reading->why, "not known yet");
}

static void reading_make(const struct sum *sum, const struct policy_metric *metric,
			 double lead_seconds, struct reading *all, struct reading *up)
{
	uint32_t fresh = sum->all.matched - sum->all.stale - sum->all.unknown;
	double ceiling = is_ratio(metric) ? (double)fresh : INFINITY;

	memset(all, 0, sizeof(*all));
	all->matched = sum->all.matched;
	all->age_ns = sum->age_ns;
	all->limit = sum->all.limit;
	all->forecast = NAN;
	*up = *all;
	all->known = fresh > 0;
	up->known = fresh > sum->all.left_out;
	if (all->known)
		all->usage = sum->all.usage;
	else
		why_unknown(sum, all);
	if (!up->known) {
		why_unknown(sum, up);
		return;
	}
	up->usage = sum->all.usage_up;
	up->forecast =
		forecast_of(up->usage, sum->all.fast_up, sum->all.trend_up, lead_seconds, ceiling);
	if (sum->all.left_out)
		snprintf(up->why, sizeof(up->why),
			 "%u of %u listeners left out: more capacity would not help them",
			 sum->all.left_out, sum->all.matched);
}

static bool observed(const struct observation *seen)
{
	return seen->frames >= 2 && seen->last_ns - seen->since_ns >= OBSERVATION_SPAN_NS;
}

static void observe(const struct core *core, struct observation *seen, const struct sum *sum,
		    bool known)
{
	if (!known) {
		/* Silence ends it; a figure that has no value just now does not. */
		if (!sum->all.matched || sum->all.stale == sum->all.matched)
			seen->frames = 0;
		return;
	}
	if (seen->frames && seen->last_ns == core->last_frame_ns)
		return;
	/* The process stood still, or the agent was away. */
	if (core->last_frame_ns > seen->last_ns + core->config.limits.stale_ns)
		seen->frames = 0;
	if (!seen->frames++)
		seen->since_ns = core->last_frame_ns;
	seen->last_ns = core->last_frame_ns;
}

/* The lead begins: what was seen before is no reason to act. */
void observations_reset(struct core *core)
{
	for (size_t p = 0; p < core->policies_count; p++)
		for (size_t i = 0; i < core->policies[p].policy->metrics.count; i++)
			core->policies[p].observations[i].frames = 0;
}

/* Fills the readings of every metric, and what is true of them together. */
void policy_read(struct core *core, struct policy_state *policy, struct moment now)
{
	double lead_seconds = lead_time_seconds(core, policy->pool);

	policy->any_known = policy->stale = policy->observed = false;
	policy->all_known = policy->policy->metrics.count > 0;
	policy->pressing = 0;
	for (size_t i = 0; i < policy->policy->metrics.count; i++) {
		struct reading *all = &policy->readings[i], *up = &policy->readings_up[i];
		struct sum sum = {0};

		sum_hosts(core, policy->metrics_at + i, now, &sum);
		reading_make(&sum, &policy->policy->metrics.at[i], lead_seconds, all, up);
		up->forecast = forecast_standing(&policy->forecasts[i], now.mono_ns,
						 up->known ? up->forecast : NAN);
		if (up->forecast < up->usage)
			up->forecast = up->usage;
		observe(core, &policy->observations[i], &sum, all->known);
		if (observed(&policy->observations[i])) {
			policy->observed = true;
		} else if (up->known) {
			up->known = false;
			set_text(up->why, "the first observation: waiting for the next");
		}
		policy->any_known |= all->known;
		policy->all_known &= all->known;
		policy->stale |= sum.all.stale > 0;
		policy->pressing += sum.all.pressing;
	}
}

/* The listener that says why more capacity would not help; NULL when none does. */
const struct witness *policy_left_out(const struct core *core, const struct policy_state *policy)
{
	vec_for_each (it, &core->hosts)
		for (size_t i = 0; i < policy->policy->metrics.count; i++) {
			const struct contribution *from =
				&(*it)->contributions[policy->metrics_at + i];

			if (from->witnesses_count && from->witnesses[0].left_out)
				return &from->witnesses[0];
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

/* One line a metric, and below it the listeners that weigh most. */
void policy_signals_text(struct core *core, const struct policy_state *policy, struct moment now,
			 char *out, size_t size)
{
	*out = '\0';
	for (size_t i = 0; i < policy->policy->metrics.count; i++) {
		metric_line(policy, i, out, size);
		vec_for_each (it, &core->hosts) {
			const struct contribution *from =
				&(*it)->contributions[policy->metrics_at + i];

			for (size_t w = 0; w < from->witnesses_count; w++)
				if (from->witnesses[w].value > 0 || w == 0)
					witness_line(*it, &from->witnesses[w], now,
						     core->hosts.count > 1, out, size);
		}
	}
}
