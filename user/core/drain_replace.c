/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more of the same policy for each instance that goes and is wanted still. All that wait in one
 * lane are one order, for a lane has one launch under way at a time.
 */
#include "core/drain.h"

#define LOOK_EVERY_NS (NS_PER_S / 2)

static bool waits(const struct drain *drain)
{
	return drain->replacing != REPLACE_NOT && !*drain->replacement &&
	       drain->state != DRAIN_TERMINATING;
}

static bool waits_in(const struct drain *drain, const struct lane *lane)
{
	return waits(drain) && drain->instance->lane == lane;
}

/* ---- how many ---- */

/* Nothing is bought for the rest: the policy wants no more than stay. */
static void not_wanted(struct core *core, struct lane *lane, uint32_t wanted, int32_t desired,
		       struct moment now)
{
	vec_for_each (it, &core->drains) {
		struct drain *drain = *it;

		if (!waits_in(drain, lane) || (wanted && wanted--))
			continue;
		drain->replacing = REPLACE_NOT;
		record_step(core, record_find(core, drain->decision), now,
			    "%s is not replaced: the policy wants %d replicas, and so many stay",
			    drain->instance->id, desired);
		if (drain->state == DRAIN_REPLACING)
			drain_begins(core, drain, "not replaced", now);
	}
}

/* Of those that wait, as many as the policy wants besides what stays. */
static uint32_t wanted_of(struct core *core, struct policy_state *policy, struct moment now)
{
	const struct hpa_result *present = &policy->result_present;
	uint32_t waiting = 0, serving_on = 0, wanted;
	int32_t current, ready, missing;

	vec_for_each (it, &core->drains) {
		waiting += waits_in(*it, policy->lane);
		serving_on += waits_in(*it, policy->lane) && (*it)->state == DRAIN_REPLACING;
	}
	if (!present->valid)
		return waiting;
	replicas_count(core, policy, &current, &ready);
	missing = present->desired - (current - (int32_t)serving_on);
	wanted = MIN(waiting, (uint32_t)MAX(missing, 0));
	if (wanted < waiting)
		not_wanted(core, policy->lane, wanted, present->desired, now);
	return wanted;
}

/* ---- the order ---- */

/* Those that drain already first. */
static void assign(struct core *core, struct record *record, enum drain_state state,
		   uint32_t *count, struct moment now)
{
	vec_for_each (it, &core->drains) {
		struct drain *drain = *it;

		if (!*count || drain->state != state || !waits_in(drain, record->lane))
			continue;
		--*count;
		set_text(drain->replacement, record->decision.id);
		record->released += state != DRAIN_REPLACING;
		journal_drain(core, drain, state != DRAIN_REPLACING, now);
		record_step(core, record, now, "takes the place of %s (%s)", drain->instance->id,
			    retire_reason_text(drain->reason));
		record_step(core, record_find(core, drain->decision), now,
			    "%s is replaced by decision %s", drain->instance->id,
			    record->decision.id);
	}
}

static void fill(struct record *record, const struct policy_state *policy, uint32_t wanted,
		 const char *limits)
{
	struct decision *decision = &record->decision;

	record->count = wanted;
	decision->replicas_before = policy->current;
	decision->replicas_wanted =
		policy->result_present.valid ? policy->result_present.desired : policy->current;
	decision->replicas_decided = policy->current + (int32_t)wanted;
	snprintf(decision->arithmetic, sizeof(decision->arithmetic),
		 "one for each instance that goes and is wanted still: %u", wanted);
	set_text(decision->limits, limits);
}

static void order(struct core *core, struct policy_state *policy, uint32_t wanted,
		  struct moment now)
{
	_cleanup_(plan_free)
	struct launch_plan plan = {0};
	char limits[sizeof(((struct decision *)0)->limits)] = "";
	struct record *record;
	uint32_t count;

	plan_make(core, policy, wanted, NULL, now, &plan, limits, sizeof(limits));
	if (!plan_total(&plan)) {
		set_text(policy->lane->replace_held, plan.held);
		return;
	}
	record = record_new(core, DECISION_REPLACE, policy, now);
	if (!record)
		return;
	count = plan_total(&plan);
	fill(record, policy, count, limits);
	plan_sources(&plan, &record->decision);
	core->totals.decisions++;
	if (journal_decision(core, record, now) < 0 || order_place(core, record, &plan, now) < 0) {
		record->decision.failed = record->count;
		record->decision.closed = true;
		return;
	}
	assign(core, record, DRAIN_DRAINING, &count, now);
	assign(core, record, DRAIN_REPLACING, &count, now);
	counts_old(core);
	record_changed(core, record);
}

/* ---- when ---- */

static bool is_held(struct core *core, const struct policy_state *policy, struct moment now)
{
	struct lane *lane = policy->lane;
	char why[CLOUD_TEXT_SIZE];

	if (!policy->pool)
		snprintf(lane->replace_held, CLOUD_TEXT_SIZE, "NodePool %s is not configured",
			 lane->pool);
	else if (!core->fleet_known)
		snprintf(lane->replace_held, CLOUD_TEXT_SIZE,
			 "EC2 has not yet said which instances there are");
	else if (now.mono_ns < policy->backoff_ns)
		snprintf(lane->replace_held, CLOUD_TEXT_SIZE, "waits after a failure: %.180s",
			 policy->backoff_why);
	else if (lane_state(core, lane, now, why, sizeof(why)) != LANE_FREE)
		set_text(lane->replace_held, why);
	else
		return false;
	return true;
}

static void replace_in(struct core *core, struct lane *lane, struct moment now)
{
	struct policy_state *policy = policy_find(core, lane->policy);
	uint32_t wanted;

	lane->replace_ns = now.mono_ns + LOOK_EVERY_NS;
	lane->replace_held[0] = '\0';
	if (!policy || is_held(core, policy, now))
		return;
	wanted = wanted_of(core, policy, now);
	if (wanted)
		order(core, policy, wanted, now);
}

void drains_replace(struct core *core, struct moment now)
{
	for (size_t i = 0; i < core->drains.count; i++) {
		const struct drain *drain = core->drains.at[i];

		if (waits(drain) && drain->instance->lane->replace_ns <= now.mono_ns)
			replace_in(core, drain->instance->lane, now);
	}
}

/* ---- whether it is there ---- */

static uint32_t serving_of(const struct lane *lane, const char *decision)
{
	uint32_t serving = 0;

	vec_for_each (it, &lane->instances)
		serving += instance_live(*it) && (*it)->serving &&
			   strcmp((*it)->decision, decision) == 0;
	return serving;
}

bool drain_is_replaced(struct core *core, struct drain *drain, struct moment now)
{
	struct record *record = *drain->replacement ? record_find(core, drain->replacement) : NULL;
	const struct lane *lane = record ? record->lane : drain->instance->lane;
	uint32_t serving;

	if (drain->replacing != REPLACE_FIRST)
		return true;
	if (!*drain->replacement)
		return false;
	serving = serving_of(lane, drain->replacement);
	if (record && serving > record->released) {
		record->released++;
		return true;
	}
	if (record && !record->decision.closed)
		return false;
	/* It failed, or nobody knows of it any more. */
	if (drain->given) {
		retire_cancel(core, drain->instance, "its replacement did not come to serve", now);
		return false;
	}
	drain->replacement[0] = '\0';
	return false;
}
