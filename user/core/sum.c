/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all hosts of a service say about one metric of one policy. In a fleet no single host may
 * drive it: what its report adds to buying is bounded by what limits.host_replicas replicas would
 * be targeted with.
 *
 *  averageValue, and cpu averageValue:  target x host_replicas
 *  value:                               target x host_replicas / ready, for there the replicas are
 *                                       sum / target x ready
 *  cpu averageUtilization:              target x host_replicas x cores of a ready replica. Nobody
 *                                       uses more cores than he has, and nobody has more than
 *                                       host_replicas times what the others have in the mean: else
 *                                       one could make everybody else's load look small.
 */
#include <math.h>

#include "core/core_private.h"

struct place {
	const struct core *core;
	const struct service *service;
	const struct contributions *contributions;
	const struct policy_metric *metric;
	double lead_seconds, host_replicas;
	int32_t ready;
	uint64_t now_ns;
};

/* What the bounds are looked at for, so that most sums need no second look. */
struct extremes {
	double asked, limit;
	bool beyond_limit;
	uint32_t trends;
};

static uint64_t age_of(const struct place *place, size_t i)
{
	uint64_t since_ns = place->now_ns - MIN(place->now_ns, place->service->heard.at[i]);

	return place->contributions->list.at[i].age_ns + since_ns;
}

static bool is_silent(const struct place *place, size_t i)
{
	return age_of(place, i) > place->core->config.limits.stale_ns;
}

/* What a host that leaves serves will come to the others; what it has goes with it, and what waits
 * there is no reason to buy. */
static void add(struct sum *sum, const struct contribution *from)
{
	sum->all.stale += from->stale;
	sum->all.unknown += from->unknown;
	sum->all.left_out += from->left_out;
	sum->all.usage += from->usage;
	sum->all.usage_up += from->usage_up;
	sum->all.fast_up += from->fast_up;
	sum->all.trend_up += from->trend_up;
	if (from->leaving)
		return;
	sum->all.pressing += from->pressing;
	sum->all.limit += from->limit;
	sum->hosts++;
}

static void add_all(const struct place *place, struct sum *sum)
{
	for (size_t i = 0; i < place->contributions->list.count; i++) {
		const struct contribution *from = &place->contributions->list.at[i];

		if (!from->matched)
			continue;
		sum->all.matched += from->matched;
		if (is_silent(place, i)) {
			sum->hosts_silent++;
			sum->all.stale += from->matched;
			continue;
		}
		sum->age_ns = MAX(sum->age_ns, age_of(place, i));
		add(sum, from);
	}
}

/* ---- a fleet ---- */

static double ahead_of(const struct place *place, const struct contribution *from)
{
	double trend = isnan(from->trend_up) ? 0 : from->trend_up;

	return MAX(from->usage_up, from->fast_up + trend * place->lead_seconds);
}

static void add_all_of_fleet(const struct place *place, struct sum *sum, struct extremes *most)
{
	for (size_t i = 0; i < place->contributions->list.count; i++) {
		const struct contribution *from = &place->contributions->list.at[i];
		double trends = sum->all.trend_up;

		if (is_silent(place, i)) {
			if (from->leaving)
				continue;
			sum->hosts_silent++;
			sum->all.matched += from->matched;
			sum->all.stale += from->matched;
			continue;
		}
		if (!from->matched)
			continue;
		sum->hosts_silent += from->stale > 0;
		sum->all.matched += from->matched;
		sum->age_ns = MAX(sum->age_ns, age_of(place, i));
		add(sum, from);
		/* A host that is new has no trend yet; the others have. */
		if (isnan(from->trend_up))
			sum->all.trend_up = trends;
		else
			most->trends++;
		most->asked = MAX(most->asked, ahead_of(place, from));
		most->limit = MAX(most->limit, from->leaving ? 0 : from->limit);
		most->beyond_limit |= from->usage > from->limit;
	}
	if (!most->trends)
		sum->all.trend_up = NAN;
}

static bool is_utilization(const struct place *place)
{
	return place->metric->target_type == TARGET_UTILIZATION;
}

