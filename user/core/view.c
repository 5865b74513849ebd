/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/drain.h"

const char *agent_state_text(enum agent_state state)
{
	static const char *const names[] = {
		[AGENT_NONE] = "none", [AGENT_CONNECTED] = "connected", [AGENT_SILENT] = "silent"};

	return names[state];
}

/* ---- instances ---- */

static enum agent_state agent_of(const struct core *core, const struct instance *instance,
				 struct moment now)
{
	if (!instance->heard_ns)
		return AGENT_NONE;
	return now.mono_ns <= instance->heard_ns + core->config.limits.stale_ns ? AGENT_CONNECTED
										: AGENT_SILENT;
}

/* From its call where that was in this run, else from what EC2 says. */
static double elapsed_seconds(const struct instance *instance, struct moment now)
{
	if (instance->sent_ns)
		return (double)(now.mono_ns - MIN(now.mono_ns, instance->sent_ns)) / NS_PER_S;
	return (double)(now.wall_ns - MIN(now.wall_ns, instance->launched_wall_ns)) / NS_PER_S;
}

static double expected_seconds(const struct core *core, const struct instance *instance,
			       struct moment now)
{
	if (instance->serving)
		return NAN;
	return lead_time_left(core, pool_find((struct core *)core, instance->pool),
			      instance->instance_type, elapsed_seconds(instance, now));
}

static void drain_view(const struct core *core, const struct drain *drain, struct moment now,
		       struct node_view *out)
{
	const struct lane *lane = drain->instance->lane;

	out->retires = true;
	out->reason = drain->reason;
	out->drain = drain->state;
	out->drain_ns = drain->since_ns;
	if (drain->state == DRAIN_DRAINING && drain->refused)
		set_text(out->waits, "EC2 to end it: TerminateInstances was refused");
	else if (drain->state == DRAIN_DRAINING)
		drain_over(core, drain, now, out->waits);
	else if (drain->state == DRAIN_TERMINATING)
		set_text(out->waits, "EC2 to terminate it");
	else if (*drain->replacement)
		snprintf(out->waits, sizeof(out->waits), "its replacement to serve (decision %s)",
			 drain->replacement);
	else
		snprintf(out->waits, sizeof(out->waits), "a replacement to be ordered%s%.200s",
			 *lane->replace_held ? ": " : "", lane->replace_held);
}

bool core_node(const struct core *core, size_t *at, struct moment now, struct node_view *out)
{
	const struct instance *instance;

	while (*at < core->instances.count && core->instances.at[*at]->gone)
		++*at;
	if (*at >= core->instances.count)
		return false;
	instance = core->instances.at[(*at)++];
	*out = (struct node_view){.id = instance->id,
				  .instance_type = instance->instance_type,
				  .zone = instance->zone,
				  .decision = instance->decision,
				  .pool = instance->pool,
				  .policy = instance->policy,
				  .capacity_type = instance->capacity_type,
				  .state = instance->state,
				  .agent = agent_of(core, instance, now),
				  .serving = instance->serving,
				  .terminating = instance->terminating,
				  .usd_per_hour = instance->usd_per_hour,
				  .launched_wall_ns = instance->launched_wall_ns,
				  .expected_seconds = expected_seconds(core, instance, now)};
	instance_stage(instance, &out->stage, &out->stage_ns);
	if (instance->drain)
		drain_view(core, instance->drain, now, out);
	return true;
}

/* ---- what goes ---- */

const char *notice_source_text(enum notice_source source)
{
	return source == NOTICE_BY_QUEUE ? "queue" : "agent";
}

void core_drains(const struct core *core, struct core_drains *out)
{
	*out = core->departures;
	vec_for_each (it, &core->drains) {
		out->replacing += (*it)->state == DRAIN_REPLACING;
		out->draining += (*it)->state == DRAIN_DRAINING;
	}
}

/* ---- what is on its way ---- */

/* The stage that lies furthest back, and when it began. */
static void coming_stage(struct coming_view *view, enum launch_stage stage, uint64_t since_ns)
{
	if (view->stage != STAGE_COUNT &&
	    (stage > view->stage || (stage == view->stage && since_ns >= view->since_ns)))
		return;
	view->stage = stage;
	view->since_ns = since_ns;
}

static void coming_expect(struct coming_view *view, double seconds)
{
	if (isnan(seconds) || isnan(view->expected_seconds))
		view->expected_seconds = NAN;
	else
		view->expected_seconds = MAX(view->expected_seconds, seconds);
}

