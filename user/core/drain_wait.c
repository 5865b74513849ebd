/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an instance that drains may be terminated. Its own agent knows best: nothing is open and
 * nothing in flight, once no target group sends it anything new. Where no agent speaks the target
 * groups do, when they have nothing of it any more; where there is neither, only time.
 */
#include <math.h>

#include "core/drain.h"

#define QUIET_FOR_NS NS_PER_S /* nothing is open for so long: nothing was on its way either */
#define URGENT_MARGIN_NS (10 * NS_PER_S)

static uint64_t grace_ns(const struct core *core, const struct drain *drain)
{
	const struct pool_state *pool = pool_find((struct core *)core, drain->instance->pool);

	if (pool && pool->pool->termination_grace_given &&
	    pool->pool->termination_grace_s < DURATION_NEVER / NS_PER_S)
		return pool->pool->termination_grace_s * NS_PER_S;
	return core->config.limits.drain_most_ns;
}

static uint64_t blind_ns(const struct core *core, const struct drain *drain)
{
	return MIN(core->config.limits.drain_blind_ns, grace_ns(core, drain));
}

bool drain_in_time(const struct core *core, const struct drain *drain, struct moment now)
{
	if (drain->deadline_wall_ns && now.wall_ns >= drain->deadline_wall_ns)
		return false;
	return now.mono_ns < drain->since_ns + grace_ns(core, drain);
}

bool drain_is_urgent(const struct core *core, const struct drain *drain, struct moment now)
{
	uint64_t needs_ns = grace_ns(core, drain) + URGENT_MARGIN_NS;

	return drain->deadline_wall_ns && now.wall_ns + needs_ns >= drain->deadline_wall_ns;
}

/* ---- what its agent says ---- */

static void add(double value, double *sum)
{
	*sum += value > 0 ? value : 0;
}

/* What of it cannot be told is not zero. */
void drain_hear(struct core *core, struct instance *instance, const struct frame *frame,
		struct moment now)
{
	struct signs *signs = &instance->signs;
	bool known = true;

	signs->connections = signs->in_flight = 0;
	for (size_t i = 0; i < frame->count; i++) {
		const struct indicator *indicator = &frame->indicators[i];
		double open = indicator->value[METRIC_OPEN_CONNECTIONS][STAT_LAST];
		double in_flight = indicator->value[METRIC_REQUESTS_IN_FLIGHT][STAT_LAST];

		if (!listener_is_of(core, instance, indicator))
			continue;
		known &= !isnan(open);
		add(open, &signs->connections);
		add(in_flight, &signs->in_flight);
		add(indicator->value[METRIC_ACCEPT_QUEUE_DEPTH][STAT_LAST], &signs->connections);
	}
	signs->heard_ns = known ? now.mono_ns : 0;
	if (!known || signs->connections > 0 || signs->in_flight > 0)
		signs->quiet_ns = 0;
	else if (!signs->quiet_ns)
		signs->quiet_ns = now.mono_ns;
}

static bool speaks(const struct core *core, const struct instance *instance, struct moment now)
{
	return instance->signs.heard_ns &&
	       now.mono_ns <= instance->signs.heard_ns + core->config.limits.stale_ns;
}

/* ---- all of it ---- */

static bool over_by_agent(const struct drain *drain, uint64_t out_ns, char why[CLOUD_TEXT_SIZE])
{
	const struct signs *signs = &drain->instance->signs;
	uint64_t from_ns = MAX(MAX(signs->quiet_ns, out_ns), drain->since_ns);

	if (!signs->quiet_ns) {
		snprintf(why, CLOUD_TEXT_SIZE, "%g connections are open, %g requests in flight",
			 signs->connections, signs->in_flight);
		return false;
	}
	snprintf(why, CLOUD_TEXT_SIZE, "no connection is open and nothing in flight");
	return signs->heard_ns >= from_ns + QUIET_FOR_NS;
}

static bool over_by_time(const struct core *core, const struct drain *drain, struct moment now,
			 char why[CLOUD_TEXT_SIZE])
{
	const struct instance *instance = drain->instance;
	uint64_t from_ns = MAX(drain->since_ns, instance->heard_ns);
	uint64_t end_ns = from_ns + blind_ns(core, drain);

	if (now.mono_ns >= end_ns)
		snprintf(why, CLOUD_TEXT_SIZE, "nobody tells what is open, and %.0f s have passed",
			 (double)blind_ns(core, drain) / NS_PER_S);
	else
		snprintf(why, CLOUD_TEXT_SIZE,
			 "%s tells what is open, no target group has it: %.0f s more",
			 instance->heard_ns ? "its agent is silent, nobody" : "nobody",
			 ceil((double)(end_ns - now.mono_ns) / NS_PER_S));
	return now.mono_ns >= end_ns;
}

static bool has_groups(const struct core *core, const struct instance *instance)
{
	const struct policy_state *policy = policy_find((struct core *)core, instance->policy);

	return policy && core->effects.targets && policy->policy->target_groups.count;
}

bool drain_over(const struct core *core, const struct drain *drain, struct moment now,
		char why[CLOUD_TEXT_SIZE])
{
	const struct instance *instance = drain->instance;
	enum target_state route;
	uint64_t out_ns = 0;

	if (!drain_in_time(core, drain, now)) {
		snprintf(why, CLOUD_TEXT_SIZE, "its time is over");
		return true;
	}
	route = route_state(core, instance, &out_ns);
	/* Of one that runs a leader with an empty disk does not know whether it serves. */
	if (instance->state == INSTANCE_PENDING && !instance->connected_ns) {
		snprintf(why, CLOUD_TEXT_SIZE, "it does not run yet");
		return true;
	}
	if (has_groups(core, instance) && route < TARGET_OUT) {
		snprintf(why, CLOUD_TEXT_SIZE, "to be deregistered from its target groups");
		return false;
	}
	if (speaks(core, instance, now))
		return over_by_agent(drain, out_ns, why);
	if (!has_groups(core, instance))
		return over_by_time(core, drain, now, why);
	snprintf(why, CLOUD_TEXT_SIZE, "its target groups %s",
		 route == TARGET_UNUSED ? "have nothing of it any more"
					: "still have connections of it (draining)");
	return route == TARGET_UNUSED;
}
