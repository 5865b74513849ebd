/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a NodePool wants by itself, without any policy: a fixed number of instances (spec.replicas),
 * and those that its warm pool prepares. Each is a lane with launches, brakes and pauses of its
 * own.
 */
#include "core/drain.h"

#define LOOK_EVERY_NS NS_PER_S
#define WARM_PREFIX "warm/"
#define FIXED_PREFIX "replicas/"

static struct want *want_new(struct core *core, struct pool_state *pool, const char *prefix)
{
	struct want *want = calloc(1, sizeof(*want));

	if (!want)
		abort();
	snprintf(want->name, sizeof(want->name), "%s%.60s", prefix, pool->pool->name);
	want->name[CLOUD_NAME_SIZE - 1] = '\0'; /* as tags and orders have it */
	want->policy.name = want->name;
	want->policy.pool = pool->pool->name;
	/* One-time spot instances cannot be stopped. */
	want->policy.on_demand = strcmp(prefix, WARM_PREFIX) == 0;
	want->state.policy = &want->policy;
	want->state.want = want;
	want->state.pool = pool;
	want->state.lane = lane_of(core, want->policy.pool, want->name);
	return want;
}

void wants_new(struct core *core)
{
	for (size_t i = 0; i < core->pools_count; i++) {
		struct pool_state *pool = &core->pools[i];

		if (pool->pool->warm.size)
			pool->warm = want_new(core, pool, WARM_PREFIX);
		if (pool->pool->replicas >= 0)
			pool->fixed = want_new(core, pool, FIXED_PREFIX);
	}
}

void wants_free(struct core *core)
{
	for (size_t i = 0; i < core->pools_count; i++) {
		free(core->pools[i].warm);
		free(core->pools[i].fixed);
	}
}

bool is_want_name(const char *name)
{
	return str_starts(name, WARM_PREFIX) || str_starts(name, FIXED_PREFIX);
}

bool is_warm_name(const char *name)
{
	return str_starts(name, WARM_PREFIX);
}

/* Of that name; NULL: no pool has one. */
struct policy_state *want_find(struct core *core, const char *name)
{
	for (size_t i = 0; i < core->pools_count; i++) {
		struct pool_state *pool = &core->pools[i];

		if (pool->warm && strcmp(pool->warm->name, name) == 0)
			return &pool->warm->state;
		if (pool->fixed && strcmp(pool->fixed->name, name) == 0)
			return &pool->fixed->state;
	}
	return NULL;
}

/* ---- buying for it ---- */

static void want_decide(struct core *core, const struct evaluation *e,
			const struct launch_plan *plan, int32_t have, int32_t target,
			const char *limits)
{
	uint32_t count = plan_total(plan);
	struct record *record = record_new(core, DECISION_SCALE_UP, e->policy, e->now);

	if (!record)
		return;
	record->count = count;
	record->decision.replicas_before = have;
	record->decision.replicas_wanted = target;
	record->decision.replicas_decided = have + (int32_t)count;
	snprintf(record->decision.arithmetic, sizeof(record->decision.arithmetic),
		 "NodePool %s wants %d %s, %d are there or coming", e->policy->policy->pool, target,
		 e->policy->want == e->policy->pool->warm ? "prepared for its warm pool"
							  : "at all times",
		 have);
	set_text(record->decision.limits, limits);
	plan_sources(plan, &record->decision);
	core->totals.decisions++;
	if (journal_decision(core, record, e->now) < 0 ||
	    order_place(core, record, plan, e->now) < 0) {
		record->decision.failed = count;
		record->decision.closed = true;
		return;
	}
	record_changed(core, record);
}

static bool want_may(struct core *core, const struct evaluation *e)
{
	char why[CLOUD_TEXT_SIZE];
	enum lane_state lane;

	if (!core->leads || core->config.mode != MODE_ACT || !may_act(core, e, true))
		return false;
	lane = lane_state(core, e->policy->lane, e->now, why, sizeof(why));
	if (lane == LANE_HELD)
		set_text(e->policy->held, why);
	return lane == LANE_FREE && !e->policy->lane->waiting;
}