static void add_instances(const struct core *core, struct moment now, struct coming_view *view)
{
	vec_for_each (it, &core->instances) {
		const struct instance *instance = *it;
		enum launch_stage stage;
		uint64_t since_ns;

		if (instance->gone || strcmp(instance->decision, view->decision->id) != 0)
			continue;
		view->serving += instance->serving;
		if (instance->serving)
			continue;
		instance_stage(instance, &stage, &since_ns);
		coming_stage(view, stage, since_ns);
		coming_expect(view, expected_seconds(core, instance, now));
	}
}

static void add_orders(const struct core *core, struct moment now, struct coming_view *view)
{
	vec_for_each (it, &core->orders) {
		const struct open_order *open = *it;
		uint64_t elapsed_ns = now.mono_ns - MIN(now.mono_ns, open->made_ns);

		if (strcmp(open->order.decision, view->decision->id) != 0)
			continue;
		coming_stage(view, STAGE_CALLED, open->made_ns);
		coming_expect(view,
			      lead_time_left(core, pool_find((struct core *)core, open->order.pool),
					     "", (double)elapsed_ns / NS_PER_S));
	}
}

bool core_coming(const struct core *core, size_t *at, struct moment now, struct coming_view *out)
{
	for (; *at < core->records.count; ++*at) {
		const struct record *record = core->records.at[core->records.count - 1 - *at];
		const struct decision *decision = &record->decision;

		if (decision->closed || !decision_launches(decision) || decision->mode != MODE_ACT)
			continue;
		++*at;
		*out = (struct coming_view){.decision = decision,
					    .count = record->count,
					    .failed = decision->failed,
					    .stage = STAGE_COUNT,
					    .since_ns = decision->made.mono_ns};
		add_instances(core, now, out);
		add_orders(core, now, out);
		return true;
	}
	return false;
}

bool core_lane_held(const struct core *core, size_t *at, struct moment now, struct lane_view *out)
{
	while (*at < core->lanes.count) {
		const struct lane *lane = core->lanes.at[(*at)++];

		if (!*lane->policy ||
		    lane_state(core, lane, now, out->why, sizeof(out->why)) != LANE_HELD)
			continue;
		out->policy = lane->policy;
		out->pool = lane->pool;
		return true;
	}
	return false;
}

/* ---- pools ---- */

static void pool_add(struct pool_view *view, uint32_t count, uint32_t vcpus, uint64_t memory_mib,
		     double usd_per_hour)
{
	view->cpus += (double)count * vcpus;
	view->memory_bytes += (double)count * (double)memory_mib * (1 << 20);
	if (!isnan(usd_per_hour))
		view->usd_per_hour += count * usd_per_hour;
}

static const char *pool_problem(const struct pool_state *pool)
{
	if (!pool->class || !pool->class->known)
		return "its EC2NodeClass is not resolved yet";
	if (!pool->class->ready)
		return pool->class->problem;
	if (!pool->offers[CAPACITY_SPOT].list.count && !pool->offers[CAPACITY_ON_DEMAND].list.count)
		return "nothing to buy: no offering has a subnet, a launch template and capacity";
	return "";
}

static void pools_fill(const struct core *core, const struct map *by_name)
{
	vec_for_each (it, &core->instances) {
		const struct instance *instance = *it;
		struct pool_view *view = map_get(by_name, hash_text(instance->pool));

		if (!view || !instance_billed(instance))
			continue;
		view->running += instance->state == INSTANCE_RUNNING;
		view->pending += instance->state == INSTANCE_PENDING;
		pool_add(view, 1, instance->vcpus, instance->memory_mib, instance->usd_per_hour);
	}
	vec_for_each (it, &core->orders) {
		const struct open_order *open = *it;
		struct pool_view *view = map_get(by_name, hash_text(open->order.pool));
		uint32_t coming = view ? order_coming(open) : 0;

		if (!coming)
			continue;
		view->pending += coming;
		pool_add(view, coming, open->vcpus_worst, open->memory_mib_worst, open->usd_worst);
	}
}

size_t core_pools(const struct core *core, struct pool_view **out)
{
	struct pool_view *views = calloc(MAX(core->pools_count, 1), sizeof(*views));
	struct moment now = {core->now_ns, core->now_wall_ns};
	struct map by_name = {0};

	*out = views;
	if (!views)
		return 0;
	for (size_t i = 0; i < core->pools_count; i++) {
		const struct pool_state *pool = &core->pools[i];

		views[i].pool = pool->pool;
		views[i].problem = pool_problem(pool);
		views[i].spot_share = pool_spot_share(core, pool);
		if (pool->warm)
			warm_view(pool, now, &views[i].warm);
		views[i].ready = !*views[i].problem;
		map_put(&by_name, hash_text(pool->pool->name), &views[i]);
	}
	pools_fill(core, &by_name);
	map_free(&by_name);
	return core->pools_count;
}