/* The cores that this host may have, beside those of the others. */
static double limit_bound(const struct place *place, const struct sum *sum, double limit)
{
	if (sum->hosts < 2)
		return limit;
	return MIN(limit, place->host_replicas * (sum->all.limit - limit) / (sum->hosts - 1));
}

static double usage_bound(const struct place *place, const struct sum *sum)
{
	double each = place->metric->target * place->host_replicas;

	if (is_utilization(place))
		return each / 100 * sum->all.limit / MAX(place->ready, 1);
	if (place->metric->target_type == TARGET_VALUE)
		return each / MAX(place->ready, 1);
	return each;
}

static bool counts(const struct place *place, size_t i)
{
	return place->contributions->list.at[i].matched && !is_silent(place, i);
}

static void note_bounded(struct sum *sum, size_t i)
{
	sum->hosts_bounded += !sum->hosts_bounded || sum->bounded != i;
	sum->bounded = i;
}

/* First what hosts have, then what they ask for: the second is measured with the first. */
static void bound_limits(const struct place *place, struct sum *sum)
{
	struct sum before = *sum;

	for (size_t i = 0; i < place->contributions->list.count; i++) {
		const struct contribution *from = &place->contributions->list.at[i];
		double limit;

		if (!counts(place, i))
			continue;
		limit = limit_bound(place, &before, from->limit);
		if (limit < from->limit)
			note_bounded(sum, i);
		sum->all.limit -= from->leaving ? 0 : from->limit - limit;
		sum->all.usage -= from->usage - MIN(from->usage, limit);
		sum->all.usage_up -= from->usage_up - MIN(from->usage_up, limit);
	}
}

static void bound_one(const struct place *place, struct sum *sum, size_t i, double bound,
		      double limit)
{
	const struct contribution *from = &place->contributions->list.at[i];
	double usage = MIN(from->usage_up, limit), trend = from->trend_up;
	double fast = MIN(from->fast_up, bound);

	if (MAX(usage, ahead_of(place, from)) <= bound)
		return;
	note_bounded(sum, i);
	sum->all.usage_up -= usage - MIN(usage, bound);
	sum->all.fast_up -= from->fast_up - fast;
	if (!isnan(trend) && place->lead_seconds > 0)
		sum->all.trend_up -= trend - MIN(trend, (bound - fast) / place->lead_seconds);
}

static void bound_usage(const struct place *place, struct sum *sum, const struct sum *before)
{
	double bound = usage_bound(place, sum);

	for (size_t i = 0; i < place->contributions->list.count; i++) {
		double limit = place->contributions->list.at[i].limit;

		if (!counts(place, i))
			continue;
		limit = is_utilization(place) ? limit_bound(place, before, limit) : INFINITY;
		bound_one(place, sum, i, bound, limit);
	}
}

static void bound_hosts(const struct place *place, const struct extremes *most, struct sum *sum)
{
	struct sum before = *sum;

	if (isinf(place->host_replicas) || !sum->hosts)
		return;
	if (is_utilization(place) &&
	    (most->beyond_limit || limit_bound(place, sum, most->limit) < most->limit))
		bound_limits(place, sum);
	if (most->asked > usage_bound(place, sum))
		bound_usage(place, sum, &before);
}

void sum_hosts(const struct core *core, const struct policy_state *policy, size_t metric,
	       double lead_seconds, struct moment now, struct sum *sum)
{
	const struct service *service = policy->service;
	const struct place place = {
		.core = core,
		.service = service,
		.contributions = &service->contributions[policy->metrics_at + metric],
		.metric = &policy->policy->metrics.at[metric],
		.lead_seconds = lead_seconds,
		.host_replicas = core->config.limits.host_replicas,
		.ready = policy->replicas_ready,
		.now_ns = now.mono_ns,
	};
	struct extremes most = {0};

	*sum = (struct sum){0};
	if (!core->config.fleet) {
		add_all(&place, sum);
		return;
	}
	add_all_of_fleet(&place, sum, &most);
	bound_hosts(&place, &most, sum);
}