/* So many more of it are ordered, within every limit. */
void want_more(struct core *core, const struct evaluation *e, int32_t have, int32_t target)
{
	_cleanup_(plan_free)
	struct launch_plan plan = {0};
	char limits[sizeof(((struct decision *)0)->limits)] = "";

	if (have >= target || !want_may(core, e))
		return;
	plan_make(core, e->policy, (uint32_t)(target - have), NULL, e->now, &plan, limits,
		  sizeof(limits));
	plan_brakes(core, e, &plan, (uint32_t)(target - have));
	if (plan_total(&plan))
		want_decide(core, e, &plan, have, target, limits);
	else
		set_text(e->policy->held, plan.held);
}

/* ---- a fixed number ---- */

static void look_at_fixed(struct core *core, struct pool_state *pool, const struct evaluation *e)
{
	int32_t target = (int32_t)MIN(pool->pool->replicas, (int64_t)INT32_MAX), have = 0;
	struct policy_state *state = e->policy;

	lane_count(state->lane, &have, &state->replicas_ready);
	state->current = have;
	state->result_present.desired = target;
	if (have < target)
		want_more(core, e, have, target);
	else if (have > target && !state->lane->orders.count && !state->lane->waiting &&
		 core->leads && core->config.mode == MODE_ACT && may_act(core, e, false))
		want_fewer(core, e, (uint32_t)(have - target), NULL);
}

/* Nothing of them is in use: they are terminated, and nothing is waited for. */
static int end_these(struct core *core, const struct record *record, struct instance *const *chosen,
		     uint32_t count, struct moment now)
{
	struct open_retirement *open = retirement_new(core, record->decision.id);

	if (!open)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		retirement_add(open, chosen[i]);
	return retirement_go(core, open, now);
}

/* Those, or without any the youngest. */
void want_fewer(struct core *core, const struct evaluation *e, uint32_t count,
		struct instance *const *chosen)
{
	struct record *record;

	if (!chosen)
		count = MIN(count, retirable(core, e->policy));
	if (!count)
		return;
	record = record_new(core, DECISION_SCALE_DOWN, e->policy, e->now);
	if (!record)
		return;
	record->count = count;
	record->decision.replicas_before = e->policy->current;
	record->decision.replicas_wanted = e->policy->current - (int32_t)count;
	record->decision.replicas_decided = e->policy->current - (int32_t)count;
	snprintf(record->decision.arithmetic, sizeof(record->decision.arithmetic),
		 "NodePool %s: %u of %s go", e->policy->policy->pool, count,
		 e->policy->policy->name);
	core->totals.decisions++;
	if (journal_decision(core, record, e->now) < 0 ||
	    (chosen ? end_these(core, record, chosen, count, e->now)
		    : retire(core, record, e->policy, count, e->now)) < 0)
		record->decision.closed = true;
	record_changed(core, record);
}

/* ---- all of them ---- */

static uint64_t look_at(struct core *core, struct pool_state *pool, struct want *want,
			void (*look)(struct core *, struct pool_state *, const struct evaluation *),
			struct moment now)
{
	struct evaluation e = {.policy = &want->state, .now = now};

	if (want->looked_ns && now.mono_ns < want->looked_ns + LOOK_EVERY_NS)
		return want->looked_ns + LOOK_EVERY_NS;
	want->looked_ns = MAX(now.mono_ns, 1);
	want->state.held[0] = '\0';
	want->state.braking = 0;
	look(core, pool, &e);
	brakes_settle(core, &want->state);
	return now.mono_ns + LOOK_EVERY_NS;
}

/* After the policies: a launch that somebody waits for goes before one that prepares. */
uint64_t wants_tick(struct core *core, struct moment now)
{
	uint64_t next_ns = UINT64_MAX;

	if (!core->started)
		return next_ns;
	for (size_t i = 0; i < core->pools_count; i++) {
		struct pool_state *pool = &core->pools[i];

		if (pool->fixed)
			next_ns =
				MIN(next_ns, look_at(core, pool, pool->fixed, look_at_fixed, now));
		if (pool->warm)
			next_ns = MIN(next_ns, look_at(core, pool, pool->warm, warm_look, now));
	}
	return next_ns;
}
