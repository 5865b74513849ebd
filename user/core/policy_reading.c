/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy reads now: the sums over its service's hosts, as the algorithm takes them. */
#include <math.h>

#include "core/core_private.h"

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

static void reading_clear(const struct sum *sum, struct reading *reading)
{
	reading->known = false;
	reading->usage = 0;
	reading->limit = sum->all.limit;
	reading->forecast = NAN;
	reading->matched = sum->all.matched;
	reading->age_ns = sum->age_ns;
	reading->why[0] = '\0';
}

static void reading_make(const struct sum *sum, const struct policy_metric *metric,
			 double lead_seconds, struct reading *all, struct reading *up)
{
	uint32_t fresh = sum->all.matched - sum->all.stale - sum->all.unknown;
	double ceiling = is_ratio(metric) ? (double)fresh : INFINITY;

	reading_clear(sum, all);
	reading_clear(sum, up);
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

/* ---- a fleet: who is silent, and who asks for too much ---- */

/*
 * On the way down a silent host counts as one that is loaded: at the target, or as the mean of
 * those that speak where that is more. As upstream, which takes a pod without metrics to be at its
 * target then, and at all of its request where the target is a utilisation (replica_calculator.go).
 */
static void silent_are_loaded(struct policy_state *policy, const struct sum *sum,
			      const struct policy_metric *metric, struct reading *all)
{
	double silent = sum->hosts_silent, mean = sum->all.usage / MAX(sum->hosts, 1U);

	if (!sum->hosts_silent || !all->known)
		return;
	policy->silent_loaded = true;
	if (metric->target_type == TARGET_UTILIZATION) {
		double limit = sum->all.limit / MAX(sum->hosts, 1U);

		all->limit += silent * limit;
		all->usage += silent * limit * MAX(1.0, metric->target / 100);
	} else if (metric->target_type == TARGET_VALUE) {
		all->usage += silent * MAX(metric->target / MAX(policy->replicas_ready, 1), mean);
	} else {
		all->usage += silent * MAX(metric->target, mean);
	}
	snprintf(all->why, sizeof(all->why), "%u of %zu hosts silent: counted as loaded",
		 sum->hosts_silent, policy->service->members.count);
}

static void say_bounded(const struct core *core, const struct policy_state *policy,
			const struct sum *sum, struct reading *up)
{
	size_t length = strlen(up->why);

	if (!sum->hosts_bounded || !up->known)
		return;
	snprintf(up->why + length, sizeof(up->why) - length,
		 "%s%s%.64s reports more than %g replicas, the most that one host may",
		 length ? "; " : "", sum->hosts_bounded > 1 ? "several hosts, such as " : "host ",
		 policy->service->members.at[sum->bounded]->host->host,
		 core->config.limits.host_replicas);
}

static void read_fleet(const struct core *core, struct policy_state *policy, size_t i,
		       const struct sum *sum)
{
	policy->hosts_silent = MAX(policy->hosts_silent, sum->hosts_silent);
	policy->hosts_bounded = MAX(policy->hosts_bounded, sum->hosts_bounded);
	if (!core->config.fleet)
		return;
	silent_are_loaded(policy, sum, &policy->policy->metrics.at[i], &policy->readings[i]);
	say_bounded(core, policy, sum, &policy->readings_up[i]);
}

/* Outside a fleet anything stale freezes scale-down; in one, more silence than its share. */
static bool too_silent(const struct core *core, const struct policy_state *policy)
{
	double share = core->config.limits.silent_share;

	return policy->hosts_silent > share * (double)policy->service->members.count;
}

/* ---- first observations ---- */

static bool observed(const struct observation *seen)
{
	return seen->frames >= 2 && seen->last_ns - seen->since_ns >= OBSERVATION_SPAN_NS;
}

static void observe(const struct core *core, const struct service *service,
		    struct observation *seen, const struct sum *sum, bool known)
{
	uint64_t last_frame_ns = service->last_frame_ns;

	if (!known) {
		/* Silence ends it; a figure that has no value just now does not. */
		if (!sum->all.matched || sum->all.stale == sum->all.matched)
			seen->frames = 0;
		return;
	}
	if (seen->last_ns == last_frame_ns)
		return;
	/* The process stood still, or the agent was away. */
	if (last_frame_ns > seen->last_ns + core->config.limits.stale_ns)
		seen->frames = 0;
	if (!seen->frames++)
		seen->since_ns = last_frame_ns;
	seen->last_ns = last_frame_ns;
}

/* The lead begins: what was seen before is no reason to act. */
void observations_reset(struct core *core)
{
	for (size_t i = 0; i < core->policies_count; i++) {
		struct policy_state *policy = &core->policies[i];

		for (size_t m = 0; m < policy->policy->metrics.count; m++)
			policy->observations[m] =
				(struct observation){.last_ns = policy->service->last_frame_ns};
		policy->observed = false;
	}
}

static void read_metric(struct core *core, struct policy_state *policy, size_t i,
			double lead_seconds, struct moment now)
{
	struct reading *all = &policy->readings[i], *up = &policy->readings_up[i];
	struct sum sum;

	sum_hosts(core, policy, i, lead_seconds, now, &sum);
	reading_make(&sum, &policy->policy->metrics.at[i], lead_seconds, all, up);
	up->forecast = forecast_standing(&policy->forecasts[i], now.mono_ns,
					 up->known ? up->forecast : NAN);
	if (up->forecast < up->usage)
		up->forecast = up->usage;
	read_fleet(core, policy, i, &sum);
	observe(core, policy->service, &policy->observations[i], &sum, all->known);
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

/* Fills the readings of every metric, and what is true of them together. */
void policy_read(struct core *core, struct policy_state *policy, struct moment now)
{
	double lead_seconds = lead_time_seconds(core, policy->pool);

	policy->any_known = policy->stale = policy->observed = policy->silent_loaded = false;
	policy->all_known = policy->policy->metrics.count > 0;
	policy->pressing = policy->hosts_silent = policy->hosts_bounded = 0;
	for (size_t i = 0; i < policy->policy->metrics.count; i++)
		read_metric(core, policy, i, lead_seconds, now);
	if (core->config.fleet)
		policy->stale = too_silent(core, policy);
}
